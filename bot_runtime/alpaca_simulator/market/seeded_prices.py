"""Prices made from a seed: a daily walk for each symbol, moved by the market, its sector and itself.

The walk has overnight gaps, monthly trends, sudden jumps and a weak pull home. Corporate actions
change it on their ex-date as they change a real price.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Sequence
from datetime import date

from alpaca_simulator.market.assets import Asset
from alpaca_simulator.market.caches import RecentlyUsed
from alpaca_simulator.market.calendar import Session, TradingCalendar
from alpaca_simulator.market.corporate_actions import CorporateActions, PriceChange
from alpaca_simulator.market.day_shapes import average_price, corners, packed_shape
from alpaca_simulator.market.draws import DRAW_RANGE, draws, normal, share
from alpaca_simulator.market.factors import Factors, shock_of
from alpaca_simulator.market.price_source import MOST_SHARES_A_DAY, DayBar, Hours, Jump, MinuteBars, spread_at
from alpaca_simulator.market.synthesis import MinuteSynthesis

SESSIONS_A_YEAR = 252
#: No simulated price goes below this, so that one cent stays a small step.
LOWEST_CENTS = 200

# The share of a day's spread of returns that happens overnight, and the pull back to the
# reference price a session: half of a deviation is gone after about a year.
_GAP_SHARE = 0.45
_DAY_SHARE = 0.9
_PULL = 0.003
_TREND_SHARE = 0.12
_LARGEST_MOVE = 0.2
# A jump is as large as three to six days, and leaves half an hour on either side.
_JUMP_DAYS = 3.0
_JUMP_MARGIN_MINUTES = 30
_LARGEST_JUMP = 0.15

#: Walks of this process, for every market that would make the same one: all depends on the key, and
#: walking from 2016 to today is most of what a fresh simulator costs.
_WALKS_SHARED = 128
_SHARING = threading.Lock()

_DAY_DRAWS = 20
_SHARES_A_TRADE = 2_000
_TRADES_A_MINUTE = (6, 20)


class SeededPrices:
    """The PriceSource of a seed; `jumps_a_year` is how often a symbol jumps inside a session."""

    def __init__(
        self,
        seed: int,
        calendar: TradingCalendar,
        actions: CorporateActions,
        *,
        jumps_a_year: float,
        walks_cached: int,
    ) -> None:
        self._seed = seed
        self._calendar = calendar
        self._actions = actions
        self._jump_odds = int(jumps_a_year / SESSIONS_A_YEAR * DRAW_RANGE * DRAW_RANGE)
        self._factors = Factors(seed, calendar)
        self._walks: RecentlyUsed[Asset, _Walk] = RecentlyUsed(walks_cached)
        self._synthesis = MinuteSynthesis(seed, calendar, actions, self)

    @property
    def walks_held(self) -> int:
        """How many symbols' walks are in memory."""
        return len(self._walks)

    def traded(self, asset: Asset, number: int) -> int | None:
        """Every asset trades in every session."""
        return number

    def day(self, asset: Asset, number: int) -> DayBar:
        """The whole session as one bar; its minutes agree with it."""
        return self._walks.get(asset, lambda: self._walk(asset)).day(number)

    def _walk(self, asset: Asset) -> _Walk:
        changes = tuple(self._actions.price_changes(asset.symbol))
        key = (self._seed, asset, self._calendar.sessions[0], len(self._calendar.sessions), changes, self._jump_odds)
        with _SHARING:
            return _SHARED.get(
                key, lambda: _Walk(self._seed, asset, self._calendar, changes, self._factors, self._jump_odds)
            )

    def minutes(self, asset: Asset, number: int, hours: Hours) -> MinuteBars:
        """The minutes of one part of a session."""
        return self._synthesis.minutes(asset, number, hours)


class _Walk:
    """One symbol's sessions in order, as far as they were asked for."""

    def __init__(
        self,
        seed: int,
        asset: Asset,
        calendar: TradingCalendar,
        changes: tuple[PriceChange, ...],
        factors: Factors,
        jump_odds: int,
    ) -> None:
        self._key = (seed, asset.walk)
        self._asset = asset
        self._sessions = calendar.sessions
        self._changes = deque(changes)
        self._shocks = factors.mixed_for(asset)
        self._jump_odds = jump_odds
        self._deviation = asset.yearly_volatility / math.sqrt(SESSIONS_A_YEAR)
        self._reference = float(asset.reference_cents)
        self._shares = float(asset.daily_volume)
        self._month: tuple[int, int] = (0, 0)
        self._trend = 0.0
        self._days: list[DayBar] = []
        self._growing = threading.Lock()

    def day(self, number: int) -> DayBar:
        if number >= len(self._days):
            with self._growing:
                while len(self._days) <= number:
                    before = self._days[-1].close if self._days else self._asset.reference_cents
                    self._days.append(self._next(self._sessions[len(self._days)], before))
        return self._days[number]

    def _next(self, session: Session, before: int) -> DayBar:
        day = session.day.isoformat()
        drawn = draws(_DAY_DRAWS, *self._key, day, "day")
        shock = self._shocks.shock(session.number, shock_of(drawn, 0))
        while self._changes and self._changes[0].ex_date <= session.day:
            before = self._take_effect(self._changes.popleft(), before)
        deviation, reference = self._deviation, self._reference
        gap = _bounded(deviation * _GAP_SHARE * shock.night + _PULL * (reference - before) / reference)
        move = _bounded(deviation * (_DAY_SHARE * shock.day + _TREND_SHARE * self._trend_of(session.day)))
        opening = _price(before * (1.0 + gap))
        jump = self._jump(drawn, opening, move, session.minutes)
        closing = _price(opening * (1.0 + move) if jump is None else jump.after * (1.0 + move / 2.0))
        spread = spread_at(opening)
        prices = (opening, closing) if jump is None else (opening, closing, jump.before, jump.after)
        # Room for a quote in the narrowest session, and for the path to move in it.
        high = max(prices) + max(4 * spread, round(opening * deviation * 0.6 * share(drawn[9])))
        low = min(prices) - max(4 * spread, round(opening * deviation * 0.6 * share(drawn[10])))
        liveliness = 0.6 + 0.6 * share(drawn[11]) + 10.0 * abs(closing - opening) / opening
        volume = int(self._shares * liveliness * session.minutes / 390)
        volume = min(MOST_SHARES_A_DAY, max(10_000, volume))
        least, most = _TRADES_A_MINUTE
        trades = min(most * session.minutes, max(least * session.minutes, volume // _SHARES_A_TRADE))
        shape = packed_shape(drawn[12], drawn[13], drawn[14])
        average = average_price(corners(shape, session.minutes, (opening, high, low, closing), jump))
        turnover = min(volume * high, max(volume * low, round(volume * average)))
        return DayBar(opening, high, low, closing, volume, trades, spread, turnover, shape, jump)

    def _take_effect(self, change: PriceChange, before: int) -> int:
        """A corporate action comes into force: the walk goes on from the price it leaves behind."""
        after = max(LOWEST_CENTS, change.cents_after(before))
        self._reference *= after / before
        self._shares *= float(change.ratio)
        return after

    def _trend_of(self, day: date) -> float:
        if self._month != (day.year, day.month):
            self._month = (day.year, day.month)
            self._trend = normal(draws(4, *self._key, f"{day:%Y-%m}", "trend"), 0)
        return self._trend

    def _jump(self, drawn: Sequence[int], opening: int, move: float, minutes: int) -> Jump | None:
        """The session's jump, in most sessions none: half of the day's own move comes before it, half after."""
        if drawn[15] * DRAW_RANGE + drawn[16] >= self._jump_odds:
            return None
        size = min(_LARGEST_JUMP, self._deviation * _JUMP_DAYS * (1.0 + share(drawn[17])))
        up = drawn[18] < DRAW_RANGE // 2
        minute = _JUMP_MARGIN_MINUTES + int(share(drawn[19]) * (minutes - 2 * _JUMP_MARGIN_MINUTES))
        before = _price(opening * (1.0 + move / 2.0))
        return Jump(minute, before, _price(before * (1.0 + (size if up else -size))))


def _price(cents: float) -> int:
    return max(LOWEST_CENTS, round(cents))


def _bounded(move: float) -> float:
    return min(_LARGEST_MOVE, max(-_LARGEST_MOVE, move))


_SHARED: RecentlyUsed[tuple[object, ...], _Walk] = RecentlyUsed(_WALKS_SHARED)
