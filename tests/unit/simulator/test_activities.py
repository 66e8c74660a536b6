"""`/v2/account/activities`: fills and everything else that moved money or shares, filtered and paged."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_simulator.exchange.accounts import Account
from unit.simulator.floor import MONDAY_NOON, Floor


def paper(floor: Floor) -> Account:
    return next(iter(floor.exchange.accounts.values()))


def activities(floor: Floor, kind: str = "", **query: object) -> Any:
    answer = floor.get(f"/v2/account/activities/{kind}".rstrip("/"), **query)
    assert answer.status == 200, answer
    return answer.body


def traded(floor: Floor) -> Floor:
    """Five activities on Monday: fills at noon and a minute later, a cash journal, a share journal, a sale."""
    floor.buy("SPY", 3)
    floor.step(60)
    floor.buy("TLT", "0.5")
    floor.step(60)
    floor.exchange.adjust_cash(paper(floor), Decimal("-250.5"))
    floor.step(60)
    asset = floor.exchange.catalogue.find("AAPL")
    assert asset is not None
    floor.exchange.adjust_position(paper(floor), asset, Decimal(7), Decimal(100))
    floor.step(60)
    floor.sell("SPY", 3)
    floor.step(60)
    return floor


def test_an_account_begins_without_activities() -> None:
    assert activities(Floor()) == []


def test_a_fill_tells_its_order_price_and_what_is_left_of_it() -> None:
    floor = Floor()
    order = floor.buy("SPY", 3)
    floor.step(1)
    (fill,) = activities(floor)
    position = floor.get("/v2/positions/SPY").body
    assert fill == {
        "id": fill["id"],
        "account_id": floor.account()["id"],
        "activity_type": "FILL",
        "transaction_time": "2026-03-02T17:00:01Z",
        "type": "fill",
        "price": position["avg_entry_price"],
        "qty": "3",
        "side": "buy",
        "symbol": "SPY",
        "leaves_qty": "0",
        "order_id": order.body["id"],
        "cum_qty": "3",
        "order_status": "filled",
    }


def test_an_id_begins_with_the_time_in_new_york_and_is_unique() -> None:
    ids = [one["id"] for one in activities(traded(Floor()))]
    assert len(set(ids)) == 5
    assert ids[-1].startswith("20260302120001000::")
    assert sorted(ids, reverse=True) == ids


def test_partial_fills_are_told_one_by_one() -> None:
    floor = Floor(partial_fill_probability=0.95)
    floor.buy("SPY", 100)
    floor.step(600)
    fills = activities(floor, direction="asc")
    assert [fill["type"] for fill in fills] == ["partial_fill"] * (len(fills) - 1) + ["fill"]
    assert len(fills) > 1
    assert sum(int(fill["qty"]) for fill in fills) == 100
    assert [int(fill["cum_qty"]) + int(fill["leaves_qty"]) for fill in fills] == [100] * len(fills)
    assert fills[0]["order_status"] == "partially_filled"


def test_journals_tell_what_moved_and_when() -> None:
    floor = traded(Floor())
    (cash,) = activities(floor, "JNLC")
    assert (cash["date"], cash["net_amount"], cash["status"]) == ("2026-03-02", "-250.5", "executed")
    (shares,) = activities(floor, "JNLS")
    assert (shares["symbol"], shares["qty"], shares["price"], shares["net_amount"]) == ("AAPL", "7", "100", "0")


def test_a_dividend_tells_the_shares_it_was_paid_on() -> None:
    dividend = {
        "type": "dividend", "symbol": "SPY", "ex_date": "2026-03-03", "payable_date": "2026-03-04", "rate": "1.25",
    }  # fmt: skip
    floor = Floor(corporate_actions=[dividend]).holding("SPY", 8)
    floor.step_until("close")
    floor.step(2 * 86400)
    (paid,) = activities(floor, "DIV")
    assert paid["date"] == "2026-03-04"
    assert (paid["net_amount"], paid["per_share_amount"], paid["qty"]) == ("10", "1.25", "8")


def test_a_split_moves_shares_and_no_money() -> None:
    split = {"type": "split", "symbol": "SPY", "ex_date": "2026-03-03", "new": "4"}
    floor = Floor(corporate_actions=[split]).holding("SPY", 8)
    floor.step(86400)
    (moved,) = activities(floor, "SPLIT")
    assert (moved["symbol"], moved["qty"], moved["net_amount"]) == ("SPY", "24", "0")


def test_the_newest_comes_first_unless_asked_otherwise() -> None:
    floor = traded(Floor())
    kinds = ["FILL", "FILL", "JNLC", "JNLS", "FILL"]
    assert [one["activity_type"] for one in activities(floor, direction="asc")] == kinds
    assert [one["activity_type"] for one in activities(floor)] == kinds[::-1]


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ({"activity_types": "FILL"}, {"FILL"}),
        ({"activity_types": "JNLC,JNLS"}, {"JNLC", "JNLS"}),
        ({"activity_types": "FEE"}, set()),
        ({"category": "trade_activity"}, {"FILL"}),
        ({"category": "non_trade_activity"}, {"JNLC", "JNLS"}),
        ({"date": "2026-03-02"}, {"FILL", "JNLC", "JNLS"}),
        ({"date": "2026-03-03"}, set()),
        ({"after": "2026-03-02T17:01:30Z", "until": "2026-03-02T17:03:00Z"}, {"JNLC"}),
        ({"until": "2026-03-02"}, set()),
        ({"after": "2026-03-02"}, {"FILL", "JNLC", "JNLS"}),
    ],
)
def test_activities_are_chosen_by_kind_category_and_time(query: dict[str, str], kinds: set[str]) -> None:
    assert {one["activity_type"] for one in activities(traded(Floor()), **query)} == kinds


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("", {"activity_types": "NOPE"}),
        ("/NOPE", {}),
        ("", {"category": "nope"}),
        ("/FILL", {"category": "trade_activity"}),
        ("", {"category": "trade_activity", "activity_types": "FILL"}),
        ("", {"date": "2026-03-02", "after": "2026-03-01"}),
        ("", {"date": "yesterday"}),
        ("", {"after": "noon"}),
        ("", {"direction": "up"}),
        ("", {"page_size": "101"}),
        ("", {"page_size": "0"}),
        ("", {"page_token": "first"}),
    ],
)
def test_what_cannot_be_asked_for_is_refused(path: str, query: dict[str, str]) -> None:
    assert Floor().get(f"/v2/account/activities{path}", **query).status == 422


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 7), st.sampled_from(["asc", "desc"]))
def test_pages_put_together_are_the_whole(page_size: int, direction: str) -> None:
    floor = traded(Floor())
    whole = activities(floor, direction=direction)
    pages: list[Any] = []
    token: dict[str, str] = {}
    while page := activities(floor, direction=direction, page_size=page_size, **token):
        assert len(page) <= page_size
        pages += page
        token = {"page_token": page[-1]["id"]}
    assert pages == whole


def test_a_page_has_at_most_a_hundred_but_a_day_is_given_whole() -> None:
    floor = Floor()
    for number in range(60):
        floor.buy("SPY", 1) if number % 2 == 0 else floor.sell("SPY", 1)
        floor.step(2)
        floor.exchange.adjust_cash(paper(floor), Decimal(1))
    assert len(activities(floor)) == 100
    assert len(activities(floor, date="2026-03-02")) == 120
    assert len(activities(floor, date="2026-03-02", page_size=5)) == 5


def test_a_page_goes_on_from_the_time_of_an_activity_that_is_no_longer_kept() -> None:
    floor = traded(Floor())
    gone = "20260302120130000::00000000-0000-4000-8000-000000000000"
    assert [one["activity_type"] for one in activities(floor, direction="asc", page_token=gone)] == [
        "JNLC",
        "JNLS",
        "FILL",
    ]
    assert [one["activity_type"] for one in activities(floor, page_token=gone)] == ["FILL", "FILL"]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["buy", "sell", "cash"]), st.integers(1, 40)), max_size=12))
def test_the_books_are_what_the_activities_add_up_to(did: list[tuple[str, int]]) -> None:
    floor = Floor(MONDAY_NOON)
    for what, amount in did:
        if what == "cash":
            floor.exchange.adjust_cash(paper(floor), Decimal(amount))
        else:
            floor.order(symbol="SPY", qty=amount, side=what, type="market", time_in_force="day")
        floor.step(7)
    cash, shares = Decimal(100_000), Decimal(0)
    for one in activities(floor, date="2026-03-02"):
        if one["activity_type"] == "FILL":
            signed = Decimal(one["qty"]) * (1 if one["side"] == "buy" else -1)
            shares += signed
            cash -= signed * Decimal(one["price"])
        else:
            cash += Decimal(one["net_amount"])
    assert Decimal(floor.account()["cash"]) == cash
    held = {one["symbol"]: Decimal(one["qty"]) for one in floor.get("/v2/positions").body}
    assert held == ({"SPY": shares} if shares else {})
