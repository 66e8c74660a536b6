"""The tables, and how an older volume becomes today's: one function a version, each run in a transaction of its own.

Forward only: an older runtime refuses a newer volume. A migration that was released never changes again.
"""

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

APPLICATION_ID: Final = 0x54424F54
"""Marks a SQLite file as ours ("TBOT")."""

_NOT_OURS = ("sqlite_", "_litestream_")
HAS_TABLES: Final = "SELECT count(*) FROM sqlite_master WHERE substr(name, 1, 12) <> '_litestream_'"
"""Whether a file holds anything: Litestream may put its own tables into one that was only just opened."""

_FIRST = """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

    CREATE TABLE journal (
        seq        INTEGER PRIMARY KEY,
        at_machine TEXT NOT NULL,
        at_market  TEXT,
        kind       TEXT NOT NULL,
        detail     TEXT NOT NULL,
        changes    TEXT NOT NULL,
        prev_hash  TEXT NOT NULL,
        hash       TEXT NOT NULL UNIQUE
    ) STRICT;
    CREATE TRIGGER journal_keeps_its_lines BEFORE DELETE ON journal
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
    CREATE TRIGGER journal_keeps_its_words BEFORE UPDATE ON journal
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

    CREATE TABLE orders (
        position             INTEGER PRIMARY KEY,
        client_order_id      TEXT NOT NULL UNIQUE,
        symbol               TEXT NOT NULL,
        side                 TEXT NOT NULL,
        type                 TEXT NOT NULL,
        qty                  TEXT NOT NULL,
        time_in_force        TEXT NOT NULL,
        state                TEXT NOT NULL,
        created_at           TEXT NOT NULL,
        limit_price          TEXT,
        arrival_price        TEXT,
        broker_id            TEXT,
        filled_qty           TEXT NOT NULL,
        filled_average_price TEXT,
        reason               TEXT NOT NULL,
        reducing             INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE fills (
        position        INTEGER PRIMARY KEY,
        client_order_id TEXT NOT NULL,
        sequence        INTEGER NOT NULL,
        symbol          TEXT NOT NULL,
        signed_qty      TEXT NOT NULL,
        price           TEXT NOT NULL,
        at              TEXT NOT NULL,
        reason          TEXT NOT NULL,
        UNIQUE (client_order_id, sequence)
    ) STRICT;
    CREATE TRIGGER fills_are_kept BEFORE DELETE ON fills
        BEGIN SELECT RAISE(ABORT, 'fills are append-only'); END;
    CREATE TRIGGER fills_are_final BEFORE UPDATE ON fills
        BEGIN SELECT RAISE(ABORT, 'fills are append-only'); END;

    CREATE TABLE kill (
        scope               TEXT NOT NULL,
        reason              TEXT NOT NULL,
        flatten             INTEGER NOT NULL,
        observed_at         TEXT NOT NULL,
        orders_cancelled_at TEXT,
        flat_at             TEXT,
        open_orders         INTEGER,
        open_positions      INTEGER,
        only_row            INTEGER PRIMARY KEY CHECK (only_row = 1)
    ) STRICT;

    CREATE TABLE checkpoints (name TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT;
"""

_SECOND = """
    ALTER TABLE orders ADD COLUMN order_class           TEXT NOT NULL DEFAULT 'simple';
    ALTER TABLE orders ADD COLUMN stop_price            TEXT;
    ALTER TABLE orders ADD COLUMN trail_price           TEXT;
    ALTER TABLE orders ADD COLUMN trail_percent         TEXT;
    ALTER TABLE orders ADD COLUMN take_profit_price     TEXT;
    ALTER TABLE orders ADD COLUMN stop_loss_price       TEXT;
    ALTER TABLE orders ADD COLUMN stop_loss_limit_price TEXT;
    ALTER TABLE orders ADD COLUMN parent_id             TEXT NOT NULL DEFAULT '';
    ALTER TABLE orders ADD COLUMN replaces_id           TEXT NOT NULL DEFAULT '';

    CREATE TABLE sessions (
        position     INTEGER PRIMARY KEY,
        day          TEXT NOT NULL UNIQUE,
        closed_at    TEXT NOT NULL,
        payload      TEXT NOT NULL,
        journal_seq  INTEGER NOT NULL,
        journal_hash TEXT NOT NULL,
        digest       TEXT NOT NULL
    ) STRICT;
    CREATE TRIGGER sessions_are_final BEFORE UPDATE ON sessions
        BEGIN SELECT RAISE(ABORT, 'closed sessions are final'); END;

    CREATE TABLE incidents (
        position        INTEGER PRIMARY KEY,
        incident_id     TEXT NOT NULL UNIQUE,
        name            TEXT NOT NULL,
        severity        TEXT NOT NULL,
        state           TEXT NOT NULL,
        opened_at       TEXT NOT NULL,
        acknowledge_by  TEXT NOT NULL,
        acknowledged_at TEXT,
        resolved_at     TEXT,
        escalated_at    TEXT,
        payload         TEXT NOT NULL
    ) STRICT;
    CREATE INDEX incidents_by_state ON incidents (state, position);

    CREATE TABLE notices (
        position        INTEGER PRIMARY KEY,
        notice_id       TEXT NOT NULL UNIQUE,
        idempotency_key TEXT NOT NULL,
        channel         TEXT NOT NULL,
        severity        TEXT NOT NULL,
        payload         TEXT NOT NULL,
        created_at      TEXT NOT NULL,
        attempts        INTEGER NOT NULL,
        next_attempt_at TEXT,
        delivered_at    TEXT,
        dead            INTEGER NOT NULL,
        last_error      TEXT NOT NULL
    ) STRICT;
    CREATE INDEX notices_by_key ON notices (idempotency_key);
    CREATE INDEX notices_that_wait ON notices (next_attempt_at) WHERE next_attempt_at IS NOT NULL;

    CREATE TABLE anchors (
        seq    INTEGER PRIMARY KEY,
        hash   TEXT NOT NULL,
        at     TEXT NOT NULL,
        tables TEXT NOT NULL
    ) STRICT;
    DROP TRIGGER journal_keeps_its_lines;
    CREATE TRIGGER journal_keeps_its_lines BEFORE DELETE ON journal
        WHEN OLD.seq > (SELECT coalesce(max(seq), 0) FROM anchors)
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only in front of its last anchor'); END;
"""


_THIRD = """
    ALTER TABLE kill ADD COLUMN epoch           INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE kill ADD COLUMN first_cancel_at TEXT;
    ALTER TABLE kill ADD COLUMN queued_for      TEXT;
    ALTER TABLE kill ADD COLUMN released_at     TEXT;
"""


@dataclass(frozen=True)
class Migration:
    """One step forward: what it is for, and what it does to the file. `apply` neither commits nor begins."""

    version: int
    purpose: str
    apply: Callable[[sqlite3.Connection], None]


def _first(connection: sqlite3.Connection) -> None:
    _run(connection, _FIRST)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _second(connection: sqlite3.Connection) -> None:
    _run(connection, _SECOND)
    connection.execute("INSERT INTO meta (key, value) VALUES ('starts', '0')")


def _third(connection: sqlite3.Connection) -> None:
    # A kill that no release counted yet is the first of its bot: it stays in force until a release.
    _run(connection, _THIRD)


MIGRATIONS: Final = (
    Migration(1, "journal, orders, fills, kill, checkpoints", _first),
    Migration(2, "order classes, legs and replacements; sessions, incidents, notices; anchors of the journal", _second),
    Migration(3, "kills are counted, and released by their number", _third),
)

SCHEMA_VERSION: Final = len(MIGRATIONS)


def structure(connection: sqlite3.Connection) -> frozenset[tuple[str, ...]]:
    """What a file is made of, without SQLite's own and Litestream's: tables with their columns, indexes, triggers.

    Not the SQL they were made with: another release of SQLite may write the same table in other words.
    """
    found = connection.execute("SELECT type, name, tbl_name FROM sqlite_master").fetchall()
    ours = [(str(kind), str(name), str(table)) for kind, name, table in found if not str(name).startswith(_NOT_OURS)]
    columns = {
        ("column", table, *(str(cell) for cell in column))
        for kind, table, _ in ours
        if kind == "table"
        for column in connection.execute("SELECT * FROM pragma_table_info(?)", (table,))
    }
    return frozenset(ours) | frozenset(columns)


def _run(connection: sqlite3.Connection, script: str) -> None:
    for statement in _statements(script):
        connection.execute(statement)


def _statements(script: str) -> Iterator[str]:
    # sqlite3.executescript commits by itself; a migration must be one transaction.
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
