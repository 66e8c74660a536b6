"""Which bars to ask for and which of an answer to keep. Pure; a bar that has not ended is never passed on.

The window must be wide enough for nights, weekends and holidays, and no wider: a minute's bars of a week are many.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

NEW_YORK = ZoneInfo("America/New_York")
COLUMNS = ("open", "high", "low", "close", "volume")
_KEYS = ("o", "h", "l", "c", "v")
_LATEST_CLOSE_HOUR = 16
_SESSION = timedelta(hours=6, minutes=30)
_CALENDAR_DAYS_PER_SESSION = 1.6
"""7 days have 5 sessions, fewer where there are holidays."""
_HOLIDAYS = timedelta(days=6)
"""The longest the exchange closes in ordinary years, with a weekend."""


@dataclass(frozen=True)
class BarLength:
    """A timeframe: what alpaca-py calls it, and how long its bars are (a day's bar: until the session closes)."""

    alpaca: TimeFrame
    duration: timedelta

    @property
    def is_daily(self) -> bool:
        """Whether a bar covers a session."""
        return self.duration >= timedelta(days=1)


BAR_LENGTHS: Mapping[str, BarLength] = {
    "1Min": BarLength(TimeFrame(1, TimeFrameUnit.Minute), timedelta(minutes=1)),
    "5Min": BarLength(TimeFrame(5, TimeFrameUnit.Minute), timedelta(minutes=5)),
    "15Min": BarLength(TimeFrame(15, TimeFrameUnit.Minute), timedelta(minutes=15)),
    "1Hour": BarLength(TimeFrame(1, TimeFrameUnit.Hour), timedelta(hours=1)),
    "1Day": BarLength(TimeFrame(1, TimeFrameUnit.Day), timedelta(days=1)),
}


def windows(length: BarLength, count: int, before: datetime) -> tuple[datetime, ...]:
    """Starts of the windows to try, narrow first: each wider one is asked for only when bars are missing."""
    sessions = count if length.is_daily else -(-count * length.duration // _SESSION) + 1
    wide = before - timedelta(days=sessions * _CALENDAR_DAYS_PER_SESSION) - _HOLIDAYS
    # A thinly traded symbol has no bar for a minute without trades: the last resort is twice as wide.
    widest = before - 2 * (before - wide)
    if length.is_daily:
        return (wide, widest)
    return (before - length.duration * (count + 2), wide, widest)


def frame_of(raw: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Bars as a frame, in the order and with the holes they came with: judging them is the core's part."""
    rows = list(raw)
    index = pd.DatetimeIndex(pd.to_datetime([row["t"] for row in rows], utc=True), name="start")
    columns = {
        column: [float("nan") if row.get(key) is None else float(row[key]) for row in rows]
        for column, key in zip(COLUMNS, _KEYS, strict=True)
    }
    return pd.DataFrame(columns, index=index, columns=list(COLUMNS), dtype=float)


def ended(frame: pd.DataFrame, length: BarLength, before: datetime, session_close: datetime) -> pd.DataFrame:
    """The bars that ended at or before a moment; `session_close` is the close of that moment's session."""
    if length.is_daily:
        today = local_date(before)
        over = before >= session_close
        keep = [day < today or (day == today and over) for day in _local_dates(frame)]
        return frame.loc[keep]
    return frame.loc[frame.index <= pd.Timestamp(before - length.duration)]


def may_hold_a_running_day(frames: Iterable[pd.DataFrame], before: datetime) -> bool:
    """Whether a frame ends with the day's bar while the session may still run."""
    today = local_date(before)
    return before < regular_close(today) and any(
        len(frame) > 0 and _local_dates(frame.tail(1))[0] >= today for frame in frames
    )


def local_date(at: datetime) -> date:
    """The exchange's date at a moment."""
    return at.astimezone(NEW_YORK).date()


def regular_close(day: date) -> datetime:
    """The close of a full session on that date, UTC; a half day closes earlier."""
    return datetime(day.year, day.month, day.day, _LATEST_CLOSE_HOUR, tzinfo=NEW_YORK).astimezone(UTC)


def _local_dates(frame: pd.DataFrame) -> list[date]:
    index = frame.index
    if not isinstance(index, pd.DatetimeIndex):
        raise ValueError("bars have no times")
    return [stamp.date() for stamp in index.tz_convert(NEW_YORK)]
