"""State on the volume: what was committed comes back, and what is not ours or not whole is refused."""

import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import OPEN, UID, an_order, at
from tradingbot_runtime.core.commands import Journal, PutCheckpoint, PutFill, PutKill, PutOrder
from tradingbot_runtime.core.kill import KillState
from tradingbot_runtime.core.orders import Fill, Order, OrderState
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.core.values import OrderClass, OrderType, Side, TimeInForce
from tradingbot_runtime.state import (
    Database,
    StateCorrupt,
    StateOfAnotherBot,
    StateUnwritable,
    verify,
)
from tradingbot_runtime.state.journal import MAX_DETAIL_LENGTH
from tradingbot_runtime.state.reading import database_path
from tradingbot_runtime.state.rows import fill_from, kill_from, order_from, row_of, sparse, whole

KILL = KillState(reason="", scope="TradingBot", flatten=True, observed_at=at().machine, open_orders=2)


def a_fill(sequence: int = 1, **changes: object) -> Fill:
    fill = Fill(an_order().client_order_id, sequence, "AAPL", Decimal("4"), Decimal("99.9"), OPEN)
    return replace(fill, **changes)  # type: ignore[arg-type]


def decided(order: Order) -> Journal:
    return Journal("order_decided", {"client_order_id": order.client_order_id}, (PutOrder(order),))


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def database(volume: Path) -> Iterator[Database]:
    opened = Database.open(volume, UID, "paper")
    yield opened
    opened.close()


def reopened(volume: Path) -> Recovered:
    database = Database.open(volume, UID, "paper")
    try:
        return database.recover()
    finally:
        database.close()


def tampered(volume: Path, *statements: str) -> None:
    connection = sqlite3.connect(database_path(volume, "paper"))
    for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {trigger}")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_new_volume_recovers_nothing(database: Database) -> None:
    assert database.recover() == Recovered()


def test_what_was_committed_comes_back_oldest_first(volume: Path, database: Database) -> None:
    first, second = an_order(1), an_order(2, symbol="MSFT", limit_price=None, type=OrderType.MARKET)
    database.commit([decided(first)], at())
    database.commit([decided(second), Journal("risk", {}, (PutCheckpoint("risk", "{}"),))], at(1))
    filled = replace(first, state=OrderState.FILLED, filled_qty=Decimal(10), broker_id="b")
    database.commit([Journal("order", {}, (PutOrder(filled), PutFill(a_fill())))], at(2))
    database.commit([Journal("kill", {}, (PutKill(KILL),))], at(3))
    database.close()
    assert reopened(volume) == Recovered((filled, second), (a_fill(),), KILL, {"risk": "{}"})


def test_a_process_that_dies_leaves_every_committed_line(volume: Path, database: Database) -> None:
    database.commit([decided(an_order())], at())
    copied = volume.parent / "after-the-crash"
    shutil.copytree(volume, copied)  # the files as they are while the process still has them open
    assert reopened(copied).orders == (an_order(),)


def test_one_decision_is_one_transaction(volume: Path, database: Database) -> None:
    database.commit([Journal("order", {}, (PutFill(a_fill()),))], at())
    with pytest.raises(StateCorrupt, match="contradicts what is recorded"):
        database.commit([decided(an_order(2)), Journal("order", {}, (PutFill(a_fill()),))], at(1))
    database.close()
    assert reopened(volume).orders == ()
    assert verify(volume, "paper").lines == 1


def test_after_a_failed_commit_nothing_more_is_written(volume: Path, database: Database) -> None:
    twice = Journal("order", {}, (PutFill(a_fill()), PutFill(a_fill())))
    for entries in ([twice], [decided(an_order())]):
        with pytest.raises(StateCorrupt):
            database.commit(entries, at())
    assert database.failure is not None
    database.close()
    assert reopened(volume) == Recovered()


def test_details_are_bounded(volume: Path, database: Database) -> None:
    database.commit([Journal("order", {"message": "x" * 1_000_000})], at())
    database.close()
    connection = sqlite3.connect(database_path(volume, "paper"))
    (detail,) = connection.execute("SELECT detail FROM journal").fetchone()
    connection.close()
    assert len(detail) < MAX_DETAIL_LENGTH + 100


def test_the_journal_cannot_be_changed_by_accident(volume: Path, database: Database) -> None:
    database.commit([decided(an_order()), Journal("order", {}, (PutFill(a_fill()),))], at())
    connection = sqlite3.connect(database_path(volume, "paper"))
    for statement in (
        "DELETE FROM journal",
        "UPDATE journal SET kind = 'x'",
        "DELETE FROM fills",
        "UPDATE fills SET price = '1'",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE journal SET detail = '{}' WHERE seq = 2", "line 2 was altered"),
        ("UPDATE journal SET at_market = NULL WHERE seq = 1", "line 1 was altered"),
        ("DELETE FROM journal WHERE seq = 2", "line 2 is missing"),
        ("DELETE FROM journal WHERE seq = 3", "ends at line 2, but it was longer"),
        ("UPDATE journal SET prev_hash = 'x' WHERE seq = 2", "line 2 does not follow"),
        ("UPDATE orders SET filled_qty = '1'", "filled_qty is '1', the journal says '0'"),
        ("UPDATE fills SET price = '1'", "price is '1'"),
        ("DELETE FROM fills", "table fills: row .* is missing"),
        ("INSERT INTO checkpoints VALUES ('risk', '{}')", "the journal knows no such row"),
        ("DELETE FROM orders", "table orders"),
        ("DELETE FROM kill", "table kill"),
    ],
)
def test_a_changed_state_is_found(volume: Path, database: Database, statement: str, said: str) -> None:
    database.commit([decided(an_order())], at())
    database.commit([Journal("order", {"state": "new"}, (PutFill(a_fill()),))], at())
    database.commit([Journal("kill", {}, (PutKill(KILL),))], at())
    database.close()
    tampered(volume, statement)
    with pytest.raises(StateCorrupt, match=said):
        reopened(volume)
    with pytest.raises(StateCorrupt, match="restore a copy"):
        verify(volume, "paper")


def test_another_bots_state_is_refused(volume: Path, database: Database) -> None:
    database.close()
    with pytest.raises(StateOfAnotherBot, match=f"is of bot {UID}.*give this bot its own volume"):
        Database.open(volume, "another", "paper")


def test_modes_do_not_share_a_state(volume: Path, database: Database) -> None:
    database.commit([decided(an_order())], at())
    live = Database.open(volume, UID, "live")
    assert live.recover() == Recovered()
    live.close()


def test_a_full_volume_is_said_and_loses_nothing(volume: Path, database: Database) -> None:
    database.commit([decided(an_order())], at())
    pages = database._connection.execute("PRAGMA page_count").fetchone()[0]
    database._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StateUnwritable, match=r"volume is full: enlarge spec\.storage\.size"):
        for number in range(2, 500):
            database.commit([Journal("note", {"text": "x" * 1500}), decided(an_order(number))], at(number))
    kept = database.lines
    database.close()
    assert len(reopened(volume).orders) == 1 + (kept - 1) // 2


def test_a_read_only_file_is_said(volume: Path, database: Database) -> None:
    database._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(StateUnwritable, match="read-only: mount it read-write"):
        database.commit([decided(an_order())], at())


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the directory should be")
    with pytest.raises(StateUnwritable, match="cannot be used"):
        Database.open(tmp_path / "state", UID, "paper")


def test_verify_reads_beside_a_running_bot(volume: Path, database: Database) -> None:
    database.commit([decided(an_order())], at())
    found = verify(volume, "paper")
    assert (found.lines, found.orders, found.fills, found.killed, found.bot_uid) == (1, 1, 0, False, UID)
    database.commit([decided(an_order(2))], at())


def test_verify_says_when_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(StateUnwritable, match=r"no state .*check --state and --mode"):
        verify(tmp_path, "paper")


DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-(10**9), max_value=10**9)
TIMES = st.datetimes().map(lambda moment: moment.replace(tzinfo=OPEN.tzinfo))
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


@given(
    order=st.builds(
        Order,
        client_order_id=TEXT,
        symbol=TEXT,
        side=st.sampled_from(Side),
        type=st.sampled_from(OrderType),
        qty=DECIMALS,
        time_in_force=st.sampled_from(TimeInForce),
        state=st.sampled_from(OrderState),
        created_at=TIMES,
        limit_price=st.none() | DECIMALS,
        arrival_price=st.none() | DECIMALS,
        broker_id=st.none() | TEXT,
        filled_qty=DECIMALS,
        filled_average_price=st.none() | DECIMALS,
        reason=TEXT,
        reducing=st.booleans(),
        order_class=st.sampled_from(OrderClass),
        stop_price=st.none() | DECIMALS,
        trail_price=st.none() | DECIMALS,
        trail_percent=st.none() | DECIMALS,
        take_profit_price=st.none() | DECIMALS,
        stop_loss_price=st.none() | DECIMALS,
        stop_loss_limit_price=st.none() | DECIMALS,
        parent_id=TEXT,
        replaces_id=TEXT,
    )
)
def test_an_order_reads_back_as_it_was_written(order: Order) -> None:
    table, row = row_of(PutOrder(order))
    assert order_from(row) == order
    assert whole(table, sparse(table, row)) == row


@given(fill=st.builds(Fill, TEXT, st.integers(0, 2**31), TEXT, DECIMALS, DECIMALS, TIMES, TEXT))
def test_a_fill_reads_back_as_it_was_written(fill: Fill) -> None:
    assert fill_from(row_of(PutFill(fill))[1]) == fill


@given(
    kill=st.builds(
        KillState,
        reason=TEXT,
        scope=TEXT,
        flatten=st.booleans(),
        observed_at=TIMES,
        orders_cancelled_at=st.none() | TIMES,
        flat_at=st.none() | TIMES,
        open_orders=st.none() | st.integers(0, 1000),
        open_positions=st.none() | st.integers(0, 1000),
        epoch=st.integers(1, 1000),
        first_cancel_at=st.none() | TIMES,
        queued_for=st.none() | TIMES,
        released_at=st.none() | TIMES,
    )
)
def test_a_kill_reads_back_as_it_was_written(kill: KillState) -> None:
    assert kill_from(row_of(PutKill(kill))[1]) == kill
