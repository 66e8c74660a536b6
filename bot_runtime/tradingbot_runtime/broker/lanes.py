"""Threads for blocking calls, a lane for each kind, so that a hanging call delays only its own kind.

Threads are daemons: one that hangs in a dead socket must not keep a process from ending.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

MAX_WAITING = 1000
"""Calls that may wait in one lane."""


class LaneTimeout(Exception):
    """The call has not come back in time; if it has not started by now, it never will."""

    def __init__(self, message: str, *, started: bool = True) -> None:
        """`started`: whether the call may still be under way."""
        super().__init__(message)
        self.started = started


class Lane(Protocol):
    """Runs blocking calls somewhere."""

    async def run(
        self, call: Callable[[], T], timeout_seconds: float, *, begin_within_seconds: float | None = None
    ) -> T:
        """What `call` returns or raises. Raises LaneTimeout when that takes too long, or begins too late."""
        ...

    def close(self) -> None:
        """Starts no further call; those under way are left alone."""
        ...


@dataclass
class _Job:
    call: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    answer: "asyncio.Future[Any]"
    lock: threading.Lock = field(default_factory=threading.Lock)
    started: bool = False
    abandoned: bool = False


class ThreadLane:
    """A few daemon threads that take calls in the order they came."""

    def __init__(self, name: str, threads: int) -> None:
        self._jobs: queue.Queue[_Job | None] = queue.Queue(MAX_WAITING)
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True) for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    async def run(
        self, call: Callable[[], T], timeout_seconds: float, *, begin_within_seconds: float | None = None
    ) -> T:
        """What `call` returns or raises.

        Raises LaneTimeout when that takes too long, when no thread is free in time, or when too many wait.
        """
        loop = asyncio.get_running_loop()
        job = _Job(call=call, loop=loop, answer=loop.create_future())
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise LaneTimeout(f"{MAX_WAITING} calls already wait for an answer", started=False) from None
        try:
            async with asyncio.timeout(timeout_seconds):
                if begin_within_seconds is not None:
                    await _begun_or_given_up(job, begin_within_seconds)
                result: T = await job.answer
                return result
        except TimeoutError:
            with job.lock:
                job.abandoned = True
            raise LaneTimeout(f"no answer within {timeout_seconds:g} s", started=job.started) from None
        finally:
            # A call that nobody waits for must not start later: an order would go out after it was given up.
            with job.lock:
                job.abandoned = True

    def close(self) -> None:
        """Ends the threads that are idle; the others die with the process."""
        for _ in self._threads:
            try:
                self._jobs.put_nowait(None)
            except queue.Full:
                return

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            with job.lock:
                if job.abandoned:
                    continue
                job.started = True
            self._finish(job)

    def _finish(self, job: _Job) -> None:
        result, error = None, None
        try:
            result = job.call()
        except Exception as raised:
            error = raised
        try:
            job.loop.call_soon_threadsafe(_answer, job.answer, result, error)
        except RuntimeError:
            return  # the loop is closed: the process is ending


class InlineLane:
    """Runs a call where it is asked for: for tests that want one order of events and no threads."""

    async def run(
        self, call: Callable[[], T], timeout_seconds: float, *, begin_within_seconds: float | None = None
    ) -> T:
        """What `call` returns or raises."""
        return call()

    def close(self) -> None:
        """Nothing to close."""


async def _begun_or_given_up(job: _Job, seconds: float) -> None:
    """Raises LaneTimeout when the job has not begun by then; it never will."""
    await asyncio.wait((job.answer,), timeout=seconds)
    with job.lock:
        if not job.started:
            job.abandoned = True
            raise LaneTimeout(f"no thread was free within {seconds:g} s", started=False)


def _answer(future: "asyncio.Future[Any]", result: object, error: Exception | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
