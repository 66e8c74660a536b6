"""Processes that outlive the command that starts them, known by id and by the moment they started.

Must never end a process that it did not start.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from argocd.place import ArgoError, Place, say

_GRACE_SECONDS: Final = 10.0
_READY_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Process:
    """A process by its id and the moment it started: an id alone may be somebody else's by now."""

    pid: int
    started_ticks: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The process that has this id now."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            return None
        return cls(pid, int(fields[19])) if fields[0] != "Z" else None

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return Process.of(self.pid) == self

    def end(self) -> None:
        """Asks it to end, and makes it after a while."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + _GRACE_SECONDS
            if self.is_alive:
                with suppress(ProcessLookupError):
                    os.kill(self.pid, number)
            while self.is_alive and time.monotonic() < deadline:
                time.sleep(0.05)


@dataclass(frozen=True)
class Component:
    """One process, and where it says that it is ready."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    """All of it: nothing of the caller's own."""
    health: str = ""
    """Address that answers 200 once it is ready; empty where it is ready at once."""


def bring(place: Place, component: Component) -> None:
    """Starts it where it does not run, and waits until it is ready; raises ArgoError with the end of its log."""
    running = recorded(place, component.name)
    if running is None:
        running = _start(place, component)
        say(f"{component.name} started, process {running.pid}")
    deadline = time.monotonic() + _READY_SECONDS
    while component.health and not _answers(component.health):
        if not running.is_alive or time.monotonic() > deadline:
            log = log_of(place, component.name)
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            forget(place, component.name)
            running.end()
            raise ArgoError(f"{component.name} does not get ready:\n{tail}\nThe whole log is {log}")
        time.sleep(0.1)


def _start(place: Place, component: Component) -> Process:
    log = log_of(place, component.name)
    if log.exists():
        log.replace(log.with_suffix(".previous"))
    with log.open("wb") as output:
        child = subprocess.Popen(
            list(component.command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=place.state,
            env=dict(component.environment),
            start_new_session=True,
        )
    running = Process.of(child.pid)
    if running is None:
        raise ArgoError(f"{component.name} ended at once; its log is {log}")
    _pid_file(place, component.name).write_text(f"{running.pid} {running.started_ticks}\n", encoding="utf-8")
    return running


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as response:  # noqa: S310 - 127.0.0.1, by _components
            return bool(response.status == 200)
    except OSError:
        return False


def _pid_file(place: Place, name: str) -> Path:
    return place.state / "run" / f"{name}.pid"


def log_of(place: Place, name: str) -> Path:
    """What it has said since it was started; what it said the time before is beside it."""
    return place.state / "log" / f"{name}.log"


def recorded(place: Place, name: str) -> Process | None:
    """The process that was started under this name, if it still runs."""
    try:
        pid, ticks = map(int, _pid_file(place, name).read_text(encoding="utf-8").split())
    except (OSError, ValueError):
        return None
    found = Process(pid, ticks)
    return found if found.is_alive else None


def forget(place: Place, name: str) -> None:
    """Nothing is known under this name any more."""
    _pid_file(place, name).unlink(missing_ok=True)
