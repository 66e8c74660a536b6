"""Splits, dividends and changes of symbol in prices: raw on the day, adjusted afterwards, never before."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from alpaca_simulator.config import ConfigError
from unit.simulator.floor import MONDAY_NOON, Floor

SPLIT = {"type": "split", "symbol": "AAPL", "ex_date": "2026-02-11", "new": "4"}
REVERSE = {"type": "split", "symbol": "AAPL", "ex_date": "2026-02-11", "new": "1", "old": "10"}
DIVIDEND = {
    "type": "dividend",
    "symbol": "AAPL",
    "ex_date": "2026-02-18",
    "payable_date": "2026-02-26",
    "rate": "2.5",
}
RENAMING = {"type": "symbol_change", "symbol": "AAPL", "ex_date": "2026-02-13", "new_symbol": "APPL"}


def days(floor: Floor, symbol: str = "AAPL", **query: object) -> list[Any]:
    wanted = {"timeframe": "1Day", "start": "2026-01-28", "limit": 1000, **query}
    return floor.get("/v2/stocks/bars", symbols=symbol, **wanted).body["bars"].get(symbol, [])


def with_actions(*actions: dict[str, Any], at: datetime = MONDAY_NOON) -> Floor:
    return Floor(at, corporate_actions=list(actions))


def close_before(bars: list[Any], day: str) -> tuple[Any, Any]:
    """The bar of that day and the one before it."""
    index = next(number for number, bar in enumerate(bars) if bar["t"].startswith(day))
    return bars[index - 1], bars[index]


def test_a_raw_price_falls_to_its_part_on_the_ex_date_and_volume_rises() -> None:
    plain, split = days(Floor(MONDAY_NOON)), days(with_actions(SPLIT))
    before, on = close_before(split, "2026-02-11")
    assert on["o"] == pytest.approx(before["c"] / 4, rel=0.05)
    assert before == close_before(plain, "2026-02-11")[0]
    later = [(bar["c"], other["c"]) for bar, other in zip(split, plain, strict=True) if bar["t"] > "2026-02-11"]
    assert all(split_close == pytest.approx(close / 4, rel=0.02) for split_close, close in later)


def test_split_adjustment_makes_the_prices_continuous() -> None:
    floor = with_actions(SPLIT)
    raw, adjusted = days(floor), days(floor, adjustment="split")
    for bar, other in zip(raw, adjusted, strict=True):
        ratio = 4 if bar["t"] < "2026-02-11" else 1
        for price in "ohlc":
            assert other[price] == pytest.approx(bar[price] / ratio, abs=0.0001)
        assert other["v"] == bar["v"] * ratio
        assert other["n"] == bar["n"]
    before, on = close_before(adjusted, "2026-02-11")
    assert on["o"] == pytest.approx(before["c"], rel=0.05)
    assert days(floor, adjustment="dividend") == raw


def test_a_reverse_split_multiplies_earlier_prices() -> None:
    floor = with_actions(REVERSE)
    before, on = close_before(days(floor), "2026-02-11")
    assert on["o"] == pytest.approx(before["c"] * 10, rel=0.05)
    adjusted, _ = close_before(days(floor, adjustment="all"), "2026-02-11")
    assert adjusted["c"] == pytest.approx(before["c"] * 10)
    assert adjusted["v"] == round(before["v"] / 10)


def test_a_dividend_comes_off_the_price_and_its_adjustment_puts_it_on_a_level() -> None:
    floor, plain = with_actions(DIVIDEND), days(Floor(MONDAY_NOON))
    raw, adjusted = days(floor), days(floor, adjustment="dividend")
    before, on = close_before(raw, "2026-02-18")
    assert close_before(plain, "2026-02-18")[1]["o"] - on["o"] == pytest.approx(2.5, abs=0.2)
    factor = 1 - 2.5 / before["c"]
    for bar, other in zip(raw, adjusted, strict=True):
        expected = bar["c"] * factor if bar["t"] < "2026-02-18" else bar["c"]
        assert other["c"] == pytest.approx(expected, abs=0.0001)
        assert other["v"] == bar["v"]
    assert days(floor, adjustment="split") == raw


def test_all_adjusts_by_splits_and_dividends_and_lists_combine() -> None:
    floor = with_actions(SPLIT, DIVIDEND)
    both = days(floor, adjustment="all")
    assert both == days(floor, adjustment="split,dividend")
    raw, split, dividend = (days(floor, adjustment=kind) for kind in ("raw", "split", "dividend"))
    assert both[0]["c"] == pytest.approx(split[0]["c"] * dividend[0]["c"] / raw[0]["c"], abs=0.001)


def test_minute_bars_and_weeks_are_adjusted_alike() -> None:
    floor = with_actions(SPLIT)
    query = {"start": "2026-02-09", "end": "2026-02-13T23:00:00Z", "adjustment": "split", "limit": 10_000}
    minutes = days(floor, timeframe="1Min", **query)
    (week,) = days(floor, timeframe="1Week", **query)
    assert (week["h"], week["l"]) == (max(bar["h"] for bar in minutes), min(bar["l"] for bar in minutes))
    assert (week["o"], week["c"]) == (minutes[0]["o"], minutes[-1]["c"])
    assert week["v"] == sum(bar["v"] for bar in minutes)


def test_nothing_is_adjusted_by_what_has_not_happened_yet() -> None:
    floor = with_actions(SPLIT, at=datetime(2026, 2, 10, 17, 0, tzinfo=UTC))
    assert days(floor, adjustment="all") == days(floor)


def test_pre_market_prices_of_the_ex_date_are_those_after_the_split() -> None:
    floor = with_actions(SPLIT, at=datetime(2026, 2, 11, 9, 30, tzinfo=UTC))
    trade = floor.get("/v2/stocks/trades/latest", symbols="AAPL").body["trades"]["AAPL"]
    assert trade["t"].startswith("2026-02-11T09:")
    assert trade["p"] == pytest.approx(days(floor)[-1]["c"] / 4, rel=0.1)


def test_the_new_symbol_has_the_history_of_the_old_one() -> None:
    floor, plain = with_actions(RENAMING), days(Floor(MONDAY_NOON))
    assert days(floor, "APPL") == plain


def test_the_old_symbol_ends_where_the_new_one_begins() -> None:
    floor, plain = with_actions(RENAMING), days(Floor(MONDAY_NOON))
    assert days(floor, "AAPL") == [bar for bar in plain if bar["t"] < "2026-02-13"]
    latest = floor.get("/v2/stocks/trades/latest", symbols="AAPL,APPL").body["trades"]
    assert latest["AAPL"]["t"].startswith("2026-02-13T00:59")
    assert latest["APPL"]["t"] == "2026-03-02T17:00:00Z"


def test_asof_says_on_which_day_a_symbol_is_looked_up() -> None:
    floor, plain = with_actions(RENAMING), days(Floor(MONDAY_NOON))
    assert days(floor, "AAPL", asof="2026-02-12") == plain
    assert days(floor, "APPL", asof="2026-02-12") == [bar for bar in plain if bar["t"] > "2026-02-13"]
    assert days(floor, "APPL", asof="-") == [bar for bar in plain if bar["t"] > "2026-02-13"]
    assert floor.get("/v2/stocks/bars", symbols="AAPL", timeframe="1Day", asof="yesterday").status == 400


def test_a_split_after_a_change_of_symbol_reaches_the_whole_history() -> None:
    split = {**SPLIT, "symbol": "APPL", "ex_date": "2026-02-20"}
    floor = with_actions(RENAMING, split)
    raw, adjusted = days(floor, "APPL"), days(floor, "APPL", adjustment="split")
    assert adjusted[0]["c"] == pytest.approx(raw[0]["c"] / 4)
    assert close_before(raw, "2026-02-20")[1]["o"] == pytest.approx(
        close_before(raw, "2026-02-20")[0]["c"] / 4, rel=0.05
    )


def test_a_symbol_is_active_while_it_is_in_use() -> None:
    before, after = with_actions(RENAMING, at=datetime(2026, 2, 12, 17, tzinfo=UTC)), with_actions(RENAMING)
    statuses = [
        [floor.get(f"/v2/assets/{symbol}").body["status"] for symbol in ("AAPL", "APPL")] for floor in (before, after)
    ]
    assert statuses == [["active", "inactive"], ["inactive", "active"]]


def test_orders_are_taken_under_the_symbol_that_is_in_use() -> None:
    before, after = with_actions(RENAMING, at=datetime(2026, 2, 12, 17, tzinfo=UTC)), with_actions(RENAMING)
    assert (before.buy("AAPL", 1).status, before.buy("APPL", 1).status) == (200, 422)
    assert (after.buy("AAPL", 1).status, after.buy("APPL", 1).status) == (422, 200)


def test_todays_change_of_a_position_is_not_the_split() -> None:
    floor = with_actions(SPLIT, at=datetime(2026, 2, 10, 17, tzinfo=UTC)).holding("AAPL", 10)
    floor.step(24 * 3600)
    position = floor.get("/v2/positions/AAPL").body
    assert position["qty"] == "40"
    assert abs(float(position["change_today"])) < 0.1


def test_corporate_actions_are_told_by_type_in_the_order_of_their_days() -> None:
    floor = with_actions(SPLIT, DIVIDEND, RENAMING)
    query = {"start": "2026-02-01", "end": "2026-03-10"}
    told = floor.get("/v1/corporate-actions", **query).body
    assert told["next_page_token"] is None
    assert set(told["corporate_actions"]) == {"forward_splits", "cash_dividends", "name_changes"}
    (split,) = told["corporate_actions"]["forward_splits"]
    assert (split["symbol"], split["new_rate"], split["old_rate"], split["ex_date"]) == ("AAPL", 4.0, 1.0, "2026-02-11")
    (only,) = floor.get("/v1/corporate-actions", types="cash_dividend", **query).body["corporate_actions"].values()
    assert [one["rate"] for one in only] == [2.5]
    by_id = floor.get("/v1/corporate-actions", ids=split["id"]).body["corporate_actions"]
    assert by_id == {"forward_splits": [split]}
    pages, token = [], ""
    while token is not None:
        page = floor.get("/v1/corporate-actions", limit=1, page_token=token, **query).body
        pages += [one["process_date"] for found in page["corporate_actions"].values() for one in found]
        token = page["next_page_token"]
    assert pages == ["2026-02-11", "2026-02-13", "2026-02-26"]


@pytest.mark.parametrize(
    "query",
    [
        {"types": "gift"},
        {"start": "soon"},
        {"ids": "1", "types": "cash_dividend"},
        {"limit": 1001},
        {"page_token": "?"},
    ],
)
def test_corporate_actions_that_cannot_be_asked_for(query: dict[str, object]) -> None:
    answer = with_actions(SPLIT).get("/v1/corporate-actions", **query)
    assert answer.status == 400
    assert set(answer.body) == {"message"}


def test_an_action_is_not_told_long_before_its_day() -> None:
    floor = with_actions(SPLIT, at=datetime(2026, 1, 5, 17, tzinfo=UTC))
    told = floor.get("/v1/corporate-actions", start="2026-01-01", end="2026-12-31").body
    assert told["corporate_actions"] == {}


@pytest.mark.parametrize(
    ("action", "complaint"),
    [
        ({**SPLIT, "ex_date": "2026-02-14"}, "no trading on 2026-02-14"),
        ({**DIVIDEND, "payable_date": "2026-02-28"}, "no trading on 2026-02-28"),
        ({**SPLIT, "symbol": "NOSUCH"}, "NOSUCH is not listed"),
        ({**RENAMING, "symbol": "NOSUCH"}, "NOSUCH is not listed"),
        ({**RENAMING, "new_symbol": "MSFT"}, "listed already"),
    ],
)
def test_actions_that_make_no_sense_are_refused_at_the_start(action: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        with_actions(action)


def test_the_same_draws_make_the_price_with_and_without_a_split() -> None:
    day = date(2026, 2, 10)
    floors = Floor(MONDAY_NOON), with_actions(SPLIT)
    asset = floors[0].exchange.catalogue.find("AAPL")
    session = floors[0].exchange.calendar.on(day)
    assert asset is not None
    assert session is not None
    assert floors[0].market.day(asset, session) == floors[1].market.day(asset, session)
