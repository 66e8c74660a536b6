"""One account's books: cash, positions, orders, and what open orders hold back.

Money and shares only move in `settle`, both at once; nothing here knows prices or time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from alpaca_simulator.exchange.orders import Event, Order, Side
from alpaca_simulator.market.assets import Asset
from alpaca_simulator.values.identity import short_digest, stable_uuid
from alpaca_simulator.values.quantities import ZERO

AccountKind = Literal["paper", "live"]


@dataclass(frozen=True, slots=True)
class AccountTerms:
    """How an account is opened: its name, keys and starting cash in dollars."""

    name: str
    kind: AccountKind
    key_id: str
    secret_key: str
    cash: Decimal

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


@dataclass(slots=True)
class Position:
    """Shares held and the dollars they cost."""

    asset: Asset
    quantity: Decimal
    cost_basis: Decimal

    @property
    def average_entry_price(self) -> Decimal:
        """Dollars a share; a position of no shares does not exist."""
        return self.cost_basis / self.quantity


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


class Account:
    """The books of one account."""

    def __init__(self, terms: AccountTerms, limits: AccountLimits, opened_at: datetime) -> None:
        self.terms = terms
        self.limits = limits
        self.opened_at = opened_at
        self.cash = terms.cash
        #: Cash and positions at the last close, in dollars.
        self.equity_at_last_close = terms.cash
        self.positions: dict[str, Position] = {}
        self.open_orders: dict[UUID, Order] = {}
        self.event_counts: dict[Event, int] = dict.fromkeys(Event, 0)
        self.requests: deque[LoggedRequest] = deque(maxlen=limits.requests_kept)
        self.requests_received = 0
        self._orders: dict[UUID, Order] = {}
        self._ended: deque[UUID] = deque()
        self._by_client_order_id: dict[str, UUID] = {}
        self._client_order_ids_ever: set[int] = set()
        self._reserved = ZERO
        self._offered: dict[str, Decimal] = {}

    @property
    def account_id(self) -> UUID:
        """The account's id."""
        return self.terms.account_id

    @property
    def orders_ever(self) -> int:
        """How many orders were ever accepted."""
        return len(self._client_order_ids_ever)

    @property
    def buying_power(self) -> Decimal:
        """Dollars that no open order holds back."""
        return self.cash - self._reserved

    def held(self, symbol: str) -> Decimal:
        """Shares held of `symbol`."""
        position = self.positions.get(symbol)
        return position.quantity if position else ZERO

    def held_for_orders(self, symbol: str) -> Decimal:
        """Shares of `symbol` that open sell orders offer."""
        return self._offered.get(symbol, ZERO)

    def knows_client_order_id(self, client_order_id: str) -> bool:
        """Whether an order ever had this id, forgotten ones included."""
        return short_digest(client_order_id) in self._client_order_ids_ever

    def order(self, order_id: UUID) -> Order | None:
        """The order of that id, None when unknown or forgotten."""
        return self._orders.get(order_id)

    def order_by_client_order_id(self, client_order_id: str) -> Order | None:
        """The order the client named so, None when unknown or forgotten."""
        order_id = self._by_client_order_id.get(client_order_id)
        return None if order_id is None else self._orders.get(order_id)

    def orders_newest_first(self) -> Iterator[Order]:
        """Every order kept."""
        return reversed(self._orders.values())

    def add(self, order: Order) -> None:
        """Take `order` on the books and hold back what it may need."""
        self._orders[order.order_id] = order
        self._by_client_order_id[order.client_order_id] = order.order_id
        self._client_order_ids_ever.add(short_digest(order.client_order_id))
        self.open_orders[order.order_id] = order
        self._reserved += order.reserved
        if order.side is Side.SELL:
            self._offer(order.asset.symbol, order.quantity)

    def release(self, order: Order) -> None:
        """Give back what an ended order still held, and forget the oldest ended ones over the limit."""
        if self.open_orders.pop(order.order_id, None) is None:
            return
        self._reserved -= order.remaining * order.reserve_price
        if order.side is Side.SELL:
            self._offer(order.asset.symbol, -order.remaining)
        self._ended.append(order.order_id)
        while len(self._orders) > self.limits.orders_kept and self._ended:
            forgotten = self._orders.pop(self._ended.popleft())
            del self._by_client_order_id[forgotten.client_order_id]

    def settle(self, order: Order, quantity: Decimal, price: Decimal) -> None:
        """Exchange `quantity` shares for money at `price` dollars and lower what the order holds back."""
        notional = quantity * price
        symbol = order.asset.symbol
        if order.side is Side.BUY:
            self._reserved -= quantity * order.reserve_price
            self.cash -= notional
            self._take_in(order.asset, quantity, notional)
        else:
            self._offer(symbol, -quantity)
            self.cash += notional
            self._hand_out(symbol, quantity)
        order.filled_quantity += quantity
        order.filled_notional += notional
        order.fills += 1

    def _take_in(self, asset: Asset, quantity: Decimal, cost: Decimal) -> None:
        position = self.positions.setdefault(asset.symbol, Position(asset, ZERO, ZERO))
        position.quantity += quantity
        position.cost_basis += cost

    def _hand_out(self, symbol: str, quantity: Decimal) -> None:
        position = self.positions[symbol]
        position.cost_basis -= position.average_entry_price * quantity
        position.quantity -= quantity
        if position.quantity == 0:
            del self.positions[symbol]

    def _offer(self, symbol: str, change: Decimal) -> None:
        offered = self._offered.get(symbol, ZERO) + change
        if offered == 0:
            self._offered.pop(symbol, None)
        else:
            self._offered[symbol] = offered
