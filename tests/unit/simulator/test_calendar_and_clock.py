"""The exchange's sessions, and market time that is real, scaled or stepped."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaca_simulator.market.calendar import OutsideCalendarError, new_york_stock_exchange
from alpaca_simulator.market.clock import RealClock, ScaledClock, SteppedClock
from alpaca_simulator.values.instants import from_epoch

NYSE = new_york_stock_exchange()
MONDAY_OPEN = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


class Machine:
    """A machine clock that moves when told."""

    def __init__(self, seconds: float = 1000.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


def scaled(start: datetime, speed: float, **options: object) -> tuple[ScaledClock, Machine]:
    machine = Machine()
    return ScaledClock(NYSE, machine, start=start, speed=speed, **options), machine


def test_christmas_has_no_session() -> None:
    assert NYSE.on(date(2026, 12, 25)) is None


def test_the_day_after_thanksgiving_is_a_half_day() -> None:
    session = NYSE.on(date(2026, 11, 27))
    assert session is not None
    assert session.minutes == 210


def test_summer_opens_an_hour_earlier_in_utc_than_winter() -> None:
    winter, summer = NYSE.on(date(2026, 3, 6)), NYSE.on(date(2026, 3, 9))
    assert winter is not None
    assert summer is not None
    assert (winter.opens_at.hour, summer.opens_at.hour) == (14, 13)


def test_the_market_is_open_at_the_opening_bell_and_closed_at_the_closing_bell() -> None:
    session = NYSE.on(date(2026, 3, 2))
    assert session is not None
    assert NYSE.open_at(session.opens_at) is session
    assert NYSE.open_at(session.closes_at - timedelta(microseconds=1)) is session
    assert NYSE.open_at(session.closes_at) is None


def test_after_the_last_session_the_calendar_says_so() -> None:
    with pytest.raises(OutsideCalendarError, match="no session after"):
        NYSE.next_opening(datetime(2036, 1, 1, tzinfo=UTC))


@given(st.datetimes(datetime(2017, 1, 1), datetime(2035, 1, 1)))  # noqa: DTZ001  (hypothesis wants naive bounds)
def test_next_open_and_close_are_ahead_and_in_order(naive: datetime) -> None:
    at = naive.replace(tzinfo=UTC)
    opening, closing = NYSE.next_opening(at).opens_at, NYSE.next_closing(at).closes_at
    assert opening > at
    assert closing > at
    assert (closing < opening) == (NYSE.open_at(at) is not None)


def test_a_real_clock_never_goes_back_when_the_machine_does() -> None:
    machine = Machine(MONDAY_OPEN.timestamp())
    clock = RealClock(machine)
    assert clock.now() == MONDAY_OPEN
    machine.seconds -= 3600
    assert clock.now() == MONDAY_OPEN


def test_a_scaled_clock_runs_a_session_in_five_seconds() -> None:
    clock, machine = scaled(MONDAY_OPEN, speed=6.5 * 3600 / 5)
    machine.seconds += 5
    assert clock.now() == MONDAY_OPEN + timedelta(hours=6.5)


def test_a_scaled_clock_skips_the_night() -> None:
    close = MONDAY_OPEN + timedelta(hours=6.5)
    clock, machine = scaled(close + timedelta(minutes=4), speed=60)
    machine.seconds += 1
    assert clock.now() == MONDAY_OPEN + timedelta(days=1) - timedelta(minutes=5)
    machine.seconds += 5
    assert clock.now() == MONDAY_OPEN + timedelta(days=1)


def test_a_scaled_clock_that_starts_in_a_weekend_begins_before_monday() -> None:
    clock, machine = scaled(datetime(2026, 2, 28, 12, tzinfo=UTC), speed=1)
    machine.seconds += 1
    assert clock.now() == MONDAY_OPEN - timedelta(minutes=5) + timedelta(seconds=1)


def test_a_scaled_clock_that_skips_nothing_lives_through_the_night() -> None:
    clock, machine = scaled(MONDAY_OPEN, speed=3600, skip_closed=False)
    machine.seconds += 24
    assert clock.now() == MONDAY_OPEN + timedelta(days=1)


@given(st.lists(st.integers(0, 2_000), max_size=30))
def test_how_often_a_scaled_clock_is_read_does_not_change_the_time(pauses: list[int]) -> None:
    # Machine seconds in eighths, so that sums are exact.
    often, machine = scaled(MONDAY_OPEN, speed=64)
    seen = [often.now()]
    for pause in pauses:
        machine.seconds += pause / 8
        seen.append(often.now())
    seldom, other = scaled(MONDAY_OPEN, speed=64)
    other.seconds += sum(pauses) / 8
    assert seen == sorted(seen)
    assert seldom.now() == seen[-1]


@pytest.mark.parametrize("speed", [0, -1, 2_000_000])
def test_an_absurd_speed_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="speed must be"):
        scaled(MONDAY_OPEN, speed=speed)


def test_a_stepped_clock_stands_still_until_stepped_and_never_goes_back() -> None:
    clock = SteppedClock(MONDAY_OPEN)
    assert clock.now() == MONDAY_OPEN
    assert clock.step(timedelta(seconds=1.5)) == clock.now() == MONDAY_OPEN + timedelta(seconds=1.5)
    with pytest.raises(ValueError, match="cannot go back"):
        clock.step_to(MONDAY_OPEN)


def test_sessions_are_found_by_their_extended_hours_too() -> None:
    monday = NYSE.on(date(2026, 3, 2))
    assert monday is not None
    begins, ends = from_epoch(monday.pre_market_epoch), from_epoch(monday.after_hours_epoch)
    second = timedelta(seconds=1)
    assert NYSE.extended_between(begins, begins) == (monday,)
    assert NYSE.extended_between(ends - second, ends - second) == (monday,)
    assert NYSE.extended_between(ends, begins + timedelta(hours=23)) == ()
    assert NYSE.extended_between(begins - timedelta(days=3), ends)[-1] == monday
    assert NYSE.last_pre_market(monday.pre_market_epoch) == monday
    assert NYSE.last_pre_market(monday.pre_market_epoch - 1).day == date(2026, 2, 27)
