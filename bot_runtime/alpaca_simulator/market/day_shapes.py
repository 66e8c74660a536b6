"""When a day reaches its extremes: the corners its minutes run over, and what its shares cost on average.

Both are known without making a minute, so that a day's bar and its minutes can agree to the cent.
"""

from __future__ import annotations

from itertools import pairwise

from alpaca_simulator.market.draws import DRAW_RANGE
from alpaca_simulator.market.price_source import Jump

#: A minute (0 is the first one's start) and the price then, in cents.
Corner = tuple[int, int]

_SHAPE_BITS = 16


def packed_shape(first: int, second: int, order: int) -> int:
    """Three draws as one whole number: when the two extremes are reached, and which one comes first."""
    return first | second << _SHAPE_BITS | order << 2 * _SHAPE_BITS


def corners(shape: int, count: int, prices: tuple[int, int, int, int], jump: Jump | None) -> list[Corner]:
    """From the open over both extremes to the close of `count` minutes; `prices` are open, high, low, close.

    A jump up has the low before and the high after it, a jump down the other way round.
    """
    opening, high, low, closing = prices
    first, second, order = shape % DRAW_RANGE, (shape >> _SHAPE_BITS) % DRAW_RANGE, shape >> 2 * _SHAPE_BITS
    if jump is not None:
        early, late = (low, high) if jump.after > jump.before else (high, low)
        left = count - jump.minute - 2
        return [
            (0, opening),
            (1 + first * (jump.minute - 1) // DRAW_RANGE, early),
            (jump.minute, jump.before),
            (jump.minute + 1, jump.after),
            (jump.minute + 2 + second * (left - 1) // DRAW_RANGE, late),
            (count, closing),
        ]
    one, other = 1 + first * (count - 2) // DRAW_RANGE, 1 + second * (count - 2) // DRAW_RANGE
    if one == other:
        other = one + 1 if one < count - 1 else one - 1
    early, late = (high, low) if order < DRAW_RANGE // 2 else (low, high)
    return [(0, opening), (min(one, other), early), (max(one, other), late), (count, closing)]


def average_price(path: list[Corner]) -> float:
    """The mean price in cents along straight lines over the corners, weighted by the day's volume.

    The weight at the share u of the day is 1 + 3(2u - 1)^2: four times as much at the ends as at noon.
    """
    count = path[-1][0]
    total = 0.0
    for (begin, price), (end, target) in pairwise(path):
        a, b = begin / count, end / count
        slope = (target - price) / (b - a)
        total += (price - slope * a) * (_weight(b) - _weight(a)) + slope * (_moment(b) - _moment(a))
    return total / 2.0


def _weight(u: float) -> float:
    """The integral of the weight from 0 to u; 2 over the whole day."""
    return u * (4.0 - u * (6.0 - 4.0 * u))


def _moment(u: float) -> float:
    """The integral of u times the weight from 0 to u."""
    return u * u * (2.0 - u * (4.0 - 3.0 * u))
