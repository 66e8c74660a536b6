"""What the runtime needs of a broker, and how a broker can fail. Holds no protocol."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

import pandas as pd

from tradingbot_runtime.core.events import StreamConnected, TradeUpdate
from tradingbot_runtime.core.orders import Order
from tradingbot_runtime.core.values import (
    BrokerActivity,
    BrokerAsset,
    BrokerFigures,
    BrokerOrder,
    BrokerPosition,
    BrokerQuote,
    MarketClock,
    MarketSession,
)


class BrokerError(Exception):
    """A call to the broker failed; the message says what to do."""


class OrderRejected(BrokerError):
    """The broker refused for good (400, 403, 404, 413, 422): asking again will not help."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        """`status`: the HTTP status; 0 where nothing was sent."""
        super().__init__(message)
        self.status = status


class OrderNotTaken(BrokerError):
    """The order never reached whoever takes orders: kept back here, no connection, or the broker counts us out (429).

    It is certain that no such order exists. It is not sent again by itself: whoever decided it decides anew.
    """


class Unauthorized(BrokerError):
    """The broker refuses the keys (401): nothing was done."""


class BrokerUnavailable(BrokerError):
    """No usable answer: a read or a cancel may be tried again, by whoever owns trying again."""

    def __init__(self, message: str, *, may_pass: bool = True, after_seconds: float = 0.0) -> None:
        """`may_pass`: whether the next try may well succeed; `after_seconds`: how long the broker wants to be left."""
        super().__init__(message)
        self.may_pass = may_pass
        self.after_seconds = after_seconds


class OrderInDoubt(BrokerError):
    """An order was sent and no usable answer came: ask by client_order_id, never send again."""


@dataclass(frozen=True)
class LaneFigures:
    """What the request budget did to one kind of calls since the process began."""

    waits: int = 0
    waited_seconds: float = 0.0
    given_up: int = 0
    """Calls that were not made because they would have had to wait too long."""
    too_many_requests: int = 0
    """Answers 429."""


@dataclass(frozen=True)
class BudgetFigures:
    """One API's request budget: what the broker last said is left of how much, and what that did, by lane."""

    limit: int | None = None
    left: int | None = None
    lanes: Mapping[str, LaneFigures] = field(default_factory=dict)


@dataclass(frozen=True)
class BrokerHealth:
    """What the adapter knows of the connection beside the answers. Counters since the process began."""

    keys_refused: str = ""
    """Why the broker refuses the keys, from the first 401 until an answer that accepts them; empty: it does not."""
    budgets: Mapping[str, BudgetFigures] = field(default_factory=dict)
    """By API: trading, data."""
    stream_frames: int = 0
    stream_frames_unreadable: int = 0
    stream_silences: int = 0
    """How often the stream kept quiet about a change that the books showed, and was dropped for it."""
    seconds_since_stream_frame: float | None = None
    """Machine time since trade updates last said anything; None while none are connected."""
    unreadable_skipped: int = 0
    """Orders, positions and activities of others that could not be read; one that is read again counts again."""


class Broker(Protocol):
    """A broker. Every call has a timeout; times are UTC; money is Decimal.

    Reads raise BrokerUnavailable, Unauthorized or OrderRejected (the question itself was refused).
    """

    async def clock(self) -> MarketClock:
        """The market's clock."""
        ...

    async def figures(self, *, urgent: bool = False) -> BrokerFigures:
        """The account's money. `urgent`, here and below: for a kill, which must not wait behind other reads."""
        ...

    async def positions(self, *, urgent: bool = False) -> tuple[BrokerPosition, ...]:
        """All positions of the account."""
        ...

    async def open_orders(self, *, urgent: bool = False) -> tuple[BrokerOrder, ...]:
        """All open orders of the account, whoever placed them; a parent that is open has its legs inside.

        A leg whose parent is no longer open stands for itself: the broker's list does not say whose it is. Another's
        order that cannot be read is left out. Raises BrokerUnavailable, here and below, where there are more orders
        than can be read: a list that is not whole is none.
        """
        ...

    async def orders_since(
        self, after: datetime | None, prefix: str, *, urgent: bool = False, symbols: Sequence[str] = ()
    ) -> tuple[BrokerOrder, ...]:
        """Orders in any state created after a moment of market time, whose client_order_id begins with `prefix`; only
        those of `symbols`, where any are named.

        Each has its legs inside, in any state. Together with `open_orders` see `legs.rolled_up`.
        """
        ...

    async def order(self, client_order_id: str) -> BrokerOrder | None:
        """One order by our id, its legs inside; None when the broker knows no such order."""
        ...

    async def order_by_id(self, broker_id: str) -> BrokerOrder | None:
        """One order by the broker's id (a leg, a replacement), its legs inside; None when there is no such order."""
        ...

    async def submit(self, order: Order, may_send: Callable[[], bool]) -> BrokerOrder:
        """Sends an order once. Raises OrderRejected, OrderNotTaken, Unauthorized or OrderInDoubt.

        `may_send` is asked again when all waiting is over and nothing has been sent yet, perhaps by another thread: it
        must only read. False, or an error of its own, raises OrderNotTaken ("withheld: ...").
        """
        ...

    async def replace(self, order: Order, broker_id: str, may_send: Callable[[], bool]) -> BrokerOrder:
        """Asks once that `order`, under its own client_order_id, take the place of the order `broker_id`.

        Returns the new order; the old one stays until the stream says `replaced`. `may_send` and errors are as for
        `submit`; in doubt, ask by the new client_order_id.
        """
        ...

    async def cancel(self, broker_id: str) -> None:
        """Asks to cancel; already closed is no error."""
        ...

    async def close_position(self, symbol: str, qty: str) -> None:
        """Closes at most qty shares of what is held; nothing held is no error. Asked once: the caller looks again."""
        ...

    async def activities(self, after: datetime | None, *, urgent: bool = False) -> tuple[BrokerActivity, ...]:
        """What changed the account without an order, booked after a moment of market time, oldest first.

        Raises BrokerUnavailable where there are more than can be read.
        """
        ...

    async def bars(
        self, symbols: Sequence[str], timeframe: str, count: int, before: datetime
    ) -> Mapping[str, pd.DataFrame]:
        """Per symbol the last `count` bars that ended at or before a moment of market time, oldest first.

        Prices are adjusted for splits. A symbol without bars, or that the broker does not know, is absent.
        """
        ...

    async def quotes(self, symbols: Sequence[str]) -> Mapping[str, BrokerQuote]:
        """The latest quotes; a symbol without one, or that the broker does not know, is absent."""
        ...

    async def assets(self, symbols: Sequence[str]) -> Mapping[str, BrokerAsset]:
        """What the broker says of these symbols; one that it does not know is absent."""
        ...

    async def sessions(self, first: date, last: date) -> tuple[MarketSession, ...]:
        """The exchange's sessions from `first` to `last`, both included (dates in New York), oldest first."""
        ...

    def trade_updates(self) -> AsyncGenerator[StreamConnected | TradeUpdate, None]:
        """StreamConnected once updates flow, then trade updates; StreamConnected again where one could not be read,
        because what it said must then be read from the books.

        Ends with BrokerUnavailable when the socket is lost or mute, with Unauthorized when the keys are refused.
        """
        ...

    def drop_trade_updates(self, reason: str) -> None:
        """Ends the present `trade_updates` with BrokerUnavailable, so that it is connected anew."""
        ...

    def health(self) -> BrokerHealth:
        """What is known of the connection at this moment; asks nobody."""
        ...
