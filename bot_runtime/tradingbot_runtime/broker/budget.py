"""The broker's request limit, shared by all calls of this process to one API, and learnt from every answer.

Keeps the last of it for what must never wait: reads stop first, then orders. Cancels, closes and questions about an
order are never held back to save requests; only an answer 429 stops them, too, for as long as the broker says.
Other processes of the same account are seen through the headers alone.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from tradingbot_runtime.broker.port import BrokerUnavailable, BudgetFigures, LaneFigures
from tradingbot_runtime.broker.rate_headers import LONGEST_WINDOW_SECONDS, RateHeaders, rate_headers
from tradingbot_runtime.broker.retries import Sleep

TOO_MANY_REQUESTS: Final = 429
FIRST_PAUSE_SECONDS: Final = 1.0
"""The least pause after a 429, and the first where the broker does not say how long; then twice as long each time."""


class Urgency(StrEnum):
    """The three kinds of calls."""

    READ = "reads"
    ORDER = "orders"
    URGENT = "urgent"


@dataclass(frozen=True)
class Rule:
    """What one kind of calls leaves to the others, as a part of the limit, and how long one of its calls may wait."""

    reserve: float
    longest_wait_seconds: float


RULES: Final[Mapping[Urgency, Rule]] = MappingProxyType(
    {
        Urgency.READ: Rule(reserve=0.20, longest_wait_seconds=LONGEST_WINDOW_SECONDS + 5.0),
        # An order decided half a minute ago was decided on other prices.
        Urgency.ORDER: Rule(reserve=0.05, longest_wait_seconds=5.0),
        # Whoever waits to cancel tries again after this at the latest, whatever the broker said: it costs one request.
        Urgency.URGENT: Rule(reserve=0.0, longest_wait_seconds=10.0),
    }
)


class BudgetSpent(BrokerUnavailable):
    """The call was not made: too few requests are left, for longer than such a call may wait."""

    def __init__(self, message: str) -> None:
        super().__init__(message, may_pass=False)


class RequestBudget:
    """How many requests are left, and who may use them. May be told of answers by any thread."""

    def __init__(
        self,
        name: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._name = name
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = threading.Lock()
        self._limit: int | None = None
        self._left = 0
        self._window: int | None = None
        self._resets_at = 0.0
        self._paused_until = 0.0
        self._refusals_in_a_row = 0
        self._lanes = dict.fromkeys(Urgency, LaneFigures())

    async def take(self, urgency: Urgency) -> float:
        """Takes one request out of the budget, as soon as it may; returns the seconds that it waited for that.

        Raises BudgetSpent when that would be too late.
        """
        waited = 0.0
        while (seconds := self._try_to_take(urgency, waited)) > 0:
            await self._sleep(seconds)
            waited += seconds
        return waited

    def learn(self, urgency: Urgency, status: int, headers: Mapping[str, str]) -> None:
        """Reads the headers of any answer, good or bad."""
        said, now = rate_headers(headers), self._monotonic()
        with self._lock:
            self._count(said, now)
            if status == TOO_MANY_REQUESTS:
                self._pause(said, now, urgency)
            else:
                self._refusals_in_a_row = 0

    def figures(self) -> BudgetFigures:
        """What is left, and what was waited for so far."""
        with self._lock:
            lanes = {urgency.value: figures for urgency, figures in self._lanes.items()}
            return BudgetFigures(self._limit, None if self._limit is None else max(self._left, 0), lanes)

    def _try_to_take(self, urgency: Urgency, waited: float) -> float:
        """Takes a request and returns 0, or returns the seconds to wait. `waited` counts as time that has passed."""
        rule = RULES[urgency]
        with self._lock:
            now = self._monotonic()
            seconds = self._seconds_until_free(rule, now)
            if seconds <= 0 or (urgency is Urgency.URGENT and waited >= rule.longest_wait_seconds):
                self._left -= 1
                return 0.0
            if urgency is Urgency.URGENT:
                seconds = min(seconds, rule.longest_wait_seconds - waited)
            elif waited + seconds > rule.longest_wait_seconds:
                self._note(urgency, given_up=1)
                raise BudgetSpent(
                    f"{self._name}: no request to spare for {urgency} in the next {seconds:.0f} s (limit {self._limit},"
                    f" left {max(self._left, 0)}): too many programs use this account, or they ask too often"
                )
            self._note(urgency, waits=1 if waited == 0 else 0, waited_seconds=seconds)
            return seconds

    def _seconds_until_free(self, rule: Rule, now: float) -> float:
        if now < self._paused_until:
            return self._paused_until - now
        if self._limit is None:
            return 0.0
        if now >= self._resets_at:
            self._left, self._resets_at = self._limit, now + LONGEST_WINDOW_SECONDS
        kept_back = int(self._limit * rule.reserve)
        if rule.reserve == 0 or self._left > kept_back:
            return 0.0
        return self._resets_at - now

    def _count(self, said: RateHeaders, now: float) -> None:
        if said.limit is None or said.remaining is None:
            return
        resets_in = LONGEST_WINDOW_SECONDS if said.resets_in_seconds is None else said.resets_in_seconds
        # Answers overtake each other: within one count, the lowest number is the newest. Requests still under way are
        # not in it yet, which the reserve covers: there are never more of them than threads.
        same_window = said.window is not None and said.window == self._window and now < self._resets_at
        self._left = min(self._left, said.remaining) if same_window else said.remaining
        self._limit, self._window, self._resets_at = said.limit, said.window, now + resets_in

    def _pause(self, said: RateHeaders, now: float, urgency: Urgency) -> None:
        guess = FIRST_PAUSE_SECONDS * 2 ** min(self._refusals_in_a_row, 6)
        self._refusals_in_a_row += 1
        told = said.retry_after_seconds if said.retry_after_seconds is not None else said.resets_in_seconds
        seconds = min(max(guess if told is None else told, FIRST_PAUSE_SECONDS), LONGEST_WINDOW_SECONDS)
        self._paused_until = max(self._paused_until, now + seconds)
        self._note(urgency, too_many_requests=1)

    def _note(self, urgency: Urgency, *, waits: int = 0, waited_seconds: float = 0.0, **more: int) -> None:
        figures = self._lanes[urgency]
        self._lanes[urgency] = replace(
            figures,
            waits=figures.waits + waits,
            waited_seconds=figures.waited_seconds + waited_seconds,
            given_up=figures.given_up + more.get("given_up", 0),
            too_many_requests=figures.too_many_requests + more.get("too_many_requests", 0),
        )
