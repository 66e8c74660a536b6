"""The request budget: who may ask when little is left, what a 429 stops, and that every wait ends."""

import asyncio
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradingbot_runtime.broker.budget import RULES, BudgetSpent, RequestBudget, Urgency
from tradingbot_runtime.broker.rate_headers import LONGEST_WINDOW_SECONDS, RateHeaders, rate_headers

BROKERS_TIME = 1_800_000_000
"""Seconds since 1970 by the broker's clock, which need not be ours."""


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.seconds += seconds


def a_budget() -> tuple[RequestBudget, Clock]:
    clock = Clock()
    return RequestBudget("trading", monotonic=clock.monotonic, sleep=clock.sleep), clock


def headers(remaining: int, resets_in: float = 40, limit: int = 200, **more: str) -> dict[str, str]:
    return {
        "Date": format_datetime(datetime.fromtimestamp(BROKERS_TIME, UTC), usegmt=True),
        "X-Ratelimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
        "x-ratelimit-reset": str(int(BROKERS_TIME + resets_in)),
        **more,
    }


async def test_nobody_waits_before_the_broker_has_said_anything() -> None:
    budget, clock = a_budget()
    for urgency in Urgency:
        for _ in range(300):
            await budget.take(urgency)
    assert clock.waits == []


async def test_reads_stop_at_a_fifth_orders_at_a_twentieth_and_cancels_never() -> None:
    budget, clock = a_budget()
    budget.learn(Urgency.READ, 200, headers(remaining=41, resets_in=40))
    await budget.take(Urgency.READ)
    assert clock.waits == []
    for _ in range(30):
        await budget.take(Urgency.ORDER)
    with pytest.raises(BudgetSpent, match="no request to spare for orders"):
        await budget.take(Urgency.ORDER)
    for _ in range(100):
        await budget.take(Urgency.URGENT)
    assert clock.waits == []
    await budget.take(Urgency.READ)
    assert clock.waits == [40.0]
    figures = budget.figures()
    assert (figures.limit, figures.left) == (200, 199)
    assert (figures.lanes["reads"].waits, figures.lanes["reads"].waited_seconds) == (1, 40.0)
    assert figures.lanes["orders"].given_up == 1
    assert figures.lanes["urgent"].waits == 0


async def test_an_order_waits_where_the_next_count_is_near() -> None:
    budget, clock = a_budget()
    budget.learn(Urgency.READ, 200, headers(remaining=0, resets_in=3))
    await budget.take(Urgency.ORDER)
    assert clock.waits == [3.0]


async def test_answers_that_overtake_each_other_give_nothing_back() -> None:
    budget, _ = a_budget()
    budget.learn(Urgency.READ, 200, headers(remaining=90))
    budget.learn(Urgency.READ, 200, headers(remaining=100))
    assert budget.figures().left == 90
    budget.learn(Urgency.READ, 200, headers(remaining=199, resets_in=100))
    assert budget.figures().left == 199


async def test_a_429_stops_everybody_until_the_reset_but_a_cancel_for_ten_seconds_only() -> None:
    budget, clock = a_budget()
    budget.learn(Urgency.ORDER, 429, headers(remaining=0, resets_in=30))
    await budget.take(Urgency.URGENT)
    assert clock.waits == [10.0]
    with pytest.raises(BudgetSpent):
        await budget.take(Urgency.ORDER)
    await budget.take(Urgency.READ)
    assert clock.waits == [10.0, 20.0]
    assert budget.figures().lanes["orders"].too_many_requests == 1


async def test_retry_after_is_obeyed_before_the_reset() -> None:
    budget, clock = a_budget()
    budget.learn(Urgency.READ, 429, headers(remaining=100, resets_in=30, **{"Retry-After": "4"}))
    await budget.take(Urgency.URGENT)
    assert clock.waits == [4.0]


async def test_a_429_that_says_nothing_pauses_longer_each_time_until_one_is_answered() -> None:
    budget, clock = a_budget()
    for _ in range(3):
        budget.learn(Urgency.READ, 429, {})
        await budget.take(Urgency.READ)
    assert clock.waits == [1.0, 2.0, 4.0]
    budget.learn(Urgency.READ, 200, {})
    budget.learn(Urgency.READ, 429, {})
    await budget.take(Urgency.READ)
    assert clock.waits[-1] == 1.0


async def test_whoever_waits_together_goes_on_together() -> None:
    budget = RequestBudget("trading")
    budget.learn(Urgency.READ, 429, {"Retry-After": "0.01"})
    async with asyncio.timeout(5):
        await asyncio.gather(*(budget.take(Urgency.READ) for _ in range(20)))
    assert budget.figures().lanes["reads"].waits == 20


def test_a_reset_is_counted_by_the_brokers_own_clock_and_ends_within_a_minute() -> None:
    assert rate_headers(headers(1, resets_in=17)).resets_in_seconds == 17
    assert rate_headers(headers(1, resets_in=-9)).resets_in_seconds == 0
    assert rate_headers(headers(1, resets_in=10**8)).resets_in_seconds == LONGEST_WINDOW_SECONDS
    dateless = {name: value for name, value in headers(1).items() if name != "Date"}
    assert rate_headers(dateless).resets_in_seconds == LONGEST_WINDOW_SECONDS


def test_retry_after_may_be_a_date() -> None:
    later = format_datetime(datetime.fromtimestamp(BROKERS_TIME + 7, UTC), usegmt=True)
    assert rate_headers(headers(1, **{"Retry-After": later})).retry_after_seconds == 7


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["date", "x-ratelimit-limit", "X-Ratelimit-Remaining", "x-ratelimit-reset", "retry-after"]),
        st.one_of(st.text(max_size=20), st.integers(-(10**20), 10**20).map(str), st.floats().map(str)),
    )
)
def test_headers_that_make_no_sense_say_nothing_or_something_bounded(said: dict[str, str]) -> None:
    read = rate_headers(said)
    assert isinstance(read, RateHeaders)
    assert read.resets_in_seconds is None or 0 <= read.resets_in_seconds <= LONGEST_WINDOW_SECONDS
    assert read.limit is None or read.limit >= 0


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(list(Urgency)), st.just(0), st.just(0.0)),
            st.tuples(st.sampled_from([200, 429, 503]), st.integers(0, 200), st.floats(-10, 1000)),
        ),
        max_size=60,
    )
)
def test_every_wait_is_bounded_and_below_the_reserve_only_urgent_calls_go_out(
    story: list[tuple[Urgency | int, int, float]],
) -> None:
    async def play() -> None:
        budget, clock = a_budget()
        for what, remaining, resets_in in story:
            if isinstance(what, int):
                budget.learn(Urgency.READ, what, headers(remaining, resets_in))
                continue
            before = len(clock.waits)
            try:
                await budget.take(what)
            except BudgetSpent:
                assert what is not Urgency.URGENT
            else:
                left = budget.figures().left
                assert left is None or what is Urgency.URGENT or left >= int(200 * RULES[what].reserve)
            assert sum(clock.waits[before:]) <= RULES[what].longest_wait_seconds

    asyncio.run(play())
