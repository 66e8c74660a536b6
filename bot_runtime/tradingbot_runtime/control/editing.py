"""Changes a control file (control/file.py) as a whole: other fields stay, and the bot never reads half a file.

A kill is written whatever the file holds; everything else is refused where the file cannot be read.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from tradingbot_runtime.control.file import MAX_FILE_BYTES
from tradingbot_runtime.control.observed import MAX_REQUEST_LENGTH

UNREADABLE: Final = "was-unreadable"
"""Field of a kill's file that keeps what stood there before and was no YAML."""

Body = dict[str, Any]


class ControlFileError(Exception):
    """The file could not be changed, and is as it was; the message says why."""


def edit(path: Path, change: Callable[[Body], Body], *, whatever_it_holds: bool = False) -> Body:
    """Replaces the file by `change` of its fields, at once and durably; gives the new fields. Raises ControlFileError.

    Two edits at once come one after the other. `whatever_it_holds`: a file that is no YAML is replaced, too, with its
    text kept in the field `was-unreadable`.
    """
    try:
        target = path.resolve()
        with _alone(target.parent):
            body = change(_fields(target, whatever_it_holds))
            _write(target, body)
    except OSError as error:
        raise ControlFileError(f"{path}: {error.strerror}: the file is as it was") from error
    return body


def shortened(text: str) -> str:
    """A person's words as one line, no longer than the bot reads."""
    return " ".join(text.split())[:MAX_REQUEST_LENGTH]


def _fields(path: Path, whatever_it_holds: bool) -> Body:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return {}
    text = content.decode("utf-8", "replace")
    try:
        if len(content) > MAX_FILE_BYTES:
            raise ValueError(f"it is longer than {MAX_FILE_BYTES} bytes")
        body = yaml.safe_load(text) or {}
        if not isinstance(body, dict):
            raise ValueError("it holds no fields such as `paused: true`")
        return {str(key): value for key, value in body.items()}
    except (yaml.YAMLError, ValueError) as error:
        if whatever_it_holds:
            return {UNREADABLE: text[:1000]}
        what = " ".join(str(error).split())
        raise ControlFileError(f"{path} cannot be read ({what}): correct it by hand; it is as it was") from error


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    # The directory itself is locked: a lock file would stay behind, and the file's own inode changes with each edit.
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, body: Body) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("w", encoding="utf-8") as file:
            yaml.safe_dump(body, file, sort_keys=False, allow_unicode=True)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            aside.chmod(path.stat().st_mode & 0o777)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
