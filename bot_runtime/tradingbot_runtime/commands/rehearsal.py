"""What a bot would order now: its own engine, fed with what the broker says, none of whose orders ever leaves.

Only questions are put to the broker: what would send, cancel or close is kept back and shown. Writes nothing.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pandas as pd

from tradingbot_api import RuntimeConfig, TradingState
from tradingbot_runtime import __version__
from tradingbot_runtime.app import Errands
from tradingbot_runtime.broker.port import Broker, BrokerUnavailable
from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.core.allocator import Execution, Intent, allocate
from tradingbot_runtime.core.engine import Engine
from tradingbot_runtime.core.gateway import CHECKS, Refusal, review
from tradingbot_runtime.core.orders import Order
from tradingbot_runtime.core.portfolio import Portfolio
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.core.values import MarketClock, Now
from tradingbot_runtime.ops.metrics import Metrics
from tradingbot_runtime.strategies.contract import Strategy
from tradingbot_runtime.strategies.evaluation import weights_of

ROUND: Final = timedelta(seconds=3)
"""Machine time that passes, without waiting for it, between two looks at the broker's books."""
MAX_ROUNDS: Final = 20
MAX_EVENTS: Final = 100_000

Kept = do.SubmitOrder | do.ReplaceOrder | do.CancelOrder | do.ClosePosition
"""What a bot would send to the broker, and a rehearsal never does."""
_WHOLE_SHARES: Final = Execution(use_market_orders=True, limit_offset_bps=0, min_trade_percent=Decimal(0))


@dataclass(frozen=True)
class Answer:
    """What one of the gateway's checks says of an intent; `reason` is None where it passes."""

    check: str
    asked: bool
    """False for a check of exposure that exits need not pass."""
    reason: str | None


@dataclass(frozen=True)
class Examined:
    """An intent that came to the gateway, and what was said of it."""

    intent: Intent
    answers: tuple[Answer, ...]
    """Every check's own word as of now, in their order."""
    refusal: Refusal | None
    """The first that refuses as of now, which is what counts."""
    refusal_at_open: Refusal | None
    """The same with the market open; the same as `refusal` when it is."""
    replaces: Order | None = None
    """The open order whose place it is to take."""


@dataclass(frozen=True)
class Rehearsed:
    """What came of a rehearsal. Prices and weights are by symbol; a symbol without one has none."""

    clock: MarketClock
    state: TradingState
    reason: str
    message: str
    held: Mapping[str, Decimal]
    open_before: Mapping[str, Order]
    """The bot's own open orders as it would have found them."""
    prices: Mapping[str, Decimal]
    bad_data: Mapping[str, str]
    weights: Mapping[str, Decimal] | None
    """None when the strategy was not asked, or failed."""
    examined: tuple[Examined, ...]
    kept: tuple[Kept, ...]
    """What would have been sent, in this order."""
    notices: tuple[do.Notice, ...]

    @property
    def orders(self) -> tuple[Order, ...]:
        """The orders that would be sent: now, or at the open where the market is closed."""
        return tuple(one.order for one in self.kept if isinstance(one, do.SubmitOrder | do.ReplaceOrder))


class _ExaminedEngine(Engine):
    """The engine, with a note of each intent that came to the gateway and of all its checks."""

    market_is_open = True
    """Whether it really is: a rehearsal for the open says so to everybody but the gateway's record."""

    def __init__(self, config: RuntimeConfig, strategy: Strategy[Any], recovered: Recovered) -> None:
        super().__init__(config, strategy, recovered)
        self.examined: list[Examined] = []
        place, put_in_place = self._desk.place, self._desk.replace

        def examined_place(intent: Intent, now: Now) -> tuple[list[do.Command], Refusal | None]:
            self.examined.append(self._examine(intent, now))
            return place(intent, now)

        def examined_replace(order: Order, intent: Intent, now: Now) -> tuple[list[do.Command], Refusal | None]:
            self.examined.append(self._examine(intent, now, replaces=order))
            return put_in_place(order, intent, now)

        # Every order passes here; the desk itself stays what a running bot has.
        self._desk.place = examined_place  # type: ignore[method-assign]  # an instance's own, seen by nobody else
        self._desk.replace = examined_replace  # type: ignore[method-assign]  # the same

    def _examine(self, intent: Intent, now: Now, replaces: Order | None = None) -> Examined:
        order_id, at_open = self._books.next_order_id(), self._desk._gate(now, without=replaces)
        gate = at_open if self.market_is_open else replace(at_open, market_open=False)
        answers = tuple(
            Answer(name, asked, check(intent, order_id, gate) if asked else None)
            for name, check, asked in ((name, check, also or not intent.reducing) for name, check, also in CHECKS)
        )
        return Examined(intent, answers, review(intent, order_id, gate), review(intent, order_id, at_open), replaces)

    @property
    def held(self) -> dict[str, Decimal]:
        return {symbol: holding.qty for symbol, holding in self._books.portfolio.holdings.items()}

    @property
    def open_orders(self) -> dict[str, Order]:
        return self._books.open_by_symbol()

    @property
    def prices(self) -> dict[str, Decimal]:
        return dict(self._known.prices)

    @property
    def bad_data(self) -> dict[str, str]:
        return dict(self._known.data_halts)


class Rehearsal:
    """One evaluation of one bot. Used once."""

    def __init__(
        self,
        config: RuntimeConfig,
        strategy: Strategy[Any],
        recovered: Recovered | None,
        broker: Broker,
        machine: datetime,
    ) -> None:
        """`recovered`: what the volume gave; None for a bot without one, which begins with what the account holds."""
        self._broker = broker
        self._takes_over = recovered is None
        self._is_live = config.grant is not None
        self._engine = _ExaminedEngine(config, strategy, recovered or Recovered())
        self._now = Now(machine=machine)
        self._market_is_open = True
        self._weights: Mapping[str, Decimal] | None = None
        self._kept: list[Kept] = []
        self._notices: list[do.Notice] = []
        self._errands = Errands(
            broker,
            lambda order_id: False,
            self._engine.bars_needed,
            self._evaluate,
            config,
            Metrics(lambda: self._engine.counters),
            lambda: self._now,
            self._skip,
        )

    async def run(self) -> Rehearsed:
        """Reads what the bot would read, and lets its engine decide. Raises a BrokerError when that cannot be read."""
        clock = await self._broker.clock()
        self._market_is_open = self._engine.market_is_open = clock.is_open
        await self._tell(seen.ClockRead(clock))
        await self._tell(seen.StreamConnected())
        if self._is_live:
            # Nothing is ordered, so the grant may be taken for granted; a withdrawal in the state still counts.
            await self._tell(seen.GrantSeen(granted=True))
        if self._takes_over:
            await self._tell(seen.PositionsAccepted("a plan without a state begins with what the account holds"))
        await self._settle()
        held, open_before = self._engine.held, self._engine.open_orders
        self._engine.examined.clear()
        self._kept.clear()
        await self._tell(seen.EvaluationAsked(f"plan of {self._now.machine.isoformat()}"))
        self._notices.clear()
        await self._tell(seen.ClockRead(clock if clock.is_open else _at_the_open(clock)))
        report = self._engine.report(self._now, version=__version__, started_at=self._now.machine)
        return Rehearsed(
            clock=clock,
            state=report.trading_state,
            reason=report.reason,
            message=report.message,
            held=held,
            open_before=open_before,
            prices=self._engine.prices,
            bad_data=self._engine.bad_data,
            weights=self._weights,
            examined=tuple(self._engine.examined),
            kept=tuple(self._kept),
            notices=tuple(self._notices),
        )

    async def _settle(self) -> None:
        """Compares the books as often as a starting bot does, in time that passes without waiting."""
        for _ in range(MAX_ROUNDS):
            if self._engine.is_ready:
                return
            await self._skip(ROUND.total_seconds())
            await self._tell(seen.Tick())

    async def _tell(self, event: seen.Event) -> None:
        events: deque[seen.Event] = deque([event])
        for _ in range(MAX_EVENTS):
            if not events:
                return
            happens = events.popleft()
            self._notice(happens)
            for command in self._engine.handle(happens, self._now):
                outcome = await self._carry_out(command)
                if outcome is not None:
                    events.append(outcome)
        raise RuntimeError(f"one event led to more than {MAX_EVENTS} others")

    def _notice(self, event: seen.Event) -> None:
        match event:
            case seen.ClockRead(clock):
                self._now = replace(self._now, market=clock.timestamp)
            case seen.TargetsComputed(_, weights):
                self._weights = weights

    async def _carry_out(self, command: do.Command) -> seen.Event | None:
        match command:
            case do.Journal():
                return None
            case do.Notice():
                self._notices.append(command)
                return None
            case do.SubmitOrder() | do.ReplaceOrder() | do.CancelOrder() | do.ClosePosition():
                self._kept.append(command)
                return None
        outcome = await self._errands.run(command)
        if isinstance(outcome, seen.SnapshotFailed | seen.BarsFailed):
            raise BrokerUnavailable(outcome.reason)
        if isinstance(outcome, seen.BarsClosed) and not self._market_is_open:
            # Quotes of a closed market are old, and no sign of a fault: at the open there are others.
            return replace(outcome, quotes=None)
        return outcome

    async def _evaluate(self, frames: Mapping[str, pd.DataFrame]) -> Mapping[str, Decimal]:
        return weights_of(self._engine.strategy, frames)

    async def _skip(self, seconds: float) -> None:
        self._now = replace(self._now, machine=self._now.machine + timedelta(seconds=seconds))


def target_shares(
    weights: Mapping[str, Decimal], prices: Mapping[str, Decimal], capital: Decimal
) -> Mapping[str, Decimal]:
    """Whole shares that the weights come to, by the allocator's own word: what it would buy from nothing."""
    bought = allocate(weights, prices, Portfolio(), {}, capital, _WHOLE_SHARES).intents
    return {intent.symbol: intent.qty for intent in bought}


def of_symbol(symbol: str, examined: Sequence[Examined]) -> Examined | None:
    """What the gateway said of a symbol's order; there is one at most."""
    return next((one for one in examined if one.intent.symbol == symbol), None)


def _at_the_open(clock: MarketClock) -> MarketClock:
    """The clock as it will be when the market opens."""
    return replace(clock, timestamp=clock.next_open, is_open=True)
