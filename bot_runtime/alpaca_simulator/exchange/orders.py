"""An order and its life as a table: which event moves which status where.

A terminal order never moves again; never change a status except through `Order.move`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from alpaca_simulator.market.assets import Asset
from alpaca_simulator.values.quantities import ZERO, rounded


class Side(StrEnum):
    """Which way shares move."""

    BUY = "buy"
    SELL = "sell"

    @property
    def opposite(self) -> Side:
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    """The kinds of order this exchange executes."""

    MARKET = "market"
    LIMIT = "limit"


class TimeInForce(StrEnum):
    """How long an order stands."""

    DAY = "day"
    GTC = "gtc"
    IOC = "ioc"


class Status(StrEnum):
    """Where an order is in its life, in Alpaca's words."""

    PENDING_NEW = "pending_new"
    ACCEPTED = "accepted"
    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"


class Event(StrEnum):
    """What happens to an order, in the words of the trade updates."""

    NEW = "new"
    PARTIAL_FILL = "partial_fill"
    FILL = "fill"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"


TERMINAL = frozenset({Status.FILLED, Status.CANCELED, Status.EXPIRED, Status.REJECTED})

_ENDS = {Event.CANCELED: Status.CANCELED, Event.EXPIRED: Status.EXPIRED, Event.REJECTED: Status.REJECTED}
_FILLS = {Event.PARTIAL_FILL: Status.PARTIALLY_FILLED, Event.FILL: Status.FILLED}

#: From status and event to the next status. What is not listed cannot happen.
TRANSITIONS: dict[Status, dict[Event, Status]] = {
    # In the session an order becomes new at once; while closed it stays accepted until the open.
    Status.PENDING_NEW: {Event.NEW: Status.NEW, **_ENDS},
    Status.ACCEPTED: {Event.NEW: Status.NEW, **_ENDS},
    Status.NEW: {**_FILLS, **_ENDS},
    Status.PARTIALLY_FILLED: {**_FILLS, Event.CANCELED: Status.CANCELED, Event.EXPIRED: Status.EXPIRED},
    Status.FILLED: {},
    Status.CANCELED: {},
    Status.EXPIRED: {},
    Status.REJECTED: {},
}


class ImpossibleTransitionError(AssertionError):
    """The exchange tried to move an order in a way the table does not know: a bug of the exchange."""


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """An order as the client asked for it, already read and well formed.

    `limit_price` is in dollars and set exactly for limit orders; `client_order_id` None lets the
    exchange choose one.
    """

    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    quantity: Decimal
    limit_price: Decimal | None = None
    client_order_id: str | None = None
    extended_hours: bool = False


@dataclass(slots=True)
class Order:
    """An order on the exchange's books: quantities in shares, prices and amounts in dollars.

    `number` counts the exchange's orders and settles who comes first at the same second.
    `expires_at` is the close at which it expires.
    """

    number: int
    order_id: UUID
    client_order_id: str
    asset: Asset
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    quantity: Decimal
    limit_price: Decimal | None
    extended_hours: bool
    status: Status
    created_at: datetime
    updated_at: datetime
    expires_at: datetime
    #: Dollars of buying power that each unfilled share holds back; zero for sells.
    reserve_price: Decimal = ZERO
    filled_quantity: Decimal = ZERO
    #: Dollars that changed hands in all fills together.
    filled_notional: Decimal = ZERO
    fills: int = 0
    filled_at: datetime | None = None
    canceled_at: datetime | None = None
    expired_at: datetime | None = None
    failed_at: datetime | None = None

    @property
    def remaining(self) -> Decimal:
        """Shares not filled yet."""
        return self.quantity - self.filled_quantity

    @property
    def reserved(self) -> Decimal:
        """Dollars of buying power that the unfilled rest holds back."""
        return self.remaining * self.reserve_price if self.is_open else ZERO

    @property
    def is_open(self) -> bool:
        """Whether anything can still happen to it."""
        return self.status not in TERMINAL

    @property
    def average_price(self) -> Decimal | None:
        """Dollars a share over all fills, None before the first."""
        return rounded(self.filled_notional / self.filled_quantity) if self.filled_quantity else None

    def move(self, event: Event, at: datetime) -> None:
        """Carry out `event` on the status and its time; raises ImpossibleTransitionError."""
        following = TRANSITIONS[self.status].get(event)
        if following is None:
            raise ImpossibleTransitionError(f"order {self.order_id} is {self.status}: no {event} possible")
        self.status = following
        self.updated_at = at
        match event:
            case Event.FILL:
                self.filled_at = at
            case Event.CANCELED:
                self.canceled_at = at
            case Event.EXPIRED:
                self.expired_at = at
            case Event.REJECTED:
                self.failed_at = at
            case Event.NEW | Event.PARTIAL_FILL:
                pass
