"""The engine: one event in, commands out. Every decision of the bot passes here, in one thread, without I/O.

The flow: bars -> quality -> strategy -> allocator -> gateway -> journal -> broker -> trade update -> journal ->
portfolio. Whoever runs the engine commits all Journals of one decision together before it does anything else.
"""

import json
import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pandas as pd

from tradingbot_api import (
    OnControlPlaneLoss,
    OnDelete,
    OnKill,
    OrderKind,
    ReconciliationReport,
    RuntimeConfig,
    RuntimeReport,
    Timeframe,
    TradingState,
)
from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.core.allocator import Execution, Intent, allocate
from tradingbot_runtime.core.bars import usable_closes
from tradingbot_runtime.core.books import Books
from tradingbot_runtime.core.gateway import Gate, review
from tradingbot_runtime.core.kill import KillState, confirm, is_open
from tradingbot_runtime.core.orders import (
    UNANSWERED,
    Order,
    OrderState,
    advance,
)
from tradingbot_runtime.core.reconcile import Difference, order_findings, position_differences
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.core.report import (
    account_report,
    instant,
    kill_report,
    order_report,
    position_reports,
    reconciliation_report,
    text,
)
from tradingbot_runtime.core.risk import CHECKPOINT as RISK_CHECKPOINT
from tradingbot_runtime.core.risk import Limits, RiskLedger
from tradingbot_runtime.core.values import (
    BrokerFigures,
    BrokerOrder,
    BrokerPosition,
    BrokerSnapshot,
    MarketClock,
    Now,
    OrderType,
    TimeInForce,
)
from tradingbot_runtime.strategies.contract import Strategy

ORDERS_CHECK_EVERY: Final = timedelta(minutes=2)
"""Market time between two reconciliations (design: orders every 2 min, positions every 5; one snapshot does both)."""
CLOSED_MARKET_CHECK_EVERY: Final = timedelta(seconds=60)
"""Machine time between two reconciliations, so that neither a closed market nor a fast clock sets the pace alone."""
RECONCILE_AT_MOST_EVERY: Final = timedelta(seconds=2)
CLOSE_AGAIN_AFTER: Final = timedelta(seconds=5)
KILL_CHECK_EVERY: Final = timedelta(milliseconds=200)
UNKNOWN_ANSWERS_NEEDED: Final = 3
ASK_AGAIN_SECONDS: Final = 2.0
CONTROL_PLANE_LOST_AFTER: Final = timedelta(minutes=5)
UNCLEAN_RUNS_TO_HALT: Final = 3
CLEAN_RUNS_TO_RESUME: Final = 2
RECENT_ORDERS_REPORTED: Final = 20

_ZERO = Decimal(0)
_MINUTES = {Timeframe.MIN_1: 1, Timeframe.MIN_5: 5, Timeframe.MIN_15: 15, Timeframe.HOUR_1: 60}


class Engine:
    """One bot's mind. Not thread-safe: one caller, one event at a time."""

    def __init__(
        self, config: RuntimeConfig, strategy: Strategy[Any], recovered: Recovered, *, watched: bool = False
    ) -> None:
        """`watched` says that a control plane is attached: nothing is traded before it was seen once."""
        self._config = config
        self._strategy = strategy
        self._symbols = frozenset(config.symbols)
        self.counters: Counter[tuple[str, str]] = Counter()
        """How often what happened: ("orders", "submitted"), ("refused", "max_positions"), ..."""
        self._books = Books(config, recovered, self.counters)
        self._kill = recovered.kill
        self._risk = RiskLedger.from_json(recovered.checkpoints.get(RISK_CHECKPOINT))
        self._execution = Execution(
            use_market_orders=config.execution.order_type is OrderKind.MARKET,
            limit_offset_bps=config.execution.limit_offset_bps,
            min_trade_percent=config.execution.min_trade_percent,
        )
        self._limits = Limits(
            daily_loss=config.risk.max_daily_loss_percent / 100, drawdown=config.risk.max_drawdown_percent / 100
        )

        self._clock: MarketClock | None = None
        self._figures: BrokerFigures | None = None
        self._prices: dict[str, Decimal] = {}
        self._paused = False
        self._deleted = False
        self._watched = watched
        self._control_plane_seen_at: datetime | None = None
        self._control_plane_lost = False

        self._stream_connected = False
        self._broker_connected = False
        self._books_current = False  # a snapshot was compared since the stream last connected
        self._snapshot_under_way = False
        self._snapshot_asked_at: datetime | None = None
        self._snapshot_market_at: datetime | None = None
        self._suspected: tuple[object, ...] = ()  # differences seen once: only what is seen twice is one
        self._unclean_runs = 0
        self._clean_runs = 0
        self._halted_by_reconciliation = False
        self._last_reconciliation: ReconciliationReport | None = None

        self._in_flight: set[str] = set()  # sent by this process, outcome not yet known
        self._unknown_answers: Counter[str] = Counter()
        self._sent_at: deque[datetime] = deque(maxlen=200)
        self._cancels_asked: dict[str, datetime] = {}
        self._closes_asked: dict[str, datetime] = {}
        self._reading_bar: str | None = None
        self._last_bar: str | None = None
        self._last_bar_at: datetime | None = None
        self._strategy_error: str | None = None

    # ------------------------------------------------------------------ what others may ask

    @property
    def bars_needed(self) -> int:
        """How many closed bars a BarsClosed event should hold for each symbol."""
        return self._strategy.lookback

    @property
    def is_ready(self) -> bool:
        """Whether the books agree with the broker's and the next bar can be acted upon."""
        return self._not_ready_reason() is None

    def may_send(self, order_id: str) -> bool:
        """Whether a journaled order may still leave: asked at the last moment before it is sent."""
        order = self._books.orders.get(order_id)
        if order is None or order.state is not OrderState.JOURNALED:
            return False
        if self._kill is not None or self._deleted or self._halted_by_reconciliation:
            return False
        return order.reducing or not (self._paused or self._reducing_reason())

    # ------------------------------------------------------------------ the one entry

    def handle(self, event: seen.Event, now: Now) -> list[do.Command]:
        """What to do about an event. Total: bad data from outside leads to a notice, never to an exception."""
        match event:
            case seen.KillSeen():
                return self._on_kill(event, now)
            case seen.ClockRead(clock):
                return self._on_clock(clock, now)
            case seen.BarsClosed():
                return self._on_bars(event, now)
            case seen.BarsFailed(reason):
                self._reading_bar = None
                return self._notice("warning", "bars_failed", reason)
            case seen.SnapshotTaken():
                return self._on_snapshot(event, now)
            case seen.SnapshotFailed(reason):
                return self._on_snapshot_failed(reason, now)
            case seen.FiguresRead(figures):
                self._figures = figures
                self._broker_connected = True
                return []
            case seen.TradeUpdate(_, order):
                return self._on_broker_order(order, now, f"trade update {event.event}")
            case seen.SubmitAcknowledged(order):
                self._in_flight.discard(order.client_order_id)
                return self._on_broker_order(order, now, "acknowledged")
            case seen.SubmitRejected(order_id, message):
                return self._on_rejected(order_id, message)
            case seen.SubmitWithheld(order_id, reason):
                return self._on_withheld(order_id, reason)
            case seen.SubmitInDoubt(order_id, message):
                return self._on_doubt(order_id, message)
            case seen.QueryAnswered(order_id, order):
                return self._on_answer(order_id, order, now)
            case seen.StreamConnected():
                self._stream_connected = True
                return self._ask_for_snapshot("stream connected", now, force=True)
            case seen.StreamLost(reason):
                self._stream_connected = self._books_current = False
                return self._notice("warning", "stream_lost", reason)
            case seen.PauseSeen(paused):
                return self._on_pause(paused)
            case seen.BotDeleted():
                return self._on_deleted(now)
            case seen.ControlPlaneSeen():
                return self._on_control_plane_seen(now)
            case seen.Tick():
                return self._on_tick(now)

    # ------------------------------------------------------------------ time

    def _on_clock(self, clock: MarketClock, now: Now) -> list[do.Command]:
        self._clock = clock
        self._broker_connected = True
        commands: list[do.Command] = []
        if self._snapshot_is_due(now):
            commands += self._ask_for_snapshot("scheduled", now)
        bar = self._bar_to_evaluate(clock)
        if bar is not None and self.is_ready and self._reading_bar is None and self._may_evaluate():
            self._reading_bar = bar
            commands.append(do.ReadBars())
        return commands

    def _may_evaluate(self) -> bool:
        return self._kill is None and not self._deleted

    def _bar_to_evaluate(self, clock: MarketClock) -> str | None:
        """Name of the newest closed bar when it was not evaluated yet, or None."""
        if not clock.is_open:
            return None
        minutes = _MINUTES.get(self._config.timeframe)
        if minutes is None:
            bar = f"before {clock.timestamp.date()}"  # the last session's bar, once in this session
        else:
            bar = clock.timestamp.strftime("%Y-%m-%dT") + str(
                (clock.timestamp.hour * 60 + clock.timestamp.minute) // minutes
            )
        return None if bar == self._last_bar else bar

    def _on_tick(self, now: Now) -> list[do.Command]:
        commands = self._check_control_plane(now)
        done = self._kill.is_done if self._kill else not self._deleted
        if not done and self._elapsed(self._snapshot_asked_at, now.machine) >= KILL_CHECK_EVERY:
            commands += self._ask_for_snapshot("kill", now)
        elif self._snapshot_is_due(now):
            commands += self._ask_for_snapshot("scheduled", now)
        return commands

    @staticmethod
    def _elapsed(since: datetime | None, until: datetime) -> timedelta:
        return timedelta.max if since is None else until - since

    # ------------------------------------------------------------------ bars to orders

    def _on_bars(self, event: seen.BarsClosed, now: Now) -> list[do.Command]:
        # The bar that was asked for, not the newest by now: on a fast clock another may have closed meanwhile.
        bar, self._reading_bar = self._reading_bar, None
        if bar is None or not self._may_evaluate():
            return []
        self._last_bar = bar
        self._last_bar_at = event.bar_at
        usable, bad = usable_closes({s: f for s, f in event.frames.items() if s in self._symbols}, self._symbols)
        self._prices.update({symbol: price for symbol, (price, _) in usable.items()})
        commands: list[do.Command] = []
        for symbol, reason in sorted(bad.items()):
            self.counters["bars", "rejected"] += 1
            commands += self._notice("warning", "data_quality", f"{symbol}: {reason}")
        commands += self._observe_risk()
        frames = {symbol: frame for symbol, (_, frame) in usable.items()}
        weights = self._weights(frames)
        if weights is None:
            return commands + self._notice("error", "strategy_failed", self._strategy_error or "")
        return commands + self._trade(weights, now)

    def _weights(self, frames: Mapping[str, pd.DataFrame]) -> dict[str, Decimal] | None:
        if not frames:
            return {}
        try:
            row = self._strategy.targets(frames).iloc[-1]
            weights = {str(symbol): float(weight) for symbol, weight in row.items() if not math.isnan(float(weight))}
        except Exception as error:
            # A user's own code: whatever it raises stops this bot's trading, never its bookkeeping.
            self._strategy_error = f"{type(error).__name__}: {error}"
            self.counters["strategy", "failed"] += 1
            return None
        self._strategy_error = None
        self.counters["strategy", "evaluated"] += 1
        return {symbol: Decimal(str(round(weight, 6))) for symbol, weight in weights.items() if math.isfinite(weight)}

    def _trade(self, weights: Mapping[str, Decimal], now: Now) -> list[do.Command]:
        allocation = allocate(
            weights,
            self._prices,
            self._books.portfolio,
            self._books.open_by_symbol(),
            self._config.capital,
            self._execution,
        )
        commands: list[do.Command] = []
        for order in allocation.obsolete:
            commands += self._cancel(order, now)
        for intent in allocation.intents:
            commands += self._place(intent, now)
        return commands

    def _place(self, intent: Intent, now: Now) -> list[do.Command]:
        order_id = self._books.next_order_id()
        refusal = review(intent, order_id, self._gate(now))
        if refusal is not None:
            self.counters["refused", refusal.check] += 1
            return self._notice("info", "order_refused", f"{intent.symbol}: {refusal.check}: {refusal.reason}")
        order = Order(
            client_order_id=order_id,
            symbol=intent.symbol,
            side=intent.side,
            type=OrderType.MARKET if intent.limit_price is None else OrderType.LIMIT,
            qty=intent.qty,
            time_in_force=TimeInForce.DAY,
            state=OrderState.JOURNALED,
            created_at=now.market or now.machine,
            limit_price=intent.limit_price,
            arrival_price=intent.price,
            reason=intent.reason,
            reducing=intent.reducing,
        )
        self._in_flight.add(order_id)
        self._sent_at.append(now.machine)
        return [self._books.decided(order), do.SubmitOrder(order)]

    def _gate(self, now: Now) -> Gate:
        minute_ago = now.machine - timedelta(minutes=1)
        return Gate(
            killed=self._kill is not None or self._deleted,
            paused=self._paused,
            halted="the books differ from the broker's" if self._halted_by_reconciliation else None,
            reducing=self._reducing_reason(),
            symbols=self._symbols,
            known_ids=frozenset(self._books.orders),
            symbols_with_open_orders=frozenset(self._books.open_by_symbol()),
            market_open=self._clock is not None and self._clock.is_open,
            portfolio=self._books.portfolio,
            prices=self._prices,
            reserved=self._books.reserved(),
            capital=self._config.capital,
            buying_power=self._figures.buying_power if self._figures else _ZERO,
            max_positions=self._config.risk.max_positions,
            max_position_percent=self._config.risk.max_position_percent,
            max_orders_per_minute=self._config.risk.max_orders_per_minute,
            price_collar_percent=self._config.risk.price_collar_percent,
            orders_last_minute=sum(1 for sent in self._sent_at if sent > minute_ago),
        )

    # ------------------------------------------------------------------ what the broker says of an order

    def _on_broker_order(self, word: BrokerOrder, now: Now, source: str) -> list[do.Command]:
        self._broker_connected = True
        order = self._books.orders.get(word.client_order_id)
        if order is None:
            order = self._books.adopt(word, self._clock.timestamp if self._clock else None)
        if order is None:
            return []
        self._unknown_answers.pop(order.client_order_id, None)
        step = advance(order, word, now.market or now.machine, self._books.fills_of(order))
        commands: list[do.Command] = []
        if step.blocked is not None:
            self.counters["orders", "transition_blocked"] += 1
            commands += self._notice("error", "transition_blocked", f"{order.client_order_id}: {step.blocked}")
        if step.order != order or step.fill is not None or word.client_order_id not in self._books.orders:
            commands.append(self._books.record(step.order, step.fill, source))
        if step.order.is_terminal:
            self._cancels_asked.pop(step.order.client_order_id, None)
        elif self._is_closing():
            commands += self._cancel(step.order, now)
        return commands

    def _on_rejected(self, order_id: str, message: str) -> list[do.Command]:
        self._in_flight.discard(order_id)
        order = self._books.orders.get(order_id)
        if order is None or order.state not in UNANSWERED:
            return []
        self.counters["orders", "rejected"] += 1
        rejected = replace(order, state=OrderState.REJECTED, reason=message)
        return [
            self._books.record(rejected, None, f"refused: {message}"),
            *self._notice("warning", "order_rejected", f"{order.symbol}: {message}"),
        ]

    def _on_withheld(self, order_id: str, reason: str) -> list[do.Command]:
        self._in_flight.discard(order_id)
        order = self._books.orders.get(order_id)
        if order is None or order.state is not OrderState.JOURNALED:
            return []
        self.counters["orders", "withheld"] += 1
        return [self._books.record(replace(order, state=OrderState.NOT_SENT, reason=reason), None, "withheld")]

    def _on_doubt(self, order_id: str, message: str) -> list[do.Command]:
        self._in_flight.discard(order_id)
        order = self._books.orders.get(order_id)
        if order is None or order.state not in UNANSWERED:
            return []
        ask = do.QueryOrder(order_id, after_seconds=ASK_AGAIN_SECONDS if order.state is OrderState.IN_DOUBT else 0.0)
        if order.state is OrderState.IN_DOUBT:
            return [ask]
        self.counters["orders", "in_doubt"] += 1
        doubtful = replace(order, state=OrderState.IN_DOUBT)
        return [
            self._books.record(doubtful, None, f"in doubt: {message}"),
            *self._notice("warning", "order_in_doubt", f"{order_id}: {message}"),
            ask,
        ]

    def _on_answer(self, order_id: str, word: BrokerOrder | None, now: Now) -> list[do.Command]:
        if word is not None:
            return self._on_broker_order(word, now, "asked")
        order = self._books.orders.get(order_id)
        if order is None or order.is_terminal or order_id in self._in_flight:
            return []  # in flight: "unknown" only means "not yet"
        self._unknown_answers[order_id] += 1
        if self._unknown_answers[order_id] < UNKNOWN_ANSWERS_NEEDED:
            # A request that died with its process may still be on its way: ask again before believing it.
            return [do.QueryOrder(order_id, after_seconds=ASK_AGAIN_SECONDS)]
        self._unknown_answers.pop(order_id, None)
        self.counters["orders", "not_sent"] += 1
        lost = replace(order, state=OrderState.NOT_SENT, reason="the broker never saw it")
        return [self._books.record(lost, None, "unknown at the broker")]

    def _cancel(self, order: Order, now: Now) -> list[do.Command]:
        if order.broker_id is None or order.is_terminal:
            return []
        if self._elapsed(self._cancels_asked.get(order.client_order_id), now.machine) < timedelta(seconds=1):
            return []
        self._cancels_asked[order.client_order_id] = now.machine
        self.counters["orders", "cancel_asked"] += 1
        return [do.CancelOrder(order.client_order_id, order.broker_id)]

    # ------------------------------------------------------------------ reconciliation

    def _snapshot_is_due(self, now: Now) -> bool:
        if not self._stream_connected or self._elapsed(self._snapshot_asked_at, now.machine) < RECONCILE_AT_MOST_EVERY:
            return False
        waited = self._elapsed(self._snapshot_asked_at, now.machine)
        if not self._books_current or self._suspected or waited >= CLOSED_MARKET_CHECK_EVERY:
            return True
        market = self._clock.timestamp if self._clock else None
        return (
            market is not None
            and self._clock is not None
            and self._clock.is_open
            and self._elapsed(self._snapshot_market_at, market) >= ORDERS_CHECK_EVERY
        )

    def _ask_for_snapshot(self, reason: str, now: Now, *, force: bool = False) -> list[do.Command]:
        if self._snapshot_under_way and not force:
            return []
        self._snapshot_under_way = True
        self._snapshot_asked_at = now.machine
        self._snapshot_market_at = self._clock.timestamp if self._clock else None
        return [do.TakeSnapshot(reason, self._books.prefix, self._books.oldest_of_interest())]

    def _on_snapshot_failed(self, reason: str, now: Now) -> list[do.Command]:
        self._snapshot_under_way = False
        self._broker_connected = False
        commands = self._conclude("Failed", (Difference("fetch_failed", "broker", "", reason),), now)
        return commands + self._notice("warning", "reconciliation_failed", reason)

    def _on_snapshot(self, event: seen.SnapshotTaken, now: Now) -> list[do.Command]:
        self._snapshot_under_way = False
        self._broker_connected = True
        snapshot = event.snapshot
        self._figures = snapshot.figures
        commands: list[do.Command] = []
        for word in snapshot.orders:
            commands += self._on_broker_order(word, now, "snapshot")
        findings = order_findings(self._books.orders, snapshot, self._books.prefix, self._symbols)
        commands += [do.QueryOrder(order_id) for order_id in findings.to_ask]
        commands += self._ask_about_recovered()
        gap = position_differences(self._books.portfolio, snapshot.positions, self._symbols)
        suspected = (*findings.differences, *gap)
        confirmed = suspected != () and suspected == self._suspected
        # Trade updates may fall between the reading of orders and of positions: only what is seen twice differs.
        self._suspected = () if confirmed else suspected
        if confirmed:
            differences = (*findings.differences, *(difference.described() for difference in gap))
            commands += [
                self._books.correct(difference, self._prices.get(difference.symbol), now.market or now.machine)
                for difference in gap
            ]
            commands += self._conclude("Mismatch", differences, now)
        elif not suspected and not self._books.unanswered():
            commands += self._conclude("Clean", (), now)
        for stranger in findings.strangers:
            self.counters["reconciliation", stranger.kind] += 1
        return commands + self._kill_progress(snapshot, now)

    def _ask_about_recovered(self) -> list[do.Command]:
        """Orders that an earlier process sent, or was about to send, when it ended."""
        commands: list[do.Command] = []
        for order in self._books.unanswered():
            if order.state is OrderState.JOURNALED and order.client_order_id not in self._in_flight:
                commands += self._on_doubt(order.client_order_id, "no answer before the restart")
            elif order.client_order_id not in self._in_flight and not self._books_current:
                commands.append(do.QueryOrder(order.client_order_id))
        return commands

    def _conclude(self, result: str, differences: tuple[Difference, ...], now: Now) -> list[do.Command]:
        self.counters["reconciliation", result.lower()] += 1
        clean = result == "Clean"
        self._clean_runs = self._clean_runs + 1 if clean else 0
        self._unclean_runs = 0 if clean else self._unclean_runs + 1
        if self._unclean_runs >= UNCLEAN_RUNS_TO_HALT:
            self._halted_by_reconciliation = True
        if self._clean_runs >= CLEAN_RUNS_TO_RESUME:
            self._halted_by_reconciliation = False
        if result != "Failed":
            self._books_current = True
            self._books.are_complete(now.market)
        self._last_reconciliation = reconciliation_report(result, differences, now.machine)
        if clean:
            return []
        detail = {"result": result, "differences": json.dumps(self._last_reconciliation.differences)}
        return [do.Journal("reconciliation", detail)]

    # ------------------------------------------------------------------ kill, pause, deletion, control plane

    def _is_closing(self) -> bool:
        """Whether open orders are to be cancelled: a kill that is not done, or a deletion that says so."""
        if self._kill is not None:
            return True
        return self._deleted and self._config.on_delete is not OnDelete.KEEP

    def _on_kill(self, event: seen.KillSeen, now: Now) -> list[do.Command]:
        if self._kill is not None:
            return []  # a latch: the first kill stands until it is released
        return self._begin_kill(event.reason, event.scope, self._config.on_kill is OnKill.FLATTEN, now)

    def _begin_kill(self, reason: str, scope: str, flatten: bool, now: Now) -> list[do.Command]:
        self._kill = KillState(reason=text(reason), scope=scope, flatten=flatten, observed_at=now.machine)
        self.counters["kill", scope] += 1
        journal = do.Journal("kill", {"reason": text(reason), "scope": scope}, (do.PutKill(self._kill),))
        return [journal, *self._notice("critical", "killed", f"{scope}: {reason}"), *self._close_down(now)]

    def _close_down(self, now: Now) -> list[do.Command]:
        commands: list[do.Command] = []
        for order in list(self._books.orders.values()):
            commands += self._cancel(order, now)
        return commands + self._ask_for_snapshot("kill", now, force=True)

    def _kill_progress(self, snapshot: BrokerSnapshot, now: Now) -> list[do.Command]:
        """After the broker's books were read: close what is left, and note what the broker has confirmed."""
        if not self._is_closing():
            return []
        flatten = self._kill.flatten if self._kill else self._config.on_delete is OnDelete.FLATTEN
        open_ids = [
            o for o in snapshot.orders if o.client_order_id.startswith(self._books.prefix) and is_open(o.status)
        ]
        commands: list[do.Command] = []
        if flatten and not open_ids and not self._books.unanswered():
            for position in snapshot.positions:
                if position.symbol in self._symbols and position.qty != 0:
                    commands += self._close(position, now)
        if self._kill is None or self._books.unanswered():
            return commands
        confirmed = confirm(self._kill, snapshot, self._books.prefix, self._symbols, now.machine)
        if confirmed != self._kill:
            detail = {"open_orders": str(confirmed.open_orders), "open_positions": str(confirmed.open_positions)}
            commands.insert(0, do.Journal("kill_progress", detail, (do.PutKill(confirmed),)))
            self._kill = confirmed
        return commands

    def _close(self, position: BrokerPosition, now: Now) -> list[do.Command]:
        # The broker holds the shares of a close that is under way, so repeating it cannot oversell; it is only noise.
        if self._elapsed(self._closes_asked.get(position.symbol), now.machine) < CLOSE_AGAIN_AFTER:
            return []
        self._closes_asked[position.symbol] = now.machine
        self.counters["orders", "close_asked"] += 1
        return [do.ClosePosition(position.symbol, str(abs(position.qty)))]

    def _on_pause(self, paused: bool) -> list[do.Command]:
        if paused == self._paused:
            return []
        self._paused = paused
        return [do.Journal("pause" if paused else "resume")]

    def _on_deleted(self, now: Now) -> list[do.Command]:
        if self._deleted:
            return []
        self._deleted = True
        commands: list[do.Command] = [do.Journal("deleted", {"on_delete": self._config.on_delete.value})]
        if self._config.on_delete is not OnDelete.KEEP:
            commands += self._close_down(now)
        return commands

    def _on_control_plane_seen(self, now: Now) -> list[do.Command]:
        self._watched = True
        self._control_plane_seen_at = now.machine
        if not self._control_plane_lost:
            return []
        self._control_plane_lost = False
        return self._notice("info", "control_plane_back", "the bot's own TradingBot can be read again")

    def _check_control_plane(self, now: Now) -> list[do.Command]:
        lost = (
            self._watched
            and self._control_plane_seen_at is not None
            and now.machine - self._control_plane_seen_at > CONTROL_PLANE_LOST_AFTER
        )
        if not lost or self._control_plane_lost:
            return []
        self._control_plane_lost = True
        policy = self._config.on_control_plane_loss
        commands = self._notice("critical", "control_plane_lost", f"a kill could not be seen: {policy}")
        if policy is OnControlPlaneLoss.FLATTEN and self._kill is None:
            commands += self._begin_kill("control plane lost", "ControlPlane", True, now)
        return commands

    # ------------------------------------------------------------------ state and report

    def _observe_risk(self) -> list[do.Command]:
        if self._clock is None:
            return []
        session = self._clock.timestamp.date().isoformat()
        profit = self._books.portfolio.profit(self._prices)
        ledger = self._risk.observe(session, profit, self._config.capital, self._limits)
        if ledger == self._risk:
            return []
        tripped = ledger.tripped if ledger.tripped != self._risk.tripped else None
        self._risk = ledger
        checkpoint = do.PutCheckpoint(RISK_CHECKPOINT, ledger.to_json())
        commands: list[do.Command] = [do.Journal("risk", {"profit": str(profit)}, (checkpoint,))]
        if tripped:
            commands += self._notice("critical", "breaker_tripped", f"{tripped}: profit and loss {profit:.2f}")
        return commands

    def _not_ready_reason(self) -> tuple[str, str] | None:
        if self._watched and self._control_plane_seen_at is None:
            return "ControlPlaneNotSeen", "the bot has not been able to read its own TradingBot yet"
        if self._clock is None or not self._broker_connected:
            return "BrokerUnreachable", "the broker does not answer"
        if not self._stream_connected:
            return "StreamDisconnected", "no trade updates are being received"
        if not self._books_current or self._figures is None:
            return "Reconciling", "the books are being compared with the broker's"
        return None

    def _reducing_reason(self) -> str | None:
        if self._not_ready_reason() is not None:
            return (self._not_ready_reason() or ("", ""))[1]
        if self._figures is not None and self._figures.blocked:
            return "the broker has blocked the account"
        if self._control_plane_lost and self._config.on_control_plane_loss is not OnControlPlaneLoss.CONTINUE:
            return "the control plane cannot be reached, so a kill could not be seen"
        if self._risk.tripped:
            return f"breaker {self._risk.tripped}"
        return None

    def _state(self) -> tuple[TradingState, str, str]:
        if self._kill is not None:
            return TradingState.HALTED, "Killed", f"killed by {self._kill.scope}: {self._kill.reason}"
        if self._deleted:
            return TradingState.HALTED, "Deleted", "the TradingBot is being deleted"
        if self._halted_by_reconciliation:
            return TradingState.HALTED, "ReconciliationFailed", "the books differ from the broker's"
        not_ready = self._not_ready_reason()
        if not_ready is not None:
            return TradingState.REDUCING, *not_ready
        if self._control_plane_lost and self._config.on_control_plane_loss is not OnControlPlaneLoss.CONTINUE:
            return TradingState.REDUCING, "ControlPlaneLost", "a kill could not be seen: exits only"
        if self._risk.tripped:
            return TradingState.REDUCING, self._risk.tripped, "the circuit breaker is open: exits only"
        if self._strategy_error:
            return TradingState.REDUCING, "StrategyFailed", self._strategy_error
        if self._paused:
            return TradingState.REDUCING, "Paused", "paused: exits only"
        return TradingState.ACTIVE, "", ""

    def report(self, now: Now, *, version: str, started_at: datetime) -> RuntimeReport:
        """What the bot says of itself, as of now."""
        state, reason, message = self._state()
        orders = sorted(self._books.orders.values(), key=lambda order: order.client_order_id, reverse=True)
        return RuntimeReport(
            namespace=self._config.bot.namespace,
            name=self._config.bot.name,
            uid=self._config.bot.uid,
            mode=self._config.mode.value,
            version=version,
            started_at=instant(started_at),
            market_time=instant(self._clock.timestamp) if self._clock else None,
            market_open=self._clock.is_open if self._clock else None,
            ready=self.is_ready,
            trading_state=state,
            reason=reason,
            message=text(message),
            paused=self._paused,
            broker_connected=self._broker_connected,
            stream_connected=self._stream_connected,
            kill=kill_report(self._kill),
            account=account_report(self._figures),
            positions=position_reports(self._books.portfolio, self._prices),
            recent_orders=[order_report(order) for order in orders[:RECENT_ORDERS_REPORTED]],
            open_orders=sum(1 for order in orders if not order.is_terminal),
            filled_orders=self._books.filled_orders,
            last_bar_at=instant(self._last_bar_at) if self._last_bar_at else None,
            last_reconciliation=self._last_reconciliation,
        )

    def _notice(self, severity: str, name: str, message: str) -> list[do.Command]:
        return [do.Notice(severity, name, message)]
