"""What makes a backtest of some bars doubtful, in words for a person. Pure.

Must never refuse anything: what is refused has a defect (`tradingbot_runtime.core.quality`), and is no matter of doubt.
"""

from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradingbot_research.days import Days
from tradingbot_research.market import Bars, Floats, Whole

JUMP: Final = 0.3
"""A move from one close to the next that a split or a dividend may explain better than the market."""
_FORWARD: Final = ((3, 2), *((new, 1) for new in (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 50, 100)))
_SPLITS: Final = (*_FORWARD, *((old, new) for new, old in _FORWARD))
"""New shares for old ones, and the other way round."""
_NEAR: Final = 0.04
"""How far the market may have moved over the night of a split."""
_SATURDAY: Final = 5
_NAMED: Final = 5


class Adjustment(StrEnum):
    """What is known of past prices and of splits and dividends since."""

    SPLITS = "adjusted for splits"
    ALL = "adjusted for splits and dividends"
    RAW = "raw"
    UNKNOWN = "unknown"


_LOSSES: Final = "show as losses that nobody had"
_PAID: Final = "prices that nobody paid, so that whole shares and costs per share are only nearly right"
_OF_ADJUSTMENT: Final = {
    Adjustment.SPLITS: f"prices are adjusted for splits and not for dividends, which {_LOSSES}.",
    Adjustment.ALL: f"prices are adjusted for splits and dividends: {_PAID}.",
    Adjustment.RAW: "prices are raw: the adjusted closes beside them differ, and are not read. Splits and dividends"
    f" {_LOSSES}.",
    Adjustment.UNKNOWN: "nothing says whether these prices are adjusted. If they are not, splits and dividends"
    f" {_LOSSES}; if they are, they are {_PAID}.",
}


def doubts_of(bars: Bars, adjustment: Adjustment = Adjustment.UNKNOWN) -> list[str]:
    """Everything doubtful about these bars; adjustment and survivorship are always said, last."""
    found = []
    for column, symbol in enumerate(bars.symbols):
        there = np.flatnonzero(np.isfinite(bars.close[:, column]))
        if len(there):
            found += [f"{symbol}: {one}" for one in _of_one(bars, column, there)]
    weekend = int((_weekday(Days.of(bars.time)) >= _SATURDAY).sum())
    if weekend:
        found.append(f"{weekend} days are Saturdays and Sundays, when no US exchange is open")
    return [*found, f"Adjustment: {_OF_ADJUSTMENT[adjustment]}", f"Survivorship: {_survivors(bars)}"]


def _of_one(bars: Bars, column: int, there: Whole) -> list[str]:
    found = []
    dates = np.datetime_as_string(bars.time, unit="D")
    closes = bars.close[there, column]
    moves = np.abs(closes[1:] / closes[:-1] - 1)
    jumps = np.flatnonzero(moves > JUMP)
    if len(jumps):
        first = f"the first {moves[jumps[0]]:.0%} on {dates[there[jumps[0] + 1]]}"
        found.append(
            f"{len(jumps)} moves of more than {JUMP:.0%} in one bar, {first}: are the prices adjusted for splits and"
            f" dividends?{_like_splits(closes, bars.open[there, column], jumps, dates[there])}"
        )
    if there[0] > 0:
        found.append(f"begins on {dates[there[0]]}, {there[0]} bars after the first: before, nothing of it can be held")
    if there[-1] < len(bars) - 1:
        found.append(f"ends on {dates[there[-1]]}, {len(bars) - 1 - there[-1]} bars before the last")
    inner = int(there[-1] - there[0]) + 1
    if len(there) < inner:
        found.append(f"{inner - len(there)} of {inner} bars are not there")
    empty = int((bars.volume[there, column] == 0).sum())
    if empty:
        found.append(f"{empty} bars without volume, in which nothing is filled")
    return found


def _like_splits(closes: Floats, opens: Floats, jumps: Whole, dates: NDArray[np.str_]) -> str:
    """The jumps from a close to the next open that are a split's ratio but for a few percent."""
    named = []
    for jump in jumps:
        factor = closes[jump] / opens[jump + 1]
        off, new, old = min((abs(factor * old / new - 1), new, old) for new, old in _SPLITS)
        if off <= _NEAR:
            named.append(f"{new} for {old} on {dates[jump + 1]}")
    if not named:
        return ""
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return f" Some have the ratio of a split: {', '.join(named[:_NAMED])}{more}"


def _weekday(days: Days) -> Whole:
    """0 is Monday."""
    since: Whole = days.date.astype("datetime64[D]").astype(np.int64)
    return (since + 3) % 7  # 1970-01-01 was a Thursday


def _survivors(bars: Bars) -> str:
    gone = [symbol for column, symbol in enumerate(bars.symbols) if not np.isfinite(bars.close[-1, column])]
    if gone:
        more = ", ..." if len(gone) > _NAMED else ""
        return (
            f"{len(gone)} of {len(bars.symbols)} symbols end before the last bar ({', '.join(gone[:_NAMED])}{more})."
            " Whatever else was delisted or went bankrupt is missing unless you put it in."
        )
    who = "the only symbol is" if len(bars.symbols) == 1 else f"all {len(bars.symbols)} symbols are"
    return (
        f"{who} there to the last bar. A universe that is chosen today holds what is still there: what was delisted or"
        " went bankrupt is missing, and results look better than they were."
    )
