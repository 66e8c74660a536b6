"""The minutes within a bar: a path that starts, turns and ends where the bar says and adds up to it.

Whole columns at once, in 64-bit integers and in float operations that every machine rounds alike.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from alpaca_simulator.market.day_shapes import Corner, corners
from alpaca_simulator.market.draws import DRAW_RANGE, SUM_DEVIATION, SUM_MEAN, draw_bytes
from alpaca_simulator.market.price_source import DayBar, Hours, MinuteBars
from alpaca_simulator.market.turnover import Prices, agreed_turnover

Whole = NDArray[np.int64]
Real = NDArray[np.float64]
#: Seed, symbol, day and part of the day.
Key = tuple[int, str, str, str]

_MINUTE_DRAWS = 6
#: A minute with any trade has at least so many: its open, both extremes and its close.
TRADES_A_MINUTE_AT_LEAST = 4
# In thin bars four trades together are a lot.
_SHARES_A_LOT = 400
_LOTS_A_MINUTE_AT_MOST = 5


@dataclass(frozen=True, slots=True)
class MinuteGrid:
    """Which minutes to make: `count` of them from `start_epoch` on, in that part of the day."""

    start_epoch: int
    count: int
    hours: Hours


def minutes_within(bar: DayBar, grid: MinuteGrid, key: Key, *, loading: float) -> MinuteBars:
    """The minutes of `bar`: its open, extremes, close and volume, and unless it is thin its trades and turnover.

    `key` is seed, symbol, day and hours; by `loading` the noise is that of all symbols at that time.
    """
    count = grid.count
    seed, _, day, hours = key
    drawn = _drawn(count, _MINUTE_DRAWS, *key, "minutes")
    common = _drawn(count, 4, seed, "factor", "market", day, hours, "minutes")
    noise = loading * _normal(common) + float(np.sqrt(1.0 - loading * loading)) * _normal(drawn)
    path = _path(bar, count, noise)
    opens, closes = path[:-1], path[1:]
    highs, lows = _reaches(bar, opens, closes, drawn[:, 4])
    prices = (opens, highs, lows, closes)
    weights = _volume_weights(grid, drawn[:, 5])
    split = _thin_split(bar.volume, weights, prices) if bar.thin else _split(bar, weights, prices)
    columns = (*prices, *split)
    return MinuteBars(grid.start_epoch, bar.spread, *(array("q", column.tobytes()) for column in columns))


def shared_out(total: int, weights: Whole) -> Whole:
    """`total` in whole parts by weight that add up to exactly `total`."""
    reached = total * np.cumsum(weights) // int(weights.sum())
    return np.diff(reached, prepend=0)


def _drawn(count: int, width: int, *key: object) -> Whole:
    """`width` draws for each of `count` minutes."""
    return np.frombuffer(draw_bytes(2 * width * count, *key), "<u2").reshape(count, width).astype(np.int64)


def _normal(drawn: Whole) -> Real:
    """A nearly normal number a minute from its first four draws."""
    total: Real = (drawn[:, 0] + drawn[:, 1] + drawn[:, 2] + drawn[:, 3]).astype(np.float64)
    return (total - SUM_MEAN) / SUM_DEVIATION


def _path(bar: DayBar, count: int, noise: Real) -> Whole:
    """The price at each minute's start and at the end: bridges from corner to corner."""
    path = np.empty(count + 1, dtype=np.int64)
    path[0] = bar.open
    step = 0.5 * (bar.high - bar.low) / float(np.sqrt(count))
    for start, stop in pairwise(corners(bar.shape, count, (bar.open, bar.high, bar.low, bar.close), bar.jump)):
        path[start[0] + 1 : stop[0] + 1] = _bridge(bar, start, stop, step * noise[start[0] : stop[0]])
    return path


def _bridge(bar: DayBar, start: Corner, stop: Corner, steps: Real) -> Whole:
    """Prices after the first corner that end exactly at the second, kept inside the bar by folding."""
    length = len(steps)
    walked = np.cumsum(steps)
    along = np.arange(1, length + 1) / length
    raw = np.rint(start[1] + (stop[1] - start[1]) * along + walked - walked[-1] * along).astype(np.int64)
    folded = np.where(raw > bar.high, 2 * bar.high - raw, np.where(raw < bar.low, 2 * bar.low - raw, raw))
    inside: Whole = np.clip(folded, bar.low, bar.high)
    inside[-1] = stop[1]
    return inside


def _reaches(bar: DayBar, opens: Whole, closes: Whole, drawn: Whole) -> tuple[Whole, Whole]:
    """Highs and lows of the minutes, wide enough to hold a quote where the bar is."""
    reach = 1 + drawn * (2 * bar.spread) // DRAW_RANGE
    highs = np.minimum(bar.high, np.maximum(opens, closes) + reach)
    lows = np.maximum(bar.low, np.minimum(opens, closes) - reach)
    missing = np.minimum(np.maximum(0, bar.spread - (highs - lows)), bar.high - bar.low - (highs - lows))
    raised = np.minimum(missing, bar.high - highs)
    return highs + raised, lows - (missing - raised)


def _volume_weights(grid: MinuteGrid, drawn: Whole) -> Whole:
    """More at the open and the close than at noon, with some noise; outside, more towards the session."""
    along = np.arange(grid.count) / max(1, grid.count - 1)
    match grid.hours:
        case Hours.REGULAR:
            from_noon = 2.0 * along - 1.0
        case Hours.PRE_MARKET:
            from_noon = along
        case Hours.AFTER_HOURS:
            from_noon = 1.0 - along
    return (1000.0 * (1.0 + 3.0 * from_noon * from_noon) * (0.5 + drawn / DRAW_RANGE)).astype(np.int64)


def _split(bar: DayBar, weights: Whole, prices: Prices) -> tuple[Whole, Whole, Whole]:
    """Shares, trades and cost of each minute: all of them have some."""
    count = len(weights)
    trades = TRADES_A_MINUTE_AT_LEAST + shared_out(bar.trades - TRADES_A_MINUTE_AT_LEAST * count, weights)
    at_least = np.full(count, TRADES_A_MINUTE_AT_LEAST, dtype=np.int64)
    agreed = agreed_turnover(bar.volume, bar.turnover, weights, at_least, prices)
    active = agreed.volume > 0
    if not active.all():
        spare = bar.trades - TRADES_A_MINUTE_AT_LEAST * int(active.sum())
        trades = TRADES_A_MINUTE_AT_LEAST * active + shared_out(spare, active.astype(np.int64))
    return agreed.volume, trades, agreed.turnover


def _thin_split(shares: int, weights: Whole, prices: Prices) -> tuple[Whole, Whole, Whole]:
    """Shares, trades and cost of each minute: first of those that the bar's four prices are of."""
    opens, highs, lows, closes = prices
    count = len(weights)
    needed = list(dict.fromkeys((0, count - 1, int(np.argmax(highs)), int(np.argmin(lows)))))[:shares]
    lots = np.zeros(count, dtype=np.int64)
    lots[needed] = 1
    lots += shared_out(min(shares // _SHARES_A_LOT, _LOTS_A_MINUTE_AT_MOST * count), weights)
    at_least = np.minimum(lots, 1) * (TRADES_A_MINUTE_AT_LEAST if shares > _SHARES_A_LOT else 1)
    volume = at_least + shared_out(shares - int(at_least.sum()), weights * np.minimum(lots, 1))
    return volume, TRADES_A_MINUTE_AT_LEAST * lots, volume * (opens + highs + lows + closes) // 4
