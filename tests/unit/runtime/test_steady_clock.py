"""The machine's time as durations need it: the wall may jump, what has passed may not."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradingbot_runtime.app import SteadyClock

START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
AN_HOUR = timedelta(hours=1)


class Machine:
    """A wall clock that somebody sets, and the seconds that have really passed."""

    def __init__(self) -> None:
        self.wall, self.seconds = START, 1000.0
        self.clock = SteadyClock(lambda: self.wall, lambda: self.seconds)

    def pass_time(self, seconds: float) -> datetime:
        self.seconds += seconds
        self.wall += timedelta(seconds=seconds)
        return self.clock()


def test_it_is_the_walls_time_while_nobody_sets_the_wall() -> None:
    machine = Machine()
    for minutes in range(1, 4):
        assert machine.pass_time(60) == START + timedelta(minutes=minutes)


@pytest.mark.parametrize("jump", [AN_HOUR, -AN_HOUR])
def test_a_jump_of_the_wall_is_followed_slowly_and_at_last_wholly(jump: timedelta) -> None:
    machine = Machine()
    before = machine.clock()
    machine.wall += jump
    assert machine.clock() == before
    passed = machine.pass_time(10) - before
    assert passed == timedelta(seconds=11 if jump > timedelta(0) else 9)
    for _ in range(60 * 60):
        machine.pass_time(10)
    assert machine.clock() == machine.wall


def test_it_stands_still_when_the_monotonic_clock_goes_back() -> None:
    machine = Machine()
    before = machine.pass_time(5)
    machine.seconds -= 3
    assert machine.clock() == before


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 3600), st.floats(-7200, 7200)), max_size=20))
def test_it_never_goes_back_and_no_duration_is_off_by_more_than_a_tenth(steps: list[tuple[float, float]]) -> None:
    machine = Machine()
    for seconds, jump in steps:
        before = machine.clock()
        machine.wall += timedelta(seconds=jump)
        passed = (machine.pass_time(seconds) - before).total_seconds()
        assert passed >= 0
        assert passed == pytest.approx(seconds, rel=SteadyClock.SLEW * 1.001, abs=1e-5)
