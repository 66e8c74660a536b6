"""Conditions: verdicts without a time become conditions with one, kept while the status stays the same.

Must never put a figure that changes by itself (an age, a countdown) into a message: it would be a write each time.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from tradingbot_api import Condition, ConditionStatus
from tradingbot_operator.plan.objects import Raw, entries, generation_of, text

_MESSAGE_LIMIT: Final = 2048
_REASON_LIMIT: Final = 128
_STATUSES: Final = frozenset(status.value for status in ConditionStatus)


@dataclass(frozen=True)
class Verdict:
    """What a condition says, without when."""

    type: str
    status: ConditionStatus
    reason: str
    message: str = ""


def true(kind: str, reason: str, message: str = "") -> Verdict:
    """The condition holds."""
    return Verdict(kind, ConditionStatus.TRUE, reason, message)


def false(kind: str, reason: str, message: str = "") -> Verdict:
    """The condition does not hold."""
    return Verdict(kind, ConditionStatus.FALSE, reason, message)


def unknown(kind: str, reason: str, message: str = "") -> Verdict:
    """Nobody knows."""
    return Verdict(kind, ConditionStatus.UNKNOWN, reason, message)


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, to the second, as Kubernetes writes times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 2200


def parse_timestamp(value: str) -> datetime | None:
    """The moment that an RFC 3339 text names, or None; None as well for one that no clock of ours could show.

    Bots write times, too: at the ends of the calendar the next day does not exist, and no look may fail over it.
    """
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def previous_condition(raw: Raw, kind: str) -> Verdict | None:
    """What the stored status says of a condition."""
    for entry in entries(raw, "status", "conditions"):
        if text(entry, "type") == kind and text(entry, "status") in _STATUSES:
            return Verdict(kind, ConditionStatus(text(entry, "status")), text(entry, "reason"), text(entry, "message"))
    return None


def conditions(raw: Raw, verdicts: Iterable[Verdict], now: datetime) -> list[Condition]:
    """Conditions for the status; a transition's time is kept while the status is the same."""
    since = {
        (text(entry, "type"), text(entry, "status")): text(entry, "lastTransitionTime")
        for entry in entries(raw, "status", "conditions")
    }
    return [
        Condition(
            type=verdict.type,
            status=verdict.status,
            reason=verdict.reason[:_REASON_LIMIT],
            message=_shortened(verdict.message),
            last_transition_time=since.get((verdict.type, verdict.status.value)) or timestamp(now),
            observed_generation=generation_of(raw),
        )
        for verdict in verdicts
    ]


def _shortened(message: str) -> str:
    return message if len(message) <= _MESSAGE_LIMIT else f"{message[: _MESSAGE_LIMIT - 1]}…"


def soonest(*seconds: float | None) -> float | None:
    """The least of some waits; None where nothing waits."""
    return min((one for one in seconds if one is not None), default=None)
