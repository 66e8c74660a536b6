"""Verifies a state without changing it, also while a bot runs on it: pages, chain, tables, schema.

Whatever cannot be read as it must be is damage, said in words; nothing is ever repaired here.
"""

import contextlib
import hashlib
import sqlite3
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from tradingbot_runtime.state.failures import StateCorrupt, StateFailure, StateUnwritable, corrupt
from tradingbot_runtime.state.journal import GENESIS, Anchor, BrokenChain, Fold, Line, check
from tradingbot_runtime.state.migration import create, migrate
from tradingbot_runtime.state.reading import (
    LINE_COLUMNS,
    check_version,
    database_path,
    dicts,
    failures_of,
    meta_of,
    read_only,
    rows_of,
)
from tradingbot_runtime.state.rows import KEYS, fill_from, kill_from, kill_in_force, order_from
from tradingbot_runtime.state.schema import SCHEMA_VERSION, structure

_CHUNK_BYTES: Final = 1024 * 1024
_LINES_AFTER = f"SELECT {LINE_COLUMNS} FROM journal WHERE seq > ? ORDER BY seq"  # noqa: S608 (constants)
_READABLE: Final = {"orders": order_from, "fills": fill_from, "kill": kill_from}


@dataclass(frozen=True)
class Verification:
    """What a state that verifies holds."""

    path: Path
    bot_uid: str
    mode: str
    schema_version: int
    first_line: int
    lines: int
    last_hash: str
    last_line_at: str
    """Machine time of the last journal line, empty when there is none."""
    orders: int
    fills: int
    sessions: int
    killed: bool


@dataclass(frozen=True)
class Checked:
    """What was verified of an open file: the journal's last line, and what the lines add up to."""

    lines: int
    last_hash: str
    fold: Fold


def verify(directory: Path, mode: str) -> Verification:
    """Checks everything. Raises StateCorrupt, StateTooNew, or StateUnwritable when there is none."""
    path = database_path(directory, mode)
    if not path.is_file():
        raise StateUnwritable(f"there is no state {path}: check --state and --mode")
    return verify_file(path)


def verify_file(path: Path) -> Verification:
    """Checks everything in a state file: a bot's own or a backup's. Raises StateCorrupt or StateTooNew."""
    with failures_of(path), contextlib.closing(read_only(path)) as connection:
        # One transaction, so that a bot that writes meanwhile cannot make two reads disagree.
        connection.execute("BEGIN")
        check_everything(connection, path)
        return described(connection, path)


def verify_backup(path: Path) -> Verification:
    """Checks a backup's checksum, and everything in it. Raises StateCorrupt, StateTooNew or StateUnwritable."""
    checksum = checksum_path(path)
    try:
        expected = checksum.read_text().split()[0]
        found = sha256_of(path)
    except (OSError, IndexError, UnicodeDecodeError) as error:
        raise StateUnwritable(f"the backup {path} and its {checksum.suffix} cannot be read: {error}") from error
    if found != expected:
        raise StateCorrupt(f"the backup {path} is corrupt: its SHA-256 is {found[:16]}…, not {expected[:16]}…")
    return verify_file(path)


def checksum_path(backup: Path) -> Path:
    """Where a backup's checksum is, in the form that `sha256sum --check` reads."""
    return backup.with_name(backup.name + ".sha256")


def sha256_of(path: Path) -> str:
    """A file's SHA-256. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def check_everything(connection: sqlite3.Connection, path: Path, *, since_last_anchor: bool = False) -> Checked:
    """Verifies pages, chain, tables and schema. Raises StateCorrupt or StateTooNew.

    `since_last_anchor` begins at the last anchor instead of the first line kept: what is behind it was verified when
    it was made, and no start needs it. A file of an older schema is verified as what its migration makes of it.
    """
    version = check_version(connection, path)
    if version == 0:
        raise corrupt(path, "it is empty")
    try:
        _check_pages(connection, path)
        if version == SCHEMA_VERSION:
            return _check_content(connection, path, since_last_anchor)
        with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
            connection.backup(copy)
            migrate(copy, version, lambda migration: None)
            return _check_content(copy, path, since_last_anchor)
    except BrokenChain as error:
        raise corrupt(path, str(error)) from error
    except (StateFailure, sqlite3.Error):
        raise
    except Exception as error:  # damaged bytes lead to errors of every kind, and mean one thing
        raise corrupt(path, f"it cannot be read ({type(error).__name__}: {error})") from error


def described(connection: sqlite3.Connection, path: Path) -> Verification:
    """What a verified file holds."""
    meta, version = meta_of(connection), check_version(connection, path)
    first = connection.execute("SELECT min(seq) FROM journal").fetchone()
    last = connection.execute("SELECT seq, hash, at_machine FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
    return Verification(
        path=path,
        bot_uid=meta.get("bot_uid", ""),
        mode=meta.get("mode", ""),
        schema_version=version,
        first_line=int(first[0] or 0),
        lines=int(last[0]) if last else 0,
        last_hash=str(last[1]) if last else GENESIS,
        last_line_at=str(last[2]) if last else "",
        orders=_count(connection, "orders"),
        fills=_count(connection, "fills"),
        sessions=_count(connection, "sessions") if version > 1 else 0,
        killed=kill_in_force(rows_of(connection, "kill")) is not None,
    )


def _check_pages(connection: sqlite3.Connection, path: Path) -> None:
    answers = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(10)")]
    if answers != ["ok"]:
        raise corrupt(path, "; ".join(answers))


def _check_content(connection: sqlite3.Connection, path: Path, since_last_anchor: bool) -> Checked:
    anchor = _last_anchor(connection) if since_last_anchor else None
    anchor = anchor or _first_anchor(connection)
    fold = Fold(anchor)
    seq, last_hash = (anchor.seq, anchor.hash) if anchor else (0, GENESIS)
    for values in connection.execute(_LINES_AFTER, (seq,)):
        line = Line(*values)
        check(line, seq + 1, last_hash)
        fold.add(line)
        seq, last_hash = line.seq, line.hash
    _check_tip(connection, path, seq, last_hash)
    if not fold.anchor_is_recorded():
        raise corrupt(path, f"the journal's anchor at line {anchor.seq if anchor else 0} is not what was recorded")
    for table in KEYS:
        difference = fold.difference(table, rows_of(connection, table))
        if difference is not None:
            raise corrupt(path, difference)
    if not since_last_anchor:
        for table, value_of in _READABLE.items():
            for row in rows_of(connection, table):
                value_of(row)
    _check_schema(connection, path)
    return Checked(seq, last_hash, fold)


def _last_anchor(connection: sqlite3.Connection) -> Anchor | None:
    found = list(dicts(connection.execute("SELECT * FROM anchors ORDER BY seq DESC LIMIT 1")))
    return Anchor.of(found[0]) if found else None


def _first_anchor(connection: sqlite3.Connection) -> Anchor | None:
    """The anchor that the first line kept follows; None while the first line of all is there."""
    first = connection.execute("SELECT min(seq) FROM journal").fetchone()[0]
    if first is None or first == 1:
        return None
    found = list(dicts(connection.execute("SELECT * FROM anchors WHERE seq = ?", (first - 1,))))
    if not found:
        raise BrokenChain(f"journal lines before {first} are missing, and no anchor stands for them")
    return Anchor.of(found[0])


def _check_tip(connection: sqlite3.Connection, path: Path, seq: int, last_hash: str) -> None:
    # A chain cannot tell that its last lines were cut off: the tip is kept beside it.
    tip = meta_of(connection).get("tip", f"0 {GENESIS}")
    if tip != f"{seq} {last_hash}":
        raise corrupt(path, f"the journal ends at line {seq}, but it was longer: line {tip.split()[0]}")


def _check_schema(connection: sqlite3.Connection, path: Path) -> None:
    found, ours = structure(connection), _our_structure()
    if found != ours:
        names = sorted({f"{part[0]} {part[1]}" for part in found ^ ours})
        raise corrupt(path, f"its tables are not those of schema {SCHEMA_VERSION}: {', '.join(names)[:200]}")


@lru_cache(maxsize=1)
def _our_structure() -> frozenset[tuple[str, ...]]:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as empty:
        create(empty, "", "")
        return structure(empty)


def _count(connection: sqlite3.Connection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 (names are ours)
