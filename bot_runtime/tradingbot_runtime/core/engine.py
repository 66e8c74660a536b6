"""The engine: one event in, commands out. Every decision of the bot passes here, in one thread, without I/O.

The flow: bars -> quality -> strategy -> allocator -> gateway -> journal -> broker -> trade update -> journal ->
portfolio. Whoever runs the engine commits all Journals of one decision together before it does anything else.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from tradingbot_api import RuntimeConfig, RuntimeReport
from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.core.books import Books
from tradingbot_runtime.core.clock_watch import ClockWatch
from tradingbot_runtime.core.corporate_actions import CHECKPOINT as CORPORATE_CHECKPOINT
from tradingbot_runtime.core.corporate_actions import CorporateActions
from tradingbot_runtime.core.desk import Desk
from tradingbot_runtime.core.grant import CHECKPOINT as GRANT_CHECKPOINT
from tradingbot_runtime.core.grant import LiveGrant
from tradingbot_runtime.core.incidents import Incidents
from tradingbot_runtime.core.reconciling import CHECKPOINT as RECONCILIATION_CHECKPOINT
from tradingbot_runtime.core.reconciling import Reconciliation
from tradingbot_runtime.core.records import NoticeRecord
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.core.report import (
    account_report,
    deletion_report,
    incident_reports,
    instant,
    kill_report,
    order_report,
    position_reports,
    text,
)
from tradingbot_runtime.core.risk import CHECKPOINT as RISK_CHECKPOINT
from tradingbot_runtime.core.risk import RiskLedger
from tradingbot_runtime.core.risk_watch import RiskWatch
from tradingbot_runtime.core.sessions import CHECKPOINT as SESSION_CHECKPOINT
from tradingbot_runtime.core.sessions import Sessions, shadow_of
from tradingbot_runtime.core.shutdown import CHECKPOINT as FLATTEN_CHECKPOINT
from tradingbot_runtime.core.shutdown import Shutdown
from tradingbot_runtime.core.situation import Situation
from tradingbot_runtime.core.trading import CHECKPOINT as TRADING_CHECKPOINT
from tradingbot_runtime.core.trading import Trading
from tradingbot_runtime.core.values import BrokerFigures, BrokerOrder, BrokerSnapshot, MarketClock, Now
from tradingbot_runtime.strategies.contract import Strategy

RECENT_ORDERS_REPORTED: Final = 20
ACCOUNT_CHECKPOINT: Final = "account"


class Engine:
    """One bot's mind. Not thread-safe: one caller, one event at a time."""

    def __init__(
        self, config: RuntimeConfig, strategy: Strategy[Any], recovered: Recovered, *, watched: bool = False
    ) -> None:
        """`watched` says that a control plane is attached: nothing is traded before it was seen once."""
        self.counters: Counter[tuple[str, str]] = Counter()
        """How often what happened: ("orders", "submitted"), ("refused", "max_positions"), ..."""
        self._known = Situation(
            config=config,
            counters=self.counters,
            kill=recovered.kill,
            risk=RiskLedger.from_json(recovered.checkpoints.get(RISK_CHECKPOINT)),
            grant=_grant_of(config, recovered.checkpoints.get(GRANT_CHECKPOINT)),
            watched=watched,
        )
        self.strategy = strategy
        """What decides the targets; it is asked by whoever runs the engine."""
        self._books = Books(config, recovered, self.counters)
        self._desk = Desk(self._known, self._books)
        self._risk = RiskWatch(self._known, self._books)
        corporate = CorporateActions(self._known, self._books, recovered.checkpoints.get(CORPORATE_CHECKPOINT))
        self._reconciliation = Reconciliation(
            self._known, self._books, self._desk, corporate, recovered.checkpoints.get(RECONCILIATION_CHECKPOINT)
        )
        session = recovered.checkpoints.get(SESSION_CHECKPOINT)
        shadow = shadow_of(session)
        self._sessions = Sessions(self._known, self._books, self._reconciliation, shadow, session, recovered)
        self._trading = Trading(
            self._known,
            self._books,
            self._desk,
            self._risk,
            self._sessions,
            shadow,
            strategy.handling,
            recovered.checkpoints.get(TRADING_CHECKPOINT),
        )
        self._shutdown = Shutdown(
            self._known, self._books, self._desk, self._reconciliation, recovered.checkpoints.get(FLATTEN_CHECKPOINT)
        )
        self._clock_watch = ClockWatch(config.broker.provider)
        self._account = recovered.checkpoints.get(ACCOUNT_CHECKPOINT)
        self._incidents = Incidents(self._known, self._books, recovered)

    # ------------------------------------------------------------------ what others may ask

    @property
    def market_time(self) -> datetime | None:
        """The broker's clock as last read and believed; it may jump, so nothing is added to it."""
        return self._known.market

    @property
    def bars_needed(self) -> int:
        """How many closed bars a BarsClosed event should hold for each symbol: two show whether a price jumped."""
        return max(self.strategy.lookback, 2)

    @property
    def is_ready(self) -> bool:
        """Whether the books agree with the broker's and the next bar can be acted upon."""
        return self._known.not_ready_reason() is None

    def may_send(self, order_id: str) -> bool:
        """Whether a journaled order may still leave: asked at the last moment before it is sent."""
        return self._desk.may_send(order_id)

    def notices_due(self, now: Now) -> Sequence[NoticeRecord]:
        """Notices to be delivered now; what came of it comes back as NoticeDelivered or NoticeUndelivered."""
        return self._incidents.due(now)

    # ------------------------------------------------------------------ the one entry

    def handle(self, event: seen.Event, now: Now) -> list[do.Command]:
        """What to do about an event. Total: bad data from outside leads to a notice, never to an exception."""
        commands = self._start(now) if self._known.began_at is None else []
        was_killed = self._known.kill is not None
        commands += self._handle(event, now)
        if self._known.kill is not None and not was_killed:
            commands += self._trading.drop_what_waits()
        if self._known.forbids_entries():
            # Whatever forbade them, entries that rest at the broker would be filled all the same.
            commands += self._desk.cancel_entries(now)
        return commands

    def _start(self, now: Now) -> list[do.Command]:
        """What comes before the first event: what the config says of kills."""
        self._known.began_at = now.machine
        commands = self._shutdown.on_start(now)
        return [*commands, *self._trading.drop_what_waits()] if commands else []

    def _handle(self, event: seen.Event, now: Now) -> list[do.Command]:
        match event:
            case seen.KillSeen(reason, scope):
                return self._shutdown.on_kill(reason, scope, now)
            case seen.ClockRead(clock):
                return self._on_clock(clock, now)
            case seen.BarsClosed():
                return self._sessions.on_closing_bars(event.frames, now) + self._trading.on_bars(event, now)
            case seen.BarsFailed(reason):
                return self._sessions.on_closing_bars({}, now) + self._trading.on_bars_failed(reason)
            case seen.TargetsComputed(bar, weights):
                return self._trading.on_targets(bar, weights, now)
            case seen.TargetsFailed(bar, reason):
                return self._trading.on_targets_failed(bar, reason, now)
            case seen.SnapshotTaken(snapshot, asked_at):
                return self._on_snapshot(snapshot, asked_at, now)
            case seen.SnapshotFailed(reason):
                return self._reconciliation.on_failed(reason, now)
            case seen.FiguresRead(figures, asked_at):
                self._desk.figures_read(figures, asked_at)
                return self._check_account(figures)
            case seen.KeysRefused(message):
                self._known.keys_refused = message
                return [do.Notice("error", "keys_refused", message)]
            case seen.KeysAccepted():
                self._known.keys_refused = ""
                return [do.Notice("info", "keys_accepted", "the broker accepts the keys again")]
            case seen.PositionsAccepted(request):
                return self._reconciliation.on_accepted(request, now)
            case seen.TradeUpdate(what, order):
                commands = self._booked((order,), now) + self._desk.told(what, order, now)
                return commands + self._shutdown.on_told(order, now)
            case seen.SubmitAcknowledged(order):
                return self._booked((order,), now) + self._desk.acknowledged(order, now)
            case seen.SubmitRejected(order_id, message):
                return self._desk.rejected(order_id, message)
            case seen.SubmitWithheld(order_id, reason):
                return self._desk.withheld(order_id, reason)
            case seen.SubmitInDoubt(order_id, message):
                return self._desk.doubt.begin(order_id, message, now)
            case seen.CancelAccepted(_, sent_at):
                return self._shutdown.on_cancel_accepted(sent_at)
            case seen.QueryAnswered(order_id, order):
                told = (order,) if order is not None else ()
                return self._booked(told, now) + self._desk.answered(order_id, order, now)
            case seen.StreamConnected():
                self._known.stream_connected = True
                return self._reconciliation.ask("stream connected", now, force=True)
            case seen.StreamLost(reason):
                self.counters["operational_errors", "stream"] += 1
                self._known.stream_connected = self._known.books_current = False
                return [do.Notice("warning", "stream_lost", reason)]
            case seen.PauseSeen(paused):
                return self._on_pause(paused)
            case seen.BreakerResetAsked(request):
                return self._risk.on_reset_asked(request)
            case seen.EvaluationAsked(request):
                return self._trading.on_evaluation_asked(request)
            case seen.GrantSeen():
                return self._shutdown.on_grant_seen(event, now)
            case seen.BotDeleted():
                return self._shutdown.on_deleted(now)
            case seen.ControlPlaneSeen():
                return self._shutdown.on_control_plane_seen(now)
            case seen.IncidentAcknowledged(incident, by):
                return self._incidents.on_acknowledged(incident, by, now)
            case seen.NoticeDelivered(notice_id):
                return self._incidents.on_delivered(notice_id, now)
            case seen.NoticeUndelivered(notice_id, error):
                return self._incidents.on_undelivered(notice_id, error, now)
            case seen.Tick():
                return self._shutdown.on_tick(now) + self._incidents.on_tick(now)

    def _booked(self, orders: Iterable[BrokerOrder], now: Now) -> list[do.Command]:
        """Before what the broker says is booked: the session that it happened in is under way."""
        ours = (order for order in orders if self._books.is_ours(order))
        filled = [at for order in ours for one in (order, *order.legs) if (at := one.filled_at) is not None]
        return [command for at in sorted(filled) for command in self._sessions.on_filled_at(at, now)]

    def _on_clock(self, clock: MarketClock, now: Now) -> list[do.Command]:
        self._known.broker_connected = True
        doubt, before = self._clock_watch.doubt(clock, now), self._known.clock_doubt
        self._known.clock_doubt = doubt
        if doubt is not None:
            self.counters["operational_errors", "clock"] += 1
            told = [] if before else [do.Notice("warning", "clock_doubted", doubt)]
            return [*told, *self._reconciliation.when_due(now)]
        self._known.clock = clock
        now = replace(now, market=clock.timestamp)
        return [
            *self._sessions.on_clock(clock, now),
            *self._reconciliation.when_due(now),
            *self._trading.on_clock(clock, now),
        ]

    def _on_snapshot(self, snapshot: BrokerSnapshot, asked_at: datetime | None, now: Now) -> list[do.Command]:
        self._desk.figures_read(snapshot.figures, asked_at)
        account = self._check_account(snapshot.figures)
        if self._known.wrong_account is not None:
            return account  # somebody else's books say nothing about ours
        return [
            *account,
            *self._booked(snapshot.orders, now),
            *self._reconciliation.on_snapshot(snapshot, asked_at, now),
            *self._risk.on_snapshot(snapshot),
            *self._sessions.on_snapshot(now),
            *self._shutdown.on_snapshot(snapshot, asked_at, now),
        ]

    def _check_account(self, figures: BrokerFigures) -> list[do.Command]:
        """The keys must stay those of the account that the books are about."""
        if not figures.account_id:
            return []
        if self._account is None:
            self._account = figures.account_id
            change = do.PutCheckpoint(ACCOUNT_CHECKPOINT, figures.account_id)
            return [do.Journal("account", {"account_id": figures.account_id}, (change,))]
        before, self._known.wrong_account = self._known.wrong_account, None
        if figures.account_id != self._account:
            self._known.wrong_account = f"the keys are those of account {figures.account_id}, not of {self._account}"
        if self._known.wrong_account is None or self._known.wrong_account == before:
            return []
        return [do.Notice("critical", "wrong_account", self._known.wrong_account)]

    def _on_pause(self, paused: bool) -> list[do.Command]:
        if paused == self._known.paused:
            return []
        self._known.paused = paused
        return [do.Journal("pause" if paused else "resume")]

    # ------------------------------------------------------------------ report

    def report(self, now: Now, *, version: str, started_at: datetime) -> RuntimeReport:
        """What the bot says of itself, as of now."""
        known, books = self._known, self._books
        state, reason, message = known.standing()
        orders = sorted(books.orders.values(), key=lambda order: order.client_order_id, reverse=True)
        return RuntimeReport(
            namespace=known.config.bot.namespace,
            name=known.config.bot.name,
            uid=known.config.bot.uid,
            mode=known.config.mode.value,
            version=version,
            started_at=instant(started_at),
            market_time=instant(known.clock.timestamp) if known.clock else None,
            market_open=known.clock.is_open if known.clock else None,
            ready=self.is_ready,
            trading_state=state,
            reason=reason,
            message=text(message),
            paused=known.paused,
            broker_connected=known.broker_connected,
            stream_connected=known.stream_connected,
            kill=kill_report(known.kill),
            deletion=deletion_report(known.config.on_delete, self._shutdown.deletion),
            account=account_report(known.figures),
            positions=position_reports(books.portfolio, known.prices),
            recent_orders=[order_report(order) for order in orders[:RECENT_ORDERS_REPORTED]],
            open_orders=sum(1 for order in orders if not order.is_terminal),
            filled_orders=books.filled_orders,
            last_bar_at=instant(self._trading.last_bar_at) if self._trading.last_bar_at else None,
            last_reconciliation=self._reconciliation.last,
            incidents=incident_reports(self._incidents.unresolved),
            breaker=known.risk.tripped or "",
            grant_epoch=known.grant.ref.epoch if known.grant and known.grant.missing is None else None,
            withdrawal=deletion_report(known.config.on_delete, known.withdrawal),
        )


def _grant_of(config: RuntimeConfig, checkpoint: str | None) -> LiveGrant | None:
    """The grant of a live bot's config, and what the volume knows of it."""
    return None if config.grant is None else LiveGrant.from_json(checkpoint, config.grant, config.on_delete)
