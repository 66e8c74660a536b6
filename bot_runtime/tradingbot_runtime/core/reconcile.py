"""The bot's books against the broker's. The broker wins; every difference is named with both sides.

Compares and proposes; the engine decides what to record and when. Someone else's order is named, never touched.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from tradingbot_runtime.core.kill import is_open
from tradingbot_runtime.core.orders import UNANSWERED, Order
from tradingbot_runtime.core.portfolio import Portfolio
from tradingbot_runtime.core.values import BrokerOrder, BrokerPosition, BrokerSnapshot, Side

_ZERO = Decimal(0)


@dataclass(frozen=True)
class Difference:
    """One difference: its class, what it is about, and both sides."""

    kind: str
    subject: str
    ours: str
    brokers: str

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}: ours {self.ours}, broker's {self.brokers}"


@dataclass(frozen=True)
class PositionDifference:
    """A holding that differs, in shares."""

    symbol: str
    ours: Decimal
    brokers: Decimal
    brokers_price: Decimal

    @property
    def is_excess(self) -> bool:
        """Whether the broker holds more than our own orders explain: somebody else's shares, not ours to trade."""
        if self.ours != 0 and (self.ours > 0) != (self.brokers > 0) and self.brokers != 0:
            return True
        return abs(self.brokers) > abs(self.ours)

    def described(self) -> Difference:
        """The difference by its class."""
        kind = "quantity"
        if self.ours == 0:
            kind = "missing_internal"
        elif self.brokers == 0:
            kind = "missing_broker"
        return Difference(kind, self.symbol, str(self.ours), str(self.brokers))


def position_differences(
    portfolio: Portfolio, positions: tuple[BrokerPosition, ...], symbols: frozenset[str]
) -> tuple[PositionDifference, ...]:
    """Holdings of the bot's own symbols that differ from the broker's."""
    theirs = {position.symbol: position for position in positions}
    return tuple(
        PositionDifference(
            symbol=symbol,
            ours=portfolio.qty(symbol),
            brokers=theirs[symbol].qty if symbol in theirs else _ZERO,
            brokers_price=theirs[symbol].average_entry_price if symbol in theirs else _ZERO,
        )
        for symbol in sorted(symbols | set(portfolio.holdings))
        if portfolio.qty(symbol) != (theirs[symbol].qty if symbol in theirs else _ZERO)
    )


@dataclass(frozen=True)
class OrderFindings:
    """What the broker's list says of the bot's orders."""

    differences: tuple[Difference, ...]
    to_ask: tuple[str, ...]
    """Our orders that the list does not show: ask by client_order_id."""
    strangers: tuple[Difference, ...]
    """Open orders in our symbols that are not ours: seen, named, never touched, not counted as unclean."""
    open_there: tuple[BrokerOrder, ...]
    """Orders that ended in our books and work at the broker."""
    strangers_sides: Mapping[str, frozenset[Side]]
    """Sides of every open order on the account that is not ours, by symbol."""


def with_legs(orders: Iterable[BrokerOrder]) -> Iterator[BrokerOrder]:
    """Every order and, after it, its legs."""
    for order in orders:
        yield order
        yield from with_legs(order.legs)


def order_findings(
    orders: Mapping[str, Order],
    snapshot: BrokerSnapshot,
    symbols: frozenset[str],
    is_ours: Callable[[BrokerOrder], bool],
) -> OrderFindings:
    """Compares the orders after the snapshot's own words were applied to them."""
    listed = tuple(with_legs(snapshot.orders))
    theirs = {order.client_order_id: order for order in listed}
    differences: list[Difference] = []
    to_ask: list[str] = []
    for order in orders.values():
        seen = theirs.get(order.client_order_id)
        if seen is not None and order.is_terminal and is_open(seen.status):
            differences.append(Difference("terminal_but_open", order.client_order_id, order.state.value, seen.status))
        if seen is None and not order.is_terminal and order.state not in UNANSWERED:
            to_ask.append(order.client_order_id)
    strangers = tuple(order for order in listed if not is_ours(order) and is_open(order.status))
    return OrderFindings(
        differences=tuple(differences),
        to_ask=tuple(to_ask),
        strangers=tuple(
            Difference("unknown_at_broker", f"{seen.symbol} order {seen.broker_id}", "not ours", seen.status)
            for seen in strangers
            if seen.symbol in symbols
        ),
        open_there=tuple(
            theirs[difference.subject] for difference in differences if difference.kind == "terminal_but_open"
        ),
        strangers_sides=_sides(strangers),
    )


def _sides(orders: Iterable[BrokerOrder]) -> dict[str, frozenset[Side]]:
    sides: dict[str, frozenset[Side]] = {}
    for order in orders:
        sides[order.symbol] = sides.get(order.symbol, frozenset()) | {order.side}
    return sides
