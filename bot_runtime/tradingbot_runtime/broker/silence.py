"""Whether the stream of trade updates keeps quiet about what the broker's books show. Pure; decides, drops nothing.

A mute stream answers pings: only a change of an order that is read over HTTP, and that the stream has not told some
seconds later, gives it away.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tradingbot_runtime.broker.legs import flattened
from tradingbot_runtime.core.values import BrokerOrder

GRACE_SECONDS: Final = 10.0
"""Machine time by which the stream may be behind the books."""
MAX_ORDERS: Final = 5_000
_ENDED: Final = frozenset({"filled", "canceled", "expired"})
"""Ends that are always told; of others it is not certain which order's update tells them."""


@dataclass(frozen=True)
class _Known:
    filled: Decimal
    ended: bool

    def covers(self, other: "_Known") -> bool:
        return self.filled >= other.filled and (self.ended or not other.ended)

    def and_also(self, other: "_Known") -> "_Known":
        return _Known(max(self.filled, other.filled), self.ended or other.ended)


class Silence:
    """What the stream said of each order against what the books say, since the stream was connected.

    What an order was when it was first seen counts as said: nothing is told again after a reconnect.
    """

    def __init__(self, grace_seconds: float = GRACE_SECONDS) -> None:
        self._grace_seconds = grace_seconds
        self._listening = False
        self._said: dict[str, _Known] = {}
        self._owed: dict[str, tuple[_Known, float]] = {}

    def connected(self) -> None:
        """The stream flows: from now on it owes every change."""
        self._listening = True
        self._said.clear()
        self._owed.clear()

    def lost(self) -> None:
        """The stream is gone and owes nothing."""
        self.connected()
        self._listening = False

    def told(self, order: BrokerOrder) -> None:
        """The stream said this of an order."""
        for one in flattened((order,)):
            self._remember(one.broker_id, _known(one))
            owed = self._owed.get(one.broker_id)
            if owed is not None and self._said[one.broker_id].covers(owed[0]):
                del self._owed[one.broker_id]

    def read(self, orders: Iterable[BrokerOrder], now: float) -> None:
        """The books say this of orders, read at `now` (monotonic seconds)."""
        if not self._listening:
            return
        for order in flattened(orders):
            seen, said = _known(order), self._said.get(order.broker_id)
            if said is None:
                self._remember(order.broker_id, seen)
            elif not said.covers(seen) and order.broker_id not in self._owed:
                self._owed[order.broker_id] = (seen, now)

    def overdue(self, now: float) -> str | None:
        """The order that the stream keeps quiet about for too long, or None."""
        for broker_id, (_, since) in self._owed.items():
            if now - since >= self._grace_seconds:
                return f"nothing was said of order {broker_id}, which changed {now - since:.0f} s ago"
        return None

    def _remember(self, broker_id: str, known: _Known) -> None:
        before = self._said.pop(broker_id, known)
        self._said[broker_id] = before.and_also(known)
        while len(self._said) > MAX_ORDERS:
            forgotten = next(iter(self._said))
            del self._said[forgotten]
            self._owed.pop(forgotten, None)


def _known(order: BrokerOrder) -> _Known:
    return _Known(order.filled_qty, order.status in _ENDED)
