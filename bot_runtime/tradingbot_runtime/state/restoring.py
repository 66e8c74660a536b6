"""Puts a verified backup in the place of a state, and the state aside. Destroys nothing, and can be repeated.

A kill stays in force whichever of the two knows it, and a released one stays released: no restore makes a killed bot
trade, nor kills one anew.
"""

import contextlib
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Final

from tradingbot_runtime.core.commands import Journal, PutKill
from tradingbot_runtime.core.kill import KillState, later_of
from tradingbot_runtime.core.values import Now
from tradingbot_runtime.state.database import Database
from tradingbot_runtime.state.failures import StateFailure, StateOfAnotherBot
from tradingbot_runtime.state.files import move, os_failures_of, sync_directory, sync_file
from tradingbot_runtime.state.marker import Marker, read_marker, remove_marker, write_marker
from tradingbot_runtime.state.reading import database_path, failures_of, meta_of, read_only, rows_of
from tradingbot_runtime.state.rows import last_kill
from tradingbot_runtime.state.verification import Verification, verify_backup, verify_file

_FILES: Final = ("state.db-wal", "state.db-shm", "state.db")
_LITESTREAMS_NOTES: Final = ".state.db-litestream"
"""How far Litestream has streamed the state that is replaced: of the one in its place that would be wrong."""


@dataclass(frozen=True)
class Restored:
    """What a restore did."""

    backup: Verification
    aside: Path | None
    """The directory that the replaced state is in now, None when there was none."""
    kill_carried_over: bool
    """Whether a kill in force that only the replaced state knew was journaled anew."""
    kill_unknown: bool
    """Whether the replaced state could not be read, so that a kill in it may be unknown now."""


def restore(directory: Path, mode: str, backup: Path, now: datetime) -> Restored:
    """Replaces the state by a backup. The caller holds the directory's lock; `now` is machine time.

    Raises StateCorrupt or StateUnwritable when the backup does not verify, StateOfAnotherBot when it is another
    bot's or mode's: then nothing was changed.
    """
    found = verify_backup(backup)
    if found.mode != mode:
        raise StateOfAnotherBot(f"the backup {backup} is of mode {found.mode}, not {mode}: check --mode and --backup")
    folder, staged = directory / mode, directory / mode / "staged"
    marker = read_marker(directory, mode) or Marker(str(backup), _free_name(folder / "replaced", now))
    aside = folder / "replaced" / marker.aside
    kill, kill_unknown = _last_kill(directory, mode, aside, found.bot_uid)
    with os_failures_of(folder):
        shutil.rmtree(staged, ignore_errors=True)
        database_path(staged, mode).parent.mkdir(parents=True)
        shutil.copyfile(backup, database_path(staged, mode))
    carried_over = _continue(staged, found, kill, Now(now))
    with os_failures_of(folder):
        sync_file(database_path(staged, mode))
        write_marker(directory, mode, Marker(str(backup), marker.aside))
        was_there = _put_aside(folder, aside)
        shutil.rmtree(folder / _LITESTREAMS_NOTES, ignore_errors=True)
        move(database_path(staged, mode), folder / "state.db")
        remove_marker(directory, mode)
        shutil.rmtree(staged, ignore_errors=True)
    return Restored(found, aside if was_there else None, carried_over, kill_unknown)


def _continue(staged: Path, found: Verification, kill: KillState | None, now: Now) -> bool:
    """Brings the copy to today's schema and journals the restore; returns whether a kill in force was carried over.

    `kill` is the last one that the replaced state knows: it is carried over where the copy's is an earlier one, or
    the same before its release.
    """
    database = Database.open(staged, found.bot_uid, found.mode)
    try:
        database.recover()  # verified before it is built upon
        before = database.last_kill()
        counts = later_of(before, kill)
        changes = (PutKill(counts),) if counts is not None and counts != before else ()
        detail = {"backup": found.path.name, "line": str(found.lines)}
        database.commit([Journal("restored", detail, changes)], now)
    finally:
        database.close()
    return changes != () and counts is not None and counts.is_in_force


def _put_aside(folder: Path, aside: Path) -> bool:
    aside.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        if (folder / name).exists():
            move(folder / name, aside / name)
    if any(aside.iterdir()):
        sync_directory(aside.parent)
        return True
    aside.rmdir()
    return False


def _free_name(replaced: Path, now: datetime) -> str:
    name = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    names = (name if number == 1 else f"{name}-{number}" for number in count(1))
    return next(free for free in names if not (replaced / free).exists())


def _last_kill(directory: Path, mode: str, aside: Path, bot_uid: str) -> tuple[KillState | None, bool]:
    """The last kill that the state to be replaced knows, released or not, and whether that could not be read."""
    current = database_path(directory, mode)
    path = current if current.exists() else aside / current.name
    if not path.exists():
        return None, False
    try:
        with failures_of(path), contextlib.closing(read_only(path)) as connection:
            owner, kill = meta_of(connection).get("bot_uid"), last_kill(rows_of(connection, "kill"))
        if owner != bot_uid:
            verify_file(path)
    except (StateFailure, ValueError, TypeError, KeyError):
        return None, True  # damaged: what it says of its owner means nothing, either
    if owner != bot_uid:
        raise StateOfAnotherBot(f"the state {path} is of bot {owner}, and the backup of bot {bot_uid}: check --backup")
    return kill, False
