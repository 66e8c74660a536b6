"""Which orders `GET /v2/orders` shows, and in which order.

Reads the parameters, filters, nests; changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from uuid import UUID

from alpaca_simulator.api.messages import Request
from alpaca_simulator.api.parameters import (
    flag_parameter,
    instant_parameter,
    uuid_parameter,
    whole_parameter,
    word_parameter,
)
from alpaca_simulator.api.rendering import Json, order_json
from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.accounts import Account
from alpaca_simulator.exchange.orders import Order

ORDERS_LISTED = 50
ORDERS_LISTED_AT_MOST = 500


@dataclass(frozen=True, slots=True)
class _Filter:
    """Which orders a list shows; the numbers are those of the orders before and after which they came."""

    status: str
    after: datetime | None
    until: datetime | None
    before_number: int | None
    after_number: int | None
    symbols: frozenset[str]
    side: str | None
    is_equity: bool

    def admits(self, order: Order) -> bool:
        """Whether `order` is one of them."""
        return (
            self.is_equity
            and (self.status == "all" or order.is_open == (self.status == "open"))
            and (self.after is None or order.created_at > self.after)
            and (self.until is None or order.created_at <= self.until)
            and (self.before_number is None or order.number < self.before_number)
            and (self.after_number is None or order.number > self.after_number)
            and (not self.symbols or order.asset.symbol in self.symbols)
            and (self.side is None or order.side == self.side)
        )


def listed_orders(account: Account, request: Request) -> list[Json]:
    """The kept orders that the parameters ask for; raises Refusal for a parameter that makes no sense."""
    most = whole_parameter(request, "limit", otherwise=ORDERS_LISTED, at_most=ORDERS_LISTED_AT_MOST)
    nested = flag_parameter(request, "nested")
    found = _matching(account, request)
    if nested:
        found = _rolled_up(account, found)
    return [order_json(order, nested=nested) for order in islice(found, most)]


def _matching(account: Account, request: Request) -> Iterator[Order]:
    status = word_parameter(request, "status", {"open", "closed", "all"}, otherwise="open")
    direction = word_parameter(request, "direction", {"asc", "desc"}, otherwise="desc")
    wanted = request.parameters
    chosen = _Filter(
        status=status,
        after=instant_parameter(request, "after"),
        until=instant_parameter(request, "until"),
        before_number=_number(account, request, "before_order_id"),
        after_number=_number(account, request, "after_order_id"),
        symbols=frozenset(symbol.strip() for symbol in wanted.get("symbols", "").split(",")) - {""},
        side=wanted.get("side") or None,
        is_equity=_asks_for_equities(wanted.get("asset_class", "")),
    )
    # Open orders are few among many kept ones, and are asked for most.
    newest_first = reversed(account.open_orders.values()) if status == "open" else account.orders_newest_first()
    ordered = newest_first if direction == "desc" else reversed(list(newest_first))
    return (order for order in ordered if chosen.admits(order))


def _rolled_up(account: Account, found: Iterator[Order]) -> Iterator[Order]:
    """Legs only within their parent, as long as the parent itself is among what was found."""
    orders = list(found)
    shown = {order.order_id for order in orders}
    return (order for order in orders if order.parent_id is None or order.parent_id not in shown)


def _number(account: Account, request: Request, name: str) -> int | None:
    order_id: UUID | None = uuid_parameter(request, name)
    if order_id is None:
        return None
    order = account.order(order_id)
    if order is None:
        raise refusals.not_found(f"order not found for {order_id}")
    return order.number


def _asks_for_equities(asset_classes: str) -> bool:
    """Whether stocks are among what was asked for: nothing said is everything."""
    wanted = {one.strip() for one in asset_classes.split(",")} - {""}
    return not wanted or bool(wanted & {"us_equity", "all"})
