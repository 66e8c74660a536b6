"""Bars and quotes from Alpaca's data API: page by page within limits, and one bad symbol never hides the others.

Prices are adjusted for splits and for nothing else: a split must not look like a crash, and bars must have the same
scale as positions, limits and stops. A dividend stays visible as the drop in price that it was, because the cash it
brought is in the account: adjusted for dividends, too, it would be counted twice, and every past bar would change its
value with each payment, so that a strategy's past decisions could not be repeated.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar

import pandas as pd
from alpaca.data.enums import Adjustment, DataFeed
from alpaca.data.requests import StockBarsRequest, StockLatestQuoteRequest

from tradingbot_runtime.broker.bars import (
    BAR_LENGTHS,
    BarLength,
    ended,
    frame_of,
    local_date,
    may_hold_a_running_day,
    regular_close,
    windows,
)
from tradingbot_runtime.broker.connection import Api, Connection
from tradingbot_runtime.broker.fields import Json, list_of, object_of
from tradingbot_runtime.broker.port import BrokerUnavailable, OrderRejected
from tradingbot_runtime.broker.reference_reading import quote_from
from tradingbot_runtime.core.values import BrokerQuote

T = TypeVar("T")

BARS_A_PAGE: Final = 10_000
MAX_PAGES: Final = 100
SYMBOLS_A_REQUEST: Final = 100

CloseOf = Callable[[datetime], Awaitable[datetime]]


class MarketData:
    """The data API of one feed."""

    def __init__(self, connection: Connection, feed: DataFeed, close_of: CloseOf) -> None:
        """`close_of`: when the session of a moment's day closes, which the trading API's calendar knows."""
        self._connection = connection
        self._feed = feed
        self._close_of = close_of

    async def bars(
        self, symbols: Sequence[str], timeframe: str, count: int, before: datetime
    ) -> Mapping[str, pd.DataFrame]:
        """Per symbol the last `count` bars that ended at or before a moment, oldest first; one without is absent."""
        length = BAR_LENGTHS[timeframe]
        frames: dict[str, pd.DataFrame] = {}
        missing, refused = list(symbols), dict[str, OrderRejected]()
        for start in windows(length, count, before):
            ask = partial(self._bars, length=length, start=start, before=before)
            frames.update(await self._ended(await _in_parts(missing, ask, refused), length, before))
            missing = [symbol for symbol in missing if symbol not in refused and len(frames.get(symbol, ())) < count]
            if not missing:
                break
        _check_not_all_refused(frames, refused)
        return {symbol: frames[symbol].tail(count) for symbol in symbols if len(frames.get(symbol, ())) > 0}

    async def quotes(self, symbols: Sequence[str]) -> Mapping[str, BrokerQuote]:
        """The latest quotes; a symbol without one is absent."""
        refused: dict[str, OrderRejected] = {}
        quotes = await _in_parts(symbols, self._quotes, refused)
        _check_not_all_refused(quotes, refused)
        return quotes

    async def _quotes(self, symbols: Sequence[str]) -> dict[str, BrokerQuote]:
        request = StockLatestQuoteRequest(symbol_or_symbols=list(symbols), feed=self._feed)
        return await self._get("quotes", "/stocks/quotes/latest", request.to_request_fields(), _quotes_in)

    async def _bars(
        self, symbols: Sequence[str], *, length: BarLength, start: datetime, before: datetime
    ) -> dict[str, pd.DataFrame]:
        request = StockBarsRequest(
            symbol_or_symbols=list(symbols),
            timeframe=length.alpaca,
            start=start,
            end=before,
            adjustment=Adjustment.SPLIT,
            feed=self._feed,
            limit=BARS_A_PAGE,
        )
        fields, pages = request.to_request_fields(), dict[str, list[pd.DataFrame]]()
        for _ in range(MAX_PAGES):
            frames, token = await self._get("bars", "/stocks/bars", fields, _bars_in)
            for symbol, frame in frames.items():
                pages.setdefault(symbol, []).append(frame)
            if token is None:
                return {symbol: pd.concat(frames) if len(frames) > 1 else frames[0] for symbol, frames in pages.items()}
            fields = {**fields, "page_token": token}
        raise BrokerUnavailable(f"bars: more than {MAX_PAGES} pages; a part is not taken for the whole", may_pass=False)

    async def _get(self, doing: str, path: str, fields: Mapping[str, Any], read: Callable[[Json], T]) -> T:
        client = self._connection.data

        def call() -> T:
            return read(object_of(client.get(path, dict(fields)), f"an answer about {doing}"))

        return await self._connection.read(doing, call, Api.DATA)

    async def _ended(
        self, frames: dict[str, pd.DataFrame], length: BarLength, before: datetime
    ) -> dict[str, pd.DataFrame]:
        close = regular_close(local_date(before))
        if length.is_daily and may_hold_a_running_day(frames.values(), before):
            close = await self._close_of(before)
        return {symbol: ended(frame, length, before, close) for symbol, frame in frames.items()}


def _bars_in(body: Json) -> tuple[dict[str, pd.DataFrame], str | None]:
    """One page, and the token of the next; None after the last."""
    bars = object_of(body.get("bars") or {}, "bars")
    frames = {
        str(symbol): frame_of([object_of(entry, "a bar") for entry in list_of(entries)])
        for symbol, entries in bars.items()
        if entries
    }
    token = body.get("next_page_token")
    return frames, str(token) if token else None


def _quotes_in(body: Json) -> dict[str, BrokerQuote]:
    quotes = object_of(body.get("quotes") or {}, "quotes")
    return {str(symbol): quote_from(str(symbol), raw) for symbol, raw in quotes.items() if raw}


async def _in_parts(
    symbols: Sequence[str],
    ask: Callable[[Sequence[str]], Awaitable[dict[str, T]]],
    refused: dict[str, OrderRejected],
) -> dict[str, T]:
    """The answers for all symbols but those that the broker refuses to answer about, which are added to `refused`."""
    found: dict[str, T] = {}
    waiting = [symbols[start : start + SYMBOLS_A_REQUEST] for start in range(0, len(symbols), SYMBOLS_A_REQUEST)]
    while waiting:
        part = waiting.pop()
        try:
            found.update(await ask(part))
        except OrderRejected as error:
            # Alpaca refuses the whole question for one symbol that it cannot read; a 403 is about the subscription.
            half = len(part) // 2
            if half and error.status != 403:
                waiting += [part[:half], part[half:]]
            else:
                refused.update(dict.fromkeys(part, error))
    return found


def _check_not_all_refused(found: Mapping[str, object], refused: Mapping[str, OrderRejected]) -> None:
    if refused and not found:
        raise next(iter(refused.values()))
