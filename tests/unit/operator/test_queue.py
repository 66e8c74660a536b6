"""The queue never works on one key twice at a time, never loses one, and lets kills through first."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tradingbot_operator.queue import FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS, LAST_URGENT_RETRY_SECONDS, WorkQueue


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Wish:
    due: float
    urgent: bool


KEYS = st.sampled_from(["a", "b", "c"])


@dataclass
class Model:
    waiting: dict[str, Wish] = field(default_factory=dict)
    working: set[str] = field(default_factory=set)
    again: dict[str, Wish] = field(default_factory=dict)


class QueueMachine(RuleBasedStateMachine):
    """Against a model that says in the plainest way what is due."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.killed: set[str] = set()
        self.queue: WorkQueue[str] = WorkQueue(self.clock, self.killed.__contains__, jitter=lambda: 1.0)
        self.model = Model()
        self.failures: dict[str, int] = {}

    def wish(self, key: str, due: float) -> None:
        urgent = key in self.killed
        place = self.model.again if key in self.model.working else self.model.waiting
        known = place.get(key)
        place[key] = Wish(min(due, known.due), urgent or known.urgent) if known else Wish(due, urgent)

    @rule(key=KEYS)
    def kill(self, key: str) -> None:
        self.killed.add(key)

    @rule(key=KEYS)
    def release(self, key: str) -> None:
        self.killed.discard(key)

    @rule(key=KEYS, after=st.sampled_from([0.0, -1.0, 1.0, 5.0]))
    def add(self, key: str, after: float) -> None:
        self.queue.add(key, after_seconds=after)
        self.wish(key, self.clock.now + max(after, 0.0))

    @rule(key=KEYS, asked=st.sampled_from([0.0, 3.0, 1000.0]))
    def retry(self, key: str, asked: float) -> None:
        failures = self.failures.get(key, 0)
        wait = self.queue.retry(key, at_least_seconds=asked)
        cap = LAST_URGENT_RETRY_SECONDS if key in self.killed else LAST_RETRY_SECONDS
        assert wait == max(min(FIRST_RETRY_SECONDS * 2**failures, cap), min(asked, LAST_RETRY_SECONDS))
        self.failures[key] = failures + 1
        self.wish(key, self.clock.now + wait)

    @rule(key=KEYS)
    def succeed(self, key: str) -> None:
        self.queue.succeeded(key)
        self.failures.pop(key, None)

    @rule(seconds=st.sampled_from([0.1, 1.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(urgent_only=st.booleans())
    def pop(self, urgent_only: bool) -> None:
        due = {
            key: wish
            for key, wish in self.model.waiting.items()
            if wish.due <= self.clock.now and (wish.urgent or not urgent_only)
        }
        key = self.queue.pop(urgent_only=urgent_only)
        if key is None:
            assert not due
            return
        assert key in due
        assert key not in self.model.working
        assert due[key].urgent or not any(wish.urgent for wish in due.values())
        del self.model.waiting[key]
        self.model.working.add(key)

    @precondition(lambda self: self.model.working)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.model.working)))
        self.queue.done(key)
        self.model.working.discard(key)
        if key in self.model.again:
            self.model.waiting[key] = self.model.again.pop(key)

    @invariant()
    def counts_agree(self) -> None:
        assert len(self.queue) == len(self.model.waiting) + len(self.model.again)
        assert self.queue.working == len(self.model.working)
        assert self.queue.due == sum(wish.due <= self.clock.now for wish in self.model.waiting.values())


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_keys_are_worked_on_in_the_order_they_came() -> None:
    queue: WorkQueue[str] = WorkQueue(Clock())
    for key in "abc":
        queue.add(key)
    assert [queue.pop() for _ in range(4)] == ["a", "b", "c", None]


def test_a_kill_overtakes_everything_that_waits_also_when_it_waited_before() -> None:
    killed: set[str] = set()
    queue: WorkQueue[str] = WorkQueue(Clock(), killed.__contains__)
    for key in ("first", "victim", "last"):
        queue.add(key)
    killed.add("victim")
    queue.add("victim")
    assert [queue.pop() for _ in range(4)] == ["victim", "first", "last", None]


async def test_a_worker_for_kills_is_free_while_all_others_are_busy() -> None:
    killed: set[str] = set()
    queue: WorkQueue[str] = WorkQueue(asyncio.get_running_loop().time, killed.__contains__)
    for_kills = asyncio.create_task(queue.get(urgent_only=True))
    queue.add("ordinary")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not for_kills.done()
    killed.add("ordinary")
    queue.add("ordinary")
    assert await asyncio.wait_for(for_kills, 5) == "ordinary"


def test_a_wait_is_spread_over_half_of_itself() -> None:
    waits = {WorkQueue[str](Clock(), jitter=lambda share=share: share).retry("a") for share in (0.0, 1.0)}
    assert waits == {FIRST_RETRY_SECONDS / 2, FIRST_RETRY_SECONDS}


async def test_get_waits_for_what_comes_and_for_what_is_due_later() -> None:
    loop = asyncio.get_running_loop()
    queue: WorkQueue[str] = WorkQueue(loop.time)
    waiter = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("later", after_seconds=0.05)
    assert await asyncio.wait_for(waiter, 5) == "later"
    queue.add("now")
    assert await asyncio.wait_for(queue.get(), 5) == "now"


async def test_many_workers_share_one_queue() -> None:
    loop = asyncio.get_running_loop()
    queue: WorkQueue[int] = WorkQueue(loop.time, lambda number: number % 3 == 0)
    active: set[int] = set()
    finished: list[int] = []

    async def work() -> None:
        while True:
            key = await queue.get()
            assert key not in active
            active.add(key)
            await asyncio.sleep(0)
            active.discard(key)
            finished.append(key)
            queue.done(key)

    workers = [asyncio.create_task(work()) for _ in range(4)]
    for number in range(50):
        queue.add(number % 10, after_seconds=0.001 * (number % 4))
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        while len(queue) or queue.working:  # noqa: ASYNC110 - the queue has no event for being empty
            await asyncio.sleep(0.001)
    for worker in workers:
        worker.cancel()
    results = await asyncio.gather(*workers, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    assert set(finished) == set(range(10))


@pytest.mark.parametrize("failures", [0, 1, 8, 40])
def test_the_wait_doubles_up_to_a_cap(failures: int) -> None:
    queue: WorkQueue[str] = WorkQueue(Clock(), jitter=lambda: 1.0)
    for _ in range(failures):
        queue.retry("a")
    assert queue.retry("a") == min(FIRST_RETRY_SECONDS * 2**failures, LAST_RETRY_SECONDS)
