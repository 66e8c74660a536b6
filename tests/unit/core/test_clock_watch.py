"""Which words of the broker's clock are believed."""

from datetime import timedelta

import pytest

from builders import OPEN, at
from tradingbot_api import BrokerProvider
from tradingbot_runtime.core.clock_watch import ClockWatch
from tradingbot_runtime.core.values import MarketClock


def told(minutes: float) -> MarketClock:
    moment = OPEN + timedelta(minutes=minutes)
    return MarketClock(moment, is_open=True, next_open=OPEN + timedelta(days=1), next_close=OPEN + timedelta(hours=6.5))


def a_watch(provider: BrokerProvider = BrokerProvider.ALPACA) -> ClockWatch:
    watch = ClockWatch(provider)
    assert watch.doubt(told(60), at(0)) is None
    return watch


@pytest.mark.parametrize(("minutes", "seconds"), [(60, 0), (60, 3600), (60.5, 1), (61, 5), (120, 3600), (59.99, 1)])
def test_time_that_passes_as_the_machines_is_believed(minutes: float, seconds: float) -> None:
    assert a_watch().doubt(told(minutes), at(seconds)) is None


@pytest.mark.parametrize(
    ("minutes", "said"), [(59, "went back"), (-9000, "went back"), (63, "within 0:00:05"), (9e5, "within 0:00:05")]
)
def test_a_jump_is_not_believed(minutes: float, said: str) -> None:
    assert said in (a_watch().doubt(told(minutes), at(5)) or "")


def test_a_simulators_clock_may_run_at_any_speed_and_skip_a_long_weekend_but_not_go_back() -> None:
    watch = a_watch(BrokerProvider.SIMULATOR)
    assert watch.doubt(told(60 + 4 * 24 * 60), at(1)) is None
    assert "went back" in (watch.doubt(told(60), at(2)) or "")
    assert "went from" in (watch.doubt(told(60 + 40 * 24 * 60), at(3)) or "")


def test_what_goes_on_to_be_told_is_believed() -> None:
    watch = a_watch()
    doubts = [watch.doubt(told(30 + second / 60), at(second)) for second in range(1, 40, 3)]
    assert [doubt is None for doubt in doubts] == [False] * 10 + [True] * 3


def test_a_time_that_jumps_on_is_never_believed() -> None:
    watch = a_watch()
    assert all(watch.doubt(told(60 + 100 * second), at(second)) for second in range(1, 100))


def test_two_words_are_not_enough_however_far_apart() -> None:
    watch = a_watch()
    assert watch.doubt(told(30), at(1))
    assert watch.doubt(told(90), at(3601)) is None, "what the machine's own pace expects needs no doubt"
    assert watch.doubt(told(30), at(3602))
    assert watch.doubt(told(31), at(3662))
    assert watch.doubt(told(31.1), at(3668)) is None
