"""Prices replayed from rows that were read before: days with minutes made inside them, or real minutes.

A day without a row is a day on which the symbol does not trade.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Mapping

import numpy as np

from alpaca_simulator.market.assets import Asset
from alpaca_simulator.market.caches import RecentlyUsed
from alpaca_simulator.market.calendar import TradingCalendar
from alpaca_simulator.market.corporate_actions import CorporateActions
from alpaca_simulator.market.day_shapes import average_price, corners, packed_shape
from alpaca_simulator.market.draws import draws
from alpaca_simulator.market.price_source import DayBar, Hours, MinuteBars, spread_at
from alpaca_simulator.market.replay_rows import Rows
from alpaca_simulator.market.synthesis import MinuteSynthesis

_SHARES_A_TRADE = 2_000
_TRADES_A_MINUTE = (6, 20)
# Below this a day is thin: some of its minutes have no trades, and they decide what its shares cost.
_SHARES_OF_A_BUSY_DAY = 100_000
_DAYS_CACHED = 16_384


class ReplayedDays:
    """The PriceSource of daily rows; the minutes inside a day's bar come from the seed."""

    def __init__(
        self, seed: int, calendar: TradingCalendar, actions: CorporateActions, rows: Mapping[str, Rows]
    ) -> None:
        self._seed = seed
        self._calendar = calendar
        self._rows = rows
        self._numbers = {symbol: one.times.tolist() for symbol, one in rows.items()}
        self._days: RecentlyUsed[tuple[Asset, int], DayBar] = RecentlyUsed(_DAYS_CACHED)
        self._synthesis = MinuteSynthesis(seed, calendar, actions, self)

    def traded(self, asset: Asset, number: int) -> int | None:
        """The newest session at or before `number` with a row."""
        numbers = self._numbers[asset.walk]
        position = bisect_right(numbers, number)
        return numbers[position - 1] if position else None

    def day(self, asset: Asset, number: int) -> DayBar:
        """The row of a session as its bar."""
        return self._days.get((asset, number), lambda: self._day(asset, number))

    def _day(self, asset: Asset, number: int) -> DayBar:
        rows, position = self._rows[asset.walk], bisect_right(self._numbers[asset.walk], number) - 1
        session = self._calendar.sessions[number]
        opening, high, low, close, volume = (
            int(column[position]) for column in (rows.open, rows.high, rows.low, rows.close, rows.volume)
        )
        shape = packed_shape(*draws(3, self._seed, asset.walk, session.day.isoformat(), "shape"))
        spread = spread_at(opening)
        if volume < _SHARES_OF_A_BUSY_DAY:
            bar = DayBar(opening, high, low, close, volume, 0, spread, 0, shape, thin=True)
            minutes = self._synthesis.minutes_of(asset, number, bar, Hours.REGULAR)
            return bar._replace(trades=sum(minutes.trades), turnover=sum(minutes.turnover))
        least, most = _TRADES_A_MINUTE
        trades = min(most * session.minutes, max(least * session.minutes, volume // _SHARES_A_TRADE))
        average = average_price(corners(shape, session.minutes, (opening, high, low, close), None))
        turnover = min(volume * high, max(volume * low, round(volume * average)))
        return DayBar(opening, high, low, close, volume, trades, spread, turnover, shape)

    def minutes(self, asset: Asset, number: int, hours: Hours) -> MinuteBars:
        """The minutes of one part of a session."""
        return self._synthesis.minutes(asset, number, hours)


class ReplayedMinutes:
    """The PriceSource of minute rows; a day is what its regular minutes add up to."""

    def __init__(self, calendar: TradingCalendar, actions: CorporateActions, rows: Mapping[str, Rows]) -> None:
        self._calendar = calendar
        self._actions = actions
        self._rows = rows
        self._numbers = {symbol: self._sessions_in(one) for symbol, one in rows.items()}
        self._days: RecentlyUsed[tuple[Asset, int], DayBar] = RecentlyUsed(_DAYS_CACHED)

    def traded(self, asset: Asset, number: int) -> int | None:
        """The newest session at or before `number` with a row in regular hours."""
        numbers = self._numbers[asset.walk]
        position = bisect_right(numbers, number)
        return numbers[position - 1] if position else None

    def day(self, asset: Asset, number: int) -> DayBar:
        """The regular minutes of a session together."""
        return self._days.get((asset, number), lambda: self._day(asset, number))

    def minutes(self, asset: Asset, number: int, hours: Hours) -> MinuteBars:
        """The rows of one part of a session; minutes without a row stand where the price stood before."""
        rows, seconds = self._rows[asset.walk], hours.seconds(self._calendar.sessions[number])
        first, stop = (int(position) for position in np.searchsorted(rows.times, (seconds.start, seconds.stop)))
        count = len(seconds) // 60
        at = (rows.times[first:stop] - seconds.start) // 60
        # Which row each minute shows the price of: its own, or the last one before it; -1 is none in this part.
        shown = np.searchsorted(rows.times[first:stop], np.arange(count) * 60 + seconds.start, side="right") - 1
        before = self._price_before(asset, number, first)
        standing = np.where(shown < 0, before, rows.close[first:stop][shown] if stop > first else before)
        columns = [standing.copy() for _ in range(4)]
        for column, given in zip(columns, (rows.open, rows.high, rows.low, rows.close), strict=True):
            column[at] = given[first:stop]
        volume = np.zeros(count, dtype=np.int64)
        volume[at] = rows.volume[first:stop]
        trades = np.where(volume > 0, np.clip(volume // _SHARES_A_TRADE, 4, _TRADES_A_MINUTE[1]), 0)
        turnover = volume * (columns[0] + columns[1] + columns[2] + columns[3]) // 4
        made = (array("q", column.astype(np.int64).tobytes()) for column in (*columns, volume, trades, turnover))
        return MinuteBars(seconds.start, spread_at(int(columns[0][0])), *made)

    def _day(self, asset: Asset, number: int) -> DayBar:
        minutes = self.minutes(asset, number, Hours.REGULAR)
        traded = [minute for minute, volume in enumerate(minutes.volume) if volume]
        return DayBar(
            minutes.open[traded[0]],
            max(minutes.high[minute] for minute in traded),
            min(minutes.low[minute] for minute in traded),
            minutes.close[traded[-1]],
            sum(minutes.volume),
            sum(minutes.trades),
            minutes.spread,
            sum(minutes.turnover),
            shape=0,
        )

    def _price_before(self, asset: Asset, number: int, position: int) -> int:
        """The close of the row before `position`, as corporate actions left it; the first open without one."""
        rows = self._rows[asset.walk]
        if position == 0:
            return int(rows.open[0])
        cents = int(rows.close[position - 1])
        last = self._calendar.last_pre_market(int(rows.times[position - 1])).day
        for change in self._actions.price_changes(asset.symbol):
            if last < change.ex_date <= self._calendar.sessions[number].day:
                cents = change.cents_after(cents)
        return cents

    def _sessions_in(self, rows: Rows) -> list[int]:
        """The sessions with any row in regular hours."""
        opens = np.array([session.open_epoch for session in self._calendar.sessions], dtype=np.int64)
        closes = np.array([session.close_epoch for session in self._calendar.sessions], dtype=np.int64)
        numbers = np.searchsorted(opens, rows.times, side="right") - 1
        regular = (numbers >= 0) & (rows.times < closes[numbers])
        found: list[int] = np.unique(numbers[regular]).tolist()
        return found
