"""The data API's shapes and refusals: one symbol or several, snapshots, auctions, dictionaries, faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from alpaca_simulator.api.data_api import DataApi
from alpaca_simulator.api.messages import Request
from alpaca_simulator.exchange.refusals import Refusal
from alpaca_simulator.market.bars import Bar
from alpaca_simulator.market.prices import Quote, Trade
from alpaca_simulator.market.timeframes import read_timeframe
from unit.simulator.floor import MONDAY_BEFORE_OPEN, MONDAY_CLOSE, MONDAY_NOON, Floor


@pytest.mark.parametrize("what", ["bars", "quotes", "trades", "auctions"])
def test_one_symbol_is_answered_as_several_are(what: str) -> None:
    floor = Floor(MONDAY_CLOSE)
    query = {"timeframe": "1Hour", "start": "2026-03-02T05:00:00Z", "limit": 50}
    several = floor.get(f"/v2/stocks/{what}", symbols="SPY", **query).body
    one = floor.get(f"/v2/stocks/SPY/{what}", **query).body
    assert one == {what: several[what]["SPY"], "symbol": "SPY", "next_page_token": several["next_page_token"]}
    assert one[what]
    assert floor.get(f"/v2/stocks/NOSUCH/{what}", **query).body[what] == []


@pytest.mark.parametrize(("what", "name"), [("bars", "bar"), ("quotes", "quote"), ("trades", "trade")])
def test_the_latest_of_one_symbol_is_answered_as_that_of_several(what: str, name: str) -> None:
    floor = Floor(MONDAY_NOON)
    several = floor.get(f"/v2/stocks/{what}/latest", symbols="SPY,NOSUCH").body[what]
    assert floor.get(f"/v2/stocks/SPY/{what}/latest").body == {"symbol": "SPY", name: several["SPY"]}
    refused = floor.get(f"/v2/stocks/NOSUCH/{what}/latest")
    assert (refused.status, refused.body) == (404, {"message": f"no {name} found for NOSUCH"})


def test_a_snapshot_is_the_latest_of_everything() -> None:
    floor = Floor(MONDAY_NOON)
    snapshot = floor.get("/v2/stocks/snapshots", symbols="SPY,NOSUCH").body
    assert list(snapshot) == ["SPY"]
    latest = {
        name: floor.get(f"/v2/stocks/SPY/{what}/latest").body[name]
        for what, name in (("bars", "bar"), ("quotes", "quote"), ("trades", "trade"))
    }
    days = floor.get("/v2/stocks/bars", symbols="SPY", timeframe="1Day", start="2026-02-27").body["bars"]["SPY"]
    assert snapshot["SPY"] == {
        "latestTrade": latest["trade"],
        "latestQuote": latest["quote"],
        "minuteBar": latest["bar"],
        "dailyBar": days[1],
        "prevDailyBar": days[0],
    }
    assert floor.get("/v2/stocks/SPY/snapshot").body == {"symbol": "SPY", **snapshot["SPY"]}
    assert floor.get("/v2/stocks/NOSUCH/snapshot").status == 404


def test_before_the_open_a_snapshot_has_the_last_two_sessions() -> None:
    snapshot = Floor(MONDAY_BEFORE_OPEN).get("/v2/stocks/SPY/snapshot").body
    assert [snapshot[name]["t"][:10] for name in ("dailyBar", "prevDailyBar")] == ["2026-02-27", "2026-02-26"]
    assert snapshot["latestTrade"]["t"].startswith("2026-03-02T14:2")


def test_auctions_are_the_first_and_the_last_trade_of_a_session() -> None:
    floor = Floor(MONDAY_NOON)
    friday, today = floor.get("/v2/stocks/SPY/auctions", start="2026-02-27").body["auctions"]
    day = floor.get("/v2/stocks/SPY/bars", timeframe="1Day", start="2026-02-27", limit=1).body["bars"][0]
    assert (friday["d"], today["d"]) == ("2026-02-27", "2026-03-02")
    assert {print_["p"] for print_ in friday["o"]} == {day["o"]}
    assert {print_["p"] for print_ in friday["c"]} == {day["c"]}
    assert [print_["c"] for print_ in friday["o"]] == ["O", "Q"]
    assert today["c"] == []


def test_weeks_and_months_are_made_of_their_days() -> None:
    floor = Floor(MONDAY_NOON)
    query = {"symbols": "AAPL", "start": "2025-01-01", "limit": 10_000}
    days = floor.get("/v2/stocks/bars", timeframe="1Day", **query).body["bars"]["AAPL"]
    for timeframe, name in (("1Week", "%G-%V"), ("1Month", "%Y-%m")):
        found = floor.get("/v2/stocks/bars", timeframe=timeframe, **query).body["bars"]["AAPL"]
        for bar in found:
            key = datetime.fromisoformat(bar["t"]).strftime(name)
            mine = [day for day in days if datetime.fromisoformat(day["t"]).strftime(name) == key]
            assert (bar["o"], bar["c"]) == (mine[0]["o"], mine[-1]["c"])
            assert (bar["h"], bar["l"]) == (max(day["h"] for day in mine), min(day["l"] for day in mine))
            assert bar["v"] == sum(day["v"] for day in mine)
            assert bar["vw"] == pytest.approx(sum(day["vw"] * day["v"] for day in mine) / bar["v"], abs=1e-5)


@pytest.mark.parametrize(
    ("timeframe", "starts"),
    [
        ("1Week", ["2025-12-29", "2026-01-05", "2026-01-12"]),
        ("3Month", ["2025-10-01", "2026-01-01"]),
        ("12Month", ["2025-01-01", "2026-01-01"]),
    ],
)
def test_longer_bars_begin_on_mondays_and_first_days(timeframe: str, starts: list[str]) -> None:
    floor = Floor(datetime.fromisoformat("2026-01-16T17:00:00Z"))
    found = floor.get("/v2/stocks/bars", symbols="SPY", timeframe=timeframe, start="2025-01-01", sort="desc").body
    assert [bar["t"][:10] for bar in found["bars"]["SPY"]][: len(starts)] == starts[::-1]


@pytest.mark.parametrize(
    "text", ["1Min", "59T", "1Hour", "23H", "1Day", "1D", "1Week", "1W", "1Month", "4M", "12Month"]
)
def test_timeframes_of_alpaca_are_known(text: str) -> None:
    assert read_timeframe(text) is not None


def test_daily_vwap_is_that_of_its_minutes() -> None:
    floor = Floor(MONDAY_CLOSE)
    query = {"symbols": "SPY,TSLA,KO", "start": "2026-02-27", "limit": 10_000}
    minutes = floor.get("/v2/stocks/bars", timeframe="1Min", **query).body["bars"]
    for symbol, found in floor.get("/v2/stocks/bars", timeframe="1Day", **query).body["bars"].items():
        for day in found:
            mine = [bar for bar in minutes[symbol] if bar["t"][:10] == day["t"][:10]]
            assert sum(bar["v"] * bar["vw"] for bar in mine) / day["v"] == pytest.approx(day["vw"], abs=2e-6)


@pytest.mark.parametrize(
    ("path", "query", "message"),
    [
        ("bars", {"symbols": "SPY"}, "timeframe is required"),
        ("bars", {"timeframe": "1Day"}, "symbols is required"),
        ("bars", {"symbols": "spy", "timeframe": "1Day"}, "invalid symbol: spy"),
        ("trades", {"symbols": "SP Y"}, "invalid symbol: SP Y"),
        ("bars", {"symbols": "SPY", "timeframe": "1Day", "adjustment": ""}, "invalid adjustment"),
        ("bars", {"symbols": "SPY", "timeframe": "1Day", "adjustment": "split,none"}, "invalid adjustment"),
        ("quotes", {"symbols": "SPY", "limit": "10001"}, "invalid limit"),
        ("quotes", {"symbols": "SPY", "limit": "0"}, "invalid limit"),
        ("trades", {"symbols": "SPY", "sort": "up"}, "invalid sort"),
        ("trades", {"symbols": "SPY", "start": "now"}, "invalid start"),
        ("trades", {"symbols": "SPY", "start": "2026-03-03", "end": "2026-03-01"}, "end should not be before start"),
        ("auctions", {"symbols": "SPY", "asof": "2026-13-01"}, "invalid asof"),
        ("bars", {"symbols": "SPY", "timeframe": "1Day", "page_token": "%%%"}, "invalid page_token"),
        ("snapshots", {"symbols": "SPY", "feed": "tape"}, "invalid feed"),
        ("quotes/latest", {"symbols": "SPY", "currency": "EUR"}, "only USD"),
        ("meta/conditions/bars", {"tape": "A"}, "invalid ticktype"),
        ("meta/conditions/trade", {}, "invalid tape"),
    ],
)
def test_what_cannot_be_asked_for_is_a_400_without_a_code(path: str, query: dict[str, str], message: str) -> None:
    answer = Floor().get(f"/v2/stocks/{path}", **query)
    assert answer.status == 400
    assert set(answer.body) == {"message"}
    assert message in answer.message


def test_dictionaries_name_what_is_printed() -> None:
    floor = Floor()
    exchanges = floor.get("/v2/stocks/meta/exchanges").body
    conditions = floor.get("/v2/stocks/meta/conditions/trade", tape="C").body
    trades = floor.get("/v2/stocks/SPY/trades", start="2026-03-02T16:59:00Z").body["trades"]
    assert {trade["x"] for trade in trades} <= set(exchanges)
    assert {condition for trade in trades for condition in trade["c"]} <= set(conditions)


@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH"])
def test_nothing_but_reading_is_there(method: str) -> None:
    assert Floor().send(method, "/v2/stocks/bars").status == 404


def test_tapes_follow_the_listing() -> None:
    quotes = Floor().get("/v2/stocks/quotes/latest", symbols="AAPL,JPM,SPY").body["quotes"]
    assert {symbol: quote["z"] for symbol, quote in quotes.items()} == {"AAPL": "C", "JPM": "A", "SPY": "B"}


class Spoiling:
    """Doubles the bars of SPY, and tells quotes and trades of an hour ago."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def bars(self, symbol: str, timeframe_minutes: int, bars: Sequence[Bar]) -> Sequence[Bar]:
        self.asked.append((symbol, timeframe_minutes))
        return [*bars, *bars] if symbol == "SPY" else bars

    def quote(self, symbol: str, quote: Quote) -> Quote:
        return replace(quote, at=quote.at - timedelta(hours=1))

    def trade(self, symbol: str, trade: Trade) -> Trade:
        return replace(trade, at=trade.at - timedelta(hours=1))


def asked(api: DataApi, path: str, query: str) -> str:
    return api.answer(Request("GET", path, query)).body.decode()


def test_everything_told_passes_through_the_faults() -> None:
    faults = Spoiling()
    api = DataApi(Floor(MONDAY_NOON).exchange, faults)
    bars = asked(api, "/v2/stocks/bars", "symbols=AAPL,SPY&timeframe=1Week&start=2026-02-23")
    assert bars.count('"t"') == 2 + 4
    assert faults.asked == [("AAPL", 10_080), ("SPY", 10_080)]
    for what in ("quotes", "trades"):
        assert "2026-03-02T16:00:00Z" in asked(api, f"/v2/stocks/{what}/latest", "symbols=SPY")
        told = asked(api, f"/v2/stocks/SPY/{what}", "start=2026-03-02T16:59:58Z")
        assert "T15:59:5" in told
        assert "T16:59:5" not in told
    assert asked(api, "/v2/stocks/SPY/snapshot", "").count("T16:00:00Z") == 2


def test_faults_do_not_change_what_the_next_page_begins_with() -> None:
    api = DataApi(Floor(MONDAY_NOON).exchange, Spoiling())
    plain = DataApi(Floor(MONDAY_NOON).exchange)
    query = "symbols=SPY&timeframe=1Day&start=2026-02-02&limit=5"
    tokens = [asked(one, "/v2/stocks/bars", query).rsplit('"next_page_token":', 1)[1] for one in (api, plain)]
    assert tokens[0] == tokens[1] != "null}"


def test_a_path_that_is_not_there_is_a_404() -> None:
    with pytest.raises(Refusal) as refusal:
        asked(DataApi(Floor().exchange), "/v2/stocks/SPY/prices", "")
    assert refusal.value.status == 404
