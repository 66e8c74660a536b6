"""Closed sessions of the volume as the document that is served at `/sessions`. Reads only."""

from contextlib import suppress

from tradingbot_api import ClosedSession, ClosedSessions, SessionMark, SessionReport
from tradingbot_runtime.state import ClosedSession as StoredSession
from tradingbot_runtime.state import Database, Records, StateFailure


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


class NewestSession:
    """The newest closed session, read again only once another was closed: everybody who looks at the bot asks."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._closed: int | None = None
        self.last: SessionMark | None = None
        """As last read."""

    def mark(self, closed: int) -> SessionMark | None:
        """Its date and digest, as at `/sessions`; None before the first. `closed`: how many this process has closed."""
        if closed != self._closed:
            with suppress(StateFailure):  # a state that fails just now is told of elsewhere; what was read stays
                newest = self._database.records.sessions(1)
                self.last = _mark_of(newest[0]) if newest else None
                self._closed = closed
        return self.last


def _mark_of(newest: StoredSession) -> SessionMark:
    return SessionMark(session=newest.record.day.isoformat(), digest=newest.digest)
