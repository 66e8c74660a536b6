"""Whether a strategy knows the future or changes its mind: bars are taken away, and its targets compared."""

from typing import Any, Final

import numpy as np

from tradingbot_research.market import Bars, Floats
from tradingbot_research.stepping import changed_rows
from tradingbot_research.sweep import targets_of
from tradingbot_runtime.strategies.contract import Strategy

CUTS: Final = 8
"""How often, in two ways each, bars are taken away to see whether targets change."""


def looks_ahead(strategy: Strategy[Any], bars: Bars, targets: Floats) -> str:
    """Whether a target changes when later bars are taken away, or when it is asked for again; empty if not."""
    if not np.array_equal(targets_of(strategy, bars), targets, equal_nan=True):
        return "the same bars gave other targets the second time: a strategy is a pure function of bars"
    for stop in _cuts(targets):
        part = targets_of(strategy, bars.between(0, stop))
        same = np.isclose(part, targets[:stop], rtol=1e-9, atol=1e-12, equal_nan=True).all(axis=1)
        if not bool(same.all()):
            when = np.datetime_as_string(bars.time[int(np.argmin(same))], unit="m")
            return f"the targets of {when} change with bars that come later: the strategy knows the future"
    return ""


def _cuts(targets: Floats) -> list[int]:
    """Where bars are taken away: at places spread evenly, and right after changes of the targets, which give more away.

    A look at the very next bar can only be seen in the last target left, and there half of the time by chance.
    """
    changes = np.flatnonzero(changed_rows(targets)) + 1
    spread = np.linspace(0.2, 0.95, CUTS)
    picked = changes[(spread * (len(changes) - 1)).astype(int)].tolist()
    return sorted({max(1, int(len(targets) * share)) for share in spread} | set(picked))
