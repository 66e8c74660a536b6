"""Reads of a state file that several parts share: its version, its owner, its rows. Writes nothing."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from tradingbot_runtime.state.cells import Row
from tradingbot_runtime.state.failures import StateTooNew, corrupt, from_sqlite
from tradingbot_runtime.state.schema import APPLICATION_ID, HAS_TABLES, SCHEMA_VERSION

BUSY_SECONDS = 5.0
LINE_COLUMNS = "seq, at_machine, at_market, kind, detail, changes, prev_hash, hash"


def database_path(directory: Path, mode: str) -> Path:
    """Where the state of a mode is."""
    return directory / mode / "state.db"


def read_only(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, also beside a running bot, and also on a read-only volume."""
    address = path.absolute().as_uri()
    connection = sqlite3.connect(f"{address}?mode=ro", uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        if path.with_name(path.name + "-wal").exists():
            raise
        # A copy on a read-only volume: nobody writes it, and its log was folded in when it was closed.
        return sqlite3.connect(f"{address}?immutable=1", uri=True, isolation_level=None)
    except BaseException:
        connection.close()
        raise
    return connection


def rows_of(connection: sqlite3.Connection, table: str) -> Iterator[Row]:
    """A table's rows, oldest first."""
    cursor = connection.execute(f"SELECT * FROM {table} ORDER BY rowid")  # noqa: S608 (table names are ours)
    return dicts(cursor)


def dicts(cursor: sqlite3.Cursor) -> Iterator[Row]:
    """What a query found, by column."""
    names = [column[0] for column in cursor.description]
    for values in cursor:
        yield dict(zip(names, values, strict=True))


def meta_of(connection: sqlite3.Connection) -> dict[str, str]:
    """Whose state it is, and how far the journal goes."""
    return {str(key): str(value) for key, value in connection.execute("SELECT key, value FROM meta")}


def check_version(connection: sqlite3.Connection, path: Path) -> int:
    """The schema's version, 0 for an empty file. Raises StateTooNew or StateCorrupt."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    tables = int(connection.execute(HAS_TABLES).fetchone()[0])
    if tables and application != APPLICATION_ID:
        raise corrupt(path, "it is a database of another program")
    if version > SCHEMA_VERSION:
        raise StateTooNew(
            f"the state {path} has schema {version}, and this runtime knows {SCHEMA_VERSION}:"
            " run the newer runtime image again, or restore a backup from before the upgrade"
            " (`tradingbot state restore --help`)"
        )
    if tables and version < 1:
        raise corrupt(path, "it has tables but no schema version")
    return version


@contextlib.contextmanager
def failures_of(path: Path) -> Iterator[None]:
    """Turns errors of SQLite's into failures that say what to do. A misuse of SQLite is a bug, and stays one."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise
    except (UnicodeDecodeError, OverflowError) as error:
        # Python cannot take over a text or a number from a damaged page, or from SQLite's words about it.
        raise corrupt(path, str(error)) from error
    except sqlite3.Error as error:
        raise from_sqlite(error, path) from error
