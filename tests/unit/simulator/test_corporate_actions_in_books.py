"""Splits, dividends and new symbols in the books; transfers from outside; and that the entries explain it all."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from alpaca_simulator.exchange.accounts import Account
from alpaca_simulator.exchange.activities import Activity, ActivityType
from unit.simulator.floor import Floor

FRIDAY_NOON = datetime(2026, 3, 6, 17, 0, tzinfo=UTC)
MARGIN = {
    "name": "paper",
    "key_id": "PKDEMOPAPER",
    "secret_key": "demo-paper-secret",
    "margin_multiplier": 2,
    "shorting": True,
}


def floor_with(*actions: dict[str, Any], **config: Any) -> Floor:
    assets = [
        {"symbol": "WHOLE", "price": 40, "fractionable": False},
        {"symbol": "OLD", "price": 40},
        {"symbol": "NEWS", "price": 40},
    ]
    return Floor(assets=assets, corporate_actions=list(actions), **config)


def books(floor: Floor) -> Account:
    return next(iter(floor.exchange.accounts.values()))


def kinds(floor: Floor) -> list[ActivityType]:
    return [one.activity_type for one in books(floor).activities if one.activity_type is not ActivityType.FILL]


def last(floor: Floor) -> Activity:
    return books(floor).activities[-1]


def test_a_split_multiplies_shares_leaves_their_cost_and_cancels_orders() -> None:
    floor = floor_with({"type": "split", "symbol": "SPY", "ex_date": "2026-03-03", "new": 4}).holding("SPY", 10)
    cost = books(floor).positions["SPY"].cost_basis
    order = floor.sell("SPY", 5, limit=5000, tif="gtc")
    other = floor.buy("TLT", 1, limit=5, tif="gtc")
    value = Decimal(floor.account()["long_market_value"])
    floor.step_until("close")
    assert floor.status(order) == "new"
    floor.step_until("open")
    assert (floor.status(order), floor.status(other)) == ("canceled", "new")
    position = books(floor).positions["SPY"]
    assert (position.quantity, position.cost_basis) == (40, cost)
    assert floor.get("/v2/positions/SPY").body["qty_available"] == "40"
    assert (last(floor).activity_type, last(floor).quantity, last(floor).net_amount) == (ActivityType.SPLIT, 30, 0)
    assert abs(Decimal(floor.account()["long_market_value"]) / value - 1) < Decimal("0.2")


def test_what_a_reverse_split_leaves_of_a_share_is_paid_out_where_shares_are_whole() -> None:
    split = {"type": "split", "symbol": "WHOLE", "ex_date": "2026-03-03", "new": 1, "old": 3}
    floor = floor_with(split).holding("WHOLE", 10)
    cash = books(floor).cash
    floor.step_until("open")
    asset = floor.exchange.catalogue.find("WHOLE")
    session = floor.exchange.calendar.open_at(floor.now)
    assert asset is not None
    assert session is not None
    price = Decimal(floor.market.day(asset, session).open) / 100
    assert books(floor).positions["WHOLE"].quantity == 3
    assert kinds(floor) == [ActivityType.SPLIT, ActivityType.CASH_IN_LIEU]
    assert books(floor).cash == cash + last(floor).net_amount
    assert last(floor).net_amount == (price / 3).quantize(Decimal("0.01"))


def test_three_shares_in_a_one_for_three_split_are_exactly_one() -> None:
    split = {"type": "split", "symbol": "WHOLE", "ex_date": "2026-03-03", "new": 1, "old": 3}
    floor = floor_with(split).holding("WHOLE", 3)
    floor.step_until("open")
    assert books(floor).positions["WHOLE"].quantity == 1
    assert kinds(floor) == [ActivityType.SPLIT]


def test_a_split_on_a_weekend_takes_effect_on_monday() -> None:
    split = {"type": "split", "symbol": "SPY", "ex_date": "2026-03-09", "new": 2}
    floor = floor_with(split, clock={"mode": "stepped", "start": FRIDAY_NOON}).holding("SPY", 10)
    floor.step(2 * 86_400)
    assert books(floor).held("SPY") == 10
    floor.step_until("open")
    assert books(floor).held("SPY") == 20


def test_a_dividend_is_paid_to_who_held_before_the_ex_date() -> None:
    dividend = {
        "type": "dividend",
        "symbol": "SPY",
        "ex_date": "2026-03-03",
        "payable_date": "2026-03-05",
        "rate": "1.5",
    }
    floor = floor_with(dividend).holding("SPY", 10)
    floor.step_until("close")
    floor.step_until("open")
    floor.delete("/v2/positions/SPY")
    floor.step(1)
    cash = books(floor).cash
    floor.step(86_400)
    assert books(floor).cash == cash
    floor.step(86_400)
    assert books(floor).cash == cash + 15
    paid = last(floor)
    assert (paid.activity_type, paid.net_amount, paid.price) == (ActivityType.DIVIDEND, 15, Decimal("1.5"))
    assert paid.at == datetime(2026, 3, 5, 14, 30, tzinfo=UTC)


def test_who_is_short_pays_the_dividend_and_who_buys_on_the_ex_date_gets_none() -> None:
    dividend = {"type": "dividend", "symbol": "SPY", "ex_date": "2026-03-03", "payable_date": "2026-03-03", "rate": "2"}
    floor = floor_with(dividend, accounts=[MARGIN])
    floor.sell("SPY", 10)
    floor.step(1)
    cash = books(floor).cash
    floor.step_until("open")
    assert books(floor).cash == cash - 20
    late = floor_with({**dividend, "payable_date": "2026-03-04"})
    late.step_until("open")
    late.buy("SPY", 10)
    late.step(1)
    cash = books(late).cash
    late.step(2 * 86_400)
    assert books(late).cash == cash


def test_a_new_symbol_takes_the_position_over_and_cancels_orders() -> None:
    change = {"type": "symbol_change", "symbol": "OLD", "ex_date": "2026-03-03", "new_symbol": "NEWER"}
    floor = floor_with(change).holding("OLD", 10)
    order = floor.sell("OLD", 1, limit=900, tif="gtc")
    cost = books(floor).positions["OLD"].cost_basis
    floor.step_until("open")
    assert floor.status(order) == "canceled"
    assert set(books(floor).positions) == {"NEWER"}
    assert (books(floor).positions["NEWER"].quantity, books(floor).positions["NEWER"].cost_basis) == (10, cost)
    assert kinds(floor) == [ActivityType.NAME_CHANGE] * 2
    assert floor.sell("NEWER", 10).status == 200


def test_shares_and_money_can_come_from_outside() -> None:
    floor = Floor()
    asset = floor.exchange.catalogue.find("SPY")
    assert asset is not None
    account = books(floor)
    floor.exchange.adjust_position(account, asset, Decimal(5), Decimal(100), floor.now)
    floor.exchange.adjust_cash(account, Decimal("-250.5"))
    assert kinds(floor) == [ActivityType.SHARE_JOURNAL, ActivityType.CASH_JOURNAL]
    assert floor.get("/v2/positions/SPY").body["cost_basis"] == "500"
    assert floor.account()["cash"] == "99749.5"
    floor.exchange.adjust_position(account, asset, Decimal(-5), Decimal(100), floor.now)
    assert floor.get("/v2/positions").body == []
    assert floor.events() == []


def test_an_account_without_cash_shows_no_negative_buying_power() -> None:
    floor = Floor()
    floor.exchange.adjust_cash(books(floor), Decimal(-200_000))
    assert floor.account()["buying_power"] == "0"
    answer = floor.buy("SPY", 1)
    assert (answer.message, answer.body["buying_power"]) == ("insufficient buying power", "0")


def test_fills_are_written_down_with_what_they_leave() -> None:
    floor = Floor(partial_fill_probability=0.95)
    floor.buy("SPY", 64)
    floor.step(60)
    entries = list(books(floor).activities)
    assert [one.number for one in entries] == list(range(1, len(entries) + 1))
    assert sum(one.quantity for one in entries) == 64
    assert sum(one.net_amount for one in entries) == books(floor).cash - 100_000
    assert [one.cumulative_quantity for one in entries][:2] == [32, 48]
    assert (entries[-1].leaves_quantity, entries[-1].order_status) == (0, "filled")
    assert len({one.activity_id for one in entries}) == len(entries)
    assert entries[0].activity_id.startswith("20260302120001000::")


def test_entries_and_equity_are_bounded() -> None:
    floor = Floor()
    account = books(floor)
    assert account.activities.maxlen == account.limits.activities_kept
    assert account.equity_history.maxlen == account.limits.equity_points_kept
    floor.holding("SPY", 10)
    floor.step_until("close")
    floor.step_until("close")
    assert [at.isoformat() for at, _ in account.equity_history] == [
        "2026-03-02T21:00:00+00:00",
        "2026-03-03T21:00:00+00:00",
    ]
    assert account.equity_history[-1][1] == account.equity_at_last_close == Decimal(floor.account()["last_equity"])
