"""What the bot holds, as the sum of its fills. Knows nothing of the account's other bots."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from tradingbot_runtime.core.orders import Fill

_ZERO = Decimal(0)


@dataclass(frozen=True)
class Holding:
    """Shares of one symbol (negative is short) and the average price paid for one."""

    qty: Decimal
    average_entry_price: Decimal


@dataclass(frozen=True)
class Portfolio:
    """Holdings by symbol, and the cash that all fills so far have moved (negative: spent)."""

    holdings: Mapping[str, Holding] = field(default_factory=dict)
    cash_flow: Decimal = _ZERO

    @classmethod
    def of(cls, fills: Iterable[Fill]) -> "Portfolio":
        """The portfolio after these fills, oldest first."""
        portfolio = cls()
        for fill in fills:
            portfolio = portfolio.after(fill)
        return portfolio

    def after(self, fill: Fill) -> "Portfolio":
        """The portfolio after one more fill."""
        holdings = dict(self.holdings)
        holding = _add(holdings.get(fill.symbol, Holding(_ZERO, _ZERO)), fill)
        if holding.qty == 0:
            holdings.pop(fill.symbol, None)
        else:
            holdings[fill.symbol] = holding
        return Portfolio(holdings=holdings, cash_flow=self.cash_flow - fill.signed_qty * fill.price)

    def qty(self, symbol: str) -> Decimal:
        """Shares held; 0 when none."""
        holding = self.holdings.get(symbol)
        return holding.qty if holding else _ZERO

    def value(self, prices: Mapping[str, Decimal]) -> Decimal:
        """Market value of all holdings; a symbol without a price counts at what was paid for it."""
        return sum(
            (
                holding.qty * prices.get(symbol, holding.average_entry_price)
                for symbol, holding in self.holdings.items()
            ),
            _ZERO,
        )

    def profit(self, prices: Mapping[str, Decimal]) -> Decimal:
        """All profit and loss since the bot's first fill, realised and not."""
        return self.cash_flow + self.value(prices)


def _add(holding: Holding, fill: Fill) -> Holding:
    qty = holding.qty + fill.signed_qty
    if fill.price == 0:
        return Holding(qty, holding.qty * holding.average_entry_price / qty if qty else _ZERO)
    if holding.qty == 0 or (holding.qty > 0) == (fill.signed_qty > 0):
        paid = holding.qty * holding.average_entry_price + fill.signed_qty * fill.price
        return Holding(qty, paid / qty if qty else _ZERO)
    if (qty > 0) == (holding.qty > 0):
        return Holding(qty, holding.average_entry_price)  # a part was closed: what is left cost what it cost
    return Holding(qty, fill.price)  # closed and turned over: the rest was opened by this fill
