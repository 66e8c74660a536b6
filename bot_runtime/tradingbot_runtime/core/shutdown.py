"""What ends trading: a kill, a deletion, the loss of the control plane. Cancels, closes, and asks until it is so.

A kill preempts everything, is journaled before anything else is done about it, and is never taken back here.
"""

from datetime import timedelta
from typing import Final

from tradingbot_api import OnControlPlaneLoss, OnDelete, OnKill
from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core.books import Books
from tradingbot_runtime.core.desk import Desk
from tradingbot_runtime.core.kill import KillState, confirm, is_open
from tradingbot_runtime.core.reconcile import with_legs
from tradingbot_runtime.core.reconciling import Reconciliation
from tradingbot_runtime.core.report import text
from tradingbot_runtime.core.situation import Situation
from tradingbot_runtime.core.values import BrokerSnapshot, Now

KILL_CHECK_EVERY: Final = timedelta(milliseconds=200)
CONTROL_PLANE_LOST_AFTER: Final = timedelta(minutes=5)


class Shutdown:
    """Brings the bot's exposure down and keeps asking until the broker confirms it."""

    def __init__(self, situation: Situation, books: Books, desk: Desk, reconciliation: Reconciliation) -> None:
        self._known = situation
        self._books = books
        self._desk = desk
        self._reconciliation = reconciliation
        self._symbols = frozenset(situation.config.symbols)

    # ------------------------------------------------------------------ causes

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
        commands: list[do.Command] = [do.Journal("deleted", {"on_delete": self._known.config.on_delete.value})]
        if self._known.config.on_delete is not OnDelete.KEEP:
            commands += self._close_down(now)
        return commands

    def on_control_plane_seen(self, now: Now) -> list[do.Command]:
        """The bot's own TradingBot could be read."""
        self._known.watched = True
        self._known.control_plane_seen_at = now.machine
        if not self._known.control_plane_lost:
            return []
        self._known.control_plane_lost = False
        return [do.Notice("info", "control_plane_back", "the bot's own TradingBot can be read again")]

    def _begin_kill(self, reason: str, scope: str, flatten: bool, now: Now) -> list[do.Command]:
        kill = KillState(reason=text(reason), scope=scope, flatten=flatten, observed_at=now.machine)
        self._known.kill = kill
        self._known.counters["kill", scope] += 1
        journal = do.Journal("kill", {"reason": text(reason), "scope": scope}, (do.PutKill(kill),))
        return [journal, do.Notice("critical", "killed", f"{scope}: {reason}"), *self._close_down(now)]

    def _close_down(self, now: Now) -> list[do.Command]:
        return self._desk.cancel_all(now) + self._reconciliation.ask("kill", now, force=True)

    # ------------------------------------------------------------------ until it is so

    def on_tick(self, now: Now) -> list[do.Command]:
        """Asks again while something is left to confirm, and notices a control plane that has gone."""
        commands = self._check_control_plane(now)
        kill = self._known.kill
        done = kill.is_done if kill else not self._known.deleted
        if not done and self._reconciliation.since_asked(now) >= KILL_CHECK_EVERY:
            return commands + self._reconciliation.ask("kill", now)
        return commands + self._reconciliation.when_due(now)

    def on_snapshot(self, snapshot: BrokerSnapshot, now: Now) -> list[do.Command]:
        """After the broker's books were read: close what is left, and note what the broker has confirmed."""
        kill = self._known.kill
        if not self._known.is_closing:
            return []
        flatten = kill.flatten if kill else self._known.config.on_delete is OnDelete.FLATTEN
        open_orders = sum(
            1 for order in with_legs(snapshot.orders) if self._books.is_ours(order) and is_open(order.status)
        )
        held = [one for one in snapshot.positions if one.symbol in self._symbols and one.qty != 0]
        commands: list[do.Command] = []
        if flatten and open_orders == 0 and not self._books.unanswered():
            for position in held:
                commands += self._desk.close_position(position.symbol, abs(position.qty), now)
        if kill is None or self._books.unanswered():
            return commands
        confirmed = confirm(kill, open_orders, len(held), now.machine)
        if confirmed == kill:
            return commands
        self._known.kill = confirmed
        detail = {"open_orders": str(confirmed.open_orders), "open_positions": str(confirmed.open_positions)}
        return [do.Journal("kill_progress", detail, (do.PutKill(confirmed),)), *commands]

    def _check_control_plane(self, now: Now) -> list[do.Command]:
        known = self._known
        lost = (
            known.watched
            and known.control_plane_seen_at is not None
            and now.machine - known.control_plane_seen_at > CONTROL_PLANE_LOST_AFTER
        )
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
