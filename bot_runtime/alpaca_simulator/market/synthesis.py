"""Minutes for sources that know only days: inside the day's bar, and before and after the session.

Outside regular hours the price goes from the close to somewhere on its way to the next open, and from
there to that open, with wide spreads and little volume; corporate actions take effect in between.
"""

from __future__ import annotations

from typing import Protocol

from alpaca_simulator.market.assets import Asset
from alpaca_simulator.market.calendar import TradingCalendar
from alpaca_simulator.market.corporate_actions import CorporateActions, PriceChange
from alpaca_simulator.market.day_shapes import packed_shape
from alpaca_simulator.market.draws import draws, share
from alpaca_simulator.market.minute_paths import MinuteGrid, minutes_within
from alpaca_simulator.market.price_source import DayBar, Hours, MinuteBars

# Alone outside regular hours: at most so much of the way to the next open, this many spreads, and a
# few thousandths of the day's shares.
_EVENING_SHARE = 0.6
_WIDER_SPREAD = 3
_SHARES_OF_DAY = 200


class Days(Protocol):
    """The days that minutes are made for."""

    def traded(self, asset: Asset, number: int) -> int | None:
        """The newest session at or before `number` in which the asset trades, None when there is none."""

    def day(self, asset: Asset, number: int) -> DayBar:
        """The whole session as one bar."""


class MinuteSynthesis:
    """Makes the minutes of `days`, always the same ones for a seed."""

    def __init__(self, seed: int, calendar: TradingCalendar, actions: CorporateActions, days: Days) -> None:
        self._seed = seed
        self._calendar = calendar
        self._actions = actions
        self._days = days

    def minutes(self, asset: Asset, number: int, hours: Hours) -> MinuteBars:
        """The minutes of one part of a session in which `asset` trades."""
        match hours:
            case Hours.REGULAR:
                bar = self._days.day(asset, number)
            case Hours.PRE_MARKET:
                bar = self._pre_market(asset, number)
            case Hours.AFTER_HOURS:
                bar = self._after_hours(asset, number)
        return self.minutes_of(asset, number, bar, hours)

    def minutes_of(self, asset: Asset, number: int, bar: DayBar, hours: Hours) -> MinuteBars:
        """The minutes of a bar of one part of a session."""
        session = self._calendar.sessions[number]
        seconds = hours.seconds(session)
        grid = MinuteGrid(seconds.start, len(seconds) // 60, hours)
        return minutes_within(
            bar, grid, (self._seed, asset.walk, session.day.isoformat(), hours), loading=asset.market_loading
        )

    def _pre_market(self, asset: Asset, number: int) -> DayBar:
        day = self._days.day(asset, number)
        before = None if number == 0 else self._days.traded(asset, number - 1)
        start = day.open if before is None else self._changed(asset, before, number, self._evening_end(asset, before))
        return self._thin_bar(asset, number, Hours.PRE_MARKET, start, day.open)

    def _after_hours(self, asset: Asset, number: int) -> DayBar:
        day = self._days.day(asset, number)
        return self._thin_bar(asset, number, Hours.AFTER_HOURS, day.close, self._evening_end(asset, number))

    def _evening_end(self, asset: Asset, number: int) -> int:
        """The price at the end of extended hours: part of the way from the close to the next open."""
        close, following = self._days.day(asset, number).close, number + 1
        if following >= len(self._calendar.sessions) or self._days.traded(asset, following) != following:
            return close
        target = self._days.day(asset, following).open
        for change in reversed(self._changes(asset, number, following)):
            target = change.cents_before(target)
        way = _EVENING_SHARE * share(draws(1, *self._key(asset, number), "evening")[0])
        return max(1, close + round((target - close) * way))

    def _thin_bar(self, asset: Asset, number: int, hours: Hours, opening: int, closing: int) -> DayBar:
        """A bar from `opening` to `closing` with little volume, for one part outside regular hours."""
        day = self._days.day(asset, number)
        drawn = draws(6, *self._key(asset, number), hours, "reach")
        spread = _WIDER_SPREAD * day.spread
        reach = (day.high - day.low) // 4
        high = max(opening, closing) + max(4 * spread, round(reach * share(drawn[0])))
        low = max(1, min(opening, closing) - max(4 * spread, round(reach * share(drawn[1]))))
        volume = max(1, int(day.volume * (0.5 + share(drawn[2])) / _SHARES_OF_DAY))
        shape = packed_shape(drawn[3], drawn[4], drawn[5])
        return DayBar(opening, high, low, closing, volume, 0, spread, 0, shape, thin=True)

    def _changed(self, asset: Asset, after: int, until: int, cents: int) -> int:
        for change in self._changes(asset, after, until):
            cents = change.cents_after(cents)
        return cents

    def _changes(self, asset: Asset, after: int, until: int) -> tuple[PriceChange, ...]:
        """The splits and dividends with an ex-date after one session and up to another."""
        first, last = self._calendar.sessions[after].day, self._calendar.sessions[until].day
        return tuple(change for change in self._actions.price_changes(asset.symbol) if first < change.ex_date <= last)

    def _key(self, asset: Asset, number: int) -> tuple[object, ...]:
        return self._seed, asset.walk, self._calendar.sessions[number].day.isoformat()
