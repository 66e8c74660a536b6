"""The seam at market data: bars, quotes and trades as a client is told them, spoilt by the rules.

The exchange never sees any of it. Which bar is concerned depends on the seed and the bar alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from alpaca_simulator.faults import data_kinds
from alpaca_simulator.faults.book import FaultBook, RuleInForce
from alpaca_simulator.market.bars import Bar
from alpaca_simulator.market.within_minute import Quote, Trade

#: A hundred times the price, or a hundred thousand times the volume.
_JUMP = 100
_HUGE = 100_000


class SpoiltMarketData:
    """Says what is told of a symbol instead of the truth.

    `now` is the market's time; `quote_at` the true quote of a symbol at a time, None where there is none.
    """

    def __init__(
        self, book: FaultBook, now: Callable[[], datetime], quote_at: Callable[[str, datetime], Quote | None]
    ) -> None:
        self._book = book
        self._now = now
        self._quote_at = quote_at

    def bars(self, symbol: str, timeframe_minutes: int, bars: Sequence[Bar]) -> Sequence[Bar]:
        """The bars to tell, in the order to tell them."""
        if not bars:
            return bars
        for entry in self._book.of(data_kinds.BarsRule):
            chosen = [self._is_chosen(entry, symbol, timeframe_minutes, bar) for bar in bars]
            if not self._fits(entry, symbol) or not any(chosen) or not self._book.strikes(entry, self._now()):
                continue
            self._note(entry, f"{sum(chosen)} of {len(bars)} bars of {symbol}")
            bars = _spoilt(entry.rule, bars, chosen)
        return bars

    def quote(self, symbol: str, quote: Quote) -> Quote:
        """The quote to tell."""
        for stale in self._book.of(data_kinds.StaleQuotes):
            if self._fits(stale, symbol) and self._book.strikes(stale, self._now()):
                quote = self._frozen(stale, symbol) or quote
                self._note(stale, f"quote of {symbol}")
        for absurd in self._book.of(data_kinds.AbsurdQuotes):
            if self._fits(absurd, symbol) and self._book.strikes(absurd, self._now()):
                quote = _absurd_quote(absurd.rule.shape, quote)
                self._note(absurd, f"quote of {symbol}")
        return quote

    def trade(self, symbol: str, trade: Trade) -> Trade:
        """The trade to tell."""
        for entry in self._book.of(data_kinds.StaleQuotes):
            if entry.rule.trades and self._fits(entry, symbol) and self._book.strikes(entry, self._now()):
                frozen = self._frozen(entry, symbol)
                self._note(entry, f"trade of {symbol}")
                return trade if frozen is None else replace(trade, at=frozen.at, price=frozen.last)
        return trade

    def _frozen(self, entry: RuleInForce[data_kinds.StaleQuotes], symbol: str) -> Quote | None:
        at = entry.rule.frozen_at or entry.rule.since or entry.added_at
        return self._quote_at(symbol, min(at, self._now()))

    def _fits(self, entry: RuleInForce[data_kinds.DataRule], symbol: str) -> bool:
        return entry.rule.match.symbol in {None, symbol}

    def _is_chosen(
        self, entry: RuleInForce[data_kinds.BarsRule], symbol: str, timeframe_minutes: int, bar: Bar
    ) -> bool:
        rule = entry.rule
        if (rule.since_bar and bar.at < rule.since_bar) or (rule.until_bar and bar.at >= rule.until_bar):
            return False
        if rule.fraction >= 1:
            return True
        return self._book.draw(entry.rule_id, symbol, timeframe_minutes, bar.at.isoformat()) < rule.fraction

    def _note(self, entry: RuleInForce[data_kinds.DataRule], what: str) -> None:
        self._book.note(entry, self._now(), what)


def _spoilt(rule: data_kinds.BarsRule, bars: Sequence[Bar], chosen: Sequence[bool]) -> list[Bar]:
    pairs = list(zip(bars, chosen, strict=True))
    match rule:
        case data_kinds.MissingBars():
            return [bar for bar, struck in pairs if not struck]
        case data_kinds.DuplicatedBars():
            return [bar for bar, struck in pairs for _ in range(2 if struck else 1)]
        case data_kinds.OutOfOrderBars():
            return _swapped(bars, chosen)
        case data_kinds.AbsurdBars(shape=shape):
            return [_absurd_bar(shape, bar) if struck else bar for bar, struck in pairs]
    raise AssertionError(f"no such fault of bars: {rule}")


def _swapped(bars: Sequence[Bar], chosen: Sequence[bool]) -> list[Bar]:
    """Each chosen bar in the place of the one before it, which follows it; no bar moves twice."""
    swapped = list(bars)
    index = 1
    while index < len(swapped):
        if chosen[index]:
            swapped[index - 1], swapped[index] = swapped[index], swapped[index - 1]
            index += 1
        index += 1
    return swapped


def _absurd_bar(shape: str, bar: Bar) -> Bar:
    match shape:
        case "negative":
            return bar._replace(open=-bar.open, high=-bar.low, low=-bar.high, close=-bar.close, vwap=-bar.vwap)
        case "zero":
            return bar._replace(open=0.0, high=0.0, low=0.0, close=0.0, vwap=0.0)
        case "high_below_low":
            # Apart even where they are the same.
            return bar._replace(high=bar.low - 1, low=bar.high + 1)
        case "jump":
            prices = {name: getattr(bar, name) * _JUMP for name in ("open", "high", "low", "close", "vwap")}
            return bar._replace(**{name: round(price, 6) for name, price in prices.items()})
    return bar._replace(volume=(bar.volume + 1) * _HUGE)


def _absurd_quote(shape: str, quote: Quote) -> Quote:
    match shape:
        case "zero":
            return replace(quote, bid=0, bid_size=0)
        case "crossed":
            return replace(quote, bid=quote.ask + 1, ask=quote.bid)
    return replace(quote, bid=quote.bid * _JUMP, ask=quote.ask * _JUMP, last=quote.last * _JUMP)
