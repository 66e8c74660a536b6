"""The state directory on disk: a lock, a log, a snapshot, and the newest market time shown.

All file I/O of the state is here. An append is on disk when `append` returns; a snapshot appears whole
or not at all.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from alpaca_simulator.state.records import (
    Entry,
    Header,
    Log,
    Snapshot,
    StateError,
    entry_line,
    header_line,
    read_log,
    read_snapshot,
    snapshot_line,
)

_LOCK, _LOG, _SNAPSHOT, _TIME = "lock", "log", "snapshot", "time"
_TIME_FORMAT = struct.Struct(">qI")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class StateInUseError(StateError):
    """Another process has the directory."""


class StateWriteError(StateError):
    """The state could not be written: what was to be recorded must not be done."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a directory holds: nothing in a new one. `shown` is the newest market time that anybody saw."""

    snapshot: Snapshot | None
    log: Log | None
    shown: datetime | None

    @property
    def header(self) -> Header | None:
        """What the state belongs to."""
        if self.log is not None:
            return self.log.header
        return None if self.snapshot is None else self.snapshot.header

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The entries of the log that the snapshot does not contain yet."""
        entries = () if self.log is None else self.log.entries
        after = 0 if self.snapshot is None else self.snapshot.number
        return tuple(entry for entry in entries if entry.number > after)


class StateDirectory:
    """One directory, held by this process alone until it is closed."""

    def __init__(self, path: Path, *, fsync: bool = True, read_only: bool = False) -> None:
        self.path = path
        self._fsync = fsync
        self._lock = _locked(path, read_only=read_only)
        self._log: int | None = None
        self._time: int | None = None
        self._log_bytes = 0
        #: How long the snapshot is that was written last.
        self.snapshot_bytes = 0
        self._is_broken = False

    @property
    def log_bytes(self) -> int:
        """How long the log is."""
        return self._log_bytes

    def read(self) -> Stored:
        """Everything the directory holds; raises StateError."""
        snapshot = self._read(_SNAPSHOT)
        log = self._read(_LOG)
        stored = Stored(
            None if snapshot is None else read_snapshot(snapshot),
            None if log is None else read_log(log),
            _read_time(self._read(_TIME)),
        )
        if stored.log is not None and stored.log.header.base and stored.snapshot is None:
            raise StateError(f"{self.path}: the log continues a snapshot that is missing; restore it from a copy")
        if stored.log is not None and stored.snapshot is not None and stored.log.header.base > stored.snapshot.number:
            raise StateError(f"{self.path}: the snapshot is older than the log; restore both from the same copy")
        return stored

    def begin(self, header: Header) -> None:
        """Begin a new log; an older one is gone once this one is whole."""
        self._replace(_LOG, header_line(header))
        self._open_log()

    def resume(self, log: Log) -> None:
        """Go on with the log that was read, its torn tail cut off."""
        self._open_log()
        assert self._log is not None  # noqa: S101  (just opened)
        os.ftruncate(self._log, log.good_bytes)
        self._log_bytes = log.good_bytes
        self._sync(self._log)

    def append(self, entry: Entry) -> None:
        """Write an entry to the end of the log; raises StateWriteError, and then it is not there."""
        if self._log is None or self._is_broken:
            raise StateWriteError(f"{self.path}: the log cannot be written since an earlier failure; restart")
        raw = entry_line(entry)
        try:
            _write_all(self._log, raw)
        except OSError as error:
            self._take_back(self._log)
            raise StateWriteError(f"{self.path}: {error.strerror or error}") from error
        try:
            self._sync(self._log)
        except OSError as error:
            # A failed sync may have lost earlier pages too: only a restart reads what is really there.
            self._is_broken = True
            self._take_back(self._log)
            raise StateWriteError(f"{self.path}: {error.strerror or error}") from error
        self._log_bytes += len(raw)

    def show(self, at: datetime, *, durably: bool) -> None:
        """Note the market time that is about to be shown; `durably` also against the machine's own failure."""
        microseconds = (at - _EPOCH) // timedelta(microseconds=1)
        raw = struct.pack(">q", microseconds)
        if self._time is None:
            self._time = os.open(self.path / _TIME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(self._time, _TIME_FORMAT.pack(microseconds, zlib.crc32(raw)), 0)
            if durably:
                self._sync(self._time)
        except OSError as error:
            self._is_broken = True
            raise StateWriteError(f"{self.path}: {error.strerror or error}") from error

    def write_snapshot(self, snapshot: Snapshot) -> None:
        """Replace the snapshot and begin a new log after it; raises StateWriteError and leaves both as they were."""
        try:
            raw = snapshot_line(snapshot)
            self._replace(_SNAPSHOT, raw)
            self.snapshot_bytes = len(raw)
            self.begin(replace(snapshot.header, base=snapshot.number))
        except OSError as error:
            raise StateWriteError(f"{self.path}: {error.strerror or error}") from error

    def close(self) -> None:
        """Let go of the directory. Safe to call twice."""
        for descriptor in (self._log, self._time, self._lock):
            if descriptor is not None:
                os.close(descriptor)
        self._log = self._time = self._lock = None

    def _read(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None

    def _replace(self, name: str, raw: bytes) -> None:
        """Put a whole file in place at once."""
        temporary = self.path / f"{name}.new"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write_all(descriptor, raw)
            self._sync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(self.path / name)
        self._sync_directory()

    def _open_log(self) -> None:
        if self._log is not None:
            os.close(self._log)
        self._log = os.open(self.path / _LOG, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        self._log_bytes = os.fstat(self._log).st_size

    def _take_back(self, log: int) -> None:
        """Cut off what a failed append left; when even this fails nothing more is written."""
        try:
            os.ftruncate(log, self._log_bytes)
        except OSError:
            self._is_broken = True

    def _sync(self, descriptor: int) -> None:
        if self._fsync:
            os.fsync(descriptor)

    def _sync_directory(self) -> None:
        if not self._fsync:
            return
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _locked(path: Path, *, read_only: bool) -> int | None:
    """The descriptor that holds the directory's lock; raises StateInUseError with the holder's pid."""
    try:
        if not read_only:
            path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(f"{path}: {error.strerror or error}") from error
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if read_only else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise StateInUseError(f"{path} is in use by process {holder}: stop it, or choose another directory") from error
    if not read_only:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _read_time(raw: bytes | None) -> datetime | None:
    """The time in its file; a torn one is as good as none, as the log has the time of every change."""
    if raw is None or len(raw) != _TIME_FORMAT.size:
        return None
    microseconds, checksum = _TIME_FORMAT.unpack(raw)
    if zlib.crc32(raw[:8]) != checksum:
        return None
    return _EPOCH + timedelta(microseconds=microseconds)


def _write_all(descriptor: int, raw: bytes) -> None:
    view = memoryview(raw)
    while view:
        view = view[os.write(descriptor, view) :]
