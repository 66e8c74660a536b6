"""Stops, trailing stops and take-profits inside one bar, in the order that is worst for the position.

A bar does not say whether its high or its low came first. Where a stop and a take-profit both lie within it, the stop
is taken; where the price opens beyond a stop, the fill is at the open; a trailing stop is raised by the bar's own best
price before its worst price is looked at.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from tradingbot_research.market import Floats
from tradingbot_research.result import Cause
from tradingbot_research.rules import Costs, Exits

_NEVER: Final = float("inf")


@dataclass
class Held:
    """What the exits of one position are measured from."""

    entry: float
    """Average price of its entry."""
    anchor: float
    """What stops and take-profits are measured from: that price, or the one that the entry was decided at."""
    best: float
    """Highest price since the entry, of a short the lowest."""


def exit_of(
    held: Held, side: int, opened: float, high: float, low: float, exits: Exits, costs: Costs
) -> tuple[float, Cause] | None:
    """The price and the cause of the exit that this bar brings, if it does; the best price is carried on.

    `side` is 1 for a long position and -1 for a short one. Prices of a short are looked at upside down, so that one
    rule serves both: "worse" is below.
    """
    up, down, start = (high, low, opened) if side > 0 else (-low, -high, -opened)
    best = side * held.best
    share = costs.price_share
    stop, cause = -_NEVER, Cause.STOP_LOSS
    if exits.stop_loss is not None:
        stop = _stop(held, side, exits.stop_loss, exits)
    if exits.trailing_stop is not None:
        trailing = best - exits.trailing_stop * abs(best)
        if trailing > stop:
            stop, cause = trailing, Cause.TRAILING_STOP
    if down <= stop:
        return _marketable(side * min(stop, start), side, share), cause
    if exits.trailing_stop is not None:
        best = max(best, up)
        raised = best - exits.trailing_stop * abs(best)
        if down <= raised:
            # It has not touched the old stop, so it cannot have opened beyond it; the raised one lies on its way down.
            return _marketable(side * raised, side, share), Cause.TRAILING_STOP
        held.best = side * best
    if exits.take_profit is not None:
        limit = _limit(held, side, exits.take_profit, exits)
        if start >= limit:
            return side * start, Cause.TAKE_PROFIT  # a resting limit is filled at the open that is better
        if up >= limit:
            return side * limit, Cause.TAKE_PROFIT
    return None


def _stop(held: Held, side: int, distance: float, exits: Exits) -> float:
    return side * _as_taken(held.anchor - side * distance * held.anchor, exits)


def _limit(held: Held, side: int, distance: float, exits: Exits) -> float:
    return side * _as_taken(held.anchor + side * distance * held.anchor, exits)


def _as_taken(price: float, exits: Exits) -> float:
    return price if exits.price_places is None else round(price, exits.price_places)


def _marketable(price: float, side: int, share: float) -> float:
    return price * (1 - side * share)


def first_touch(held: Held, side: int, highs: Floats, lows: Floats, exits: Exits) -> int | None:
    """The first of these bars in which an exit is possible; never later than the one in which `exit_of` finds one."""
    up, down = (highs, lows) if side > 0 else (-lows, -highs)
    best = side * held.best
    touched = np.zeros(len(up), dtype=np.bool_)
    if exits.stop_loss is not None:
        touched |= down <= _stop(held, side, exits.stop_loss, exits)
    if exits.take_profit is not None:
        touched |= up >= _limit(held, side, exits.take_profit, exits)
    if exits.trailing_stop is not None:
        peaks = np.maximum(np.maximum.accumulate(up), best)
        touched |= down <= peaks - exits.trailing_stop * np.abs(peaks)
    place = int(touched.argmax())
    return place if touched[place] else None
