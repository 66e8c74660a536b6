"""Values that cross the boundary between the core and its adapters. Hold no behaviour that decides anything."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum


class Side(StrEnum):
    """Side of an order."""

    BUY = "buy"
    SELL = "sell"


class OrderType(StrEnum):
    """Order types."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TRAILING_STOP = "trailing_stop"


class TimeInForce(StrEnum):
    """How long an order works."""

    DAY = "day"
    GTC = "gtc"
    OPG = "opg"
    CLS = "cls"
    IOC = "ioc"
    FOK = "fok"


class OrderClass(StrEnum):
    """Whether an order comes alone or with exits (legs) that the broker holds for it."""

    SIMPLE = "simple"
    BRACKET = "bracket"
    OCO = "oco"
    OTO = "oto"


@dataclass(frozen=True)
class Now:
    """Two kinds of time that are never mixed, both UTC.

    `machine` is for timeouts, rates and the loss of the control plane; `market` is the broker's clock, which may
    run fast or jump over a night, for sessions and bars. `market` is None until the broker's clock was read.
    """

    machine: datetime
    market: datetime | None = None


@dataclass(frozen=True)
class MarketClock:
    """The broker's clock as read once."""

    timestamp: datetime
    is_open: bool
    next_open: datetime
    next_close: datetime


@dataclass(frozen=True)
class BrokerOrder:
    """An order as the broker describes it. Quantities are shares; `status` is Alpaca's word."""

    broker_id: str
    client_order_id: str
    symbol: str
    side: Side
    type: str
    status: str
    qty: Decimal
    filled_qty: Decimal
    filled_average_price: Decimal | None
    limit_price: Decimal | None = None
    time_in_force: str = "day"
    created_at: datetime | None = None
    stop_price: Decimal | None = None
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    order_class: str = "simple"
    legs: "tuple[BrokerOrder, ...]" = ()
    """Exits that the broker holds for this order; their client_order_ids are the broker's."""
    replaces: str | None = None
    """Broker id of the order that this one took the place of."""
    replaced_by: str | None = None
    """Broker id of the order that took this one's place."""
    filled_at: datetime | None = None
    """When its last execution was, in market time; None where the broker does not say."""


@dataclass(frozen=True)
class BrokerActivity:
    """What changed the account without an order: a split, a dividend, a change of symbol, a journal entry.

    `kind` is Alpaca's code (SPLIT, DIV, NC, JNLS, ...); `qty` in shares and `net_amount` in account currency are
    what the account's holding and cash changed by.
    """

    activity_id: str
    kind: str
    symbol: str
    qty: Decimal
    net_amount: Decimal
    at: datetime
    price: Decimal | None = None
    description: str = ""


@dataclass(frozen=True)
class BrokerQuote:
    """The best bid and ask of a symbol; zero where a side is empty."""

    symbol: str
    bid: Decimal
    ask: Decimal
    at: datetime


@dataclass(frozen=True)
class BrokerAsset:
    """What the broker says of a symbol."""

    symbol: str
    tradable: bool
    fractionable: bool
    shortable: bool


@dataclass(frozen=True)
class MarketSession:
    """One trading day of the exchange: its date in New York, open and close in UTC."""

    day: date
    opens_at: datetime
    closes_at: datetime


@dataclass(frozen=True)
class BrokerPosition:
    """A position as the broker describes it; qty is negative for a short."""

    symbol: str
    qty: Decimal
    average_entry_price: Decimal
    market_value: Decimal | None = None


@dataclass(frozen=True)
class BrokerFigures:
    """The account's money as the broker describes it, in account currency."""

    equity: Decimal
    last_equity: Decimal
    cash: Decimal
    buying_power: Decimal
    blocked: bool = False
    account_id: str = ""
    """The broker's own id of the account; empty where it does not say."""


@dataclass(frozen=True)
class BrokerSnapshot:
    """All that the broker says at one moment.

    `orders` holds every open order of the account, and every order in any state whose client_order_id begins
    with the bot's prefix and that the bot does not yet know to be terminal. `activities` holds what happened to
    the account without an order since the moment asked for, oldest first.
    """

    figures: BrokerFigures
    positions: tuple[BrokerPosition, ...]
    orders: tuple[BrokerOrder, ...]
    activities: tuple[BrokerActivity, ...] = ()
