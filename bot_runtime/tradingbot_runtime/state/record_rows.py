"""Closed sessions, incidents and notices as rows of their tables, and back."""

import hashlib
import json
from dataclasses import dataclass
from datetime import date

from tradingbot_runtime.core.records import IncidentRecord, IncidentState, NoticeRecord, SessionRecord
from tradingbot_runtime.state.cells import (
    Cells,
    Row,
    integer,
    optional_time,
    optional_time_text,
    text,
    time,
    time_text,
)


@dataclass(frozen=True)
class ClosedSession:
    """A session's record as it is stored, tied to where the journal was when it was closed.

    `digest` is the SHA-256 of day, closed_at, payload, journal_seq and journal_hash: with it, a record that was
    handed out can be proven to be this one, and this one to belong to this journal.
    """

    record: SessionRecord
    journal_seq: int
    journal_hash: str
    digest: str


def session_row(session: SessionRecord) -> Row:
    """A row of `sessions`, not yet tied to the journal."""
    return {
        "day": session.day.isoformat(),
        "closed_at": time_text(session.closed_at),
        "payload": session.payload,
    }


def tied(row: Row, journal_seq: int, journal_hash: str) -> Row:
    """A row of `sessions`, tied to the journal's last line before it."""
    content = [row["day"], row["closed_at"], row["payload"], journal_seq, journal_hash]
    digest = hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()
    return {**row, "journal_seq": journal_seq, "journal_hash": journal_hash, "digest": digest}


def session_from(row: Cells) -> ClosedSession:
    """The session in a row of `sessions`. Raises ValueError when the row holds something else."""
    record = SessionRecord(
        day=date.fromisoformat(text(row, "day")),
        closed_at=time(row, "closed_at"),
        payload=text(row, "payload"),
    )
    return ClosedSession(record, integer(row, "journal_seq"), text(row, "journal_hash"), text(row, "digest"))


def incident_row(incident: IncidentRecord) -> Row:
    """A row of `incidents`."""
    return {
        "incident_id": incident.incident_id,
        "name": incident.name,
        "severity": incident.severity,
        "state": incident.state.value,
        "opened_at": time_text(incident.opened_at),
        "acknowledge_by": time_text(incident.acknowledge_by),
        "acknowledged_at": optional_time_text(incident.acknowledged_at),
        "resolved_at": optional_time_text(incident.resolved_at),
        "escalated_at": optional_time_text(incident.escalated_at),
        "payload": incident.payload,
    }


def incident_from(row: Cells) -> IncidentRecord:
    """The incident in a row of `incidents`. Raises ValueError when the row holds something else."""
    return IncidentRecord(
        incident_id=text(row, "incident_id"),
        name=text(row, "name"),
        severity=text(row, "severity"),
        state=IncidentState(text(row, "state")),
        opened_at=time(row, "opened_at"),
        acknowledge_by=time(row, "acknowledge_by"),
        acknowledged_at=optional_time(row, "acknowledged_at"),
        resolved_at=optional_time(row, "resolved_at"),
        escalated_at=optional_time(row, "escalated_at"),
        payload=text(row, "payload"),
    )


def notice_row(notice: NoticeRecord) -> Row:
    """A row of `notices`."""
    return {
        "notice_id": notice.notice_id,
        "idempotency_key": notice.idempotency_key,
        "channel": notice.channel,
        "severity": notice.severity,
        "payload": notice.payload,
        "created_at": time_text(notice.created_at),
        "attempts": notice.attempts,
        "next_attempt_at": optional_time_text(notice.next_attempt_at),
        "delivered_at": optional_time_text(notice.delivered_at),
        "dead": int(notice.dead),
        "last_error": notice.last_error,
    }


def notice_from(row: Cells) -> NoticeRecord:
    """The notice in a row of `notices`. Raises ValueError when the row holds something else."""
    return NoticeRecord(
        notice_id=text(row, "notice_id"),
        idempotency_key=text(row, "idempotency_key"),
        channel=text(row, "channel"),
        severity=text(row, "severity"),
        payload=text(row, "payload"),
        created_at=time(row, "created_at"),
        attempts=integer(row, "attempts"),
        next_attempt_at=optional_time(row, "next_attempt_at"),
        delivered_at=optional_time(row, "delivered_at"),
        dead=bool(row["dead"]),
        last_error=text(row, "last_error"),
    )
