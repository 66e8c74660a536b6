"""The seam at fills: an order is filled in part, and then not at all for a while.

Asked by the exchange before each fill; remembers the orders it holds up, the oldest of which it forgets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import TypeVar
from uuid import UUID

from alpaca_simulator.exchange.orders import Order
from alpaca_simulator.faults.book import FaultBook, RuleInForce
from alpaca_simulator.faults.data_kinds import PartialFillStall
from alpaca_simulator.values.quantities import ZERO

ORDERS_REMEMBERED = 10_000

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class _Stall:
    """One order that is held up: to be filled to `target` shares, then not before `until`."""

    entry: RuleInForce[PartialFillStall]
    target: Decimal
    until: datetime | None = None


class FillStalls:
    """The gate that each fill passes; `account_name` tells whose order one is, None when it has none."""

    def __init__(self, book: FaultBook, account_name: Callable[[Order], str | None]) -> None:
        self._book = book
        self._account_name = account_name
        self._stalls: dict[UUID, _Stall] = {}
        self._asked: dict[tuple[UUID, str], None] = {}

    def allows(self, order: Order, at: datetime, fills: int) -> Decimal | None:
        """At most how many shares may be filled at market time `at`; None is no bound, zero no fill now."""
        if not self._stalls and not self._book.of(PartialFillStall):
            return None
        stall = self._stalls.get(order.order_id) or self._begun(order, at)
        if stall is None or self._book.find(stall.entry.rule_id) is not stall.entry:
            return None
        seconds = timedelta(seconds=stall.entry.rule.seconds)
        if order.filled_quantity < stall.target:
            stall.until = at + seconds
            return stall.target - order.filled_quantity
        stall.until = stall.until or at + seconds
        return ZERO if at < stall.until else None

    def _begun(self, order: Order, at: datetime) -> _Stall | None:
        account = self._account_name(order)
        for entry in self._book.of(PartialFillStall):
            match, asked = entry.rule.match, (order.order_id, entry.rule_id)
            fits = (
                asked not in self._asked
                and match.account in {None, account}
                and match.symbol in {None, order.asset.symbol}
                and order.client_order_id.startswith(match.client_order_id_prefix or "")
            )
            if not fits:
                continue
            _remember(self._asked, asked, None)
            if self._book.strikes(entry, at):
                self._book.note(entry, at, f"{order.client_order_id} of {order.asset.symbol}", account)
                stall = _Stall(entry, order.filled_quantity + _share_of(order, entry.rule))
                _remember(self._stalls, order.order_id, stall)
                return stall
        return None


def _remember(known: dict[K, V], key: K, value: V) -> None:
    """Keep `value`; over the limit the oldest is forgotten."""
    known[key] = value
    if len(known) > ORDERS_REMEMBERED:
        del known[next(iter(known))]


def _share_of(order: Order, rule: PartialFillStall) -> Decimal:
    """How many shares are filled before the stall; whole ones where the order has one at least."""
    if rule.shares is not None:
        return min(Decimal(rule.shares), order.remaining)
    part = order.remaining * Decimal(str(rule.fraction))
    whole = part.to_integral_value(rounding=ROUND_FLOOR)
    return whole if order.remaining >= 1 else part.quantize(Decimal("0.000000001"), rounding=ROUND_FLOOR)
