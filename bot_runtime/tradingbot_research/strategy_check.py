"""What `tradingbot check-strategy` proves: that a strategy is a pure, causal, bounded function of its last bars.

A property holds as far as it was tried; what was tried is counted. Runs somebody else's code: whatever that raises is a
property that does not hold, never an error of the check.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from tradingbot_research import asked_apart
from tradingbot_research.asked_apart import Apart
from tradingbot_research.causality import Difference, cut_off, cuts_of, first_difference, shown, with_other_futures
from tradingbot_research.live_answers import (
    changes_its_bars,
    live_rows,
    nothing_is_missing,
    raw_targets,
    window_is_full,
)
from tradingbot_research.market import Bars, Floats
from tradingbot_research.sweep import StrategyBroke, targets_of
from tradingbot_runtime.strategies.contract import Strategy

TRIES: Final = 20
"""Places of each kind in each market at which a strategy is asked, unless somebody wants more."""
APART: Final = (
    Apart(hash_seed=1),
    Apart(hash_seed=2, clock=datetime(2001, 1, 1, 3, 4, 5, tzinfo=UTC)),
    Apart(hash_seed=3, clock=datetime(2037, 6, 20, 15, 31, 42, tzinfo=UTC)),
)
"""Other processes. The two other clocks differ in all that a clock shows: year, month, weekday, half of the day."""
_STARTS: Final = 5
_HAIR: Final = 1e-9


@dataclass(frozen=True)
class Failure:
    """Where a property does not hold: the first bar, as far as it is one bar."""

    market: str
    says: str
    """In words."""
    where: Difference | None = None


@dataclass(frozen=True)
class Property:
    """One property, what was tried, and where it does not hold."""

    name: str
    means: str
    tried: Mapping[str, int]
    failure: Failure | None = None

    @property
    def holds(self) -> bool:
        """Whether nothing was found against it."""
        return self.failure is None


@dataclass(frozen=True)
class Checked:
    """All that was found."""

    strategy: str
    parameters: Mapping[str, Any]
    lookback: int
    markets: Mapping[str, Bars]
    properties: tuple[Property, ...]
    warnings: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every property holds."""
        return all(one.holds for one in self.properties)


class TooFewBars(ValueError):
    """There is nothing to compare; the message says how many bars it takes."""


class _Against(Exception):
    """Something was found against a property."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.says)
        self.failure = failure


@dataclass
class _Trial:
    """The strategy, its markets, and what it says of each at once."""

    strategy: Strategy[Any]
    markets: Mapping[str, Bars]
    tries: int
    seed: int
    apart: Sequence[Apart]
    targets: dict[str, Floats] = field(default_factory=dict)
    tried: dict[str, int] = field(default_factory=dict)

    def fresh(self) -> Strategy[Any]:
        """Another instance with the same parameters."""
        return type(self.strategy).from_parameters(self.strategy.parameters.model_dump(mode="json"))

    def each(self) -> Iterator[tuple[str, Bars, Floats]]:
        for name, bars in self.markets.items():
            yield name, bars, self.targets[name]

    def count(self, what: str, number: int = 1) -> None:
        self.tried[what] = self.tried.get(what, 0) + number

    def refuse(self, market: str, found: Difference | None) -> None:
        if found is not None:
            raise _Against(Failure(market, str(found), found))


def check_strategy(
    strategy: Strategy[Any],
    markets: Mapping[str, Bars],
    *,
    tries: int = TRIES,
    seed: int = 1,
    apart: Sequence[Apart] = APART,
) -> Checked:
    """Tries every property on every market. Deterministic but for a strategy that is not.

    `tries`: at so many places spread evenly over each market, after changes of the targets, and after holes. `apart`:
    the other processes it is asked in. Raises TooFewBars where a market has too few to try anything on, NotFoundAgain
    for a class that no other process can import.
    """
    lookback = strategy.lookback
    for name, bars in markets.items():
        if len(bars) < lookback + 20:
            raise TooFewBars(f"{name}: {len(bars)} bars, but with a lookback of {lookback} it takes {lookback + 20}")
    trial = _Trial(strategy, markets, tries, seed, apart)
    properties: list[Property] = []
    for name, means, tried_by in _PROPERTIES:
        trial.tried = {}
        failure = _failure(tried_by, trial)
        properties.append(Property(name, means, trial.tried, failure))
        if tried_by is _answers and failure is not None:
            break  # without answers there is nothing to compare
    parameters = strategy.parameters.model_dump(mode="json")
    return Checked(strategy.name, parameters, lookback, markets, tuple(properties), _warnings(trial))


def _failure(tried_by: Callable[[_Trial], None], trial: _Trial) -> Failure | None:
    try:
        tried_by(trial)
    except _Against as found:
        return found.failure
    except StrategyBroke as error:
        return Failure("", str(error))
    return None


def _warnings(trial: _Trial) -> tuple[str, ...]:
    moves = [targets for targets in trial.targets.values() if len(np.unique(targets[~np.isnan(targets)])) > 1]
    if trial.targets and not moves:
        return ("its targets never change on these bars, so that little was tried: use bars on which it trades",)
    return ()


# ------------------------------------------------------------------ the properties


def _answers(trial: _Trial) -> None:
    for name, bars in trial.markets.items():
        problem = raw_targets(trial.strategy, bars)
        if isinstance(problem, str):
            raise _Against(Failure(name, problem))
        trial.targets[name] = targets_of(trial.strategy, bars)
        trial.count("markets")
        trial.count("targets", trial.targets[name].size)


def _causality(trial: _Trial) -> None:
    for name, bars, targets in trial.each():
        cuts = cuts_of(bars, targets, trial.tries)
        trial.count("cuts", len(cuts))
        trial.refuse(name, cut_off(trial.strategy, bars, targets, cuts))
        trial.count("other futures", len(cuts))
        trial.refuse(name, with_other_futures(trial.strategy, bars, targets, cuts, trial.seed))


def _determinism(trial: _Trial) -> None:
    running = [asked_apart.begin(trial.strategy, list(trial.markets.values()), apart) for apart in trial.apart]
    try:
        _again_here(trial)
    finally:
        answers = [_answered(one) for one in running]
    for apart, found in zip(trial.apart, answers, strict=True):
        trial.count("other processes")
        if isinstance(found, StrategyBroke):
            raise found
        how = f"in a new process with PYTHONHASHSEED={apart.hash_seed}"
        how += f" where it is {apart.clock:%Y-%m-%d %H:%M}" if apart.clock else ""
        for (name, bars, targets), other in zip(trial.each(), found, strict=True):
            trial.refuse(name, first_difference(bars, targets, other, how))


def _answered(running: asked_apart.Running) -> list[Floats] | StrategyBroke:
    try:
        return running.answer()
    except StrategyBroke as error:
        return error


def _again_here(trial: _Trial) -> None:
    rng = np.random.default_rng(trial.seed)
    for name, bars, targets in trial.each():
        for _ in range(2):
            trial.count("repeats")
            trial.refuse(name, first_difference(bars, targets, targets_of(trial.strategy, bars), "when asked again"))
        orders = [list(range(len(bars.symbols)))[::-1], *(rng.permutation(len(bars.symbols)).tolist() for _ in "12")]
        for order in orders if len(bars.symbols) > 1 else []:
            trial.count("other orders of symbols")
            picked = [bars.symbols[place] for place in order]
            found = np.empty_like(targets)
            found[:, order] = targets_of(trial.strategy, bars.only(picked))
            trial.refuse(name, first_difference(bars, targets, found, f"in the order {', '.join(picked)}"))


def _no_hidden_state(trial: _Trial) -> None:
    names = list(trial.markets)
    for number, (name, bars, targets) in enumerate(trial.each()):
        trial.count("new instances")
        trial.refuse(name, first_difference(bars, targets, targets_of(trial.fresh(), bars), "of a new instance"))
        other = trial.markets[names[number - 1]]
        used = trial.fresh()
        for earlier in (other.between(0, len(other) // 2), bars.between(len(bars) // 3, len(bars))):
            targets_of(used, earlier)
        trial.count("used instances")
        how = "of an instance that was asked of other bars before"
        trial.refuse(name, first_difference(bars, targets, targets_of(used, bars), how))
        trial.count("looks at what it was given")
        if changes_its_bars(trial.fresh(), bars):
            raise _Against(Failure(name, "it changes the bars that it was given: work on a copy of them"))
        for start in np.linspace(1, max(1, len(bars) - trial.strategy.lookback - 10), _STARTS).astype(int).tolist():
            trial.count("starts from mid-way")
            found = targets_of(trial.fresh(), bars.between(start, len(bars)))
            full = window_is_full(bars, trial.strategy.lookback, start)
            how = f"of a new instance that knows bars from {np.datetime_as_string(bars.time[start], unit='m')} on only:"
            how += f" lookback says that {trial.strategy.lookback} bars are enough"
            part = np.where(full[:, None], targets[start:], found)
            trial.refuse(name, first_difference(bars, part, found, how, start=start))


def _bounds(trial: _Trial) -> None:
    lookback = trial.strategy.lookback
    for name, bars, _ in trial.each():
        weights = raw_targets(trial.strategy, bars)
        if isinstance(weights, str):
            raise _Against(Failure(name, weights))
        full = nothing_is_missing(bars, lookback)
        trial.count("targets", weights.size)
        trial.count("of them NaN, what is held stays", int(np.isnan(weights[full]).sum()))
        sums = np.nansum(np.abs(weights), axis=1, keepdims=True)
        known = np.where(np.isfinite(weights), weights, 0.0)
        said_nothing = full[:, None] & np.isnan(weights[full]).all(axis=0)
        for wrong, why in (
            (np.isinf(weights), "is not finite"),
            (np.abs(known) > 1 + _HAIR, "is beyond the whole capital: a weight is in [-1, 1]"),
            ((sums > 1 + _HAIR) & (known != 0), "and the weights of this bar sum to {:.6g}, more than 1"),
            (said_nothing, "here and at every later bar, although its lookback of {} bars is full"),
        ):
            if bool(wrong.any()):
                row, column = (int(place) for place in np.argwhere(wrong)[0])
                found = float(weights[row, column])
                words = why.format(lookback if wrong is said_nothing else float(sums[row, 0]))
                where = Difference(row, bars.time[row], bars.symbols[column], float("nan"), found, words)
                raise _Against(Failure(name, f"{where.when}, {where.symbol}: {shown(found)} {words}", where))


def _live(trial: _Trial) -> None:
    for name, bars, targets in trial.each():
        whole = window_is_full(bars, trial.strategy.lookback, 0)
        steps = sorted({cut - 1 for cut in cuts_of(bars, targets, trial.tries)} | set(range(min(len(bars), 20))))
        # A symbol without a bar is left out by the bot, which is told in its condition: nothing to compare then.
        steps = [step for step in steps if bool(np.isfinite(bars.close[step]).all())]
        steps = [step for step in steps if bool(whole[step]) or bool(np.isnan(targets[step]).all())]
        trial.count("bars live", len(steps))
        trial.count("targets", len(steps) * len(bars.symbols))
        how = f"live, where it is given the last {trial.strategy.lookback} bars"
        for step, found in live_rows(trial.fresh(), bars, steps):
            trial.refuse(name, first_difference(bars, targets[step : step + 1], found[None, :], how, start=step))


_PROPERTIES: Final[Sequence[tuple[str, str, Callable[[_Trial], None]]]] = (
    ("answers", "a target for every bar, for no symbol but those given", _answers),
    ("causality", "no target changes with what comes after its bar", _causality),
    ("determinism", "the same bars, the same targets: again, in any order, in any process, at any time", _determinism),
    ("no hidden state", "what it was asked before changes nothing, and its lookback is enough", _no_hidden_state),
    ("bounds", "finite weights in [-1, 1] that sum to at most 1", _bounds),
    ("live equals backtest", "bar by bar, as a bot asks, it says what it says of all bars at once", _live),
)
