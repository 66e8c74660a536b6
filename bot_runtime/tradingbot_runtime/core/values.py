"""Values that cross the boundary between the core and its adapters. Hold no behaviour that decides anything."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


class Side(StrEnum):
    """Side of an order."""

    BUY = "buy"
    SELL = "sell"


class OrderType(StrEnum):
    """Order types of this version."""

    MARKET = "market"
    LIMIT = "limit"


class TimeInForce(StrEnum):
    """How long an order works."""

    DAY = "day"
    GTC = "gtc"
    IOC = "ioc"


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


@dataclass(frozen=True)
class BrokerSnapshot:
    """All that the broker says at one moment.

    `orders` holds every open order of the account, and every order in any state whose client_order_id begins
    with the bot's prefix and that the bot does not yet know to be terminal.
    """

    figures: BrokerFigures
    positions: tuple[BrokerPosition, ...]
    orders: tuple[BrokerOrder, ...]
