"""What can happen to a bot. The only way anything enters the core."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

import pandas as pd

from tradingbot_runtime.core.values import (
    BrokerAsset,
    BrokerFigures,
    BrokerOrder,
    BrokerQuote,
    BrokerSnapshot,
    MarketClock,
    MarketSession,
)


@dataclass(frozen=True)
class ClockRead:
    """The broker's clock was read."""

    clock: MarketClock


@dataclass(frozen=True)
class BarsClosed:
    """A bar ended. `frames` holds per symbol the last bars, oldest first, closed ones only.

    Columns open, high, low, close, volume; the index is the bars' start in UTC. A symbol without bars is absent.
    `as_of` is the market time for which they were asked (None: now), `quotes` are the latest ones (None: not read),
    `sessions` the exchange's around then (empty: not read), `assets` what the broker says of the symbols (None: not
    read).
    """

    bar_at: datetime
    frames: Mapping[str, pd.DataFrame] = field(compare=False)
    as_of: datetime | None = None
    quotes: Mapping[str, BrokerQuote] | None = None
    sessions: tuple[MarketSession, ...] = ()
    assets: Mapping[str, BrokerAsset] | None = None


@dataclass(frozen=True)
class TargetsComputed:
    """The strategy's target weights of a bar: shares of the capital by symbol; an absent symbol keeps what it has."""

    bar: str
    weights: Mapping[str, Decimal]


@dataclass(frozen=True)
class TargetsFailed:
    """The strategy raised an error, or took too long."""

    bar: str
    reason: str


@dataclass(frozen=True)
class BarsFailed:
    """The bars could not be read."""

    reason: str


@dataclass(frozen=True)
class SnapshotTaken:
    """The broker's books were read; asked for at `asked_at` (machine time; None: nobody knows)."""

    snapshot: BrokerSnapshot
    asked_at: datetime | None = None


@dataclass(frozen=True)
class SnapshotFailed:
    """The broker's books could not be read: counts as unclean."""

    reason: str


@dataclass(frozen=True)
class FiguresRead:
    """The account's money was read; asked for at `asked_at` (machine time; None: nobody knows)."""

    figures: BrokerFigures
    asked_at: datetime | None = None


@dataclass(frozen=True)
class TradeUpdate:
    """The broker said something of an order, by its stream."""

    event: str
    order: BrokerOrder


@dataclass(frozen=True)
class SubmitAcknowledged:
    """The broker took an order."""

    order: BrokerOrder


@dataclass(frozen=True)
class SubmitRejected:
    """The broker refused an order for good."""

    client_order_id: str
    message: str


@dataclass(frozen=True)
class SubmitWithheld:
    """A journaled order was kept back at the last moment: it has never left."""

    client_order_id: str
    reason: str


@dataclass(frozen=True)
class SubmitInDoubt:
    """No answer: the order may or may not be at the broker."""

    client_order_id: str
    message: str


@dataclass(frozen=True)
class CancelAccepted:
    """The broker took a cancel that was sent at `sent_at` (machine time); the order may be open for a moment more."""

    client_order_id: str
    sent_at: datetime


@dataclass(frozen=True)
class QueryAnswered:
    """The broker answered a question about an order; None when it knows no such order."""

    client_order_id: str
    order: BrokerOrder | None


@dataclass(frozen=True)
class StreamConnected:
    """Trade updates flow again; what was missed meanwhile must be read."""


@dataclass(frozen=True)
class StreamLost:
    """Trade updates have stopped."""

    reason: str


@dataclass(frozen=True)
class KeysRefused:
    """The broker refuses the keys (401); it is asked again by itself."""

    message: str


@dataclass(frozen=True)
class KeysAccepted:
    """The broker accepts the keys again."""


@dataclass(frozen=True)
class KillSeen:
    """The kill annotation is present, on `scope` TradingBot or BrokerAccount."""

    reason: str
    scope: str


@dataclass(frozen=True)
class PauseSeen:
    """Whether a pause is asked for."""

    paused: bool


@dataclass(frozen=True)
class BreakerResetAsked:
    """A person asks to close the circuit breaker; `request` is the reason, and tells one asking from another."""

    request: str


@dataclass(frozen=True)
class IncidentAcknowledged:
    """A person has seen the incident of that id; `by` is who or why."""

    incident: str
    by: str = ""


@dataclass(frozen=True)
class NoticeDelivered:
    """The receiver has taken a notice."""

    notice_id: str


@dataclass(frozen=True)
class NoticeUndelivered:
    """An attempt to deliver a notice failed."""

    notice_id: str
    error: str


@dataclass(frozen=True)
class PositionsAccepted:
    """A person says that the account is right as it is; `request` is why, and tells one asking from another."""

    request: str


@dataclass(frozen=True)
class EvaluationAsked:
    """A person asks for one evaluation at once; `request` tells one asking from another."""

    request: str


@dataclass(frozen=True)
class GrantSeen:
    """Whether the bot's own TradingBot grants it live trading under the digest and epoch it was started with.

    `max_capital` is the most it may hold, in account currency (None: its own capital); `why` says what is missing.
    """

    granted: bool
    max_capital: Decimal | None = None
    why: str = ""


@dataclass(frozen=True)
class BotDeleted:
    """The TradingBot is being deleted."""


@dataclass(frozen=True)
class ControlPlaneSeen:
    """The bot's own TradingBot could be read."""


@dataclass(frozen=True)
class Tick:
    """Time passed."""


Event = (
    ClockRead
    | BarsClosed
    | BarsFailed
    | TargetsComputed
    | TargetsFailed
    | KeysRefused
    | KeysAccepted
    | PositionsAccepted
    | SnapshotTaken
    | SnapshotFailed
    | FiguresRead
    | TradeUpdate
    | SubmitAcknowledged
    | SubmitRejected
    | SubmitWithheld
    | SubmitInDoubt
    | CancelAccepted
    | QueryAnswered
    | StreamConnected
    | StreamLost
    | KillSeen
    | PauseSeen
    | BreakerResetAsked
    | EvaluationAsked
    | IncidentAcknowledged
    | NoticeDelivered
    | NoticeUndelivered
    | GrantSeen
    | BotDeleted
    | ControlPlaneSeen
    | Tick
)
