"""The place where market data may be spoilt on its way to a client.

The exchange never sees any of it: orders are matched against the true market.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from alpaca_simulator.market.bars import Bar
from alpaca_simulator.market.within_minute import Quote, Trade


class MarketDataFaults(Protocol):
    """Sees what is about to be told of a symbol, and says what is told instead.

    Called once for each answer or stream message and symbol, after paging: what it adds or takes
    away changes neither the page's token nor the pages that follow.
    """

    def bars(self, symbol: str, timeframe_minutes: int, bars: Sequence[Bar]) -> Sequence[Bar]:
        """The bars to tell, in the order to tell them; a day counts 1440 minutes, a month 43200."""

    def quote(self, symbol: str, quote: Quote) -> Quote:
        """The quote to tell, such as an old one."""

    def trade(self, symbol: str, trade: Trade) -> Trade:
        """The trade to tell."""


class NoMarketDataFaults:
    """Tells everything as it is."""

    def bars(self, symbol: str, timeframe_minutes: int, bars: Sequence[Bar]) -> Sequence[Bar]:
        """The same bars."""
        return bars

    def quote(self, symbol: str, quote: Quote) -> Quote:
        """The same quote."""
        return quote

    def trade(self, symbol: str, trade: Trade) -> Trade:
        """The same trade."""
        return trade
