"""The state of one bot in one mode: `STATE/<mode>/state.db`. One writer, one thread, one transaction a decision.

Never trades a check for speed: at start-up the file, the journal's chain and every table are verified.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from tradingbot_runtime.core.commands import Journal
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.core.values import Now
from tradingbot_runtime.state.failures import (
    StateFailure,
    StateOfAnotherBot,
    StateTooNew,
    StateUnwritable,
    corrupt,
    from_os,
    from_sqlite,
)
from tradingbot_runtime.state.journal import GENESIS, BrokenChain, Fold, Line, check, line_of
from tradingbot_runtime.state.rows import KEYS, Row, fill_from, kill_from, order_from, row_of
from tradingbot_runtime.state.schema import APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION

_LINE_COLUMNS = "seq, at_machine, at_market, kind, detail, changes, prev_hash, hash"
_WAL_LIMIT_BYTES = 64 * 1024 * 1024
_INSERT_LINE = f"INSERT INTO journal ({_LINE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 (constants)
_SELECT_LINES = f"SELECT {_LINE_COLUMNS} FROM journal ORDER BY seq"  # noqa: S608 (constants)


def database_path(directory: Path, mode: str) -> Path:
    """Where the state of a mode is."""
    return directory / mode / "state.db"


class Database:
    """The open state. Made by `open`; used from one thread."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._seq, self._hash = self._tip()
        self._failure: StateFailure | None = None

    @classmethod
    def open(cls, directory: Path, bot_uid: str, mode: str) -> Self:
        """Opens or makes the state of a bot. The caller holds the directory's lock.

        Raises StateOfAnotherBot, StateTooNew, StateCorrupt or StateUnwritable.
        """
        path = database_path(directory, mode)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise from_os(error, path.parent) from error
        with _failures_of(path):
            connection = sqlite3.connect(path, timeout=5.0, isolation_level=None)
            try:
                _configure(connection, path)
                _migrate(connection, path, bot_uid, mode)
                _check_owner(connection, path, bot_uid, mode)
                database = cls(connection, path)
            except BaseException:
                connection.close()
                raise
        _make_durable(path)
        return database

    @property
    def lines(self) -> int:
        """How many lines the journal has."""
        return self._seq

    @property
    def failure(self) -> StateFailure | None:
        """Why nothing can be committed any more, once a commit has failed."""
        return self._failure

    def recover(self) -> Recovered:
        """All that was committed, once it is verified. Raises StateCorrupt."""
        with _failures_of(self._path):
            check_everything(self._connection, self._path)
            try:
                return self._recovered()
            except ValueError as error:
                raise corrupt(self._path, str(error)) from error

    def commit(self, entries: Sequence[Journal], now: Now) -> None:
        """Writes the lines and their changes in one transaction, on disk when this returns.

        Raises StateUnwritable or StateCorrupt; then nothing of it is written, and nothing will be after it.
        """
        if not entries:
            return
        if self._failure is not None:
            raise self._failure
        try:
            with _failures_of(self._path):
                self._commit(entries, now)
        except StateFailure as failure:
            # Whether the disk kept a failed transaction is not known until the file is opened anew.
            self._failure = failure
            raise

    def close(self) -> None:
        """Closes the file; what was committed stays."""
        self._connection.close()

    def _commit(self, entries: Sequence[Journal], now: Now) -> None:
        seq, prev_hash = self._seq, self._hash
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for entry in entries:
                line = line_of(entry, now, seq + 1, prev_hash)
                self._append(line)
                for change in entry.changes:
                    self._put(*row_of(change))
                seq, prev_hash = line.seq, line.hash
            self._set_meta("tip", f"{seq} {prev_hash}")
            self._connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise
        self._seq, self._hash = seq, prev_hash

    def _append(self, line: Line) -> None:
        self._connection.execute(
            _INSERT_LINE,
            (
                line.seq,
                line.at_machine,
                line.at_market,
                line.kind,
                line.detail,
                line.changes,
                line.prev_hash,
                line.hash,
            ),
        )

    def _put(self, table: str, row: Row) -> None:
        columns = ", ".join(row)
        values = ", ".join("?" for _ in row)
        statement = f"INSERT INTO {table} ({columns}) VALUES ({values})"  # noqa: S608 (names are ours)
        if table != "fills":
            keys = KEYS[table]
            news = ", ".join(f"{column} = excluded.{column}" for column in row if column not in keys)
            statement += f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {news}"
        self._connection.execute(statement, tuple(row.values()))

    def _set_meta(self, key: str, value: str) -> None:
        self._connection.execute(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, value),
        )

    def _tip(self) -> tuple[int, str]:
        found = self._connection.execute("SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
        return (int(found[0]), str(found[1])) if found else (0, GENESIS)

    def _recovered(self) -> Recovered:
        kills = list(rows_of(self._connection, "kill"))
        return Recovered(
            orders=tuple(order_from(row) for row in rows_of(self._connection, "orders")),
            fills=tuple(fill_from(row) for row in rows_of(self._connection, "fills")),
            kill=kill_from(kills[0]) if kills else None,
            checkpoints={str(row["name"]): str(row["document"]) for row in rows_of(self._connection, "checkpoints")},
        )


def check_everything(connection: sqlite3.Connection, path: Path) -> tuple[int, str]:
    """Verifies pages, chain and tables; returns the number of lines and the last one's hash. Raises StateCorrupt."""
    answers = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(10)")]
    if answers != ["ok"]:
        raise corrupt(path, "; ".join(answers))
    fold, seq, last_hash = Fold(), 0, GENESIS
    try:
        for values in connection.execute(_SELECT_LINES):
            line = Line(*values)
            check(line, seq + 1, last_hash)
            fold.add(line)
            seq, last_hash = line.seq, line.hash
    except BrokenChain as error:
        raise corrupt(path, str(error)) from error
    _check_tip(connection, path, seq, last_hash)
    for table in KEYS:
        difference = fold.difference(table, rows_of(connection, table))
        if difference is not None:
            raise corrupt(path, difference)
    return seq, last_hash


def rows_of(connection: sqlite3.Connection, table: str) -> Iterator[Row]:
    """A table's rows, oldest first, without the columns that are only ours."""
    cursor = connection.execute(f"SELECT * FROM {table} ORDER BY rowid")  # noqa: S608 (table names are ours)
    names = [column[0] for column in cursor.description]
    for values in cursor:
        row = dict(zip(names, values, strict=True))
        row.pop("position", None)
        yield row


def meta_of(connection: sqlite3.Connection) -> dict[str, str]:
    """Whose state it is, and how far the journal goes."""
    return {str(key): str(value) for key, value in connection.execute("SELECT key, value FROM meta")}


def check_version(connection: sqlite3.Connection, path: Path) -> int:
    """The schema's version, 0 for an empty file. Raises StateTooNew or StateCorrupt."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    tables = int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if tables and application != APPLICATION_ID:
        raise corrupt(path, "it is a database of another program")
    if version > SCHEMA_VERSION:
        raise StateTooNew(
            f"the state {path} has schema {version}, and this runtime knows {SCHEMA_VERSION}:"
            " run the newer runtime image again, or restore a backup from before the upgrade"
        )
    if tables and version < 1:
        raise corrupt(path, "it has tables but no schema version")
    return version


def _configure(connection: sqlite3.Connection, path: Path) -> None:
    check_version(connection, path)  # before anything is written to a file that may be someone else's
    mode = str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
    if mode != "wal":
        raise StateUnwritable(f"the state {path} cannot use a write-ahead log: mount a local, writable volume")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")


def _migrate(connection: sqlite3.Connection, path: Path, bot_uid: str, mode: str) -> None:
    version = check_version(connection, path)
    if version == SCHEMA_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for migration in MIGRATIONS[version:]:
            for statement in _statements(migration):
                connection.execute(statement)
        if version == 0:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.executemany(
                "INSERT INTO meta (key, value) VALUES (?, ?)", (("bot_uid", bot_uid), ("mode", mode))
            )
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> Iterator[str]:
    # sqlite3.executescript commits by itself; a migration must be one transaction.
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _check_owner(connection: sqlite3.Connection, path: Path, bot_uid: str, mode: str) -> None:
    meta = meta_of(connection)
    owner = (meta.get("bot_uid"), meta.get("mode"))
    if owner != (bot_uid, mode):
        raise StateOfAnotherBot(
            f"the state {path} is of bot {owner[0]} in mode {owner[1]}, and this is bot {bot_uid} in mode {mode}:"
            " give this bot its own volume; a bot that was deleted and made again is another bot"
        )


def _check_tip(connection: sqlite3.Connection, path: Path, seq: int, last_hash: str) -> None:
    # A chain cannot tell that its last lines were cut off: the tip is kept beside it.
    tip = meta_of(connection).get("tip", f"0 {GENESIS}")
    if tip != f"{seq} {last_hash}":
        raise corrupt(path, f"the journal ends at line {seq}, but it was longer: line {tip.split()[0]}")


def _make_durable(path: Path) -> None:
    # A new file is only safe once its directory entry is on disk.
    for directory in (path.parent, path.parent.parent):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _failures_of(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise from_sqlite(error, path) from error
