"""What the fill gate decided, recorded while it runs and repeated in a replay.

Fault rules do not outlive the process, but what they did to fills has to: it is part of the books.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from alpaca_simulator.exchange.orders import Order
from alpaca_simulator.exchange.rules import FillGate
from alpaca_simulator.state.records import FillDecision


class RecordedGate:
    """Passes on what another gate allows, and hands over each decision that differs from the order's last one."""

    def __init__(self, gate: FillGate, record: Callable[[datetime, UUID, int, Decimal | None], None]) -> None:
        self._gate = gate
        self._record = record
        self._last: dict[UUID, Decimal | None] = {}

    def forget(self) -> None:
        """Hand over every bound anew: a snapshot has taken the place of what was recorded."""
        self._last.clear()

    def allows(self, order: Order, at: datetime, fills: int) -> Decimal | None:
        """As the gate behind it says."""
        allowed = self._gate.allows(order, at, fills)
        if allowed != self._last.get(order.order_id):
            self._record(at, order.order_id, fills, allowed)
            if allowed is None:
                # No bound is what every order begins with.
                self._last.pop(order.order_id, None)
            else:
                self._last[order.order_id] = allowed
        return allowed


class ReplayedGate:
    """Allows what was allowed before: a decision holds for its order until the next one."""

    def __init__(self, decisions: Iterable[FillDecision]) -> None:
        self._decisions: dict[UUID, list[FillDecision]] = {}
        for one in decisions:
            self._decisions.setdefault(one.order_id, []).append(one)

    def allows(self, order: Order, at: datetime, fills: int) -> Decimal | None:
        """As the newest decision says that was made by then."""
        allowed = None
        for one in self._decisions.get(order.order_id, ()):
            if (one.at, one.fills) > (at, fills):
                break
            allowed = one.allowed
        return allowed
