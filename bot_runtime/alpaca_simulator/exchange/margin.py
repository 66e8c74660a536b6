"""What an account can still buy, and what its positions ask for as margin.

Pure functions of money; where the numbers come from is written beside each.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from alpaca_simulator.values.quantities import ZERO

#: Alpaca trades on margin and sells short from this equity on, dollars (docs: margin and short selling).
LEAST_EQUITY_ON_MARGIN = Decimal(2_000)
#: Regulation T asks for half of a position's value when it is opened.
REGULATION_T = Decimal("0.5")
LONG_MAINTENANCE = Decimal("0.3")
#: Below this price a share is no security: its whole value is asked for. Dollars.
CHEAP_LONG_PRICE = Decimal("2.5")
CHEAP_SHORT_PRICE = Decimal(5)
#: An opening short sale counts with at least this much of the ask (docs: placing orders, buying power).
SHORT_SALE_FACTOR = Decimal("1.03")


@dataclass(frozen=True, slots=True)
class Valued:
    """A position's shares (signed) and the dollars one of them costs now."""

    quantity: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True)
class Valuation:
    """An account's money at present prices, in dollars; `short_value` is negative or zero."""

    cash: Decimal
    long_value: Decimal
    short_value: Decimal
    maintenance_margin: Decimal

    @property
    def equity(self) -> Decimal:
        """What the account is worth: alpaca-py's TradeAccount.equity."""
        return self.cash + self.long_value + self.short_value

    @property
    def exposure(self) -> Decimal:
        """Long and short values without their signs."""
        return self.long_value - self.short_value

    def buying_power(self, multiplier: int, reserved: Decimal) -> Decimal:
        """Dollars left to open positions with.

        alpaca-py's TradeAccount: cash for multiplier 1, max(equity - initial margin, 0) * multiplier
        otherwise. The initial margin is taken as 1/multiplier of the exposure, so that a dollar of stock
        costs a dollar of buying power whatever the multiplier; open orders come off at their own value.
        """
        if multiplier == 1:
            # Proceeds of short sales are no cash to buy with.
            return self.cash + 2 * self.short_value - reserved
        return self.equity * multiplier - self.exposure - reserved


def valuation(cash: Decimal, positions: Iterable[Valued]) -> Valuation:
    """`cash` and every position together."""
    long_value = short_value = maintenance = ZERO
    for one in positions:
        value = one.quantity * one.price
        maintenance += maintenance_margin(one)
        if value > 0:
            long_value += value
        else:
            short_value += value
    return Valuation(cash, long_value, short_value, maintenance)


def maintenance_margin(position: Valued) -> Decimal:
    """Alpaca's table: 30 % of a position, all of a cheap share, at least $2.50 or $5 a share sold short."""
    shares, price = abs(position.quantity), position.price
    if position.quantity >= 0:
        return shares * price * (Decimal(1) if price < CHEAP_LONG_PRICE else LONG_MAINTENANCE)
    if price < CHEAP_SHORT_PRICE:
        return shares * max(CHEAP_LONG_PRICE, price)
    return shares * max(CHEAP_SHORT_PRICE, price * LONG_MAINTENANCE)
