"""The tables, and how an older volume becomes today's. Forward only: an older runtime refuses a newer volume."""

from typing import Final

APPLICATION_ID: Final = 0x54424F54
"""Marks a SQLite file as ours ("TBOT")."""

MIGRATIONS: Final[tuple[str, ...]] = (
    """
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
    """,
)

SCHEMA_VERSION: Final = len(MIGRATIONS)
