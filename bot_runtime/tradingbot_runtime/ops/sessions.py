"""Closed sessions of the volume as the document that is served at `/sessions`. Reads only."""

from tradingbot_api import ClosedSession, ClosedSessions, SessionReport
from tradingbot_runtime.state import Records


def closed_sessions(records: Records, limit: int) -> ClosedSessions:
    """The last closed sessions, at most `limit`, oldest first."""
    return ClosedSessions(
        sessions=[
            ClosedSession(
                report=SessionReport.model_validate_json(found.record.payload),
                digest=found.digest,
                journal_sequence=found.journal_seq,
                journal_hash=found.journal_hash,
            )
            for found in reversed(records.sessions(limit))
        ]
    )
