"""What the bot keeps for people beside its orders: closed sessions, incidents, and notices on their way to somebody.

Values only; a record changes by being put again under the same id, never by itself.
"""

import json
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final

MAX_PAYLOAD_LENGTH: Final = 256 * 1024
"""Characters of a record's payload: what grows without a bound does not belong on the volume."""


class WrongPayload(ValueError):
    """A payload is longer than a record may hold, or is no JSON: a mistake in this program."""


class IncidentState(StrEnum):
    """Where an incident is. It only goes forward."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


@dataclass(frozen=True)
class SessionRecord:
    """One exchange session, closed. `closed_at` is machine time; `payload` is a JSON document."""

    day: date
    closed_at: datetime
    payload: str

    def __post_init__(self) -> None:
        _check_payload(self.payload)


@dataclass(frozen=True)
class IncidentRecord:
    """Something a person has to look at. Times are machine time; `payload` is a JSON document."""

    incident_id: str
    name: str
    severity: str
    state: IncidentState
    opened_at: datetime
    acknowledge_by: datetime
    """When an open incident becomes overdue."""
    acknowledged_at: datetime | None = None
    resolved_at: datetime | None = None
    escalated_at: datetime | None = None
    """When it was handed on because nobody acknowledged it in time."""
    payload: str = "{}"

    def __post_init__(self) -> None:
        _check_payload(self.payload)


@dataclass(frozen=True)
class NoticeRecord:
    """One message to one channel. Times are machine time; `payload` is a JSON document.

    It waits while `next_attempt_at` is set, and ends delivered (`delivered_at`) or as a dead letter (`dead`).
    """

    notice_id: str
    idempotency_key: str
    """What the receiver tells doubles by; the same however often the notice is sent."""
    channel: str
    severity: str
    payload: str
    created_at: datetime
    attempts: int = 0
    next_attempt_at: datetime | None = None
    delivered_at: datetime | None = None
    dead: bool = False
    last_error: str = ""

    def __post_init__(self) -> None:
        _check_payload(self.payload)


@dataclass(frozen=True)
class PutSession:
    """A session that was closed. Once: a second record of the same day is refused."""

    session: SessionRecord


@dataclass(frozen=True)
class PutIncident:
    """The incident's newest state."""

    incident: IncidentRecord


@dataclass(frozen=True)
class PutNotice:
    """The notice's newest state."""

    notice: NoticeRecord


def _check_payload(payload: str) -> None:
    if len(payload) > MAX_PAYLOAD_LENGTH:
        raise WrongPayload(f"a payload of {len(payload)} characters: at most {MAX_PAYLOAD_LENGTH} are kept")
    try:
        json.loads(payload)
    except ValueError as error:
        raise WrongPayload(f"a payload is no JSON document: {error}") from error
