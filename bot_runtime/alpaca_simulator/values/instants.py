"""Times in and out: RFC 3339 as Alpaca reads and prints it, always UTC inside.

Never read a clock here: every time is given by the caller.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")

_FRACTION = re.compile(r"\.(\d{1,9})\d*")


def from_epoch(seconds: int) -> datetime:
    """The UTC time `seconds` after the Unix epoch."""
    return datetime.fromtimestamp(seconds, tz=UTC)


def epoch_floor(at: datetime) -> int:
    """The last whole second of the Unix epoch that is not after `at`."""
    return int(at.replace(microsecond=0).timestamp())


def utc_text(at: datetime) -> str:
    """`at` as Alpaca prints order times: `2026-03-02T14:30:00.25Z`, trailing zeros cut."""
    return f"{at.astimezone(UTC).isoformat()[:19]}{_fraction_text(at)}Z"


def new_york_text(at: datetime) -> str:
    """`at` with New York's offset, as the clock endpoint prints it."""
    local = at.astimezone(NEW_YORK)
    offset = local.strftime("%z")
    return f"{local:%Y-%m-%dT%H:%M:%S}{_fraction_text(local)}{offset[:3]}:{offset[3:]}"


def read_instant(text: str) -> datetime | None:
    """A UTC time from RFC 3339 or a bare date (midnight in New York, as Alpaca has it); None if neither."""
    # A plus sign that was not percent-encoded reaches us as a space.
    cleaned = _FRACTION.sub(lambda found: "." + found.group(1)[:6].ljust(6, "0"), text.strip())
    cleaned = re.sub(r" (\d{2}:\d{2})$", r"+\1", cleaned)
    try:
        if len(cleaned) == 10:
            return datetime.combine(date.fromisoformat(cleaned), time(), NEW_YORK).astimezone(UTC)
        parsed = datetime.fromisoformat(cleaned)
        # A time without an offset counts as UTC, as alpaca-py sends it.
        aware = parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
        return aware.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def read_date(text: str) -> date | None:
    """A calendar date from `YYYY-MM-DD` or the date part of an RFC 3339 time; None if neither."""
    try:
        return date.fromisoformat(text.strip()[:10])
    except ValueError:
        return None


def _fraction_text(at: datetime) -> str:
    return f".{at.microsecond:06d}".rstrip("0") if at.microsecond else ""
