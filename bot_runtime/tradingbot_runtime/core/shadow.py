"""The same decisions without a market in between: filled at once, whole, at the price they were made at.

What paper or live trading makes of the decisions is measured against it. Orders nothing.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from tradingbot_runtime.core.allocator import Execution, allocate
from tradingbot_runtime.core.orders import Fill
from tradingbot_runtime.core.portfolio import Holding, Portfolio
from tradingbot_runtime.core.values import Side


class Shadow:
    """A portfolio that follows every allocation without friction."""

    def __init__(self, portfolio: Portfolio | None = None) -> None:
        self.portfolio = portfolio or Portfolio()

    def follow(
        self,
        weights: Mapping[str, Decimal],
        prices: Mapping[str, Decimal],
        capital: Decimal,
        execution: Execution,
        at: datetime,
    ) -> None:
        """Trades what the allocator would, from the shadow's own holdings."""
        for intent in allocate(weights, prices, self.portfolio, {}, capital, execution).intents:
            signed = intent.qty if intent.side is Side.BUY else -intent.qty
            self.portfolio = self.portfolio.after(Fill("", 0, intent.symbol, signed, intent.price, at))

    def to_json(self) -> dict[str, object]:
        """The portfolio as a document."""
        return {
            "cash_flow": str(self.portfolio.cash_flow),
            "holdings": {
                symbol: [str(holding.qty), str(holding.average_entry_price)]
                for symbol, holding in sorted(self.portfolio.holdings.items())
            },
        }

    @classmethod
    def from_json(cls, document: Mapping[str, object] | None) -> "Shadow":
        """The shadow of a document; an empty one when there is none."""
        if not document:
            return cls()
        held = document["holdings"]
        holdings = {
            str(symbol): Holding(Decimal(qty), Decimal(price))
            for symbol, (qty, price) in (held.items() if isinstance(held, Mapping) else ())
        }
        return cls(Portfolio(holdings, Decimal(str(document["cash_flow"]))))
