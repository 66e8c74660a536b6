"""The one place that tries a call to the broker again: reads and cancels, never orders, replaces or closes.

Tries again only what may pass by itself (a timeout, a lost or garbled answer, 429, 5xx), and never sooner than the
broker asked for.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from tradingbot_runtime.backoff import Backoff
from tradingbot_runtime.broker.port import BrokerUnavailable

T = TypeVar("T")

RETRIES: Final = 3
LONGEST_WAIT_SECONDS: Final = 15.0
"""Whoever is told to wait longer gives up at once: the caller has its own rhythm, and asks again by it."""

Sleep = Callable[[float], Awaitable[None]]


class Retries:
    """Tries a call again while the broker is unavailable for a moment, 3 times at most."""

    def __init__(self, rng: random.Random, sleep: Sleep = asyncio.sleep) -> None:
        self._rng = rng
        self._sleep = sleep

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """What the call returns. Raises what the last try raised; what will not pass by itself, at once."""
        backoff = Backoff(self._rng)
        for _ in range(RETRIES):
            try:
                return await call()
            except BrokerUnavailable as error:
                if not error.may_pass or error.after_seconds > LONGEST_WAIT_SECONDS:
                    raise
                await self._sleep(max(backoff.next_seconds(), error.after_seconds))
        return await call()
