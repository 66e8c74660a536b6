"""What a bot says of one exchange session once it is over: evidence for its promotion. Never changed afterwards.

The runtime writes it into its journal and serves it at `/sessions`. Times are RFC 3339 in UTC; money is a decimal
string.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tradingbot_api.model import Amount, ObjectName, ObservedModel
from tradingbot_api.runtime_report import Time


class ReconciliationCounts(ObservedModel):
    """Comparisons with the broker's books in the session, by what came of them."""

    clean: Annotated[int, Field(ge=0)] = 0
    """Nothing differed."""
    mismatch: Annotated[int, Field(ge=0)] = 0
    """Something differed twice in a row."""
    failed: Annotated[int, Field(ge=0)] = 0
    """The broker's books could not be read."""


class SessionReport(ObservedModel):
    """One closed session of one bot."""

    session: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    """Date of the session in New York."""
    namespace: ObjectName
    """Namespace of the bot."""
    name: ObjectName
    """Name of the bot."""
    uid: Annotated[str, Field(max_length=64)]
    """UID of the TradingBot."""
    mode: Annotated[str, Field(max_length=8)]
    """paper or live."""
    account: ObjectName
    """Name of the BrokerAccount."""
    opens_at: Time
    """The exchange's open (market time)."""
    closes_at: Time
    """The exchange's close (market time)."""
    began_at: Time = ""
    """When the bot first saw the session open (machine time); empty where an older runtime did not note it."""
    coverage_percent: Amount
    """Share of the session in which the bot was ready to act."""
    closed_normally: bool
    """Whether the books were compared with the broker's after the close, by the bot that saw it."""
    starts: Annotated[int, Field(ge=0)]
    """How often the bot's process started during the session."""
    orders: Annotated[int, Field(ge=0)]
    """Orders sent."""
    filled_orders: Annotated[int, Field(ge=0)]
    """Orders filled completely: the session's trades."""
    fills: Annotated[int, Field(ge=0)]
    """Single fills."""
    rejected_orders: Annotated[int, Field(ge=0)]
    """Orders that the broker refused."""
    refused_orders: Annotated[int, Field(ge=0)]
    """Orders that the bot's own gateway refused."""
    pnl: Amount
    """Profit or loss of the session, realised and not, dividends included."""
    return_percent: Amount
    """`pnl` in percent of the bot's capital."""
    shadow_return_percent: Amount
    """What the same decisions would have returned at the prices they were made at, filled at once and whole."""
    slippage_bps: Amount | None = None
    """Cost of the fills against the prices at which the orders were decided, in basis points, weighted by value;
    negative is better than decided. None without a fill."""
    fill_rate_percent: Amount | None = None
    """Value filled of what was ordered, over the orders that ended in the session. None where none ended."""
    turnover: Amount
    """Value of all fills."""
    reconciliations: ReconciliationCounts = ReconciliationCounts()
    """Comparisons with the broker."""
    operations: Annotated[int, Field(ge=0)]
    """Calls to the broker and evaluations that were tried."""
    operational_errors: Annotated[int, Field(ge=0)]
    """Those of them that failed."""
    incidents: Annotated[int, Field(ge=0)]
    """Incidents opened."""
    killed: bool
    """Whether a kill was in force at its end."""


class ClosedSession(ObservedModel):
    """A session report with its place in the bot's journal."""

    report: SessionReport
    """The report."""
    digest: Annotated[str, Field(max_length=64)]
    """sha256 over the report as it was journaled and the place below: proves that it is this one, of this journal."""
    journal_sequence: Annotated[int, Field(ge=0)]
    """Number of the last journal line before the one that closed the session."""
    journal_hash: Annotated[str, Field(max_length=64)]
    """Hash of that line: it stands for every line before it."""


class ClosedSessions(ObservedModel):
    """The body of `/sessions`."""

    sessions: Annotated[list[ClosedSession], Field(max_length=400)] = Field(default_factory=list)
    """Closed sessions, oldest first."""


class AuditResult(StrEnum):
    """What an audit found."""

    MATCH = "Match"
    """The broker's record says the same as the bot."""
    MISMATCH = "Mismatch"
    """It says something else."""
    UNKNOWN = "Unknown"
    """The broker, or the session's report, could not be read: try again."""


class AuditDifference(ObservedModel):
    """One figure on which bot and broker do not agree."""

    what: Annotated[str, Field(max_length=100)]
    """The figure, with the order or symbol it is about."""
    reported: Annotated[str, Field(max_length=100)]
    """The bot's side."""
    broker: Annotated[str, Field(max_length=100)]
    """The broker's side."""


class AuditReport(ObservedModel):
    """A session as reported against the broker's own record of it."""

    session: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    """Date of the session in New York."""
    result: AuditResult
    """Match, Mismatch or Unknown."""
    message: Annotated[str, Field(max_length=300)] = ""
    """Why it is unknown, or how many more differences there are than are listed."""
    differences: Annotated[list[AuditDifference], Field(max_length=20)] = Field(default_factory=list)
    """What differs, with both sides; bounded."""
    not_compared: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=5)] = Field(
        default_factory=list
    )
    """Figures that cannot be derived from the broker's record of this session, and why."""


class AuditReports(ObservedModel):
    """What `tradingbot audit` prints, and, shortened to 4096 bytes, its termination message."""

    uid: Annotated[str, Field(max_length=64)]
    """UID of the TradingBot."""
    mode: Annotated[str, Field(max_length=8)]
    """paper or live."""
    audits: Annotated[list[AuditReport], Field(max_length=400)] = Field(default_factory=list)
    """One for each session that was asked for."""
