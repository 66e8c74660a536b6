"""A restart with a long past: 10,000 orders, 20,000 lines of the journal, until the bot is Active again.

Beside the whole process: one with an empty volume. Beside opening the state alone, which verifies the file, the
journal's chain and every table: the same SQLite file opened bare, and every row of it read.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from bench.harness import Bench, Measurement, Scale, in_turns
from bench.programs import bench_config, simulator
from bench.runtime_bot import NOON, UID, bot_document, running_bot
from bench.runtime_journal import an_order, decided, filled, moment
from tradingbot_runtime.state import Backups, Database
from tradingbot_runtime.state.reading import database_path

ORDERS = 10_000
ORDERS_A_COMMIT = 500
_TABLES = ("meta", "journal", "orders", "fills", "kill", "checkpoints", "sessions", "incidents", "notices", "anchors")


def _past(state: Path) -> None:
    """Orders that bought and sold the same share, so that nothing is held."""
    database = Database.open(state, UID, "paper")
    try:
        for first in range(1, ORDERS + 1, ORDERS_A_COMMIT):
            orders = [an_order(number) for number in range(first, first + ORDERS_A_COMMIT)]
            database.commit([line for order in orders for line in (decided(order), filled(order))], moment(first))
    finally:
        database.close()


def _anchored(state: Path) -> None:
    """What the hourly backup leaves: an anchor behind which a start need not look again."""
    backup = Backups(state, "paper").take(NOON)
    database = Database.open(state, UID, "paper")
    try:
        database.keep_house(backup, moment(ORDERS))
    finally:
        database.close()


def _opened(state: Path) -> float:
    began = time.perf_counter()
    database = Database.open(state, UID, "paper")
    try:
        if len(database.recover().orders) != ORDERS:
            raise RuntimeError("orders are missing")
        return time.perf_counter() - began
    finally:
        database.close()


def _read_bare(state: Path) -> float:
    began = time.perf_counter()
    with closing(sqlite3.connect(database_path(state, "paper"))) as connection:
        rows = sum(len(connection.execute(f"SELECT * FROM {table}").fetchall()) for table in _TABLES)  # noqa: S608
    if rows < ORDERS:
        raise RuntimeError("rows are missing")
    return time.perf_counter() - began


def _active(port: int, state: Path) -> float:
    with running_bot(bot_document(port), state) as bot:
        return bot.active_seconds


def _empty(port: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return _active(port, Path(folder) / "state")


def run(scale: Scale) -> Iterator[Measurement]:
    """Seconds until a bot with a past trades again, and until its state is open."""
    with tempfile.TemporaryDirectory() as folder, simulator(bench_config()) as broker:
        state = Path(folder) / "state"
        _past(state)
        read = lambda: _read_bare(state)  # noqa: E731
        opened = lambda: _opened(state)  # noqa: E731
        beside = "the same rows read bare"
        yield in_turns(scale, f"state of {ORDERS:,} orders, the whole journal", "s", opened, beside, read)
        _anchored(state)
        yield in_turns(scale, "the same with an anchor of the last backup", "s", opened, beside, read)
        yield in_turns(
            scale,
            f"process to Active, {ORDERS:,} orders",
            "s",
            lambda: _active(broker.port, state),
            "an empty volume",
            lambda: _empty(broker.port),
        )


BENCH = Bench("runtime-restart", "a restart with 10,000 orders", 40, run)
