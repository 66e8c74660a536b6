"""What the market shows of an asset up to a moment: minutes, trades and quotes, halts left out.

The exchange matches against the market itself; this is what clients are told. Never shows the future.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from alpaca_simulator.market.assets import Asset
from alpaca_simulator.market.calendar import Session
from alpaca_simulator.market.halts import HaltBook
from alpaca_simulator.market.paging import Series, Span
from alpaca_simulator.market.price_source import Hours, MinuteBars
from alpaca_simulator.market.prices import Market
from alpaca_simulator.market.within_minute import Quote, Trade
from alpaca_simulator.values.instants import epoch_floor


@dataclass(frozen=True, slots=True)
class Tape:
    """One market as clients see it, with the halts known by now."""

    market: Market
    halts: HaltBook

    def minutes(self, asset: Asset, session: Session) -> MinuteBars:
        """The minutes that bars are made of; with extended hours where the market shows those."""
        if not self.market.shows_extended_hours:
            return self._unhalted(asset, session, Hours.REGULAR)
        return _joined([self._unhalted(asset, session, hours) for hours in Hours])

    def regular_minutes(self, asset: Asset, session: Session) -> MinuteBars:
        """The minutes that the day's bar is made of."""
        return self._unhalted(asset, session, Hours.REGULAR)

    def is_whole(self, asset: Asset, session: Session) -> bool:
        """Whether no halt touches the regular session."""
        seconds = Hours.REGULAR.seconds(session)
        return self.halts.trading_seconds(asset.symbol, seconds) == (seconds,)

    def trades(self, series: Series, span: Span) -> Iterator[Trade]:
        """Every trade of `span`, in its order."""
        for session, seconds in self._parts(series, span):
            first, last = seconds.start // 60 * 60, (seconds.stop - 1) // 60 * 60
            minutes = range(last, first - 1, -60) if span.descending else range(first, last + 1, 60)
            for epoch in minutes:
                made = self._trades_of_minute(series.asset, session, epoch, seconds)
                yield from (
                    one for one in (reversed(made) if span.descending else made) if span.start <= one.at <= span.end
                )

    def quotes(self, series: Series, span: Span) -> Iterator[Quote]:
        """The NBBO of every second of `span`, in its order."""
        for session, seconds in self._parts(series, span):
            for epoch in reversed(seconds) if span.descending else seconds:
                quote = self.market.quote_in(series.asset, session, epoch)
                if span.start <= quote.at <= span.end:
                    yield quote

    def latest_trade(self, series: Series, now: datetime) -> Trade | None:
        """The newest trade at or before `now`."""
        return next(self.trades(series, self._up_to(now)), None)

    def latest_quote(self, series: Series, now: datetime) -> Quote | None:
        """The newest NBBO at or before `now`."""
        return next(self.quotes(series, self._up_to(now)), None)

    def _up_to(self, now: datetime) -> Span:
        return Span(self.market.calendar.sessions[0].opens_at, now, descending=True)

    def _parts(self, series: Series, span: Span) -> Iterator[tuple[Session, range]]:
        """The seconds of each session in which the series trades and nothing halts it, in the span's order."""
        first, stop = epoch_floor(span.start), epoch_floor(span.end) + 1
        sessions = self.market.calendar.extended_between(span.start, span.end)
        for session in reversed(sessions) if span.descending else sessions:
            seconds = range(max(first, session.pre_market_epoch), min(stop, session.after_hours_epoch))
            if not seconds or not series.covers(session) or not self.market.trades_in(series.asset, session):
                continue
            parts = self.halts.trading_seconds(series.asset.symbol, seconds)
            for part in reversed(parts) if span.descending else parts:
                yield session, part

    def _trades_of_minute(self, asset: Asset, session: Session, epoch: int, seconds: range) -> list[Trade]:
        """The minute's trades in `seconds`."""
        made = self.market.trades_of_minute(asset, session, epoch)
        return [one for one in made if seconds.start <= epoch_floor(one.at) < seconds.stop]

    def _unhalted(self, asset: Asset, session: Session, hours: Hours) -> MinuteBars:
        """The minutes of one part of the day as the trades outside halts make them."""
        bars, seconds = self.market.minutes(asset, session, hours), hours.seconds(session)
        parts = self.halts.trading_seconds(asset.symbol, seconds)
        if parts == (seconds,):
            return bars
        columns = [array("q", column) for column in _columns(bars)]
        for minute in range(len(bars.open)):
            epoch = bars.start_epoch + 60 * minute
            traded = sum(max(0, min(part.stop, epoch + 60) - max(part.start, epoch)) for part in parts)
            if traded < 60:
                trades = [one for part in parts for one in self._trades_of_minute(asset, session, epoch, part)]
                for column, value in zip(columns, _summed(trades, bars.open[minute]), strict=True):
                    column[minute] = value
        return MinuteBars(bars.start_epoch, bars.spread, *columns)


def _summed(trades: list[Trade], before: int) -> tuple[int, ...]:
    """Open, high, low, close, volume, count and cost of `trades`; standing at `before` without any."""
    volume = int(sum(one.size for one in trades))
    if not volume:
        return (before, before, before, before, 0, 0, 0)
    prices = [one.price for one in trades]
    cost = round(sum(one.price * one.size for one in trades))
    return (prices[0], max(prices), min(prices), prices[-1], volume, len(trades), cost)


def _columns(bars: MinuteBars) -> tuple[array[int], ...]:
    return tuple(
        array("q", column)
        for column in (bars.open, bars.high, bars.low, bars.close, bars.volume, bars.trades, bars.turnover)
    )


def _joined(parts: list[MinuteBars]) -> MinuteBars:
    """Parts of one day, each starting where the one before stops, as one."""
    columns = _columns(parts[0])
    for part in parts[1:]:
        for column, more in zip(columns, _columns(part), strict=True):
            column.extend(more)
    return MinuteBars(parts[0].start_epoch, parts[0].spread, *columns)
