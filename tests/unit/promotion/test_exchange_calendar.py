"""The holiday rules against the calendar that the simulator uses, day by day."""

from datetime import UTC, date, datetime, timedelta

import exchange_calendars
import pytest

from tradingbot_operator.promotion.exchange_calendar import (
    first_whole_session,
    is_session,
    nth_session,
    session_at,
)

# Closures that no rule foresees: mourning and storms.
UNFORESEEN = {date(2012, 10, 29), date(2012, 10, 30), date(2018, 12, 5), date(2025, 1, 9)}


# The library's, with the pandas of the lock.
@pytest.mark.filterwarnings("ignore:Series.values returning an ndarray")
def test_every_day_of_the_known_calendar_is_as_the_rules_say() -> None:
    calendar = exchange_calendars.get_calendar("XNYS", start="2011-01-01")
    held = {moment.date() for moment in calendar.sessions}
    last = max(held)
    day, differing = date(2011, 1, 1), set()
    while day <= last:
        if is_session(day) != (day in held):
            differing.add(day)
        day += timedelta(days=1)
    assert last > date(2026, 1, 1)
    assert differing == UNFORESEEN


@pytest.mark.parametrize(
    ("first", "count", "expected"),
    [
        (date(2026, 11, 21), 1, date(2026, 11, 23)),  # from a Saturday on
        (date(2026, 11, 23), 1, date(2026, 11, 23)),
        (date(2026, 11, 23), 4, date(2026, 11, 27)),  # over Thanksgiving
        (date(2026, 12, 24), 2, date(2026, 12, 28)),  # over Christmas
    ],
)
def test_sessions_are_counted_from_the_first_day_on(first: date, count: int, expected: date) -> None:
    assert nth_session(first, count) == expected


@pytest.mark.parametrize(
    ("moment", "open_on", "whole"),
    [
        (datetime(2026, 11, 23, 14, 29, tzinfo=UTC), None, date(2026, 11, 23)),
        (datetime(2026, 11, 23, 14, 31, tzinfo=UTC), date(2026, 11, 23), date(2026, 11, 24)),
        (datetime(2026, 11, 23, 21, 0, tzinfo=UTC), None, date(2026, 11, 24)),
        (datetime(2026, 7, 6, 13, 30, tzinfo=UTC), date(2026, 7, 6), date(2026, 7, 6)),  # summer time
        (datetime(2026, 11, 26, 16, 0, tzinfo=UTC), None, date(2026, 11, 27)),
        (datetime(2026, 11, 24, 3, 0, tzinfo=UTC), None, date(2026, 11, 24)),  # still Monday in New York
    ],
)
def test_a_moment_belongs_to_a_session_of_new_york(moment: datetime, open_on: date | None, whole: date) -> None:
    assert session_at(moment) == open_on
    assert first_whole_session(moment) == whole
