"""A decision made durable: one commit of the journal with its order, on the volume of the temporary directory.

Beside it: a write and an fsync of as many bytes as the commit added to SQLite's write-ahead log, on the same volume.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from bench.harness import Bench, Measurement, Scale
from bench.runtime_bot import NOON, OPEN, UID
from bench.runtime_signals import percentile
from tradingbot_runtime.core.commands import Journal, PutCheckpoint, PutFill, PutOrder
from tradingbot_runtime.core.orders import Fill, Order, OrderState, client_order_id
from tradingbot_runtime.core.values import Now, OrderType, Side, TimeInForce
from tradingbot_runtime.state import Database

COMMITS = 400


def an_order(number: int) -> Order:
    """The n-th order; an odd one buys a share, the even one after it sells that share."""
    return Order(
        client_order_id=client_order_id(UID, "paper", 0, number),
        symbol="AAPL",
        side=Side.BUY if number % 2 else Side.SELL,
        type=OrderType.LIMIT,
        qty=Decimal(1),
        time_in_force=TimeInForce.DAY,
        state=OrderState.JOURNALED,
        created_at=OPEN + timedelta(milliseconds=number),
        limit_price=Decimal(100),
        arrival_price=Decimal(100),
        reason="momentum: target 0.2, held 0",
        reducing=number % 2 == 0,
    )


def decided(order: Order) -> Journal:
    """The line before an order is sent."""
    detail = {"client_order_id": order.client_order_id, "symbol": order.symbol, "qty": str(order.qty)}
    return Journal("order_decided", detail, (PutOrder(order),))


def filled(order: Order) -> Journal:
    """The line that says it was filled whole."""
    price = order.limit_price or Decimal(100)
    after = replace(
        order,
        state=OrderState.FILLED,
        filled_qty=order.qty,
        filled_average_price=price,
        broker_id=f"00000000-0000-0000-0000-{order.client_order_id[-8:]:0>12}",
    )
    signed = order.qty if order.side is Side.BUY else -order.qty
    fill = Fill(order.client_order_id, 1, order.symbol, signed, price, order.created_at)
    return Journal(
        "order", {"client_order_id": order.client_order_id, "state": "filled"}, (PutOrder(after), PutFill(fill))
    )


def moment(number: int) -> Now:
    """Machine and market time of the n-th line."""
    return Now(NOON + timedelta(milliseconds=number), OPEN + timedelta(milliseconds=number))


def _commits() -> tuple[list[float], int]:
    """Milliseconds of each commit, and the bytes that one adds to the log."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database.open(Path(folder), UID, "paper")
        log = Path(folder) / "paper" / "state.db-wal"
        seconds, grown = [], []
        try:
            database.commit([decided(an_order(0))], moment(0))
            for number in range(1, COMMITS + 1):
                size = log.stat().st_size
                entry = decided(an_order(number))
                bar = Journal("bar", {"bar": str(number)}, (PutCheckpoint("trading", f'{{"last_bar": "{number}"}}'),))
                began = time.perf_counter()
                database.commit([bar, entry], moment(number))
                seconds.append(time.perf_counter() - began)
                grown.append(log.stat().st_size - size)
        finally:
            database.close()
    # Once the log was checkpointed it is written from its beginning again and grows no more.
    return [one * 1000 for one in seconds], int(statistics.median(one for one in grown if one > 0))


def _fsyncs(size: int) -> list[float]:
    milliseconds = []
    with tempfile.TemporaryFile() as file:
        for _ in range(COMMITS):
            page = bytes(size)
            began = time.perf_counter()
            os.write(file.fileno(), page)
            os.fsync(file.fileno())
            milliseconds.append((time.perf_counter() - began) * 1000)
    return milliseconds


def run(scale: Scale) -> Iterator[Measurement]:
    """Milliseconds a commit of two lines, an order and a checkpoint."""
    ours: list[float] = []
    bare: list[float] = []
    for _ in range(scale.repeats):
        commits, size = _commits()
        bare += _fsyncs(size)
        ours += commits
    beside = f"write and fsync of {size // 1024} KiB"
    yield Measurement("commit of a bar and an order", "ms", tuple(ours), beside, tuple(bare))
    yield Measurement("the same, p99", "ms", (percentile(ours, 99),), beside, (percentile(bare, 99),))


BENCH = Bench("runtime-journal", "one decision made durable", 5, run)
