"""One writer: a lock on the state directory that names its holder. The kernel frees it when the holder dies."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType

from tradingbot_runtime.state.failures import StateLocked, from_os

WAIT_SECONDS = 30.0
_RETRY_SECONDS = 0.25
_MAX_HOLDER_BYTES = 1024


def holder_of_this_process(environment: Mapping[str, str], now: datetime) -> dict[str, str]:
    """Who holds the lock: the pod (or host), the process, and since when."""
    return {
        "holder": environment.get("POD_NAME") or environment.get("HOSTNAME") or socket.gethostname(),
        "pid": str(os.getpid()),
        "since": now.isoformat(timespec="seconds"),
    }


class DirectoryLock:
    """An exclusive lock on `directory/lock`, held until `release`."""

    def __init__(
        self,
        directory: Path,
        holder: Mapping[str, str],
        *,
        wait_seconds: float = WAIT_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._path = directory / "lock"
        self._holder = holder
        self._wait_seconds = wait_seconds
        self._monotonic = monotonic
        self._sleep = sleep
        self._descriptor: int | None = None

    def acquire(self) -> "DirectoryLock":
        """Waits for the lock. Raises StateLocked naming the holder, or StateUnwritable."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise from_os(error, self._path.parent) from error
        try:
            self._wait(descriptor)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(dict(self._holder)).encode(), 0)
        except OSError as error:
            os.close(descriptor)
            raise from_os(error, self._path.parent) from error
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return self

    def release(self) -> None:
        """Gives the lock up; safe to repeat."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> "DirectoryLock":
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _wait(self, descriptor: int) -> None:
        deadline = self._monotonic() + self._wait_seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if self._monotonic() >= deadline:
                    raise self._locked(descriptor) from None
                self._sleep(_RETRY_SECONDS)

    def _locked(self, descriptor: int) -> StateLocked:
        who = "another process"
        with suppress(ValueError, OSError):
            found = json.loads(os.pread(descriptor, _MAX_HOLDER_BYTES, 0))
            who = f"{found['holder']} (pid {found['pid']}, since {found['since']})"
        return StateLocked(
            f"the state {self._path.parent} is held by {who}, also after {self._wait_seconds:g} s:"
            " one bot runs once; stop that process, or give this bot its own volume"
        )
