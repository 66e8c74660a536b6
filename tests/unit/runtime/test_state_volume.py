"""Volumes that are full or read-only, for real: said, nothing half written, and it goes on once there is room."""

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from builders import UID, an_order, at
from tradingbot_runtime.core.values import Now
from tradingbot_runtime.state import Database, StateCorrupt, StateFailure, StateUnwritable, database, export, verify
from volumes import decided, opened, recovered, tampered, trade

TESTS = Path(__file__).parents[2]
SMALL_BYTES = 512 * 1024


def trade_until_full(state: Database) -> tuple[int, StateFailure]:
    """Orders that were committed, and why no more were."""
    committed = 0
    try:
        while committed < 10_000:
            state.commit([decided(an_order(committed + 1, reason="x" * 500))], at(committed))
            committed += 1
    except StateFailure as failure:
        return committed, failure
    raise AssertionError("the volume is never full")


def the_story_of_a_full_volume(volume: Path, make_small: Any, make_large: Any) -> dict[str, Any]:
    """Full, tried again while full, room again, gone on: what a bot lives through, in one process."""
    told: dict[str, Any] = {}
    with opened(volume) as state:
        make_small()
        told["committed"], failure = trade_until_full(state)
        told["reason"], told["message"] = failure.reason, str(failure)
        try:
            state.commit([decided(an_order(20_000))], at())
        except StateFailure as again:
            told["second"] = str(again)
        make_large()
        told["recovered"] = len(state.reopen(Now(at(1).machine)).orders)
        state.commit([decided(an_order(20_001))], at(2))
    told["after"] = len(recovered(volume).orders)
    told["lines"] = verify(volume, "paper").lines
    told["said"] = [json.loads(line) for line in export(volume, "paper", ["journal"]) if "writable_again" in line]
    return told


def under_a_file_size_limit(volume: Path) -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    small = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_BYTES, hard))  # noqa: E731
    large = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))  # noqa: E731
    print(json.dumps(the_story_of_a_full_volume(volume, small, large)))


def on_a_small_file_system(volume: Path) -> None:
    mount("-t", "tmpfs", "-o", f"size={SMALL_BYTES}", "tmpfs", str(volume))
    large = lambda: mount("-o", f"remount,size={64 * SMALL_BYTES}", str(volume))  # noqa: E731
    print(json.dumps(the_story_of_a_full_volume(volume, lambda: None, large)))


def on_a_read_only_file_system(volume: Path) -> None:
    mount("-t", "tmpfs", "tmpfs", str(volume))
    with opened(volume) as state:
        trade(state, 1, 3)
    mount("-o", "remount,ro", str(volume))
    told: dict[str, Any] = {"verified": verify(volume, "paper").lines}
    try:
        recovered(volume)
    except StateFailure as failure:
        told["reason"], told["message"] = failure.reason, str(failure)
    mount("-o", "remount,rw", str(volume))
    told["after"] = len(recovered(volume).orders)
    print(json.dumps(told))


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, timeout=10)


def own_mounts() -> list[str]:
    """The command that gives a process mounts of its own, or nothing where that is not allowed."""
    for command in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        probe = [*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        if (
            shutil.which("unshare")
            and subprocess.run(probe, capture_output=True, check=False, timeout=10).returncode == 0
        ):
            return command
    return []


def story(function: str, volume: Path, *prefix: str) -> dict[str, Any]:
    """Runs one of the functions above in a process of its own."""
    volume.mkdir()
    program = f"import importlib.util as u, pathlib, sys; s = u.spec_from_file_location('story', {__file__!r});" + (
        f"m = u.module_from_spec(s); s.loader.exec_module(m); m.{function}(pathlib.Path(sys.argv[1]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    command = [*prefix, sys.executable, "-c", program, str(volume)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def check_nothing_was_lost(told: dict[str, Any]) -> None:
    assert told["committed"] > 10
    assert told["reason"] == "StateUnwritable"
    assert told["second"] == told["message"], "nothing is tried on a file that may be half written"
    assert told["recovered"] == told["committed"]
    assert told["after"] == told["committed"] + 1
    assert told["lines"] == told["committed"] + 2
    assert told["said"][0]["detail"]["failed"] == told["message"][:2000]


def test_files_that_may_not_grow_stop_the_bot_and_lose_nothing(tmp_path: Path) -> None:
    check_nothing_was_lost(story("under_a_file_size_limit", tmp_path / "volume"))


def test_a_full_volume_stops_the_bot_and_loses_nothing(tmp_path: Path) -> None:
    mounts = own_mounts()
    if not mounts:  # a container without privileges: the same story under a limit that it may set
        check_nothing_was_lost(story("under_a_file_size_limit", tmp_path / "volume"))
        return
    told = story("on_a_small_file_system", tmp_path / "volume", *mounts)
    check_nothing_was_lost(told)
    assert "volume is full: enlarge spec.storage.size" in told["message"]


def test_a_read_only_volume_can_be_read_and_not_be_traded_on(tmp_path: Path) -> None:
    mounts = own_mounts()
    if not mounts:
        with opened(tmp_path) as state:
            state._connection.execute("PRAGMA query_only = ON")
            with pytest.raises(StateUnwritable, match="read-only: mount it read-write"):
                state.commit([decided(an_order())], at())
        return
    told = story("on_a_read_only_file_system", tmp_path / "volume", *mounts)
    assert (told["verified"], told["after"], told["reason"]) == (6, 3, "StateUnwritable")
    assert "the volume is read-only: mount it read-write" in told["message"]


def test_while_the_volume_cannot_be_used_trying_again_says_so_again(tmp_path: Path) -> None:
    with opened(tmp_path) as state:
        trade(state, 1, 2)
        state._connection.execute("PRAGMA query_only = ON")
        with pytest.raises(StateUnwritable):
            state.commit([decided(an_order(3))], at())
        (tmp_path / "paper" / "state.db-wal").unlink(missing_ok=True)
        (tmp_path / "paper").rename(tmp_path / "away")
        (tmp_path / "paper").write_text("in the way")
        for _ in range(2):
            with pytest.raises(StateUnwritable, match="cannot be used"):
                state.reopen(at(1))
        (tmp_path / "paper").unlink()
        (tmp_path / "away").rename(tmp_path / "paper")
        assert state.failure is not None


def test_a_volume_that_came_back_damaged_stays_out_of_use(tmp_path: Path) -> None:
    with opened(tmp_path) as state:
        trade(state, 1, 2)
        state._connection.execute("PRAGMA query_only = ON")
        with pytest.raises(StateUnwritable):
            state.commit([decided(an_order(3))], at())
        tampered(tmp_path, "UPDATE fills SET price = '1'")
        with pytest.raises(StateCorrupt):
            state.reopen(at(1))
        with pytest.raises(StateFailure):
            state.commit([decided(an_order(3))], at(2))


def test_a_start_tries_to_write_before_it_trades(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    with opened(tmp_path) as state:
        trade(state, 1, 1)
        state._connection.execute("BEGIN IMMEDIATE")
        try:
            with pytest.raises(StateUnwritable, match="another process writes it"):
                Database.open(tmp_path, UID, "paper")
        finally:
            state._connection.execute("ROLLBACK")
