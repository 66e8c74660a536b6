"""One writer: a second process waits, then names who holds the state."""

import subprocess
import sys
from pathlib import Path

import pytest

from builders import at
from tradingbot_runtime.state import DirectoryLock, StateLocked, StateUnwritable, holder_of_this_process

POD = {"holder": "momentum-0", "pid": "7", "since": "2026-11-21T09:00:00+00:00"}
OTHER = {"holder": "momentum-flatten", "pid": "9", "since": "2026-11-21T09:01:00+00:00"}


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept = 0

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.slept += 1


def lock(directory: Path, holder: dict[str, str], clock: Clock | None = None) -> DirectoryLock:
    clock = clock or Clock()
    return DirectoryLock(directory, holder, wait_seconds=30, monotonic=clock.monotonic, sleep=clock.sleep)


def test_a_second_process_waits_and_then_names_the_holder(tmp_path: Path) -> None:
    clock = Clock()
    with lock(tmp_path, POD), pytest.raises(StateLocked) as raised:
        lock(tmp_path, OTHER, clock).acquire()
    assert "held by momentum-0 (pid 7, since 2026-11-21T09:00:00+00:00)" in str(raised.value)
    assert 30 <= clock.seconds < 31
    assert clock.slept > 100


def test_a_lock_that_was_released_is_free(tmp_path: Path) -> None:
    with lock(tmp_path, POD):
        pass
    with lock(tmp_path, OTHER):
        assert "momentum-flatten" in (tmp_path / "lock").read_text()


def test_a_holder_that_dies_frees_the_lock(tmp_path: Path) -> None:
    program = (
        "import pathlib, os, sys; from tradingbot_runtime.state import DirectoryLock;"
        "DirectoryLock(pathlib.Path(sys.argv[1]), {'holder': 'x', 'pid': '1', 'since': ''}).acquire(); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False).returncode == 9
    with lock(tmp_path, POD):
        assert "momentum-0" in (tmp_path / "lock").read_text()


def test_a_holder_that_wrote_nothing_is_still_a_holder(tmp_path: Path) -> None:
    with lock(tmp_path, POD):
        (tmp_path / "lock").write_text("")
        with pytest.raises(StateLocked, match="held by another process"):
            lock(tmp_path, OTHER).acquire()


def test_a_directory_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateUnwritable, match="mount a volume"):
        lock(tmp_path / "file" / "state", POD).acquire()


def test_the_holder_is_the_pod_where_there_is_one() -> None:
    assert holder_of_this_process({"POD_NAME": "momentum-0"}, at().machine)["holder"] == "momentum-0"
    assert holder_of_this_process({}, at().machine)["holder"]
