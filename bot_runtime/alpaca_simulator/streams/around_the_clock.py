"""The test feed, `/v2/test`: one made-up symbol that trades around the clock.

It lives through the regular hours of one session again and again; no other symbol is told there.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from alpaca_simulator.api.data_rendering import bar_json, quote_json, trade_json
from alpaca_simulator.market.assets import Asset
from alpaca_simulator.market.calendar import Session
from alpaca_simulator.market.prices import Market
from alpaca_simulator.streams.market_data_codec import Message
from alpaca_simulator.streams.minute_bars import bar_of_minute
from alpaca_simulator.streams.subscriptions import Subscriptions
from alpaca_simulator.values.instants import from_epoch

TEST_ASSET = Asset("FAKEPACA", "Test Stock", "NASDAQ", 13_500, 0.3, 5_000_000)
#: However far the clock jumps, only this much is told at once.
SECONDS_AN_ADVANCE = 600

_CYCLE_SECONDS = 390 * 60


class AroundTheClock:
    """Messages about the test symbol."""

    def __init__(self, market: Market) -> None:
        self._market = market

    def messages(self, wanted: Subscriptions, after: int, until: int) -> Iterator[Message]:
        """What is told in the seconds after `after` up to `until` (Unix epoch), in the order of time."""
        session = next(one for one in self._market.calendar.sessions if one.minutes * 60 == _CYCLE_SECONDS)
        for epoch in range(max(after + 1, until + 1 - SECONDS_AN_ADVANCE), until + 1):
            yield from self._told_at(session, wanted, epoch)

    def _told_at(self, session: Session, wanted: Subscriptions, epoch: int) -> Iterator[Message]:
        symbol, second = TEST_ASSET.symbol, session.open_epoch + epoch % _CYCLE_SECONDS
        later = timedelta(seconds=epoch - second)
        if wanted.wants("trades", symbol):
            for trade in self._market.trades_of_minute(TEST_ASSET, session, second):
                if int(trade.at.timestamp()) == second:
                    yield {"T": "t", "S": symbol, **trade_json(trade), "t": trade.at + later}
        if wanted.wants("quotes", symbol):
            quote = self._market.quote_in(TEST_ASSET, session, second)
            yield {"T": "q", "S": symbol, **quote_json(quote), "t": quote.at + later}
        if wanted.wants("bars", symbol) and epoch % 60 == 0:
            begin = session.open_epoch + (epoch - 60) % _CYCLE_SECONDS
            bar = bar_of_minute(self._market.minutes(TEST_ASSET, session), begin)
            if bar is not None:
                yield {"T": "b", "S": symbol, **bar_json(bar), "t": from_epoch(epoch - 60)}
