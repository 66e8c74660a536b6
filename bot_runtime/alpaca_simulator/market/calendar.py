"""The sessions of the real exchange: trading days, half days and holidays of the NYSE.

The range is pinned, so that a session's number and the market built on it never depend on today.
"""

from __future__ import annotations

import warnings
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache

import exchange_calendars

from alpaca_simulator.values.instants import from_epoch

#: Alpaca's own history starts in 2016; the end leaves room and keeps building it quick.
FIRST_DAY = date(2016, 1, 1)
LAST_DAY = date(2035, 12, 31)
#: How long extended hours are on either side of a session, in seconds.
EXTENDED_HOURS_BEFORE_OPEN = 330 * 60
EXTENDED_HOURS_AFTER_CLOSE = 240 * 60


class OutsideCalendarError(ValueError):
    """A time before the first or after the last session that the simulator knows."""


@dataclass(frozen=True, slots=True)
class Session:
    """One trading day: its number from the start of the calendar, open and close in epoch seconds."""

    number: int
    day: date
    open_epoch: int
    close_epoch: int

    @property
    def opens_at(self) -> datetime:
        """The opening, UTC."""
        return from_epoch(self.open_epoch)

    @property
    def closes_at(self) -> datetime:
        """The close, UTC; the market is open up to but not at it."""
        return from_epoch(self.close_epoch)

    @property
    def minutes(self) -> int:
        """How many minute bars the session has: 390, or 210 on a half day."""
        return (self.close_epoch - self.open_epoch) // 60

    @property
    def pre_market_epoch(self) -> int:
        """When extended hours begin: 4:00 in New York."""
        return self.open_epoch - EXTENDED_HOURS_BEFORE_OPEN

    @property
    def after_hours_epoch(self) -> int:
        """When extended hours end: four hours after the close, 20:00 or 17:00 on a half day."""
        return self.close_epoch + EXTENDED_HOURS_AFTER_CLOSE


class TradingCalendar:
    """Sessions in order, found by day or by time."""

    def __init__(self, sessions: tuple[Session, ...]) -> None:
        if not sessions:
            raise ValueError("a calendar needs at least one session")
        self.sessions = sessions
        self._days = [session.day for session in sessions]
        self._opens = [session.open_epoch for session in sessions]
        self._closes = [session.close_epoch for session in sessions]

    def on(self, day: date) -> Session | None:
        """The session of `day`, None when the exchange is closed all day."""
        index = bisect_left(self._days, day)
        return self.sessions[index] if index < len(self._days) and self._days[index] == day else None

    def between(self, first: date, last: date) -> tuple[Session, ...]:
        """Sessions from `first` to `last`, both included."""
        return self.sessions[bisect_left(self._days, first) : bisect_right(self._days, last)]

    def extended_between(self, start: datetime, end: datetime) -> tuple[Session, ...]:
        """Sessions with any instant in [start, end], their extended hours included."""
        # Nights are longer than extended hours, so neighbours never overlap.
        first = bisect_right(self._closes, start.timestamp() - EXTENDED_HOURS_AFTER_CLOSE)
        return self.sessions[first : bisect_right(self._opens, end.timestamp() + EXTENDED_HOURS_BEFORE_OPEN)]

    def open_at(self, at: datetime) -> Session | None:
        """The session that trades at `at`, None when the market is closed then."""
        found = self.last_opened(at)
        return found if found is not None and at.timestamp() < found.close_epoch else None

    def last_opened(self, at: datetime) -> Session | None:
        """The newest session that opened at or before `at`, None before the first."""
        index = bisect_right(self._opens, at.timestamp()) - 1
        return self.sessions[index] if index >= 0 else None

    def last_pre_market(self, epoch: int) -> Session:
        """The newest session whose pre-market began at or before a second (Unix epoch), at least the first."""
        return self.sessions[max(0, bisect_right(self._opens, epoch + EXTENDED_HOURS_BEFORE_OPEN) - 1)]

    def next_opening(self, after: datetime) -> Session:
        """The first session that opens strictly after `after`.

        Raises OutsideCalendarError beyond the last one.
        """
        return self._at(bisect_right(self._opens, after.timestamp()))

    def next_closing(self, after: datetime) -> Session:
        """The first session that closes strictly after `after`: the running one while the market is open.

        Raises OutsideCalendarError beyond the last one.
        """
        return self._at(bisect_right(self._closes, after.timestamp()))

    def touched(self, after: datetime, until: datetime) -> tuple[Session, ...]:
        """Sessions with any instant in (after, until], their close included."""
        first = bisect_right(self._closes, after.timestamp())
        return self.sessions[first : bisect_right(self._opens, until.timestamp())]

    def require(self, at: datetime) -> None:
        """Raise OutsideCalendarError unless a session lies before `at` and another one after it."""
        if at.timestamp() < self._opens[1] or at.timestamp() >= self._opens[-1]:
            first, last = self._days[1], self._days[-1]
            raise OutsideCalendarError(f"market time {at.isoformat()} is not between {first} and {last}")

    def _at(self, index: int) -> Session:
        if index >= len(self.sessions):
            raise OutsideCalendarError(f"the simulator knows no session after {self._days[-1]}")
        return self.sessions[index]


@lru_cache(maxsize=1)
def new_york_stock_exchange() -> TradingCalendar:
    """The NYSE from FIRST_DAY to LAST_DAY; built once a process, about a second."""
    with warnings.catch_warnings():
        # exchange-calendars 4.13 still reads Series.values, which pandas 3.1 deprecates.
        warnings.filterwarnings("ignore", message="Series.values returning an ndarray")
        listed = exchange_calendars.get_calendar("XNYS", start=FIRST_DAY.isoformat(), end=LAST_DAY.isoformat())
    rows = zip(listed.schedule.index, listed.schedule["open"], listed.schedule["close"], strict=True)
    return TradingCalendar(
        tuple(
            Session(number, day.date(), int(opens.timestamp()), int(closes.timestamp()))
            for number, (day, opens, closes) in enumerate(rows)
        )
    )
