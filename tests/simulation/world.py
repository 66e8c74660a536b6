"""A bot, its volume and the simulator in one process and in virtual time: the same seed gives the same history.

The real engine, the real SQLite and alpaca-py; only sockets, threads and waiting are left out.
"""

import json
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import pandas as pd
import requests

from alpaca_simulator.api.messages import Request
from alpaca_simulator.api.rendering import order_json, trade_update_json
from alpaca_simulator.exchange.accounts import Account
from alpaca_simulator.in_process import InProcessAdapter
from alpaca_simulator.market.calendar import new_york_stock_exchange
from alpaca_simulator.market.clock import SteppedClock
from alpaca_simulator.market.prices import Market
from alpaca_simulator.simulator import Simulator, stepped
from builders import UID, a_config
from tradingbot_runtime.app import Decisions, Errands
from tradingbot_runtime.broker.alpaca import AlpacaBroker
from tradingbot_runtime.broker.budget import RequestBudget
from tradingbot_runtime.broker.connection import Credentials
from tradingbot_runtime.broker.lanes import InlineLane, Lane
from tradingbot_runtime.broker.reading import trade_update_from
from tradingbot_runtime.broker.retries import Retries
from tradingbot_runtime.broker.trade_updates import TradeUpdates
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.core.engine import Engine
from tradingbot_runtime.core.orders import client_order_id_prefix
from tradingbot_runtime.core.portfolio import Portfolio
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.core.values import Now
from tradingbot_runtime.in_order import InOrder
from tradingbot_runtime.ops.metrics import Metrics
from tradingbot_runtime.recording import Recorder
from tradingbot_runtime.state import Database
from tradingbot_runtime.strategies.contract import Strategy
from tradingbot_runtime.strategies.evaluation import weights_of
from tradingbot_runtime.strategies.registry import load

MONDAY = datetime(2026, 3, 2, 14, 25, tzinfo=UTC)
"""Five minutes before the open in New York."""
T = TypeVar("T")
KEYS = Credentials("PKDEMOPAPER", "demo-paper-secret")
LIVE_KEYS = Credentials("AKDEMOLIVE", "demo-live-secret")
PREFIX = client_order_id_prefix(UID, "paper")
LIVE_PREFIX = client_order_id_prefix(UID, "live")


@lru_cache(maxsize=4)
def _market(seed: int) -> Market:
    """Prices of a seed: the same for every world, and dear to make."""
    return Market(seed, new_york_stock_exchange())


class Crash(BaseException):
    """The process dies here: nothing in it may catch this."""


def driven(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine of a world returns that waits for nobody, without an event loop: a fork may continue it."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return cast(T, ended.value)
    raise AssertionError("it waits for something that only an event loop brings")


@dataclass
class Points:
    """Counts the moments at which a process may die, and lets it die at some."""

    dies_at: Callable[[int], bool] = field(default=lambda number: False)
    passed: list[str] = field(default_factory=list)

    def reach(self, name: str) -> None:
        """One more moment. Raises Crash when the process is to die here."""
        self.passed.append(name)
        if self.dies_at(len(self.passed) - 1):
            raise Crash(name)


class DyingAdapter(InProcessAdapter):
    """Answers through the simulator; the process may die before a request and after it."""

    def __init__(self, world: "World") -> None:
        super().__init__(world.simulator.rest)
        self._world = world

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        name = f"{request.method} {(request.url or '').split('/v2')[-1].split('?')[0]}"
        self._world.points.reach(f"before {name}")
        self._world.check_it_was_journaled(request)
        response = self._world.answer(request, lambda: super(DyingAdapter, self).send(request, *args, **kwargs))
        self._world.points.reach(f"after {name}")
        return response


class DyingDatabase(Database):
    """Commits for real; the process may die before a commit and after it."""

    points: Points
    log_grew: tuple[int, int] = (0, 0)
    """Bytes of the write-ahead log before and after the last commit."""

    def commit(self, entries: Any, now: Now) -> None:
        self.points.reach("before commit")
        before = self._log_bytes()
        super().commit(entries, now)
        self.log_grew = before, self._log_bytes()
        self.points.reach("after commit")

    def _log_bytes(self) -> int:
        log = self._path.with_name(f"{self._path.name}-wal")
        return log.stat().st_size if log.exists() else 0


class World:
    """One bot on one simulator."""

    def __init__(
        self,
        volume: Path,
        seed: int = 1,
        points: Points | None = None,
        start: datetime = MONDAY,
        simulator: Simulator | None = None,
        **config: Any,
    ) -> None:
        self.volume = volume
        self.points = points or Points()
        self.simulator: Simulator = simulator or stepped(start, seed)
        if simulator is None:
            self.simulator.exchange.market = _market(seed)
        self.machine = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
        self.restarts = 0
        self.left_behind: list[DyingDatabase] = []
        """Databases of processes that died without closing them: another process may still use what they are of."""
        self.recorded: Path | None = None
        """Where the decisions of each process are recorded: a file for each start."""
        self.recordings: list[Path] = []
        self._recorder: Recorder | None = None
        self.answer: Callable[[requests.PreparedRequest, Callable[[], requests.Response]], requests.Response]
        self.answer = lambda request, send: send()
        defaults: dict[str, Any] = {
            "symbols": ["AAPL", "MSFT", "SPY"],
            "strategy": {"name": "momentum", "parameters": {"lookback": 3, "max_weight": 0.25}},
            "timeframe": "15Min",
        }
        self.config = a_config(**(defaults | config))
        self.mode = self.config.mode.value
        self.prefix = client_order_id_prefix(UID, self.mode)
        self.boot()

    # ------------------------------------------------------------------ the bot's process

    def boot(self) -> None:
        """Starts a process on the volume."""
        self.database = DyingDatabase.open(self.volume, UID, self.mode)
        self.database.points = self.points
        strategy = load(self.config.strategy.name, self.config.strategy.parameters)
        recovered = self.database.recover()
        self.engine = self.engine_of(strategy, recovered)
        metrics = Metrics(lambda: self.engine.counters)
        self.decisions = Decisions(self.engine, self.database, metrics, lambda: self.machine, self._record(recovered))
        retries = Retries(random.Random(1), self.wait)
        self.broker = AlpacaBroker(
            self.config.broker,
            KEYS if self.mode == "paper" else LIVE_KEYS,
            prefix=self.prefix,
            rng=random.Random(1),
            session=self._session,
            lane=lambda name, threads: self.lane(),
            retries=retries,
            budget=lambda name: RequestBudget(name, monotonic=self._monotonic, sleep=self.wait),
            trade_updates=self.stream(),
            monotonic=self._monotonic,
        )
        self.errands = Errands(
            self.broker,
            self.engine.may_send,
            self.engine.bars_needed,
            self.evaluate,
            self.config,
            metrics,
            self.decisions.now,
            self.wait,
        )
        self.bot = InOrder(self.decisions, self.errands)

    def engine_of(self, strategy: Strategy[Any], recovered: Recovered) -> Engine:
        """The process's mind."""
        return Engine(self.config, strategy, recovered)

    def lane(self) -> Lane:
        """Where calls to the broker are made."""
        return InlineLane()

    def stream(self) -> TradeUpdates | None:
        """The stream of trade updates that the broker is to read; None: nobody reads it by the broker."""
        return None

    def _record(self, recovered: Recovered) -> Recorder | None:
        self.end_recording()
        if self.recorded is None:
            return None
        path = self.recorded / f"{len(self.recordings)}.jsonl"
        self.recordings.append(path)
        self._recorder = Recorder(path, self.config, recovered, watched=False)
        return self._recorder

    def record_in(self, directory: Path) -> None:
        """Records what every later process decides."""
        self.recorded = directory

    def end_recording(self) -> None:
        """Ends the file that this process writes."""
        if self._recorder is not None:
            self._recorder.__exit__(None, None, None)
            self._recorder = None

    async def evaluate(self, frames: Mapping[str, pd.DataFrame]) -> Mapping[str, Decimal]:
        """The strategy's targets, at once."""
        return weights_of(self.engine.strategy, frames)

    def _monotonic(self) -> float:
        return self.machine.timestamp()

    def _session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        for scheme in ("http://", "https://"):
            session.mount(scheme, DyingAdapter(self))
        return session

    async def begin(self) -> None:
        """What a process does first: read the clock, connect the stream, compare the books."""
        await self.bot.read_clock()
        await self.bot.tell(seen.StreamConnected())

    async def restart(self) -> None:
        """Ends the process without a word, and starts another; it may die again on the way."""
        while True:
            if self.database not in self.left_behind:
                self.database.close()
            self.restarts += 1
            with suppress(Crash):
                self.boot()
                await self.begin()
                return

    def die_on(self, volume: Path) -> None:
        """The process is about to die, and what comes after it has only this copy of its volume."""
        self.left_behind.append(self.database)
        self.volume = volume

    async def wait(self, seconds: float) -> None:
        """Time passes for the machine only."""
        self.machine += timedelta(seconds=seconds)

    # ------------------------------------------------------------------ time

    async def step(self, market: timedelta) -> None:
        """Market time passes; the bot hears of its orders, reads the clock and ticks."""
        clock = self.simulator.clock
        assert isinstance(clock, SteppedClock)
        clock.step(market)
        self.machine += timedelta(seconds=5)
        await self._hear_all()

    async def linger(self) -> None:
        """A few seconds in which the market stands still: what was said just now is answered."""
        for _ in range(4):
            await self.wait(3)
            await self._hear_all()

    async def _hear_all(self) -> None:
        updates = [trade_update_from(trade_update_json(one)) for one in self.simulator.take_trade_updates()]
        await self.live(lambda: self._hear(updates))

    async def sleep_until_the_open(self) -> None:
        """Market time jumps to five minutes before the next open."""
        now = self.simulator.clock.now()
        await self.step(self.simulator.exchange.calendar.next_opening(now).opens_at - timedelta(minutes=5) - now)

    async def run(self, sessions: int, every: timedelta = timedelta(minutes=15)) -> None:
        """Trades whole sessions, from before the open to after the close."""
        for _ in range(sessions):
            calendar, now = self.simulator.exchange.calendar, self.simulator.clock.now()
            session = calendar.next_closing(now)
            if now < session.opens_at - timedelta(minutes=5):
                await self.step(session.opens_at - timedelta(minutes=5) - now)
            while self.simulator.clock.now() < session.closes_at + timedelta(minutes=5):
                await self.step(every)

    async def tell(self, event: seen.Event) -> None:
        """Something happens to the bot."""
        await self.live(lambda: self.bot.tell(event))

    async def settle(self) -> None:
        """Lets the bot compare its books until nothing changes any more."""
        for _ in range(6):
            await self.step(timedelta(seconds=1))
            self.machine += timedelta(seconds=60)
            await self.tell(seen.Tick())

    def fault(self, **rule: Any) -> None:
        """Something goes wrong from now on, as docs/simulator.md has it."""
        self._ask_simulator("POST", "/admin/faults", rule)

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        self._ask_simulator("DELETE", "/admin/faults", None)

    def intervene(self, **deed: Any) -> bool:
        """Somebody else does something to the account or the market; False when the exchange refuses it."""
        return self._ask_simulator("POST", "/admin/interventions", deed, may_fail=True)

    def _ask_simulator(self, method: str, path: str, body: Any, *, may_fail: bool = False) -> bool:
        content = b"" if body is None else json.dumps(body).encode()
        answer = self.simulator.rest.handle(Request(method, path, "", {}, content))
        assert may_fail or answer.status < 300, answer.body
        return answer.status < 300

    async def _hear(self, updates: list[seen.TradeUpdate]) -> None:
        for update in updates:
            await self.bot.tell(update)
        await self.bot.read_clock()
        await self.bot.tell(seen.Tick())

    async def live(self, happens: Callable[[], Awaitable[None]]) -> None:
        """Something happens; a process that dies of it is followed by another."""
        try:
            await happens()
        except Crash:
            # What was not heard yet is lost with the process; the new one reads the broker's books.
            await self.restart()
            await self._catch_up()

    async def _catch_up(self) -> None:
        """A few seconds in which the market stands still: the new process asks about what the old one left open."""
        for _ in range(4):
            await self.wait(3)
            try:
                await self.bot.tell(seen.Tick())
                await self.bot.read_clock()
            except Crash:
                await self.restart()

    # ------------------------------------------------------------------ what is true

    @property
    def account(self) -> Account:
        """The bot's account at the simulator."""
        return self.account_of(self.mode)

    def account_of(self, kind: str) -> Account:
        """The simulator's paper or live account."""
        return next(one for one in self.simulator.exchange.accounts.values() if one.terms.kind == kind)

    @property
    def orders(self) -> list[dict[str, Any]]:
        """Every order at the simulator, oldest first."""
        return [dict(order_json(order)) for order in reversed(list(self.account.orders_newest_first()))]

    @property
    def ideas(self) -> list[tuple[Any, ...]]:
        """What the orders wanted, without their ids: equal in two runs that decided the same."""
        wanted = ("created_at", "symbol", "side", "qty", "limit_price")
        return sorted(tuple(order[key] for key in wanted) for order in self.orders)

    @property
    def cash(self) -> Decimal:
        """The simulator's cash."""
        return self.account.cash

    @property
    def held(self) -> dict[str, Decimal]:
        """The simulator's positions."""
        return {symbol: position.quantity for symbol, position in self.account.positions.items()}

    def recovered(self) -> Recovered:
        """The volume as a new process would find it; verifies it on the way."""
        return self.database.recover()

    @property
    def ours(self) -> list[dict[str, Any]]:
        """The bot's own orders at the simulator, oldest first."""
        return [order for order in self.orders if order["client_order_id"].startswith(self.prefix)]

    def check(self, *, interfered: bool = False) -> None:
        """The invariants that hold after any history, once the books were compared.

        `interfered`: somebody else, or the broker's closing of positions, has left orders and corrections.
        """
        books = self.recovered()
        orders = self.ours if interfered else self.orders
        ids = [order["client_order_id"] for order in orders]
        assert len(ids) == len(set(ids)), "an order was sent twice"
        journaled = {order.client_order_id: order for order in books.orders}
        assert set(ids) <= set(journaled), "an order at the broker is not in the journal"
        for order in orders:
            ours = journaled[order["client_order_id"]]
            assert ours.filled_qty == Decimal(str(order["filled_qty"])), ours
            assert ours.state.value == order["status"], (ours, order["status"])
        portfolio = Portfolio.of(books.fills)
        assert {s: h.qty for s, h in portfolio.holdings.items()} == self.held, "positions are not the sum of fills"
        assert interfered or all(fill.client_order_id for fill in books.fills), "the books had to be corrected"
        assert self.engine.counters["orders", "transition_blocked"] == 0

    def check_it_was_journaled(self, request: requests.PreparedRequest) -> None:
        """An order is journaled before it is sent: looked up at the very moment it leaves."""
        if request.method != "POST" or not (request.url or "").endswith("/orders"):
            return
        order_id = json.loads(request.body or b"{}")["client_order_id"]
        row = self.database._connection.execute(
            "SELECT state FROM orders WHERE client_order_id = ?", (order_id,)
        ).fetchone()
        assert row is not None, f"{order_id} left before it was journaled"
        assert not self.database._connection.in_transaction, "an order left inside a transaction"
