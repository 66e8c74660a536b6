"""Restore: a verified backup takes the state's place; the state stays aside, and a kill stays in force."""

import contextlib
import json
import sqlite3
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from builders import UID, an_order, at
from tradingbot_api import EX_STATE
from tradingbot_runtime import state_cli
from tradingbot_runtime.cli import app
from tradingbot_runtime.core.commands import Journal, PutKill
from tradingbot_runtime.core.kill import later_of
from tradingbot_runtime.state import (
    Backup,
    Backups,
    Database,
    DirectoryLock,
    RestoreInterrupted,
    StateCorrupt,
    StateOfAnotherBot,
    restore,
    restoring,
    verify,
    verify_backup,
)
from volumes import KILL, decided, killed, opened, recovered, state_file, tampered, trade

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def cli(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["state", *arguments], env={"COLUMNS": "200"})


def a_backup_and_more(volume: Path) -> Backup:
    """Three orders in a backup, and a fourth after it."""
    with opened(volume) as state:
        trade(state, 1, 3)
        backup = Backups(volume, "paper").take(NOON)
        state.commit([decided(an_order(4))], at(99))
    return backup


def test_a_restored_state_is_the_backup_and_says_so_in_its_journal(tmp_path: Path) -> None:
    backup = a_backup_and_more(tmp_path)
    done = restore(tmp_path, "paper", backup.path, NOON)
    assert done.aside is not None
    assert (done.kill_carried_over, done.kill_unknown) == (False, False)
    assert len(recovered(tmp_path).orders) == 3
    assert verify(tmp_path, "paper").lines == 7, "six of the backup, and the restore itself"
    assert backup.path.exists()


def test_what_litestream_noted_of_the_replaced_state_is_not_taken_for_notes_of_the_restored(tmp_path: Path) -> None:
    backup = a_backup_and_more(tmp_path)
    notes = tmp_path / "paper/.state.db-litestream/ltx/0"
    notes.mkdir(parents=True)
    (notes / "0000000000000001-0000000000000001.ltx").touch()
    restore(tmp_path, "paper", backup.path, NOON)
    assert not (tmp_path / "paper/.state.db-litestream").exists()


def test_the_replaced_state_stays_whole(tmp_path: Path) -> None:
    backup = a_backup_and_more(tmp_path)
    before = verify(tmp_path, "paper").last_hash
    first, second = (restore(tmp_path, "paper", backup.path, NOON) for _ in range(2))
    assert first.aside is not None
    assert first.aside != second.aside, "two restores in one second keep both"
    (tmp_path / "look" / "paper").mkdir(parents=True)
    (first.aside / "state.db").rename(state_file(tmp_path / "look"))
    assert verify(tmp_path / "look", "paper").last_hash == before


def test_a_kill_after_the_backup_stays_in_force(tmp_path: Path) -> None:
    backup = a_backup_and_more(tmp_path)
    with opened(tmp_path) as state:
        state.commit([killed()], at(100))
    result = cli("restore", "--state", str(tmp_path), "--backup", str(backup.path))
    assert result.exit_code == 0
    assert "a kill of the replaced state stays in force" in result.output
    assert recovered(tmp_path).kill == KILL


def test_a_kill_that_was_released_after_the_backup_stays_released(tmp_path: Path) -> None:
    with opened(tmp_path) as state:
        state.commit([killed()], at(1))
        backup = Backups(tmp_path, "paper").take(NOON)
        state.commit([Journal("kill_released", {}, (PutKill(replace(KILL, released_at=at(2).machine)),))], at(2))
    assert verify(tmp_path, "paper").killed is False
    assert verify_backup(backup.path).killed
    assert not restore(tmp_path, "paper", backup.path, NOON).kill_carried_over
    assert recovered(tmp_path).kill is None
    assert not verify(tmp_path, "paper").killed


def test_a_later_kill_in_force_stays_though_the_backups_was_released(tmp_path: Path) -> None:
    second = replace(KILL, epoch=2, observed_at=at(9).machine)
    with opened(tmp_path) as state:
        state.commit([Journal("kill_released", {}, (PutKill(replace(KILL, released_at=at(2).machine)),))], at(2))
        backup = Backups(tmp_path, "paper").take(NOON)
        state.commit([Journal("kill", {}, (PutKill(second),))], at(9))
    assert restore(tmp_path, "paper", backup.path, NOON).kill_carried_over
    assert recovered(tmp_path).kill == second


def test_a_backups_kill_in_force_is_not_lost_where_the_replaced_state_knows_an_earlier_one(tmp_path: Path) -> None:
    second = replace(KILL, epoch=2, observed_at=at(9).machine)
    with opened(tmp_path) as state:
        state.commit([Journal("kill", {}, (PutKill(second),))], at(9))
        backup = Backups(tmp_path, "paper").take(NOON)
        # An even older state was put here by hand: the first kill, released.
        state.commit([Journal("kill", {}, (PutKill(replace(KILL, released_at=at(2).machine)),))], at(10))
    assert not restore(tmp_path, "paper", backup.path, NOON).kill_carried_over
    assert recovered(tmp_path).kill == second


def test_a_kill_of_a_state_of_the_first_release_is_carried_over(tmp_path: Path) -> None:
    older, newer = tmp_path / "older", tmp_path / "newer"
    with opened(newer) as state:
        trade(state, 1, 2)
        backup = Backups(newer, "paper").take(NOON)
    state_file(older).parent.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(state_file(older))) as connection:
        connection.executescript((Path(__file__).parent / "state_schema_1.sql").read_text(encoding="utf-8"))
    done = restore(older, "paper", backup.path, NOON)
    assert (done.kill_carried_over, done.kill_unknown) == (True, False)
    kill = recovered(older).kill
    assert kill is not None and (kill.reason, kill.epoch) == ("it's enough", 1)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 9), st.none() | st.integers(0, 9)), min_size=1, max_size=4))
def test_no_order_of_two_records_brings_a_released_kill_back(found: list[tuple[int, int, int | None]]) -> None:
    kills = [
        replace(
            KILL, epoch=epoch, observed_at=at(begun).machine, released_at=at(begun + over).machine if over else None
        )
        for epoch, begun, over in found
    ]
    for one in kills:
        assert later_of(one, None) == later_of(None, one) == later_of(one, one) == one
        for other in kills:
            chosen, again = later_of(one, other), later_of(other, one)
            assert chosen is not None and again is not None
            assert (chosen.epoch, chosen.is_in_force) == (again.epoch, again.is_in_force)
            if one.released_at and other.epoch <= one.epoch and other.observed_at <= one.released_at:
                assert not chosen.is_in_force


def test_a_kill_that_cannot_be_read_is_pointed_out(tmp_path: Path) -> None:
    backup = a_backup_and_more(tmp_path)
    state_file(tmp_path).write_bytes(b"ruined" * 5000)
    result = cli("restore", "--state", str(tmp_path), "--backup", str(backup.path))
    assert result.exit_code == 0
    assert "kill it again before it starts" in result.stderr
    assert recovered(tmp_path).kill is None


def test_a_start_on_a_corrupt_state_names_the_command_and_the_command_works(tmp_path: Path) -> None:
    a_backup_and_more(tmp_path)
    tampered(tmp_path, "UPDATE orders SET qty = '1000' WHERE position = 1")
    with pytest.raises(StateCorrupt, match="the newest backup that verifies has journal line 6 of") as raised:
        recovered(tmp_path)
    command = str(raised.value).split("`")[-2]
    assert command.startswith("tradingbot state restore --state ")
    result = CliRunner().invoke(app, command.split()[1:])
    assert result.exit_code == 0, result.stderr
    assert len(recovered(tmp_path).orders) == 3


def test_the_named_backup_is_the_newest_that_verifies(tmp_path: Path) -> None:
    older = a_backup_and_more(tmp_path)
    newer = Backups(tmp_path, "paper").take(NOON + timedelta(hours=1))
    newer.path.write_bytes(newer.path.read_bytes()[:-100])
    tampered(tmp_path, "DELETE FROM orders WHERE position = 1")
    with pytest.raises(StateCorrupt, match=older.path.name):
        recovered(tmp_path)


@pytest.mark.parametrize("loss", ["gone", "empty", "Litestream's"])
def test_a_bot_that_lost_its_state_does_not_begin_anew(tmp_path: Path, loss: str) -> None:
    a_backup_and_more(tmp_path)
    state_file(tmp_path).unlink()
    if loss != "gone":
        state_file(tmp_path).touch()
    if loss == "Litestream's":
        with contextlib.closing(sqlite3.connect(state_file(tmp_path))) as connection:
            connection.execute("CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)")
    with pytest.raises(StateCorrupt, match=r"it is gone, and there are backups.*tradingbot state restore"):
        recovered(tmp_path)


def test_a_backup_that_does_not_verify_changes_nothing(tmp_path: Path) -> None:
    backup = a_backup_and_more(tmp_path)
    before = state_file(tmp_path).read_bytes()
    backup.path.write_bytes(backup.path.read_bytes()[:-1])
    result = cli("restore", "--state", str(tmp_path), "--backup", str(backup.path))
    assert (result.exit_code, "StateCorrupt" in result.stderr) == (EX_STATE, True)
    assert state_file(tmp_path).read_bytes() == before


def test_another_bots_backup_and_another_modes_are_refused(tmp_path: Path) -> None:
    a_backup_and_more(tmp_path)
    for uid, mode, said in (("another", "paper", "is of bot"), (UID, "live", "is of mode live, not paper")):
        theirs = tmp_path / "theirs" / mode
        Database.open(theirs, uid, mode).close()
        backup = Backups(theirs, mode).take(NOON)
        with pytest.raises(StateOfAnotherBot, match=said):
            restore(tmp_path, "paper", backup.path, NOON)
    assert len(recovered(tmp_path).orders) == 4


def test_while_a_bot_runs_nothing_is_restored_and_the_bot_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_cli, "RESTORE_WAIT_SECONDS", 0.0)
    backup = a_backup_and_more(tmp_path)
    with DirectoryLock(tmp_path, {"holder": "momentum-0", "pid": "7", "since": "today"}):
        result = cli("restore", "--state", str(tmp_path), "--backup", str(backup.path))
    assert result.exit_code == EX_STATE
    assert "is held by momentum-0 (pid 7, since today)" in result.stderr
    assert len(recovered(tmp_path).orders) == 4


class Interrupted(Exception):
    """The machine goes down here."""


@pytest.mark.parametrize("moves", range(3))
def test_an_interrupted_restore_is_refused_by_the_bot_and_ends_when_it_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    backup = a_backup_and_more(tmp_path)
    with opened(tmp_path) as state:
        state.commit([killed()], at(100))
    whole = verify(tmp_path, "paper").last_hash
    done: list[object] = []
    real = restoring.move

    def stops_after(source: Path, target: Path) -> None:
        if len(done) == moves:
            raise Interrupted
        real(source, target)
        done.append(target)

    monkeypatch.setattr(restoring, "move", stops_after)
    try:
        restore(tmp_path, "paper", backup.path, NOON)
    except Interrupted:
        with pytest.raises(RestoreInterrupted, match=f"run it again.*--backup {backup.path}"):
            recovered(tmp_path)
        monkeypatch.undo()
        restore(tmp_path, "paper", backup.path, NOON + timedelta(minutes=5))
    found = recovered(tmp_path)
    assert (len(found.orders), found.kill) == (3, KILL)
    (aside,) = (tmp_path / "paper" / "replaced").iterdir()
    (tmp_path / "look" / "paper").mkdir(parents=True)
    (aside / "state.db").rename(state_file(tmp_path / "look"))
    assert verify(tmp_path / "look", "paper").last_hash == whole


def test_a_backup_of_an_older_schema_is_brought_to_todays(tmp_path: Path) -> None:
    volume, old = tmp_path / "volume", tmp_path / "old"
    a_backup_and_more(volume)
    state_file(old).parent.mkdir(parents=True)
    connection = sqlite3.connect(state_file(old))
    connection.executescript((Path(__file__).parent / "state_schema_1.sql").read_text(encoding="utf-8"))
    connection.close()
    backup = Backups(old, "paper").before_migration(2)
    restore(volume, "paper", backup.path, NOON)
    assert len(recovered(volume).fills) == 3


def test_without_a_backup_the_backups_are_listed(tmp_path: Path) -> None:
    assert "no backups in" in cli("restore", "--state", str(tmp_path)).output
    backup = a_backup_and_more(tmp_path)
    assert cli("restore", "--state", str(tmp_path)).output.strip() == str(backup.path)


def test_backup_and_verify_by_hand_beside_a_running_bot(tmp_path: Path) -> None:
    with opened(tmp_path) as state:
        trade(state, 1, 2)
        made = cli("backup", "--state", str(tmp_path))
        assert made.exit_code == 0, made.stderr
        path = made.output.split(" verifies")[0]
        checked = cli("verify", "--state", str(tmp_path), "--backup", path)
        assert "4 journal lines, 2 orders, 2 fills" in checked.output
    Path(path).write_bytes(b"ruined")
    assert cli("verify", "--state", str(tmp_path), "--backup", path).exit_code == EX_STATE


def test_export_writes_what_is_asked_for_as_json_lines(tmp_path: Path) -> None:
    with opened(tmp_path) as state:
        trade(state, 1, 2)
        state.commit([decided(an_order(3))], at(7200))
    everything = [json.loads(line) for line in cli("export", "--state", str(tmp_path)).output.splitlines()]
    assert [one["table"] for one in everything] == ["journal"] * 5 + ["orders"] * 3 + ["fills"] * 2
    assert everything[0]["changes"][0][0] == "orders"
    assert everything[8]["price"] == "100"
    late = cli("export", "--state", str(tmp_path), "--table", "journal", "--since", "2026-11-21T10:30:00")
    assert [json.loads(line)["seq"] for line in late.output.splitlines()] == [5]
    target = tmp_path / "out.jsonl"
    result = cli("export", "--state", str(tmp_path), "--table", "fills", "--output", str(target))
    assert f"2 lines in {target}" in result.output
    assert len(target.read_text().splitlines()) == 2
    assert cli("export", "--state", str(tmp_path), "--table", "meta").exit_code == 2
    assert cli("export", "--state", str(tmp_path / "nowhere")).exit_code == EX_STATE


def test_each_command_explains_itself() -> None:
    for command, words in {
        "verify": ("--backup", "65"),
        "backup": ("sha256sum", "every hour", "30 days"),
        "restore": ("Stop the bot first", "replaced", "kill"),
        "export": ("JSON lines", "--since", "--table"),
    }.items():
        text = cli(command, "--help").output
        assert all(word in text for word in words), text


def test_backups_can_be_taken_in_another_thread_while_the_bot_commits(tmp_path: Path) -> None:
    with opened(tmp_path) as state:
        trade(state, 1, 5)
        made: list[Backup] = []
        thread = threading.Thread(target=lambda: made.append(Backups(tmp_path, "paper").take(NOON)))
        thread.start()
        trade(state, 6, 40)
        thread.join(timeout=30)
        state.keep_house(made[0], at(99))
    assert made[0].verification.orders >= 5
    assert len(recovered(tmp_path).orders) == 40
