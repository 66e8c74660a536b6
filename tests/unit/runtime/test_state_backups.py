"""Backups: taken every hour beside the bot, whole or not at all, verified, thinned, and never the last three gone."""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from builders import an_order, at
from tradingbot_runtime.state import Backups, StateCorrupt, StateUnwritable, complete_backups, verify_backup
from tradingbot_runtime.state.backups import MAX_BACKUPS, backups_directory
from volumes import decided, opened, state_file, tampered, trade

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    with opened(tmp_path) as state:
        trade(state, 1, 3)
    return tmp_path


def times(volume: Path) -> list[datetime]:
    names = [path.name.split("-")[1] for path in complete_backups(volume, "paper")]
    return sorted(datetime.strptime(name, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) for name in names)


def test_a_backup_is_due_every_hour(volume: Path) -> None:
    backups = Backups(volume, "paper")
    assert backups.back_up(NOON) is not None
    assert backups.back_up(NOON + timedelta(minutes=59)) is None
    assert backups.back_up(NOON + HOUR) is not None
    assert Backups(volume, "paper").back_up(NOON + HOUR) is None, "another process sees that there is one"


def test_a_clock_that_jumps_neither_stops_the_backups_nor_asks_for_one_all_the_time(volume: Path) -> None:
    backups = Backups(volume, "paper")
    taken = [backups.back_up(NOON + timedelta(hours=hours)) for hours in (0, 5, -5, -5, -4.5, 0.5, 5.5, 6)]
    assert [made is not None for made in taken] == [True, True, True, False, False, False, False, True]


def test_a_backup_is_the_state_at_one_moment_while_the_bot_writes(volume: Path) -> None:
    with opened(volume) as state:
        made = Backups(volume, "paper").take(NOON)
        state.commit([decided(an_order(9))], at(9))
        assert (made.verification.lines, made.verification.orders) == (6, 3)
        assert state.lines == 7
    assert verify_backup(made.path).lines == 6


def test_its_checksum_is_one_that_others_can_check(volume: Path) -> None:
    made = Backups(volume, "paper").take(NOON)
    check = ["sha256sum", "--check", "--strict", made.path.name + ".sha256"]
    assert subprocess.run(check, cwd=made.path.parent, check=False, capture_output=True).returncode == 0


def test_a_backup_is_one_file_without_a_log(volume: Path) -> None:
    Backups(volume, "paper").take(NOON)
    assert {path.suffix for path in backups_directory(volume, "paper").iterdir()} == {".db", ".sha256"}


@pytest.mark.parametrize("where", [0, 5000, -1])
def test_a_byte_that_changed_in_a_backup_is_found(volume: Path, where: int) -> None:
    made = Backups(volume, "paper").take(NOON)
    content = bytearray(made.path.read_bytes())
    content[where] ^= 1
    made.path.write_bytes(content)
    with pytest.raises(StateCorrupt, match="its SHA-256 is"):
        verify_backup(made.path)


def test_a_backup_without_its_checksum_does_not_count(volume: Path) -> None:
    made = Backups(volume, "paper").take(NOON)
    made.path.with_name(made.path.name + ".sha256").unlink()
    assert complete_backups(volume, "paper") == []
    with pytest.raises(StateUnwritable, match="cannot be read"):
        verify_backup(made.path)


def test_a_damaged_state_makes_no_backup(volume: Path) -> None:
    tampered(volume, "UPDATE fills SET price = '1' WHERE position = 1")
    with pytest.raises(StateCorrupt, match="price is '1'"):
        Backups(volume, "paper").take(NOON)
    assert list(backups_directory(volume, "paper").iterdir()) == []


def test_what_a_crash_left_behind_does_not_count_and_is_cleared(volume: Path) -> None:
    folder = backups_directory(volume, "paper")
    folder.mkdir()
    (folder / "copying.tmp").write_text("half a copy")
    (folder / "state-20260101T000000Z-line-00000001.db.sha256").write_text("of nothing")
    (folder / "notes.txt").write_text("somebody's")
    assert complete_backups(volume, "paper") == []
    made = Backups(volume, "paper").take(NOON)
    assert {path.name for path in folder.iterdir()} == {made.path.name, made.path.name + ".sha256", "notes.txt"}


def test_backups_are_kept_hourly_for_a_day_and_daily_for_a_month(volume: Path) -> None:
    folder = backups_directory(volume, "paper")
    made = Backups(volume, "paper").take(NOON - 40 * 24 * HOUR)
    for hours in range(1, 40 * 24):  # copies of the first: only their names matter here
        at_hour = NOON - 40 * 24 * HOUR + hours * HOUR
        name = f"state-{at_hour:%Y%m%dT%H%M%SZ}-line-00000006.db"
        shutil.copy(made.path, folder / name)
        (folder / f"{name}.sha256").write_text("")
    Backups(volume, "paper").take(NOON)
    kept = times(volume)
    assert len([one for one in kept if NOON - one < timedelta(days=1)]) == 24
    assert NOON - kept[0] <= timedelta(days=30)
    assert NOON - kept[0] > timedelta(days=28)
    assert len(kept) <= MAX_BACKUPS


def test_the_last_three_are_kept_however_old(volume: Path) -> None:
    backups = Backups(volume, "paper")
    for days in (100, 90, 80):
        backups.take(NOON - timedelta(days=days))
    backups.take(NOON)
    assert [(NOON - one).days for one in times(volume)] == [90, 80, 0]


def test_older_backups_give_way_to_a_volume_that_gets_full(volume: Path) -> None:
    for hours in range(6):
        Backups(volume, "paper").take(NOON + hours * HOUR)

    def free(folder: Path) -> int:
        return 10_000_000_000 if len(complete_backups(volume, "paper")) <= 4 else 0

    Backups(volume, "paper", free_bytes=free).take(NOON + 6 * HOUR)
    assert [one.hour for one in times(volume)] == [14, 15, 16, 17, 18]


def test_a_full_volume_keeps_the_last_three_and_says_so(volume: Path) -> None:
    for hours in range(6):
        Backups(volume, "paper").take(NOON + hours * HOUR)
    with pytest.raises(StateUnwritable, match=r"no room for a backup .*0 MiB are free"):
        Backups(volume, "paper", free_bytes=lambda folder: 0).take(NOON + 6 * HOUR)
    assert [one.hour for one in times(volume)] == [15, 16, 17]
    assert state_file(volume).exists()
