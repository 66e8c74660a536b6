"""Verifies a state without changing it, also while a bot runs on it. Backs `tradingbot state verify`."""

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from tradingbot_runtime.state.database import check_everything, check_version, database_path, meta_of
from tradingbot_runtime.state.failures import StateUnwritable, corrupt, from_sqlite


@dataclass(frozen=True)
class Verification:
    """What a state that verifies holds."""

    path: Path
    bot_uid: str
    mode: str
    schema_version: int
    lines: int
    last_hash: str
    orders: int
    fills: int
    killed: bool


def verify(directory: Path, mode: str) -> Verification:
    """Checks pages, chain and tables. Raises StateCorrupt, StateTooNew, or StateUnwritable when there is none."""
    path = database_path(directory, mode)
    if not path.is_file():
        raise StateUnwritable(f"there is no state {path}: check --state and --mode")
    try:
        with contextlib.closing(_read_only(path)) as connection:
            # One transaction, so that a bot that writes meanwhile cannot make two reads disagree.
            connection.execute("BEGIN")
            version = check_version(connection, path)
            if version == 0:
                raise corrupt(path, "it is empty")
            lines, last_hash = check_everything(connection, path)
            meta = meta_of(connection)
            return Verification(
                path=path,
                bot_uid=meta.get("bot_uid", ""),
                mode=meta.get("mode", ""),
                schema_version=version,
                lines=lines,
                last_hash=last_hash,
                orders=_count(connection, "orders"),
                fills=_count(connection, "fills"),
                killed=_count(connection, "kill") > 0,
            )
    except sqlite3.Error as error:
        raise from_sqlite(error, path) from error


def _read_only(path: Path) -> sqlite3.Connection:
    address = path.absolute().as_uri()
    connection = sqlite3.connect(f"{address}?mode=ro", uri=True, timeout=5.0, isolation_level=None)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        if path.with_name(path.name + "-wal").exists():
            raise
        # A copy on a read-only volume: nobody writes it, and its log was folded in when it was closed.
        return sqlite3.connect(f"{address}?immutable=1", uri=True, isolation_level=None)
    return connection


def _count(connection: sqlite3.Connection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 (names are ours)
