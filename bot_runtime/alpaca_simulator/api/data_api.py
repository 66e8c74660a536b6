"""The market data API v2 for stocks: bars, latest quotes, trades and bars.

Symbols that are not listed are left out of an answer, as Alpaca does; nothing shows the future.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, time

from alpaca_simulator.api.messages import Request, Response, json_response
from alpaca_simulator.api.rendering import Json, quote_json, trade_json
from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.exchange import Exchange
from alpaca_simulator.market.assets import Asset
from alpaca_simulator.market.bars import (
    BarQuery,
    PageToken,
    Timeframe,
    bar_page,
    latest_minute,
    read_page_token,
    read_timeframe,
)
from alpaca_simulator.market.prices import Quote
from alpaca_simulator.values.instants import NEW_YORK, read_instant
from alpaca_simulator.values.quantities import places, read_decimal

BARS_A_PAGE = 1_000
BARS_A_PAGE_AT_MOST = 10_000
SYMBOLS_AT_MOST = 500

_FEEDS = {"", "iex", "sip", "delayed_sip", "boats", "overnight", "otc"}
_ADJUSTMENTS = {"", "raw", "split", "dividend", "all"}
_NOT_IMPLEMENTED = {
    "auctions": "historical auctions",
    "meta": "the data dictionaries",
    "quotes": "historical quotes",
    "snapshots": "snapshots",
    "trades": "historical trades",
}


class DataApi:
    """Answers requests below `/v2/stocks` from one exchange's market and time."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def answer(self, request: Request) -> Response:
        """Answer a request; raises Refusal. The path starts with `v2/stocks`."""
        match (request.method, request.segments[2:]):
            case ("GET", ("bars",)):
                return self._bars(request)
            case ("GET", ("bars", "latest")):
                return self._latest(request, "bars", self._latest_bar)
            case ("GET", ("quotes", "latest")):
                return self._latest(request, "quotes", lambda asset: quote_json(self._quote(asset)))
            case ("GET", ("trades", "latest")):
                return self._latest(request, "trades", lambda asset: trade_json(self._quote(asset)))
            case ("GET", (str(first), *_)) if first in _NOT_IMPLEMENTED:
                raise refusals.not_implemented(_NOT_IMPLEMENTED[first])
            case ("GET", (_, "bars" | "quotes" | "trades" | "snapshot" | "auctions", *_)):
                raise refusals.not_implemented("the single-symbol form of the data API")
        raise refusals.Refusal(404, None, "endpoint not found.")

    def _quote(self, asset: Asset) -> Quote:
        return self._exchange.market.quote(asset, self._exchange.now)

    def _latest_bar(self, asset: Asset) -> Json | None:
        bar = latest_minute(self._exchange.market, asset, self._exchange.now)
        return None if bar is None else bar.json()

    def _latest(self, request: Request, name: str, show: Callable[[Asset], Json | None]) -> Response:
        _check_choices(request)
        shown = {asset.symbol: show(asset) for asset in self._listed(request)}
        return json_response(200, {name: {symbol: one for symbol, one in shown.items() if one is not None}})

    def _bars(self, request: Request) -> Response:
        _check_choices(request)
        query = self._query(request)
        page = bar_page(self._exchange.market, query, self._exchange.now, _page_token(request))
        bars = {symbol: [bar.json() for bar in found] for symbol, found in page.bars.items()}
        return json_response(200, {"bars": bars, "next_page_token": page.next_token})

    def _query(self, request: Request) -> BarQuery:
        now = self._exchange.now
        today = datetime.combine(now.astimezone(NEW_YORK).date(), time(), NEW_YORK)
        start = _instant(request, "start") or today
        end = _instant(request, "end") or now
        if start > end:
            raise refusals.bad_data_parameter("end should not be before start")
        return BarQuery(
            assets=self._listed(request),
            timeframe=_timeframe(request),
            start=start,
            end=end,
            descending=_is_descending(request),
            limit=_limit(request),
        )

    def _listed(self, request: Request) -> tuple[Asset, ...]:
        """The assets asked for, by symbol, without those that are not listed."""
        symbols = sorted({symbol.strip() for symbol in request.parameters.get("symbols", "").split(",")} - {""})
        if not symbols:
            raise refusals.bad_data_parameter("symbols is required")
        if len(symbols) > SYMBOLS_AT_MOST:
            raise refusals.bad_data_parameter(f"more than {SYMBOLS_AT_MOST} symbols")
        found = (self._exchange.catalogue.find(symbol) for symbol in symbols)
        return tuple(asset for asset in found if asset is not None)


def _check_choices(request: Request) -> None:
    wanted = request.parameters
    if wanted.get("feed", "") not in _FEEDS:
        raise refusals.bad_data_parameter("invalid feed")
    if wanted.get("adjustment", "") not in _ADJUSTMENTS:
        raise refusals.bad_data_parameter("invalid adjustment")
    if wanted.get("currency", "USD") not in {"USD", ""}:
        raise refusals.bad_data_parameter("only USD is supported by this simulator")


def _timeframe(request: Request) -> Timeframe:
    raw = request.parameters.get("timeframe", "")
    timeframe = read_timeframe(raw)
    if timeframe is None:
        raise refusals.bad_data_parameter(f"invalid timeframe: {raw[:40]}" if raw else "timeframe is required")
    return timeframe


def _is_descending(request: Request) -> bool:
    raw = request.parameters.get("sort") or "asc"
    if raw not in {"asc", "desc"}:
        raise refusals.bad_data_parameter("invalid sort")
    return raw == "desc"


def _limit(request: Request) -> int:
    raw = request.parameters.get("limit")
    if not raw:
        return BARS_A_PAGE
    limit = read_decimal(raw)
    if limit is None or not 1 <= limit <= BARS_A_PAGE_AT_MOST or places(limit) > 0:
        raise refusals.bad_data_parameter(f"invalid limit: must be from 1 to {BARS_A_PAGE_AT_MOST}")
    return int(limit)


def _instant(request: Request, name: str) -> datetime | None:
    raw = request.parameters.get(name)
    if not raw:
        return None
    instant = read_instant(raw)
    if instant is None:
        raise refusals.bad_data_parameter(f"invalid {name}: not an RFC 3339 time")
    return instant


def _page_token(request: Request) -> PageToken | None:
    raw = request.parameters.get("page_token")
    if not raw:
        return None
    token = read_page_token(raw)
    if token is None:
        raise refusals.bad_data_parameter("invalid page_token")
    return token
