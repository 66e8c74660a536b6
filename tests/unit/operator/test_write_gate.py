"""Writes keep to a budget and to what the API server asks for; a kill waits for neither; nothing passes the fence."""

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradingbot_operator.cluster.write_gate import (
    LONGEST_PAUSE_SECONDS,
    NotLeadingError,
    TokenBucket,
    WriteGate,
    writing,
)


@dataclass
class Time:
    """Time that passes only where somebody sleeps."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.0)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr("tradingbot_operator.cluster.write_gate.asyncio.sleep", time.sleep)
    return time


@settings(max_examples=100)
@given(
    rate=st.integers(1, 50),
    burst=st.integers(1, 20),
    gaps=st.lists(st.floats(0, 3, allow_nan=False), min_size=1, max_size=60),
)
def test_no_stretch_of_time_sees_more_than_the_burst_and_the_rate(rate: int, burst: int, gaps: list[float]) -> None:
    bucket, asked_at, sent = TokenBucket(rate, burst, 0.0), 0.0, []
    for gap in gaps:
        asked_at += gap
        sent.append(asked_at + bucket.take(asked_at))
    assert sent == sorted(sent)
    for first in range(len(sent)):
        for last in range(first, len(sent)):
            assert last - first + 1 <= burst + rate * (sent[last] - sent[first]) + 1e-6


def test_a_bucket_that_has_tokens_makes_nobody_wait() -> None:
    bucket = TokenBucket(2.0, 3.0, 0.0)
    assert [bucket.take(0.0) for _ in range(5)] == [0.0, 0.0, 0.0, 0.5, 1.0]
    assert bucket.take(100.0) == 0.0


async def test_a_kill_is_not_kept_waiting(time: Time) -> None:
    gate = WriteGate(writes_per_second=1.0, clock=time)
    gate.pause(30.0)
    for _ in range(100):
        with writing(urgent=True):
            await gate.turn()
    assert time.now == 0.0
    with writing(urgent=False):
        await gate.turn()
    assert time.now == 30.0


async def test_a_kill_in_one_task_hurries_no_other() -> None:
    gate = WriteGate(writes_per_second=1.0, clock=asyncio.get_running_loop().time)
    gate.pause(30.0)

    async def write(urgent: bool) -> None:
        with writing(urgent=urgent):
            await gate.turn()

    kill, other = asyncio.create_task(write(True)), asyncio.create_task(write(False))
    await asyncio.wait_for(kill, 5)
    assert not other.done()
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)


async def test_a_pause_has_a_cap_and_a_shorter_one_does_not_end_it(time: Time) -> None:
    gate = WriteGate(writes_per_second=1000.0, clock=time)
    gate.pause(1e9)
    gate.pause(1.0)
    await gate.turn()
    assert time.now == LONGEST_PAUSE_SECONDS


async def test_nothing_passes_the_fence_not_even_a_kill() -> None:
    gate = WriteGate(writes_per_second=1.0, clock=lambda: 0.0, may_write=lambda: False)
    with writing(urgent=True), pytest.raises(NotLeadingError):
        gate.check_fence()
