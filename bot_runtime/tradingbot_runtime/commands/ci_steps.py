"""The steps of `tradingbot ci` for one bot: its manifest, its strategy, a backtest, a validation.

Each is done by what the command of that name does. What somebody else's strategy or file does wrong is a failed check,
never the end of the run.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tradingbot_api import PromotionGateSpec
from tradingbot_api.gate_checks import CheckKind, Checks
from tradingbot_runtime.commands.backtest import backtested
from tradingbot_runtime.commands.check_strategy import how_often, loaded, tried
from tradingbot_runtime.commands.ci_config import Backtest, CiConfig, MayFail, Validation
from tradingbot_runtime.commands.ci_findings import Finding, Outcome, finding
from tradingbot_runtime.commands.ci_manifests import Bot
from tradingbot_runtime.commands.endings import WrongConfig
from tradingbot_runtime.commands.research_inputs import CostOptions, Subject, subject_from, traded_by
from tradingbot_runtime.commands.validate import published

if TYPE_CHECKING:
    from tradingbot_research.metrics import Metrics
    from tradingbot_runtime.strategies.contract import Strategy

MANIFEST: Final = "manifest"
CHECK_STRATEGY: Final = "check-strategy"
BACKTEST: Final = "backtest"
VALIDATION: Final = "validation"
_OF_THE_GATE: Final = {
    MayFail.BACKTEST_SHARPE: "backtest_sharpe",
    MayFail.BACKTEST_MAX_DRAWDOWN: "backtest_max_drawdown",
    MayFail.WALK_FORWARD_EFFICIENCY: "walk_forward_efficiency",
    MayFail.OVERFIT_RATIO: "overfit_ratio",
    MayFail.STATISTICAL_SIGNIFICANCE: "statistical_significance",
    MayFail.DEFLATED_SHARPE: "statistical_significance",
}
"""The field of a gate's checks by what a validation calls it."""


@dataclass(frozen=True)
class Work:
    """One bot, and what it is judged by."""

    bot: Bot
    gate: PromotionGateSpec | None
    """Where the files hold the gate it names."""
    config: CiConfig
    out: Path | None = None
    """Folder for the validation's files."""


def steps_of(work: Work, told: Callable[[str], None]) -> Iterator[Finding]:
    """Every check of a bot, in order. `told` hears what is begun. Raises OSError where `out` cannot be written."""
    name = work.bot.name or work.bot.source
    told(f"{name}: {MANIFEST}")
    if work.bot.problems or work.bot.spec is None:
        yield finding(name, MANIFEST, Outcome.FAILED, message=f"{work.bot.source}: {'; '.join(work.bot.problems)}")
        yield from _skipped(name, work.config, "the manifest is wrong", CHECK_STRATEGY, BACKTEST, VALIDATION)
        return
    chosen = work.bot.spec.strategy
    try:
        strategy = loaded(chosen.name, chosen.parameters, work.bot.spec.symbols)
    except WrongConfig as error:
        message = f"{work.bot.source}: {error.reason}: {error}"
    except Exception as error:
        # Importing somebody else's module raises whatever it likes.
        message = f"{work.bot.source}: strategy {chosen.name} cannot be imported: {type(error).__name__}: {error}"
    else:
        about = f"{chosen.name} on {', '.join(work.bot.spec.symbols)}, {work.bot.spec.timeframe.value}"
        yield finding(name, MANIFEST, Outcome.PASSED, observed=about)
        yield from _with(strategy, name, work, told)
        return
    yield finding(name, MANIFEST, Outcome.FAILED, message=message)
    yield from _skipped(name, work.config, "there is no strategy to try", CHECK_STRATEGY, BACKTEST, VALIDATION)


def _with(strategy: "Strategy[Any]", name: str, work: Work, told: Callable[[str], None]) -> Iterator[Finding]:
    told(f"{name}: {CHECK_STRATEGY}")
    kept = list(_timed(name, CHECK_STRATEGY, lambda: _contract(strategy, name, work.config)))
    yield from kept
    if any(one.outcome is Outcome.FAILED for one in kept):
        # A strategy that looks ahead earns in every backtest: no figure of it means anything.
        yield from _skipped(name, work.config, "check-strategy failed: no figure would mean anything")
        return
    if work.config.bars is None:
        return
    told(f"{name}: {BACKTEST}")
    subjects: list[Subject] = []
    yield from _timed(name, BACKTEST, lambda: _backtest(name, work, subjects))
    if work.config.validation is None:
        return
    if not subjects:
        yield from _skipped(name, work.config, "the bars cannot be used", VALIDATION)
        return
    plan = work.config.validation
    told(f"{name}: {VALIDATION}")
    yield from _timed(name, VALIDATION, lambda: _validation(name, work, plan, subjects[0]))


def _skipped(name: str, config: CiConfig, why: str, *steps: str) -> Iterator[Finding]:
    asked = {CHECK_STRATEGY: True, BACKTEST: config.bars is not None, VALIDATION: config.validation is not None}
    for step in steps or (BACKTEST, VALIDATION):
        if asked[step]:
            yield finding(name, step, Outcome.SKIPPED, message=why)


def _timed(name: str, step: str, made: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The findings of a step; what it raises of what was given to it is a failure of the step."""
    from tradingbot_research.artifact import NotReproduced
    from tradingbot_research.bars_files import BarsUnusable
    from tradingbot_research.sweep import StrategyBroke, TooManyTrials
    from tradingbot_research.walk_forward import TooFewDays

    began = time.monotonic()
    found: list[Finding] = []
    try:
        found.extend(made())
    except WrongConfig as error:
        found.append(finding(name, step, Outcome.FAILED, message=f"{error.reason}: {error}"))
    except (StrategyBroke, TooManyTrials, BarsUnusable, TooFewDays, NotReproduced, ArithmeticError) as error:
        found.append(finding(name, step, Outcome.FAILED, message=f"{type(error).__name__}: {error}"))
    if found:
        yield replace(found[0], seconds=time.monotonic() - began)
    yield from found[1:]


def _contract(strategy: "Strategy[Any]", name: str, config: CiConfig) -> Iterator[Finding]:
    asked = config.check_strategy
    found = tried(strategy, None, None, tries=asked.tries, seed=asked.seed)
    for one in found.properties:
        check, means, times = f"{CHECK_STRATEGY}/{one.name}", one.means, how_often(one)
        if one.failure is None:
            yield finding(name, check, Outcome.PASSED, observed=times, threshold=means)
        else:
            where = f"on {one.failure.market}: " if one.failure.market else ""
            words = where + one.failure.says
            yield finding(name, check, Outcome.FAILED, observed=times, threshold=means, message=words)
    if found.warnings:
        yield finding(name, f"{CHECK_STRATEGY}/warnings", Outcome.NOTED, message="; ".join(found.warnings))


def _backtest(name: str, work: Work, subjects: list[Subject]) -> Iterator[Finding]:
    spec, config = work.bot.spec, work.config
    assert spec is not None and config.bars is not None  # noqa: S101 - steps_of has looked
    costs = CostOptions(**{field: float(value) for field, value in config.costs.model_dump().items()})
    subject = subject_from(traded_by(spec), Path(config.bars), costs)
    metrics = backtested(subject).metrics
    subjects.append(subject)
    observed = (
        f"{metrics.days:,} days, return {metrics.total_return:.2%}, Sharpe {metrics.sharpe:.2f},"
        f" drawdown {metrics.max_drawdown:.2%}, {metrics.fills:,} fills, {metrics.closed:,} closed"
    )
    yield finding(name, BACKTEST, Outcome.PASSED, observed=observed)
    yield from _thresholds(name, config.backtest or Backtest(), metrics)
    if subject.read.warnings:
        yield finding(name, f"{BACKTEST}/bars", Outcome.NOTED, message=" ".join(subject.read.warnings))


def _thresholds(name: str, asked: Backtest, metrics: "Metrics") -> Iterator[Finding]:
    # With four digits after the point: 0.4996 must not read 0.50 beside ">= 0.50".
    for check, limit, found, unit, at_least in (
        ("Sharpe", asked.minimum_sharpe, metrics.sharpe, "", True),
        ("MaxDrawdown", asked.maximum_drawdown_percent, metrics.max_drawdown * 100, " %", False),
        ("Return", asked.minimum_return_percent, metrics.total_return * 100, " %", True),
        ("Trades", asked.minimum_trades, metrics.closed, "", True),
    ):
        if limit is None:
            continue
        passed = found >= float(limit) if at_least else found <= float(limit)
        observed = f"{found:,}" if isinstance(found, int) else f"{found:.4f}{unit}"
        threshold = f"{'>=' if at_least else '<='} {limit}{unit}"
        yield _judged(name, f"{BACKTEST}/{check}", passed, observed, threshold)


def _validation(name: str, work: Work, asked: Validation, subject: Subject) -> Iterator[Finding]:
    from tradingbot_research.validate import Plan
    from tradingbot_research.validate import validate as run
    from tradingbot_research.walk_forward import Scheme

    checks = work.gate.checks if work.gate is not None else Checks()
    scheme = Scheme(windows=asked.windows, purge_days=asked.purge_days, embargo_days=asked.embargo_days)
    plan = Plan(
        trials=asked.trials, declared_trials=asked.declared_trials, scheme=scheme, seed=asked.seed, checks=checks
    )
    found = run(subject.strategy, subject.read.bars, subject.rules, plan, processes=asked.processes)
    if work.out is not None:
        published(work.out, found, subject, plan, {})
    for one in found.checks:
        check = f"{VALIDATION}/{one.name}"
        forgiven = "" if one.passed else _forgiven(one.name, asked, checks)
        if forgiven:
            yield finding(name, check, Outcome.NOTED, observed=one.observed, threshold=one.threshold, message=forgiven)
        else:
            yield _judged(name, check, one.passed, one.observed, one.threshold)


def _forgiven(check: str, asked: Validation, checks: Checks) -> str:
    """Why a check that does not pass is no failure; empty where it is one."""
    known = next((one for one in MayFail if one == check), None)
    if known is None:
        return ""
    if known in asked.may_fail:
        return "validation.mayFail names it"
    kind = getattr(checks, _OF_THE_GATE[known]).kind
    return "the bot's gate does not look at it" if kind is CheckKind.NOT_APPLICABLE else ""


def _judged(name: str, check: str, passed: bool, observed: str, threshold: str) -> Finding:
    if passed:
        return finding(name, check, Outcome.PASSED, observed=observed, threshold=threshold)
    message = f"{observed} (asked: {threshold})"
    return finding(name, check, Outcome.FAILED, observed=observed, threshold=threshold, message=message)
