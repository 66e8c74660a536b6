"""Bars as if splits and dividends had always been in their prices.

Only what has taken effect by now adjusts anything: tomorrow's split is not known today.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from alpaca_simulator.market.assets import Asset
from alpaca_simulator.market.prices import Market

ADJUSTMENTS = frozenset({"raw", "split", "dividend", "spin-off", "all"})


class Factor(NamedTuple):
    """What a day's prices and volume are multiplied by."""

    price: float
    volume: float


UNADJUSTED = Factor(1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Adjustment:
    """The factors of one asset: those at `index` i hold before the ex-date `days[i]`."""

    days: tuple[date, ...]
    factors: tuple[Factor, ...]

    def on(self, day: date) -> Factor:
        """The factor of a day."""
        index = bisect_right(self.days, day)
        return self.factors[index] if index < len(self.factors) else UNADJUSTED


def adjustment_of(market: Market, asset: Asset, kinds: Iterable[str], today: date) -> Adjustment:
    """The adjustment of `kinds` (of ADJUSTMENTS) by what has taken effect by `today`.

    Splits divide earlier prices and multiply earlier volumes. A dividend takes its share of the
    close before the ex-date off earlier prices.
    """
    wanted = frozenset(kinds)
    days: list[date] = []
    factors: list[Factor] = []
    price, volume = Decimal(1), Decimal(1)
    for change in reversed(market.actions.price_changes(asset.symbol)):
        if change.ex_date > today:
            continue
        if wanted & {"split", "all"}:
            price, volume = price / change.ratio, volume * change.ratio
        if wanted & {"dividend", "all"} and change.dividend:
            price *= _left_after(market, asset, change.ex_date, change.dividend * change.ratio)
        if price != 1 or volume != 1:
            days.append(change.ex_date)
            factors.append(Factor(float(price), float(volume)))
    return Adjustment(tuple(reversed(days)), tuple(reversed(factors)))


def _left_after(market: Market, asset: Asset, ex_date: date, dividend: Decimal) -> Decimal:
    """The part of the close before `ex_date` that is left after `dividend` dollars of an old share."""
    before = market.calendar.between(market.calendar.sessions[0].day, ex_date)
    sessions = [session for session in before[-2:] if session.day < ex_date]
    if not sessions:
        return Decimal(1)
    close = Decimal(market.day(asset, sessions[-1]).close) / 100
    return max(Decimal("0.0001"), 1 - dividend / close)
