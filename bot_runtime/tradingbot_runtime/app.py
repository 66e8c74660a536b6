"""The bot's process: feeds events to the core, makes its decisions durable, then carries them out. Decides nothing.

One loop, one queue: an event is handled, its journal is committed, and only then does anything leave for the broker.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, Final, TypeVar

import pandas as pd
import structlog

from tradingbot_api import OnDelete, OnKill, RuntimeConfig, RuntimeReport, TradingState
from tradingbot_runtime import __version__
from tradingbot_runtime.backoff import Backoff
from tradingbot_runtime.broker.lanes import LaneTimeout, ThreadLane
from tradingbot_runtime.broker.legs import rolled_up
from tradingbot_runtime.broker.port import Broker, BrokerError, OrderNotTaken, OrderRejected, Unauthorized
from tradingbot_runtime.control.port import ControlPlane, ControlPlaneLost
from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.core.engine import Engine
from tradingbot_runtime.core.orders import client_order_id_prefix
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.core.values import BrokerAsset, BrokerSnapshot, Now
from tradingbot_runtime.ops import logs
from tradingbot_runtime.ops.metrics import Metrics
from tradingbot_runtime.ops.mirror import Mirror
from tradingbot_runtime.ops.notices import Deliverer, Delivery, NoticeSecrets
from tradingbot_runtime.ops.sessions import NewestSession
from tradingbot_runtime.recording import Recorder
from tradingbot_runtime.state import Backup, Backups, Database, StateFailure, StateUnwritable
from tradingbot_runtime.strategies.evaluation import StrategyFailed, weights_of

MAX_WAITING_EVENTS: Final = 10_000
MAX_WAITING_CONTROL_EVENTS: Final = 100
MAX_WAITING_ORDERS: Final = 1_000
STREAM_IS_STABLE_AFTER_SECONDS: Final = 30.0
CALENDAR_BACK: Final = timedelta(days=14)
"""No holiday keeps the exchange closed for so long."""

STRATEGY_SECONDS: Final = 60.0
"""The most that one evaluation may take; one that takes longer is given up, and said."""

T = TypeVar("T")
Evaluation = Callable[[Mapping[str, pd.DataFrame]], Awaitable[Mapping[str, Decimal]]]
"""The strategy's targets of bars. Raises StrategyFailed, or LaneTimeout when it takes too long."""
Sent = do.SubmitOrder | do.ReplaceOrder
"""What may create exposure at the broker, and so leaves one at a time and only once."""


@dataclass(frozen=True)
class Timings:
    """How often what is done, in seconds of machine time."""

    tick_seconds: float = 0.2
    figures_seconds: float = 5.0
    finish_submits_seconds: float = 3.0
    last_cancels_seconds: float = 5.0
    reopen_seconds: float = 5.0
    backup_check_seconds: float = 60.0


class CommitFailed(Exception):
    """A decision could not be made durable. Of it, only its cancels may be carried out."""

    def __init__(self, failure: StateFailure, cancels: Sequence[do.CancelOrder]) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.cancels = tuple(cancels)


class SteadyClock:
    """The machine's time as durations need it: it never goes back and never jumps, and follows the wall's slowly.

    `wall` is UTC and may be set by anybody at any moment; `monotonic` is in seconds.
    """

    SLEW: Final = 0.1
    """The share of the time passed by which it may run fast or slow to come back to the wall's time."""

    def __init__(
        self,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._last, self._read_at = wall(), monotonic()

    def __call__(self) -> datetime:
        """The time, UTC."""
        read_at = self._monotonic()
        passed = timedelta(seconds=max(0.0, read_at - self._read_at))
        steady = self._last + passed
        most = passed * self.SLEW
        self._last = steady + min(most, max(-most, self._wall() - steady))
        self._read_at = read_at
        return self._last


class Decisions:
    """Event in, commands out, with everything the engine journals on disk before anybody sees a command."""

    def __init__(
        self,
        engine: Engine,
        database: Database,
        metrics: Metrics,
        machine_clock: Callable[[], datetime],
        recorder: Recorder | None = None,
        mirror: Mirror | None = None,
    ) -> None:
        self._engine = engine
        self._recorder = recorder
        self._mirror = mirror
        self._database = database
        self._metrics = metrics
        self._machine_clock = machine_clock

    def go_on_with(self, engine: Engine) -> None:
        """Uses another engine from now on: the state was opened anew, and the old one saw what was never kept."""
        self._engine = engine

    def keep_house(self, backup: Backup) -> None:
        """Anchors the journal at a backup. Raises StateFailure."""
        self._database.keep_house(backup, self.now())

    def reopen(self) -> Recovered:
        """Tries to go on after a failed commit. Raises StateFailure while that is not possible."""
        return self._database.reopen(self.now())

    def now(self) -> Now:
        """Machine time, and the broker's clock as last read."""
        return Now(machine=self._machine_clock(), market=self._engine.market_time)

    def on(self, event: seen.Event) -> list[do.Command]:
        """What is left to do about an event once its journal is committed. Raises CommitFailed."""
        now = self.now()
        self._metrics.events.labels(type(event).__name__).inc()
        commands = self._engine.handle(event, now)
        if self._recorder is not None:
            self._recorder.record(event, now, commands)
        entries = [command for command in commands if isinstance(command, do.Journal)]
        rest: list[do.Command] = [command for command in commands if not isinstance(command, do.Journal)]
        if entries:
            try:
                with self._metrics.commit_seconds.time():
                    self._database.commit(entries, now)
            except StateFailure as failure:
                cancels = [command for command in rest if isinstance(command, do.CancelOrder)]
                raise CommitFailed(failure, cancels) from failure
            if self._mirror is not None:
                self._mirror.write(entries, now)
        return rest


class Errands:
    """Carries one command out and brings back what came of it. Never raises: a failure is an event, too."""

    def __init__(
        self,
        broker: Broker,
        may_send: Callable[[str], bool],
        bars_needed: int,
        evaluate: Evaluation,
        config: RuntimeConfig,
        metrics: Metrics,
        now: Callable[[], Now],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._broker = broker
        self._may_send = may_send
        self._bars_needed = bars_needed
        self._evaluate = evaluate
        self._assets_of: tuple[date, Mapping[str, BrokerAsset]] | None = None
        self._symbols = tuple(config.symbols)
        self._timeframe = config.timeframe.value
        self._metrics = metrics
        self._now = now
        self._sleep = sleep

    async def run(self, command: do.Command) -> seen.Event | None:
        """The event that tells the outcome; None where there is nothing to tell."""
        match command:
            case do.SubmitOrder() | do.ReplaceOrder():
                return await self._send(command)
            case do.QueryOrder():
                return await self._query(command)
            case do.TakeSnapshot():
                return await self._snapshot(command)
            case do.ReadBars():
                return await self._bars()
            case do.Evaluate(bar, frames):
                return await self._targets(bar, frames)
            case do.CancelOrder(order_id, broker_id):
                return await self._cancel(order_id, broker_id)
            case do.ClosePosition(symbol, qty):
                await self._try("close", symbol, self._broker.close_position(symbol, qty))
            case do.KillStep(step, seconds):
                self._metrics.kill_step_seconds.labels(step).observe(seconds)
            case do.Notice(severity, name, message):
                self._metrics.notices.labels(severity).inc()
                logs.notice(severity, name, message)
            case do.Journal():
                raise AssertionError("journal entries are committed, not carried out")
        return None

    async def clock(self) -> seen.ClockRead | None:
        """The broker's clock, or None when it does not answer."""
        clock = await self._try("clock", "", self._broker.clock())
        return None if clock is None else seen.ClockRead(clock)

    async def figures(self) -> seen.FiguresRead | None:
        """The account's money, or None when the broker does not answer."""
        asked_at = self._now().machine
        figures = await self._try("figures", "", self._broker.figures())
        return None if figures is None else seen.FiguresRead(figures, asked_at)

    async def _send(self, command: Sent) -> seen.Event:
        order = command.order

        def may_send() -> bool:
            # Asked in the lane's thread at the last moment: a kill may have been seen since the decision.
            return self._may_send(order.client_order_id)

        try:
            match command:
                case do.SubmitOrder():
                    word = await self._timed("submit", self._broker.submit(order, may_send))
                case do.ReplaceOrder(_, broker_id):
                    word = await self._timed("replace", self._broker.replace(order, broker_id, may_send))
            return seen.SubmitAcknowledged(word)
        except OrderNotTaken as error:
            return seen.SubmitWithheld(order.client_order_id, str(error))
        except (OrderRejected, Unauthorized) as error:
            return seen.SubmitRejected(order.client_order_id, str(error))
        except Exception as error:
            return seen.SubmitInDoubt(order.client_order_id, _described(error))

    async def _cancel(self, order_id: str, broker_id: str) -> seen.Event | None:
        sent_at = self._now().machine
        try:
            await self._timed("cancel", self._broker.cancel(broker_id))
        except Exception as error:
            # As in _try: the next look at the books shows that it is open, and it is cancelled again.
            logs.notice("warning", "cancel_failed", f"{order_id} {_described(error)}")
            return None
        return seen.CancelAccepted(order_id, sent_at)

    async def _query(self, command: do.QueryOrder) -> seen.Event:
        if command.after_seconds > 0:
            await self._sleep(command.after_seconds)
        try:
            found = await self._timed("order", self._broker.order(command.client_order_id))
        except Exception as error:
            return seen.SubmitInDoubt(command.client_order_id, _described(error))
        return seen.QueryAnswered(command.client_order_id, found)

    async def _snapshot(self, command: do.TakeSnapshot) -> seen.Event:
        asked_at = self._now().machine
        try:
            return seen.SnapshotTaken(await self._timed("snapshot", self._books(command)), asked_at)
        except Exception as error:
            return seen.SnapshotFailed(_described(error))

    async def _books(self, command: do.TakeSnapshot) -> BrokerSnapshot:
        # Orders first: once none of ours is open, the positions read after that can no longer change under us.
        urgent = command.urgent
        listed = await self._broker.open_orders(urgent=urgent)
        ours = await self._broker.orders_since(command.since, command.prefix, urgent=urgent, symbols=command.symbols)
        positions = await self._broker.positions(urgent=urgent)
        figures = await self._broker.figures(urgent=urgent)
        since = command.activities_since
        activities = () if since is None else await self._broker.activities(since, urgent=urgent)
        return BrokerSnapshot(figures, positions, rolled_up((*listed, *ours)), activities)

    async def _targets(self, bar: str, frames: Mapping[str, pd.DataFrame]) -> seen.Event:
        try:
            return seen.TargetsComputed(bar, await self._evaluate(frames))
        except (StrategyFailed, LaneTimeout) as error:
            return seen.TargetsFailed(bar, str(error))

    async def _bars(self) -> seen.Event:
        before = self._now().market
        if before is None:
            return seen.BarsFailed("the broker's clock was not read yet")
        try:
            frames = await self._timed(
                "bars",
                self._broker.bars(self._symbols, self._timeframe, self._bars_needed, before),
            )
            today = before.date()
            sessions = await self._timed("sessions", self._broker.sessions(today - CALENDAR_BACK, today))
            quotes = await self._timed("quotes", self._broker.quotes(self._symbols))
            assets = await self._assets(today)
        except Exception as error:
            return seen.BarsFailed(_described(error))
        newest = [_start_of(frame) for frame in frames.values() if len(frame) > 0]
        if not newest:
            return seen.BarsFailed(f"the broker has no {self._timeframe} bars of any symbol")
        return seen.BarsClosed(max(newest), frames, as_of=before, quotes=quotes, sessions=sessions, assets=assets)

    async def _assets(self, day: date) -> Mapping[str, BrokerAsset]:
        """What the broker says of the symbols, asked for once a day."""
        if self._assets_of is None or self._assets_of[0] != day:
            self._assets_of = day, await self._timed("assets", self._broker.assets(self._symbols))
        return self._assets_of[1]

    async def _try(self, operation: str, subject: str, call: Awaitable[T]) -> T | None:
        try:
            return await self._timed(operation, call)
        except Exception as error:
            # The core sees that nothing came of it, and asks again when it still matters.
            logs.notice("warning", f"{operation}_failed", f"{subject} {_described(error)}".strip())
            return None

    async def _timed(self, operation: str, call: Awaitable[T]) -> T:
        started, outcome = time.perf_counter(), "failed"
        try:
            result = await call
            outcome = "answered"
            return result
        except BrokerError as error:
            outcome = type(error).__name__
            raise
        finally:
            self._metrics.call_seconds.labels(operation, outcome).observe(time.perf_counter() - started)


class EventQueue:
    """Events in order, except that what stops the bot is handled first. Bounded: who brings too many waits."""

    _FIRST = (seen.KillSeen, seen.PauseSeen, seen.BotDeleted, seen.GrantSeen)

    def __init__(self) -> None:
        self._queue: asyncio.PriorityQueue[tuple[int, int, seen.Event]] = asyncio.PriorityQueue()
        self._room = (
            asyncio.Semaphore(MAX_WAITING_CONTROL_EVENTS),
            asyncio.Semaphore(MAX_WAITING_EVENTS),
        )
        self._number = count()

    def __len__(self) -> int:
        return self._queue.qsize()

    async def put(self, event: seen.Event) -> None:
        """Adds an event, as soon as there is room."""
        priority = 0 if isinstance(event, self._FIRST) else 1
        await self._room[priority].acquire()
        self._queue.put_nowait((priority, next(self._number), event))

    async def get(self) -> seen.Event:
        """The next event."""
        return self._taken(await self._queue.get())

    def left(self) -> list[seen.Event]:
        """Takes all that wait."""
        return [self._taken(self._queue.get_nowait()) for _ in range(len(self))]

    def _taken(self, entry: tuple[int, int, seen.Event]) -> seen.Event:
        self._room[entry[0]].release()
        return entry[2]


class App:
    """One running bot."""

    def __init__(
        self,
        config: RuntimeConfig,
        engine: Engine,
        database: Database,
        broker: Broker,
        control: ControlPlane,
        *,
        rng: random.Random,
        machine_clock: Callable[[], datetime] | None = None,
        timings: Timings | None = None,
        recorder: Recorder | None = None,
        mirror: Mirror | None = None,
        deliverer: Deliverer | None = None,
        backups: Backups | None = None,
        renew: Callable[[Recovered], Engine] | None = None,
    ) -> None:
        """`renew` makes an engine of what a reopened state gives back; without it a failed commit ends the process."""
        self._backups = backups
        self._renew = renew
        self._keys_refused = ""
        self._control_seen: dict[tuple[type[seen.Event], str], seen.Event] = {}
        self._config = config
        self._engine = engine
        self._broker = broker
        self._control = control
        self._rng = rng
        self._machine_clock = machine_clock or SteadyClock()
        self._timings = timings or Timings()
        self._started_at = self._machine_clock()
        self._heartbeat = time.monotonic()
        self._failure: StateFailure | None = None
        self._newest_session = NewestSession(database)
        self.metrics = Metrics(lambda: self._engine.counters, broker.health)
        self._decisions = Decisions(engine, database, self.metrics, self._machine_clock, recorder, mirror)
        self._strategy_lane = ThreadLane("strategy", 1)
        self._errands = Errands(
            broker,
            self._may_send,
            engine.bars_needed,
            self._evaluate,
            config,
            self.metrics,
            self._decisions.now,
        )
        self._events = EventQueue()
        self._delivery = Delivery(
            deliverer or Deliverer(config.notices, NoticeSecrets()),
            lambda: self._engine.notices_due(self._decisions.now()),
            self._events.put,
        )
        self._orders: asyncio.Queue[Sent] = asyncio.Queue(MAX_WAITING_ORDERS)
        self._sending: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        self._snapshots = _OneAtATime(self._run_and_tell)
        self._bars = _OneAtATime(self._run_and_tell)

    def report(self) -> RuntimeReport:
        """What the bot says of itself."""
        report = self._engine.report(self._decisions.now(), version=__version__, started_at=self._started_at)
        if self._failure is None:
            closed = self._engine.counters["sessions", "closed"]
            return report.model_copy(update={"last_session": self._newest_session.mark(closed)})
        halted = {
            "last_session": self._newest_session.last,
            "ready": False,
            "trading_state": TradingState.HALTED,
            "reason": self._failure.reason,
            "message": str(self._failure)[:1024],
        }
        return report.model_copy(update=halted)

    async def _evaluate(self, frames: Mapping[str, pd.DataFrame]) -> Mapping[str, Decimal]:
        """The strategy's targets, in a thread of its own: a slow one must not keep a kill waiting."""
        strategy = self._engine.strategy
        return await self._strategy_lane.run(lambda: weights_of(strategy, frames), STRATEGY_SECONDS)

    def _may_send(self, order_id: str) -> bool:
        return self._failure is None and self._engine.may_send(order_id)

    def heartbeat_age_seconds(self) -> float:
        """How long ago the loop last handled an event, in machine time."""
        return time.monotonic() - self._heartbeat

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop` is set; then ends in order within 5 s. Raises StateFailure when state cannot be kept."""
        sources = [asyncio.create_task(source, name=name) for name, source in self._sources()]
        deciding = asyncio.create_task(self._decide_for_ever(), name="decisions")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait({deciding, stopping, *sources}, return_when=asyncio.FIRST_COMPLETED)
            for task in (deciding, *sources):
                if task.done():
                    task.result()  # none of them ever ends by itself but by an error
        finally:
            stopping.cancel()
            await self._end(deciding, sources)

    def _sources(self) -> Sequence[tuple[str, Coroutine[Any, Any, None]]]:
        return (
            ("control", self._follow_control()),
            ("trade updates", self._follow_trade_updates()),
            ("clock", self._repeat(self._config.broker.clock_poll_seconds, self._errands.clock)),
            ("figures", self._repeat(self._timings.figures_seconds, self._errands.figures)),
            ("ticks", self._repeat(self._timings.tick_seconds, _tick)),
            ("orders", self._send_orders()),
            ("notices", self._delivery.run()),
            ("backups", self._back_up_for_ever()),
        )

    # ------------------------------------------------------------------ what happens

    async def _decide_for_ever(self) -> None:
        while True:
            event = await self._events.get()
            self._heartbeat = time.monotonic()
            self.metrics.waiting_events.set(len(self._events))
            self._remember(event)
            try:
                commands = self._decisions.on(event)
            except CommitFailed as error:
                await self._stand_still(error)
                continue
            for command in commands:
                self._carry_out(command)

    def _remember(self, event: seen.Event) -> None:
        """What the control plane says once and an engine made later has to know, too."""
        match event:
            case seen.KillSeen(_, scope):
                self._control_seen[seen.KillSeen, scope] = event
            case seen.GrantSeen():
                before = self._control_seen.get((seen.GrantSeen, ""))
                if not (isinstance(before, seen.GrantSeen) and not before.granted):  # once gone, it is gone
                    self._control_seen[seen.GrantSeen, ""] = event
            case seen.PauseSeen() | seen.BotDeleted() | seen.ControlPlaneSeen():
                self._control_seen[type(event), ""] = event

    async def _follow_control(self) -> None:
        backoff = Backoff(self._rng, max_seconds=2.0)
        while True:
            try:
                async with aclosing(self._control.events()) as events:
                    async for event in events:
                        if isinstance(event, ControlPlaneLost):
                            logs.notice("warning", "control_plane_unreadable", event.reason)
                        else:
                            backoff.reset()
                            await self._events.put(event)
            except Exception as error:
                # A kill must stay visible whatever goes wrong on the way to it: begin again.
                logs.notice("error", "control_plane_failed", _described(error))
            await asyncio.sleep(backoff.next_seconds())

    async def _follow_trade_updates(self) -> None:
        backoff = Backoff(self._rng)
        while True:
            started, reason = time.monotonic(), "the stream ended"
            try:
                async with aclosing(self._broker.trade_updates()) as updates:
                    async for update in updates:
                        await self._events.put(update)
            except Exception as error:
                reason = _described(error)
            self.metrics.stream_reconnects.inc()
            await self._events.put(seen.StreamLost(reason))
            if time.monotonic() - started > STREAM_IS_STABLE_AFTER_SECONDS:
                backoff.reset()
            await asyncio.sleep(backoff.next_seconds())

    async def _repeat(self, every_seconds: float, read: Callable[[], Awaitable[seen.Event | None]]) -> None:
        while True:
            event = await read()
            await self._tell_of_the_keys()
            if event is not None:
                await self._events.put(event)
            await asyncio.sleep(every_seconds)

    # ------------------------------------------------------------------ what is done about it

    def _carry_out(self, command: do.Command) -> None:
        match command:
            case do.SubmitOrder() | do.ReplaceOrder():
                try:
                    self._orders.put_nowait(command)
                except asyncio.QueueFull:
                    order_id = command.order.client_order_id
                    self._start(self._events.put(seen.SubmitWithheld(order_id, "too many orders wait to be sent")))
            case do.TakeSnapshot():
                self._snapshots.ask(command)
            case do.ReadBars():
                self._bars.ask(command)
            case _:
                self._start(self._run_and_tell(command))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _run_and_tell(self, command: do.Command) -> None:
        event = await self._errands.run(command)
        await self._tell_of_the_keys()
        if event is not None:
            await self._events.put(event)

    async def _tell_of_the_keys(self) -> None:
        refused = self._broker.health().keys_refused
        if bool(refused) == bool(self._keys_refused):
            return
        self._keys_refused = refused
        await self._events.put(seen.KeysRefused(refused) if refused else seen.KeysAccepted())

    async def _send_orders(self) -> None:
        # One after the other, in the order they were decided: exits go out before the entries they pay for.
        while True:
            command = await self._orders.get()
            self._sending = asyncio.create_task(self._run_and_tell(command))
            # The end of the process cancels this loop, not the order that is on its way.
            await asyncio.shield(self._sending)

    # ------------------------------------------------------------------ the end

    async def _stand_still(self, error: CommitFailed) -> None:
        """State cannot be kept: cancel what this decision wanted cancelled and send nothing until it can be again.

        Raises the failure where no engine can be made anew.
        """
        self._failure = error.failure
        logs.notice("critical", error.failure.reason, str(error.failure))
        await self._last_cancels(error.cancels)
        if self._renew is None:
            raise error.failure
        recovered = await self._until_it_can_be_kept()
        self._engine = self._renew(recovered)
        self._decisions.go_on_with(self._engine)
        self._failure = None
        logs.notice("info", "state_writable_again", "the state can be written: reconciling with the broker")
        for known in self._control_seen.values():
            await self._events.put(known)
        self._broker.drop_trade_updates("the state was opened anew")  # connecting again reconciles

    async def _until_it_can_be_kept(self) -> Recovered:
        while True:
            await self._stop_without_state()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timings.reopen_seconds):
                    while True:
                        # What is dropped here is learned again from the broker once the state is open.
                        self._remember(await self._events.get())
                        self._heartbeat = time.monotonic()
            self._heartbeat = time.monotonic()
            try:
                return self._decisions.reopen()
            except StateFailure as failure:
                self._failure = failure

    async def _stop_without_state(self) -> None:
        """A kill does not wait for a disk, nor does a grant that is gone."""
        grant = self._control_seen.get((seen.GrantSeen, ""))
        withdrawn = isinstance(grant, seen.GrantSeen) and not grant.granted
        withdraws = withdrawn and self._config.on_delete is not OnDelete.KEEP
        killed = any(kind is seen.KillSeen for kind, _ in self._control_seen)
        if killed or withdraws:
            flatten = (killed and self._config.on_kill is OnKill.FLATTEN) or (
                withdraws and self._config.on_delete is OnDelete.FLATTEN
            )
            await self._close_without_state(flatten=flatten)

    async def _close_without_state(self, *, flatten: bool) -> None:
        """Cancels, and closes, by what the broker itself says."""
        prefix = client_order_id_prefix(self._config.bot.uid, self._config.mode.value)
        try:
            listed = await self._broker.open_orders(urgent=True)
            ours = [order for order in listed if order.client_order_id.startswith(prefix)]
            for order in ours:
                await self._broker.cancel(order.broker_id)
            if flatten and not ours:
                for position in await self._broker.positions(urgent=True):
                    if position.symbol in self._config.symbols and position.qty != 0:
                        await self._broker.close_position(position.symbol, str(abs(position.qty)))
        except BrokerError as error:
            logs.notice("error", "stop_without_state_failed", _described(error))

    async def _last_cancels(self, commands: Sequence[do.CancelOrder]) -> None:
        cancels = [self._errands.run(cancel) for cancel in commands]
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timings.last_cancels_seconds):
                await asyncio.gather(*cancels)

    async def _back_up_for_ever(self) -> None:
        """Raises StateFailure when a backup shows that the state itself is damaged."""
        while True:
            await asyncio.sleep(self._timings.backup_check_seconds)
            if self._backups is None or self._failure is not None:
                continue
            try:
                backup = await asyncio.to_thread(self._backups.back_up, self._machine_clock())
                if backup is not None:
                    self._decisions.keep_house(backup)
            except StateUnwritable as error:
                logs.notice("error", "backup_failed", str(error))

    async def _end(self, deciding: "asyncio.Task[None]", sources: Sequence["asyncio.Task[None]"]) -> None:
        await _cancelled(deciding, *sources)
        if self._failure is None:
            await self._finish_submits()
        self._strategy_lane.close()
        self._snapshots.close()
        self._bars.close()
        await _cancelled(*self._under_way, *([self._sending] if self._sending else []))

    async def _finish_submits(self) -> None:
        """Waits for an order that is being sent, and journals what became of it; nothing else is begun."""
        if self._sending is not None and not self._sending.done():
            await asyncio.wait({self._sending}, timeout=self._timings.finish_submits_seconds)
        outcomes = (seen.SubmitAcknowledged, seen.SubmitRejected, seen.SubmitWithheld, seen.SubmitInDoubt)
        for event in self._events.left():
            if isinstance(event, outcomes):
                with suppress(CommitFailed):
                    self._decisions.on(event)


class _OneAtATime:
    """Runs commands one at a time; of those that come meanwhile, only the newest is run after."""

    def __init__(self, run: Callable[[do.Command], Coroutine[Any, Any, None]]) -> None:
        self._run = run
        self._task: asyncio.Task[None] | None = None
        self._next: do.Command | None = None

    def ask(self, command: do.Command) -> None:
        """Runs the command now, or next."""
        self._next = command
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())

    def close(self) -> None:
        """Gives up what runs."""
        if self._task is not None:
            self._task.cancel()

    async def _work(self) -> None:
        while self._next is not None:
            command, self._next = self._next, None
            await self._run(command)


async def _tick() -> seen.Tick:
    return seen.Tick()


async def _cancelled(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception) and not isinstance(outcome, CommitFailed):
            structlog.get_logger().error("task_failed", error=_described(outcome))


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _start_of(frame: pd.DataFrame) -> datetime:
    start: datetime = frame.index[-1].to_pydatetime()
    return start
