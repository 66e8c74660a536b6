"""Threads for blocking calls: one kind never waits for another, and what was given up never starts."""

import asyncio
import threading
import time

import pytest

from tradingbot_runtime.broker.lanes import MAX_WAITING, LaneTimeout, ThreadLane


async def test_an_answer_and_an_error_come_back() -> None:
    lane = ThreadLane("test", 1)
    assert await lane.run(lambda: 7, 5) == 7
    with pytest.raises(ZeroDivisionError):
        await lane.run(lambda: 1 // 0, 5)
    lane.close()


async def test_a_call_that_was_given_up_before_it_began_never_begins() -> None:
    lane, release, begun = ThreadLane("test", 1), threading.Event(), []
    hanging = asyncio.create_task(lane.run(release.wait, 5))
    await asyncio.sleep(0)
    with pytest.raises(LaneTimeout, match="no answer within"):
        await lane.run(lambda: begun.append("order"), 0.05)
    release.set()
    await hanging
    assert await lane.run(lambda: "later", 5) == "later"
    assert begun == []
    lane.close()


async def test_a_cancelled_call_never_begins_either() -> None:
    lane, release, begun = ThreadLane("test", 1), threading.Event(), []
    hanging = asyncio.create_task(lane.run(release.wait, 5))
    waiting = asyncio.create_task(lane.run(lambda: begun.append("order"), 5))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    release.set()
    await hanging
    await lane.run(lambda: None, 5)
    assert begun == []
    lane.close()


async def test_a_hanging_call_does_not_delay_another_lane() -> None:
    orders, urgent, release = ThreadLane("orders", 1), ThreadLane("urgent", 1), threading.Event()
    hanging = asyncio.create_task(orders.run(release.wait, 10))
    await asyncio.sleep(0.01)
    started = time.monotonic()
    await urgent.run(lambda: None, 5)
    assert time.monotonic() - started < 4
    assert not hanging.done()
    release.set()
    await hanging
    for lane in (orders, urgent):
        lane.close()


async def test_a_lane_does_not_grow_without_bound() -> None:
    lane, release = ThreadLane("test", 1), threading.Event()
    calls = [asyncio.create_task(lane.run(release.wait, 10)) for _ in range(MAX_WAITING + 10)]
    await asyncio.sleep(0.05)
    release.set()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, LaneTimeout)]
    assert 0 < len(refused) <= 10
    lane.close()


def test_a_lane_closes_while_its_thread_hangs() -> None:
    release = threading.Event()

    async def main() -> None:
        lane = ThreadLane("test", 1)
        with pytest.raises(LaneTimeout):
            await lane.run(release.wait, 0.01)
        lane.close()

    asyncio.run(main())
    release.set()  # its answer finds no loop any more, and nobody minds


async def test_a_call_that_finds_no_free_thread_in_its_time_never_begins() -> None:
    lane, release, begun = ThreadLane("test", 1), threading.Event(), []
    hanging = asyncio.create_task(lane.run(release.wait, 5))
    await asyncio.sleep(0)
    with pytest.raises(LaneTimeout, match=r"no thread was free within 0\.05 s") as raised:
        await lane.run(lambda: begun.append("order"), 5, begin_within_seconds=0.05)
    assert not raised.value.started
    release.set()
    await hanging
    await lane.run(lambda: None, 5)
    assert begun == []
    lane.close()


async def test_a_call_that_begins_in_time_may_take_longer_than_its_beginning_could() -> None:
    lane = ThreadLane("test", 1)
    assert await lane.run(lambda: time.sleep(0.5) or "done", 5, begin_within_seconds=0.4) == "done"
    with pytest.raises(LaneTimeout, match=r"no answer within 0\.5 s") as raised:
        await lane.run(lambda: time.sleep(0.8), 0.5, begin_within_seconds=0.4)
    assert raised.value.started
    lane.close()
