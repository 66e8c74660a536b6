"""Buying power that is spoken for: buy orders that the broker's own figures may not show yet.

Only adds up; what is refused because of it is the gateway's to say.
"""

from datetime import datetime
from decimal import Decimal

from tradingbot_runtime.core.books import Books
from tradingbot_runtime.core.values import Now, Side

_ZERO = Decimal(0)


class Reservations:
    """Orders from the moment they are decided until figures were read that must know of them."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._known_at: dict[str, datetime | None] = {}  # when the broker first spoke of an order (machine time)

    def reserve(self, order_id: str) -> None:
        """An order was decided."""
        self._known_at[order_id] = None

    def release(self, order_id: str) -> None:
        """An order will never be at the broker."""
        self._known_at.pop(order_id, None)

    def spoken_of(self, order_id: str, now: Now) -> None:
        """The broker has said something of an order: figures asked for from now on show it."""
        if self._known_at.get(order_id, now.machine) is None:
            self._known_at[order_id] = now.machine

    def figures_asked_at(self, asked_at: datetime | None) -> None:
        """The account's figures were read; None: nobody knows when they were asked for."""
        if asked_at is None:
            return
        for order_id, known_at in list(self._known_at.items()):
            if known_at is not None and known_at < asked_at:
                del self._known_at[order_id]

    def value(self) -> Decimal:
        """What these orders may cost beyond what the broker's buying power shows, in account currency."""
        total = _ZERO
        for order_id in self._known_at:
            order = self._books.orders.get(order_id)
            if order is None or order.side is not Side.BUY:
                continue
            shares = order.filled_qty if order.is_terminal else order.qty
            total += shares * max(order.limit_price or _ZERO, order.arrival_price or _ZERO)
        return total
