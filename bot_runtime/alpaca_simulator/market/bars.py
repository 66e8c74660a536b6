"""Bars of any timeframe from one minute to one day, cut into pages.

Never show a bar, or any part of one, that is not over at the time of asking.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from alpaca_simulator.market.assets import Asset
from alpaca_simulator.market.calendar import Session
from alpaca_simulator.market.prices import Market, MinuteBars
from alpaca_simulator.values.instants import NEW_YORK, from_epoch, read_instant, utc_text

_TIMEFRAME = re.compile(r"([0-9]{1,3})(Min|T|Hour|H|Day|D)", re.ASCII)
_DAY_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class Timeframe:
    """The length of a bar in minutes of the day; a whole day is one session."""

    minutes: int

    @property
    def is_daily(self) -> bool:
        """Whether a bar covers a session."""
        return self.minutes == _DAY_MINUTES


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: prices in dollars as the data API prints them, volume in shares."""

    at: datetime
    open: float
    high: float
    low: float
    close: float
    volume: int
    trades: int
    vwap: float

    def json(self) -> dict[str, object]:
        """The data API's bar."""
        return {
            "t": utc_text(self.at),
            "o": self.open,
            "h": self.high,
            "l": self.low,
            "c": self.close,
            "v": self.volume,
            "n": self.trades,
            "vw": self.vwap,
        }


@dataclass(frozen=True, slots=True)
class BarQuery:
    """Which bars: of `assets` in their order, starting from `start` to `end` (both included)."""

    assets: tuple[Asset, ...]
    timeframe: Timeframe
    start: datetime
    end: datetime
    descending: bool
    limit: int


@dataclass(frozen=True, slots=True)
class BarPage:
    """Bars by symbol, and the token that asks for the rest."""

    bars: dict[str, list[Bar]]
    next_token: str | None


@dataclass(frozen=True, slots=True)
class PageToken:
    """Where the page before ended: the last bar that was given."""

    symbol: str
    at: datetime

    def text(self) -> str:
        """The token as the client sends it back."""
        return base64.urlsafe_b64encode(f"{self.symbol}|{utc_text(self.at)}".encode()).decode()


def read_timeframe(text: str) -> Timeframe | None:
    """1 to 59 minutes, 1 to 23 hours or 1 day; None for anything else."""
    found = _TIMEFRAME.fullmatch(text)
    if found is None:
        return None
    amount, unit = int(found[1]), found[2]
    length, most = {"M": (1, 59), "T": (1, 59), "H": (60, 23), "D": (_DAY_MINUTES, 1)}[unit[0]]
    return Timeframe(amount * length) if 1 <= amount <= most else None


def read_page_token(text: str) -> PageToken | None:
    """A token this module gave out, None for anything else."""
    try:
        symbol, _, at = base64.urlsafe_b64decode(text.encode()).decode().partition("|")
    except (binascii.Error, UnicodeError, ValueError):
        return None
    instant = read_instant(at)
    return None if instant is None or not symbol else PageToken(symbol, instant)


def bar_page(market: Market, query: BarQuery, now: datetime, after: PageToken | None) -> BarPage:
    """The next `limit` bars after `after`, symbol by symbol, as far as they are over at `now`."""
    found: dict[str, list[Bar]] = {}
    count, last = 0, after
    symbols = [asset.symbol for asset in query.assets]
    first = symbols.index(after.symbol) if after is not None and after.symbol in symbols else 0
    for asset in query.assets[first:]:
        resume = after.at if after is not None and after.symbol == asset.symbol else None
        for bar in _bars(market, asset, query, now, resume):
            if count == query.limit:
                return BarPage(found, last.text() if last else None)
            found.setdefault(asset.symbol, []).append(bar)
            count, last = count + 1, PageToken(asset.symbol, bar.at)
    return BarPage(found, None)


def latest_minute(market: Market, asset: Asset, now: datetime) -> Bar | None:
    """The newest minute bar that is over at `now`."""
    # No holiday keeps the exchange closed for two weeks.
    query = BarQuery((asset,), Timeframe(1), now - timedelta(days=14), now, descending=True, limit=1)
    return next(_bars(market, asset, query, now, None), None)


def _bars(market: Market, asset: Asset, query: BarQuery, now: datetime, resume: datetime | None) -> Iterator[Bar]:
    """One asset's bars in the order asked for, beginning strictly after `resume`."""
    start, end = query.start, min(query.end, now)
    if resume is not None:
        start, end = (start, min(end, resume)) if query.descending else (max(start, resume), end)
    if start > end:
        return
    sessions = market.calendar.between(start.astimezone(NEW_YORK).date(), end.astimezone(NEW_YORK).date())
    for session in reversed(sessions) if query.descending else sessions:
        made = _session_bars(market, asset, session, query.timeframe, now)
        for bar in reversed(made) if query.descending else made:
            if start <= bar.at <= end and bar.at != resume:
                yield bar


def _session_bars(market: Market, asset: Asset, session: Session, timeframe: Timeframe, now: datetime) -> list[Bar]:
    """Every bar of one session so far, oldest first."""
    over = min(session.minutes, int(now.timestamp() - session.open_epoch) // 60)
    if over <= 0:
        return []
    if timeframe.is_daily:
        return [_daily_bar(market, asset, session, over)]
    minutes = market.minutes(asset, session)
    if timeframe.minutes == 1:
        return [
            _joined(minutes, minute, minute + 1, minutes.session.open_epoch + 60 * minute) for minute in range(over)
        ]
    return list(_intraday_bars(minutes, timeframe, over))


def _daily_bar(market: Market, asset: Asset, session: Session, over: int) -> Bar:
    """A session's bar, stamped midnight in New York. A whole one comes without making its minutes."""
    midnight = datetime.combine(session.day, time(), NEW_YORK).astimezone(UTC)
    if over < session.minutes:
        return _joined(market.minutes(asset, session), 0, over, int(midnight.timestamp()))
    day = market.day(asset, session)
    # The minutes are not made here: a session's vwap is its typical price.
    typical = (day.high + day.low + day.close) / 300
    return Bar(
        midnight,
        day.open / 100,
        day.high / 100,
        day.low / 100,
        day.close / 100,
        day.volume,
        day.trades,
        round(typical, 6),
    )


def _intraday_bars(minutes: MinuteBars, timeframe: Timeframe, over: int) -> Iterator[Bar]:
    """Minutes joined by the timeframe's grid, which counts from midnight in New York.

    The last bar shows what is over of it, as Alpaca's does.
    """
    local = from_epoch(minutes.session.open_epoch).astimezone(NEW_YORK)
    from_midnight = local.hour * 60 + local.minute
    midnight_epoch = minutes.session.open_epoch - 60 * from_midnight
    begin = 0
    while begin < over:
        slot = (from_midnight + begin) // timeframe.minutes
        end = min(over, (slot + 1) * timeframe.minutes - from_midnight)
        yield _joined(minutes, begin, end, midnight_epoch + 60 * slot * timeframe.minutes)
        begin = end


def _joined(minutes: MinuteBars, begin: int, end: int, epoch: int) -> Bar:
    """Minutes `begin` up to `end` as one bar that starts at `epoch`."""
    volume = sum(minutes.volume[begin:end])
    # Four times the cents of each minute's average price, so that the sum stays whole.
    weighted = sum(
        (minutes.open[m] + minutes.high[m] + minutes.low[m] + minutes.close[m]) * minutes.volume[m]
        for m in range(begin, end)
    )
    return Bar(
        from_epoch(epoch),
        minutes.open[begin] / 100,
        max(minutes.high[begin:end]) / 100,
        min(minutes.low[begin:end]) / 100,
        minutes.close[end - 1] / 100,
        volume,
        sum(minutes.trades[begin:end]),
        round(weighted / volume / 400, 6) if volume else minutes.close[end - 1] / 100,
    )
