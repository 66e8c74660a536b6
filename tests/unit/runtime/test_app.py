"""The process around the engine: durable first, kills first, and an end in order."""

import asyncio
import io
import json
import logging
import random
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pandas as pd
import pytest

from builders import OPEN, SUBJECT, UID, a_clock, a_config, a_live_config, a_word, an_order, at, bars, figures
from tradingbot_api import RuntimeConfig, SessionReport, TradingState
from tradingbot_runtime.app import App, CommitFailed, Decisions, Errands, EventQueue, Timings
from tradingbot_runtime.broker.port import (
    BrokerHealth,
    BrokerUnavailable,
    OrderInDoubt,
    OrderNotTaken,
    OrderRejected,
    Unauthorized,
)
from tradingbot_runtime.control.none import NoControl
from tradingbot_runtime.control.port import ControlEvent, ControlPlaneLost
from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.core.engine import Engine
from tradingbot_runtime.core.orders import Order, OrderState
from tradingbot_runtime.core.records import PutSession, SessionRecord
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.core.values import (
    BrokerActivity,
    BrokerAsset,
    BrokerFigures,
    BrokerOrder,
    BrokerPosition,
    BrokerQuote,
    MarketClock,
    MarketSession,
    Now,
)
from tradingbot_runtime.in_order import InOrder
from tradingbot_runtime.ops.http import CannotListen, StatusServer, Views
from tradingbot_runtime.ops.metrics import Metrics
from tradingbot_runtime.ops.sessions import closed_sessions
from tradingbot_runtime.state import Database, StateUnwritable
from tradingbot_runtime.strategies.momentum import Momentum
from tradingbot_runtime.strategies.registry import load

DEADLINE_SECONDS = 60.0
RISING: dict[str, list[float]] = {"AAPL": [100, 101, 103], "MSFT": [300, 299, 298]}


LIVE: dict[str, Any] = {
    "mode": "live",
    "grant": {"subjectDigest": SUBJECT, "epoch": 1},
    "broker": a_live_config().broker.model_dump(mode="json", by_alias=True),
}


class FakeBroker:
    """A broker in memory that can hang, refuse and fall silent."""

    def __init__(self) -> None:
        self.taken: dict[str, BrokerOrder] = {}
        self.cancelled: list[str] = []
        self.closed: list[tuple[str, str]] = []
        self.submit_hangs: asyncio.Event | None = None
        self.hangs_after = 0
        self.submits = 0
        self.submit_raises: Exception | None = None
        self.reads_raise: Exception | None = None
        self.streams: list[asyncio.Event] = []
        self.closes: dict[str, list[float]] = RISING
        self.submitting = asyncio.Event()

    def _read(self) -> None:
        if self.reads_raise is not None:
            raise self.reads_raise

    async def clock(self) -> MarketClock:
        self._read()
        return a_clock(5.1)

    async def figures(self, *, urgent: bool = False) -> BrokerFigures:
        self._read()
        return figures()

    async def positions(self, *, urgent: bool = False) -> tuple[BrokerPosition, ...]:
        self._read()
        return ()

    async def open_orders(self, *, urgent: bool = False) -> tuple[BrokerOrder, ...]:
        self._read()
        return tuple(order for order in self.taken.values() if order.broker_id not in self.cancelled)

    async def orders_since(
        self, after: datetime | None, prefix: str, *, urgent: bool = False, symbols: Sequence[str] = ()
    ) -> tuple[BrokerOrder, ...]:
        return tuple(
            a_word(an_order(client_order_id=key), "canceled" if order.broker_id in self.cancelled else "new")
            for key, order in self.taken.items()
        )

    async def order(self, client_order_id: str) -> BrokerOrder | None:
        self._read()
        return self.taken.get(client_order_id)

    async def submit(self, order: Order, may_send: Callable[[], bool]) -> BrokerOrder:
        if not may_send():
            raise OrderNotTaken("withheld: a kill, a pause or a halt came first")
        self.submitting.set()
        self.submits += 1
        if self.submit_raises is not None:
            raise self.submit_raises
        if self.submit_hangs is not None and len(self.taken) >= self.hangs_after:
            await self.submit_hangs.wait()
        self.taken[order.client_order_id] = a_word(order, "new")
        return self.taken[order.client_order_id]

    async def order_by_id(self, broker_id: str) -> BrokerOrder | None:
        return next((order for order in self.taken.values() if order.broker_id == broker_id), None)

    async def replace(self, order: Order, broker_id: str, may_send: Callable[[], bool]) -> BrokerOrder:
        await self.cancel(broker_id)
        return await self.submit(order, may_send)

    async def activities(self, after: datetime | None, *, urgent: bool = False) -> tuple[BrokerActivity, ...]:
        self._read()
        return ()

    async def quotes(self, symbols: Sequence[str]) -> Mapping[str, BrokerQuote]:
        self._read()
        prices = {symbol: Decimal(str(self.closes[symbol][-1])) for symbol in symbols if symbol in self.closes}
        return {
            symbol: BrokerQuote(symbol, price, price, OPEN + timedelta(minutes=5)) for symbol, price in prices.items()
        }

    async def assets(self, symbols: Sequence[str]) -> Mapping[str, BrokerAsset]:
        self._read()
        return {symbol: BrokerAsset(symbol, True, True, True) for symbol in symbols}

    async def sessions(self, first: date, last: date) -> tuple[MarketSession, ...]:
        self._read()
        return (MarketSession(OPEN.date(), OPEN, OPEN + timedelta(hours=6.5)),)

    def drop_trade_updates(self, reason: str) -> None:
        self.streams[-1].set()

    def health(self) -> BrokerHealth:
        return BrokerHealth()

    async def cancel(self, broker_id: str) -> None:
        self.cancelled.append(broker_id)

    async def close_position(self, symbol: str, qty: str) -> None:
        self.closed.append((symbol, qty))

    async def bars(
        self, symbols: Sequence[str], timeframe: str, count: int, before: datetime
    ) -> Mapping[str, pd.DataFrame]:
        self._read()
        return bars(self.closes, OPEN + timedelta(minutes=5))

    async def trade_updates(self) -> AsyncGenerator[seen.StreamConnected | seen.TradeUpdate, None]:
        lost = asyncio.Event()
        self.streams.append(lost)
        yield seen.StreamConnected()
        await lost.wait()
        raise BrokerUnavailable("lost")


class Switch:
    """A control plane that a test pulls."""

    watched = True

    def __init__(self) -> None:
        self.queue: asyncio.Queue[ControlEvent | Exception] = asyncio.Queue()
        self.queue.put_nowait(seen.ControlPlaneSeen())

    async def events(self) -> AsyncGenerator[ControlEvent, None]:
        while True:
            event = await self.queue.get()
            if isinstance(event, Exception):
                raise event
            yield event


class Bench:
    """An app on a fake broker."""

    def __init__(self, volume: Path, control: Any = None, *, renews: bool = False, **config: Any) -> None:
        self.config: RuntimeConfig = a_config(**config)
        broker = self.config.broker.model_copy(update={"clock_poll_seconds": 0.01})
        self.config = self.config.model_copy(update={"broker": broker})
        self.broker = FakeBroker()
        self.database = Database.open(volume, UID, self.config.mode.value)
        control = control or NoControl()
        strategy = Momentum.from_parameters({"lookback": 2, "max_weight": 0.2})
        self.engine = Engine(self.config, strategy, self.database.recover(), watched=control.watched)
        self.app = App(
            self.config,
            self.engine,
            self.database,
            self.broker,
            control,
            rng=random.Random(1),
            timings=Timings(tick_seconds=0.01, figures_seconds=0.01, finish_submits_seconds=0.3, reopen_seconds=0.1),
            renew=(lambda found: Engine(self.config, strategy, found, watched=control.watched)) if renews else None,
        )
        self.stop = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Bench":
        self.task = asyncio.create_task(self.app.run(self.stop))
        return self

    async def __aexit__(self, *args: object) -> None:
        self.stop.set()
        try:
            if self.task is not None:
                async with asyncio.timeout(DEADLINE_SECONDS):
                    await self.task
        finally:
            self.database.close()

    def metrics(self) -> str:
        return self.app.metrics.rendered(self.app.report()).decode()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not condition():
                assert self.task is not None
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(0.002)


async def test_it_gets_ready_trades_and_ends_when_asked(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        await bench.until(lambda: bench.broker.taken)
        await bench.until(lambda: bench.app.report().ready)
        assert bench.app.report().trading_state is TradingState.ACTIVE
        assert bench.app.heartbeat_age_seconds() < 10
    books = reopened(tmp_path)
    assert [order.state for order in books.orders] == [OrderState.NEW]


def reopened(volume: Path) -> Recovered:
    database = Database.open(volume, UID, "paper")
    try:
        return database.recover()
    finally:
        database.close()


async def test_orders_stay_open_when_it_ends(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        await bench.until(lambda: bench.broker.taken)
    assert bench.broker.cancelled == []


async def test_an_order_that_is_being_sent_at_the_end_is_waited_for(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.broker.submit_hangs = asyncio.Event()
    async with bench:
        await bench.until(bench.broker.submitting.is_set)
        bench.stop.set()
        await asyncio.sleep(0.01)
        bench.broker.submit_hangs.set()
    assert [order.state for order in reopened(tmp_path).orders] == [OrderState.NEW]


async def test_an_order_that_hangs_at_the_end_is_left_for_the_next_start(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.broker.submit_hangs = asyncio.Event()
    started = time.monotonic()
    async with bench:
        await bench.until(bench.broker.submitting.is_set)
    assert time.monotonic() - started < 5
    assert [order.state for order in reopened(tmp_path).orders] == [OrderState.JOURNALED]


async def test_a_kill_does_not_wait_for_an_order_that_hangs(tmp_path: Path) -> None:
    switch = Switch()
    bench = Bench(tmp_path, switch, strategy={"name": "momentum", "parameters": {}})
    bench.broker.closes = {"AAPL": [100, 101, 103], "MSFT": [300, 301, 303]}
    bench.broker.submit_hangs, bench.broker.hangs_after = asyncio.Event(), 1
    async with bench:
        await bench.until(lambda: bench.broker.submits == 2)
        switch.queue.put_nowait(seen.KillSeen("now", "TradingBot"))
        await bench.until(lambda: bench.broker.cancelled)
        assert len(bench.broker.taken) == 1
        await bench.until(lambda: 'tradingbot_kill_step_seconds_count{step="first_cancel"} 1.0' in bench.metrics())
        bench.broker.submit_hangs.set()  # the second order arrives after all: it is cancelled as well
        await bench.until(lambda: len(bench.broker.cancelled) >= 2)
    assert reopened(tmp_path).kill is not None


async def test_a_control_plane_that_breaks_is_followed_again(tmp_path: Path) -> None:
    switch = Switch()
    async with Bench(tmp_path, switch) as bench:
        switch.queue.put_nowait(ControlPlaneLost("no route"))
        switch.queue.put_nowait(RuntimeError("a bug of the watch"))
        switch.queue.put_nowait(seen.KillSeen("still seen", "TradingBot"))
        await bench.until(lambda: bench.app.report().kill)


async def test_a_lost_stream_is_connected_again(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        await bench.until(lambda: bench.app.report().ready)
        bench.broker.streams[0].set()
        await bench.until(lambda: len(bench.broker.streams) == 2)
        await bench.until(lambda: bench.app.report().ready)


@pytest.mark.parametrize("error", [BrokerUnavailable("down"), RuntimeError("a bug of the adapter")])
async def test_a_broker_that_does_not_answer_is_asked_again(tmp_path: Path, error: Exception) -> None:
    bench = Bench(tmp_path)
    bench.broker.reads_raise = error
    async with bench:
        await bench.until(lambda: bench.engine.counters["reconciliation", "failed"] > 0)
        assert not bench.app.report().ready
        bench.broker.reads_raise = None
        await bench.until(lambda: bench.app.report().ready)


async def test_a_volume_that_fails_ends_the_bot_with_its_reason(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.broker.submit_hangs = asyncio.Event()
    with pytest.raises(StateUnwritable):
        async with bench:
            bench.database._connection.execute("PRAGMA query_only = ON")
            await bench.until(lambda: False)
    report = bench.app.report()
    assert (report.trading_state, report.reason, report.ready) == (TradingState.HALTED, "StateUnwritable", False)
    assert bench.broker.taken == {}
    assert not bench.broker.submitting.is_set()


async def test_a_full_volume_halts_the_bot_and_it_goes_on_once_there_is_room(tmp_path: Path) -> None:
    switch = Switch()
    bench = Bench(tmp_path, switch, renews=True)
    bench.database._connection.execute("PRAGMA query_only = ON")
    reopen, full = bench.database.reopen, True

    def while_full(now: Now) -> Recovered:
        if full:
            raise StateUnwritable("no room yet")
        return reopen(now)

    bench.database.reopen = while_full  # type: ignore[method-assign]
    async with bench:
        await bench.until(lambda: bench.app.report().trading_state is TradingState.HALTED)
        assert bench.app.report().reason == "StateUnwritable"
        assert bench.broker.taken == {}  # what could not be journaled was not sent
        full = False
        await bench.until(lambda: bench.app.report().ready)
        await bench.until(lambda: bench.broker.taken)
    assert [order.state for order in reopened(tmp_path).orders] != []


async def test_a_kill_is_carried_out_while_the_volume_is_full(tmp_path: Path) -> None:
    switch = Switch()
    bench = Bench(tmp_path, switch, renews=True)
    bench.database.reopen = lambda now: (_ for _ in ()).throw(StateUnwritable("no room"))  # type: ignore[method-assign]
    async with bench:
        await bench.until(lambda: bench.app.report().open_orders == 1)
        bench.database._connection.execute("PRAGMA query_only = ON")
        switch.queue.put_nowait(seen.KillSeen("enough", "TradingBot"))
        await bench.until(lambda: bench.broker.cancelled)
        assert bench.app.report().reason == "StateUnwritable"


async def test_a_grant_that_goes_while_the_volume_is_full_is_acted_upon_and_stays_gone(tmp_path: Path) -> None:
    switch = Switch()
    bench = Bench(tmp_path, switch, renews=True, **LIVE)
    reopen, full = bench.database.reopen, True

    def while_full(now: Now) -> Recovered:
        if full:
            raise StateUnwritable("no room yet")
        return reopen(now)

    bench.database.reopen = while_full  # type: ignore[method-assign]
    async with bench:
        switch.queue.put_nowait(seen.GrantSeen(granted=True))
        await bench.until(lambda: bench.app.report().open_orders == 1)
        bench.database._connection.execute("PRAGMA query_only = ON")
        switch.queue.put_nowait(seen.BreakerResetAsked("something that is journaled"))
        await bench.until(lambda: bench.app.report().reason == "StateUnwritable")
        assert bench.broker.cancelled == []
        switch.queue.put_nowait(seen.GrantSeen(granted=False, why="status.grant is absent"))
        await bench.until(lambda: bench.broker.cancelled)
        assert bench.app.report().reason == "StateUnwritable"
        switch.queue.put_nowait(seen.GrantSeen(granted=True))
        switch.queue.put_nowait(seen.ControlPlaneSeen())
        await bench.until(switch.queue.empty)
        full = False
        await bench.until(lambda: bench.app.report().withdrawal)
        assert bench.app.report().reason == "NotGranted"


async def test_closed_sessions_are_served_with_their_place_in_the_journal(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    report = SessionReport.model_validate(
        {
            "session": "2026-03-02",
            "namespace": "demo",
            "name": "momentum",
            "uid": UID,
            "mode": "paper",
            "account": "paper",
            "opensAt": "2026-03-02T14:30:00Z",
            "closesAt": "2026-03-02T21:00:00Z",
            "coveragePercent": "100",
            "closedNormally": True,
            "starts": 1,
            "orders": 1,
            "filledOrders": 1,
            "fills": 1,
            "rejectedOrders": 0,
            "refusedOrders": 0,
            "pnl": "1",
            "returnPercent": "0.01",
            "shadowReturnPercent": "0",
            "turnover": "10",
            "operations": 5,
            "operationalErrors": 0,
            "incidents": 0,
            "killed": False,
        }
    )
    record = SessionRecord(OPEN.date(), at().machine, report.model_dump_json(by_alias=True))
    bench.database.commit([do.Journal("session_closed", {}, (PutSession(record),))], at())
    views = Views(
        bench.app.report, lambda: 0.0, bench.app.metrics, lambda limit: closed_sessions(bench.database.records, limit)
    )
    assert bench.app.report().last_session is not None  # no session was closed by this process: the volume's counts
    server = StatusServer("127.0.0.1", 0, views)
    await server.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:
            async with session.get("/status") as response:
                newest = (await response.json())["lastSession"]
            async with session.get("/sessions?limit=5") as response:
                (closed,) = (await response.json())["sessions"]
            async with session.get("/sessions?limit=9999") as response:
                assert response.status == 400
    finally:
        await server.close()
        bench.database.close()
    assert closed["report"]["session"] == "2026-03-02"
    assert newest == {"session": "2026-03-02", "digest": closed["digest"]}
    assert len(closed["journalHash"]) == len(closed["digest"]) == 64


async def test_a_bug_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path)

    def broken(event: object, now: object) -> list[do.Command]:
        raise ZeroDivisionError

    monkeypatch.setattr(bench.engine, "handle", broken)
    with pytest.raises(ZeroDivisionError):
        async with bench:
            await bench.until(lambda: False)


class Stub:
    """An engine that answers with what it was given."""

    bars_needed = 3
    market_time = None

    def __init__(self, *commands: do.Command, may_send: bool = True) -> None:
        self.commands = list(commands)
        self.counters: dict[tuple[str, str], int] = {}
        self._may_send = may_send

    def handle(self, event: seen.Event, now: Now) -> list[do.Command]:
        return self.commands

    def may_send(self, order_id: str) -> bool:
        return self._may_send


def decisions(volume: Path, engine: Any) -> tuple[Decisions, Database]:
    database = Database.open(volume, UID, "paper")
    return Decisions(engine, database, Metrics(dict), lambda: at().machine), database


def test_what_is_journaled_is_durable_before_anything_else_is_known(tmp_path: Path) -> None:
    order = an_order()
    journal = do.Journal("order_decided", {}, (do.PutOrder(order),))
    deciding, database = decisions(tmp_path, Stub(do.SubmitOrder(order), journal, do.Notice("info", "x", "y")))
    assert deciding.on(seen.Tick()) == [do.SubmitOrder(order), do.Notice("info", "x", "y")]
    database.close()
    assert reopened(tmp_path).orders == (order,)


def test_of_a_decision_that_could_not_be_kept_only_cancels_are_left(tmp_path: Path) -> None:
    cancel = do.CancelOrder("tb-1", "b-1")
    stub = Stub(do.Journal("kill"), do.SubmitOrder(an_order()), cancel, do.ClosePosition("AAPL", "1"))
    deciding, database = decisions(tmp_path, stub)
    database._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(CommitFailed) as raised:
        deciding.on(seen.Tick())
    assert raised.value.cancels == (cancel,)
    database.close()


def test_market_time_is_the_brokers_clock_as_last_read_and_believed(tmp_path: Path) -> None:
    config = a_config()
    strategy = load(config.strategy.name, config.strategy.parameters)
    deciding, database = decisions(tmp_path, Engine(config, strategy, Recovered()))
    assert deciding.now().market is None
    deciding.on(seen.ClockRead(a_clock(3)))
    deciding.on(seen.ClockRead(a_clock(-100)))
    assert deciding.now() == Now(at().machine, OPEN + timedelta(minutes=3))
    database.close()


async def no_targets(frames: Mapping[str, pd.DataFrame]) -> Mapping[str, Decimal]:
    return {}


def errands(broker: FakeBroker, **options: Any) -> Errands:
    async def no_wait(seconds: float) -> None:
        await asyncio.sleep(0)

    stub = Stub(**options)
    return Errands(broker, stub.may_send, 3, no_targets, a_config(), Metrics(dict), lambda: at(), no_wait)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (OrderRejected("403 no"), seen.SubmitRejected),
        (Unauthorized("401"), seen.SubmitRejected),
        (OrderInDoubt("timeout"), seen.SubmitInDoubt),
        (RuntimeError("a bug of the adapter"), seen.SubmitInDoubt),
    ],
)
async def test_what_becomes_of_a_submit_is_an_event(error: Exception, outcome: type[Any]) -> None:
    broker = FakeBroker()
    broker.submit_raises = error
    event = await errands(broker).run(do.SubmitOrder(an_order()))
    assert isinstance(event, outcome)
    assert event.client_order_id == an_order().client_order_id


async def test_an_order_that_may_no_longer_leave_does_not(tmp_path: Path) -> None:
    broker = FakeBroker()
    event = await errands(broker, may_send=False).run(do.SubmitOrder(an_order()))
    assert isinstance(event, seen.SubmitWithheld)
    assert "kill" in event.reason
    assert not broker.submitting.is_set()


async def test_every_failed_errand_is_an_answer() -> None:
    broker = FakeBroker()
    broker.reads_raise = BrokerUnavailable("down")
    run = errands(broker).run
    assert isinstance(await run(do.QueryOrder("tb-1", 1.0)), seen.SubmitInDoubt)
    assert isinstance(await run(do.ReadBars()), seen.BarsFailed)
    assert isinstance(await run(do.TakeSnapshot("test", "tb-")), seen.SnapshotFailed)
    assert await errands(broker).clock() is None
    assert await errands(broker).figures() is None


async def test_bars_come_with_the_start_of_the_newest() -> None:
    event = await errands(FakeBroker()).run(do.ReadBars())
    assert isinstance(event, seen.BarsClosed)
    assert event.bar_at == OPEN
    assert event.bar_at.tzinfo is not None


async def test_a_close_is_passed_on() -> None:
    broker = FakeBroker()
    assert await errands(broker).run(do.ClosePosition("AAPL", "4")) is None
    assert broker.closed == [("AAPL", "4")]


async def test_a_kill_is_handled_before_what_waited_longer() -> None:
    queue = EventQueue()
    for event in (seen.Tick(), seen.BarsFailed("x"), seen.KillSeen("now", "TradingBot"), seen.PauseSeen(True)):
        await queue.put(event)
    assert len(queue) == 4
    assert await queue.get() == seen.KillSeen("now", "TradingBot")
    assert queue.left() == [seen.PauseSeen(True), seen.Tick(), seen.BarsFailed("x")]


async def test_whoever_brings_too_many_events_waits_but_a_kill_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradingbot_runtime.app.MAX_WAITING_EVENTS", 2)
    queue = EventQueue()
    await queue.put(seen.Tick())
    await queue.put(seen.Tick())
    waiting = asyncio.create_task(queue.put(seen.BarsFailed("third")))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    await queue.put(seen.KillSeen("now", "TradingBot"))
    assert isinstance(await queue.get(), seen.KillSeen)
    await queue.get()
    await waiting
    assert len(queue) == 2


async def test_an_endless_conversation_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InOrder, "MAX_STEPS", 10)
    stub = Stub(do.QueryOrder("tb-1"))
    deciding, database = decisions(tmp_path, stub)
    with pytest.raises(RuntimeError, match="more than 10"):
        await InOrder(deciding, errands(FakeBroker())).tell(seen.Tick())
    database.close()


async def test_the_pages_show_the_bot(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench, aiohttp.ClientSession() as session:
        await bench.until(lambda: bench.app.report().ready)
        age = [0.0]
        server = StatusServer("127.0.0.1", 0, Views(bench.app.report, lambda: age[0], bench.app.metrics))
        await server.start()

        async def page(path: str) -> tuple[int, str]:
            async with session.get(f"http://127.0.0.1:{server.port}{path}") as response:
                return response.status, await response.text()

        assert (await page("/healthz"))[0] == 200
        assert (await page("/readyz"))[0] == 200
        status, text = await page("/status")
        assert (status, '"tradingState":"Active"' in text) == (200, True)
        status, text = await page("/metrics")
        assert 'tradingbot_trading_state{state="Active"} 1.0' in text
        assert "tradingbot_journal_commit_seconds_count" in text
        age[0] = 60.0
        assert (await page("/healthz"))[0] == 503
        with pytest.raises(CannotListen, match="choose a free port"):
            await StatusServer("127.0.0.1", server.port, Views(bench.app.report, lambda: 0, bench.app.metrics)).start()
        await server.close()


async def test_a_bot_that_is_not_ready_says_why(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    server = StatusServer("127.0.0.1", 0, Views(bench.app.report, lambda: 0.0, bench.app.metrics))
    await server.start()
    url = f"http://127.0.0.1:{server.port}/readyz"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status == 503
        assert (await response.json())["reason"] == "BrokerUnreachable"
    await server.close()
    bench.database.close()


def test_logs_are_json_with_the_bot() -> None:
    from tradingbot_runtime.ops import logs

    stream = io.StringIO()
    logs.configure("momentum", "demo", stream=stream)
    logs.notice("critical", "killed", "by hand")
    logs.notice("unheard of", "odd", "still logged")
    logging.getLogger("aiohttp").warning('with "quotes"')
    first, second, third = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["event"], first["bot"], first["namespace"], first["level"]) == (
        "killed",
        "momentum",
        "demo",
        "critical",
    )
    assert second["level"] == "error"
    assert (third["logger"], third["event"]) == ("aiohttp", 'with "quotes"')
