"""From a closed bar that enters the app to the first byte of its order at a bare socket.

All that the bot does in between is in it: the checks of the data, the strategy in its thread, allocation, the
gateway, the commits of the journal, the lane of orders, alpaca-py. Beside it: one fsync of 4 KiB, and the same
request's bytes written to the same socket.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd

from bench.harness import Bench, Measurement, Scale
from bench.programs import DEADLINE_SECONDS, KEYS, ask, bare_socket, key_headers, request_bytes
from bench.runtime_bot import OPEN, UID, bot_config, silent_bots
from tradingbot_runtime.app import App
from tradingbot_runtime.broker.alpaca import AlpacaBroker
from tradingbot_runtime.broker.connection import Credentials
from tradingbot_runtime.broker.port import BrokerHealth
from tradingbot_runtime.control.none import NoControl
from tradingbot_runtime.core.engine import Engine
from tradingbot_runtime.core.events import StreamConnected, TradeUpdate
from tradingbot_runtime.core.orders import Order, client_order_id_prefix
from tradingbot_runtime.core.values import (
    BrokerActivity,
    BrokerAsset,
    BrokerFigures,
    BrokerOrder,
    BrokerPosition,
    BrokerQuote,
    MarketClock,
    MarketSession,
    Side,
)
from tradingbot_runtime.state import Database
from tradingbot_runtime.strategies.registry import load

SIGNALS = 60
PRICE = Decimal(100)
RISING, FALLING = 99.9, 100.1
PAGE_BYTES = 4096


class _Wired:
    """Answers every question from memory, at once, and sends orders by the real broker adapter. Fills each in full."""

    def __init__(self, sends: AlpacaBroker, signals: int) -> None:
        self._sends = sends
        self._signals_left = signals
        self._minutes = 60
        self._waits_for_order = False
        self._held: dict[str, Decimal] = {}
        self._updates: asyncio.Queue[TradeUpdate] = asyncio.Queue()
        self.bars_at: list[float] = []
        """When the last word of each bar that led to an order was given."""
        self._last_answer = 0.0
        self.done = asyncio.Event()

    @property
    def _now(self) -> datetime:
        return OPEN + timedelta(minutes=self._minutes)

    async def clock(self) -> MarketClock:
        if not self._waits_for_order and self._signals_left > 0:
            self._minutes += 1
            self._waits_for_order = True
        return MarketClock(self._now, True, OPEN + timedelta(days=1), OPEN + timedelta(hours=6.5))

    async def bars(
        self, symbols: Sequence[str], timeframe: str, count: int, before: datetime
    ) -> Mapping[str, pd.DataFrame]:
        first = FALLING if self._held.get(symbols[0]) else RISING
        index = pd.date_range(end=self._now - timedelta(minutes=1), periods=count, freq="1min")
        frames = {}
        for symbol in symbols:
            closes = [first if symbol == symbols[0] else float(PRICE)] + [float(PRICE)] * (count - 1)
            column = pd.Series(closes, index=index)
            frames[symbol] = pd.DataFrame(
                {"open": column, "high": column, "low": column, "close": column, "volume": 1000.0}
            )
        self._last_answer = time.monotonic()
        return frames

    async def quotes(self, symbols: Sequence[str]) -> Mapping[str, BrokerQuote]:
        self._last_answer = time.monotonic()
        return {symbol: BrokerQuote(symbol, PRICE, PRICE, self._now) for symbol in symbols}

    async def assets(self, symbols: Sequence[str]) -> Mapping[str, BrokerAsset]:
        self._last_answer = time.monotonic()
        return {symbol: BrokerAsset(symbol, True, True, True) for symbol in symbols}

    async def sessions(self, first: date, last: date) -> tuple[MarketSession, ...]:
        self._last_answer = time.monotonic()
        return (MarketSession(OPEN.date(), OPEN, OPEN + timedelta(hours=6.5)),)

    async def submit(self, order: Order, may_send: Callable[[], bool]) -> BrokerOrder:
        self.bars_at.append(self._last_answer)
        word = await self._sends.submit(order, may_send)
        signed = order.qty if order.side is Side.BUY else -order.qty
        self._held[order.symbol] = self._held.get(order.symbol, Decimal(0)) + signed
        filled = replace(word, status="filled", filled_qty=order.qty, filled_average_price=PRICE)
        self._updates.put_nowait(TradeUpdate("fill", filled))
        return word

    async def trade_updates(self) -> AsyncGenerator[StreamConnected | TradeUpdate, None]:
        yield StreamConnected()
        while True:
            yield await self._updates.get()
            self._signals_left -= 1
            self._waits_for_order = False
            if self._signals_left == 0:
                self.done.set()

    async def figures(self, *, urgent: bool = False) -> BrokerFigures:
        money = Decimal(100_000_000)
        return BrokerFigures(money, money, money, money)

    async def positions(self, *, urgent: bool = False) -> tuple[BrokerPosition, ...]:
        return tuple(BrokerPosition(symbol, qty, PRICE, qty * PRICE) for symbol, qty in self._held.items() if qty)

    async def open_orders(self, *, urgent: bool = False) -> tuple[BrokerOrder, ...]:
        return ()

    async def orders_since(
        self, after: datetime | None, prefix: str, *, urgent: bool = False, symbols: Sequence[str] = ()
    ) -> tuple[BrokerOrder, ...]:
        return ()

    async def activities(self, after: datetime | None, *, urgent: bool = False) -> tuple[BrokerActivity, ...]:
        return ()

    async def order(self, client_order_id: str) -> BrokerOrder | None:
        return None

    async def order_by_id(self, broker_id: str) -> BrokerOrder | None:
        return None

    async def replace(self, order: Order, broker_id: str, may_send: Callable[[], bool]) -> BrokerOrder:
        raise RuntimeError("a bench replaces nothing")

    async def cancel(self, broker_id: str) -> None:
        return None

    async def close_position(self, symbol: str, qty: str) -> None:
        return None

    def drop_trade_updates(self, reason: str) -> None:
        return None

    def health(self) -> BrokerHealth:
        return BrokerHealth()


async def _trade(port: int, state: Path, signals: int) -> list[float]:
    """When the bar of each order entered the app, monotonic seconds."""
    config = bot_config(port)
    quick = config.broker.model_copy(update={"clock_poll_seconds": 0.01})
    config = config.model_copy(update={"broker": quick})
    jitter = random.Random(1)  # noqa: S311  (no secrets)
    adapter = AlpacaBroker(config.broker, Credentials(*KEYS), prefix=client_order_id_prefix(UID, "paper"), rng=jitter)
    broker = _Wired(adapter, signals)
    database = Database.open(state, UID, "paper")
    try:
        engine = Engine(config, load(config.strategy.name, config.strategy.parameters), database.recover())
        app = App(config, engine, database, broker, NoControl(), rng=jitter)
        stop = asyncio.Event()
        running = asyncio.create_task(app.run(stop))
        async with asyncio.timeout(DEADLINE_SECONDS):
            done = asyncio.create_task(broker.done.wait())
            await asyncio.wait({running, done}, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        await running
    finally:
        with suppress(Exception):
            adapter.close()
        database.close()
    return broker.bars_at


def _signals(port: int, signals: int) -> list[float]:
    """Milliseconds from each bar to its order's first byte."""
    with tempfile.TemporaryDirectory() as folder:
        bars_at = asyncio.run(_trade(port, Path(folder), signals))
    return _until_arrived(port, bars_at)


def _until_arrived(port: int, began: Sequence[float]) -> list[float]:
    (answer,) = ask(port, [request_bytes("GET", "/times", {})])
    arrived: list[float] = json.loads(answer)
    if len(arrived) != len(began):
        raise RuntimeError(f"{len(began)} orders left, {len(arrived)} arrived")
    return [(there - here) * 1000 for here, there in zip(began, arrived, strict=True)]


def _bare(port: int, signals: int) -> list[float]:
    """Milliseconds for an fsync of a page and the bytes of such a request."""
    order = {"symbol": "AAPL", "qty": "20", "side": "buy", "type": "limit", "time_in_force": "day"}
    body = json.dumps({**order, "limit_price": "100.10", "client_order_id": f"tb-{UID}-p-0-00000001"}).encode()
    request = request_bytes("POST", "/v2/orders", key_headers(), body)
    began = []
    with tempfile.TemporaryFile() as file, socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(signals):
            began.append(time.monotonic())
            os.write(file.fileno(), bytes(PAGE_BYTES))
            os.fsync(file.fileno())
            connection.sendall(request)
            connection.recv(65536)
    return _until_arrived(port, began)


def run(scale: Scale) -> Iterator[Measurement]:
    """Milliseconds from a bar to its order's first byte."""
    ours: list[float] = []
    bare: list[float] = []
    with silent_bots(), bare_socket() as server:
        for _ in range(scale.repeats):
            bare += _bare(server.port, SIGNALS)
            ours += _signals(server.port, SIGNALS)
    beside = "fsync and bare socket"
    yield Measurement("bar in the app to the order's first byte", "ms", tuple(ours), beside, tuple(bare))
    yield Measurement("the same, p99", "ms", (percentile(ours, 99),), beside, (percentile(bare, 99),))


def percentile(samples: Sequence[float], percent: int) -> float:
    """The sample that so many percent of them do not exceed."""
    return sorted(samples)[min(len(samples) - 1, len(samples) * percent // 100)]


BENCH = Bench("runtime-signals", "from a closed bar to the order's first byte", 5, run)
