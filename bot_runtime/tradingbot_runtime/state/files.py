"""Files that appear whole or not at all, and stay after a crash: written aside, synced, renamed, directory synced."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tradingbot_runtime.state.failures import from_os


@contextlib.contextmanager
def os_failures_of(path: Path) -> Iterator[None]:
    """Turns errors of the operating system's into failures that say what to do."""
    try:
        yield
    except OSError as error:
        raise from_os(error, path) from error


def write_whole(path: Path, content: str) -> None:
    """Writes a small text file. Raises OSError; then the file is what it was."""
    aside = path.with_name(path.name + ".tmp")
    with aside.open("w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    move(aside, path)


def move(source: Path, target: Path) -> None:
    """Renames within one directory tree, durably; what is in `source` must be synced already."""
    source.rename(target)
    for directory in {source.parent, target.parent}:
        sync_directory(directory)


def sync_file(path: Path) -> None:
    """Waits until a file's content is on disk."""
    _sync(path, os.O_RDONLY)


def sync_directory(directory: Path) -> None:
    """Waits until a directory's entries are on disk."""
    _sync(directory, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
