"""The one place that tries again: reads and cancels, never orders. Waits longer each time, with jitter."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tradingbot_runtime.broker.port import BrokerUnavailable

T = TypeVar("T")

RETRIES = 3
FIRST_WAIT_SECONDS = 0.25
MAX_WAIT_SECONDS = 30.0


class Backoff:
    """Waiting times that double from `first_seconds` to `max_seconds`, each between half and the whole of it."""

    def __init__(
        self,
        rng: random.Random,
        first_seconds: float = FIRST_WAIT_SECONDS,
        max_seconds: float = MAX_WAIT_SECONDS,
    ) -> None:
        self._rng = rng
        self._first_seconds = first_seconds
        self._max_seconds = max_seconds
        self._failures = 0

    def next_seconds(self) -> float:
        """How long to wait after one more failure."""
        whole = min(self._max_seconds, self._first_seconds * float(2 ** min(self._failures, 30)))
        self._failures += 1
        return whole * (0.5 + 0.5 * self._rng.random())

    def reset(self) -> None:
        """Starts over, after a success."""
        self._failures = 0


class Retries:
    """Tries a call again while the broker is unavailable, 3 times at most."""

    def __init__(self, rng: random.Random, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._rng = rng
        self._sleep = sleep

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """What the call returns. Raises what the last try raised; any other error at once."""
        backoff = Backoff(self._rng)
        for _ in range(RETRIES):
            try:
                return await call()
            except BrokerUnavailable:
                await self._sleep(backoff.next_seconds())
        return await call()
