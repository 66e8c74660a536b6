"""How many requests an account may send: a count by the minute, and the headers that tell of it.

No clock of its own. The minute begins with the first request after the last one was over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from uuid import UUID

from alpaca_simulator.exchange.refusals import Refusal

WINDOW_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of an account's requests after one more was counted; `now` and `reset` are Unix seconds."""

    limit: int
    used: int
    now: int
    reset: int

    @property
    def is_over(self) -> bool:
        """Whether the request was one too many."""
        return self.used > self.limit

    @property
    def remaining(self) -> int:
        """How many more requests are answered before the count begins anew."""
        return max(0, self.limit - self.used)

    def headers(self) -> dict[str, str]:
        """The headers of the answer. Its Date is of the clock that counts: a wait can be told from both."""
        return {
            "X-Ratelimit-Limit": str(self.limit),
            "X-Ratelimit-Remaining": str(self.remaining),
            "X-Ratelimit-Reset": str(self.reset),
            "Date": formatdate(self.now, usegmt=True),
        }


@dataclass(slots=True)
class _Window:
    reset: int
    used: int = 0


class RateLimits:
    """Counts the requests of each account to each API, which have a limit of their own.

    `requests_per_minute` 0 is no limit: nothing is counted. `seconds` gives Unix seconds.
    """

    def __init__(self, requests_per_minute: int, seconds: Callable[[], float]) -> None:
        self.requests_per_minute = requests_per_minute
        self._seconds = seconds
        self._windows: dict[tuple[UUID, str], _Window] = {}

    def count(self, account_id: UUID, api: str) -> Allowance | None:
        """Count one request; None where there is no limit."""
        if not self.requests_per_minute:
            return None
        now = int(self._seconds())
        window = self._windows.get((account_id, api))
        if window is None or not window.reset - WINDOW_SECONDS <= now < window.reset:
            window = self._windows[account_id, api] = _Window(now + WINDOW_SECONDS)
        window.used += 1
        return Allowance(self.requests_per_minute, window.used, now, window.reset)

    def used(self, account_id: UUID, api: str) -> int:
        """Requests counted in the present minute."""
        window = self._windows.get((account_id, api))
        return window.used if window is not None and int(self._seconds()) < window.reset else 0


def too_many(api: str) -> Refusal:
    """429: one request too many; the data API has no codes."""
    return Refusal(429, None, "too many requests.") if api == "data" else Refusal(429, 42910000, "rate limit exceeded")
