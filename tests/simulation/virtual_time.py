"""Concurrency without threads, sockets or waiting: coroutines that pause in virtual time, woken in a seeded order.

What is due at the same moment is woken in random order, so that nothing may rely on an order nobody promises.
"""

import contextlib
import heapq
import inspect
import random
from collections.abc import Callable, Coroutine, Generator
from datetime import datetime, timedelta
from itertools import count
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")
Work = Coroutine[Any, Any, Any]
_MOST_CLEAN_UPS = 20


class Ended(BaseException):
    """The process of this work has died: nothing in it may catch this."""


@coroutine
def pause(seconds: float) -> Generator[float, None, None]:
    """Lets machine time pass."""
    yield seconds


class VirtualTime:
    """The machine's time, and all that waits for it. `passes` is told of every step before anybody is woken."""

    def __init__(self, start: datetime, rng: random.Random, passes: Callable[[timedelta], None]) -> None:
        self.now = start
        self._rng = rng
        self._passes = passes
        self._waiting: list[tuple[datetime, float, int, Work]] = []
        self._number = count()

    def start(self, work: Work, after_seconds: float = 0.0) -> None:
        """Begins work, once so much time has passed."""
        due = self.now + timedelta(seconds=after_seconds)
        heapq.heappush(self._waiting, (due, self._rng.random(), next(self._number), work))

    def run(self, seconds: float, after_each: Callable[[], None]) -> None:
        """Lets time pass with all that is due in it; what the work raises is raised here."""
        until = self.now + timedelta(seconds=seconds)
        while self._waiting and self._waiting[0][0] <= until:
            due, _, _, work = heapq.heappop(self._waiting)
            self._pass_to(due)
            with contextlib.suppress(StopIteration):
                self.start(work, work.send(None))
            after_each()
        self._pass_to(until)

    def forget(self) -> None:
        """Ends all that waits, without a word: its process has died."""
        while self._waiting:
            _, _, _, work = self._waiting.pop()
            if inspect.getcoroutinestate(work) == inspect.CORO_CREATED:
                work.close()
            else:
                _end(work)

    def _pass_to(self, due: datetime) -> None:
        if due > self.now:
            passed, self.now = due - self.now, due
            self._passes(passed)


def _end(work: Work) -> None:
    for _ in range(_MOST_CLEAN_UPS):
        try:
            work.throw(Ended())
        except (Ended, StopIteration):
            return
    raise AssertionError("work goes on after its process has died")
