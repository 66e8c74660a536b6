"""Between which prices a position needs no rebalancing, so that many bars can be passed over in one comparison.

Bounds may be too narrow, which costs a look; they must never be too wide, which would cost a trade.
"""

import math

import numpy as np

from tradingbot_research.market import Flags, Floats
from tradingbot_research.rules import Rules

_HAIR = 1e-9
NEVER = (-math.inf, math.inf)
ALWAYS = (math.inf, math.inf)


def quiet_prices(weight: float, shares: float, rules: Rules) -> tuple[float, float]:
    """The closes within which `shares` are left as they are while the target stays `weight` of a fixed capital.

    With capital C, held s, target w, smallest step d: a purchase is due only where the target is a step or more above
    s, p <= w C / (s + d), the distance is beyond the band b, p < (w - b) C / s, and the trade is not below its least m,
    (w C - s p) + d p >= m C. A sale is due only where p > (w + b) C / s, and (s p - w C) + d p >= m C or the target is
    nothing. A short is the same upside down.
    """
    capital, step, least = rules.capital, rules.share_step, rules.minimum_trade
    band = rules.rebalance_band or 0.0
    if weight < 0 and rules.long_only:
        weight = 0.0
    if weight != weight or (not weight and not shares):
        return NEVER
    if weight * shares < 0:
        return ALWAYS
    weight, shares = abs(weight), abs(shares)
    low = weight * capital / (shares + step) if shares + step else math.inf
    if shares:
        low = min(low, (weight - band) * capital / shares)
    if shares > step:
        low = min(low, (weight - least) * capital / (shares - step))
    if not shares:
        return (low if weight > band else -math.inf) * (1 + _HAIR), math.inf
    beyond = (weight + band) * capital / shares
    enough = (weight + least) * capital / (shares + step)
    nothing = weight * capital / step if step else (math.inf if weight else 0.0)
    return low * (1 + _HAIR), max(beyond, min(enough, nothing)) * (1 - _HAIR)


def first_outside(closes: Floats, low: Floats, high: Floats) -> int | None:
    """The first row with a close outside of its bounds."""
    found: Flags = np.logical_or(closes > high, closes < low)
    rows: Flags = found[:, 0] if found.shape[1] == 1 else np.any(found, axis=1)
    place = int(rows.argmax())
    return place if rows[place] else None


def first_due(closes: Floats, marks: Floats, cash: float, shares: Floats, weights: Floats, rules: Rules) -> int | None:
    """The first row in which a rebalancing may be due where weights are shares of the equity."""
    weights = np.maximum(weights, 0.0) if rules.long_only else weights
    base = (cash + marks @ shares)[:, None]
    away = np.abs(weights * base - shares * closes)
    least = np.where(weights == 0, 0.0, rules.minimum_trade * base - rules.share_step * closes)
    nothing = np.abs(weights) * base < rules.share_step * closes
    with np.errstate(invalid="ignore"):
        due = (away > (rules.rebalance_band or 0.0) * base * (1 - _HAIR)) & ((away >= least * (1 - _HAIR)) | nothing)
    rows: Flags = np.any(due & (away > 0), axis=1)
    place = int(rows.argmax())
    return place if rows[place] else None
