"""Bars of any timeframe, made of what the tape shows.

Never show a bar, or any part of one, that is not over at the time of asking.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from alpaca_simulator.market.adjustments import UNADJUSTED, Adjustment, Factor
from alpaca_simulator.market.assets import Asset
from alpaca_simulator.market.calendar import Session
from alpaca_simulator.market.paging import Series, Span
from alpaca_simulator.market.price_source import MinuteBars, hours_at
from alpaca_simulator.market.prices import Market
from alpaca_simulator.market.tape import Tape
from alpaca_simulator.market.timeframes import Timeframe, midnight_in_new_york
from alpaca_simulator.values.instants import NEW_YORK, from_epoch

UNCHANGED = Adjustment((), ())


class Bar(NamedTuple):
    """One bar: prices in dollars as the data API prints them, volume in shares."""

    at: datetime
    open: float
    high: float
    low: float
    close: float
    volume: int
    trades: int
    vwap: float


class _Sum(NamedTuple):
    """Trading put together: prices and turnover in cents, volume in shares; not whole ones when adjusted."""

    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int
    turnover: float


def bars_of(
    tape: Tape, series: Series, timeframe: Timeframe, span: Span, now: datetime, adjustment: Adjustment = UNCHANGED
) -> Iterator[Bar]:
    """The bars of `series` that begin in `span`, in its order, as far as they are over at `now`."""
    end = min(span.end, now)
    if span.start > end:
        return
    first, last = _day(span.start), _day(end)
    if timeframe.is_intraday:
        made = _intraday(tape, series, timeframe, (first, last, span.descending), now, adjustment)
    else:
        days = (timeframe.first_day(first), timeframe.last_day(last), span.descending)
        made = _longer(tape, series, timeframe, days, now, adjustment)
    yield from (bar for bar in made if span.start <= bar.at <= end)


def latest_minute(tape: Tape, series: Series, now: datetime) -> Bar | None:
    """The newest minute bar that is over at `now`."""
    return next(bars_of(tape, series, Timeframe(1, "minute"), _back_from(tape, now), now), None)


def latest_days(tape: Tape, series: Series, now: datetime) -> list[Bar]:
    """The newest two daily bars, newest first; today's as far as it is over."""
    days = bars_of(tape, series, Timeframe(1, "day"), _back_from(tape, now), now)
    return [bar for bar, _ in zip(days, range(2), strict=False)]


def minute_bar(market: Market, asset: Asset, session: Session, epoch: int) -> Bar | None:
    """The bar of the minute that begins at `epoch` (Unix), extended hours included; None without trades."""
    minutes = market.minutes(asset, session, hours_at(session, epoch))
    minute = (epoch - minutes.start_epoch) // 60
    joined = _joined(minutes, minute, minute + 1)
    return None if joined is None else _bar(from_epoch(epoch), joined)


def day_so_far(market: Market, asset: Asset, session: Session, until: int) -> Bar | None:
    """The day's bar of the minutes that are over at `until` (Unix epoch); None without trades."""
    minutes = market.minutes(asset, session)
    over = max(0, min(len(minutes.open), (until - minutes.start_epoch) // 60))
    joined = _joined(minutes, 0, over)
    return None if joined is None else _bar(midnight_in_new_york(session.day), joined)


def _back_from(tape: Tape, now: datetime) -> Span:
    return Span(tape.market.calendar.sessions[0].opens_at - timedelta(days=1), now, descending=True)


def _day(at: datetime) -> date:
    return at.astimezone(NEW_YORK).date()


def _sessions(tape: Tape, series: Series, days: tuple[date, date, bool]) -> Iterator[Session]:
    """The sessions from day to day in which the series trades, newest first when the third says so."""
    first, last, descending = days
    sessions = tape.market.calendar.between(first, last)
    for session in reversed(sessions) if descending else sessions:
        if series.covers(session) and tape.market.trades_in(series.asset, session):
            yield session


def _intraday(
    tape: Tape,
    series: Series,
    timeframe: Timeframe,
    days: tuple[date, date, bool],
    now: datetime,
    adjustment: Adjustment,
) -> Iterator[Bar]:
    for session in _sessions(tape, series, days):
        if not _any_over(tape, session, now):
            continue
        minutes = tape.minutes(series.asset, session)
        over = _over(minutes, now)
        factor = adjustment.on(session.day)
        made = _minutes(minutes, over, factor) if timeframe.amount == 1 else _grid(minutes, timeframe, over, factor)
        yield from reversed(made) if days[2] else made


def _longer(
    tape: Tape,
    series: Series,
    timeframe: Timeframe,
    days: tuple[date, date, bool],
    now: datetime,
    adjustment: Adjustment,
) -> Iterator[Bar]:
    """Bars of whole sessions, stamped midnight in New York of their first day."""
    sessions = _sessions(tape, series, days)
    for first, together in groupby(sessions, lambda session: timeframe.first_day(session.day)):
        parts = [
            _adjusted(part, adjustment.on(session.day))
            for session in together
            if (part := _session_sum(tape, series, session, now)) is not None
        ]
        if parts:
            whole = parts[0] if len(parts) == 1 else _put_together(parts[::-1] if days[2] else parts)
            yield _bar(midnight_in_new_york(first), whole)


def _session_sum(tape: Tape, series: Series, session: Session, now: datetime) -> _Sum | None:
    """A session as far as it is over. A whole one without a halt comes without making its minutes."""
    if now >= session.closes_at and tape.is_whole(series.asset, session):
        day = tape.market.day(series.asset, session)
        return _Sum(day.open, day.high, day.low, day.close, day.volume, day.trades, day.turnover)
    if now.timestamp() < session.open_epoch + 60:
        return None
    minutes = tape.regular_minutes(series.asset, session)
    return _joined(minutes, 0, _over(minutes, now))


def _any_over(tape: Tape, session: Session, now: datetime) -> bool:
    start = session.pre_market_epoch if tape.market.shows_extended_hours else session.open_epoch
    return now.timestamp() >= start + 60


def _over(minutes: MinuteBars, now: datetime) -> int:
    """How many of the minutes are over."""
    return max(0, min(len(minutes.open), int(now.timestamp() - minutes.start_epoch) // 60))


def _minutes(minutes: MinuteBars, over: int, factor: Factor) -> list[Bar]:
    """One bar for each minute with trades."""
    if factor != UNADJUSTED:
        return [
            _bar(from_epoch(minutes.start_epoch + 60 * minute), _adjusted(joined, factor))
            for minute in range(over)
            if (joined := _joined(minutes, minute, minute + 1)) is not None
        ]
    epochs = range(minutes.start_epoch, minutes.start_epoch + 60 * over, 60)
    columns = (minutes.open, minutes.high, minutes.low, minutes.close, minutes.volume, minutes.trades, minutes.turnover)
    return [
        Bar(from_epoch(epoch), o / 100, h / 100, lo / 100, c / 100, v, n, round(t / v / 100, 6))
        for epoch, o, h, lo, c, v, n, t in zip(epochs, *columns, strict=False)
        if v
    ]


def _grid(minutes: MinuteBars, timeframe: Timeframe, over: int, factor: Factor) -> list[Bar]:
    """Minutes joined by the timeframe's grid, which counts from midnight in New York.

    The last bar shows what is over of it, as Alpaca's does.
    """
    local = from_epoch(minutes.start_epoch).astimezone(NEW_YORK)
    from_midnight = local.hour * 60 + local.minute
    midnight_epoch = minutes.start_epoch - 60 * from_midnight
    made, begin = [], 0
    while begin < over:
        slot = (from_midnight + begin) // timeframe.amount
        end = min(over, (slot + 1) * timeframe.amount - from_midnight)
        joined = _joined(minutes, begin, end)
        if joined is not None:
            made.append(_bar(from_epoch(midnight_epoch + 60 * slot * timeframe.amount), _adjusted(joined, factor)))
        begin = end
    return made


def _joined(minutes: MinuteBars, begin: int, end: int) -> _Sum | None:
    """Minutes `begin` up to `end` together, None when nothing traded in them."""
    volumes = minutes.volume[begin:end]
    volume = sum(volumes)
    if not volume:
        return None
    if 0 in volumes:
        traded = [minute for minute in range(begin, end) if minutes.volume[minute]]
        begin, end = traded[0], traded[-1] + 1
        highs: Sequence[int] = [minutes.high[minute] for minute in traded]
        lows: Sequence[int] = [minutes.low[minute] for minute in traded]
    else:
        highs, lows = minutes.high[begin:end], minutes.low[begin:end]
    return _Sum(
        minutes.open[begin],
        max(highs),
        min(lows),
        minutes.close[end - 1],
        volume,
        sum(minutes.trades[begin:end]),
        sum(minutes.turnover[begin:end]),
    )


def _put_together(parts: list[_Sum]) -> _Sum:
    """Parts that follow one another as one."""
    return _Sum(
        parts[0].open,
        max(part.high for part in parts),
        min(part.low for part in parts),
        parts[-1].close,
        sum(part.volume for part in parts),
        sum(part.trades for part in parts),
        sum(part.turnover for part in parts),
    )


def _adjusted(part: _Sum, factor: Factor) -> _Sum:
    if factor is UNADJUSTED:
        return part
    price, volume = factor
    return _Sum(
        part.open * price,
        part.high * price,
        part.low * price,
        part.close * price,
        part.volume * volume,
        part.trades,
        part.turnover * price * volume,
    )


def _bar(at: datetime, part: _Sum) -> Bar:
    """Rounded as Alpaca's: prices to a hundredth of a cent, which whole cents do not need."""
    opening, high, low, close, volume, trades, turnover = part
    if isinstance(volume, int):
        vwap = round(turnover / volume / 100, 6)
        return Bar(at, opening / 100, high / 100, low / 100, close / 100, volume, trades, vwap)
    return Bar(
        at,
        round(opening / 100, 4),
        round(high / 100, 4),
        round(low / 100, 4),
        round(close / 100, 4),
        round(volume),
        trades,
        round(turnover / volume / 100, 6),
    )
