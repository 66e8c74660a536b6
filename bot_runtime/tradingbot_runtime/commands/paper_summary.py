"""A paper bot's closed sessions as one judgement: what still blocks it, what is weak, and the figures behind that.

Reads nothing and decides nothing that counts: the operator's gate does, from evidence of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Final

from pydantic import Field

from tradingbot_api import SessionReport
from tradingbot_api.model import Amount, ObservedModel

_ZERO: Final = Decimal(0)
_HUNDRED: Final = Decimal(100)


@dataclass(frozen=True)
class Thresholds:
    """The defaults of a promotion gate."""

    sessions: int = 30
    trades: int = 30
    coverage_percent: Decimal = Decimal(95)
    """Of a session that counts."""
    clean_sessions_in_a_row: int = 5
    reconciliation_rate_percent: Decimal = Decimal("99.5")
    operational_error_rate_percent: Decimal = Decimal(2)
    profit: Decimal = _ZERO
    """Must be more."""
    max_drawdown_percent: Decimal = Decimal(15)
    execution_quality: Decimal = Decimal(70)
    slippage_bps: Decimal = Decimal(25)
    fill_rate_percent: Decimal = Decimal(95)


DEFAULTS: Final = Thresholds()


class ExecutionQuality(ObservedModel):
    """How well orders were carried out."""

    score: Amount | None = None
    """100 - 1.5 max(0, slippage in bps - 5) - 200 (1 - fill rate), from 0 to 100; None without a fill."""
    slippage_bps: Amount | None = None
    """Cost against the prices at decision, weighted by turnover."""
    fill_rate_percent: Amount | None = None
    """Value filled of what was ordered, weighted by orders."""


class SummaryMetrics(ObservedModel):
    """Sums over all closed sessions that were looked at."""

    sessions: Annotated[int, Field(ge=0)]
    """Closed sessions."""
    counted_sessions: Annotated[int, Field(ge=0)]
    """Those of them that were covered enough and closed normally."""
    clean_sessions_in_a_row: Annotated[int, Field(ge=0)]
    """Sessions without a mismatch or a failed comparison, back from the last one."""
    trades: Annotated[int, Field(ge=0)]
    """Orders filled completely."""
    orders: Annotated[int, Field(ge=0)]
    """Orders sent."""
    fills: Annotated[int, Field(ge=0)]
    """Single fills."""
    rejected_orders: Annotated[int, Field(ge=0)]
    """Orders that the broker refused."""
    refused_orders: Annotated[int, Field(ge=0)]
    """Orders that the bot's own gateway refused."""
    coverage_percent: Amount | None = None
    """Mean over the sessions."""
    pnl: Amount
    """Profit and loss after costs, in account currency."""
    return_percent: Amount
    """The sum of the sessions' returns on the bot's capital."""
    shadow_return_percent: Amount
    """What the same decisions would have returned at the prices they were made at."""
    max_drawdown_percent: Amount
    """The deepest fall of the summed returns from their highest, at sessions' ends."""
    turnover: Amount
    """Value of all fills."""
    reconciliation_rate_percent: Amount | None = None
    """Clean comparisons with the broker of all; None without one."""
    operational_error_rate_percent: Amount | None = None
    """Calls and evaluations that failed of all; None without one."""
    incidents: Annotated[int, Field(ge=0)]
    """Incidents opened in the sessions."""
    open_incidents: Annotated[int, Field(ge=0)]
    """Incidents that are not resolved now."""
    dead_letters: Annotated[int, Field(ge=0)]
    """Notices that nobody took."""


class PaperTradingSummary(ObservedModel):
    """The document `paper_trading_summary.json`."""

    generated_at: str
    """When (machine time)."""
    bot_uid: str
    """UID of the TradingBot."""
    mode: str
    """paper or live."""
    first_session: str | None = None
    """Date of the oldest session that was looked at."""
    last_session: str | None = None
    """Date of the newest."""
    ready: bool
    """Whether nothing blocks."""
    blockers: list[str]
    """What is not reached of what must be, each with figure and threshold."""
    warnings: list[str]
    """What is weak, each with figure and threshold."""
    metrics: SummaryMetrics
    """The figures."""
    execution_quality: ExecutionQuality
    """How well orders were carried out."""


@dataclass(frozen=True)
class Standing:
    """What is so now, beside the sessions."""

    killed: bool
    open_incidents: Sequence[str]
    """Their names."""
    dead_letters: int


def summary_of(
    reports: Sequence[SessionReport],
    standing: Standing,
    *,
    bot_uid: str,
    mode: str,
    generated_at: str,
    thresholds: Thresholds = DEFAULTS,
) -> PaperTradingSummary:
    """The summary of sessions, oldest first."""
    metrics = _metrics(reports, standing, thresholds)
    quality = quality_of(reports)
    blockers = _blockers(metrics, standing, thresholds)
    return PaperTradingSummary(
        generated_at=generated_at,
        bot_uid=bot_uid,
        mode=mode,
        first_session=reports[0].session if reports else None,
        last_session=reports[-1].session if reports else None,
        ready=not blockers,
        blockers=blockers,
        warnings=_warnings(metrics, quality, thresholds),
        metrics=metrics,
        execution_quality=quality,
    )


def since(reports: Sequence[SessionReport], days: int | None) -> list[SessionReport]:
    """The sessions of the last `days` days, counted back from the newest session's; all without a number."""
    if days is None or not reports:
        return list(reports)
    first = date.fromisoformat(reports[-1].session) - timedelta(days=days - 1)
    return [report for report in reports if report.session >= first.isoformat()]


def quality_of(reports: Sequence[SessionReport]) -> ExecutionQuality:
    """How well orders were carried out over sessions."""
    slippage = _weighted([(one.slippage_bps, one.turnover) for one in reports])
    rate = _weighted([(one.fill_rate_percent, Decimal(one.orders)) for one in reports])
    if slippage is None or rate is None:
        return ExecutionQuality(slippage_bps=_rounded(slippage), fill_rate_percent=_rounded(rate))
    score = _HUNDRED - Decimal("1.5") * max(_ZERO, slippage - 5) - 200 * (1 - rate / _HUNDRED)
    return ExecutionQuality(
        score=_rounded(min(max(score, _ZERO), _HUNDRED)),
        slippage_bps=_rounded(slippage),
        fill_rate_percent=_rounded(rate),
    )


def _metrics(reports: Sequence[SessionReport], standing: Standing, thresholds: Thresholds) -> SummaryMetrics:
    clean = sum(one.reconciliations.clean for one in reports)
    compared = clean + sum(one.reconciliations.mismatch + one.reconciliations.failed for one in reports)
    operations = sum(one.operations for one in reports)
    return SummaryMetrics(
        sessions=len(reports),
        counted_sessions=sum(1 for one in reports if _counts(one, thresholds)),
        clean_sessions_in_a_row=_clean_in_a_row(reports),
        trades=sum(one.filled_orders for one in reports),
        orders=sum(one.orders for one in reports),
        fills=sum(one.fills for one in reports),
        rejected_orders=sum(one.rejected_orders for one in reports),
        refused_orders=sum(one.refused_orders for one in reports),
        coverage_percent=_rounded(_weighted([(one.coverage_percent, Decimal(1)) for one in reports])),
        pnl=sum((one.pnl for one in reports), _ZERO),
        return_percent=sum((one.return_percent for one in reports), _ZERO),
        shadow_return_percent=sum((one.shadow_return_percent for one in reports), _ZERO),
        max_drawdown_percent=_max_drawdown(reports),
        turnover=sum((one.turnover for one in reports), _ZERO),
        reconciliation_rate_percent=_rounded(_share(clean, compared)),
        operational_error_rate_percent=_rounded(_share(sum(one.operational_errors for one in reports), operations)),
        incidents=sum(one.incidents for one in reports),
        open_incidents=len(standing.open_incidents),
        dead_letters=standing.dead_letters,
    )


def _counts(report: SessionReport, thresholds: Thresholds) -> bool:
    return report.closed_normally and report.coverage_percent >= thresholds.coverage_percent


def _is_clean(report: SessionReport) -> bool:
    runs = report.reconciliations
    return runs.clean > 0 and runs.mismatch == 0 and runs.failed == 0


def _clean_in_a_row(reports: Sequence[SessionReport]) -> int:
    count = 0
    for report in reversed(reports):
        if not _is_clean(report):
            break
        count += 1
    return count


def _max_drawdown(reports: Sequence[SessionReport]) -> Decimal:
    total = peak = deepest = _ZERO
    for report in reports:
        total += report.return_percent
        peak = max(peak, total)
        deepest = max(deepest, peak - total)
    return deepest


def _blockers(metrics: SummaryMetrics, standing: Standing, limits: Thresholds) -> list[str]:
    found: list[str] = []
    _at_least(found, "PaperSessions", metrics.counted_sessions, limits.sessions)
    _at_least(found, "PaperTrades", metrics.trades, limits.trades)
    _at_least(found, "CleanReconciliationSessions", metrics.clean_sessions_in_a_row, limits.clean_sessions_in_a_row)
    _at_least(
        found, "ReconciliationRate", metrics.reconciliation_rate_percent, limits.reconciliation_rate_percent, " %"
    )
    _at_most(
        found,
        "OperationalErrorRate",
        metrics.operational_error_rate_percent,
        limits.operational_error_rate_percent,
        " %",
    )
    if standing.open_incidents:
        found.append(f"NoOpenIncident: {', '.join(standing.open_incidents)[:200]}")
    if standing.killed:
        found.append("NotKilled: a kill is in force")
    return found


def _warnings(metrics: SummaryMetrics, quality: ExecutionQuality, limits: Thresholds) -> list[str]:
    found: list[str] = []
    if metrics.pnl <= limits.profit:
        found.append(f"PaperProfit: {metrics.pnl:f}, more than {limits.profit:f} is needed")
    _at_most(found, "PaperMaxDrawdown", metrics.max_drawdown_percent, limits.max_drawdown_percent, " %")
    _at_least(found, "ExecutionQuality", quality.score, limits.execution_quality)
    _at_most(found, "AverageSlippage", quality.slippage_bps, limits.slippage_bps, " bps")
    _at_least(found, "FillRate", quality.fill_rate_percent, limits.fill_rate_percent, " %")
    if metrics.dead_letters:
        found.append(f"Notices: {metrics.dead_letters} could not be delivered")
    return found


def _at_least(found: list[str], name: str, value: int | Decimal | None, limit: int | Decimal, unit: str = "") -> None:
    if value is None:
        found.append(f"{name}: not known yet, at least {limit}{unit} is needed")
    elif value < limit:
        found.append(f"{name}: {value}{unit}, at least {limit}{unit} is needed")


def _at_most(found: list[str], name: str, value: int | Decimal | None, limit: int | Decimal, unit: str = "") -> None:
    if value is None:
        found.append(f"{name}: not known yet, at most {limit}{unit} is allowed")
    elif value > limit:
        found.append(f"{name}: {value}{unit}, at most {limit}{unit} is allowed")


def _weighted(values: Sequence[tuple[Decimal | None, Decimal]]) -> Decimal | None:
    known = [(value, weight) for value, weight in values if value is not None and weight > 0]
    total = sum((weight for _, weight in known), _ZERO)
    return sum((value * weight for value, weight in known), _ZERO) / total if total else None


def _share(part: int, whole: int) -> Decimal | None:
    return Decimal(part) / Decimal(whole) * _HUNDRED if whole else None


def _rounded(value: Decimal | None) -> Decimal | None:
    return None if value is None else value.quantize(Decimal("0.01"))
