"""A bot whose errands, trade updates, clocks and ticks come back late and in any order, as the real app's may.

The real engine, decisions, errands and broker; what is concurrent in the app is concurrent here, in virtual time and
in an order that the seed decides. Every invariant that can be seen at once is looked at after every step.
"""

import json
import random
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Self, TypeVar

import aiohttp
import requests

from alpaca_simulator.in_process import InProcessStream, StreamRefusedError
from alpaca_simulator.market.clock import SteppedClock
from simulation.virtual_time import VirtualTime, pause
from simulation.world import KEYS, PREFIX, Crash, World
from tradingbot_runtime.broker.lanes import Lane
from tradingbot_runtime.broker.port import BrokerUnavailable, Unauthorized
from tradingbot_runtime.broker.strangers import Strangers
from tradingbot_runtime.broker.trade_updates import CONNECT_SECONDS, TradeUpdates, Unreadable
from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.core.kill import is_open

T = TypeVar("T")
STOPS = (seen.KillSeen, seen.PauseSeen, seen.BotDeleted)
"""What the app's queue lets go first."""
PING_SECONDS = 20.0
MARKET_MOVES_WHILE_AN_ORDER_TRAVELS = Decimal("1.03")


class SlowLane:
    """A lane in which a call takes its time to reach the broker, and its answer to come back."""

    def __init__(self, world: "ShuffledWorld") -> None:
        self._world = world

    async def run(
        self, call: Callable[[], T], timeout_seconds: float, *, begin_within_seconds: float | None = None
    ) -> T:
        """What `call` returns or raises."""
        await pause(self._world.some_seconds())
        try:
            return call()
        finally:
            await pause(self._world.some_seconds())

    def close(self) -> None:
        """Nothing to close."""


class PolledUpdates(TradeUpdates):
    """The stream of trade updates over a connection in this process, with the faults of a socket."""

    def __init__(self, world: "ShuffledWorld") -> None:
        super().__init__(
            "http://x", KEYS.key_id, KEYS.secret_key, strangers=Strangers(PREFIX), monotonic=world._monotonic
        )
        self._world = world
        self._mute = ""

    def drop(self, reason: str) -> None:
        """Ends the present `listen`."""
        self._mute = reason

    async def listen(self) -> AsyncGenerator[seen.StreamConnected | seen.TradeUpdate, None]:
        """As the real one, without its websocket."""
        self._mute = ""
        with self._connected() as stream:
            asked = begun = self._world.time.now
            is_connected = False
            while True:
                await pause(self._world.some_seconds())
                if self._mute:
                    raise BrokerUnavailable(f"the stream is mute: {self._mute}")
                for frame in stream.frames():
                    for event in self._events_in(frame):
                        is_connected = is_connected or isinstance(event, seen.StreamConnected)
                        yield event
                if not is_connected and self._world.time.now - begun > timedelta(seconds=CONNECT_SECONDS):
                    raise BrokerUnavailable("no word of the stream")
                if stream.dropped is not None:
                    raise BrokerUnavailable(f"the connection is lost ({stream.dropped.close_code})")
                if self._world.time.now - asked > timedelta(seconds=PING_SECONDS):
                    asked = self._world.time.now
                    if not stream.ping():
                        raise BrokerUnavailable("no pong")

    @contextmanager
    def _connected(self) -> Iterator[InProcessStream]:
        try:
            stream = self._world.simulator.open_stream(KEYS.key_id, KEYS.secret_key)
        except StreamRefusedError as error:
            raise BrokerUnavailable(f"answered {error.status}") from error
        try:
            yield stream
        finally:
            stream.close()

    def _events_in(self, frame: str | bytes) -> Iterator[seen.StreamConnected | seen.TradeUpdate]:
        kind = aiohttp.WSMsgType.BINARY if isinstance(frame, bytes) else aiohttp.WSMsgType.TEXT
        message = aiohttp.WSMessage(kind, frame, None)
        try:
            update = self._update_in(message)
        except Unreadable:
            self.frames_unreadable += 1
            yield seen.StreamConnected()  # what cannot be read is in the books
            return
        if update is not None:
            yield update
        elif json.loads(frame).get("stream") == "listening":
            yield seen.StreamConnected()


class ShuffledWorld(World):
    """One bot on one simulator; market time runs `speed` times faster than the machine's."""

    def __init__(self, volume: Path, seed: int = 1, *, speed: float = 12.0, **config: Any) -> None:
        self.rng = random.Random(seed)
        self.speed = speed
        self.kill_handled = False
        self.interfered = False
        """Whether somebody else has changed what is held, so that the bot's own books say less than the broker's."""
        self.posted: dict[str, datetime] = {}
        self.steps = 0
        super().__init__(volume, seed, **config)
        self.time = VirtualTime(self.machine, self.rng, self._pass)
        self._start_sources()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ended: object) -> None:
        self.time.forget()
        self.database.close()
        self.end_recording()

    # ------------------------------------------------------------------ the bot's process

    def boot(self) -> None:
        """Starts a process on the volume."""
        self._waiting: deque[seen.Event] = deque()
        self._waiting_stops: deque[seen.Event] = deque()
        self._orders: deque[do.Command] = deque()
        self._busy: dict[str, do.Command | None] = {}
        self._deciding = self._sending = False
        self._keys_refused = ""
        super().boot()
        if hasattr(self, "time"):
            self._start_sources()

    def lane(self) -> Lane:
        """Where calls to the broker are made."""
        return SlowLane(self)

    def stream(self) -> TradeUpdates:
        """The stream of trade updates."""
        return PolledUpdates(self)

    async def wait(self, seconds: float) -> None:
        """Machine time passes, and with it everything else."""
        await pause(seconds)

    def some_seconds(self) -> float:
        """How long something on its way takes: mostly little, sometimes long."""
        return self.rng.expovariate(20) if self.rng.random() < 0.9 else self.rng.uniform(0, 3)

    def run_for(self, market: timedelta) -> None:
        """Market time passes with all that happens in it; a process that dies is followed by another."""
        until = self.simulator.clock.now() + market
        while (left := (until - self.simulator.clock.now()).total_seconds()) > 0.001:
            try:
                self.time.run(left / self.speed, self._look)
            except Crash:
                self.die()

    def until_the_close(self) -> timedelta:
        """Market time that is left of the session, or until the next one is over."""
        now = self.simulator.clock.now()
        return self.simulator.exchange.calendar.next_closing(now).closes_at - now

    def quiet(self) -> None:
        """Nothing goes wrong any more, and what is left of it is put right."""
        self.heal()
        self.run_for(timedelta(minutes=2.5) * self.speed)

    def wake_at_the_open(self) -> None:
        """Market time jumps to five minutes before the next open, as a fast clock that leaves out what is closed."""
        now = self.simulator.clock.now()
        clock = self.simulator.clock
        assert isinstance(clock, SteppedClock)
        clock.step(self.simulator.exchange.calendar.next_opening(now).opens_at - timedelta(minutes=5) - now)
        self.run_for(timedelta(minutes=5))

    def die(self) -> None:
        """SIGKILL, and another process a moment later."""
        self.time.forget()
        while True:
            self.restarts += 1
            self.database.close()
            try:
                self.boot()
                return
            except Crash:
                self.time.forget()

    def say(self, event: seen.Event) -> None:
        """Something reaches the bot's queue."""
        (self._waiting_stops if isinstance(event, STOPS) else self._waiting).append(event)
        if not self._deciding:
            self._deciding = True
            self.time.start(self._decide(), self.rng.expovariate(200))

    async def _decide(self) -> None:
        while self._waiting_stops or self._waiting:
            event = (self._waiting_stops or self._waiting).popleft()
            for command in self.decisions.on(event):
                self._carry_out(command)
            self.kill_handled = self.kill_handled or isinstance(event, seen.KillSeen)
            await pause(self.rng.expovariate(200))
        self._deciding = False

    def _carry_out(self, command: do.Command) -> None:
        match command:
            case do.SubmitOrder() | do.ReplaceOrder():
                self._orders.append(command)
                if not self._sending:
                    self._sending = True
                    self.time.start(self._send_orders())
            case do.TakeSnapshot() | do.ReadBars():
                kind = type(command).__name__
                is_running = kind in self._busy
                self._busy[kind] = command
                if not is_running:
                    self.time.start(self._one_at_a_time(kind))
            case do.Notice():
                pass
            case _:
                self.time.start(self._run_and_tell(command), self.rng.expovariate(50))

    async def _send_orders(self) -> None:
        while self._orders:
            await self._run_and_tell(self._orders.popleft())
        self._sending = False

    async def _one_at_a_time(self, kind: str) -> None:
        while (command := self._busy[kind]) is not None:
            self._busy[kind] = None
            await self._run_and_tell(command)
        del self._busy[kind]

    async def _run_and_tell(self, command: do.Command) -> None:
        event = await self.errands.run(command)
        self._tell_of_the_keys()
        if event is not None:
            self.say(event)

    def _tell_of_the_keys(self) -> None:
        refused = self.broker.health().keys_refused
        if bool(refused) != bool(self._keys_refused):
            self._keys_refused = refused
            self.say(seen.KeysRefused(refused) if refused else seen.KeysAccepted())

    def _start_sources(self) -> None:
        self.time.start(self._again_and_again(1.0, self.errands.clock))
        self.time.start(self._again_and_again(5.0, self.errands.figures))
        self.time.start(self._again_and_again(1.0, _tick))
        self.time.start(self._follow_trade_updates())

    async def _again_and_again(
        self, seconds: float, read: Callable[[], Coroutine[Any, Any, seen.Event | None]]
    ) -> None:
        while True:
            event = await read()
            self._tell_of_the_keys()
            if event is not None:
                self.say(event)
            await pause(seconds)

    async def _follow_trade_updates(self) -> None:
        while True:
            try:
                async with aclosing(self.broker.trade_updates()) as updates:
                    async for update in updates:
                        self.say(update)
            except (BrokerUnavailable, Unauthorized) as error:
                self.say(seen.StreamLost(str(error)))
            await pause(self.rng.uniform(0.1, 3))

    def _pass(self, passed: timedelta) -> None:
        clock = self.simulator.clock
        assert isinstance(clock, SteppedClock)
        self.machine += passed
        clock.step(passed * self.speed)

    # ------------------------------------------------------------------ what is true at every moment

    def _look(self) -> None:
        self.steps += 1
        kill = self.engine._known.kill
        if kill is not None and kill.orders_cancelled_at is not None:
            left = [order for order in self.ours if is_open(order["status"])]
            assert not left, f"the kill was confirmed with {left} open"

    def check_it_was_journaled(self, request: requests.PreparedRequest) -> None:
        """An order leaves: journaled before, once, not after a kill, within the limits."""
        super().check_it_was_journaled(request)
        if request.method != "POST" or not (request.url or "").endswith("/orders"):
            return
        body = json.loads(request.body or b"{}")
        order_id = body["client_order_id"]
        assert order_id.startswith(PREFIX)
        assert order_id not in self.posted, f"{order_id} left twice"
        assert not self.kill_handled, f"{order_id} left after the kill was seen"
        self.posted[order_id] = self.machine
        if body["side"] == "buy" and not self.interfered:
            self._check_exposure(body)

    def _check_exposure(self, body: dict[str, Any]) -> None:
        account = next(a for a in self.simulator.exchange.accounts.values() if a.terms.kind == "paper")
        values = {symbol: position.cost_basis for symbol, position in account.positions.items()}
        for order in (*(one for one in self.ours if one["side"] == "buy" and is_open(one["status"])), body):
            left = Decimal(order["qty"]) - Decimal(order.get("filled_qty", "0"))
            price = Decimal(order.get("limit_price") or 0)
            values[order["symbol"]] = values.get(order["symbol"], Decimal(0)) + left * price
        limit = self.config.capital * self.config.risk.max_position_percent / 100
        assert values[body["symbol"]] <= limit * MARKET_MOVES_WHILE_AN_ORDER_TRAVELS, (body, values)
        assert sum(values.values()) <= self.config.capital * MARKET_MOVES_WHILE_AN_ORDER_TRAVELS, (body, values)
        assert len([v for v in values.values() if v]) <= self.config.risk.max_positions

    def check_the_rate(self) -> None:
        """No entry was decided when the minute before it had as many orders as the limit allows; exits always may."""
        query = "SELECT at_machine, detail FROM journal WHERE kind = 'order_decided' ORDER BY seq"
        lines = self.database._connection.execute(query).fetchall()
        moments = [datetime.fromisoformat(at) for at, _ in lines]
        orders = {order.client_order_id: order for order in self.recovered().orders}
        most = self.config.risk.max_orders_per_minute
        for number, (at, detail) in enumerate(lines):
            if number >= most and not orders[json.loads(detail)["client_order_id"]].reducing:
                assert moments[number] - moments[number - most] >= timedelta(minutes=1), at


async def _tick() -> seen.Tick:
    return seen.Tick()
