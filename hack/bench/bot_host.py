"""A node for the kill bench: starts bots as a kubelet would, each a process with the files of its own ServiceAccount.

Each is forked from here, where everything is imported already: fifty starts would otherwise take minutes of two cores.
What runs after that is `tradingbot run`, unchanged. A line of JSON on stdin asks, a line on stdout answers.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

SERVICE_ACCOUNT = Path("/run/secrets/kubernetes.io/serviceaccount")
_CLONE_NEWNS = 0x00020000
_MS_REC_PRIVATE = 0x4000 | 0x40000
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}; this bench needs the right to mount")


def _own_files(token: str, authority: str) -> None:
    """A /run that only this process sees, with what a pod finds there."""
    _checked(_LIBC.unshare(_CLONE_NEWNS), "unshare")
    _checked(_LIBC.mount(None, b"/", None, _MS_REC_PRIVATE, None), "mount /")
    _checked(_LIBC.mount(b"tmpfs", b"/run", b"tmpfs", 0, b"size=64k"), "mount /run")
    SERVICE_ACCOUNT.mkdir(parents=True)
    (SERVICE_ACCOUNT / "token").write_text(token, encoding="utf-8")
    (SERVICE_ACCOUNT / "ca.crt").write_text(authority, encoding="utf-8")


def _become(pod: dict[str, Any]) -> NoReturn:
    """The bot's process. Never returns to the host's loop."""
    from tradingbot_runtime import cli

    code = 1
    log = os.open(pod["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number in (1, 2):
        os.dup2(log, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _own_files(pod["token"], pod["authority"])
        os.environ.update(pod["environment"])
        sys.argv = ["tradingbot", *pod["arguments"]]
        cli.main()
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _stopped(pid: int) -> int:
    os.kill(pid, signal.SIGTERM)
    return os.waitpid(pid, 0)[1]


def main() -> None:
    """Starts and stops bots until stdin ends, and then ends with all of them."""
    import alpaca.data  # noqa: F401
    import pandas as pd  # noqa: F401

    import tradingbot_runtime.app
    import tradingbot_runtime.commands.brokers
    import tradingbot_runtime.commands.run
    import tradingbot_runtime.control.kubernetes
    import tradingbot_runtime.strategies.momentum  # noqa: F401

    print(json.dumps({"ready": True}), flush=True)
    while line := sys.stdin.readline():
        asked = json.loads(line)
        if "stop" in asked:
            print(json.dumps({"ended": _stopped(asked["stop"])}), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            _become(asked)
        print(json.dumps({"pid": pid}), flush=True)


if __name__ == "__main__":
    main()
