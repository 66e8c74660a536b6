"""alpaca-py's StockHistoricalDataClient against the simulator, parsed by its own models."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.enums import Adjustment, DataFeed
from alpaca.data.requests import (
    StockBarsRequest,
    StockLatestBarRequest,
    StockLatestQuoteRequest,
    StockLatestTradeRequest,
    StockSnapshotRequest,
)
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

from contract.conftest import MONDAY_NOON, Venue


def test_a_year_of_daily_bars_for_five_symbols(venue: Venue) -> None:
    symbols = ["SPY", "TLT", "GLD", "DBC", "AAPL"]
    request = StockBarsRequest(
        symbol_or_symbols=symbols,
        timeframe=TimeFrame.Day,
        start=MONDAY_NOON - timedelta(days=365),
        adjustment=Adjustment.ALL,
        feed=DataFeed.IEX,
    )
    bars = venue.data().get_stock_bars(request).data
    assert {symbol: len(found) for symbol, found in bars.items()} == dict.fromkeys(symbols, 251)
    assert all(bar.low <= bar.close <= bar.high for found in bars.values() for bar in found)


def test_minute_bars_come_whole_through_pages(venue: Venue) -> None:
    request = StockBarsRequest(
        symbol_or_symbols=["SPY", "AAPL"],
        timeframe=TimeFrame.Minute,
        start=datetime(2026, 2, 2, tzinfo=UTC),
        end=datetime(2026, 2, 27, 23, tzinfo=UTC),
    )
    bars = venue.data().get_stock_bars(request).data
    assert {symbol: len(found) for symbol, found in bars.items()} == {"SPY": 19 * 390, "AAPL": 19 * 390}
    times = [bar.timestamp for bar in bars["SPY"]]
    assert times == sorted(set(times))


def test_a_limit_and_a_sort_are_honoured(venue: Venue) -> None:
    request = StockBarsRequest(
        symbol_or_symbols="SPY",
        timeframe=TimeFrame(5, TimeFrameUnit.Minute),
        start=MONDAY_NOON - timedelta(days=7),
        limit=3,
        sort="desc",
    )
    newest, *_, third = venue.data().get_stock_bars(request)["SPY"]
    assert newest.timestamp == MONDAY_NOON - timedelta(minutes=5)
    assert third.timestamp == MONDAY_NOON - timedelta(minutes=15)


def test_the_latest_quote_trade_and_bar_agree(venue: Venue) -> None:
    client = venue.data()
    quote = client.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=["SPY", "NOSUCH"]))
    trade = client.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols="SPY"))["SPY"]
    bar = client.get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols="SPY"))["SPY"]
    assert list(quote) == ["SPY"]
    assert quote["SPY"].timestamp == trade.timestamp == MONDAY_NOON
    assert quote["SPY"].bid_price < quote["SPY"].ask_price
    assert bar.timestamp == MONDAY_NOON - timedelta(minutes=1)
    assert abs(bar.close - trade.price) < 0.01 * trade.price


def test_what_is_not_there_yet_is_not_implemented(venue: Venue) -> None:
    with pytest.raises(APIError) as refusal:
        venue.data().get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols="SPY"))
    assert refusal.value.status_code == 501


def test_wrong_keys_are_a_401_without_a_code(venue: Venue) -> None:
    with pytest.raises(APIError) as refusal:
        venue.data(("nobody", "x")).get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols="SPY"))
    assert refusal.value.status_code == 401
    with pytest.raises(KeyError):
        _ = refusal.value.code
