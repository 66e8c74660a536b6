"""Operator processes at the cost of a fork: one process imports the operator once, and each start is a copy of it.

A copy is a process of its own with its own memory, sockets and log, killed by signal like any other; it only spares
the second that Python needs to import everything. Must never start anything but the operator.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kubernetes.aio.config import kube_config


class ForkedOperator:
    """One copy, held by a file descriptor, so that a signal never reaches a stranger of the same id."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)
        self._lock = threading.Lock()
        self._has_ended = False

    def poll(self) -> int | None:
        """0 once it has ended: whose child it is alone knows how."""
        return 0 if self._ended_within(0) else None

    def send_signal(self, number: int) -> None:
        """Sends a signal; nothing where it has ended."""
        with self._lock, contextlib.suppress(ProcessLookupError):
            if not self._has_ended:
                signal.pidfd_send_signal(self._descriptor, number)

    def wait(self, timeout: float) -> int:
        """Waits for its end."""
        if not self._ended_within(timeout):
            raise subprocess.TimeoutExpired("operator", timeout)
        return 0

    def _ended_within(self, seconds: float) -> bool:
        with self._lock:
            if not self._has_ended and select.select([self._descriptor], [], [], seconds)[0]:
                self._has_ended = True
                os.close(self._descriptor)
            return self._has_ended


class Nursery:
    """The process that has imported the operator and forks on demand; its copies end with it."""

    def __init__(self) -> None:
        command = [sys.executable, __file__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lock = threading.Lock()

    def spawn(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> ForkedOperator:
        """Starts `tradingbot-operator` with these arguments and this environment."""
        request = {"arguments": list(arguments), "environment": dict(environment), "log": str(log)}
        with self._lock:
            assert self._process.stdin is not None and self._process.stdout is not None
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            return ForkedOperator(int(self._process.stdout.readline()))

    def close(self) -> None:
        """Ends it and every copy that is left."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=20)
        self._process.stdout.close()


def _serve() -> None:
    from tradingbot_operator import app, cli, logs

    assert app and logs and threading.active_count() == 1, "a fork copies one thread only"
    children: set[int] = set()
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become_an_operator(request, cli.main)
        children.add(pid)
        children -= {ended for child in children if (ended := os.waitpid(child, os.WNOHANG)[0])}
        print(pid, flush=True)
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def _become_an_operator(request: Any, main: Callable[[], None]) -> None:
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor, target in ((nothing, 0), (nothing, 1), (log, 2)):
        os.dup2(descriptor, target)
    os.environ.clear()
    os.environ.update(request["environment"])
    # Read from the environment when it is imported.
    kube_config.KUBE_CONFIG_DEFAULT_LOCATION = os.environ["KUBECONFIG"]
    sys.argv = ["tradingbot-operator", *request["arguments"]]
    try:
        main()
    except SystemExit:
        pass
    except BaseException:
        traceback.print_exc()
    finally:
        # Never back into the nursery's own loop.
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    _serve()
