"""The market: what every symbol costs at any second, as a function of a seed or of files.

Nothing here depends on when or in what order it is asked, and nothing knows the present: callers
cut at their time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from alpaca_simulator.market.assets import Asset
from alpaca_simulator.market.caches import RecentlyUsed
from alpaca_simulator.market.calendar import Session, TradingCalendar
from alpaca_simulator.market.corporate_actions import CorporateActions
from alpaca_simulator.market.price_source import DayBar, Hours, MinuteBars, PriceSource, hours_at, spread_at
from alpaca_simulator.market.seeded_prices import SeededPrices
from alpaca_simulator.market.within_minute import Quote, Trade, quote_within, trades_within
from alpaca_simulator.values.instants import epoch_floor

__all__ = ["DEFAULT_JUMPS_A_YEAR", "DayBar", "Hours", "Market", "MinuteBars", "Quote", "Trade"]

DEFAULT_JUMPS_A_YEAR = 1.0


class Market:
    """Prices of any asset in any session of the calendar, made when they are asked for.

    `source` is where they come from, by default the seed. `actions` are the corporate actions that
    its prices show. `shows_extended_hours` says whether intraday bars cover extended hours too.
    """

    def __init__(
        self,
        seed: int,
        calendar: TradingCalendar,
        *,
        source: PriceSource | None = None,
        actions: CorporateActions | None = None,
        jumps_a_year: float = DEFAULT_JUMPS_A_YEAR,
        shows_extended_hours: bool = False,
        sessions_cached: int = 512,
        walks_cached: int = 256,
    ) -> None:
        self.seed = seed
        self.calendar = calendar
        self.actions = actions or CorporateActions()
        self.shows_extended_hours = shows_extended_hours
        self.source: PriceSource = source or SeededPrices(
            seed, calendar, self.actions, jumps_a_year=jumps_a_year, walks_cached=walks_cached
        )
        self._minutes: RecentlyUsed[tuple[Asset, int, Hours], MinuteBars] = RecentlyUsed(sessions_cached)

    @property
    def sessions_held(self) -> int:
        """How many sessions' minutes are in memory."""
        return len(self._minutes)

    def trades_in(self, asset: Asset, session: Session) -> bool:
        """Whether there are any prices of `asset` in `session`; a replay may have none."""
        return self.source.traded(asset, session.number) == session.number

    def last_traded(self, asset: Asset, session: Session) -> Session | None:
        """The newest session at or before `session` in which `asset` trades, None when there is none."""
        number = self.source.traded(asset, session.number)
        return None if number is None else self.calendar.sessions[number]

    def day(self, asset: Asset, session: Session) -> DayBar:
        """The whole session as one bar; its minutes agree with it.

        Of a session in which the asset does not trade: no volume, at the close before it.
        """
        number = self.source.traded(asset, session.number)
        if number == session.number:
            return self.source.day(asset, number)
        if number is None:
            return _standing_still(asset.reference_cents)
        cents = self.source.day(asset, number).close
        for change in self.actions.price_changes(asset.symbol):
            if self.calendar.sessions[number].day < change.ex_date <= session.day:
                cents = change.cents_after(cents)
        return _standing_still(cents)

    def close_before(self, asset: Asset, session: Session) -> int:
        """Cents at the close of the session before, as the day's splits and dividends left it."""
        before = self.calendar.sessions[max(0, session.number - 1)]
        cents = self.day(asset, before).close
        for change in self.actions.price_changes(asset.symbol):
            if before.day < change.ex_date <= session.day:
                cents = change.cents_after(cents)
        return cents

    def minutes(self, asset: Asset, session: Session, hours: Hours = Hours.REGULAR) -> MinuteBars:
        """The minutes of one part of a session, the ones that are still to come included."""
        return self._minutes.get((asset, session.number, hours), lambda: self._made(asset, session, hours))

    def _made(self, asset: Asset, session: Session, hours: Hours) -> MinuteBars:
        if self.trades_in(asset, session):
            return self.source.minutes(asset, session.number, hours)
        day, seconds = self.day(asset, session), hours.seconds(session)
        count = len(seconds) // 60
        price, nothing = (day.close,) * count, (0,) * count
        return MinuteBars(seconds.start, day.spread, price, price, price, price, nothing, nothing, nothing)

    def quote(self, asset: Asset, at: datetime) -> Quote:
        """The NBBO of the last whole second at or before `at` in which the asset trades, extended hours included.

        It always lies within the minute bar of that second. Raises OutsideCalendarError before the
        first session.
        """
        session, epoch = self.last_second(at)
        traded = self.last_traded(asset, session)
        if traded is not None and traded.number != session.number:
            session, epoch = traded, traded.after_hours_epoch - 1
        return self.quote_in(asset, session, epoch)

    def last_second(self, at: datetime) -> tuple[Session, int]:
        """The newest second (Unix epoch) at or before `at` within a session or its extended hours.

        Raises OutsideCalendarError before the first session.
        """
        self.calendar.require(at)
        epoch = epoch_floor(at)
        following = self.calendar.next_opening(at)
        if epoch >= following.pre_market_epoch:
            return following, epoch
        session = self.calendar.sessions[following.number - 1]
        return session, min(epoch, session.after_hours_epoch - 1)

    def quote_in(self, asset: Asset, session: Session, epoch: int) -> Quote:
        """The NBBO of one second (Unix epoch) of `session`, from its pre-market to its after-hours."""
        return quote_within(self.minutes(asset, session, hours_at(session, epoch)), epoch)

    def trades_of_minute(self, asset: Asset, session: Session, epoch: int) -> tuple[Trade, ...]:
        """Every trade of the minute that a second (Unix epoch) of `session` falls in, in order."""
        bars = self.minutes(asset, session, hours_at(session, epoch))
        return tuple(trades_within(bars, (epoch - bars.start_epoch) // 60))

    def quotes(self, asset: Asset, start: datetime, end: datetime) -> Iterator[Quote]:
        """The NBBO of every second from `start` to `end`, both included, in which the asset trades."""
        for session, seconds in self._seconds(asset, start, end):
            for epoch in seconds:
                yield self.quote_in(asset, session, epoch)

    def trades(self, asset: Asset, start: datetime, end: datetime) -> Iterator[Trade]:
        """Every trade from `start` to `end`, both included; made minute by minute."""
        for session, seconds in self._seconds(asset, start, end):
            for epoch in range(seconds.start - seconds.start % 60, seconds.stop, 60):
                yield from (one for one in self.trades_of_minute(asset, session, epoch) if start <= one.at <= end)

    def _seconds(self, asset: Asset, start: datetime, end: datetime) -> Iterator[tuple[Session, range]]:
        """The whole seconds of each session, extended hours included, that touch a span of time."""
        first, stop = epoch_floor(start), epoch_floor(end) + 1
        for session in self.calendar.extended_between(start, end):
            seconds = range(max(first, session.pre_market_epoch), min(stop, session.after_hours_epoch))
            if seconds and self.trades_in(asset, session):
                yield session, seconds

    def first_quote(
        self,
        asset: Asset,
        session: Session,
        seconds: range,
        *,
        ask_at_most: int | None,
        bid_at_least: int | None,
    ) -> Quote | None:
        """The first NBBO in `seconds` (Unix epoch, inside `session`) that meets the limits, in cents.

        With neither limit the first one of all. None when there is none, as in minutes without trades.
        """
        return self._first(
            asset,
            session,
            seconds,
            lambda low, high, spread: (
                (ask_at_most is None or low + spread <= ask_at_most)
                and (bid_at_least is None or high - spread >= bid_at_least)
            ),
            lambda quote: (
                (ask_at_most is None or quote.ask <= ask_at_most)
                and (bid_at_least is None or quote.bid >= bid_at_least)
            ),
        )

    def first_trade(
        self,
        asset: Asset,
        session: Session,
        seconds: range,
        *,
        at_least: int | None = None,
        at_most: int | None = None,
    ) -> Quote | None:
        """The first NBBO in `seconds` (Unix epoch, inside `session`) whose last trade meets the limits, in cents.

        With neither limit the first one of all. None when there is none, as in minutes without trades.
        """
        return self._first(
            asset,
            session,
            seconds,
            lambda low, high, _: (at_most is None or low <= at_most) and (at_least is None or high >= at_least),
            lambda quote: (at_most is None or quote.last <= at_most) and (at_least is None or quote.last >= at_least),
        )

    def _first(
        self,
        asset: Asset,
        session: Session,
        seconds: range,
        in_reach: Callable[[int, int, int], bool],
        meets: Callable[[Quote], bool],
    ) -> Quote | None:
        """The first quote that `meets`; `in_reach` says by a minute's low, high and spread whether it can have one."""
        epoch = seconds.start
        while epoch < seconds.stop:
            bars = self.minutes(asset, session, hours_at(session, epoch))
            stop = min(seconds.stop, bars.stop_epoch)
            while epoch < stop:
                minute = (epoch - bars.start_epoch) // 60
                following = bars.start_epoch + 60 * (minute + 1)
                low, high = bars.low[minute], bars.high[minute]
                if bars.volume[minute] and in_reach(low, high, min(bars.spread, high - low)):
                    for second in range(epoch, min(following, stop)):
                        quote = quote_within(bars, second)
                        if meets(quote):
                            return quote
                epoch = following
            epoch = min(epoch, stop) if stop < seconds.stop else seconds.stop
        return None


def _standing_still(cents: int) -> DayBar:
    """A session without trades."""
    return DayBar(cents, cents, cents, cents, 0, 0, spread_at(cents), 0, 0)
