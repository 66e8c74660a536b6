"""From a kill in a file to the broker's answer to the last cancel: a bot with open orders, against the simulator.

Each kill is of a bot of its own, with the app in this process, the simulator in another, and sockets between them.
Beside it: the same number of cancels asked for bare, one after the other, on a connection that is open already.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.harness import Bench, Measurement, Scale
from bench.programs import DEADLINE_SECONDS, KEYS, ask, bench_config, key_headers, request_bytes, seconds_for, simulator
from bench.runtime_bot import SYMBOLS, bot_config, silent_bots
from bench.runtime_signals import percentile
from tradingbot_runtime.app import App
from tradingbot_runtime.broker.alpaca import AlpacaBroker
from tradingbot_runtime.broker.connection import Credentials
from tradingbot_runtime.control.file import FileControl
from tradingbot_runtime.control.port import ControlEvent
from tradingbot_runtime.core.engine import Engine
from tradingbot_runtime.core.events import KillSeen
from tradingbot_runtime.core.orders import client_order_id, client_order_id_prefix
from tradingbot_runtime.state import Database
from tradingbot_runtime.strategies.registry import load

KILLS_A_REPEAT = 10
ORDERS = 5


class _Watched(FileControl):
    """Notes when a kill is seen."""

    seen_at = 0.0

    async def events(self) -> AsyncGenerator[ControlEvent, None]:
        async for event in super().events():
            if isinstance(event, KillSeen):
                self.seen_at = time.perf_counter()
            yield event


class _Timed(AlpacaBroker):
    """Notes when the broker answered the cancel that came last."""

    answered_at = 0.0
    answers = 0

    async def cancel(self, broker_id: str) -> None:
        await super().cancel(broker_id)
        self.answered_at = time.perf_counter()
        self.answers += 1


@dataclass(frozen=True)
class _Killed:
    """Milliseconds of one kill."""

    seen: float
    """From the file to the bot's knowing of it."""
    cancelled: float
    """From that to the answer to the last cancel."""
    confirmed: float
    """From that to the broker's books without an open order, as the bot reports it."""


def _place(port: int, uid: str) -> list[str]:
    """Open orders of a bot, far from the market; gives the broker's ids."""
    requests = []
    for number in range(ORDERS):
        order = {
            "symbol": SYMBOLS[number % len(SYMBOLS)],
            "qty": "1",
            "side": "buy",
            "type": "limit",
            "limit_price": "5",
            "time_in_force": "gtc",
            "client_order_id": client_order_id(uid, "paper", 0, number + 1),
        }
        requests.append(request_bytes("POST", "/v2/orders", key_headers(), json.dumps(order).encode()))
    # In time that stands still no list of orders could be read page by page.
    step = request_bytes("POST", "/admin/clock/step", {}, b'{"seconds": 1}')
    return [json.loads(answer)["id"] for answer in ask(port, [*requests, step])[:ORDERS]]


def _bare(port: int) -> float:
    """Milliseconds for as many cancels."""
    ids = _place(port, str(uuid.uuid4()))
    # The first request opens the connection, as the bot's has long been.
    cancels = [request_bytes("DELETE", f"/v2/orders/{one}", key_headers()) for one in ids]
    return seconds_for(port, cancels) * 1000


async def _until(condition: Callable[[], object], running: asyncio.Task[None]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():
            if running.done():
                running.result()
            await asyncio.sleep(0.001)


async def _kill(port: int, folder: Path) -> _Killed:
    uid = str(uuid.uuid4())
    await asyncio.to_thread(_place, port, uid)
    config = bot_config(port, uid)
    file = folder / "control.yaml"
    control = _Watched(file)
    prefix = client_order_id_prefix(uid, "paper")
    jitter = random.Random(1)  # noqa: S311  (no secrets)
    broker = _Timed(config.broker, Credentials(*KEYS), prefix=prefix, rng=jitter)
    database = Database.open(folder / "state", uid, "paper")
    try:
        strategy = load(config.strategy.name, config.strategy.parameters)
        engine = Engine(config, strategy, database.recover(), watched=True)
        app = App(config, engine, database, broker, control, rng=jitter)
        stop = asyncio.Event()
        running = asyncio.create_task(app.run(stop))
        await _until(lambda: app.report().ready and app.report().open_orders == ORDERS, running)
        await asyncio.sleep(random.random() * 0.5)  # noqa: S311  (the file is looked at twice a second)
        began = time.perf_counter()
        file.write_text("kill: bench\n", encoding="utf-8")
        await _until(lambda: (kill := app.report().kill) is not None and kill.orders_cancelled_at, running)
        confirmed_at = time.perf_counter()
        stop.set()
        await running
    finally:
        broker.close()
        database.close()
    if broker.answers < ORDERS:
        raise RuntimeError(f"{broker.answers} of {ORDERS} orders were cancelled")
    return _Killed(
        (control.seen_at - began) * 1000,
        (broker.answered_at - control.seen_at) * 1000,
        (confirmed_at - control.seen_at) * 1000,
    )


def _killed(port: int) -> _Killed:
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_kill(port, Path(folder)))


def run(scale: Scale) -> Iterator[Measurement]:
    """Milliseconds from a kill to what came of it."""
    kills: list[_Killed] = []
    bare: list[float] = []
    with silent_bots(), simulator(bench_config()) as broker:
        for _ in range(scale.repeats * KILLS_A_REPEAT):
            bare.append(_bare(broker.port))
            kills.append(_killed(broker.port))
    beside = f"{ORDERS} bare cancels"
    yield Measurement("file written to kill seen", "ms", tuple(one.seen for one in kills))
    for what, found in (
        (f"kill seen to the last of {ORDERS} cancels answered", [one.cancelled for one in kills]),
        ("kill seen to no order open, confirmed", [one.confirmed for one in kills]),
    ):
        yield Measurement(what, "ms", tuple(found), beside, tuple(bare))
        yield Measurement("the same, p99", "ms", (percentile(found, 99),), beside, (percentile(bare, 99),))


BENCH = Bench("runtime-kill", f"a kill of a bot with {ORDERS} open orders", 60, run)
