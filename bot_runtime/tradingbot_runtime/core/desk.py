"""One order's way from an intent to its end: the gateway, the journal, the broker's words, doubt, cancelling.

Decides nothing about what to trade. Every change of an order is in the Journal returned with it.
"""

from collections import deque
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core.allocator import Intent
from tradingbot_runtime.core.books import Books
from tradingbot_runtime.core.doubt import Doubt
from tradingbot_runtime.core.gateway import Gate, Refusal, review
from tradingbot_runtime.core.orders import UNANSWERED, Order, OrderState, advance, event_defect, reopened
from tradingbot_runtime.core.reservations import Reservations
from tradingbot_runtime.core.situation import Situation
from tradingbot_runtime.core.values import BrokerFigures, BrokerOrder, Now, Side

CANCEL_AGAIN_AFTER: Final = timedelta(seconds=1)
CLOSE_AGAIN_AFTER: Final = timedelta(seconds=5)
CLOSE_AGAIN_WHILE_CLOSED_AFTER: Final = timedelta(minutes=5)
"""What was asked for while the market is closed waits for the open."""
ONE_MINUTE: Final = timedelta(minutes=1)

_ZERO = Decimal(0)
_NO_LIMIT = 1_000_000


class Desk:
    """Sends, follows and cancels the bot's orders."""

    def __init__(self, situation: Situation, books: Books) -> None:
        self._known = situation
        self._books = books
        self._counters = situation.counters
        self._symbols = frozenset(situation.config.symbols)
        self._reservations = Reservations(books)
        self.doubt = Doubt(situation, books, self._reservations)
        self._sent_at: deque[datetime] = deque(maxlen=200)
        self._cancels_asked: dict[str, datetime] = {}
        self._closes_asked: dict[str, datetime] = {}

    # ------------------------------------------------------------------ out

    def may_send(self, order_id: str) -> bool:
        """Whether a journaled order may still leave: asked at the last moment before it is sent."""
        order = self._books.orders.get(order_id)
        if order is None or order.state is not OrderState.JOURNALED:
            return False
        if self._known.halted_reason() is not None or not self._known.market_is_open:
            return False
        return order.reducing or self._known.may_open_exposure()

    def place(self, intent: Intent, now: Now) -> tuple[list[do.Command], Refusal | None]:
        """An order for the intent, journaled and then sent, or the refusal that keeps it."""
        order_id = self._books.next_order_id()
        refusal = review(intent, order_id, self._gate(now))
        if refusal is not None:
            self._counters["refused", refusal.check] += 1
            words = f"{intent.symbol}: {refusal.check}: {refusal.reason}"
            return [do.Notice("info", "order_refused", words)], refusal
        order = _order_of(intent, order_id, now)
        return [self._leaving(order, now), do.SubmitOrder(order)], None

    def replace(self, order: Order, intent: Intent, now: Now) -> tuple[list[do.Command], Refusal | None]:
        """Another order in the place of an open one, reviewed as if that one were not there."""
        if order.broker_id is None or order.is_terminal:
            return [], None
        order_id = self._books.next_order_id()
        refusal = review(intent, order_id, self._gate(now, without=order))
        if refusal is not None:
            self._counters["refused", refusal.check] += 1
            words = f"{intent.symbol}: {refusal.check}: {refusal.reason}"
            return [do.Notice("info", "replace_refused", words)], refusal
        successor = replace(_order_of(intent, order_id, now), replaces_id=order.client_order_id)
        return [self._leaving(successor, now), do.ReplaceOrder(successor, order.broker_id)], None

    def _leaving(self, order: Order, now: Now) -> do.Journal:
        self.doubt.in_flight.add(order.client_order_id)
        self._reservations.reserve(order.client_order_id)
        self._sent_at.append(now.machine)
        self._counters["operations", "submit"] += 1
        return self._books.decided(order)

    def _gate(self, now: Now, without: Order | None = None) -> Gate:
        known, books = self._known, self._books
        risk, limits = known.config.risk, known.config.account_limits
        halted, reducing = known.halted_reason(), known.reducing_reason()
        reserved = books.reserved()
        if without is not None:
            reserved.pop(without.symbol, None)
        exposure_limit = None
        if limits.max_exposure_percent is not None and known.figures is not None:
            exposure_limit = known.figures.equity * limits.max_exposure_percent / 100
        return Gate(
            killed=known.kill is not None or known.deleted,
            paused=known.paused,
            halted=halted[1] if halted else None,
            reducing=reducing[1] if reducing else None,
            data_halts=known.data_halts,
            doubtful=known.doubtful,
            breaker=known.risk.tripped,
            intraday_pause=known.risk.pause_in_force(known.market) if known.market else None,
            symbols=self._symbols,
            known_ids=frozenset(books.orders),
            symbols_with_open_orders=frozenset(books.open_by_symbol()) - ({without.symbol} if without else set()),
            opposite_orders=self._open_sides(),
            untradable=known.untradable,
            market_open=known.market_is_open,
            portfolio=books.portfolio,
            prices=known.prices,
            reserved=reserved,
            unreflected=self._reservations.value(),
            capital=known.capital,
            buying_power=known.figures.buying_power if known.figures else _ZERO,
            max_positions=risk.max_positions,
            max_position_percent=risk.max_position_percent,
            account_exposure=known.account_positions_value + sum(reserved.values(), _ZERO),
            account_exposure_limit=exposure_limit,
            max_orders_per_minute=min(risk.max_orders_per_minute, limits.max_orders_per_minute or _NO_LIMIT),
            price_collar_percent=risk.price_collar_percent,
            orders_last_minute=sum(1 for sent in self._sent_at if sent > now.machine - ONE_MINUTE),
        )

    def _open_sides(self) -> dict[str, frozenset[Side]]:
        """Sides of every open order on the account, the bot's own legs and other people's included, by symbol."""
        sides = dict(self._known.strangers)
        for order in self._books.orders.values():
            if not order.is_terminal:
                sides[order.symbol] = sides.get(order.symbol, frozenset()) | {order.side}
        return sides

    def figures_read(self, figures: BrokerFigures, asked_at: datetime | None) -> None:
        """The account's money was read."""
        self._known.figures = figures
        self._known.broker_connected = True
        self._reservations.figures_asked_at(asked_at)

    # ------------------------------------------------------------------ taking back

    def cancel(self, order: Order, now: Now) -> list[do.Command]:
        """Asks the broker to cancel an order that it has; repeated at most once a second."""
        if order.broker_id is None or order.is_terminal:
            return []
        if not _is_due(self._cancels_asked.get(order.client_order_id), now, CANCEL_AGAIN_AFTER):
            return []
        self._cancels_asked[order.client_order_id] = now.machine
        self._counters["orders", "cancel_asked"] += 1
        self._counters["operations", "cancel"] += 1
        return [do.CancelOrder(order.client_order_id, order.broker_id)]

    def cancel_at_broker(self, word: BrokerOrder, now: Now) -> list[do.Command]:
        """Cancels an order of ours that works at the broker, whatever our books say of it."""
        if not _is_due(self._cancels_asked.get(word.client_order_id), now, CANCEL_AGAIN_AFTER):
            return []
        self._cancels_asked[word.client_order_id] = now.machine
        self._counters["orders", "cancel_asked"] += 1
        self._counters["operations", "cancel"] += 1
        return [do.CancelOrder(word.client_order_id, word.broker_id)]

    def cancel_entries(self, now: Now) -> list[do.Command]:
        """Asks the broker to cancel every open order that would open exposure."""
        return [
            command
            for order in list(self._books.orders.values())
            if not order.reducing
            for command in self.cancel(order, now)
        ]

    def cancel_all(self, now: Now) -> list[do.Command]:
        """Asks the broker to cancel every open order of the bot's."""
        return [command for order in list(self._books.orders.values()) for command in self.cancel(order, now)]

    def close_position(self, symbol: str, qty: Decimal, now: Now) -> list[do.Command]:
        """Asks the broker to close at most `qty` shares of what it holds."""
        # The broker holds the shares of a close that is under way, so repeating it cannot oversell; it is only noise.
        again = CLOSE_AGAIN_AFTER if self._known.market_is_open else CLOSE_AGAIN_WHILE_CLOSED_AFTER
        if not _is_due(self._closes_asked.get(symbol), now, again):
            return []
        self._closes_asked[symbol] = now.machine
        self._counters["orders", "close_asked"] += 1
        return [do.ClosePosition(symbol, str(qty))]

    # ------------------------------------------------------------------ back

    def broker_says(self, word: BrokerOrder, now: Now, source: str) -> list[do.Command]:
        """The broker describes an order: acknowledged, updated, listed or asked for, in any order and however often."""
        self._known.broker_connected = True
        order = (
            self._books.orders.get(word.client_order_id)
            or self._books.adopt(word, self._known.market)
            or self._books.adopt_successor(word)
        )
        if order is None:
            # Perhaps a leg that is told of before its parent's acknowledgement: the parent's answer names its legs.
            parents = self._books.parents_of(word)
            return [command for parent in parents for command in self.doubt.ask(parent.client_order_id, now)]
        commands = self._apply(order, word, now, source)
        for leg in word.legs:
            known = self._books.orders.get(leg.client_order_id) or self._books.adopt_leg(order, leg)
            commands += self._apply(known, leg, now, source)
        return commands

    def _apply(self, order: Order, word: BrokerOrder, now: Now, source: str) -> list[do.Command]:
        self.doubt.settled(order.client_order_id)
        self._reservations.spoken_of(order.client_order_id, now)
        step = advance(order, word, now.market or now.machine, self._books.fills_of(order))
        commands: list[do.Command] = []
        if step.blocked is not None:
            self._counters["orders", "transition_blocked"] += 1
            commands.append(do.Notice("error", "transition_blocked", f"{order.client_order_id}: {step.blocked}"))
        if step.order != order or step.fill is not None or word.client_order_id not in self._books.orders:
            commands.append(self._books.record(step.order, step.fill, source))
        if step.order.is_terminal:
            self._cancels_asked.pop(step.order.client_order_id, None)
        elif self._known.is_closing:
            commands += self.cancel(step.order, now)
        elif self._books.is_of_a_released_epoch(step.order):
            # It was pending under a kill that is over: nothing of that time opens exposure.
            commands += self.cancel(step.order, now)
        elif order.state is OrderState.NOT_SENT:
            # It was given up, and perhaps made again since: what arrives late is not wanted any more.
            self._counters["orders", "arrived_late"] += 1
            commands.append(do.Notice("error", "order_arrived_late", order.client_order_id))
            commands += self.cancel(step.order, now)
        return commands

    def reopen(self, order: Order, word: BrokerOrder, now: Now) -> list[do.Command]:
        """An order that ended in our books and, seen twice, works at the broker: the broker wins."""
        self._counters["orders", "reopened"] += 1
        return [
            self._books.record(reopened(order, word), None, "works at the broker though it had ended here"),
            do.Notice("error", "order_reopened", f"{order.client_order_id}: {order.state} here, {word.status} there"),
            *self.broker_says(word, now, "reopened"),
        ]

    def told(self, event: str, word: BrokerOrder, now: Now) -> list[do.Command]:
        """A trade update. What the order is now comes from its status; the event only says what to look at."""
        commands: list[do.Command] = []
        defect = event_defect(event, word.status)
        if defect is not None:
            self._counters["trade_updates", "odd"] += 1
            commands.append(do.Notice("warning", "odd_trade_update", f"{word.client_order_id}: {defect}"))
        if event == "order_cancel_rejected":
            # The cancel did not take: while closing, the next word asks again at once.
            self._cancels_asked.pop(word.client_order_id, None)
            commands.append(do.Notice("warning", "cancel_rejected", word.client_order_id))
        if event == "order_replace_rejected":
            commands += self._ask_about_successors(word.client_order_id, now)
        return commands + self.broker_says(word, now, f"trade update {event}")

    def _ask_about_successors(self, order_id: str, now: Now) -> list[do.Command]:
        waiting = [order for order in self._books.orders.values() if order.replaces_id == order_id]
        return [
            command
            for order in waiting
            if not order.is_terminal
            for command in self.doubt.ask(order.client_order_id, now)
        ]

    def acknowledged(self, word: BrokerOrder, now: Now) -> list[do.Command]:
        """The broker took an order."""
        self.doubt.in_flight.discard(word.client_order_id)
        commands = self.broker_says(word, now, "acknowledged")
        order = self._books.orders.get(word.client_order_id)
        before = self._books.orders.get(order.replaces_id) if order and order.replaces_id else None
        if before is not None and not before.is_terminal:
            commands += self.doubt.ask(before.client_order_id, now)
        return commands

    def rejected(self, order_id: str, message: str) -> list[do.Command]:
        """The broker refused an order for good."""
        self.doubt.in_flight.discard(order_id)
        order = self._books.orders.get(order_id)
        if order is None or order.state not in UNANSWERED:
            return []
        self._reservations.release(order_id)
        rejected = replace(order, state=OrderState.REJECTED, reason=message)
        return [
            self._books.record(rejected, None, f"refused: {message}"),
            do.Notice("warning", "order_rejected", f"{order.symbol}: {message}"),
        ]

    def withheld(self, order_id: str, reason: str) -> list[do.Command]:
        """A journaled order was kept back at the last moment: it has never left."""
        self.doubt.in_flight.discard(order_id)
        order = self._books.orders.get(order_id)
        if order is None or order.state is not OrderState.JOURNALED:
            return []
        self._counters["orders", "withheld"] += 1
        self._known.decision_undone = True
        self._reservations.release(order_id)
        return [self._books.record(replace(order, state=OrderState.NOT_SENT, reason=reason), None, "withheld")]

    def answered(self, order_id: str, word: BrokerOrder | None, now: Now) -> list[do.Command]:
        """The broker answered a question about an order; None when it knows no such order."""
        if word is None:
            return self.doubt.unknown_at_broker(order_id, now)
        self.doubt.settled(order_id)
        return self.broker_says(word, now, "asked")


def _is_due(last: datetime | None, now: Now, every: timedelta) -> bool:
    return last is None or now.machine - last >= every


def _order_of(intent: Intent, order_id: str, now: Now) -> Order:
    return Order(
        client_order_id=order_id,
        symbol=intent.symbol,
        side=intent.side,
        type=intent.order_type,
        qty=intent.qty,
        time_in_force=intent.time_in_force,
        state=OrderState.JOURNALED,
        created_at=now.market or now.machine,
        limit_price=intent.limit_price,
        arrival_price=intent.price,
        reason=intent.reason,
        reducing=intent.reducing,
        order_class=intent.order_class,
        stop_price=intent.stop_price,
        trail_price=intent.trail_price,
        trail_percent=intent.trail_percent,
        take_profit_price=intent.take_profit_price,
        stop_loss_price=intent.stop_loss_price,
        stop_loss_limit_price=intent.stop_loss_limit_price,
    )
