"""Damage anywhere in the file: it is said in words, or what is read is what was written. Never a guess, never a bug."""

import contextlib
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import UID, at
from tradingbot_runtime.core.commands import Journal, PutCheckpoint
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.state import Backups, Database, StateCorrupt, StateFailure, database, export, verify
from volumes import MONDAY, a_notice, an_incident, closing, killed, opened, recovered, state_file, tampered, told, trade

PAGE_BYTES = 4096
FLIPS_A_PAGE = 6


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A volume with a row in every table, an anchor, and lines on both sides of it."""
    monkeypatch.setattr(database, "ANCHOR_EVERY_LINES", 10)
    with opened(tmp_path) as state:
        trade(state, 1, 6)
        backup = Backups(tmp_path, "paper").take(at().machine)
        state.keep_house(backup, at(7))
        state.commit([closing(MONDAY), told(an_incident(), a_notice()), killed()], at(8))
        state.commit([Journal("risk", {}, (PutCheckpoint("risk", "{}"),))], at(9))
        trade(state, 7, 9)
    # The backup would be found, verified and named at each damage: here it only takes time.
    for path in backup.path.parent.iterdir():
        path.unlink()
    return tmp_path


def everything(volume: Path) -> tuple[list[str], Recovered]:
    rows = list(export(volume, "paper", ["journal", "orders", "fills", "sessions", "incidents", "notices"]))
    return rows, recovered(volume)


@contextlib.contextmanager
def damaged(volume: Path, content: bytes) -> Iterator[None]:
    path = state_file(volume)
    whole = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        path.write_bytes(whole)


def outcome(volume: Path, content: bytes, expected: tuple[list[str], Recovered]) -> str:
    """What comes of damage: "said" or "harmless". Anything else fails."""
    with damaged(volume, content):
        try:
            verify(volume, "paper")
            verified = True
        except StateFailure as failure:
            assert str(state_file(volume)) in str(failure)
            verified = False
        try:
            found = recovered(volume)
        except StateFailure as failure:
            assert str(state_file(volume)) in str(failure)
            return "said"
        assert found == expected[1], "a silent wrong read"
        if verified:
            assert everything(volume) == expected, "verified, and yet not what was written"
            return "harmless"
        return "said"


def test_every_page_of_the_file_may_be_damaged(volume: Path) -> None:
    expected, whole, dice = everything(volume), state_file(volume).read_bytes(), random.Random(1)
    pages = len(whole) // PAGE_BYTES
    outcomes: list[str] = []
    for page in range(pages):
        used = [at for at in range(page * PAGE_BYTES, (page + 1) * PAGE_BYTES) if whole[at]]
        for number in range(FLIPS_A_PAGE):
            content = bytearray(whole)
            # Half of the flips where something is written; the rest of most pages is free.
            place = dice.choice(used) if used and number % 2 else dice.randrange(PAGE_BYTES) + page * PAGE_BYTES
            content[place] ^= 1 << dice.randrange(8)
            outcomes.append(outcome(volume, bytes(content), expected))
        zeroed = bytearray(whole)
        zeroed[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] = bytes(PAGE_BYTES)
        outcomes.append(outcome(volume, bytes(zeroed), expected))
    assert pages > 10
    assert outcomes.count("said") > len(outcomes) // 3


def test_every_field_of_the_files_header_may_be_damaged(volume: Path) -> None:
    expected, whole = everything(volume), state_file(volume).read_bytes()
    outcomes = []
    for place in range(100):
        for flip in (0x01, 0xFF):
            content = bytearray(whole)
            content[place] ^= flip
            outcomes.append(outcome(volume, bytes(content), expected))
    assert {"said", "harmless"} == set(outcomes)


@pytest.mark.parametrize("length", [0, 1, 99, 100, 4095, 4096, 3 * 4096, 5 * 4096 + 7])
def test_a_file_that_was_cut_off_is_said_or_new(volume: Path, length: int) -> None:
    whole = state_file(volume).read_bytes()
    with damaged(volume, whole[:length]):
        if length == 0:
            # An empty file is what SQLite makes first; without backups it is a bot's first start.
            assert recovered(volume) == Recovered()
            return
        with pytest.raises(StateCorrupt, match=r"corrupt: .*restore a copy"):
            recovered(volume)


def test_a_damaged_log_gives_what_was_committed_up_to_some_moment(tmp_path: Path) -> None:
    with opened(tmp_path) as state:
        trade(state, 1, 5)
        log = state_file(tmp_path).with_name("state.db-wal").read_bytes()
        base = state_file(tmp_path).read_bytes()
        histories = dict.fromkeys(range(6))
    dice = random.Random(2)
    for number in range(20):
        copy = tmp_path / str(number)
        state_file(copy).parent.mkdir(parents=True)
        content = bytearray(log)
        content[dice.randrange(len(content))] ^= 0xFF
        state_file(copy).write_bytes(base)
        state_file(copy).with_name("state.db-wal").write_bytes(content)
        try:
            found = recovered(copy)
        except StateFailure:
            continue
        assert len(found.fills) in histories
        assert len(found.orders) - len(found.fills) in (0, 1), "half a decision"


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    state_file(tmp_path).parent.mkdir(parents=True)
    state_file(tmp_path).write_text("not a database, but long enough to be looked at" * 100)
    before = state_file(tmp_path).read_bytes()
    for look in (lambda: recovered(tmp_path), lambda: verify(tmp_path, "paper")):
        with pytest.raises(StateCorrupt, match=r"file is not a database.*restore a copy"):
            look()
    assert state_file(tmp_path).read_bytes() == before


def test_a_database_of_another_program_is_refused_and_kept(tmp_path: Path) -> None:
    state_file(tmp_path).parent.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(state_file(tmp_path))) as connection:
        connection.execute("CREATE TABLE journal (seq INTEGER PRIMARY KEY)")
        connection.commit()
    before = state_file(tmp_path).read_bytes()
    for look in (lambda: recovered(tmp_path), lambda: verify(tmp_path, "paper")):
        with pytest.raises(StateCorrupt, match="it is a database of another program"):
            look()
    assert state_file(tmp_path).read_bytes() == before


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DROP TRIGGER fills_are_kept", "its tables are not those of schema .*: trigger fills_are_kept"),
        ("DROP INDEX notices_by_key", "notices_by_key"),
        ("CREATE TABLE theirs (x)", "theirs"),
        ("ALTER TABLE orders ADD COLUMN extra TEXT", "table orders"),
    ],
)
def test_tables_that_somebody_changed_are_refused(volume: Path, statement: str, said: str) -> None:
    with contextlib.closing(sqlite3.connect(state_file(volume))) as connection:
        connection.execute(statement)
        connection.commit()
    with pytest.raises(StateCorrupt, match=said):
        recovered(volume)


def test_what_a_replication_tool_keeps_in_the_file_is_none_of_our_business(volume: Path) -> None:
    before = recovered(volume)
    tampered(volume, "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)")
    assert recovered(volume) == before


def test_a_replication_tool_may_be_the_first_to_write_into_a_new_file(tmp_path: Path) -> None:
    state_file(tmp_path).parent.mkdir()
    with contextlib.closing(sqlite3.connect(state_file(tmp_path))) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)")
    assert recovered(tmp_path).orders == ()
    verify(tmp_path, "paper")


def test_a_schema_version_that_was_set_back_is_refused(volume: Path) -> None:
    for version, said in ((0, "no schema version"), (1, "corrupt")):
        tampered(volume, f"PRAGMA user_version = {version}")
        with pytest.raises(StateCorrupt, match=said):
            Database.open(volume, UID, "paper")
