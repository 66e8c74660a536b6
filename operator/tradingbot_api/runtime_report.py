"""What a bot says of itself: the body of its `/status`, and its last words when it cannot run.

The runtime writes these, the operator reads them. Times are RFC 3339 in UTC; money is a decimal string.
"""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from tradingbot_api.model import Amount, ObjectName, ObservedModel, Symbol

EX_CONFIG: Final = 78
"""Exit code of a runtime whose config is wrong (sysexits.h): a restart does not help, a spec change does."""

EX_STATE: Final = 65
"""Exit code of a runtime whose state volume cannot be used: corrupt, locked by another, or read-only."""

Time = Annotated[str, Field(max_length=40)]
Text = Annotated[str, Field(max_length=1024)]


class TradingState(StrEnum):
    """Whether orders may be sent."""

    ACTIVE = "Active"
    REDUCING = "Reducing"
    HALTED = "Halted"


class TerminationMessage(ObservedModel):
    """Last words of a runtime that cannot run, as JSON in the container's termination message."""

    reason: Annotated[str, Field(max_length=128)]
    """One CamelCase word: InvalidStrategyParameters, UnknownStrategy, StateLocked."""
    message: Text
    """What is wrong, the field it is in, and what to do."""


class KillReport(ObservedModel):
    """How far a kill is. A time is there only once the broker itself confirmed the step."""

    epoch: Annotated[int, Field(ge=0)] = 0
    """Number of the kill, as its KillRecord has it; 0 from a runtime that did not count them."""
    reason: Text = ""
    """The annotation's value."""
    message: Text = ""
    """What it waits for, or how it ended; while the market is closed, that closings are queued for the open."""
    scope: Annotated[str, Field(max_length=32)] = "TradingBot"
    """Where it was asked for: TradingBot, BrokerAccount or File; KillRecord where the operator told the bot."""
    observed_at: Time
    """When the bot saw the kill and stopped opening exposure (machine time); in a TradingBot's status, when the
    operator saw it, until the bot has said so."""
    orders_cancelled_at: Time | None = None
    """When the broker confirmed that no order of this bot is open."""
    flat_at: Time | None = None
    """With onKill: Flatten, when the broker confirmed that no position of this bot is left."""
    open_orders: Annotated[int, Field(ge=0)] | None = None
    """Orders of this bot that the broker last said are open."""
    open_positions: Annotated[int, Field(ge=0)] | None = None
    """Positions of this bot that the broker last said are held."""


class DeletionReport(ObservedModel):
    """How far a deletion, or a withdrawal from live trading, is. A time is there only once the broker itself confirmed
    the step."""

    on_delete: Annotated[str, Field(max_length=32)]
    """What the bot does: CancelOrders, Flatten or Keep, as in the config it was started with."""
    observed_at: Time
    """When the bot saw that it is being deleted, or may no longer trade live (machine time)."""
    orders_cancelled_at: Time | None = None
    """When the broker confirmed that no order of this bot is open; never with Keep."""
    flat_at: Time | None = None
    """With Flatten, when the broker confirmed that no position of this bot is left."""
    open_orders: Annotated[int, Field(ge=0)] | None = None
    """Orders of this bot that the broker last said are open."""
    open_positions: Annotated[int, Field(ge=0)] | None = None
    """Positions of this bot that the broker last said are held."""


class FlattenStep(ObservedModel):
    """One thing that was done or learned on the way."""

    at: Time
    """When (machine time)."""
    what: Annotated[str, Field(max_length=100)]
    """What, in a few words."""


class FlattenReport(ObservedModel):
    """What `tradingbot flatten` did without the bot's process: verified by the broker's own lists, or not confirmed.

    Its termination message, so it stays below 4096 bytes.
    """

    uid: Annotated[str, Field(max_length=64)]
    """UID of the TradingBot whose orders were cancelled."""
    mode: Annotated[str, Field(max_length=8)]
    """paper or live."""
    flatten: bool
    """Whether positions were to be closed, too."""
    confirmed: bool
    """Whether the broker itself says that nothing of it is left."""
    reason: Annotated[str, Field(max_length=32)]
    """Confirmed, QueuedForTheOpen, TimedOut or Interrupted."""
    message: Text = ""
    """The same for a person, with what is left; the last error where there was one."""
    started_at: Time
    """When it began (machine time)."""
    ended_at: Time
    """When it ended (machine time)."""
    orders_cancelled_at: Time | None = None
    """When the broker confirmed that no order of this bot is open."""
    flat_at: Time | None = None
    """When the broker confirmed that no position of this bot is left."""
    orders_before: Annotated[int, Field(ge=0)] | None = None
    """Orders of this bot that were open when it began, legs included; None: the broker could not be read."""
    positions_before: Annotated[int, Field(ge=0)] | None = None
    """Positions in the bot's symbols when it began; None: not read."""
    open_orders: Annotated[int, Field(ge=0)] | None = None
    """Orders of this bot that the broker last said are open."""
    open_positions: Annotated[int, Field(ge=0)] | None = None
    """Positions in the bot's symbols that the broker last said are held."""
    cancels_asked: Annotated[int, Field(ge=0)] = 0
    """Cancels that were asked for."""
    closes_asked: Annotated[int, Field(ge=0)] = 0
    """Closings that were asked for."""
    left: Annotated[list[Annotated[str, Field(max_length=80)]], Field(max_length=8)] = Field(default_factory=list)
    """What is left, each with what is known of it; bounded."""
    steps: Annotated[list[FlattenStep], Field(max_length=10)] = Field(default_factory=list)
    """What was done when; bounded."""


class AccountReport(ObservedModel):
    """The broker account's figures."""

    equity: Amount
    """Cash plus the market value of positions."""
    cash: Amount
    """Cash."""
    day_pnl: Amount
    """Equity less the equity at the last session's close."""


class PositionReport(ObservedModel):
    """One holding of the bot."""

    symbol: Symbol
    """The symbol."""
    qty: Amount
    """Shares; negative is short."""
    average_entry_price: Amount
    """Average price paid for a share."""
    market_value: Amount | None = None
    """Shares times the last price seen."""


class OrderReport(ObservedModel):
    """One order of the bot."""

    client_order_id: Annotated[str, Field(max_length=128)]
    """The bot's own id, never used twice."""
    symbol: Symbol
    """The symbol."""
    side: Annotated[str, Field(max_length=8)]
    """buy or sell."""
    type: Annotated[str, Field(max_length=16)]
    """market or limit."""
    qty: Amount
    """Shares asked for."""
    limit_price: Amount | None = None
    """Limit price of a limit order."""
    filled_qty: Amount
    """Shares filled."""
    filled_average_price: Amount | None = None
    """Average price of the fills."""
    status: Annotated[str, Field(max_length=32)]
    """The order's state in the bot's books: Alpaca's words, or in_doubt."""
    created_at: Time
    """When the order was decided (market time)."""


class ReconciliationReport(ObservedModel):
    """One comparison of the bot's books with the broker's."""

    at: Time
    """When (machine time)."""
    result: Annotated[str, Field(max_length=16)]
    """Clean, Mismatch or Failed."""
    differences: Annotated[list[Text], Field(max_length=20)] = Field(default_factory=list)
    """Each difference with both sides, bounded."""


class IncidentReport(ObservedModel):
    """Something a person has to look at."""

    id: Annotated[str, Field(max_length=64)]
    """What the annotation acknowledge-incident names."""
    name: Annotated[str, Field(max_length=64)]
    """The objective that is not kept; a page of the runbook has its name."""
    severity: Annotated[str, Field(max_length=16)]
    """warning, error or critical."""
    state: Annotated[str, Field(max_length=16)]
    """open or acknowledged."""
    opened_at: Time
    """When it began (machine time)."""
    acknowledge_by: Time
    """When it becomes a ticket if nobody has acknowledged it (machine time)."""
    message: Text = ""
    """What was measured, and what is allowed."""


class SessionMark(ObservedModel):
    """The newest closed session, so that whoever collects sessions knows when to ask for them."""

    session: Annotated[str, Field(max_length=10)]
    """Its date in New York."""
    digest: Annotated[str, Field(max_length=64)]
    """Its digest, as at `/sessions`."""


class RuntimeReport(ObservedModel):
    """The body of `/status`."""

    namespace: ObjectName
    """Namespace of the bot."""
    name: ObjectName
    """Name of the bot."""
    uid: Annotated[str, Field(max_length=64)]
    """UID of the TradingBot this process runs."""
    mode: Annotated[str, Field(max_length=8)]
    """paper or live."""
    version: Annotated[str, Field(max_length=64)]
    """Version of the runtime."""
    started_at: Time
    """When the process started (machine time)."""
    market_time: Time | None = None
    """The broker's clock, as last read."""
    market_open: bool | None = None
    """Whether the market is open, as last read."""
    ready: bool
    """Reconciled with the broker and able to act on the next bar."""
    trading_state: TradingState
    """Active, Reducing or Halted."""
    reason: Annotated[str, Field(max_length=128)] = ""
    """Why the state is not Active, or why the bot is not ready: one CamelCase word."""
    message: Text = ""
    """The same for a person."""
    paused: bool = False
    """Whether a pause is in force."""
    broker_connected: bool = False
    """Whether the last call to the broker was answered."""
    stream_connected: bool = False
    """Whether trade updates are being received."""
    kill: KillReport | None = None
    """The kill in force, if any."""
    deletion: DeletionReport | None = None
    """What the deletion asks and how far it is, once the bot has seen that it is being deleted."""
    account: AccountReport | None = None
    """The broker account's figures."""
    positions: Annotated[list[PositionReport], Field(max_length=100)] = Field(default_factory=list)
    """What the bot holds by its own books."""
    recent_orders: Annotated[list[OrderReport], Field(max_length=50)] = Field(default_factory=list)
    """The last orders, newest first."""
    open_orders: Annotated[int, Field(ge=0)] = 0
    """Orders not in a terminal state."""
    filled_orders: Annotated[int, Field(ge=0)] = 0
    """Orders filled since the state began."""
    last_bar_at: Time | None = None
    """Start of the newest bar the strategy saw (market time)."""
    last_reconciliation: ReconciliationReport | None = None
    """The last comparison with the broker."""
    incidents: Annotated[list[IncidentReport], Field(max_length=20)] = Field(default_factory=list)
    """Incidents that are not resolved, oldest first."""
    last_session: SessionMark | None = None
    """The newest closed session; None before the first."""
    breaker: Annotated[str, Field(max_length=64)] = ""
    """Why the circuit breaker is open, in one word; empty while it is closed."""
    grant_epoch: Annotated[int, Field(ge=1)] | None = None
    """Number of the grant that the process sees in its TradingBot and trades under; None on paper, and without one."""
    withdrawal: DeletionReport | None = None
    """How far the bot is in leaving live trading, once it has seen that its grant is gone."""
