"""What every write to the API server passes: a budget, the server's own wish to be left alone, and the fence.

Kills do not wait for the budget. Nothing passes the fence: must never let a write through that the lease does not
cover at that very moment.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from tradingbot_operator.metrics import WRITE_WAIT_SECONDS, WRITES_FENCED

LONGEST_PAUSE_SECONDS: Final = 60.0
"""What the API server asks for beyond this is asked for again."""

_urgent: ContextVar[bool] = ContextVar("urgent", default=False)


@contextmanager
def writing(*, urgent: bool) -> Iterator[None]:
    """Writes inside of this belong to a kill, or do not."""
    token = _urgent.set(urgent)
    try:
        yield
    finally:
        _urgent.reset(token)


class NotLeadingError(Exception):
    """This replica may not write: another one leads, or may by now."""


class TokenBucket:
    """`rate_per_second` writes on average, `burst` at once. Times are seconds of any clock that never goes back."""

    def __init__(self, rate_per_second: float, burst: float, now: float) -> None:
        self._rate = rate_per_second
        self._burst = burst
        self._tokens = burst
        self._at = now

    def take(self, now: float) -> float:
        """Takes one token, from the future where there is none; returns the seconds to wait for it."""
        self._tokens = min(self._tokens + (now - self._at) * self._rate, self._burst) - 1
        self._at = now
        return max(-self._tokens / self._rate, 0.0)


class WriteGate:
    """One for all writes of a process. `may_write` says whether the lease covers a write now."""

    def __init__(
        self,
        *,
        writes_per_second: float,
        clock: Callable[[], float],
        may_write: Callable[[], bool] = lambda: True,
    ) -> None:
        self._clock = clock
        self._bucket = TokenBucket(writes_per_second, writes_per_second, clock())
        self._may_write = may_write
        self._closed_until = clock()

    async def turn(self) -> None:
        """Waits until the budget, and a pause that the API server asked for, allow a write; a kill does not wait."""
        if _urgent.get():
            return
        began = self._clock()
        await asyncio.sleep(self._bucket.take(began))
        while (left := self._closed_until - self._clock()) > 0:  # noqa: ASYNC110 - a pause may be prolonged meanwhile
            await asyncio.sleep(left)
        WRITE_WAIT_SECONDS.inc(self._clock() - began)

    def check_fence(self) -> None:
        """Raises NotLeadingError unless the lease covers a write now. The last thing before it is sent."""
        if not self._may_write():
            WRITES_FENCED.inc()
            raise NotLeadingError("the lease does not cover a write any more")

    def pause(self, seconds: float) -> None:
        """The API server asked to be left alone for a while."""
        self._closed_until = max(self._closed_until, self._clock() + min(seconds, LONGEST_PAUSE_SECONDS))
