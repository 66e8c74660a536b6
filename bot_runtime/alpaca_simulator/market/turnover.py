"""How a bar's shares and their cost are split among its minutes, so that both add up exactly.

A day's average price is promised before its minutes are made; here the minutes keep the promise.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]
#: Open, high, low and close of every minute, in cents.
Prices = tuple[Whole, Whole, Whole, Whole]

# Sums of weights stay below this, so that they can be multiplied by any day's shares.
_WEIGHTS_AT_MOST = 2**26


class Agreed(NamedTuple):
    """Shares of every minute, and their cost in cents: within the minute's prices times its shares."""

    volume: Whole
    turnover: Whole


def agreed_turnover(volume: int, turnover: int, weights: Whole, at_least: Whole, prices: Prices) -> Agreed:
    """`volume` shares that cost `turnover` cents, by weight as far as the cost allows.

    `at_least` are shares every minute has in any case. `turnover` has to lie within the day's
    extremes times its volume.
    """
    opens, highs, lows, closes = prices
    quarters = opens + highs + lows + closes
    spare = volume - int(at_least.sum())
    tilted = _tilted(spare, turnover - int((at_least * quarters).sum()) // 4, weights, quarters) if spare else weights
    reached = spare * np.cumsum(tilted) // int(tilted.sum())
    volumes = at_least + np.diff(reached, prepend=0)
    costs = volumes * quarters // 4
    missing = turnover - int(costs.sum())
    room = volumes * highs - costs if missing > 0 else costs - volumes * lows
    if abs(missing) > int(room.sum()):
        return _at_the_extremes(volume, turnover, highs, lows)
    moved = _fitted(abs(missing), room)
    return Agreed(volumes, costs + moved if missing > 0 else costs - moved)


def _tilted(volume: int, turnover: int, weights: Whole, quarters: Whole) -> Whole:
    """The weights with more on the minutes above the wanted average price, or on those below it."""
    whole, weighted = int(weights.sum()), int((weights * quarters).sum())
    if weighted * volume < 4 * turnover * whole:
        wanted = quarters > 4 * turnover // volume
    else:
        wanted = quarters < -(-4 * turnover // volume)
    inside, inside_weighted = int(weights[wanted].sum()), int((weights * quarters)[wanted].sum())
    gain = abs(inside_weighted * volume - 4 * turnover * inside)
    lack = abs(4 * turnover * (whole - inside) - (weighted - inside_weighted) * volume)
    if gain == 0 or lack <= gain:
        return weights
    # The share of the whole that the favoured minutes have to have, in parts of 2**26.
    favoured = _WEIGHTS_AT_MOST * lack * inside // (lack * inside + gain * (whole - inside))
    others = _WEIGHTS_AT_MOST - favoured
    return np.where(wanted, weights * favoured // inside, weights * others // max(1, whole - inside))


def _fitted(missing: int, room: Whole) -> Whole:
    """`missing` cents spread over the room there is, in proportion to it."""
    whole = int(room.sum())
    if whole == 0:
        return room
    # A hair less than the share, so that rounding never gives more than is missing.
    moved: Whole = np.floor(room * (missing / whole * (1.0 - 1e-9))).astype(np.int64)
    left, spare = missing - int(moved.sum()), room - moved
    moved += np.clip(left - (np.cumsum(spare) - spare), 0, spare)
    return moved


def _at_the_extremes(volume: int, turnover: int, highs: Whole, lows: Whole) -> Agreed:
    """For bars of a few shares: all of them at the high and at the low, one in between."""
    top, bottom = int(np.argmax(highs)), int(np.argmin(lows))
    high, low = int(highs[top]), int(lows[bottom])
    volumes, costs = np.zeros_like(highs), np.zeros_like(highs)
    at_top, rest = divmod(turnover - volume * low, high - low) if high > low else (0, 0)
    between = int(np.argmax((lows <= low + rest) & (low + rest <= highs)))
    for minute, shares, price in (
        (top, at_top, high),
        (between, 1 if rest else 0, low + rest),
        (bottom, volume - at_top - (1 if rest else 0), low),
    ):
        volumes[minute] += shares
        costs[minute] += shares * price
    return Agreed(volumes, costs)
