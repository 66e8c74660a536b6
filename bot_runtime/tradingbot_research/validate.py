"""Whether a strategy has earned trust: a backtest, other parameters beside it, a walk-forward, and what chance can do.

What decides is measured on days that nothing was chosen on. Must never take the word of whoever chose the parameters
for how many were tried: it tries others by itself.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import numpy as np

from tradingbot_api.gate_checks import Checks
from tradingbot_research.causality import looks_ahead
from tradingbot_research.days import Days
from tradingbot_research.engine import backtest
from tradingbot_research.handled import rules_of
from tradingbot_research.market import Bars, Floats
from tradingbot_research.metrics import Metrics, hold_everything, metrics_of
from tradingbot_research.result import Result
from tradingbot_research.rules import Rules
from tradingbot_research.statistics import (
    DAYS_PER_YEAR,
    PermutationTest,
    TTest,
    deflated_sharpe,
    overfit_probability,
    overfit_ratio,
    shift_test,
    sign_test,
    t_test,
    walk_forward_efficiency,
)
from tradingbot_research.sweep import StrategyBroke, Stretch, Trial, neighbours, sweep, targets_of
from tradingbot_research.walk_forward import Scheme, WalkForward, walk_forward, windows
from tradingbot_runtime.strategies.contract import Strategy

BLOCKS: Final = 12
"""Stretches of the cross-validation: 924 ways to halve them."""
ENOUGH_TRIALS: Final = 10
"""With fewer, the variance of the trials' Sharpe ratios is that of chance: 1 / n."""
_STEADY: Final = 0.1
"""Exposures that vary by less than this part of their largest time nothing."""


@dataclass(frozen=True)
class Plan:
    """What is looked at, and from which seed."""

    trials: int = 50
    """How many other sets of parameters are drawn near the strategy's own, where none are given."""
    declared_trials: int = 1
    """How many sets of parameters were tried before, as far as anybody says. More than the drawn ones counts."""
    scheme: Scheme = field(default_factory=Scheme)
    permutations: int = 2000
    seed: int = 1
    checks: Checks = field(default_factory=Checks)
    """A gate's thresholds."""

    def __post_init__(self) -> None:
        if not 0 <= self.trials <= 10_000:
            raise ValueError(f"trials: {self.trials} is not from 0 to 10,000")
        if not 1 <= self.declared_trials <= 10_000_000:
            raise ValueError(f"declared_trials: {self.declared_trials} is not from 1 to 10,000,000")
        if not 100 <= self.permutations <= 1_000_000:
            raise ValueError(f"permutations: {self.permutations} is not from 100 to 1,000,000")


@dataclass(frozen=True)
class Check:
    """One figure against its threshold."""

    name: str
    observed: str
    threshold: str
    passed: bool
    means: str


@dataclass(frozen=True)
class Validation:
    """All that was found."""

    strategy: str
    parameters: Mapping[str, Any]
    backtest: Result
    days: Days
    returns: Floats
    """Daily returns of the backtest."""
    metrics: Metrics
    held: Metrics
    """The same of buying equal parts of everything on the first day and keeping them."""
    held_equity: Floats
    walk_forward: WalkForward
    trials: tuple[Trial, ...]
    """The first is the strategy with its own parameters; the last stretch of each is the whole time."""
    counted_trials: int
    efficiency: float
    overfit_ratio: float
    overfit_probability: float | None
    deflated_sharpe: float
    t_test: TTest
    timing: PermutationTest
    signs: PermutationTest
    is_steady: bool
    """Whether exposures hardly vary, so that there is no timing to test, and the signs decide."""
    causality: str
    """Empty, or how targets changed when later bars were taken away."""
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check is passed."""
        return all(check.passed for check in self.checks)

    @property
    def permutation(self) -> PermutationTest:
        """The test that decides."""
        return self.signs if self.is_steady else self.timing


def validate(
    strategy: Strategy[Any],
    bars: Bars,
    rules: Rules | None = None,
    plan: Plan | None = None,
    *,
    others: Sequence[Strategy[Any]] | None = None,
    processes: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Validation:
    """Validates a strategy with its parameters. Deterministic: the same inputs give the same result.

    `others`: the other sets of parameters that were or could have been chosen; None draws `plan.trials` near its own.
    `progress` is told of a step, how much of it is done, and how much there is. Raises StrategyBroke, TooFewDays.
    """
    rules, plan = rules_of(strategy, rules or Rules()), plan or Plan()
    told = progress or (lambda step, done, total: None)
    days = Days.of(bars.time)
    wins = windows(len(days), plan.scheme)
    told("backtest", 0, 1)
    targets = targets_of(strategy, bars)
    causality = looks_ahead(strategy, bars, targets)
    found = backtest(bars, targets, rules)
    returns = days.returns(found)
    held = hold_everything(bars, rules)
    told("backtest", 1, 1)
    if others is None:
        drawn = neighbours(strategy, plan.trials, seed=plan.seed)
        others = [type(strategy).from_parameters(parameters) for parameters in drawn]
    if any(other.handling != strategy.handling for other in others):
        # The walk-forward joins them to one backtest, which has one set of exits and bands.
        names = ", ".join(sorted(type(strategy).parameters_model.of_handling))
        raise StrategyBroke(f"{strategy.name}: {names} are the same in all trials: leave them out of the grid")
    stretches: list[Stretch] = [window.training for window in wins]
    cuts = np.linspace(0, len(days), BLOCKS + 1).astype(int).tolist()
    stretches += [*pairwise(cuts), (0, len(days))]
    tried = [strategy, *others]
    trials = sweep(
        tried, bars, rules, stretches, processes=processes, progress=lambda done, total: told("trials", done, total)
    )
    told("walk-forward", 0, 1)
    training = [trial.moments[: len(wins)] for trial in trials]
    # Its own parameters may have been chosen on these very days by somebody who had seen all of them: what is left
    # for the judgement is what others near them, drawn blindly, would have earned.
    blind = range(1, len(trials)) if len(trials) > 1 else range(1)
    forward = walk_forward(bars, days, rules, wins, training, lambda trial: targets_of(tried[trial], bars), among=blind)
    told("walk-forward", 1, 1)
    told("permutations", 0, 1)
    held_weights, moved = timing_of(forward.result)
    lookback = max(tried[one.chosen].lookback for one in forward.judged)
    timing, signs = (
        shift_test(held_weights, moved, gap=lookback),
        sign_test(forward.returns, seed=plan.seed, permutations=plan.permutations),
    )
    told("permutations", 1, 1)
    counted = max(plan.declared_trials, len(trials))
    sharpes = np.array([trial.moments[-1].sharpe for trial in trials])
    variance = float(sharpes.var(ddof=1)) if len(sharpes) >= ENOUGH_TRIALS else 1 / len(days)
    facts = _Facts(
        metrics=metrics_of(found, days),
        efficiency=walk_forward_efficiency(forward.inside_return, forward.outside_return),
        ratio=overfit_ratio(forward.inside_sharpe, forward.outside_sharpe),
        deflated=deflated_sharpe(returns, counted, variance),
        t=t_test(forward.returns),
        p=(signs if is_steady(held_weights) else timing).p,
        causality=causality,
        trials=counted,
    )
    return Validation(
        strategy=strategy.name,
        parameters=strategy.parameters.model_dump(mode="json"),
        backtest=found,
        days=days,
        returns=returns,
        metrics=facts.metrics,
        held=metrics_of(held, days),
        held_equity=held.equity,
        walk_forward=forward,
        trials=tuple(trials),
        counted_trials=counted,
        efficiency=facts.efficiency,
        overfit_ratio=facts.ratio,
        overfit_probability=overfit_probability([list(trial.moments[len(wins) : -1]) for trial in trials]),
        deflated_sharpe=facts.deflated,
        t_test=facts.t,
        timing=timing,
        signs=signs,
        is_steady=is_steady(held_weights),
        causality=causality,
        checks=_judged(facts, plan.checks),
    )


def timing_of(result: Result) -> tuple[Floats, Floats]:
    """Exposure at each close but the last, and what each symbol did from there to the next one: periods x symbols."""
    marks = result.bars.marks
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = np.where(marks[:-1] > 0, marks[1:] / marks[:-1] - 1, 0.0)
    return result.exposures[:-1], moved


def is_steady(exposures: Floats) -> bool:
    """Whether no exposure varies by more than a tenth of its largest."""
    largest = np.abs(exposures).max(axis=0, initial=0.0)
    after = exposures[min(20, len(exposures) // 2) :]  # the first days are those in which it is built up
    return bool((after.std(axis=0) <= _STEADY * largest).all()) if len(after) else True


@dataclass(frozen=True)
class _Facts:
    metrics: Metrics
    efficiency: float
    ratio: float
    deflated: float
    t: TTest
    p: float
    causality: str
    trials: int


def _judged(facts: _Facts, checks: Checks) -> tuple[Check, ...]:
    sharpe = float(checks.backtest_sharpe.minimum)
    drawdown = float(checks.backtest_max_drawdown.maximum_percent)
    efficiency = float(checks.walk_forward_efficiency.minimum_percent)
    ratio = float(checks.overfit_ratio.maximum)
    t, p = float(checks.statistical_significance.minimum_t), float(checks.statistical_significance.maximum_p)
    deflated = float(checks.statistical_significance.minimum_deflated_sharpe)
    metrics = facts.metrics
    if not math.isfinite(metrics.sharpe):
        raise ArithmeticError("the equity is not finite: look for prices that are not")
    return (
        Check(
            "Causality",
            facts.causality or "targets do not change with later bars",
            "no look-ahead",
            not facts.causality,
            "Later bars are taken away, and the targets that are left are compared.",
        ),
        Check(
            "BacktestSharpe",
            f"{metrics.sharpe:.2f}",
            f">= {sharpe:g}",
            metrics.sharpe >= sharpe,
            f"Annual Sharpe ratio after costs, of daily returns and {DAYS_PER_YEAR} days.",
        ),
        Check(
            "BacktestMaxDrawdown",
            f"{metrics.max_drawdown:.1%}",
            f"<= {drawdown:g} %",
            metrics.max_drawdown * 100 <= drawdown,
            "Largest fall of the equity from a peak.",
        ),
        Check(
            "WalkForwardEfficiency",
            f"{facts.efficiency:.0%}",
            f">= {efficiency:g} %",
            facts.efficiency * 100 >= efficiency,
            "Return on days nothing was chosen on, as a share of the return on those it was chosen on.",
        ),
        Check(
            "OverfitRatio",
            f"{facts.ratio:.2f}",
            f"<= {ratio:g}",
            0 <= facts.ratio <= ratio,
            "Sharpe ratio where parameters were chosen over that of the days after; below zero: a loss.",
        ),
        Check(
            "StatisticalSignificance",
            f"t {facts.t.t:.2f}, p {facts.p:.4f}",
            f"t >= {t:g}, p < {p:g}",
            facts.t.t >= t and facts.p < p,
            "Mean return and timing of the days nothing was chosen on.",
        ),
        Check(
            "DeflatedSharpe",
            f"{facts.deflated:.3f}",
            f">= {deflated:g}",
            facts.deflated >= deflated,
            f"Chance that the Sharpe ratio is more than the best of {facts.trials} trials by luck.",
        ),
    )
