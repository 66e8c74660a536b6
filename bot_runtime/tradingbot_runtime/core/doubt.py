"""Orders that nobody has answered about: asked for by their id until the broker answers, and never sent again.

"Unknown" is believed only of an order that the broker has never spoken of, only several times over, and only long
after the last request for it can have been on its way. Until then its symbol stays blocked and its cash reserved.
"""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core.books import Books
from tradingbot_runtime.core.orders import UNANSWERED, Order, OrderState
from tradingbot_runtime.core.reservations import Reservations
from tradingbot_runtime.core.situation import Situation
from tradingbot_runtime.core.values import Now

UNKNOWN_ANSWERS_NEEDED: Final = 3
SURELY_NOT_ON_ITS_WAY_AFTER: Final = timedelta(seconds=60)
"""Machine time after the last attempt: longer than any request, retry and queue on the way to the broker lives."""
FIRST_WAIT_SECONDS: Final = 2.0
LONGEST_WAIT_SECONDS: Final = 15.0
QUESTION_IS_LOST_AFTER: Final = timedelta(seconds=90)


class Doubt:
    """One question at a time for each order in doubt."""

    def __init__(self, situation: Situation, books: Books, reservations: Reservations) -> None:
        self._known = situation
        self._books = books
        self._reservations = reservations
        self._counters = situation.counters
        self.in_flight: set[str] = set()
        """Orders sent by this process whose outcome is not yet known."""
        self._asked_at: dict[str, datetime] = {}  # machine time
        self._attempted_at: dict[str, datetime] = {}  # the latest moment a request may have left (machine time)
        self._unknown: Counter[str] = Counter()

    # ------------------------------------------------------------------ asking

    def ask(self, order_id: str, now: Now, after_seconds: float = 0.0) -> list[do.Command]:
        """A question about an order, unless one is under way."""
        asked_at = self._asked_at.get(order_id)
        if asked_at is not None and now.machine - asked_at < QUESTION_IS_LOST_AFTER:
            return []
        self._asked_at[order_id] = now.machine
        return [do.QueryOrder(order_id, after_seconds)]

    def about_recovered(self, now: Now) -> list[do.Command]:
        """Asks about orders that an earlier process sent, or was about to send, when it ended."""
        commands: list[do.Command] = []
        for order in self._books.unanswered():
            if order.client_order_id in self.in_flight:
                continue
            if order.state is OrderState.JOURNALED:
                commands += self.begin(order.client_order_id, "no answer before the restart", now)
            else:
                self._attempted_at.setdefault(order.client_order_id, now.machine)
                commands += self.ask(order.client_order_id, now)
        return commands

    # ------------------------------------------------------------------ answers

    def settled(self, order_id: str) -> None:
        """The broker has spoken of an order: there is no doubt about it."""
        self._asked_at.pop(order_id, None)
        self._unknown.pop(order_id, None)
        self._attempted_at.pop(order_id, None)
        self._known.missing_orders.pop(order_id, None)

    def begin(self, order_id: str, message: str, now: Now) -> list[do.Command]:
        """No answer, to the order itself or to a question about it: it may or may not be at the broker."""
        was_in_flight = order_id in self.in_flight
        self.in_flight.discard(order_id)
        self._asked_at.pop(order_id, None)
        order = self._books.orders.get(order_id)
        if order is None or order.is_terminal:
            return []
        if order.state is not OrderState.JOURNALED:
            return self.ask(order_id, now, self._wait(order_id))
        self._attempted_at[order_id] = now.machine
        self._counters["orders", "in_doubt"] += 1
        if was_in_flight:
            self._counters["operational_errors", "submit"] += 1
        return [
            self._books.record(replace(order, state=OrderState.IN_DOUBT), None, f"in doubt: {message}"),
            do.Notice("warning", "order_in_doubt", f"{order_id}: {message}"),
            *self.ask(order_id, now),
        ]

    def unknown_at_broker(self, order_id: str, now: Now) -> list[do.Command]:
        """The broker says that it knows no such order."""
        self._asked_at.pop(order_id, None)
        order = self._books.orders.get(order_id)
        if order is None or order.is_terminal or order_id in self.in_flight:
            return []  # in flight: "unknown" only means "not yet"
        self._unknown[order_id] += 1
        if self._unknown[order_id] < UNKNOWN_ANSWERS_NEEDED:
            return self.ask(order_id, now, self._wait(order_id))
        if order.state not in UNANSWERED:
            # It was there: this is a difference between the books, not an order that never left.
            self._known.missing_orders[order_id] = f"{order.symbol} order {order_id} is {order.state} here"
            return []
        if now.machine - self._attempted_at.setdefault(order_id, now.machine) < SURELY_NOT_ON_ITS_WAY_AFTER:
            return self.ask(order_id, now, self._wait(order_id))
        return self._never_left(order)

    def _never_left(self, order: Order) -> list[do.Command]:
        self.settled(order.client_order_id)
        self._reservations.release(order.client_order_id)
        self._counters["orders", "not_sent"] += 1
        self._known.decision_undone = True
        lost = replace(order, state=OrderState.NOT_SENT, reason="the broker never saw it")
        return [self._books.record(lost, None, "unknown at the broker")]

    def _wait(self, order_id: str) -> float:
        return float(min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** max(0, self._unknown[order_id] - 1)))
