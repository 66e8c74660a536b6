"""What is worth a Kubernetes Event: a condition that turned, told once and in words that name this one change."""

from dataclasses import dataclass
from typing import Final

from tradingbot_operator.plan.conditions import Verdict, previous_condition
from tradingbot_operator.plan.kills import KILLED
from tradingbot_operator.plan.objects import Raw
from tradingbot_operator.plan.status import Document
from tradingbot_operator.plan.verdicts import (
    CAPITAL_EXCEEDED,
    DELETING,
    PAUSED,
    READY,
    RECONCILED,
    STORAGE_GROWN,
    SYMBOL_CONFLICT,
)


@dataclass(frozen=True)
class EventNote:
    """One change worth telling: a Kubernetes Event about the object."""

    reason: str
    message: str
    warning: bool
    transition: str
    """What changed, in words that name this one change: the same change is never told twice."""


_ON_THE_WAY: Final = frozenset(
    {"Starting", "VolumePending", "WaitingForSymbols", "Deleting", "Resizing", "VolumeNotBound"}
    | {"WaitingForBot", "WaitingForCancel", "WaitingForFlat", "WaitingForRestart"}
)
"""Reasons that pass by themselves: told, but no warning."""

_TOLD: Final = (READY, KILLED, SYMBOL_CONFLICT, CAPITAL_EXCEEDED, PAUSED, RECONCILED, STORAGE_GROWN, DELETING)
_TOLD_BY_REASON: Final = (READY, STORAGE_GROWN, DELETING)
_BAD_WHEN_FALSE: Final = (READY, STORAGE_GROWN)
_BAD_WHEN_TRUE: Final = (KILLED, SYMBOL_CONFLICT, CAPITAL_EXCEEDED, DELETING)


def condition_events(bot: Raw, status: Document) -> tuple[EventNote, ...]:
    """One note for each condition that says something else than the stored one."""
    notes = (_transition(bot, condition) for condition in status["conditions"] if condition["type"] in _TOLD)
    return tuple(note for note in notes if note is not None)


def _transition(bot: Raw, condition: Document) -> EventNote | None:
    kind, status, reason = condition["type"], condition["status"], condition["reason"]
    if not _is_news(kind, previous_condition(bot, kind), status, reason):
        return None
    is_bad = (
        (kind in _BAD_WHEN_FALSE and status == "False" and reason not in _ON_THE_WAY)
        or (kind in _BAD_WHEN_TRUE and status == "True" and reason not in _ON_THE_WAY)
        or (kind == RECONCILED and status == "False")
    )
    return EventNote(
        reason=reason if kind in _TOLD_BY_REASON else f"{kind}{'' if status == 'True' else status}",
        message=f"{kind}={status}: {condition['message'] or reason}",
        warning=is_bad,
        transition=f"{kind}/{status}/{reason}/{condition['lastTransitionTime']}",
    )


def _is_news(kind: str, before: Verdict | None, status: str, reason: str) -> bool:
    was = before.status.value if before is not None else None
    if kind == READY and before is None and reason in _ON_THE_WAY:
        # A bot that was just made: everybody expects it to start.
        return False
    if kind in _TOLD_BY_REASON:
        return before is None or (was, before.reason) != (status, reason)
    if kind == RECONCILED:
        # Unknown comes and goes with every restart; only a mismatch, and its end, concern anyone.
        return was != status and "False" in (was, status)
    if was is None:
        return status == "True"
    return before is not None and (was, before.reason) != (status, reason)
