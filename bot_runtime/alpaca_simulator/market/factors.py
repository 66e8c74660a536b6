"""What moves many symbols at once: the market, and each sector, a draw of their own every session.

A symbol's return is its loading on each times their draw, and the rest is its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from alpaca_simulator.market.assets import Asset
from alpaca_simulator.market.calendar import TradingCalendar
from alpaca_simulator.market.draws import draws, normal

_FAT_TAIL_ODDS = 655  # of 65536: one session in a hundred
_FAT_TAIL_FACTOR = 2.5


class Shock(NamedTuple):
    """Nearly normal numbers of one session: for the night before it and for its day."""

    night: float
    day: float


def shock_of(drawn: Sequence[int], first: int) -> Shock:
    """The shock in nine draws from `first` on; one in a hundred is far larger than the others."""
    tail = _FAT_TAIL_FACTOR if drawn[first + 8] < _FAT_TAIL_ODDS else 1.0
    return Shock(normal(drawn, first) * tail, normal(drawn, first + 4) * tail)


class Factors:
    """The common shocks of a seed, kept once made: at most one a session for each sector there is."""

    def __init__(self, seed: int, calendar: TradingCalendar) -> None:
        self._seed = seed
        self._days = [session.day.isoformat() for session in calendar.sessions]
        self._shocks: dict[str, list[Shock]] = {}

    def mixed_for(self, asset: Asset) -> MixedShocks:
        """The shocks of one asset."""
        sector = asset.sector_loading if asset.sector else 0.0
        loadings = {"market": asset.market_loading, f"sector {asset.sector}": sector}
        return MixedShocks(self, {name: loading for name, loading in loadings.items() if loading})

    def shocks(self, name: str, number: int) -> list[Shock]:
        """The shocks of a factor from the first session up to at least session `number`."""
        made = self._shocks.setdefault(name, [])
        while len(made) <= number:
            made.append(shock_of(draws(9, self._seed, "factor", name, self._days[len(made)]), 0))
        return made


class MixedShocks:
    """One asset's shocks: common and own parts by its loadings, with deviation 1 again."""

    def __init__(self, factors: Factors, loadings: dict[str, float]) -> None:
        self._factors = factors
        self._loadings = loadings
        self._own = math.sqrt(max(0.0, 1.0 - sum(loading * loading for loading in loadings.values())))

    def shock(self, number: int, own: Shock) -> Shock:
        """The shock of a session whose own part is `own`."""
        night, day = self._own * own.night, self._own * own.day
        for name, loading in self._loadings.items():
            shock = self._factors.shocks(name, number)[number]
            night, day = night + loading * shock.night, day + loading * shock.day
        return Shock(night, day)
