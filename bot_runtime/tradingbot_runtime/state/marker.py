"""The mark of a restore that is under way: while it lies there, what else lies there is nobody's state."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tradingbot_runtime.state.failures import RestoreInterrupted, StateUnwritable
from tradingbot_runtime.state.files import sync_directory, write_whole

_NAME: Final = "restoring.json"


@dataclass(frozen=True)
class Marker:
    """Which backup is being restored, and the name under which the replaced state is put aside."""

    backup: str
    aside: str


def read_marker(directory: Path, mode: str) -> Marker | None:
    """The mark, or None when no restore is under way. Raises StateUnwritable when it cannot be read."""
    path = directory / mode / _NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Marker(str(content["backup"]), str(content["aside"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StateUnwritable(f"a restore was interrupted, and its mark {path} cannot be read: {error}") from error


def write_marker(directory: Path, mode: str, marker: Marker) -> None:
    """Marks. Raises OSError."""
    write_whole(directory / mode / _NAME, json.dumps({"backup": marker.backup, "aside": marker.aside}))


def remove_marker(directory: Path, mode: str) -> None:
    """Says that the restore is done. Raises OSError."""
    (directory / mode / _NAME).unlink()
    sync_directory(directory / mode)


def refuse_half_restored(directory: Path, mode: str) -> None:
    """Raises RestoreInterrupted when a restore began and did not end."""
    marker = read_marker(directory, mode)
    if marker is not None:
        raise RestoreInterrupted(
            f"a restore of {directory / mode} was interrupted; nothing is lost, run it again:"
            f" `tradingbot state restore --state {directory} --mode {mode} --backup {marker.backup}`"
        )
