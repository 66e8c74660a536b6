"""Schemas: an older volume becomes today's with nothing lost; a newer one, and a step that fails, change nothing."""

import contextlib
import sqlite3
from dataclasses import fields, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from builders import OPEN, an_order, at
from tradingbot_runtime.core.commands import PutKill, PutOrder
from tradingbot_runtime.core.kill import KillState
from tradingbot_runtime.core.orders import Fill, Order, OrderState
from tradingbot_runtime.core.values import OrderClass, OrderType, Side
from tradingbot_runtime.state import StateCorrupt, StateTooNew, StateUnwritable, verify, verify_backup
from tradingbot_runtime.state.backups import Backups, complete_backups
from tradingbot_runtime.state.migration import migrate
from tradingbot_runtime.state.rows import row_of
from tradingbot_runtime.state.schema import MIGRATIONS, SCHEMA_VERSION, Migration
from volumes import KILL, decided, opened, recovered, state_file, tampered

FIRST_SCHEMA = (Path(__file__).parent / "state_schema_1.sql").read_text(encoding="utf-8")


def a_volume_of_the_first_schema(volume: Path) -> None:
    state_file(volume).parent.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(state_file(volume))) as connection:
        connection.executescript(FIRST_SCHEMA)


def version_of(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_a_volume_of_the_first_release_comes_back_whole(tmp_path: Path) -> None:
    a_volume_of_the_first_schema(tmp_path)
    found = recovered(tmp_path)
    first, second, third = found.orders
    assert first == replace(
        an_order(1),
        state=OrderState.FILLED,
        broker_id="broker-1",
        filled_qty=Decimal(10),
        filled_average_price=Decimal("99.96"),
    )
    assert (second.symbol, second.type, second.state) == ("MSFT", OrderType.MARKET, OrderState.IN_DOUBT)
    assert (third.side, third.reducing, third.order_class, third.parent_id) == (Side.SELL, True, OrderClass.SIMPLE, "")
    assert [fill.signed_qty for fill in found.fills] == [4, 6, -1]
    assert found.fills[0] == Fill(first.client_order_id, 1, "AAPL", Decimal(4), Decimal("99.9"), OPEN)
    assert found.kill is not None
    assert (found.kill.reason, found.kill.open_orders) == ("it's enough", 2)
    assert (found.kill.epoch, found.kill.is_in_force) == (1, True), "in force until the first release"
    assert found.checkpoints == {"risk": '{"session": "2026-03-02"}'}


def test_a_migrated_volume_goes_on_as_one_chain(tmp_path: Path) -> None:
    a_volume_of_the_first_schema(tmp_path)
    before = verify(tmp_path, "paper")
    assert (before.schema_version, before.lines) == (1, 10)
    with opened(tmp_path) as database:
        second = database.recover().orders[1]
        answered = replace(second, state=OrderState.NEW, broker_id="broker-2", order_class=OrderClass.BRACKET)
        database.commit([decided(answered), decided(an_order(4, parent_id="x"))], at(8))
    after = verify(tmp_path, "paper")
    assert (after.schema_version, after.lines) == (SCHEMA_VERSION, 12)
    assert recovered(tmp_path).orders[1] == answered


def test_a_backup_is_taken_before_each_step_and_verifies(tmp_path: Path) -> None:
    a_volume_of_the_first_schema(tmp_path)
    recovered(tmp_path)
    later, backup = sorted(complete_backups(tmp_path, "paper"), reverse=True)
    assert backup.name == "before-schema-2-line-00000010.db"
    assert [version_of(backup), version_of(later)] == [1, 2]
    assert [verify_backup(one).lines for one in (backup, later)] == [10, 10]
    assert verify_backup(backup).killed


def test_a_damaged_older_volume_is_not_migrated(tmp_path: Path) -> None:
    a_volume_of_the_first_schema(tmp_path)
    tampered(tmp_path, "UPDATE fills SET price = '1' WHERE position = 2")
    with pytest.raises(StateCorrupt, match="price is '1'"):
        recovered(tmp_path)
    assert version_of(state_file(tmp_path)) == 1


def test_without_room_for_the_backup_nothing_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_volume_of_the_first_schema(tmp_path)
    monkeypatch.setattr("tradingbot_runtime.state.backups._free_bytes", lambda folder: 1_000)
    with pytest.raises(StateUnwritable, match=r"no room for a backup .* enlarge spec\.storage\.size"):
        recovered(tmp_path)
    assert version_of(state_file(tmp_path)) == 1
    monkeypatch.undo()
    assert len(recovered(tmp_path).orders) == 3


def test_a_step_that_fails_takes_back_what_it_did_and_keeps_the_steps_before_it(tmp_path: Path) -> None:
    with opened(tmp_path) as database:
        database.commit([decided(an_order())], at())

    def half(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE half (x INTEGER) STRICT")
        connection.execute("INSERT INTO nowhere VALUES (1)")

    def fine(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE fine (x INTEGER) STRICT")

    begun: list[int] = []
    steps = (*MIGRATIONS, Migration(4, "fine", fine), Migration(5, "half", half))
    with contextlib.closing(sqlite3.connect(state_file(tmp_path), isolation_level=None)) as connection:
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            migrate(connection, SCHEMA_VERSION, lambda step: begun.append(step.version), steps)
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert begun == [4, 5]
    assert "fine" in tables
    assert "half" not in tables
    assert version_of(state_file(tmp_path)) == 4


def test_a_newer_volume_is_refused_with_what_to_do_and_not_touched(tmp_path: Path) -> None:
    with opened(tmp_path) as database:
        database.commit([decided(an_order())], at())
    tampered(tmp_path, "PRAGMA user_version = 99")
    before = state_file(tmp_path).read_bytes()
    for look in (lambda: recovered(tmp_path), lambda: verify(tmp_path, "paper")):
        with pytest.raises(StateTooNew, match=r"schema 99.*newer runtime image again, or restore a backup"):
            look()
    assert state_file(tmp_path).read_bytes() == before


def test_every_field_of_an_order_and_of_a_kill_has_a_column() -> None:
    assert set(row_of(PutOrder(an_order()))[1]) == {field.name for field in fields(Order)}
    assert set(row_of(PutKill(KILL))[1]) == {field.name for field in fields(KillState)} | {"only_row"}


def test_backups_of_a_migrated_volume_are_of_the_new_schema(tmp_path: Path) -> None:
    a_volume_of_the_first_schema(tmp_path)
    with opened(tmp_path):
        made = Backups(tmp_path, "paper").take(datetime(2026, 11, 21, tzinfo=UTC))
    assert made.verification.schema_version == SCHEMA_VERSION
    assert made.anchor is not None
