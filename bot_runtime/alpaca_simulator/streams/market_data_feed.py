"""What happened in the market between two seconds, as the messages of the market data stream.

The same two seconds always give the same messages. With a clock that runs fast or jumps, quotes and
trades are thinned to the newest; minute bars are told whole, as far back as a day is long.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from operator import itemgetter

from alpaca_simulator.api.data_rendering import bar_json, quote_json, tape_of, trade_json
from alpaca_simulator.exchange.exchange import Exchange
from alpaca_simulator.market.assets import Asset
from alpaca_simulator.market.bars import Bar, bars_of
from alpaca_simulator.market.calendar import Session
from alpaca_simulator.market.data_faults import MarketDataFaults, NoMarketDataFaults
from alpaca_simulator.market.halts import Halt
from alpaca_simulator.market.paging import Series, Span
from alpaca_simulator.market.tape import Tape
from alpaca_simulator.market.timeframes import Timeframe, midnight_in_new_york
from alpaca_simulator.streams.around_the_clock import AroundTheClock
from alpaca_simulator.streams.halt_statuses import StatusChange, price_bands, status_message
from alpaca_simulator.streams.market_data_codec import Message
from alpaca_simulator.streams.minute_bars import bar_of_minute
from alpaca_simulator.streams.subscriptions import WILDCARD, Subscriptions
from alpaca_simulator.values.instants import epoch_floor, from_epoch

#: Quotes and trades together in one advance, shared out among the symbols listened to.
PRICES_AN_ADVANCE = 600
#: Bars in one advance reach back this far at most.
LONGEST_LOOK_BACK_SECONDS = 24 * 3600
TEST_FEED = "test"

_DAY = Timeframe(1, "day")
_DAY_MINUTES = 24 * 60
_SECOND = timedelta(seconds=1) - timedelta(microseconds=1)

#: A message and the second (Unix epoch) at which it is told.
_Due = tuple[int, Message]


class MarketDataFeed:
    """Messages about the assets of one exchange, up to the time it has come to.

    `faults` spoils what is told, as it does in the data API.
    """

    def __init__(self, exchange: Exchange, faults: MarketDataFaults | None = None) -> None:
        self._exchange = exchange
        self._faults = faults or NoMarketDataFaults()
        self._tape = Tape(exchange.market, exchange.halts)
        self._test = AroundTheClock(exchange.market)

    @property
    def now(self) -> datetime:
        """The market's time."""
        return self._exchange.now

    @property
    def halts(self) -> tuple[Halt, ...]:
        """Every halt there was, is or is known to come."""
        return self._exchange.halts.listed()

    def status(self, change: StatusChange) -> Message:
        """The message that tells of a halt or its end."""
        asset = self._exchange.catalogue.find(change.halt.symbol)
        return status_message(change, "C" if asset is None else tape_of(asset))

    def messages(self, feed: str, wanted: Subscriptions, after: int, until: int) -> list[Message]:
        """What is told in the seconds after `after` up to `until` (Unix epoch), in the order of time."""
        if feed == TEST_FEED:
            return list(self._test.messages(wanted, after, until))
        traded, quoted = self._series(wanted, "trades"), self._series(wanted, "quotes")
        each = max(1, PRICES_AN_ADVANCE // max(1, len(traded) + len(quoted)))
        told: list[_Due] = []
        for series in traded:
            told += self._trades(series, after, until, each)
        for series in quoted:
            told += self._quotes(series, after, until, each)
        # Bars, and what is told with them, come once in a minute.
        begins = range((max(after, until - LONGEST_LOOK_BACK_SECONDS) // 60) * 60, until // 60 * 60, 60)
        if begins:
            for series in self._series(wanted, "bars"):
                told += self._minute_bars(series, begins)
            for series in self._series(wanted, "dailyBars"):
                told += self._daily_bar(series, after, until)
            for series in self._series(wanted, "lulds"):
                told += self._bands(series, begins)
        # Sorting keeps the order of what is told in the same second.
        return [message for _, message in sorted(told, key=itemgetter(0))]

    def _series(self, wanted: Subscriptions, channel: str) -> list[Series]:
        """The assets listened to in `channel`, each on the days that it has its symbol."""
        symbols = wanted.symbols(channel)
        if not symbols:
            return []
        every = WILDCARD in symbols
        return [self._days_of(asset) for asset in self._exchange.catalogue if every or asset.symbol in symbols]

    def _days_of(self, asset: Asset) -> Series:
        actions, symbol = self._exchange.market.actions, asset.symbol
        return Series(symbol, asset, actions.listed_from(symbol), actions.listed_until(symbol))

    def _trades(self, series: Series, after: int, until: int, newest: int) -> list[_Due]:
        # A trade within a second is told when the second has come.
        span = Span(from_epoch(after + 1), from_epoch(until) + _SECOND, descending=True)
        found: list[_Due] = []
        for true in islice(self._tape.trades(series, span), newest):
            trade = self._faults.trade(series.label, true)
            message = {"T": "t", "S": series.label, **trade_json(trade, tape_of(series.asset)), "t": trade.at}
            found.append((epoch_floor(true.at), message))
        return found[::-1]

    def _quotes(self, series: Series, after: int, until: int, newest: int) -> list[_Due]:
        span = Span(from_epoch(after + 1), from_epoch(until), descending=True)
        found: list[_Due] = []
        for true in islice(self._tape.quotes(series, span), newest):
            quote = self._faults.quote(series.label, true)
            message = {"T": "q", "S": series.label, **quote_json(quote, tape_of(series.asset)), "t": quote.at}
            found.append((epoch_floor(true.at), message))
        return found[::-1]

    def _minute_bars(self, series: Series, begins: range) -> list[_Due]:
        bars: list[Bar] = []
        for session in self._sessions(series, begins):
            minutes = self._tape.minutes(series.asset, session)
            first, stop = max(begins.start, minutes.start_epoch), min(begins.stop, minutes.stop_epoch)
            made = (bar_of_minute(minutes, epoch) for epoch in range(first, stop, 60))
            bars += [bar for bar in made if bar is not None]
        due = [epoch_floor(bar.at) + 60 for bar in bars] or [begins.stop]
        spoilt = self._faults.bars(series.label, 1, bars)
        # What a fault adds or moves is told in the place it has been given.
        return [
            (due[min(place, len(due) - 1)], {"T": "b", "S": series.label, **bar_json(bar), "t": bar.at})
            for place, bar in enumerate(spoilt)
        ]

    def _daily_bar(self, series: Series, after: int, until: int) -> list[_Due]:
        """The day so far, told again after each minute of regular hours; the newest is enough."""
        session = self._exchange.calendar.last_opened(from_epoch(until))
        told = 0 if session is None else min(until - until % 60, session.close_epoch)
        if session is None or told <= max(after, session.open_epoch):
            return []
        span = Span(midnight_in_new_york(session.day), from_epoch(told))
        bars = list(bars_of(self._tape, series, _DAY, span, from_epoch(told)))
        return [
            (told, {"T": "d", "S": series.label, **bar_json(bar), "t": bar.at})
            for bar in self._faults.bars(series.label, _DAY_MINUTES, bars)
        ]

    def _bands(self, series: Series, begins: range) -> list[_Due]:
        told = range(begins.start + 60, begins.stop + 60, 60)
        return [
            (epoch, message)
            for session in self._sessions(series, told)
            for epoch, message in price_bands(series.asset, self._tape.regular_minutes(series.asset, session))
            if epoch in told
        ]

    def _sessions(self, series: Series, seconds: range) -> Iterator[Session]:
        for session in self._exchange.calendar.extended_between(from_epoch(seconds.start), from_epoch(seconds.stop)):
            if series.covers(session) and self._exchange.market.trades_in(series.asset, session):
                yield session
