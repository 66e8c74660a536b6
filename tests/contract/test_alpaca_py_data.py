"""alpaca-py's StockHistoricalDataClient against the simulator, parsed by its own models."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from alpaca.common.enums import Sort
from alpaca.common.exceptions import APIError
from alpaca.data.enums import Adjustment, CorporateActionsType, DataFeed
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.data.models import Bar
from alpaca.data.models.corporate_actions import CorporateActionsSet
from alpaca.data.requests import (
    CorporateActionsRequest,
    StockBarsRequest,
    StockLatestBarRequest,
    StockLatestQuoteRequest,
    StockLatestTradeRequest,
    StockQuotesRequest,
    StockSnapshotRequest,
    StockTradesRequest,
)
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

from contract.conftest import MONDAY_NOON, PAPER, Venue, in_process_venue

MINUTE = timedelta(minutes=1)


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


@pytest.mark.parametrize(
    ("amount", "unit", "least"),
    [
        (1, TimeFrameUnit.Minute, 150),
        (59, TimeFrameUnit.Minute, 2),
        (1, TimeFrameUnit.Hour, 30),
        (23, TimeFrameUnit.Hour, 5),
        (1, TimeFrameUnit.Day, 5),
        (1, TimeFrameUnit.Week, 3),
        (1, TimeFrameUnit.Month, 26),
        (12, TimeFrameUnit.Month, 2),
    ],
)
def test_every_time_frame_is_served(amount: int, unit: TimeFrameUnit, least: int) -> None:
    days = {TimeFrameUnit.Minute: 0, TimeFrameUnit.Week: 21, TimeFrameUnit.Month: 800}.get(unit, 7)
    start = MONDAY_NOON - timedelta(days=days, minutes=150)
    request = StockBarsRequest(symbol_or_symbols="SPY", timeframe=TimeFrame(amount, unit), start=start)
    bars = in_process_venue().data().get_stock_bars(request)["SPY"]
    assert len(bars) >= least
    assert [bar.timestamp for bar in bars] == sorted({bar.timestamp for bar in bars})


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


def test_adjustments_take_splits_and_dividends_out_of_the_past() -> None:
    actions = [
        {"type": "split", "symbol": "SPY", "ex_date": "2026-02-11", "new": 4, "old": 1},
        {"type": "dividend", "symbol": "SPY", "ex_date": "2026-02-18", "payable_date": "2026-02-20", "rate": "3"},
    ]
    client = in_process_venue(corporate_actions=actions).data()

    def closes(adjustment: Adjustment) -> dict[date, float]:
        start = datetime(2026, 2, 2, tzinfo=UTC)
        request = StockBarsRequest(symbol_or_symbols="SPY", timeframe=TimeFrame.Day, start=start, adjustment=adjustment)
        return {bar.timestamp.date(): bar.close for bar in client.get_stock_bars(request)["SPY"]}

    raw, split, dividend, whole = (
        closes(one) for one in (Adjustment.RAW, Adjustment.SPLIT, Adjustment.DIVIDEND, Adjustment.ALL)
    )
    early, between, late = date(2026, 2, 4), date(2026, 2, 12), date(2026, 2, 25)
    assert split[early] == pytest.approx(raw[early] / 4, rel=0.001)
    assert split[between] == raw[between]
    assert dividend[between] < raw[between]
    assert whole[early] < split[early] < dividend[early] < raw[early]
    assert raw[late] == split[late] == dividend[late] == whole[late]


def test_quotes_come_in_pages_and_in_order(venue: Venue) -> None:
    request = StockQuotesRequest(
        symbol_or_symbols=["SPY", "TLT"], start=MONDAY_NOON - 2 * MINUTE, end=MONDAY_NOON - MINUTE, feed=DataFeed.IEX
    )
    quotes = venue.data().get_stock_quotes(request).data
    assert set(quotes) == {"SPY", "TLT"}
    for found in quotes.values():
        times = [quote.timestamp for quote in found]
        assert times == sorted(times)
        assert MONDAY_NOON - 2 * MINUTE <= times[0] <= times[-1] <= MONDAY_NOON - MINUTE
        assert all(0 < quote.bid_price < quote.ask_price for quote in found)
    few = request.model_copy(update={"limit": 7})
    first_seven = venue.data().get_stock_quotes(few).data
    assert sum(len(found) for found in first_seven.values()) == 7
    assert first_seven["SPY"] == quotes["SPY"][:7]
    newest_first = request.model_copy(update={"sort": Sort.DESC})
    assert venue.data().get_stock_quotes(newest_first)["SPY"][0] == quotes["SPY"][-1]


def test_trades_come_in_pages_and_in_order(venue: Venue) -> None:
    request = StockTradesRequest(symbol_or_symbols=["SPY"], start=MONDAY_NOON - 2 * MINUTE, end=MONDAY_NOON - MINUTE)
    trades = venue.data().get_stock_trades(request)["SPY"]
    times = [trade.timestamp for trade in trades]
    assert times == sorted(times)
    (bar,) = venue.data().get_stock_bars(
        StockBarsRequest(
            symbol_or_symbols="SPY",
            timeframe=TimeFrame.Minute,
            start=MONDAY_NOON - 2 * MINUTE,
            end=MONDAY_NOON - 2 * MINUTE + timedelta(seconds=59),
        )
    )["SPY"]
    within = [trade for trade in trades if trade.timestamp < MONDAY_NOON - MINUTE]
    assert within
    assert all(bar.low <= trade.price <= bar.high for trade in within)
    few = request.model_copy(update={"limit": 5})
    assert venue.data().get_stock_trades(few)["SPY"] == trades[:5]


def test_the_latest_quote_trade_and_bar_agree(venue: Venue) -> None:
    client = venue.data()
    quote = client.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=["SPY", "NOSUCH"]))
    trade = client.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols="SPY"))["SPY"]
    bar = client.get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols="SPY"))["SPY"]
    assert list(quote) == ["SPY"]
    assert quote["SPY"].timestamp == MONDAY_NOON
    assert MONDAY_NOON - MINUTE <= trade.timestamp <= MONDAY_NOON
    assert quote["SPY"].bid_price < quote["SPY"].ask_price
    assert bar.timestamp == MONDAY_NOON - MINUTE
    assert abs(bar.close - trade.price) < 0.01 * trade.price


def test_a_snapshot_is_what_its_parts_are(venue: Venue) -> None:
    client = venue.data()
    snapshot = client.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols=["SPY", "TLT"]))
    assert set(snapshot) == {"SPY", "TLT"}
    spy = snapshot["SPY"]
    assert spy.latest_quote == client.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols="SPY"))["SPY"]
    assert spy.latest_trade == client.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols="SPY"))["SPY"]
    assert spy.minute_bar == client.get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols="SPY"))["SPY"]
    days = StockBarsRequest(symbol_or_symbols="SPY", timeframe=TimeFrame.Day, start=MONDAY_NOON - timedelta(days=5))
    *_, before, _today = client.get_stock_bars(days)["SPY"]
    assert spy.previous_daily_bar == before
    assert spy.daily_bar.timestamp > before.timestamp
    assert spy.daily_bar.low <= spy.latest_trade.price <= spy.daily_bar.high


def test_the_plain_methods_of_the_data_client_reach_the_api(venue: Venue) -> None:
    client = venue.data()
    raw = client.get("/stocks/bars/latest", {"symbols": "SPY"})["bars"]["SPY"]
    bar = client.response_wrapper(lambda raw_data: Bar("SPY", raw_data), raw_data=raw)
    assert bar == client.get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols="SPY"))["SPY"]
    single = client.get("/stocks/SPY/bars/latest")
    assert (single["symbol"], single["bar"]) == ("SPY", raw)


def test_nothing_shows_the_future(venue: Venue) -> None:
    request = StockBarsRequest(
        symbol_or_symbols="SPY",
        timeframe=TimeFrame.Minute,
        start=MONDAY_NOON - MINUTE,
        end=MONDAY_NOON + timedelta(days=2),
    )
    assert [bar.timestamp for bar in venue.data().get_stock_bars(request)["SPY"]] == [MONDAY_NOON - MINUTE]


def test_wrong_keys_are_a_401_without_a_code(venue: Venue) -> None:
    with pytest.raises(APIError) as refusal:
        venue.data(("nobody", "x")).get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols="SPY"))
    assert refusal.value.status_code == 401
    with pytest.raises(KeyError):
        _ = refusal.value.code


ACTIONS = [
    {"type": "split", "symbol": "AAPL", "ex_date": "2026-03-03", "new": 4, "old": 1},
    {"type": "split", "symbol": "TLT", "ex_date": "2026-03-04", "new": 1, "old": 10},
    {"type": "dividend", "symbol": "SPY", "ex_date": "2026-03-05", "payable_date": "2026-03-06", "rate": "1.5"},
    {"type": "symbol_change", "symbol": "GLD", "ex_date": "2026-03-09", "new_symbol": "GOLD"},
]


def test_corporate_actions_are_told_by_kind() -> None:
    venue = in_process_venue(corporate_actions=ACTIONS)
    client = venue.connected(CorporateActionsClient(*PAPER, url_override=venue.url))
    span = {"start": date(2026, 3, 1), "end": date(2026, 3, 31)}
    found = client.get_corporate_actions(CorporateActionsRequest(**span)).data
    (forward,), (reverse,), (dividend,), (change,) = (
        found[kind] for kind in ("forward_splits", "reverse_splits", "cash_dividends", "name_changes")
    )
    assert (forward.symbol, forward.old_rate, forward.new_rate) == ("AAPL", 1, 4)
    assert (reverse.symbol, reverse.old_rate, reverse.new_rate) == ("TLT", 10, 1)
    assert (dividend.symbol, dividend.rate, dividend.payable_date) == ("SPY", 1.5, date(2026, 3, 6))
    assert (change.old_symbol, change.new_symbol) == ("GLD", "GOLD")
    only = client.get_corporate_actions(
        CorporateActionsRequest(symbols=["SPY"], types=[CorporateActionsType.CASH_DIVIDEND], **span)
    )
    assert client.response_wrapper(CorporateActionsSet, raw_data={"cash_dividends": []}).data == {"cash_dividends": []}
    assert only.data == {"cash_dividends": [dividend]}
    raw = client.get("/corporate-actions", {"types": "name_change", "start": "2026-03-01", "end": "2026-03-31"})
    assert [one["new_symbol"] for one in raw["corporate_actions"]["name_changes"]] == ["GOLD"]
