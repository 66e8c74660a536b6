"""Orders as values: what a client asks for, and what stands on the exchange's books.

Knows no prices and no accounts; how an order moves through its life is the table's say.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from operator import attrgetter
from uuid import UUID

from alpaca_simulator.exchange.lifecycle import (
    PAUSES,
    REQUESTED,
    TERMINAL,
    TRANSITIONS,
    WORKING,
    Event,
    ImpossibleTransitionError,
    Status,
)
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
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TRAILING_STOP = "trailing_stop"

    @property
    def has_limit(self) -> bool:
        """Whether it trades at its limit price or better."""
        return self in {OrderType.LIMIT, OrderType.STOP_LIMIT}

    @property
    def has_stop(self) -> bool:
        """Whether it waits for a price before it trades."""
        return self in {OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP}


class TimeInForce(StrEnum):
    """How long an order stands."""

    DAY = "day"
    GTC = "gtc"
    OPG = "opg"
    CLS = "cls"
    IOC = "ioc"
    FOK = "fok"

    @property
    def is_immediate(self) -> bool:
        """Whether it trades at the next quote or not at all."""
        return self in {TimeInForce.IOC, TimeInForce.FOK}

    @property
    def is_auction(self) -> bool:
        """Whether it trades in the opening or closing auction alone."""
        return self in {TimeInForce.OPG, TimeInForce.CLS}


class OrderClass(StrEnum):
    """Whether an order stands alone or with others."""

    SIMPLE = "simple"
    BRACKET = "bracket"
    OCO = "oco"
    OTO = "oto"


class PositionIntent(StrEnum):
    """What an order does to the position."""

    BUY_TO_OPEN = "buy_to_open"
    BUY_TO_CLOSE = "buy_to_close"
    SELL_TO_OPEN = "sell_to_open"
    SELL_TO_CLOSE = "sell_to_close"

    @staticmethod
    def of(side: Side, *, closing: bool) -> PositionIntent:
        """The intent of an order of that side."""
        return PositionIntent(f"{side}_to_{'close' if closing else 'open'}")

    @property
    def is_closing(self) -> bool:
        """Whether it makes the position smaller."""
        return self in {PositionIntent.BUY_TO_CLOSE, PositionIntent.SELL_TO_CLOSE}


@dataclass(frozen=True, slots=True)
class StopLoss:
    """The exit that limits a loss: a stop order, or with a limit price a stop limit order. In dollars."""

    stop_price: Decimal
    limit_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """An order as the client asked for it, already read and well formed.

    Exactly one of `quantity` (shares) and `notional` (dollars) is set, and exactly the prices (dollars)
    that its type needs; `trail_percent` is in percent. `take_profit` is that exit's limit price.
    `client_order_id` None lets the exchange choose one.
    """

    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    quantity: Decimal | None
    limit_price: Decimal | None = None
    client_order_id: str | None = None
    extended_hours: bool = False
    notional: Decimal | None = None
    stop_price: Decimal | None = None
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    order_class: OrderClass = OrderClass.SIMPLE
    take_profit: Decimal | None = None
    stop_loss: StopLoss | None = None
    position_intent: PositionIntent | None = None


@dataclass(frozen=True, slots=True)
class ReplaceRequest:
    """What a client wants to change about an open order; None leaves it as it is.

    `quantity` counts what was filled already; `trail` is in the unit of the order's own trail.
    """

    quantity: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail: Decimal | None = None
    time_in_force: TimeInForce | None = None
    client_order_id: str | None = None


@dataclass(slots=True)
class Order:
    """An order on the exchange's books: quantities in shares, prices and amounts in dollars.

    `number` counts the exchange's orders and settles who comes first at the same second.
    `expires_at` is when it expires.
    """

    number: int
    order_id: UUID
    client_order_id: str
    asset: Asset
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    #: Shares; of a notional order zero until its first fill sets the price.
    quantity: Decimal
    notional: Decimal | None
    limit_price: Decimal | None
    #: Of a trailing stop it moves with the high water mark.
    stop_price: Decimal | None
    trail_price: Decimal | None
    trail_percent: Decimal | None
    extended_hours: bool
    order_class: OrderClass
    position_intent: PositionIntent
    status: Status
    created_at: datetime
    updated_at: datetime
    expires_at: datetime
    #: Dollars of buying power that each unfilled share of an opening order holds back.
    reserve_price: Decimal = ZERO
    #: What its account holds back for it now: dollars of buying power, shares of the position.
    reserved: Decimal = ZERO
    offered: Decimal = ZERO
    filled_quantity: Decimal = ZERO
    #: Dollars that changed hands in all fills together.
    filled_notional: Decimal = ZERO
    fills: int = 0
    #: Whether the last trade has reached the stop price.
    is_triggered: bool = False
    #: Whether a held stop loss watches for its stop price: its entry has filled.
    is_armed: bool = False
    #: The best last trade since a trailing stop was accepted, dollars; the last second it was looked for.
    high_water_mark: Decimal | None = None
    followed_until: int = 0
    #: What a pause interrupted.
    status_before: Status | None = None
    filled_at: datetime | None = None
    canceled_at: datetime | None = None
    expired_at: datetime | None = None
    failed_at: datetime | None = None
    replaced_at: datetime | None = None
    replaced_by: UUID | None = None
    replaces: UUID | None = None
    parent_id: UUID | None = None
    #: Its exits, take profit first; of an OCO order the stop loss.
    legs: tuple[Order, ...] = field(default=(), compare=False)

    @property
    def remaining(self) -> Decimal:
        """Shares not filled yet; of a notional order zero until its first fill."""
        return self.quantity - self.filled_quantity

    @property
    def is_open(self) -> bool:
        """Whether anything can still happen to it."""
        return self.status not in TERMINAL

    @property
    def is_unpriced(self) -> bool:
        """Whether it is a notional order whose number of shares is not known yet."""
        return self.notional is not None and self.filled_quantity == 0

    @property
    def standing(self) -> Status:
        """Its status as if no request to cancel or replace it were under way."""
        if self.status in REQUESTED and self.status_before is not None:
            return self.status_before
        return self.status

    @property
    def is_working(self) -> bool:
        """Whether the market's next quotes can do something to it."""
        standing = self.standing
        return standing in WORKING or (standing is Status.HELD and self.is_armed)

    @property
    def average_price(self) -> Decimal | None:
        """Dollars a share over all fills, None before the first."""
        return rounded(self.filled_notional / self.filled_quantity) if self.filled_quantity else None

    def snapshot(self) -> Order:
        """A copy that later moves of the order do not change."""
        copy = Order(*_values(self))
        if copy.legs:
            copy.legs = tuple(leg.snapshot() for leg in copy.legs)
        return copy

    def move(self, event: Event, at: datetime) -> None:
        """Carry out `event` on the status and its time; raises ImpossibleTransitionError."""
        moves = TRANSITIONS[self.status]
        if event not in moves:
            raise ImpossibleTransitionError(f"order {self.order_id} is {self.status}: no {event} possible")
        following = moves[event]
        if following is None:
            before = Status.NEW if event is Event.NEW else self.status_before or Status.NEW
            following = Status.PARTIALLY_FILLED if self.filled_quantity else before
        if following in PAUSES and self.status not in PAUSES:
            self.status_before = self.status
        if event is Event.PARTIAL_FILL:
            self.status_before = Status.PARTIALLY_FILLED if following in REQUESTED else None
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
            case Event.REPLACED:
                self.replaced_at = at
            case _:
                pass


_values = attrgetter(*(one.name for one in fields(Order)))
