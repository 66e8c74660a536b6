"""A strategy asked as a bot asks it: bar by bar, each time with the last bars of its lookback, and only the last row
taken. And what it says before anything is rounded.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tradingbot_research.market import Bars, Flags, Floats
from tradingbot_research.sweep import StrategyBroke
from tradingbot_runtime.strategies.contract import Strategy
from tradingbot_runtime.strategies.evaluation import StrategyFailed, weights_of

if TYPE_CHECKING:
    import pandas as pd


def live_rows(strategy: Strategy[Any], bars: Bars, steps: Sequence[int]) -> Iterator[tuple[int, Floats]]:
    """The weights by symbol at each of these bars, as a bot has them; NaN where it would leave a position as it is.

    One instance is asked of all, in order. Raises StrategyBroke.
    """
    frames = bars.frames()
    there = np.cumsum(np.isfinite(bars.close), axis=0)
    for step in steps:
        window = {}
        for column, symbol in enumerate(bars.symbols):
            end = int(there[step, column])
            if end:
                window[symbol] = frames[symbol].iloc[max(0, end - strategy.lookback) : end].copy()
        try:
            weights = weights_of(strategy, {symbol: window[symbol] for symbol in sorted(window)})
        except StrategyFailed as error:
            when = np.datetime_as_string(bars.time[step], unit="m")
            raise StrategyBroke(f"{strategy.name}, asked live at {when}: {error}") from error
        yield step, np.array([float(weights.get(symbol, np.nan)) for symbol in bars.symbols])


def window_is_full(bars: Bars, lookback: int, start: int) -> Flags:
    """For each bar from `start` on: whether every symbol has it, and `lookback` bars since `start`."""
    there = np.isfinite(bars.close[start:])
    counts = np.cumsum(there, axis=0)
    full: Flags = np.all(there & (counts >= lookback), axis=1)
    return full


def nothing_is_missing(bars: Bars, lookback: int) -> Flags:
    """For each bar: whether every symbol has it and each of the `lookback` bars that end with it."""
    gaps = np.cumsum(~np.isfinite(bars.close).all(axis=1))
    before = np.concatenate((np.zeros(min(lookback, len(gaps)), dtype=gaps.dtype), gaps))[: len(gaps)]
    found: Flags = (gaps == before) & (np.arange(len(gaps)) >= lookback - 1)
    return found


def raw_targets(strategy: Strategy[Any], bars: Bars) -> Floats | str:
    """Targets for all bars, bars x symbols, as they come; or in words why they are none. Raises StrategyBroke."""
    import pandas as pd

    found = _asked(strategy, bars.frames())
    if not isinstance(found, pd.DataFrame):
        return f"targets returned {type(found).__name__}: return a DataFrame, a row a bar, a column a symbol"
    unknown = sorted(set(map(str, found.columns)) - set(bars.symbols))
    if unknown:
        return f"targets for {', '.join(unknown)}, which no bars were given of"
    if not found.columns.is_unique:
        return "a symbol has two columns"
    if not found.index.equals(pd.DatetimeIndex(bars.time, tz="UTC")):
        return f"{len(found)} rows that are not those of the {len(bars)} bars: return a row a bar, with the bars' times"
    try:
        return found.reindex(columns=list(bars.symbols)).to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        return f"targets that are no numbers: {error}"


def changes_its_bars(strategy: Strategy[Any], bars: Bars) -> bool:
    """Whether the frames are others after it was asked. Raises StrategyBroke."""
    given, kept = bars.frames(), bars.frames()
    _asked(strategy, given)
    return list(given) != list(kept) or any(not given[symbol].equals(kept[symbol]) for symbol in kept)


def _asked(strategy: Strategy[Any], frames: Mapping[str, "pd.DataFrame"]) -> Any:
    """Whatever `targets` gives, which need not be targets."""
    try:
        return strategy.targets(frames)
    except Exception as error:
        # Somebody else's code: whatever it raises is an answer.
        raise StrategyBroke(f"{strategy.name}: {type(error).__name__}: {error}") from error
