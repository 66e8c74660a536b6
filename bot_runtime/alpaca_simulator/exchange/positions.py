"""Shares held or owed of one asset, and what they cost.

Only arithmetic: who may trade and at which price is decided elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from alpaca_simulator.exchange.orders import Side
from alpaca_simulator.market.assets import Asset
from alpaca_simulator.values.quantities import ZERO


@dataclass(slots=True)
class Position:
    """Shares held and the dollars they cost; both are negative for shares sold short."""

    asset: Asset
    quantity: Decimal
    cost_basis: Decimal

    @property
    def is_short(self) -> bool:
        """Whether shares are owed."""
        return self.quantity < 0

    @property
    def average_entry_price(self) -> Decimal:
        """Dollars a share; a position of no shares does not exist."""
        return self.cost_basis / self.quantity

    @property
    def closing_side(self) -> Side:
        """The side of an order that makes it smaller."""
        return Side.BUY if self.is_short else Side.SELL

    def change(self, quantity: Decimal, price: Decimal) -> None:
        """Add `quantity` shares (signed) at `price` dollars; what makes it smaller goes at its average cost."""
        if self.quantity * quantity >= 0:
            self.cost_basis += quantity * price
        elif abs(quantity) <= abs(self.quantity):
            self.cost_basis += self.average_entry_price * quantity
        else:
            # Through zero: the rest begins a position the other way round.
            self.cost_basis = (self.quantity + quantity) * price
        self.quantity += quantity
        if self.quantity == 0:
            self.cost_basis = ZERO
