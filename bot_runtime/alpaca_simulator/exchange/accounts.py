"""One account's books: cash, positions, orders, and what open orders hold back.

Money and shares move in `settle`, `transfer` and `pay` alone; nothing here knows prices or time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from alpaca_simulator.exchange.activities import Activity
from alpaca_simulator.exchange.configuration import AccountConfiguration
from alpaca_simulator.exchange.lifecycle import Event, Status
from alpaca_simulator.exchange.orders import Order, Side
from alpaca_simulator.exchange.positions import Position
from alpaca_simulator.market.assets import Asset
from alpaca_simulator.values.identity import short_digest, stable_uuid
from alpaca_simulator.values.quantities import ZERO

AccountKind = Literal["paper", "live"]


@dataclass(frozen=True, slots=True)
class AccountTerms:
    """How an account is opened: its name, keys and starting cash in dollars.

    `margin_multiplier` 1 makes it a cash account; `shorting` needs margin.
    """

    name: str
    kind: AccountKind
    key_id: str
    secret_key: str
    cash: Decimal
    margin_multiplier: int = 1
    shorting: bool = False

    @property
    def account_id(self) -> UUID:
        """The account's id, the same in every simulator with an account of that name."""
        return stable_uuid("account", self.name)

    @property
    def account_number(self) -> str:
        """The short number on statements; Alpaca's paper numbers start with PA."""
        digits = f"{short_digest('number ' + self.name) % 10**9:09d}"
        return f"PA{digits}" if self.kind == "paper" else digits


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """How much an account may keep; what goes over is refused or forgotten, oldest first."""

    orders_kept: int = 10_000
    open_orders: int = 2_000
    #: Client order ids are remembered for ever, so their number has to end somewhere.
    orders_ever: int = 1_000_000
    requests_kept: int = 10_000
    activities_kept: int = 10_000
    #: One a session: about sixteen years.
    equity_points_kept: int = 4_000


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One POST of an order as it was received and answered, in market time."""

    number: int
    at: datetime
    client_order_id: str | None
    symbol: str | None
    side: str | None
    quantity: str | None
    status: int
    code: int | None
    order_id: str | None


@dataclass(frozen=True, slots=True)
class DividendDue:
    """Dollars a share that wait for their payable date, on the shares (signed) held before the ex-date."""

    symbol: str
    payable_at: datetime
    rate: Decimal
    quantity: Decimal


class Account:
    """The books of one account."""

    def __init__(self, terms: AccountTerms, limits: AccountLimits, opened_at: datetime) -> None:
        self.terms = terms
        self.limits = limits
        self.opened_at = opened_at
        #: Asked for at every order, and a hash to work out.
        self.account_id = terms.account_id
        self.configuration = AccountConfiguration()
        self.cash = terms.cash
        #: Cash and positions at the last close, in dollars.
        self.equity_at_last_close = terms.cash
        self.equity_history: deque[tuple[datetime, Decimal]] = deque(maxlen=limits.equity_points_kept)
        self.positions: dict[str, Position] = {}
        self.dividends_due: list[DividendDue] = []
        self.open_orders: dict[UUID, Order] = {}
        self.event_counts: dict[Event, int] = dict.fromkeys(Event, 0)
        self.requests: deque[LoggedRequest] = deque(maxlen=limits.requests_kept)
        self.requests_received = 0
        self.activities: deque[Activity] = deque(maxlen=limits.activities_kept)
        self.activities_written = 0
        #: Dollars of buying power that open orders hold back.
        self.reserved = ZERO
        self.orders: dict[UUID, Order] = {}
        self.ended: deque[UUID] = deque()
        self.client_order_ids_ever: set[int] = set()
        self._by_client_order_id: dict[str, UUID] = {}
        self._offered: dict[str, Decimal] = {}
        self._open_by_side: dict[tuple[str, Side], dict[UUID, Order]] = {}

    @property
    def orders_ever(self) -> int:
        """How many orders were ever accepted."""
        return len(self.client_order_ids_ever)

    @property
    def is_cash_account(self) -> bool:
        """Whether it buys with its own cash alone and sells only what it has."""
        return self.terms.margin_multiplier == 1 and not self.terms.shorting

    def held(self, symbol: str) -> Decimal:
        """Shares held of `symbol`, negative when sold short."""
        position = self.positions.get(symbol)
        return position.quantity if position else ZERO

    def held_for_orders(self, symbol: str) -> Decimal:
        """Shares of `symbol` that open closing orders offer, or would buy back."""
        return self._offered.get(symbol, ZERO)

    def available(self, symbol: str) -> Decimal:
        """Shares of the position in `symbol` that no open order would close yet."""
        return abs(self.held(symbol)) - self.held_for_orders(symbol)

    def open_in(self, symbol: str, side: Side) -> Iterable[Order]:
        """Open orders of that side for `symbol`, oldest first."""
        return self._open_by_side.get((symbol, side), {}).values()

    def knows_client_order_id(self, client_order_id: str) -> bool:
        """Whether an order ever had this id, forgotten ones included."""
        return short_digest(client_order_id) in self.client_order_ids_ever

    def order(self, order_id: UUID) -> Order | None:
        """The order of that id, None when unknown or forgotten."""
        return self.orders.get(order_id)

    def order_by_client_order_id(self, client_order_id: str) -> Order | None:
        """The order the client named so, None when unknown or forgotten."""
        order_id = self._by_client_order_id.get(client_order_id)
        return None if order_id is None else self.orders.get(order_id)

    def orders_newest_first(self) -> Iterator[Order]:
        """Every order kept."""
        return reversed(self.orders.values())

    def add(self, order: Order) -> None:
        """Take `order` on the books and hold back what it may need."""
        self.orders[order.order_id] = order
        self._by_client_order_id[order.client_order_id] = order.order_id
        self.client_order_ids_ever.add(short_digest(order.client_order_id))
        self._open(order)
        self.hold_back(order)

    def hold_back(self, order: Order) -> None:
        """Hold back for `order` exactly what it may need now, after anything about it has changed."""
        self.replace_reservation(order, *needs(order))

    def replace_reservation(self, order: Order, reserved: Decimal, offered: Decimal) -> None:
        """Hold back `reserved` dollars and `offered` shares for `order` from now on."""
        if reserved != order.reserved:
            self.reserved += reserved - order.reserved
            order.reserved = reserved
        if offered != order.offered:
            self._offer(order.asset.symbol, offered - order.offered)
            order.offered = offered

    def close(self, order: Order) -> None:
        """Give back what an ended order still held, and forget the oldest ended ones over the limit."""
        if self.open_orders.pop(order.order_id, None) is None:
            return
        del self._open_by_side[order.asset.symbol, order.side][order.order_id]
        if order.reserved or order.offered:
            self.hold_back(order)
        self.ended.append(order.order_id)
        while len(self.orders) > self.limits.orders_kept and self.ended:
            forgotten = self.orders.pop(self.ended.popleft())
            del self._by_client_order_id[forgotten.client_order_id]

    def take_over(self, orders: Iterable[Order], ended: Iterable[UUID], ids_ever: Iterable[int]) -> None:
        """Put orders from an earlier run on the empty books, with what they hold back."""
        for order in orders:
            self.orders[order.order_id] = order
            self._by_client_order_id[order.client_order_id] = order.order_id
            self.reserved += order.reserved
            self._offer(order.asset.symbol, order.offered)
            if order.is_open:
                self._open(order)
        self.ended.extend(ended)
        self.client_order_ids_ever.update(ids_ever)

    def settle(self, order: Order, quantity: Decimal, price: Decimal) -> None:
        """Exchange `quantity` shares for money at `price` dollars and lower what the order holds back."""
        notional = quantity * price
        buying = order.side is Side.BUY
        self.cash += -notional if buying else notional
        self.transfer(order.asset, quantity if buying else -quantity, price)
        order.filled_quantity += quantity
        order.filled_notional += notional
        order.fills += 1
        self.hold_back(order)

    def transfer(self, asset: Asset, quantity: Decimal, price: Decimal) -> None:
        """Add `quantity` shares (signed) at `price` dollars without any money moving."""
        position = self.positions.get(asset.symbol)
        if position is None:
            position = self.positions[asset.symbol] = Position(asset, ZERO, ZERO)
        position.change(quantity, price)
        if position.quantity == 0:
            del self.positions[asset.symbol]

    def pay(self, amount: Decimal) -> None:
        """Add `amount` dollars (signed) to the cash."""
        self.cash += amount

    def _open(self, order: Order) -> None:
        self.open_orders[order.order_id] = order
        self._open_by_side.setdefault((order.asset.symbol, order.side), {})[order.order_id] = order

    def _offer(self, symbol: str, change: Decimal) -> None:
        offered = self._offered.get(symbol, ZERO) + change
        if offered == 0:
            self._offered.pop(symbol, None)
        else:
            self._offered[symbol] = offered


def needs(order: Order) -> tuple[Decimal, Decimal]:
    """Dollars of buying power and shares of the position that `order` may still need.

    A held exit needs nothing: its entry, or the take profit beside it, holds back for both.
    """
    if not order.is_open or order.standing is Status.HELD:
        return ZERO, ZERO
    if order.position_intent.is_closing:
        return ZERO, order.offered if order.is_unpriced else order.remaining
    if order.is_unpriced:
        return order.notional or ZERO, ZERO
    return order.remaining * order.reserve_price, ZERO
