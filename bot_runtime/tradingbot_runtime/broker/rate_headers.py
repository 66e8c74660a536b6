"""What an answer's headers say of the request limit. Pure; a header that makes no sense says nothing."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST_WINDOW_SECONDS: Final = 60.0
"""Alpaca counts by the minute: nobody waits longer for a new count, whatever a header says."""
_MOST_REQUESTS: Final = 10_000_000


@dataclass(frozen=True)
class RateHeaders:
    """X-Ratelimit-Limit, -Remaining, -Reset and Retry-After; None where an answer has none.

    `window` names the present count: the moment it ends, in seconds since 1970 of the broker's own clock.
    """

    limit: int | None = None
    remaining: int | None = None
    window: int | None = None
    resets_in_seconds: float | None = None
    """From the broker's own Date to its Reset, so that our clock may be wrong; at most a minute."""
    retry_after_seconds: float | None = None


def rate_headers(headers: Mapping[str, str]) -> RateHeaders:
    """The rate limit headers of an answer; names in any case."""
    by_name = {name.lower(): value for name, value in headers.items()}
    reset = _number(by_name.get("x-ratelimit-reset"))
    answered_at = _seconds_since_1970(by_name.get("date"))
    return RateHeaders(
        limit=_whole(by_name.get("x-ratelimit-limit")),
        remaining=_whole(by_name.get("x-ratelimit-remaining")),
        window=None if reset is None else int(reset),
        resets_in_seconds=None if reset is None else _resets_in(reset, answered_at),
        retry_after_seconds=_retry_after(by_name.get("retry-after"), answered_at),
    )


def _resets_in(reset: float, answered_at: float | None) -> float:
    left = LONGEST_WINDOW_SECONDS if answered_at is None else reset - answered_at
    return min(max(left, 0.0), LONGEST_WINDOW_SECONDS)


def _retry_after(text: str | None, answered_at: float | None) -> float | None:
    """Seconds, or a date as HTTP allows."""
    seconds = _number(text)
    if seconds is None:
        until = _seconds_since_1970(text)
        seconds = None if until is None or answered_at is None else until - answered_at
    return None if seconds is None else max(seconds, 0.0)


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _whole(text: str | None) -> int | None:
    number = _number(text)
    return None if number is None or not 0 <= number <= _MOST_REQUESTS else int(number)


def _seconds_since_1970(text: str | None) -> float | None:
    try:
        return None if text is None else parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
