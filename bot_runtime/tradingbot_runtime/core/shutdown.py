"""What ends trading: a kill, a deletion, a grant that is gone, the loss of the control plane. Cancels, closes, and
asks until it is so.

A kill preempts everything, is journaled before anything else is done about it, and ends only where the config says
that its number was released; the withdrawal of a live bot whose grant is gone is never taken back.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from tradingbot_api import OnControlPlaneLoss, OnDelete, OnKill
from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core.books import Books
from tradingbot_runtime.core.desk import Desk
from tradingbot_runtime.core.events import GrantSeen
from tradingbot_runtime.core.grant import CHECKPOINT as GRANT_CHECKPOINT
from tradingbot_runtime.core.grant import SCOPE as GRANT_SCOPE
from tradingbot_runtime.core.grant import LiveGrant
from tradingbot_runtime.core.kill import KillState, confirm, is_open, is_released_by, open_waited_for, steps_of
from tradingbot_runtime.core.reconcile import PositionDifference, with_legs
from tradingbot_runtime.core.reconciling import Reconciliation
from tradingbot_runtime.core.report import text
from tradingbot_runtime.core.situation import Situation
from tradingbot_runtime.core.values import BrokerOrder, BrokerSnapshot, Now

CHECKS: Final = (
    # For so long after the kill was seen, the broker's books are read so often (machine time).
    (timedelta(seconds=5), timedelta(milliseconds=200)),
    (timedelta(minutes=1), timedelta(seconds=1)),
    (timedelta.max, timedelta(seconds=5)),
)
PAUSE_AFTER_EACH_READ: Final = 2
"""Before a check that nothing but its time asks for: so many times as long as the last took, at most 5 s. What the
broker tells is read at once, see EARLY_CHECKS_AT_MOST.
"""
CHECK_WHILE_CLOSED_EVERY: Final = timedelta(seconds=30)
"""What is left to close waits for the open anyhow."""
EARLY_CHECKS_AT_MOST: Final = 20
"""For each ending, reads that do not wait for the next check: trade updates must not eat the request limit."""
CHECKPOINT: Final = "flatten"
RECORD_SCOPE: Final = "KillRecord"
"""Scope of a kill that the config tells of."""
CONTROL_PLANE_LOST_AFTER: Final = timedelta(minutes=5)


class Shutdown:
    """Brings the bot's exposure down and keeps asking until the broker confirms it."""

    def __init__(
        self,
        situation: Situation,
        books: Books,
        desk: Desk,
        reconciliation: Reconciliation,
        checkpoint: str | None = None,
    ) -> None:
        """`checkpoint` is the document of that name on the volume."""
        self._known = situation
        self._books = books
        self._desk = desk
        self._reconciliation = reconciliation
        self._symbols = frozenset(situation.config.symbols)
        released = situation.kill is not None and is_released_by(situation.kill, situation.config.epoch)
        # Over, and not yet journaled as such. Nothing is sent before it is: it is what the first decision begins with.
        self._released: KillState | None = situation.kill if released else None
        if released:
            situation.kill = None
        # Confirmed step by step, as a kill is. Not kept on the volume: the TradingBot itself says that it is deleted.
        self._deletion: KillState | None = None
        self._early_checks = 0
        self._told_at: datetime | None = None  # machine time of what no reading of the books was begun after
        # Shares beyond the bot's own, by symbol, when flattening began: they are left alone.
        stale = self._floors_are_of_another_grant()
        stale = stale or (released and situation.withdrawal is None)
        self._floors: dict[str, Decimal] | None = None if stale else _floors_from(checkpoint)

    # ------------------------------------------------------------------ causes

    def on_start(self, now: Now) -> list[do.Command]:
        """What the config says of kills: the one on the volume is released, or there is one that is not on it."""
        commands: list[do.Command] = []
        if self._released is not None:
            commands += self._release(self._released, now)
            self._released = None
        told, kill = self._known.config.killed, self._known.kill
        if told is not None and (kill is None or kill.epoch < told.epoch):
            flatten = self._known.config.on_kill is OnKill.FLATTEN
            commands += self._begin_kill(told.reason, RECORD_SCOPE, flatten, now, told.epoch)
        return commands

    def _release(self, kill: KillState, now: Now) -> list[do.Command]:
        self._known.counters["kill", "released"] += 1
        changes: list[do.Change] = [do.PutKill(replace(kill, released_at=now.machine))]
        if self._known.withdrawal is None:
            changes.append(do.PutCheckpoint(CHECKPOINT, json.dumps(None)))
        last = self._known.config.epoch
        detail = {
            "epoch": str(kill.epoch),
            "last_released_epoch": str(last),
            "reason": kill.reason,
            "scope": kill.scope,
            "observed_at": kill.observed_at.isoformat(),
        }
        return [
            do.Journal("kill_released", detail, tuple(changes)),
            do.Notice("warning", "kill_released", f"kill {kill.epoch} is over, kills up to {last} are released"),
        ]

    def on_kill(self, reason: str, scope: str, now: Now) -> list[do.Command]:
        """A kill was seen on the TradingBot or its BrokerAccount."""
        if self._known.kill is not None:
            return []  # a latch: the first kill stands until it is released
        return self._begin_kill(reason, scope, self._known.config.on_kill is OnKill.FLATTEN, now)

    def on_deleted(self, now: Now) -> list[do.Command]:
        """The TradingBot is being deleted."""
        if self._known.deleted:
            return []
        self._known.deleted = True
        flatten = self._known.config.on_delete is OnDelete.FLATTEN
        self._deletion = KillState(reason="deleted", scope="TradingBot", flatten=flatten, observed_at=now.machine)
        commands: list[do.Command] = [do.Journal("deleted", {"on_delete": self._known.config.on_delete.value})]
        if self._known.config.on_delete is not OnDelete.KEEP:
            commands += self._close_down(now)
        return commands

    def on_grant_seen(self, event: GrantSeen, now: Now) -> list[do.Command]:
        """What the bot's own TradingBot says of its grant. Means nothing on paper."""
        grant = self._known.grant
        if grant is None or grant.withdrawal is not None:
            return []  # a latch: whoever may trade again does so under a new grant, in a process of its own
        if not event.granted:
            return self._begin_withdrawal(grant, event.why, now)
        seen = replace(grant, is_seen=True, max_capital=event.max_capital)
        if seen == grant:
            return []
        cap = "its own" if event.max_capital is None else str(event.max_capital)
        return [
            self._note_grant(seen, "granted", {"epoch": str(grant.ref.epoch), "max_capital": cap}),
            do.Notice("info", "granted", f"may trade live under grant {grant.ref.epoch}, capital at most {cap}"),
        ]

    @property
    def deletion(self) -> KillState | None:
        """How far the deletion is; None while the bot is not being deleted."""
        return self._deletion

    def on_control_plane_seen(self, now: Now) -> list[do.Command]:
        """The bot's own TradingBot could be read."""
        self._known.watched = True
        self._known.control_plane_seen_at = now.machine
        if not self._known.control_plane_lost:
            return []
        self._known.control_plane_lost = False
        return [do.Notice("info", "control_plane_back", "the bot's own TradingBot can be read again")]

    def _begin_kill(
        self, reason: str, scope: str, flatten: bool, now: Now, epoch: int | None = None
    ) -> list[do.Command]:
        number = self._known.config.epoch + 1 if epoch is None else epoch
        kill = KillState(reason=text(reason), scope=scope, flatten=flatten, observed_at=now.machine, epoch=number)
        self._known.kill = kill
        self._known.counters["kill", scope] += 1
        detail = {"epoch": str(number), "reason": text(reason), "scope": scope, "observed_at": now.machine.isoformat()}
        journal = do.Journal("kill", detail, (do.PutKill(kill),))
        return [journal, do.Notice("critical", "killed", f"{scope}: {reason}"), *self._close_down(now)]

    def _begin_withdrawal(self, grant: LiveGrant, why: str, now: Now) -> list[do.Command]:
        on_delete = self._known.config.on_delete
        flatten = on_delete is OnDelete.FLATTEN
        ending = KillState(reason=text(why), scope=GRANT_SCOPE, flatten=flatten, observed_at=now.machine)
        self._known.counters["grant", "withdrawn"] += 1
        detail = {"epoch": str(grant.ref.epoch), "why": text(why), "on_delete": on_delete.value}
        commands: list[do.Command] = [
            self._note_grant(replace(grant, is_seen=False, withdrawal=ending), "withdrawal", detail),
            do.Notice("critical", "grant_withdrawn", f"{why}: no new exposure, and {on_delete.value}"),
        ]
        if on_delete is not OnDelete.KEEP:
            commands += self._close_down(now)
        return commands

    def _note_grant(self, grant: LiveGrant, kind: str, detail: Mapping[str, str]) -> do.Journal:
        """The grant's newest state, durable; with a new one, what was remembered of closing down is over."""
        changes: list[do.Change] = []
        if self._floors_are_of_another_grant():
            changes.append(do.PutCheckpoint(CHECKPOINT, json.dumps(None)))
        self._known.grant = replace(grant, is_new=False)
        changes.append(do.PutCheckpoint(GRANT_CHECKPOINT, self._known.grant.to_json()))
        return do.Journal(kind, detail, tuple(changes))

    def _floors_are_of_another_grant(self) -> bool:
        known = self._known
        return known.grant is not None and known.grant.is_new and known.kill is None

    def _close_down(self, now: Now) -> list[do.Command]:
        self._early_checks = 0
        return self._desk.cancel_all(now) + self._reconciliation.ask("kill", now, force=True)

    # ------------------------------------------------------------------ until it is so

    def on_tick(self, now: Now) -> list[do.Command]:
        """Asks again while something is left to confirm, and notices a control plane that has gone."""
        commands = self._check_control_plane(now)
        unconfirmed = self._unconfirmed()
        if unconfirmed and self._is_due(unconfirmed, now):
            return commands + self._reconciliation.ask("kill", now)
        return commands + self._reconciliation.when_due(now)

    def on_told(self, word: BrokerOrder, now: Now) -> list[do.Command]:
        """A trade update. Where it may be the last that was waited for, the books are read at once: a check that only
        comes with its time would be most of what a kill takes.
        """
        if is_open(word.status) or not self._unconfirmed():
            return []
        if self._books.is_ours(word):
            # Of many cancels, only the last leaves something to do.
            return [] if self._books.open_count() else self._check_early(now)
        # Closings are made by the broker, under ids of its own.
        return self._check_early(now) if word.symbol in self._symbols_held() else []

    def _check_early(self, now: Now) -> list[do.Command]:
        if self._early_checks >= EARLY_CHECKS_AT_MOST:
            return []
        asked = self._reconciliation.ask("kill", now)
        # Books that are being read may have been read too early to show it.
        self._told_at = None if asked else now.machine
        self._early_checks += len(asked)
        return asked

    def _check_again(self, asked_at: datetime | None, now: Now) -> list[do.Command]:
        told_at, self._told_at = self._told_at, None
        shows_it = told_at is None or (asked_at is not None and asked_at > told_at)
        return [] if shows_it or not self._unconfirmed() else self._check_early(now)

    def _unconfirmed(self) -> list[KillState]:
        return [ending for ending in self._endings() if not ending.is_done]

    def _endings(self) -> list[KillState]:
        """The kill, and the deletion and the withdrawal where they ask for anything."""
        known = self._known
        keeps = known.config.on_delete is OnDelete.KEEP
        asked = (known.kill,) if keeps else (known.kill, self._deletion, known.withdrawal)
        return [one for one in asked if one is not None]

    def _is_due(self, unconfirmed: Sequence[KillState], now: Now) -> bool:
        # Whoever is slow to answer has much to do: asked without a pause, it would do nothing but answer.
        pause = min(PAUSE_AFTER_EACH_READ * self._reconciliation.last_took, CHECKS[-1][1])
        asked, answered = self._reconciliation.since_asked(now), self._reconciliation.since_answered(now)
        return asked >= self._check_every(unconfirmed, now) and answered >= pause

    def _check_every(self, unconfirmed: Sequence[KillState], now: Now) -> timedelta:
        """Often at first; ever less for what takes its time, so that the asking does not starve the cancelling."""
        waits = all(ending.orders_cancelled_at and ending.queued_for for ending in unconfirmed)
        if waits and not self._known.market_is_open:
            return CHECK_WHILE_CLOSED_EVERY
        age = now.machine - max(ending.observed_at for ending in unconfirmed)
        return next((every for until, every in CHECKS if age < until), CHECKS[-1][1])

    def on_snapshot(self, snapshot: BrokerSnapshot, asked_at: datetime | None, now: Now) -> list[do.Command]:
        """After the broker's books were read: cancel and close what is left, and note what the broker has confirmed."""
        if not self._known.is_closing:
            return []
        return self._judge(snapshot, asked_at, now) + self._check_again(asked_at, now)

    def _judge(self, snapshot: BrokerSnapshot, asked_at: datetime | None, now: Now) -> list[do.Command]:
        listed = [one for one in with_legs(snapshot.orders) if self._books.is_ours(one) and is_open(one.status)]
        commands = [command for word in listed for command in self._desk.cancel_at_broker(word, now)]
        # Books that were asked for before the end began prove nothing about what was sent meanwhile.
        judged = [ending for ending in self._endings() if asked_at is not None and asked_at > ending.observed_at]
        if not judged:
            return commands
        blocked = {one.symbol for one in listed} | {one.symbol for one in self._books.unanswered()}
        held = self._held(snapshot)
        floors = self._excess(held) if self._floors is None else self._floors
        left = self._left(held, floors)
        if any(ending.flatten for ending in judged):
            commands += self._close(left, floors, blocked, now)
        open_orders = max(len(listed), self._books.open_count())
        found = _Found(open_orders, len(left), open_waited_for(snapshot.orders, left, self._known.clock))
        return self._confirmed(judged, found, now) + commands

    def on_cancel_accepted(self, sent_at: datetime) -> list[do.Command]:
        """The broker took a cancel that was sent at machine time `sent_at`: the first of a kill is one of its steps."""
        kill = self._known.kill
        if kill is None or kill.first_cancel_at is not None or sent_at < kill.observed_at:
            return []
        return self._note_progress(kill, replace(kill, first_cancel_at=sent_at))

    def _left(self, held: Mapping[str, Decimal], floors: Mapping[str, Decimal]) -> dict[str, Decimal]:
        """Shares to be closed, by symbol: what the broker holds beyond what was never the bot's."""
        left = {symbol: qty - floors.get(symbol, Decimal(0)) for symbol, qty in held.items()}
        return {symbol: qty for symbol, qty in left.items() if qty != 0 and (qty > 0) == (held[symbol] > 0)}

    def _held(self, snapshot: BrokerSnapshot) -> dict[str, Decimal]:
        symbols = self._symbols_held()
        return {one.symbol: one.qty for one in snapshot.positions if one.symbol in symbols and one.qty != 0}

    def _symbols_held(self) -> frozenset[str]:
        return self._symbols | self._books.portfolio.holdings.keys()

    def _excess(self, held: Mapping[str, Decimal]) -> dict[str, Decimal]:
        portfolio = self._books.portfolio
        gaps = (PositionDifference(symbol, portfolio.qty(symbol), qty, Decimal(0)) for symbol, qty in held.items())
        return {gap.symbol: gap.brokers - gap.ours for gap in gaps if gap.is_excess}

    def _close(
        self, left: Mapping[str, Decimal], floors: Mapping[str, Decimal], blocked: set[str], now: Now
    ) -> list[do.Command]:
        commands: list[do.Command] = []
        if self._floors is None:
            # Once and for all, before the first share is closed: afterwards the books no longer tell.
            self._floors = dict(floors)
            document = json.dumps({symbol: str(qty) for symbol, qty in sorted(self._floors.items())})
            commands.append(do.Journal("flatten", {"left_alone": document}, (do.PutCheckpoint(CHECKPOINT, document),)))
        for symbol, qty in sorted(left.items()):
            if symbol not in blocked:
                commands += self._desk.close_position(symbol, abs(qty), now)
        return commands

    def _confirmed(self, judged: Sequence[KillState], found: "_Found", now: Now) -> list[do.Command]:
        if self._books.unanswered():
            return []
        commands = self._withdrawal_confirmed(judged, found, now)
        if self._deletion is not None and any(ending is self._deletion for ending in judged):
            self._deletion = found.by(self._deletion, now)
        kill = self._known.kill
        if kill is None or not any(ending is kill for ending in judged):
            return commands
        return commands + self._note_progress(kill, found.by(kill, now))

    def _note_progress(self, before: KillState, kill: KillState) -> list[do.Command]:
        """The kill's newest state, durable, with the time of each step that it has just reached."""
        if kill == before:
            return []
        self._known.kill = kill
        known = steps_of(before)
        reached = {step: at for step, at in steps_of(kill).items() if step not in known}
        detail = {"epoch": str(kill.epoch), "waits_for": kill.waits_for} | _counts(kill)
        detail |= {f"{step}_at": at.isoformat() for step, at in reached.items()}
        return [
            do.Journal("kill_progress", detail, (do.PutKill(kill),)),
            *(do.KillStep(step, (at - kill.observed_at).total_seconds()) for step, at in reached.items()),
        ]

    def _withdrawal_confirmed(self, judged: Sequence[KillState], found: "_Found", now: Now) -> list[do.Command]:
        grant, withdrawal = self._known.grant, self._known.withdrawal
        if grant is None or withdrawal is None or not any(ending is withdrawal for ending in judged):
            return []
        confirmed = found.by(withdrawal, now)
        if confirmed == withdrawal:
            return []
        return [self._note_grant(replace(grant, withdrawal=confirmed), "withdrawal_progress", _counts(confirmed))]

    def _check_control_plane(self, now: Now) -> list[do.Command]:
        known = self._known
        # Never seen counts from the start of the process: one that starts while it is away must not wait for ever.
        since = known.control_plane_seen_at or known.began_at
        lost = known.watched and since is not None and now.machine - since > CONTROL_PLANE_LOST_AFTER
        if not lost or known.control_plane_lost:
            return []
        known.control_plane_lost = True
        policy = known.config.on_control_plane_loss
        commands: list[do.Command] = [
            do.Notice("critical", "control_plane_lost", f"a kill could not be seen: {policy}")
        ]
        if policy is OnControlPlaneLoss.FLATTEN and known.kill is None:
            commands += self._begin_kill("control plane lost", "ControlPlane", True, now)
        return commands


@dataclass(frozen=True)
class _Found:
    """What the broker's books say is left of the bot, and the open that closings of all of it wait for."""

    open_orders: int
    open_positions: int
    queued_for: datetime | None

    def by(self, ending: KillState, now: Now) -> KillState:
        """How far that brings an ending."""
        return confirm(ending, self.open_orders, self.open_positions, now.machine, self.queued_for)


def _counts(ending: KillState) -> dict[str, str]:
    return {"open_orders": str(ending.open_orders), "open_positions": str(ending.open_positions)}


def _floors_from(checkpoint: str | None) -> dict[str, Decimal] | None:
    floors = json.loads(checkpoint) if checkpoint else None
    return None if floors is None else {symbol: Decimal(qty) for symbol, qty in floors.items()}
