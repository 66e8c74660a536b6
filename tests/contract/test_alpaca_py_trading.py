"""alpaca-py's TradingClient against the simulator, orders aside, parsed by its own models."""

from __future__ import annotations

from datetime import date, timedelta
from uuid import UUID

import pytest
from alpaca.trading.enums import (
    AccountStatus,
    AssetClass,
    AssetExchange,
    CorporateActionSubType,
    OrderSide,
    OrderStatus,
    PositionSide,
)
from alpaca.trading.models import CorporateActionAnnouncement, TradeAccount, TradeActivity
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetAssetsRequest,
    GetCalendarRequest,
    GetCorporateAnnouncementsRequest,
    GetPortfolioHistoryRequest,
    LimitOrderRequest,
)

from contract.conftest import LIVE, MONDAY_NOON, Venue, buy, in_process_venue, refused, resting


def test_the_account_has_its_cash_and_a_status(venue: Venue) -> None:
    account = venue.trading().get_account()
    assert account.status is AccountStatus.ACTIVE
    assert account.cash == account.buying_power == account.equity == account.last_equity == "100000"
    assert account.account_number.startswith("PA")
    assert venue.trading(LIVE).get_account().id != account.id


def test_settings_are_kept_and_obeyed(venue: Venue) -> None:
    client = venue.trading()
    before = client.get_account_configurations()
    assert (before.suspend_trade, before.fractional_trading) == (False, True)
    suspended = client.set_account_configurations(before.model_copy(update={"suspend_trade": True}))
    assert suspended.suspend_trade
    assert client.get_account_configurations() == suspended
    assert client.get_account().trade_suspended_by_user
    assert refused(client.submit_order, buy())[0] == 403
    assert client.set_account_configurations(before) == before
    client.submit_order(buy())
    assert not venue.trading(LIVE).get_account_configurations().suspend_trade


def test_a_setting_that_makes_no_sense_is_refused(venue: Venue) -> None:
    client = venue.trading()
    before = client.get_account_configurations()
    nonsense = before.model_copy(update={"max_margin_multiplier": "17"})
    assert refused(client.set_account_configurations, nonsense)[0] == 422
    assert client.get_account_configurations() == before


def test_the_history_of_the_portfolio_follows_its_value(venue: Venue) -> None:
    client = venue.trading()
    client.submit_order(buy(qty=100))
    venue.step(timedelta(days=9).total_seconds())
    history = client.get_portfolio_history(GetPortfolioHistoryRequest(period="1W", timeframe="1D"))
    lengths = {len(history.timestamp), len(history.equity), len(history.profit_loss), len(history.profit_loss_pct)}
    assert lengths == {len(history.timestamp)}
    assert history.timestamp == sorted(set(history.timestamp))
    assert (history.timeframe, len(history.timestamp) >= 4) == ("1D", True)
    assert history.equity[-1] != 100_000
    default = client.get_portfolio_history()
    assert default.base_value is not None


def test_what_happened_to_the_account_is_listed_in_pages(venue: Venue) -> None:
    client = venue.trading()
    account_id = client.get_account().id
    for symbol in ("SPY", "TLT", "GLD"):
        client.submit_order(buy(symbol))
    venue.step(1)
    found = client.get("/account/activities", {"activity_types": "FILL"})
    fills = [TradeActivity(**{"account_id": account_id, **one}) for one in found]
    assert {fill.symbol for fill in fills} == {"SPY", "TLT", "GLD"}
    assert {(fill.qty, fill.cum_qty, fill.leaves_qty, fill.side) for fill in fills} == {(10, 10, 0, OrderSide.BUY)}
    assert {fill.order_status for fill in fills} == {OrderStatus.FILLED}
    assert client.get("/account/activities/FILL") == found
    assert client.get("/account/activities/DIV") == []
    first = client.get("/account/activities", {"page_size": 2})
    second = client.get("/account/activities", {"page_size": 2, "page_token": first[-1]["id"]})
    assert [one["id"] for one in first + second] == [one["id"] for one in found]
    upwards = client.get("/account/activities", {"direction": "asc"})
    assert [one["id"] for one in upwards] == [one["id"] for one in reversed(found)]


def test_what_happened_is_listed_by_its_day(venue: Venue) -> None:
    client = venue.trading()
    client.submit_order(buy())
    venue.step(timedelta(days=1).total_seconds())
    client.submit_order(buy())
    venue.step(60)

    def days(**dates: str) -> list[str]:
        found = client.get("/account/activities/FILL", {"direction": "asc", **dates})
        return [one["transaction_time"][:10] for one in found]

    assert days() == ["2026-03-02", "2026-03-03"]
    assert days(date="2026-03-02") == ["2026-03-02"]
    assert days(after="2026-03-02T23:00:00Z") == ["2026-03-03"]
    assert days(until="2026-03-02T23:00:00Z") == ["2026-03-02"]


def test_the_clock_tells_market_time(venue: Venue) -> None:
    clock = venue.trading().get_clock()
    assert clock.timestamp == MONDAY_NOON
    assert clock.is_open
    assert clock.next_close == MONDAY_NOON + timedelta(hours=4)
    assert clock.next_open == MONDAY_NOON + timedelta(hours=21.5)


def test_the_calendar_has_sessions_and_half_days(venue: Venue) -> None:
    days = venue.trading().get_calendar(GetCalendarRequest(start=date(2026, 11, 25), end=date(2026, 11, 30)))
    assert [day.date.day for day in days] == [25, 27, 30]
    assert [day.close.hour for day in days] == [16, 13, 16]
    assert len(venue.trading().get_calendar()) > 2000


def test_assets_are_listed_and_found_by_symbol_and_id(venue: Venue) -> None:
    client = venue.trading()
    assets = client.get_all_assets(GetAssetsRequest(asset_class=AssetClass.US_EQUITY))
    spy = next(asset for asset in assets if asset.symbol == "SPY")
    assert client.get_asset("SPY") == client.get_asset(spy.id) == spy
    assert client.get_asset("BRK.B").tradable
    assert client.get_all_assets() == assets
    assert client.get_all_assets(GetAssetsRequest(asset_class=AssetClass.CRYPTO)) == []
    listed = client.get_all_assets(GetAssetsRequest(exchange=AssetExchange.NASDAQ, status="active"))
    assert {asset.exchange for asset in listed} == {AssetExchange.NASDAQ}
    assert refused(client.get_asset, "NOSUCH") == (404, 40410000)


ACTIONS = [
    {"type": "dividend", "symbol": "SPY", "ex_date": "2026-03-10", "payable_date": "2026-03-12", "rate": "1.5"},
    {"type": "split", "symbol": "AAPL", "ex_date": "2026-03-11", "new": 4, "old": 1},
    {"type": "split", "symbol": "TLT", "ex_date": "2026-12-11", "new": 1, "old": 10},
]


@pytest.mark.filterwarnings("ignore:get_corporate_announcements is deprecated")
def test_corporate_actions_are_announced() -> None:
    client = in_process_venue(corporate_actions=ACTIONS).trading()

    def announced(*kinds: str) -> list[CorporateActionAnnouncement]:
        span = {"since": date(2026, 3, 1), "until": date(2026, 4, 1)}
        return client.get_corporate_announcements(GetCorporateAnnouncementsRequest(ca_types=list(kinds), **span))

    dividend, split = announced("dividend", "split")
    assert (dividend.initiating_symbol, dividend.cash, dividend.payable_date) == ("SPY", 1.5, date(2026, 3, 12))
    assert (split.ca_sub_type, split.old_rate, split.new_rate) == (CorporateActionSubType.STOCK_SPLIT, 1, 4)
    assert announced("split") == [split]
    assert client.get_corporate_announcement_by_id(split.id) == split
    assert refused(client.get_corporate_announcement_by_id, UUID(int=7))[0] == 404


def test_a_market_order_is_filled_and_becomes_a_position(venue: Venue) -> None:
    client = venue.trading()
    order = client.submit_order(buy(client_order_id="first"))
    assert order.status is OrderStatus.PENDING_NEW
    venue.step(1)
    filled = client.get_order_by_client_id("first")
    assert (filled.id, filled.status, filled.filled_qty) == (order.id, OrderStatus.FILLED, "10")
    position = client.get_open_position("SPY")
    assert (position.qty, position.avg_entry_price) == ("10", filled.filled_avg_price)
    assert client.get_open_position(position.asset_id) == client.get_all_positions()[0] == position
    account = client.get_account()
    assert float(account.cash) == pytest.approx(100_000 - 10 * float(filled.filled_avg_price), abs=1e-6)
    assert float(account.long_market_value) == pytest.approx(float(position.market_value))


def test_a_short_position_is_one_of_negative_shares() -> None:
    margin = {"name": "margin", "key_id": "PKMARGIN", "secret_key": "s", "margin_multiplier": 2, "shorting": True}
    venue = in_process_venue(accounts=[margin])
    client = venue.trading(("PKMARGIN", "s"))
    assert (client.get_account().multiplier, client.get_account().shorting_enabled) == ("2", True)
    client.submit_order(buy().model_copy(update={"side": OrderSide.SELL}))
    venue.step(1)
    position = client.get_open_position("SPY")
    assert (position.side, position.qty) == (PositionSide.SHORT, "-10")
    assert float(client.get_account().short_market_value) < 0
    bought_back = client.close_position("SPY")
    assert (bought_back.side, bought_back.qty) == (OrderSide.BUY, "10")


def test_positions_are_closed_in_part_and_all_at_once(venue: Venue) -> None:
    client = venue.trading()
    for symbol in ("SPY", "TLT"):
        client.submit_order(buy(symbol))
    venue.step(1)
    sale = client.close_position("SPY", ClosePositionRequest(percentage="50"))
    assert (sale.side, sale.qty) == (OrderSide.SELL, "5")
    venue.step(1)
    assert client.close_position("SPY", ClosePositionRequest(qty="2")).qty == "2"
    venue.step(1)
    closed = client.close_all_positions(cancel_orders=True)
    assert [(answer.symbol, answer.status, answer.body.qty) for answer in closed] == [
        ("SPY", 200, "3"),
        ("TLT", 200, "10"),
    ]
    venue.step(1)
    assert client.get_all_positions() == []
    assert refused(client.get_open_position, "SPY") == (404, 40410000)
    assert refused(client.close_position, "SPY") == (404, 40410000)


def test_a_position_that_cannot_be_closed_says_why(venue: Venue) -> None:
    client = venue.trading()
    client.submit_order(buy(qty=4))
    venue.step(1)
    offer = LimitOrderRequest(symbol="SPY", qty=4, side="sell", time_in_force="day", limit_price=5000)
    client.submit_order(offer)
    (answer,) = client.close_all_positions()
    assert (answer.status, answer.body.code, answer.body.held_for_orders) == (403, 40310000, 4)


def test_the_plain_methods_of_the_client_reach_the_api(venue: Venue) -> None:
    client = venue.trading()
    account = client.response_wrapper(lambda raw_data: TradeAccount(**raw_data), raw_data=client.get("/account"))
    assert account == client.get_account()
    order = client.post("/orders", resting().to_request_fields())
    changed = client.patch(f"/orders/{order['id']}", {"qty": "2"})
    assert (UUID(changed["replaces"]), changed["qty"]) == (UUID(order["id"]), "2")
    assert client.delete(f"/orders/{changed['id']}") is None


def test_wrong_keys_are_refused(venue: Venue) -> None:
    assert refused(venue.trading(("PKDEMOPAPER", "wrong")).get_account) == (401, 40110000)
    assert refused(venue.trading(("nobody", "wrong")).get_account) == (401, 40110000)
