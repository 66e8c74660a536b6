"""Whether a strategy knows the future or changes its mind: later bars are taken away or made others, targets compared.

Knows no strategy by name; a target that changes by less than a bot can say is no change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tradingbot_research.market import FIELDS, Bars, Floats
from tradingbot_research.stepping import changed_rows
from tradingbot_research.sweep import targets_of
from tradingbot_runtime.strategies.contract import Strategy

CUTS: Final = 8
"""How often a validation takes bars away: at so many places spread evenly, after changes of targets, after holes."""
SAME: Final = 1.5e-6
"""Targets that differ by less are the same: one unit of the last decimal that a bot keeps, and what adding up in
another order leaves."""


@dataclass(frozen=True)
class Difference:
    """The first target that two askings do not agree on."""

    bar: int
    """Its place among the bars."""
    time: np.datetime64
    """Beginning of its bar, UTC."""
    symbol: str
    expected: float
    """What the strategy says of all the bars at once; NaN: nothing."""
    found: float
    """What it says when it is asked in the other way."""
    how: str
    """That other way, in words."""

    def __str__(self) -> str:
        return f"{self.when}, {self.symbol}: {shown(self.expected)}, but {shown(self.found)} {self.how}"

    @property
    def when(self) -> str:
        """The bar's beginning, to the minute."""
        return f"{np.datetime_as_string(self.time, unit='m').replace('T', ' ')} UTC"


def shown(weight: float) -> str:
    """A weight as a person reads it."""
    return f"{weight:.6g}" if weight == weight else "nothing (NaN)"


def first_difference(bars: Bars, expected: Floats, found: Floats, how: str, *, start: int = 0) -> Difference | None:
    """The first target that differs; both are bars x symbols, and their first row is that of the bar `start`."""
    with np.errstate(invalid="ignore"):
        near = np.abs(expected - found) < SAME
    same = near | (expected == found) | (np.isnan(expected) & np.isnan(found))
    if bool(same.all()):
        return None
    row = int(np.argmin(same.all(axis=1)))
    column = int(np.argmin(same[row]))
    bar = start + row
    return Difference(
        bar, bars.time[bar], bars.symbols[column], float(expected[row, column]), float(found[row, column]), how
    )


def looks_ahead(strategy: Strategy[Any], bars: Bars, targets: Floats) -> str:
    """Whether a target changes when later bars are taken away, or when it is asked for again; empty if not."""
    if not np.array_equal(targets_of(strategy, bars), targets, equal_nan=True):
        return "the same bars gave other targets the second time: a strategy is a pure function of bars"
    found = cut_off(strategy, bars, targets, cuts_of(bars, targets, CUTS))
    if found is not None:
        return f"the targets of {found.when} change with bars that come later: the strategy knows the future"
    return ""


def cut_off(strategy: Strategy[Any], bars: Bars, targets: Floats, cuts: Sequence[int]) -> Difference | None:
    """What changes where only the first so many bars are given. Raises StrategyBroke."""
    for stop in cuts:
        part = targets_of(strategy, bars.between(0, stop))
        found = first_difference(bars, targets[:stop], part, "when the bars after it are not there yet")
        if found is not None:
            return found
    return None


def with_other_futures(
    strategy: Strategy[Any], bars: Bars, targets: Floats, cuts: Sequence[int], seed: int
) -> Difference | None:
    """What changes where the bars from these places on are others. Raises StrategyBroke."""
    rng = np.random.default_rng(seed)
    for stop in cuts:
        if stop < len(bars):
            part = targets_of(strategy, another_future(bars, stop, rng))[:stop]
            found = first_difference(bars, targets[:stop], part, "when the bars after it are others")
            if found is not None:
                return found
    return None


def another_future(bars: Bars, start: int, rng: np.random.Generator) -> Bars:
    """The same bars up to `start`; from there on prices go another way, and volumes are others."""
    shape = (len(bars) - start, len(bars.symbols))
    factor = np.exp(np.cumsum(rng.normal(0, 0.05, shape), axis=0) + rng.normal(0, 0.5, shape[1]))
    others = {name: getattr(bars, name).copy() for name in FIELDS}
    for name in FIELDS:
        others[name][start:] *= factor if name != "volume" else rng.uniform(0.5, 2, shape).round(2)
    return Bars(bars.symbols, bars.time, **others)


def cuts_of(bars: Bars, targets: Floats, count: int) -> list[int]:
    """Where bars are taken away: `count` places spread evenly, as many right after changes, as many right after holes.

    Changes give more away: a look at the very next bar can only be seen in the last target left, and there half of the
    time by chance. So do holes: who fills them may do it with what comes after.
    """
    places = (np.flatnonzero(changed_rows(targets)), np.flatnonzero(~np.isfinite(bars.close).all(axis=1)))
    spread = np.linspace(0.0, 0.95, count)
    picked = [one[(spread * (len(one) - 1)).astype(int)] + 1 for one in places if len(one)]
    evenly = np.linspace(0.02, 0.97, count) * len(targets)
    return sorted({max(1, int(place)) for place in np.concatenate((evenly, *picked))})
