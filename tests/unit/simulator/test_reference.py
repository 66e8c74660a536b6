"""Calendar, assets and announcements: what is the same for every account."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from unit.simulator.floor import MONDAY_NOON, Floor

DIVIDEND = {"type": "dividend", "symbol": "SPY", "ex_date": "2026-03-06", "payable_date": "2026-03-20", "rate": "1.72"}
SPLIT = {"type": "split", "symbol": "NVDA", "ex_date": "2026-03-10", "new": "10"}
REVERSE_SPLIT = {"type": "split", "symbol": "INTC", "ex_date": "2026-03-30", "new": "1", "old": "8"}
RENAME = {"type": "symbol_change", "symbol": "META", "ex_date": "2026-03-09", "new_symbol": "FB"}
MARCH = {"ca_types": "dividend,split", "since": "2026-03-01", "until": "2026-03-31"}
ANNOUNCEMENTS = "/v2/corporate_actions/announcements"


def days(floor: Floor, **query: str) -> list[Any]:
    answer = floor.get("/v2/calendar", **query)
    assert answer.status == 200
    return list(answer.body)


def symbols(floor: Floor, **query: str) -> list[str]:
    answer = floor.get("/v2/assets", **query)
    assert answer.status == 200
    return [one["symbol"] for one in answer.body]


def announced(floor: Floor, **query: str) -> list[Any]:
    answer = floor.get(ANNOUNCEMENTS, **{**MARCH, **query})
    assert answer.status == 200, answer
    return list(answer.body)


def announcing() -> Floor:
    return Floor(MONDAY_NOON, corporate_actions=[DIVIDEND, SPLIT, REVERSE_SPLIT, RENAME])


def test_the_calendar_can_be_asked_for_by_settlement_date() -> None:
    floor = Floor()
    traded = days(floor, start="2026-03-02", end="2026-03-06")
    settled = days(floor, start="2026-03-02", end="2026-03-06", date_type="SETTLEMENT")
    assert [day["date"] for day in traded] == ["2026-03-02", "2026-03-03", "2026-03-04", "2026-03-05", "2026-03-06"]
    assert [day["settlement_date"] for day in settled] == [day["date"] for day in traded]
    assert settled[0]["date"] == "2026-02-27"


def test_the_calendar_knows_no_other_date_type() -> None:
    assert Floor().get("/v2/calendar", date_type="BIRTHDAY").status == 422


@pytest.mark.parametrize("date_type", ["TRADING", "SETTLEMENT"])
def test_the_calendar_answers_for_any_date(date_type: str) -> None:
    floor = Floor()
    assert days(floor, start="0001-01-01", end="2016-01-05", date_type=date_type)
    assert days(floor, start="9999-12-31", date_type=date_type) == []


def test_assets_are_chosen_by_exchange_status_class_and_attribute() -> None:
    listed = [
        {"symbol": "PTPX", "attributes": ["ptp_no_exception"]},
        {"symbol": "GONE", "status": "inactive", "exchange": "NYSE"},
    ]
    floor = Floor(assets=listed)
    everything = symbols(floor)
    assert {"SPY", "PTPX", "GONE"} <= set(everything)
    assert symbols(floor, status="inactive") == ["GONE"]
    assert "GONE" not in symbols(floor, status="active")
    assert symbols(floor, attributes="ptp_no_exception,ptp_with_exception") == ["PTPX"]
    assert set(symbols(floor, exchange="NYSE")) < set(everything)
    assert symbols(floor, exchange="BATS") == symbols(floor, asset_class="crypto") == []
    assert symbols(floor, asset_class="us_equity") == everything


@pytest.mark.parametrize("query", [{"status": "gone"}, {"asset_class": "beans"}])
def test_assets_of_no_kind_there_is_are_refused(query: dict[str, str]) -> None:
    assert Floor().get("/v2/assets", **query).status == 422


def test_an_asset_is_found_by_symbol_and_by_id() -> None:
    floor = Floor()
    asset = floor.get("/v2/assets/SPY").body
    assert floor.get(f"/v2/assets/{asset['id']}").body == asset
    assert floor.get("/v2/assets/NOSUCH").code == 40410000


def test_dividends_and_splits_are_announced_two_weeks_ahead() -> None:
    dividend, split = announced(announcing())
    assert {name: dividend[name] for name in ("ca_type", "ca_sub_type", "initiating_symbol", "cash")} == {
        "ca_type": "dividend",
        "ca_sub_type": "cash",
        "initiating_symbol": "SPY",
        "cash": "1.72",
    }
    assert (dividend["declaration_date"], dividend["payable_date"]) == ("2026-02-20", "2026-03-20")
    assert (split["ca_sub_type"], split["old_rate"], split["new_rate"]) == ("stock_split", "1", "10")


def test_nothing_is_announced_before_it_is_declared() -> None:
    floor = announcing()
    assert "INTC" not in [one["initiating_symbol"] for one in announced(floor)]
    floor.step(16 * 86400)
    assert announced(floor)[-1]["ca_sub_type"] == "reverse_split"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"ca_types": "split"}, ["NVDA"]),
        ({"ca_types": "merger,spinoff"}, []),
        ({"symbol": "SPY"}, ["SPY"]),
        ({"cusip": "000000000"}, []),
        ({"date_type": "payable_date", "since": "2026-03-20"}, ["SPY"]),
        ({"date_type": "declaration_date", "until": "2026-03-01"}, []),
        ({"date_type": "declaration_date", "since": "2026-02-01", "until": "2026-02-21"}, ["SPY"]),
        ({"until": "2026-03-06"}, ["SPY"]),
    ],
)
def test_announcements_are_chosen_by_type_symbol_and_date(query: dict[str, str], found: list[str]) -> None:
    assert [one["initiating_symbol"] for one in announced(announcing(), **query)] == found


def test_an_announcement_is_found_by_its_id() -> None:
    floor = announcing()
    dividend, _ = announced(floor)
    assert floor.get(f"{ANNOUNCEMENTS}/{dividend['id']}").body == dividend
    assert floor.get(f"{ANNOUNCEMENTS}/{dividend['corporate_action_id']}").status == 404


@pytest.mark.parametrize(
    "query",
    [
        {"ca_types": ""},
        {"ca_types": "party"},
        {"since": ""},
        {"until": "2026-02-01"},
        {"until": "2026-06-30"},
        {"date_type": "birthday"},
    ],
)
def test_announcements_asked_for_wrongly_are_refused(query: dict[str, str]) -> None:
    assert Floor().get(ANNOUNCEMENTS, **{**MARCH, **query}).code == 40010001


@pytest.mark.parametrize("path", ["/v2/watchlists", "/v2/options/contracts", "/v2/wallets"])
def test_what_is_not_simulated_says_so(path: str) -> None:
    answer = Floor(datetime(2026, 3, 2, tzinfo=UTC)).get(path)
    assert (answer.status, answer.code) == (501, 50110000)
