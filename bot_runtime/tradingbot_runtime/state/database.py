"""The state of one bot in one mode: `STATE/<mode>/state.db`. One writer, one thread, one transaction a decision.

Never trades a check for speed: a start verifies the file, the journal since its last anchor, and every table.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from tradingbot_runtime.core.commands import Journal
from tradingbot_runtime.core.kill import KillState
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.core.values import Now
from tradingbot_runtime.state.backups import Backup, Backups, backups_directory, complete_backups, newest_that_verifies
from tradingbot_runtime.state.failures import (
    StateCorrupt,
    StateFailure,
    StateOfAnotherBot,
    StateUnwritable,
    corrupt,
)
from tradingbot_runtime.state.files import os_failures_of, sync_directory
from tradingbot_runtime.state.journal import GENESIS, Anchor, Write, line_of
from tradingbot_runtime.state.marker import refuse_half_restored
from tradingbot_runtime.state.migration import create, migrate, transaction
from tradingbot_runtime.state.reading import (
    BUSY_SECONDS,
    check_version,
    database_path,
    failures_of,
    meta_of,
    rows_of,
)
from tradingbot_runtime.state.records import Records
from tradingbot_runtime.state.retention import ANCHOR_EVERY_LINES, LINES_KEPT
from tradingbot_runtime.state.rows import fill_from, kill_in_force, last_kill, order_from
from tradingbot_runtime.state.schema import SCHEMA_VERSION, Migration
from tradingbot_runtime.state.verification import check_everything
from tradingbot_runtime.state.writing import append_line, drop_row, put_change, put_row, set_meta

_SMALLEST_PAGE_BYTES: Final = 512
_WAL_LIMIT_BYTES: Final = 64 * 1024 * 1024


class Database:
    """The open state. Made by `open`; used from one thread."""

    def __init__(self, connection: sqlite3.Connection, directory: Path, bot_uid: str, mode: str) -> None:
        self._directory, self._bot_uid, self._mode = directory, bot_uid, mode
        self._path = database_path(directory, mode)
        self._failure: StateFailure | None = None
        self._use(connection)

    @classmethod
    def open(cls, directory: Path, bot_uid: str, mode: str) -> Self:
        """Opens, makes or migrates the state of a bot. The caller holds the directory's lock.

        Raises StateOfAnotherBot, StateTooNew, StateCorrupt, RestoreInterrupted or StateUnwritable: whether it can
        be written is tried, not assumed.
        """
        with _way_out(directory, mode):
            return cls(_opened(directory, bot_uid, mode), directory, bot_uid, mode)

    @property
    def lines(self) -> int:
        """The number of the journal's last line."""
        return self._seq

    @property
    def failure(self) -> StateFailure | None:
        """Why nothing can be committed any more, once a commit has failed."""
        return self._failure

    def recover(self) -> Recovered:
        """All that was committed, once it is verified. Raises StateCorrupt."""
        with _way_out(self._directory, self._mode), failures_of(self._path):
            check_everything(self._connection, self._path, since_last_anchor=True)
            try:
                return self._recovered()
            except ValueError as error:
                raise corrupt(self._path, str(error)) from error

    def last_kill(self) -> KillState | None:
        """The last kill, released or not; None where there never was one. Raises StateCorrupt."""
        with failures_of(self._path):
            try:
                return last_kill(rows_of(self._connection, "kill"))
            except ValueError as error:
                raise corrupt(self._path, str(error)) from error

    def commit(self, entries: Sequence[Journal], now: Now) -> None:
        """Writes the lines and their changes in one transaction, on disk when this returns.

        Raises StateUnwritable or StateCorrupt; then nothing of it is written, and nothing will be until `reopen`.
        """
        if not entries:
            return
        with self._one_transaction():
            for entry in entries:
                writes: list[Write] = []
                for change in entry.changes:
                    writes += put_change(self._connection, change, self._seq, self._hash)
                self._append(entry.kind, entry.detail, writes, now)

    def reopen(self, now: Now) -> Recovered:
        """Tries again after a failed commit: gives what was committed before it, and journals that it goes on.

        Every engine that saw the failed decision must be replaced by one made of what this returns. Raises
        StateFailure while the volume is still full, read-only or damaged, and may be called again then.
        """
        self._connection.close()
        with _way_out(self._directory, self._mode):
            self._use(_opened(self._directory, self._bot_uid, self._mode))
        recovered = self.recover()
        failure, self._failure = self._failure, None
        self.commit([Journal("state_writable_again", {"failed": str(failure or "")})], now)
        return recovered

    def keep_house(self, backup: Backup, now: Now) -> None:
        """Anchors the journal at a backup that was just verified, and drops lines beyond what is kept.

        To be called after every backup. Raises as `commit`.
        """
        anchor, anchors = backup.anchor, self._anchors()
        newest = anchors[-1].seq if anchors else 0
        if anchor is not None and anchor.seq - newest >= ANCHOR_EVERY_LINES and self._has(anchor):
            with self._one_transaction():
                put = put_row(self._connection, "anchors", anchor.row())
                self._append("anchored", {"line": str(anchor.seq), "backup": backup.path.name}, [put], now)
        behind = [anchor for anchor in anchors if self._seq - anchor.seq >= LINES_KEPT]
        first = self._first_line()
        due = next((anchor for anchor in behind if anchor.seq >= first), None)
        if due is not None:
            self._drop_through(due, [anchor for anchor in behind if anchor.seq < due.seq], now)

    def close(self) -> None:
        """Closes the file; what was committed stays."""
        self._connection.close()

    def _use(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.records = Records(connection, self._path)
        """Reads what the engine does not keep in memory."""
        with failures_of(self._path):
            self._seq, self._hash = self._tip()

    @contextlib.contextmanager
    def _one_transaction(self) -> Iterator[None]:
        if self._failure is not None:
            raise self._failure
        seq, last_hash = self._seq, self._hash
        try:
            with failures_of(self._path), transaction(self._connection):
                yield
                set_meta(self._connection, "tip", f"{self._seq} {self._hash}")
        except BaseException as error:
            self._seq, self._hash = seq, last_hash
            if isinstance(error, StateFailure):
                # Whether the disk kept a failed transaction is not known until the file is opened anew.
                self._failure = error
            raise

    def _append(self, kind: str, detail: Mapping[str, str], writes: Sequence[Write], now: Now) -> None:
        line = line_of(kind, detail, writes, now, self._seq + 1, self._hash)
        append_line(self._connection, line)
        self._seq, self._hash = line.seq, line.hash

    def _drop_through(self, anchor: Anchor, older: Sequence[Anchor], now: Now) -> None:
        # The chain stays provable: the next line's prev_hash is this anchor's, and the anchor is in the chain itself.
        with self._one_transaction():
            gone = [drop_row(self._connection, "anchors", old.row()) for old in older]
            self._append("lines_dropped", {"through": str(anchor.seq), "hash": anchor.hash}, gone, now)
            self._connection.execute("DELETE FROM journal WHERE seq <= ?", (anchor.seq,))

    def _anchors(self) -> list[Anchor]:
        with failures_of(self._path):
            return [Anchor.of(row) for row in rows_of(self._connection, "anchors")]

    def _has(self, anchor: Anchor) -> bool:
        with failures_of(self._path):
            query = "SELECT hash FROM journal WHERE seq = ?"
            found = self._connection.execute(query, (anchor.seq,)).fetchone()
        return found is not None and found[0] == anchor.hash

    def _first_line(self) -> int:
        with failures_of(self._path):
            return int(self._connection.execute("SELECT min(seq) FROM journal").fetchone()[0] or 0)

    def _tip(self) -> tuple[int, str]:
        found = self._connection.execute("SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
        return (int(found[0]), str(found[1])) if found else (0, GENESIS)

    def _recovered(self) -> Recovered:
        return Recovered(
            orders=tuple(order_from(row) for row in rows_of(self._connection, "orders")),
            fills=tuple(fill_from(row) for row in rows_of(self._connection, "fills")),
            kill=kill_in_force(rows_of(self._connection, "kill")),
            checkpoints={str(row["name"]): str(row["document"]) for row in rows_of(self._connection, "checkpoints")},
            incidents=tuple(reversed(self.records.incidents())),
            notices=self.records.notices_waiting(),
            dead_letters=self.records.count_dead_letters(),
        )


def _opened(directory: Path, bot_uid: str, mode: str) -> sqlite3.Connection:
    path = database_path(directory, mode)
    with os_failures_of(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        refuse_half_restored(directory, mode)
        size = path.stat().st_size if path.exists() else 0
        if size == 0 and complete_backups(directory, mode):
            raise _lost(path, directory, mode)
        if 0 < size < _SMALLEST_PAGE_BYTES:
            raise corrupt(path, f"it was cut off after {size} bytes")  # SQLite would take it for a new file
    with failures_of(path):
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            _make_ours(connection, directory, bot_uid, mode)
        except BaseException:
            connection.close()
            raise
    with os_failures_of(path.parent):
        # A new file is only safe once its directory entry is on disk.
        sync_directory(path.parent)
        sync_directory(path.parent.parent)
    return connection


def _lost(path: Path, directory: Path, mode: str) -> StateCorrupt:
    # A bot that lost its memory must not begin anew as if it never had one.
    return corrupt(path, f"it is gone, and there are backups of it in {backups_directory(directory, mode)}")


def _make_ours(connection: sqlite3.Connection, directory: Path, bot_uid: str, mode: str) -> None:
    path = database_path(directory, mode)
    version = check_version(connection, path)  # before anything is written to a file that may be someone else's
    if version > 0:
        _check_owner(connection, path, bot_uid, mode)
    elif complete_backups(directory, mode):
        raise _lost(path, directory, mode)
    if str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]) != "wal":
        raise StateUnwritable(f"the state {path} cannot use a write-ahead log: mount a local, writable volume")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
    if version == 0:
        create(connection, bot_uid, mode)
    elif version < SCHEMA_VERSION:
        backups = Backups(directory, mode)

        def back_up(migration: Migration) -> None:
            backups.before_migration(migration.version)

        migrate(connection, version, back_up)
    # A volume may be full or read-only and still be read: only a write that reached the disk tells.
    with transaction(connection):
        connection.execute("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'starts'")


def _check_owner(connection: sqlite3.Connection, path: Path, bot_uid: str, mode: str) -> None:
    meta = meta_of(connection)
    owner = (meta.get("bot_uid"), meta.get("mode"))
    if owner != (bot_uid, mode):
        raise StateOfAnotherBot(
            f"the state {path} is of bot {owner[0]} in mode {owner[1]}, and this is bot {bot_uid} in mode {mode}:"
            " give this bot its own volume; a bot that was deleted and made again is another bot"
        )


@contextlib.contextmanager
def _way_out(directory: Path, mode: str) -> Iterator[None]:
    """Adds to a damage which backup can be restored, and how."""
    try:
        yield
    except StateCorrupt as failure:
        found = newest_that_verifies(directory, mode)
        if found is None:
            raise StateCorrupt(f"{failure}; no backup verifies in {backups_directory(directory, mode)}") from failure
        raise StateCorrupt(
            f"{failure}; the newest backup that verifies has journal line {found.lines} of {found.last_line_at}: stop"
            f" the bot and run `tradingbot state restore --state {directory} --mode {mode} --backup {found.path}`"
        ) from failure
