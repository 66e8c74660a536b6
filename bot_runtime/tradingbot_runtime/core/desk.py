"""One order's way from an intent to its end: the gateway, the journal, the broker's words, doubt, cancelling.

Decides nothing about what to trade. Every change of an order is in the Journal returned with it.
"""

from collections import Counter, deque
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core.allocator import Intent
from tradingbot_runtime.core.books import Books
from tradingbot_runtime.core.gateway import Gate, review
from tradingbot_runtime.core.orders import UNANSWERED, Order, OrderState, advance
from tradingbot_runtime.core.situation import Situation
from tradingbot_runtime.core.values import BrokerOrder, Now, OrderType, TimeInForce

ASK_AGAIN_SECONDS: Final = 2.0
UNKNOWN_ANSWERS_NEEDED: Final = 3
CANCEL_AGAIN_AFTER: Final = timedelta(seconds=1)
CLOSE_AGAIN_AFTER: Final = timedelta(seconds=5)

_ZERO = Decimal(0)


class Desk:
    """Sends, follows and cancels the bot's orders."""

    def __init__(self, situation: Situation, books: Books) -> None:
        self._known = situation
        self._books = books
        self._counters = situation.counters
        self._symbols = frozenset(situation.config.symbols)
        self._in_flight: set[str] = set()  # sent by this process, outcome not yet known
        self._unknown_answers: Counter[str] = Counter()
        self._sent_at: deque[datetime] = deque(maxlen=200)
        self._cancels_asked: dict[str, datetime] = {}
        self._closes_asked: dict[str, datetime] = {}

    # ------------------------------------------------------------------ out

    def may_send(self, order_id: str) -> bool:
        """Whether a journaled order may still leave: asked at the last moment before it is sent."""
        order = self._books.orders.get(order_id)
        if order is None or order.state is not OrderState.JOURNALED:
            return False
        if self._known.halted_reason() is not None:
            return False
        return order.reducing or not (self._known.paused or self._known.reducing_reason())

    def place(self, intent: Intent, now: Now) -> list[do.Command]:
        """An order for the intent, journaled and then sent, or the reason why not."""
        order_id = self._books.next_order_id()
        refusal = review(intent, order_id, self._gate(now))
        if refusal is not None:
            self._counters["refused", refusal.check] += 1
            return [do.Notice("info", "order_refused", f"{intent.symbol}: {refusal.check}: {refusal.reason}")]
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
        known, risk = self._known, self._known.config.risk
        minute_ago = now.machine - timedelta(minutes=1)
        halted, reducing = known.halted_reason(), known.reducing_reason()
        return Gate(
            killed=known.kill is not None or known.deleted,
            paused=known.paused,
            halted=halted[1] if halted else None,
            reducing=reducing[1] if reducing else None,
            symbols=self._symbols,
            known_ids=frozenset(self._books.orders),
            symbols_with_open_orders=frozenset(self._books.open_by_symbol()),
            market_open=known.market_is_open,
            portfolio=self._books.portfolio,
            prices=known.prices,
            reserved=self._books.reserved(),
            capital=known.config.capital,
            buying_power=known.figures.buying_power if known.figures else _ZERO,
            max_positions=risk.max_positions,
            max_position_percent=risk.max_position_percent,
            max_orders_per_minute=risk.max_orders_per_minute,
            price_collar_percent=risk.price_collar_percent,
            orders_last_minute=sum(1 for sent in self._sent_at if sent > minute_ago),
        )

    def cancel(self, order: Order, now: Now) -> list[do.Command]:
        """Asks the broker to cancel an order that it has; repeated at most once a second."""
        if order.broker_id is None or order.is_terminal:
            return []
        if not _is_due(self._cancels_asked.get(order.client_order_id), now, CANCEL_AGAIN_AFTER):
            return []
        self._cancels_asked[order.client_order_id] = now.machine
        self._counters["orders", "cancel_asked"] += 1
        return [do.CancelOrder(order.client_order_id, order.broker_id)]

    def cancel_all(self, now: Now) -> list[do.Command]:
        """Asks the broker to cancel every open order of the bot's."""
        return [command for order in list(self._books.orders.values()) for command in self.cancel(order, now)]

    def close_position(self, symbol: str, qty: Decimal, now: Now) -> list[do.Command]:
        """Asks the broker to close at most `qty` shares of what it holds."""
        # The broker holds the shares of a close that is under way, so repeating it cannot oversell; it is only noise.
        if not _is_due(self._closes_asked.get(symbol), now, CLOSE_AGAIN_AFTER):
            return []
        self._closes_asked[symbol] = now.machine
        self._counters["orders", "close_asked"] += 1
        return [do.ClosePosition(symbol, str(qty))]

    # ------------------------------------------------------------------ back

    def broker_says(self, word: BrokerOrder, now: Now, source: str) -> list[do.Command]:
        """The broker describes an order: acknowledged, updated, listed or asked for, in any order and however often."""
        self._known.broker_connected = True
        order = self._books.orders.get(word.client_order_id)
        if order is None:
            order = self._books.adopt(word, self._known.market)
        if order is None:
            return []
        self._unknown_answers.pop(order.client_order_id, None)
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
        return commands

    def acknowledged(self, word: BrokerOrder, now: Now) -> list[do.Command]:
        """The broker took an order."""
        self._in_flight.discard(word.client_order_id)
        return self.broker_says(word, now, "acknowledged")

    def rejected(self, order_id: str, message: str) -> list[do.Command]:
        """The broker refused an order for good."""
        self._in_flight.discard(order_id)
        order = self._books.orders.get(order_id)
        if order is None or order.state not in UNANSWERED:
            return []
        self._counters["orders", "rejected"] += 1
        rejected = replace(order, state=OrderState.REJECTED, reason=message)
        return [
            self._books.record(rejected, None, f"refused: {message}"),
            do.Notice("warning", "order_rejected", f"{order.symbol}: {message}"),
        ]

    def withheld(self, order_id: str, reason: str) -> list[do.Command]:
        """A journaled order was kept back at the last moment: it has never left."""
        self._in_flight.discard(order_id)
        order = self._books.orders.get(order_id)
        if order is None or order.state is not OrderState.JOURNALED:
            return []
        self._counters["orders", "withheld"] += 1
        return [self._books.record(replace(order, state=OrderState.NOT_SENT, reason=reason), None, "withheld")]

    def in_doubt(self, order_id: str, message: str) -> list[do.Command]:
        """No answer: the order may or may not be at the broker. It is asked about, never sent again."""
        self._in_flight.discard(order_id)
        order = self._books.orders.get(order_id)
        if order is None or order.state not in UNANSWERED:
            return []
        ask = do.QueryOrder(order_id, after_seconds=ASK_AGAIN_SECONDS if order.state is OrderState.IN_DOUBT else 0.0)
        if order.state is OrderState.IN_DOUBT:
            return [ask]
        self._counters["orders", "in_doubt"] += 1
        doubtful = replace(order, state=OrderState.IN_DOUBT)
        return [
            self._books.record(doubtful, None, f"in doubt: {message}"),
            do.Notice("warning", "order_in_doubt", f"{order_id}: {message}"),
            ask,
        ]

    def answered(self, order_id: str, word: BrokerOrder | None, now: Now) -> list[do.Command]:
        """The broker answered a question about an order; None when it knows no such order."""
        if word is not None:
            return self.broker_says(word, now, "asked")
        order = self._books.orders.get(order_id)
        if order is None or order.is_terminal or order_id in self._in_flight:
            return []  # in flight: "unknown" only means "not yet"
        self._unknown_answers[order_id] += 1
        if self._unknown_answers[order_id] < UNKNOWN_ANSWERS_NEEDED:
            # A request that died with its process may still be on its way: ask again before believing it.
            return [do.QueryOrder(order_id, after_seconds=ASK_AGAIN_SECONDS)]
        self._unknown_answers.pop(order_id, None)
        self._counters["orders", "not_sent"] += 1
        lost = replace(order, state=OrderState.NOT_SENT, reason="the broker never saw it")
        return [self._books.record(lost, None, "unknown at the broker")]

    def ask_about_recovered(self) -> list[do.Command]:
        """Asks about orders that an earlier process sent, or was about to send, when it ended."""
        commands: list[do.Command] = []
        for order in self._books.unanswered():
            if order.client_order_id in self._in_flight:
                continue
            if order.state is OrderState.JOURNALED:
                commands += self.in_doubt(order.client_order_id, "no answer before the restart")
            elif not self._known.books_current:
                commands.append(do.QueryOrder(order.client_order_id))
        return commands


def _is_due(last: datetime | None, now: Now, every: timedelta) -> bool:
    return last is None or now.machine - last >= every
