"""What the core asks for. Whoever carries them out first commits every Journal of one decision, all in one
transaction, and only then does the rest, in order."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import pandas as pd

from tradingbot_runtime.core.kill import KillState
from tradingbot_runtime.core.orders import Fill, Order
from tradingbot_runtime.core.records import PutIncident, PutNotice, PutSession


@dataclass(frozen=True)
class PutOrder:
    """The order's newest state."""

    order: Order


@dataclass(frozen=True)
class PutFill:
    """A new fill."""

    fill: Fill


@dataclass(frozen=True)
class PutKill:
    """The kill latch's newest state."""

    kill: KillState


@dataclass(frozen=True)
class PutCheckpoint:
    """A small document of the engine's, by name, as JSON text."""

    name: str
    document: str


Change = PutOrder | PutFill | PutKill | PutCheckpoint | PutSession | PutIncident | PutNotice


@dataclass(frozen=True)
class Journal:
    """One line of the journal, with the changes of state that stand or fall with it."""

    kind: str
    detail: Mapping[str, str] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class SubmitOrder:
    """Send this order, once, under its own id, if `Engine.may_send` still says so at the last moment."""

    order: Order


@dataclass(frozen=True)
class ReplaceOrder:
    """Ask the broker, once, to put this order in the place of the one it knows as `broker_id`.

    Outcomes come back as those of a SubmitOrder, under the new order's id.
    """

    order: Order
    broker_id: str


@dataclass(frozen=True)
class QueryOrder:
    """Ask the broker about an order by its client_order_id, not before `after_seconds` of machine time.

    An answer comes back as QueryAnswered; no answer, as SubmitInDoubt, and the core asks again.
    """

    client_order_id: str
    after_seconds: float = 0.0


@dataclass(frozen=True)
class CancelOrder:
    """Cancel one order at the broker; safe to repeat."""

    client_order_id: str
    broker_id: str


@dataclass(frozen=True)
class ClosePosition:
    """Ask the broker to close what it holds of a symbol, at most `qty` shares; it never oversells."""

    symbol: str
    qty: str


@dataclass(frozen=True)
class TakeSnapshot:
    """Read the broker's books: figures, positions, all open orders, and every order whose client_order_id begins
    with `prefix` and that was created after `since` (market time; None: ever). With `activities_since`, also what
    happened to the account without an order from then on."""

    reason: str
    prefix: str
    since: datetime | None = None
    activities_since: datetime | None = None
    urgent: bool = False
    """Whether a kill waits for it: then it must not wait behind other reads."""
    symbols: tuple[str, ...] = ()
    """Of the orders that are no longer open, only those of these symbols; empty: of all."""


@dataclass(frozen=True)
class ReadBars:
    """Read the last bars of every symbol."""


@dataclass(frozen=True)
class Evaluate:
    """Ask the strategy for its targets of a bar, apart from the engine's thread, and no longer than is sensible.

    Comes back as TargetsComputed or TargetsFailed.
    """

    bar: str
    frames: Mapping[str, pd.DataFrame] = field(compare=False)


@dataclass(frozen=True)
class KillStep:
    """A kill has reached a step (see core/kill.py), `seconds` of machine time after it was seen: measured."""

    step: str
    seconds: float


@dataclass(frozen=True)
class Notice:
    """Something a person should know: a log line, counted."""

    severity: str
    name: str
    message: str


Command = (
    Journal
    | SubmitOrder
    | ReplaceOrder
    | QueryOrder
    | CancelOrder
    | ClosePosition
    | TakeSnapshot
    | ReadBars
    | Evaluate
    | KillStep
    | Notice
)
