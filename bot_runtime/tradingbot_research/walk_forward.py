"""Walk-forward: parameters are chosen on what came before, and judged on what came after, again and again.

Pure. Must never let a day be both chosen on and judged in the same window.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tradingbot_research.days import Days
from tradingbot_research.engine import backtest
from tradingbot_research.market import Bars, Floats
from tradingbot_research.result import Result
from tradingbot_research.rules import Rules
from tradingbot_research.statistics import DAYS_PER_YEAR, Moments


@dataclass(frozen=True)
class Scheme:
    """How the days are divided."""

    windows: int = 5
    """How often parameters are chosen anew."""
    first_training: float = 0.4
    """Share of all days in the first training."""
    anchored: bool = True
    """Whether each training begins with the first day; else it has the length of the first, and rolls along."""
    purge_days: int = 1
    """Days before each border that are not trained on: what is decided in them is filled and felt after it."""
    embargo_days: int = 1
    """Days after each border that are not judged: what was decided in training is still at work in them."""

    def __post_init__(self) -> None:
        if not 1 <= self.windows <= 100:
            raise ValueError(f"windows: {self.windows} is not from 1 to 100")
        if not 0.1 <= self.first_training <= 0.9:
            raise ValueError(f"first_training: {self.first_training} is not from 0.1 to 0.9")
        if min(self.purge_days, self.embargo_days) < 0:
            raise ValueError("purge_days, embargo_days: not below 0")


@dataclass(frozen=True)
class Window:
    """Ranges of days, the end not included."""

    training: tuple[int, int]
    test: tuple[int, int]
    judged: tuple[int, int]
    """The test without its embargo."""


class TooFewDays(ValueError):
    """There are not enough days for so many windows."""


def windows(days: int, scheme: Scheme) -> tuple[Window, ...]:
    """The windows, in order; their tests follow each other without a gap up to the last day. Raises TooFewDays."""
    first = int(days * scheme.first_training)
    borders = np.linspace(first, days, scheme.windows + 1).astype(int).tolist()
    found = []
    for border, end in pairwise(borders):
        start = 0 if scheme.anchored else border - first
        training, judged = (start, border - scheme.purge_days), (border + scheme.embargo_days, end)
        if training[1] - training[0] < 20 or judged[1] - judged[0] < 5:
            raise TooFewDays(
                f"{days} days are too few for {scheme.windows} windows: each needs 20 days of training and 5 of test;"
                " give more bars or fewer windows"
            )
        found.append(Window(training, (border, end), judged))
    return tuple(found)


@dataclass(frozen=True)
class Judged:
    """One window: which trial was chosen in it, and what it did in training and in test."""

    window: Window
    chosen: int
    """Number of the trial."""
    inside: Moments
    outside: Moments


@dataclass(frozen=True)
class WalkForward:
    """All tests joined: what somebody who chose anew in each window would have got, with the costs of changing over."""

    judged: tuple[Judged, ...]
    result: Result
    """One backtest over all tests; it begins flat at the first one's first bar."""
    first_bar: int
    """Where that is in all bars."""
    returns: Floats
    """Daily returns of all that is judged, joined."""

    @property
    def inside_return(self) -> float:
        """Mean return in training of what was chosen, of a year, without compounding; the mean over the windows."""
        return float(np.mean([one.inside.mean for one in self.judged])) * DAYS_PER_YEAR

    @property
    def outside_return(self) -> float:
        """Mean return in all tests together, of a year, without compounding."""
        return Moments.of(self.returns).mean * DAYS_PER_YEAR

    @property
    def inside_sharpe(self) -> float:
        """Annual Sharpe ratio in training of what was chosen; the mean over the windows."""
        return float(np.mean([one.inside.sharpe for one in self.judged])) * float(np.sqrt(DAYS_PER_YEAR))

    @property
    def outside_sharpe(self) -> float:
        """Annual Sharpe ratio of all tests together."""
        return Moments.of(self.returns).sharpe * float(np.sqrt(DAYS_PER_YEAR))


def walk_forward(
    bars: Bars,
    days: Days,
    rules: Rules,
    chosen_from: Sequence[Window],
    training: Sequence[Sequence[Moments]],
    targets_of: Callable[[int], Floats],
    *,
    among: Sequence[int] | None = None,
) -> WalkForward:
    """Chooses in each window the trial with the best Sharpe ratio in training, and runs the choices over the tests.

    `training`: for each trial its moments in each window's training; `targets_of` gives a trial's targets over all
    bars. `among`: the trials that may be chosen; None is all. Of equal trials the first is chosen.
    """
    eligible = range(len(training)) if among is None else among
    choices = [max(eligible, key=lambda trial: training[trial][number].sharpe) for number in range(len(chosen_from))]
    first_bar = int(days.first[chosen_from[0].test[0]])
    joined = np.full((len(bars) - first_bar, len(bars.symbols)), np.nan)
    found = {choice: targets_of(choice) for choice in sorted(set(choices))}
    for window, choice in zip(chosen_from, choices, strict=True):
        start, stop = int(days.first[window.test[0]]), int(days.last[window.test[1] - 1]) + 1
        joined[start - first_bar : stop - first_bar] = found[choice][start:stop]
    tested = bars.between(first_bar, len(bars))
    result = backtest(tested, joined, rules)
    returns = Days.of(tested.time).returns(result)
    offset = chosen_from[0].test[0]
    parts = [returns[window.judged[0] - offset : window.judged[1] - offset] for window in chosen_from]
    judged = tuple(
        Judged(window, choice, training[choice][number], Moments.of(part))
        for number, (window, choice, part) in enumerate(zip(chosen_from, choices, parts, strict=True))
    )
    return WalkForward(judged, result, first_bar, np.concatenate(parts))
