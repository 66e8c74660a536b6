"""Every check of a gate as a function of the evidence: a threshold from the gate, a figure from the ledger.

Pure and total. Must never pass on missing evidence.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from tradingbot_api import (
    CheckKind,
    Checks,
    CheckState,
    Drill,
    EvidenceType,
    SessionReport,
    TradingBotSpec,
    ValidationEvidence,
    span,
)
from tradingbot_api.gate_checks import BlockingCheck, WeightedCheck
from tradingbot_operator.promotion import figures
from tradingbot_operator.promotion.findings import Check, Finding, refs
from tradingbot_operator.promotion.ledger import Evidence, Ledger

_FEW = 3
_NOT_KEPT = "the files were not kept, or do not have their hashes: name spec.artifacts.claimName in a new ValidationRun"


@dataclass(frozen=True)
class Case:
    """All that the checks are judged by."""

    spec: TradingBotSpec
    ledger: Ledger
    now: datetime
    subject_is_known: bool
    incidents: tuple[str, ...] | None
    """Ids of open incidents; None while the bot does not say."""
    killed: bool | None
    """Whether a kill is in force; None while nobody knows."""

    @property
    def reports(self) -> list[SessionReport]:
        """The counted sessions, by date."""
        return [one.report for one in self.ledger.sessions]

    @property
    def session_refs(self) -> tuple[str, ...]:
        """The evidence the sessions are from."""
        return refs([one.evidence for one in self.ledger.sessions])


def all_checks(checks: Checks, case: Case) -> Iterator[Check]:
    """Every check, in the order of the checklist; what the gate has no kind for is always Blocking."""
    configured: tuple[tuple[str, BlockingCheck | WeightedCheck | None, Callable[[Checks, Case], Finding]], ...] = (
        ("PaperSessions", checks.paper_sessions, _paper_sessions),
        ("PaperTrades", checks.paper_trades, _paper_trades),
        ("CleanReconciliationSessions", None, _clean_reconciliation_sessions),
        ("BrokerAudit", None, _broker_audit),
        ("ReconciliationRate", checks.reconciliation_rate, _reconciliation_rate),
        ("OperationalErrorRate", checks.operational_error_rate, _error_rate),
        ("ValidationArtifacts", checks.validation_artifacts, _artifacts),
        ("RequiredDrills", checks.required_drills, _required_drills),
        ("Preflight", None, _preflight),
        ("NoOpenIncident", None, _no_open_incident),
        ("NotKilled", None, _not_killed),
        ("BacktestSharpe", checks.backtest_sharpe, _sharpe),
        ("BacktestMaxDrawdown", checks.backtest_max_drawdown, _drawdown),
        ("WalkForwardEfficiency", checks.walk_forward_efficiency, _forward),
        ("OverfitRatio", checks.overfit_ratio, _overfit),
        ("StatisticalSignificance", checks.statistical_significance, _significance),
        ("PaperProfit", checks.paper_profit, _paper_profit),
        ("PaperMaxDrawdown", checks.paper_max_drawdown, _paper_drawdown),
        ("ExecutionQuality", checks.execution_quality, _execution_quality),
        ("AverageSlippage", checks.average_slippage, _average_slippage),
        ("FillRate", checks.fill_rate, _fill_rate),
        ("ShadowDrift", checks.shadow_drift, _shadow_drift),
    )
    for name, check, judge in configured:
        kind = check.kind if check is not None else CheckKind.BLOCKING
        if kind is CheckKind.NOT_APPLICABLE:
            yield Check(name, kind, 0, Finding(CheckState.NOT_APPLICABLE, "", "", "the gate leaves it out"))
        else:
            weight = check.weight if check is not None and kind is CheckKind.WEIGHTED else 0
            yield Check(name, kind, weight, judge(checks, case))


# ---------------------------------------------------------------------- sessions


def _paper_sessions(checks: Checks, case: Case) -> Finding:
    counted, least = len(case.ledger.sessions), checks.paper_sessions.minimum
    threshold = f">= {least}"
    if not case.subject_is_known:
        return Finding(CheckState.UNKNOWN, str(counted), threshold, "the image is not known until a pod runs it")
    if counted >= least:
        return Finding(CheckState.PASS, str(counted), threshold, refs=case.session_refs)
    message = f"{least - counted} more sessions have to be traded on paper and confirmed by the broker's record"
    if case.ledger.unaudited:
        message += f"; {len(case.ledger.unaudited)} wait for their audit"
    void, why = case.ledger.why_not(EvidenceType.SESSION)
    message += f"; {void} do not count, the last {why}" if void else ""
    return Finding(CheckState.FAIL, str(counted), threshold, message, case.session_refs)


def _paper_trades(checks: Checks, case: Case) -> Finding:
    trades, least = sum(one.filled_orders for one in case.reports), checks.paper_trades.minimum
    made = Decimal(trades) if case.reports else None
    return _at_least(made, Decimal(least), case, f"{least - trades} more trades have to be made")


def _clean_reconciliation_sessions(checks: Checks, case: Case) -> Finding:
    least = checks.clean_reconciliation_sessions.minimum
    unclean = {one.report.session for one in case.ledger.unclean}
    days = sorted({*unclean, *(one.session for one in case.reports)})
    dirty = unclean | {one.session for one in case.reports if one.reconciliations.mismatch}
    in_a_row = 0
    for day in reversed(days):
        if day in dirty:
            break
        in_a_row += 1
    state = CheckState.PASS if in_a_row >= least else CheckState.FAIL
    message = "" if state is CheckState.PASS else f"{least - in_a_row} more sessions without any difference are needed"
    return Finding(state, str(in_a_row), f">= {least}", message, case.session_refs)


def _broker_audit(checks: Checks, case: Case) -> Finding:
    ledger, threshold = case.ledger, "every session matches"
    if ledger.mismatches:
        name, how = list(ledger.mismatches.items())[-1]
        observed = f"{len(ledger.mismatches)} contradicted"
        return Finding(CheckState.FAIL, observed, threshold, f"{name}: {how}", refs(list(ledger.mismatches)))
    if ledger.unaudited:
        message = "the audit of these sessions has not come to an end"
        return Finding(
            CheckState.UNKNOWN, f"{len(ledger.unaudited)} unaudited", threshold, message, refs([*ledger.unaudited])
        )
    if not ledger.sessions:
        return Finding(CheckState.UNKNOWN, "no session", threshold, "no session has been audited yet")
    return Finding(CheckState.PASS, f"{len(ledger.sessions)} match", threshold, refs=case.session_refs)


def _reconciliation_rate(checks: Checks, case: Case) -> Finding:
    rate = figures.reconciliation_rate_percent(case.reports)
    message = "the bot's books differed from the broker's, or could not be compared, too often"
    return _at_least(rate, checks.reconciliation_rate.minimum_percent, case, message, unit=" %")


def _error_rate(checks: Checks, case: Case) -> Finding:
    rate = figures.error_rate_percent(case.reports)
    return _at_most(rate, checks.operational_error_rate.maximum_percent, case, "too many operations failed", unit=" %")


def _paper_profit(checks: Checks, case: Case) -> Finding:
    result, above = figures.total_return_percent(case.reports), checks.paper_profit.above_percent
    threshold = f"> {_number(above)} %"
    if result is None:
        return Finding(CheckState.UNKNOWN, "no session", threshold, "no session counts yet")
    state = CheckState.PASS if result > above else CheckState.FAIL
    message = "" if result > above else "the bot has not earned enough on paper after costs"
    return Finding(state, f"{_number(result)} %", threshold, message, case.session_refs)


def _paper_drawdown(checks: Checks, case: Case) -> Finding:
    most = checks.paper_max_drawdown.maximum_percent or case.spec.risk.max_drawdown_percent
    drawdown = figures.max_drawdown_percent(case.reports)
    return _at_most(drawdown, most, case, "it fell too far from its highest point on paper", unit=" %")


def _execution_quality(checks: Checks, case: Case) -> Finding:
    quality, least = figures.execution_quality(case.reports), Decimal(checks.execution_quality.minimum)
    return _at_least(quality, least, case, "orders fill too dear or too seldom")


def _average_slippage(checks: Checks, case: Case) -> Finding:
    slippage, most = figures.slippage_bps(case.reports), Decimal(checks.average_slippage.maximum_bps)
    return _at_most(slippage, most, case, "fills are too far from the prices they were decided at", unit=" bps")


def _fill_rate(checks: Checks, case: Case) -> Finding:
    rate, least = figures.fill_rate_percent(case.reports), checks.fill_rate.minimum_percent
    return _at_least(rate, least, case, "too much of what was ordered was not filled", unit=" %")


def _shadow_drift(checks: Checks, case: Case) -> Finding:
    drift, most = figures.shadow_drift_percent(case.reports), checks.shadow_drift.maximum_percent
    return _at_most(drift, most, case, "what was traded earns something else than what was decided", unit=" %")


def _at_least(value: Decimal | None, least: Decimal, case: Case, message: str, *, unit: str = "") -> Finding:
    threshold = f">= {_number(least)}{unit}"
    if value is None:
        return Finding(CheckState.UNKNOWN, "no session", threshold, "no session counts yet that says it")
    state = CheckState.PASS if value >= least else CheckState.FAIL
    said = "" if state is CheckState.PASS else message
    return Finding(state, f"{_number(value)}{unit}", threshold, said, case.session_refs)


def _at_most(value: Decimal | None, most: Decimal, case: Case, message: str, *, unit: str = "") -> Finding:
    threshold = f"<= {_number(most)}{unit}"
    if value is None:
        return Finding(CheckState.UNKNOWN, "no session", threshold, "no session counts yet that says it")
    state = CheckState.PASS if value <= most else CheckState.FAIL
    said = "" if state is CheckState.PASS else message
    return Finding(state, f"{_number(value)}{unit}", threshold, said, case.session_refs)


# ---------------------------------------------------------------------- validation


def _artifacts(checks: Checks, case: Case) -> Finding:
    def judge(found: ValidationEvidence) -> tuple[bool, str, str]:
        held = found.artifacts_verified
        return held, f"{len(found.artifacts)} files", "" if held else _NOT_KEPT

    return _validated(checks, case, "stored, hashes match", judge)


def _sharpe(checks: Checks, case: Case) -> Finding:
    least = checks.backtest_sharpe.minimum
    return _validated(checks, case, f">= {_number(least)}", lambda found: _is(found.sharpe >= least, found.sharpe))


def _drawdown(checks: Checks, case: Case) -> Finding:
    most = checks.backtest_max_drawdown.maximum_percent
    return _validated(
        checks,
        case,
        f"<= {_number(most)} %",
        lambda found: _is(found.max_drawdown_percent <= most, found.max_drawdown_percent, " %"),
    )


def _forward(checks: Checks, case: Case) -> Finding:
    least = checks.walk_forward_efficiency.minimum_percent
    return _validated(
        checks,
        case,
        f">= {_number(least)} %",
        lambda found: _is(found.walk_forward_efficiency_percent >= least, found.walk_forward_efficiency_percent, " %"),
    )


def _overfit(checks: Checks, case: Case) -> Finding:
    most = checks.overfit_ratio.maximum
    # Below zero one of the two lost money: that is no small ratio.
    return _validated(
        checks, case, f"<= {_number(most)}", lambda found: _is(0 <= found.overfit_ratio <= most, found.overfit_ratio)
    )


def _significance(checks: Checks, case: Case) -> Finding:
    t, p = checks.statistical_significance.minimum_t, checks.statistical_significance.maximum_p
    deflated = checks.statistical_significance.minimum_deflated_sharpe

    def judge(found: ValidationEvidence) -> tuple[bool, str, str]:
        held = found.t_statistic >= t and found.permutation_p < p and found.deflated_sharpe >= deflated
        observed = (
            f"t {_number(found.t_statistic)}, p {_number(found.permutation_p)},"
            f" deflated Sharpe {_number(found.deflated_sharpe)}"
        )
        return held, observed, "" if held else "the result may be chance"

    threshold = f"t >= {_number(t)}, p < {_number(p)}, deflated Sharpe >= {_number(deflated)}"
    return _validated(checks, case, threshold, judge)


def _validated(
    checks: Checks, case: Case, threshold: str, judge: Callable[[ValidationEvidence], tuple[bool, str, str]]
) -> Finding:
    newest = case.ledger.validations[0] if case.ledger.validations else None
    if newest is None or newest.spec.validation is None:
        void, why = case.ledger.why_not(EvidenceType.VALIDATION)
        message = "make a ValidationRun for this bot" + (f"; {void} do not count, the last {why}" if void else "")
        return Finding(CheckState.UNKNOWN, "no validation", threshold, message)
    if _is_old(newest, span(checks.validation_artifacts.max_age), case):
        message = f"older than {checks.validation_artifacts.max_age}: make a new ValidationRun"
        return Finding(CheckState.STALE, newest.observed_at.date().isoformat(), threshold, message, (newest.name,))
    if not newest.spec.validation.causal:
        message = "its targets change with bars that come later, or when asked for again: no figure of it counts"
        return Finding(CheckState.FAIL, "look-ahead", threshold, message, (newest.name,))
    held, observed, message = judge(newest.spec.validation)
    state = CheckState.PASS if held else CheckState.FAIL
    return Finding(state, observed, threshold, message, (newest.name,))


def _is(held: bool, figure: Decimal, unit: str = "") -> tuple[bool, str, str]:
    return held, f"{_number(figure)}{unit}", "" if held else "the validation found less than the gate asks for"


# ---------------------------------------------------------------------- drills, preflight, state


def _required_drills(checks: Checks, case: Case) -> Finding:
    states = {
        drill: _drill(drill, span(checks.required_drills.max_age), case) for drill in checks.required_drills.drills
    }
    passed = [drill for drill, (state, _) in states.items() if state is CheckState.PASS]
    threshold = f"{len(states)} passed within {checks.required_drills.max_age}"
    observed = f"{len(passed)} of {len(states)}"
    names = refs([name for _, name in states.values() if name])
    for state in (CheckState.FAIL, CheckState.UNKNOWN, CheckState.STALE):
        missing = [drill.value for drill, (found, _) in states.items() if found is state]
        if missing:
            word = {CheckState.FAIL: "failed", CheckState.UNKNOWN: "not made", CheckState.STALE: "too old"}[state]
            return Finding(state, observed, threshold, f"{word}: {', '.join(missing)}", names)
    return Finding(CheckState.PASS, observed, threshold, refs=names)


def _drill(drill: Drill, max_age: timedelta, case: Case) -> tuple[CheckState, str]:
    for one in case.ledger.drills:
        found = one.spec.drill
        if found is None or found.drill is not drill:
            continue
        if _is_old(one, max_age, case):
            return CheckState.STALE, one.name
        came_through = found.invariants_held and found.detected_at is not None and found.recovered_at is not None
        return (CheckState.PASS if came_through else CheckState.FAIL), one.name
    return CheckState.UNKNOWN, ""


def _preflight(checks: Checks, case: Case) -> Finding:
    threshold = f"all passed within {checks.preflight.max_age}"
    newest = case.ledger.preflights[0] if case.ledger.preflights else None
    if newest is None or newest.spec.preflight is None:
        return Finding(CheckState.UNKNOWN, "no preflight", threshold, "it is made when everything else passes")
    failed = [one for one in newest.spec.preflight.checks if not one.passed]
    if _is_old(newest, span(checks.preflight.max_age), case):
        return Finding(CheckState.STALE, "too old", threshold, "it is made again by itself", (newest.name,))
    if failed:
        said = "; ".join(f"{one.name}: {one.message}" for one in failed[:_FEW])
        return Finding(CheckState.FAIL, f"{len(failed)} failed", threshold, said, (newest.name,))
    return Finding(CheckState.PASS, f"{len(newest.spec.preflight.checks)} passed", threshold, refs=(newest.name,))


def _no_open_incident(checks: Checks, case: Case) -> Finding:
    if case.incidents is None:
        return Finding(CheckState.UNKNOWN, "not reported", "none open", "the bot's pod does not answer")
    if case.incidents:
        message = "resolve or acknowledge: " + ", ".join(case.incidents[:_FEW])
        return Finding(CheckState.FAIL, f"{len(case.incidents)} open", "none open", message)
    return Finding(CheckState.PASS, "none open", "none open")


def _not_killed(checks: Checks, case: Case) -> Finding:
    if case.killed is None:
        return Finding(CheckState.UNKNOWN, "not reported", "no kill in force", "the bot's pod does not answer")
    if case.killed:
        return Finding(CheckState.FAIL, "killed", "no kill in force", "a kill is released by an Approval (ReleaseKill)")
    return Finding(CheckState.PASS, "not killed", "no kill in force")


def _is_old(one: Evidence, max_age: timedelta, case: Case) -> bool:
    return case.now - one.observed_at > max_age


def _number(value: Decimal) -> str:
    text = format(value.quantize(Decimal("0.0001")), "f")
    return text.rstrip("0").rstrip(".") or "0"
