"""Reads of what the engine does not keep in memory: old orders, closed sessions, incidents, notices.

Every answer is bounded; nothing is ever written here: records change by `Database.commit`, with the line that says why.
"""

import sqlite3
from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Final, TypeVar

from tradingbot_runtime.core.orders import Fill, Order
from tradingbot_runtime.core.records import IncidentRecord, IncidentState, NoticeRecord
from tradingbot_runtime.state.cells import Cells, time_text
from tradingbot_runtime.state.failures import corrupt
from tradingbot_runtime.state.reading import dicts, failures_of
from tradingbot_runtime.state.record_rows import ClosedSession, incident_from, notice_from, session_from
from tradingbot_runtime.state.rows import fill_from, order_from

MAX_ANSWER: Final = 10_000
"""Rows of one answer at most."""

T = TypeVar("T")


class Records:
    """Answers from the open state; each raises StateCorrupt when what it reads is not what it must be."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def order(self, client_order_id: str) -> Order | None:
        """An order, however old."""
        found = self._all(order_from, "SELECT * FROM orders WHERE client_order_id = ?", (client_order_id,))
        return found[0] if found else None

    def fills_of(self, client_order_id: str) -> tuple[Fill, ...]:
        """The fills of an order, oldest first."""
        query = "SELECT * FROM fills WHERE client_order_id = ? ORDER BY sequence LIMIT ?"
        return self._all(fill_from, query, (client_order_id, MAX_ANSWER))

    def fills_between(self, begin: datetime, end: datetime) -> tuple[Fill, ...]:
        """The fills of a span of market time, `end` not in it, oldest first: those of a session, for its record."""
        query = "SELECT * FROM fills WHERE at >= ? AND at < ? ORDER BY position LIMIT ?"
        return self._all(fill_from, query, (time_text(begin), time_text(end), MAX_ANSWER))

    def orders_between(self, begin: datetime, end: datetime) -> tuple[Order, ...]:
        """The orders that were decided in a span of market time, `end` not in it, oldest first."""
        query = "SELECT * FROM orders WHERE created_at >= ? AND created_at < ? ORDER BY position LIMIT ?"
        return self._all(order_from, query, (time_text(begin), time_text(end), MAX_ANSWER))

    def sessions(self, limit: int = 100, before: date = date.max) -> tuple[ClosedSession, ...]:
        """Closed sessions of days before `before`, newest first."""
        query = "SELECT * FROM sessions WHERE day < ? ORDER BY day DESC LIMIT ?"
        return self._all(session_from, query, (before.isoformat(), min(limit, MAX_ANSWER)))

    def session(self, day: date) -> ClosedSession | None:
        """The closed session of a day."""
        found = self._all(session_from, "SELECT * FROM sessions WHERE day = ?", (day.isoformat(),))
        return found[0] if found else None

    def incidents(
        self,
        states: Sequence[IncidentState] = (IncidentState.OPEN, IncidentState.ACKNOWLEDGED),
        limit: int = 1000,
    ) -> tuple[IncidentRecord, ...]:
        """Incidents in these states, newest first."""
        marks = ", ".join("?" for _ in states)
        query = f"SELECT * FROM incidents WHERE state IN ({marks}) ORDER BY position DESC LIMIT ?"  # noqa: S608 (marks)
        return self._all(incident_from, query, (*(state.value for state in states), min(limit, MAX_ANSWER)))

    def incident(self, incident_id: str) -> IncidentRecord | None:
        """One incident."""
        found = self._all(incident_from, "SELECT * FROM incidents WHERE incident_id = ?", (incident_id,))
        return found[0] if found else None

    def notices_due(self, now: datetime, limit: int = 100) -> tuple[NoticeRecord, ...]:
        """Notices whose next attempt is due at machine time `now`, those that wait longest first."""
        query = "SELECT * FROM notices WHERE next_attempt_at <= ? ORDER BY next_attempt_at, position LIMIT ?"
        return self._all(notice_from, query, (time_text(now), min(limit, MAX_ANSWER)))

    def notices_waiting(self) -> tuple[NoticeRecord, ...]:
        """Notices that wait for an attempt, oldest first."""
        query = "SELECT * FROM notices WHERE next_attempt_at IS NOT NULL ORDER BY position LIMIT ?"
        return self._all(notice_from, query, (MAX_ANSWER,))

    def notice_by_key(self, idempotency_key: str) -> NoticeRecord | None:
        """The newest notice with this key: asked before another is made of the same thing."""
        query = "SELECT * FROM notices WHERE idempotency_key = ? ORDER BY position DESC LIMIT 1"
        found = self._all(notice_from, query, (idempotency_key,))
        return found[0] if found else None

    def dead_letters(self, limit: int = 100) -> tuple[NoticeRecord, ...]:
        """Notices that nobody took, newest first."""
        query = "SELECT * FROM notices WHERE dead = 1 ORDER BY position DESC LIMIT ?"
        return self._all(notice_from, query, (min(limit, MAX_ANSWER),))

    def count_dead_letters(self) -> int:
        """How many dead letters are kept."""
        with failures_of(self._path):
            return int(self._connection.execute("SELECT count(*) FROM notices WHERE dead = 1").fetchone()[0])

    def _all(self, value_of: Callable[[Cells], T], query: str, parameters: Sequence[str | int]) -> tuple[T, ...]:
        with failures_of(self._path):
            try:
                return tuple(value_of(row) for row in dicts(self._connection.execute(query, parameters)))
            except ValueError as error:
                raise corrupt(self._path, str(error)) from error
