"""What the exchange does beyond plain matching, as its owner configures it.

Only values; every default is an exchange that acknowledges at once and fills whole orders.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from alpaca_simulator.exchange.orders import Order


@dataclass(frozen=True, slots=True)
class ExchangeRules:
    """How orders are acknowledged and filled.

    `partial_fill_probability` is the chance that a quote fills only a part of an order;
    with `fill_size_limit` the orders of one side together take at most the quote's size a second;
    `updates_kept` bounds the trade updates nobody has taken yet. The delays are how many milliseconds
    of market time pass until a new order, a cancel or a replacement is acknowledged: 0 is at once.
    """

    partial_fill_probability: float = 0.0
    updates_kept: int = 100_000
    fill_size_limit: bool = False
    new_delay_milliseconds: int = 0
    cancel_delay_milliseconds: int = 0
    replace_delay_milliseconds: int = 0

    @property
    def new_delay(self) -> timedelta:
        """How long an order is pending_new."""
        return timedelta(milliseconds=self.new_delay_milliseconds)

    @property
    def cancel_delay(self) -> timedelta:
        """How long an order is pending_cancel."""
        return timedelta(milliseconds=self.cancel_delay_milliseconds)

    @property
    def replace_delay(self) -> timedelta:
        """How long an order is pending_replace."""
        return timedelta(milliseconds=self.replace_delay_milliseconds)


class FillGate(Protocol):
    """Asked before each fill whether it may happen."""

    def allows(self, order: Order, at: datetime, fills: int) -> Decimal | None:
        """None: fill freely. A quantity: at most so many shares. Zero: nothing now, ask again next second.

        `fills` counts the order's fills so far.
        """
