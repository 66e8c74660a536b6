"""Trade updates: what happened to orders, as the stream tells it, until somebody takes them.

Bounded: the oldest that nobody took is dropped and counted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from alpaca_simulator.exchange.lifecycle import Event
from alpaca_simulator.exchange.orders import Order


@dataclass(frozen=True, slots=True)
class TradeUpdate:
    """One event of one order of one account, as the stream tells it; `order` is a copy of that moment.

    `price` (dollars a share), `quantity` and `position_quantity` (shares) are set for fills.
    """

    account_id: UUID
    event: Event
    at: datetime
    execution_id: UUID
    order: Order
    price: Decimal | None = None
    quantity: Decimal | None = None
    position_quantity: Decimal | None = None


class UpdateQueue:
    """Updates nobody has taken yet, oldest first."""

    def __init__(self) -> None:
        self.dropped = 0
        self._waiting: deque[TradeUpdate] = deque()

    def put(self, update: TradeUpdate, kept_at_most: int) -> None:
        """Add an update; over the limit the oldest is dropped."""
        while len(self._waiting) >= kept_at_most:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(update)

    def take(self) -> list[TradeUpdate]:
        """Every update since the last call, in the order it happened."""
        taken = list(self._waiting)
        self._waiting.clear()
        return taken
