"""A bot whose world strikes it with a kill at a chosen moment, and looks after every step whether the kill holds.

What is asked of it: once the kill was handled nothing that opens exposure leaves for the broker; never is more sold
than was held; what the bot says is confirmed is so at the broker at that very moment. Asked of the simulator.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import requests

from alpaca_simulator.market.clock import SteppedClock
from builders import UID
from simulation.order_faults import AskedEngine, Place, intent_of
from simulation.shuffled import ShuffledWorld
from simulation.world import KEYS, PREFIX, Points
from tradingbot_api import FlattenReport, KillReport, OnKill, RuntimeConfig
from tradingbot_runtime.broker.alpaca import AlpacaBroker
from tradingbot_runtime.broker.budget import RequestBudget
from tradingbot_runtime.broker.retries import Retries
from tradingbot_runtime.commands.flattening import Flattening, Target
from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.core.allocator import Intent
from tradingbot_runtime.core.engine import Engine
from tradingbot_runtime.core.kill import is_open
from tradingbot_runtime.core.orders import OrderState
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.core.values import Now, OrderClass, OrderType
from tradingbot_runtime.strategies.contract import Strategy

NOON = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
KILL = seen.KillSeen("enough", "TradingBot")


@dataclass(frozen=True)
class PutInPlace:
    """Asks the engine's desk to replace an open order."""

    client_order_id: str
    intent: Intent


class StruckEngine(AskedEngine):
    """The engine, with a desk that may be asked directly, also to replace."""

    def handle(self, event: seen.Event | Place | PutInPlace, now: Now) -> list[do.Command]:
        """What to do about an event, or about a wish; the strategy wants nothing, so that every order is the test's."""
        if isinstance(event, seen.TargetsComputed):
            event = replace(event, weights={})
        if not isinstance(event, PutInPlace):
            return super().handle(event, now)
        commands, refusal = self._desk.replace(self._books.orders[event.client_order_id], event.intent, now)
        assert refusal is None, refusal
        return commands


class KillWorld(ShuffledWorld):
    """One bot on one simulator, with the annotation of a kill once `kill` was called. Market and machine go alike."""

    engine: StruckEngine

    def __init__(self, volume: Path, seed: int = 1, **config: Any) -> None:
        self.annotation: seen.KillSeen | None = None
        self.strikes_at: Callable[[str], bool] = lambda name: False
        """Whether the kill comes at the point of that name: around each commit and each request."""
        self.travels_seconds: float | None = None
        """How long everything to and from the broker is on its way; None: as the seed has it."""
        defaults: dict[str, Any] = {
            "symbols": ["AAPL", "MSFT"],
            "timeframe": "1Day",
            "capital": "1000000",
            "onKill": "Flatten",
            "risk": {"priceCollarPercent": 50},
        }
        points = Points(self._pass_point)
        super().__init__(volume, seed, speed=1.0, start=NOON, points=points, **(defaults | config))
        try:
            self._take_positions()
        except BaseException:
            self.__exit__()
            raise

    def _take_positions(self) -> None:
        self.run_until(lambda: {"AAPL", "MSFT"} <= self.engine._known.prices.keys() and self.engine.is_ready)
        for symbol in ("AAPL", "MSFT"):
            self.place(symbol=symbol)
        self.run_until(lambda: self.held == {"AAPL": 10, "MSFT": 10} and not self.engine._books.open_count())

    def boot(self) -> None:
        """Starts a process on the volume; the annotation is still there."""
        super().boot()
        if self.annotation is not None:
            self.say(self.annotation)

    def engine_of(self, strategy: Strategy[Any], recovered: Recovered) -> Engine:
        """The process's mind."""
        return StruckEngine(self.config, strategy, recovered)

    # ------------------------------------------------------------------ what is done to it

    def place(self, order_class: OrderClass = OrderClass.SIMPLE, *, far: bool = False, **changes: Any) -> None:
        """Has ten shares of AAPL, or of `symbol`, ordered at a price that trades soon, or far from it."""
        self.say(Place(self.wish(order_class, far=far, **changes)))  # type: ignore[arg-type]

    def wish(self, order_class: OrderClass = OrderClass.SIMPLE, *, far: bool = False, **changes: Any) -> Intent:
        """The intent for that."""
        price = self.price_of(changes.get("symbol", "AAPL"))
        intent = intent_of(OrderType.LIMIT, order_class, price)
        limit = (price * Decimal("0.8")).quantize(Decimal("0.01")) if far else intent.limit_price
        return replace(intent, **{"limit_price": limit, **changes})

    def price_of(self, symbol: str) -> Decimal:
        """Of the last trade, at the exchange."""
        exchange = self.simulator.exchange
        asset = exchange.catalogue.find(symbol)
        assert asset is not None
        return Decimal(exchange.market.quote(asset, exchange.now).last).scaleb(-2)

    def some_seconds(self) -> float:
        """How long something on its way takes."""
        return super().some_seconds() if self.travels_seconds is None else self.travels_seconds

    def kill(self) -> None:
        """Somebody annotates the bot."""
        self.annotation = KILL
        self.say(KILL)

    def run_until(self, so: Callable[[], bool], longest: timedelta = 5 * MINUTE) -> None:
        """Time passes until it is so. Fails when that takes too long."""
        until = self.time.now + longest
        while not so():
            assert self.time.now < until, f"not so after {longest}"
            self.run_for(timedelta(milliseconds=100))

    def freeze(self) -> None:
        """The process dies and nobody starts another, yet."""
        self.time.forget()
        self.database.close()

    def wake_up(self, volume: Path) -> None:
        """A process begins on that volume, killed already by what its config tells."""
        self._begin_with(volume, killed={"epoch": 1, "reason": "asked while it was away"})
        self.kill_handled = True

    def release_and_wake_up(self, epoch: int) -> None:
        """A process begins on its volume with a config by which the kills up to `epoch` are over."""
        self._begin_with(self.volume, epoch=epoch)

    def _begin_with(self, volume: Path, **config: Any) -> None:
        self.volume = volume
        document = self.config.model_dump(mode="json", by_alias=True) | config
        self.config = RuntimeConfig.model_validate(document)
        self.boot()

    def sleep_for(self, market: timedelta) -> None:
        """Market time jumps, the machine's stands still."""
        clock = self.simulator.clock
        assert isinstance(clock, SteppedClock)
        clock.step(market)

    def journal(self, kind: str) -> list[dict[str, str]]:
        """What the lines of a kind say."""
        lines = self.database._connection.execute("SELECT detail FROM journal WHERE kind = ? ORDER BY seq", (kind,))
        return [json.loads(detail) for (detail,) in lines]

    def flatten(self, seconds: float) -> list[FlattenReport]:
        """`tradingbot flatten` runs beside whatever else does; its report is in the list once it has ended."""
        broker = AlpacaBroker(
            self.config.broker,
            KEYS,
            prefix=PREFIX,
            rng=self.rng,
            session=self._session,
            lane=lambda name, threads: self.lane(),
            retries=Retries(self.rng, self.wait),
            budget=lambda name: RequestBudget(name, monotonic=self._monotonic, sleep=self.wait),
            monotonic=self._monotonic,
        )
        target = Target(UID, self.mode, PREFIX, frozenset(self.config.symbols), closes_positions=True)
        work = Flattening(
            broker, target, machine_clock=lambda: self.machine, monotonic=self._monotonic, sleep=self.wait
        )
        reports: list[FlattenReport] = []

        async def run() -> None:
            reports.append(await work.run(seconds))

        self.time.start(run())
        return reports

    # ------------------------------------------------------------------ what is true

    @property
    def now_open(self) -> list[dict[str, Any]]:
        """Every open order of the account, legs and closings included."""
        return [order for order in self.orders if is_open(order["status"])]

    def states(self, *states: OrderState) -> list[str]:
        """Our orders in these states, by the bot's own books."""
        return [one.client_order_id for one in self.engine._books.orders.values() if one.state in states]

    @property
    def told(self) -> KillReport | None:
        """What the bot says of its kill."""
        return self.engine.report(self.decisions.now(), version="1", started_at=self.machine).kill

    def check_it_was_journaled(self, request: requests.PreparedRequest) -> None:
        """Something leaves: no order, and nothing in the place of one, after the kill was handled."""
        super().check_it_was_journaled(request)
        assert not (request.method == "PATCH" and self.kill_handled), "an order was replaced after the kill was seen"

    @property
    def is_done(self) -> bool:
        """Whether the bot says that the broker has confirmed all of the kill."""
        told = self.told
        flattens = self.config.on_kill is OnKill.FLATTEN
        return told is not None and told.orders_cancelled_at is not None and (told.flat_at is not None or not flattens)

    def ends_well(self, longest: timedelta = 4 * MINUTE) -> None:
        """It is confirmed, and stays so: nothing open or bought since, no share sold twice, books as the broker's."""
        self.run_until(lambda: self.is_done, longest)
        self.heal()
        self.run_for(15 * SECOND)
        assert self.is_done and not self.now_open
        assert not (self.held and self.config.on_kill is OnKill.FLATTEN)
        self._check_sums()
        self.check(interfered=True)

    def _pass_point(self, number: int) -> bool:
        if self.annotation is None and self.strikes_at(self.points.passed[number]):
            self.kill()
        return False

    def _look(self) -> None:
        super()._look()
        held = self.held
        assert all(qty > 0 for qty in held.values()), f"more was sold than was held: {held}"
        kill = self.engine._known.kill
        if kill is None or kill.orders_cancelled_at is None:
            return
        entries = [order for order in self.now_open if order["side"] == "buy" or order["order_class"]]
        assert not entries, f"confirmed with {entries} open"
        if kill.flat_at is not None:
            assert (held, self.now_open) == ({}, []), "flat was confirmed"

    def _check_sums(self) -> None:
        filled = {"buy": Decimal(0), "sell": Decimal(0)}
        for order in self.orders:
            filled[order["side"]] += Decimal(str(order["filled_qty"]))
        assert filled["buy"] - filled["sell"] == sum(self.held.values(), Decimal(0))
        assert filled["buy"] > 0
