"""The checks of a PromotionGate: each with a threshold, a kind and a weight, and defaults that are safe as they are.

What can never be weighed or left out has no `kind`: a bot whose books are doubtful never trades real money.
"""

from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tradingbot_api.model import ApiModel, Percent, Probability, Ratio, Span, ZeroOrPercent

_UNIT = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def span(text: str) -> timedelta:
    """The length of time that a Span such as 30d means."""
    return int(text[:-1]) * _UNIT[text[-1]]


class CheckKind(StrEnum):
    """What a check that does not pass means for the verdict."""

    BLOCKING = "Blocking"
    WEIGHTED = "Weighted"
    NOT_APPLICABLE = "NotApplicable"


class Drill(StrEnum):
    """A fault that is put into a running bot on paper, to see that its invariants hold."""

    KILL = "Kill"
    RESTART = "Restart"
    BROKER_OUTAGE = "BrokerOutage"
    BROKER_REFUSES_KEYS = "BrokerRefusesKeys"
    RATE_LIMIT = "RateLimit"
    TRADE_UPDATES_LOST = "TradeUpdatesLost"
    STALE_DATA = "StaleData"
    CONTROL_PLANE_LOSS = "ControlPlaneLoss"
    STATE_UNWRITABLE = "StateUnwritable"


DEFAULT_DRILLS = (Drill.KILL, Drill.RESTART, Drill.BROKER_OUTAGE, Drill.TRADE_UPDATES_LOST, Drill.CONTROL_PLANE_LOSS)

Weight = Annotated[int, Field(ge=1, le=1000)]


class BlockingCheck(ApiModel):
    """A check that, unless the gate says otherwise, must pass."""

    kind: CheckKind = CheckKind.BLOCKING
    """Blocking: not passed is NO-GO. Weighted: it counts with its weight. NotApplicable: it is not looked at."""
    weight: Weight = 10
    """Its share of the score where kind is Weighted."""


class WeightedCheck(ApiModel):
    """A check that, unless the gate says otherwise, counts with a weight."""

    kind: CheckKind = CheckKind.WEIGHTED
    """Weighted: it counts with its weight. Blocking: not passed is NO-GO. NotApplicable: it is not looked at."""
    weight: Weight = 10
    """Its share of the score where kind is Weighted: score = passed weight / weight of all weighted checks."""


class PaperSessions(BlockingCheck):
    """Counted sessions on paper under the present subject."""

    minimum: Annotated[int, Field(ge=1, le=400)] = 30
    """Closed exchange sessions that must count. No more than 400 are kept."""
    max_age: Span = "180d"
    """Sessions older than this do not count. It must leave room for `minimum` sessions."""


class PaperTrades(BlockingCheck):
    """Trades in the counted sessions."""

    minimum: Annotated[int, Field(ge=1, le=1_000_000)] = 30
    """Trades that must have been made."""


class CleanReconciliationSessions(ApiModel):
    """The last sessions in a row without a mismatch. Always Blocking."""

    minimum: Annotated[int, Field(ge=1, le=1000)] = 5
    """Sessions in a row, up to the last."""


class ReconciliationRate(BlockingCheck):
    """Comparisons of the bot's books with the broker's that found no mismatch."""

    minimum_percent: Percent = Decimal("99.5")
    """Share of all comparisons in the counted sessions, in percent."""


class OperationalErrorRate(BlockingCheck):
    """Cycles that ended in an operational error."""

    maximum_percent: ZeroOrPercent = Decimal("2")
    """Share of all cycles in the counted sessions, in percent."""


class ValidationArtifacts(BlockingCheck):
    """A validation whose artifacts are stored, with matching hashes, and pinned to code and parameters."""

    max_age: Span = "90d"
    """A validation older than this is stale."""


class RequiredDrills(BlockingCheck):
    """Drills that must have been passed."""

    drills: Annotated[
        list[Drill], Field(min_length=1, max_length=16, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = Field(default=list(DEFAULT_DRILLS))
    """Names of the drills, each once."""
    max_age: Span = "30d"
    """A drill older than this is stale."""


class Preflight(ApiModel):
    """The last look before real money: keys, account, clock, symbols, storage, notices. Always Blocking."""

    max_age: Span = "24h"
    """A preflight older than this is stale."""


class BacktestSharpe(WeightedCheck):
    """Annual Sharpe ratio of the backtest, after costs."""

    minimum: Ratio = Decimal("1.0")
    """The least it may be."""


class BacktestMaxDrawdown(WeightedCheck):
    """Largest drawdown of the backtest."""

    maximum_percent: Percent = Decimal("20")
    """The most it may be, in percent."""


class WalkForwardEfficiency(WeightedCheck):
    """Out-of-sample result of the walk-forward, as a share of the in-sample result."""

    weight: Weight = 15
    """Its share of the score where kind is Weighted."""
    minimum_percent: Percent = Decimal("50")
    """The least it may be, in percent."""


class OverfitRatio(WeightedCheck):
    """In-sample result over out-of-sample result."""

    weight: Weight = 5
    """Its share of the score where kind is Weighted."""
    maximum: Ratio = Decimal("2.0")
    """The most it may be."""


class StatisticalSignificance(WeightedCheck):
    """Whether the result is more than chance."""

    weight: Weight = 15
    """Its share of the score where kind is Weighted."""
    minimum_t: Ratio = Decimal("2")
    """The least t statistic of the mean return."""
    maximum_p: Probability = Decimal("0.05")
    """The p of the permutation test must be below this."""
    minimum_deflated_sharpe: Probability = Decimal("0.95")
    """The least probability that the Sharpe ratio is more than the best of all trials by luck."""


class PaperProfit(WeightedCheck):
    """Result of the counted sessions after costs."""

    weight: Weight = 15
    """Its share of the score where kind is Weighted."""
    above_percent: ZeroOrPercent = Decimal("0")
    """It must be above this, in percent of the capital."""


class PaperMaxDrawdown(WeightedCheck):
    """Largest drawdown over the counted sessions."""

    weight: Weight = 5
    """Its share of the score where kind is Weighted."""
    maximum_percent: Percent | None = None
    """The most it may be, in percent of the capital; the bot's own risk.maxDrawdownPercent when absent."""


class ExecutionQuality(WeightedCheck):
    """100 - 1.5 max(0, slippage in bps - 5) - 200 (1 - fill rate), from 0 to 100."""

    weight: Weight = 5
    """Its share of the score where kind is Weighted."""
    minimum: Annotated[int, Field(ge=1, le=100)] = 70
    """The least it may be."""


class AverageSlippage(WeightedCheck):
    """Average distance of fills from the price when the order was decided."""

    weight: Weight = 5
    """Its share of the score where kind is Weighted."""
    maximum_bps: Annotated[int, Field(ge=0, le=1000)] = 25
    """The most it may be, in basis points."""


class FillRate(WeightedCheck):
    """Shares filled of shares ordered."""

    weight: Weight = 5
    """Its share of the score where kind is Weighted."""
    minimum_percent: Percent = Decimal("95")
    """The least it may be, in percent."""


class ShadowDrift(WeightedCheck):
    """Distance between the paper result and that of a shadow that fills at the market's prices."""

    maximum_percent: Percent = Decimal("15")
    """The most it may be, in percent of paper's volatility-scaled return."""


class Checks(ApiModel):
    """Every check with a threshold. BrokerAudit, NoOpenIncident and NotKilled have none: they are always Blocking."""

    paper_sessions: PaperSessions = PaperSessions()
    """PaperSessions: closed exchange sessions that count. Blocking by default."""
    paper_trades: PaperTrades = PaperTrades()
    """PaperTrades: trades in the counted sessions. Blocking by default."""
    clean_reconciliation_sessions: CleanReconciliationSessions = CleanReconciliationSessions()
    """CleanReconciliationSessions: the last sessions in a row without a mismatch. Always Blocking."""
    reconciliation_rate: ReconciliationRate = ReconciliationRate()
    """ReconciliationRate: comparisons without a mismatch. Blocking by default."""
    operational_error_rate: OperationalErrorRate = OperationalErrorRate()
    """OperationalErrorRate: cycles that ended in an error. Blocking by default."""
    validation_artifacts: ValidationArtifacts = ValidationArtifacts()
    """ValidationArtifacts: a stored, pinned validation. Blocking by default."""
    required_drills: RequiredDrills = RequiredDrills()
    """RequiredDrills: faults the bot was seen to survive. Blocking by default."""
    preflight: Preflight = Preflight()
    """Preflight: the last look before real money. Always Blocking."""
    backtest_sharpe: BacktestSharpe = BacktestSharpe()
    """BacktestSharpe: annual Sharpe ratio of the backtest. Weighted by default."""
    backtest_max_drawdown: BacktestMaxDrawdown = BacktestMaxDrawdown()
    """BacktestMaxDrawdown: largest drawdown of the backtest. Weighted by default."""
    walk_forward_efficiency: WalkForwardEfficiency = WalkForwardEfficiency()
    """WalkForwardEfficiency: out-of-sample as a share of in-sample. Weighted by default."""
    overfit_ratio: OverfitRatio = OverfitRatio()
    """OverfitRatio: in-sample over out-of-sample. Weighted by default."""
    statistical_significance: StatisticalSignificance = StatisticalSignificance()
    """StatisticalSignificance: t statistic, permutation test, deflated Sharpe ratio. Weighted by default."""
    paper_profit: PaperProfit = PaperProfit()
    """PaperProfit: result of the counted sessions after costs. Weighted by default."""
    paper_max_drawdown: PaperMaxDrawdown = PaperMaxDrawdown()
    """PaperMaxDrawdown: largest drawdown over the counted sessions. Weighted by default."""
    execution_quality: ExecutionQuality = ExecutionQuality()
    """ExecutionQuality: slippage and fill rate as one figure. Weighted by default."""
    average_slippage: AverageSlippage = AverageSlippage()
    """AverageSlippage: in basis points. Weighted by default."""
    fill_rate: FillRate = FillRate()
    """FillRate: shares filled of shares ordered. Weighted by default."""
    shadow_drift: ShadowDrift = ShadowDrift()
    """ShadowDrift: distance from a shadow that fills at the market's prices. Weighted by default."""
