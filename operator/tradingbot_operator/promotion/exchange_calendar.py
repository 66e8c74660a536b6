"""The regular calendar of the New York Stock Exchange, from its holiday rules: on which dates it opens. Pure.

Only to say by when something can be at the earliest: what counted is what the broker's own calendar held. Must never
decide whether a session counts. A closure that no rule foresees makes the date later, never wrong.
"""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

NEW_YORK: Final = ZoneInfo("America/New_York")
OPEN: Final = time(9, 30)
CLOSE: Final = time(16)

_DAY: Final = timedelta(days=1)
_MONDAY, _THURSDAY, _SATURDAY, _SUNDAY = 0, 3, 5, 6
_JUNETEENTH_SINCE: Final = 2022


def is_session(day: date) -> bool:
    """Whether the exchange regularly opens on a date."""
    return day.weekday() < _SATURDAY and day not in holidays(day.year)


def nth_session(first: date, count: int) -> date:
    """The date of the `count`-th session from `first` on, `first` included; `count` is at least 1."""
    day, left = first, count
    while True:
        left -= is_session(day)
        if not left:
            return day
        day += _DAY


def session_at(moment: datetime) -> date | None:
    """The date in New York on which the exchange is regularly open at a moment (UTC), or None."""
    local = moment.astimezone(NEW_YORK)
    return local.date() if is_session(local.date()) and OPEN <= local.time() < CLOSE else None


def first_whole_session(moment: datetime) -> date:
    """The date of the first session that a bot which begins at a moment (UTC) can see from its open to its close."""
    local = moment.astimezone(NEW_YORK)
    return nth_session(local.date() if local.time() <= OPEN else local.date() + _DAY, 1)


@lru_cache(maxsize=16)
def holidays(year: int) -> frozenset[date]:
    """The regular full-day closures of a year that fall on a weekday."""
    return frozenset(_holidays(year))


def _holidays(year: int) -> Iterator[date]:
    new_year = date(year, 1, 1)
    # On a Saturday it is not made up for: the Friday before belongs to the old year's books.
    yield new_year + _DAY if new_year.weekday() == _SUNDAY else new_year
    yield _nth(year, 1, _MONDAY, 3)  # Martin Luther King's birthday
    yield _nth(year, 2, _MONDAY, 3)  # Washington's birthday
    yield _easter(year) - 2 * _DAY  # Good Friday
    yield _last_monday_of_may(year)
    if year >= _JUNETEENTH_SINCE:
        yield _observed(date(year, 6, 19))
    yield _observed(date(year, 7, 4))
    yield _nth(year, 9, _MONDAY, 1)  # Labor Day
    yield _nth(year, 11, _THURSDAY, 4)  # Thanksgiving
    yield _observed(date(year, 12, 25))


def _observed(day: date) -> date:
    if day.weekday() == _SATURDAY:
        return day - _DAY
    return day + _DAY if day.weekday() == _SUNDAY else day


def _nth(year: int, month: int, weekday: int, count: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (count - 1))


def _last_monday_of_may(year: int) -> date:
    last = date(year, 5, 31)
    return last - timedelta(days=last.weekday())


def _easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (Meeus, Jones and Butcher)."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    m = (32 + 2 * e + 2 * i - h - k) % 7
    n = (a + 11 * h + 22 * m) // 451
    month, day = divmod(h + m - 7 * n + 114, 31)
    return date(year, month, day + 1)
