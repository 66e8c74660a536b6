"""Anchors: a start verifies what is new, old lines may go, and what was changed by hand is found all the same."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import an_order, at
from tradingbot_runtime.core.records import IncidentState
from tradingbot_runtime.state import Backups, Database, StateCorrupt, database, verify
from volumes import (
    MONDAY,
    a_notice,
    an_incident,
    closing,
    decided,
    filled,
    killed,
    opened,
    recovered,
    tampered,
    told,
    trade,
)


@pytest.fixture(autouse=True)
def small_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "ANCHOR_EVERY_LINES", 10)
    monkeypatch.setattr(database, "LINES_KEPT", 20)


def housekeeping(state: Database, volume: Path, number: int) -> None:
    backup = Backups(volume, "paper").take(at(3600 * number).machine)
    state.keep_house(backup, at(3600 * number))


def lines_of(state: Database) -> list[tuple[int, str]]:
    return list(state._connection.execute("SELECT seq, kind FROM journal ORDER BY seq"))


def anchored(volume: Path) -> None:
    with opened(volume) as state:
        trade(state, 1, 6)
        state.commit([decided(an_order(7))], at())
        housekeeping(state, volume, 1)
        state.commit([decided(an_order(8))], at())


def test_a_verified_backup_becomes_an_anchor_in_the_journal(tmp_path: Path) -> None:
    with opened(tmp_path) as state:
        trade(state, 1, 6)
        housekeeping(state, tmp_path, 1)
        assert lines_of(state)[-1] == (13, "anchored")
        housekeeping(state, tmp_path, 2)
        assert state.lines == 13, "one line after an anchor is no reason for another"
    assert verify(tmp_path, "paper").lines == 13
    assert len(recovered(tmp_path).orders) == 6


def test_lines_behind_an_anchor_go_and_the_chain_stays_provable(tmp_path: Path) -> None:
    with opened(tmp_path) as state:
        for round_number in range(8):
            trade(state, round_number * 6 + 1, round_number * 6 + 6)
            housekeeping(state, tmp_path, round_number)
        everything = state.recover()
        assert 20 <= len(lines_of(state)) <= 60
    found = verify(tmp_path, "paper")
    assert found.first_line > 1
    assert found.orders == len(everything.orders) == 48
    assert recovered(tmp_path) == everything


def test_lines_in_front_of_the_last_anchor_cannot_be_dropped(tmp_path: Path) -> None:
    anchored(tmp_path)
    with (
        opened(tmp_path) as state,
        pytest.raises(sqlite3.IntegrityError, match="append-only in front of its last anchor"),
    ):
        state._connection.execute("DELETE FROM journal WHERE seq = 14")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE orders SET qty = '11' WHERE position = 2", "table orders: rows from before journal line 13"),
        ("UPDATE orders SET qty = '11' WHERE position = 8", "qty is '11', the journal says '10'"),
        ("UPDATE orders SET position = 99 WHERE position = 2", "table orders: rows from before"),
        ("DELETE FROM orders WHERE position = 1", "table orders: rows from before"),
        ("UPDATE fills SET price = '1' WHERE position = 1", "table fills: rows from before"),
        ("INSERT INTO fills VALUES (99, '', 9, 'AAPL', '1', '1', '', '')", "table fills: rows from before"),
        ("UPDATE anchors SET tables = replace(tables, '[6', '[7')", "anchor"),
        ("UPDATE anchors SET hash = 'x'", "line 14 does not follow"),
        ("UPDATE journal SET detail = '{}' WHERE seq = 14", "line 14 was altered"),
        ("DELETE FROM anchors", "table anchors: row 13 is missing"),
    ],
)
def test_a_start_finds_what_was_changed_by_hand(tmp_path: Path, statement: str, said: str) -> None:
    anchored(tmp_path)
    tampered(tmp_path, statement)
    with pytest.raises(StateCorrupt, match=said):
        recovered(tmp_path)
    with pytest.raises(StateCorrupt):
        verify(tmp_path, "paper")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE journal SET detail = '{}' WHERE seq = 4", "line 4 was altered"),
        ("DELETE FROM journal WHERE seq = 4", "line 4 is missing"),
        ("DELETE FROM journal WHERE seq < 5", "lines before 5 are missing, and no anchor stands for them"),
    ],
)
def test_verify_also_finds_what_no_start_needs(tmp_path: Path, statement: str, said: str) -> None:
    anchored(tmp_path)
    tampered(tmp_path, statement)
    with pytest.raises(StateCorrupt, match=said):
        verify(tmp_path, "paper")
    assert len(recovered(tmp_path).orders) == 8


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("histories")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from("dfkinash"), min_size=1, max_size=40))
def test_any_history_verifies_from_its_first_line_and_from_its_last_anchor(volumes: Path, history: list[str]) -> None:
    volume = volumes / str(sum(1 for _ in volumes.iterdir()))
    orders = 0
    with opened(volume) as state:
        for number, event in enumerate(history):
            if event == "d":
                orders += 1
                state.commit([decided(an_order(orders))], at(number))
            elif event == "f" and orders and not state.records.fills_of(an_order(orders).client_order_id):
                state.commit([filled(an_order(orders))], at(number))
            elif event == "k":
                state.commit([killed(), decided(an_order(max(orders, 1)))], at(number))
                orders = max(orders, 1)
            elif event == "i":
                state.commit([told(an_incident(number % 5, IncidentState.RESOLVED), a_notice(number % 3))], at(number))
            elif event == "s" and state.records.session(MONDAY.replace(day=number % 28 + 1)) is None:
                state.commit([closing(MONDAY.replace(day=number % 28 + 1))], at(number))
            elif event == "h":
                housekeeping(state, volume, number)
        kept = state.recover()
    assert verify(volume, "paper").orders == len(kept.orders)
    assert recovered(volume) == kept
