"""What has to be looked at again, and when: one entry a key, never two workers on one key, kills first.

Bounded by the number of keys, because a key is in it at most once. Must never lose a key: one that is added while
it is being worked on comes back when that work is done.
"""

import asyncio
import contextlib
import heapq
import itertools
import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

FIRST_RETRY_SECONDS: Final = 0.25
LAST_RETRY_SECONDS: Final = 60.0
LAST_URGENT_RETRY_SECONDS: Final = 5.0
"""A kill that failed is not left waiting for a minute."""
_URGENT: Final = 0
_NORMAL: Final = 1


@dataclass
class _Entry:
    due: float
    rank: int
    ticket: int


class WorkQueue(Generic[Key]):
    """Keys due now or later. `clock` gives seconds that never go back; `jitter` a factor from 0 to 1.

    `is_urgent` is asked whenever a key is added: a key that is urgent then overtakes all that are not.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        is_urgent: Callable[[Key], bool] = lambda _: False,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._is_urgent = is_urgent
        self._jitter = jitter
        self._tickets = itertools.count()
        self._waiting: dict[Key, _Entry] = {}
        self._later: list[tuple[float, int, Key]] = []
        self._ready: list[tuple[int, int, Key]] = []
        self._working: set[Key] = set()
        self._again: dict[Key, _Entry] = {}
        self._failures: dict[Key, int] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._again)

    @property
    def due(self) -> int:
        """How many keys could be worked on now."""
        now = self._clock()
        return sum(entry.due <= now for entry in self._waiting.values())

    @property
    def working(self) -> int:
        """How many keys are being worked on."""
        return len(self._working)

    def add(self, key: Key, *, after_seconds: float = 0.0) -> None:
        """Wants a key looked at; the sooner of two wishes and the more urgent of them wins."""
        rank = _URGENT if self._is_urgent(key) else _NORMAL
        entry = _Entry(self._clock() + max(after_seconds, 0.0), rank, next(self._tickets))
        place = self._again if key in self._working else self._waiting
        known = place.get(key)
        if known is not None:
            entry = _Entry(min(known.due, entry.due), min(known.rank, entry.rank), entry.ticket)
            if (entry.due, entry.rank) == (known.due, known.rank):
                return
        place[key] = entry
        if place is self._waiting:
            self._schedule(key, entry)

    def retry(self, key: Key, *, at_least_seconds: float = 0.0) -> float:
        """Wants a key looked at after a failure; the wait doubles each time, up to a cap. Returns the wait."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        cap = LAST_URGENT_RETRY_SECONDS if self._is_urgent(key) else LAST_RETRY_SECONDS
        wait = min(FIRST_RETRY_SECONDS * 2.0 ** min(failures, 20), cap)
        # Half of the wait is random, so that a thousand keys that failed together do not return together.
        wait = max(wait * (0.5 + self._jitter() / 2), min(at_least_seconds, LAST_RETRY_SECONDS))
        self.add(key, after_seconds=wait)
        return wait

    def succeeded(self, key: Key) -> None:
        """Forgets a key's failures."""
        self._failures.pop(key, None)

    def pop(self, *, urgent_only: bool = False) -> Key | None:
        """The next key that is due, now being worked on; None where none is due."""
        self._promote()
        while self._ready:
            rank, ticket, key = self._ready[0]
            entry = self._waiting.get(key)
            is_current = entry is not None and (entry.rank, entry.ticket) == (rank, ticket)
            if is_current and urgent_only and rank != _URGENT:
                return None
            heapq.heappop(self._ready)
            if is_current:
                del self._waiting[key]
                self._working.add(key)
                return key
        return None

    def done(self, key: Key) -> None:
        """The work on a key has ended, however it ended."""
        self._working.discard(key)
        entry = self._again.pop(key, None)
        if entry is not None:
            self._waiting[key] = entry
            self._schedule(key, entry)

    async def get(self, *, urgent_only: bool = False) -> Key:
        """Waits for the next key that is due; with `urgent_only` lets all others pass."""
        while True:
            key = self.pop(urgent_only=urgent_only)
            if key is not None:
                return key
            self._changed.clear()
            # Not wait_for: in Python 3.11 that is a task of its own, which a stopping kopf would cancel under us.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._seconds_to_next()):
                    await self._changed.wait()

    def _schedule(self, key: Key, entry: _Entry) -> None:
        if entry.due <= self._clock():
            heapq.heappush(self._ready, (entry.rank, entry.ticket, key))
        else:
            heapq.heappush(self._later, (entry.due, entry.ticket, key))
        self._changed.set()

    def _promote(self) -> None:
        now = self._clock()
        while self._later and self._later[0][0] <= now:
            _, ticket, key = heapq.heappop(self._later)
            entry = self._waiting.get(key)
            if entry is not None and entry.ticket == ticket:
                heapq.heappush(self._ready, (entry.rank, entry.ticket, key))

    def _seconds_to_next(self) -> float | None:
        return max(self._later[0][0] - self._clock(), 0.001) if self._later else None
