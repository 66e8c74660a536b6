"""Copies of the state beside it: taken while the bot trades, verified before they count, thinned by age and number.

Never touches the state itself, and never removes the last three copies.
"""

import contextlib
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from tradingbot_runtime.state.cells import time_text
from tradingbot_runtime.state.failures import StateFailure, StateUnwritable
from tradingbot_runtime.state.files import move, os_failures_of, sync_file, write_whole
from tradingbot_runtime.state.journal import Anchor
from tradingbot_runtime.state.reading import database_path, failures_of, read_only
from tradingbot_runtime.state.schema import SCHEMA_VERSION
from tradingbot_runtime.state.verification import (
    Verification,
    check_everything,
    checksum_path,
    described,
    sha256_of,
    verify_backup,
)

EVERY: Final = timedelta(hours=1)
"""Machine time between two backups."""
HOURLY_FOR: Final = timedelta(days=1)
"""For so long every backup is kept; after that, the newest of each day."""
KEPT_FOR: Final = timedelta(days=30)
ALWAYS_KEPT: Final = 3
MAX_BACKUPS: Final = 60
"""24 of the last day, 30 of the last days, and those before migrations."""
MIGRATION_BACKUPS_KEPT: Final = 3
FREE_BYTES_LEFT: Final = 32 * 1024 * 1024
"""Room that a backup leaves for the bot itself: older backups go before it is used."""
_CANDIDATES_LOOKED_AT: Final = 10

_SCHEDULED = re.compile(r"state-(?P<at>\d{8}T\d{6}Z)-line-\d{8,}\.db")
_BEFORE_MIGRATION = re.compile(r"before-schema-\d+-line-\d{8,}\.db")
_AT = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class Backup:
    """A copy that verified, and the anchor that the journal may be given for it (None for an older schema)."""

    path: Path
    verification: Verification
    anchor: Anchor | None


def backups_directory(directory: Path, mode: str) -> Path:
    """Where the backups of a mode are."""
    return directory / mode / "backups"


def complete_backups(directory: Path, mode: str) -> list[Path]:
    """Every backup that has its checksum, the one taken last first."""
    folder = backups_directory(directory, mode)
    with os_failures_of(folder):
        found = [path for path in _files(folder) if _is_backup(path) and checksum_path(path).exists()]
        return sorted(found, key=_age_key, reverse=True)


def newest_that_verifies(directory: Path, mode: str) -> Verification | None:
    """The newest backup that can be restored, or None. Reads whole files: for when the state itself is lost."""
    for path in complete_backups(directory, mode)[:_CANDIDATES_LOOKED_AT]:
        with contextlib.suppress(StateFailure):
            return verify_backup(path)
    return None


class Backups:
    """The backups of one bot in one mode. May be used from another thread than the state's."""

    def __init__(self, directory: Path, mode: str, *, free_bytes: Callable[[Path], int] | None = None) -> None:
        self._source = database_path(directory, mode)
        self._folder = backups_directory(directory, mode)
        self._free_bytes = free_bytes or _free_bytes

    def back_up(self, now: datetime) -> Backup | None:
        """Takes a backup when the last is an hour old, or none is there; then thins them out. None when not due.

        `now` is machine time. Raises StateUnwritable when there is no room, StateCorrupt when the copy does not
        verify: then the state itself is damaged.
        """
        taken = [at for path in _files(self._folder) if (at := _taken_at(path))]
        # Both ways: a clock that jumped back must neither stop the backups nor ask for one all the time.
        if any(abs(now - at) < EVERY for at in taken):
            return None
        return self.take(now)

    def take(self, now: datetime) -> Backup:
        """Takes a backup now. Raises as `back_up`."""
        backup = self._copy(now, lambda line: f"state-{now.astimezone(UTC):{_AT}}-line-{line:08d}.db")
        self._thin(now)
        return backup

    def before_migration(self, version: int) -> Backup:
        """Takes a backup before the step to schema `version`. Raises as `back_up`."""
        backup = self._copy(None, lambda line: f"before-schema-{version}-line-{line:08d}.db")
        before = [path for path in _files(self._folder) if _BEFORE_MIGRATION.fullmatch(path.name)]
        self._remove(sorted(before, key=_line, reverse=True)[MIGRATION_BACKUPS_KEPT:])
        return backup

    def _copy(self, now: datetime | None, name_of: Callable[[int], str]) -> Backup:
        aside = self._folder / "copying.tmp"
        with os_failures_of(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._make_room()
            aside.unlink(missing_ok=True)
        try:
            with failures_of(self._folder):
                _copy_pages(self._source, aside)
                verification, anchor = _verified(aside, now)
            with os_failures_of(self._folder):
                path = self._folder / name_of(verification.lines)
                sync_file(aside)
                write_whole(checksum_path(path), f"{sha256_of(aside)}  {path.name}\n")
                move(aside, path)
        finally:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)
        return Backup(path, verification, anchor)

    def _make_room(self) -> None:
        needed = sum(path.stat().st_size for path in self._source.parent.glob("state.db*")) + FREE_BYTES_LEFT
        oldest_first = sorted(filter(_taken_at, _files(self._folder)), key=_age_key)
        for path in oldest_first[:-ALWAYS_KEPT]:
            if self._free_bytes(self._folder) >= needed:
                return
            self._remove([path])
        free = self._free_bytes(self._folder)
        if free < needed:
            raise StateUnwritable(
                f"there is no room for a backup in {self._folder}: {free // 1024**2} MiB are free,"
                f" {needed // 1024**2} are needed: enlarge spec.storage.size or free space on the volume"
            )

    def _thin(self, now: datetime) -> None:
        newest_first = sorted(filter(_taken_at, _files(self._folder)), key=_age_key, reverse=True)
        days: set[date] = set()
        kept: list[Path] = []
        for path in newest_first:
            at, _ = _age_key(path)
            is_newest_of_day = at.date() not in days
            days.add(at.date())
            if len(kept) < ALWAYS_KEPT or now - at < HOURLY_FOR or (is_newest_of_day and now - at < KEPT_FOR):
                kept.append(path)
        kept = kept[: MAX_BACKUPS - MIGRATION_BACKUPS_KEPT]
        self._remove(path for path in newest_first if path not in kept)
        with os_failures_of(self._folder):
            for orphan in self._folder.glob("*.sha256"):
                if not orphan.with_suffix("").exists():
                    orphan.unlink(missing_ok=True)

    def _remove(self, paths: Iterable[Path]) -> None:
        with os_failures_of(self._folder):
            for path in paths:
                path.unlink(missing_ok=True)  # first the copy: a checksum without one is nothing
                checksum_path(path).unlink(missing_ok=True)


def _copy_pages(source: Path, target: Path) -> None:
    with (
        contextlib.closing(read_only(source)) as reading,
        contextlib.closing(sqlite3.connect(target, isolation_level=None)) as writing,
    ):
        reading.backup(writing)
        # One file without a log beside it, so that it can be checked, moved and read as it is.
        writing.execute("PRAGMA journal_mode = DELETE")


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _verified(copy: Path, now: datetime | None) -> tuple[Verification, Anchor | None]:
    with contextlib.closing(read_only(copy)) as connection:
        # What is behind the last anchor was verified when an earlier backup was; the chain ties it to this one.
        checked = check_everything(connection, copy, since_last_anchor=True)
        verification = described(connection, copy)
    if now is None or verification.schema_version != SCHEMA_VERSION or checked.lines == 0:
        return verification, None
    return verification, Anchor(checked.lines, checked.last_hash, time_text(now), checked.fold.sums())


def _files(folder: Path) -> list[Path]:
    with os_failures_of(folder):
        return [path for path in folder.glob("*.db") if path.is_file()] if folder.is_dir() else []


def _is_backup(path: Path) -> bool:
    return bool(_SCHEDULED.fullmatch(path.name) or _BEFORE_MIGRATION.fullmatch(path.name))


def _line(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def _taken_at(path: Path) -> datetime | None:
    match = _SCHEDULED.fullmatch(path.name)
    return datetime.strptime(match["at"], _AT).replace(tzinfo=UTC) if match else None


def _age_key(path: Path) -> tuple[datetime, str]:
    return _taken_at(path) or datetime.fromtimestamp(path.stat().st_mtime, UTC), path.name
