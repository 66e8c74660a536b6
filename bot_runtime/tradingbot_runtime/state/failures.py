"""How the state can be unusable. Each failure says what is wrong and what to do; none is ever repaired silently."""

import os
import sqlite3
from pathlib import Path
from typing import ClassVar


class StateFailure(Exception):
    """The state cannot be used: the bot must not trade on it."""

    reason: ClassVar[str] = "StateFailure"
    """One CamelCase word for programs."""


class StateCorrupt(StateFailure):
    """What is on the volume contradicts itself."""

    reason = "StateCorrupt"


class StateOfAnotherBot(StateFailure):
    """The volume belongs to another bot or mode."""

    reason = "StateOfAnotherBot"


class StateTooNew(StateFailure):
    """A newer version of the runtime wrote the state."""

    reason = "StateTooNew"


class StateUnwritable(StateFailure):
    """The volume is full, read-only or failing."""

    reason = "StateUnwritable"


class RestoreInterrupted(StateFailure):
    """A restore began and did not end: what lies on the volume is neither the old state nor the new one."""

    reason = "RestoreInterrupted"


class StateLocked(StateFailure):
    """Another process holds the state."""

    reason = "StateLocked"


# A plain SQLITE_ERROR is a table or a text that is not what it was: our own statements are never wrong by themselves.
_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR})

_ADVICE = {
    sqlite3.SQLITE_FULL: "the volume is full: enlarge spec.storage.size or free space on it",
    sqlite3.SQLITE_READONLY: "the volume is read-only: mount it read-write, owned by the bot's user",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: mount a directory that the bot's user may write",
    sqlite3.SQLITE_PERM: "access is denied: mount it owned by the bot's user",
    sqlite3.SQLITE_IOERR: "the disk fails to read or write: check the node's disk and the volume",
    sqlite3.SQLITE_BUSY: "another process writes it: stop whatever else uses this volume",
    sqlite3.SQLITE_LOCKED: "another process writes it: stop whatever else uses this volume",
}

_KEEP = "keep the volume as it is and restore a copy that `tradingbot state verify` accepts"


def corrupt(path: Path, what: str) -> StateCorrupt:
    """The failure for a state that contradicts itself."""
    return StateCorrupt(f"the state {path} is corrupt: {what}; the bot does not trade on it: {_KEEP}")


def from_sqlite(error: sqlite3.Error, path: Path) -> StateFailure:
    """What an error of SQLite's means for the bot."""
    # The low byte is the primary code; the rest says where in SQLite it was met.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in _CORRUPT:
        return corrupt(path, str(error))
    if isinstance(error, sqlite3.IntegrityError):
        return corrupt(path, f"a change contradicts what is recorded ({error}), and was not written")
    if code == sqlite3.SQLITE_CANTOPEN and _is_read_only(path):
        code = sqlite3.SQLITE_READONLY
    advice = _ADVICE.get(code, "check the volume, and that nothing else writes to it")
    return StateUnwritable(f"the state {path} cannot be written ({error}): {advice}")


def _is_read_only(path: Path) -> bool:
    try:
        return bool(os.statvfs(path.parent).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def from_os(error: OSError, path: Path) -> StateUnwritable:
    """What an error of the operating system's means for the bot."""
    return StateUnwritable(
        f"the state directory {path} cannot be used ({error.strerror}):"
        " mount a volume with free space there that the bot's user may write"
    )
