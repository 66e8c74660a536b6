"""alpaca-py's TradingClient against the simulator, parsed by its own models."""

from __future__ import annotations

from datetime import date, timedelta
from uuid import UUID, uuid4

import pytest
from alpaca.common.exceptions import APIError
from alpaca.trading.enums import (
    AccountStatus,
    AssetClass,
    OrderClass,
    OrderSide,
    OrderStatus,
    QueryOrderStatus,
    TimeInForce,
)
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetAssetsRequest,
    GetCalendarRequest,
    GetOrderByIdRequest,
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopOrderRequest,
)

from contract.conftest import LIVE, MONDAY_NOON, Venue


def buy(symbol: str = "SPY", qty: float = 10, **more: object) -> MarketOrderRequest:
    return MarketOrderRequest(symbol=symbol, qty=qty, side=OrderSide.BUY, time_in_force=TimeInForce.DAY, **more)


def resting(symbol: str = "SPY", qty: float = 1, **more: object) -> LimitOrderRequest:
    return LimitOrderRequest(
        symbol=symbol, qty=qty, side=OrderSide.BUY, time_in_force=TimeInForce.GTC, limit_price=5.5, **more
    )


def test_the_account_has_its_cash_and_a_status(venue: Venue) -> None:
    account = venue.trading().get_account()
    assert account.status is AccountStatus.ACTIVE
    assert account.cash == account.buying_power == account.equity == account.last_equity == "100000"
    assert account.account_number.startswith("PA")
    assert venue.trading(LIVE).get_account().id != account.id


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
    assert len(venue.trading().get_calendar()) > 5000


def test_assets_are_listed_and_found_by_symbol_and_id(venue: Venue) -> None:
    client = venue.trading()
    assets = client.get_all_assets(GetAssetsRequest(asset_class=AssetClass.US_EQUITY))
    spy = next(asset for asset in assets if asset.symbol == "SPY")
    assert client.get_asset("SPY") == client.get_asset(spy.id) == spy
    assert client.get_asset("BRK.B").tradable
    assert client.get_all_assets(GetAssetsRequest(asset_class=AssetClass.CRYPTO)) == []


def test_a_market_order_is_filled_and_becomes_a_position(venue: Venue) -> None:
    client = venue.trading()
    order = client.submit_order(buy(client_order_id="first"))
    assert order.status is OrderStatus.PENDING_NEW
    assert order.order_class is OrderClass.SIMPLE
    venue.step(1)
    filled = client.get_order_by_client_id("first")
    assert (filled.id, filled.status, filled.filled_qty) == (order.id, OrderStatus.FILLED, "10")
    position = client.get_open_position("SPY")
    assert (position.qty, position.avg_entry_price) == ("10", filled.filled_avg_price)
    assert client.get_open_position(position.asset_id) == client.get_all_positions()[0] == position
    account = client.get_account()
    assert float(account.cash) == pytest.approx(100_000 - 10 * float(filled.filled_avg_price), abs=1e-6)
    assert float(account.long_market_value) == pytest.approx(float(position.market_value))


def test_a_limit_order_can_be_read_and_cancelled(venue: Venue) -> None:
    client = venue.trading()
    order = client.submit_order(resting())
    assert client.get_order_by_id(order.id, GetOrderByIdRequest(nested=True)).limit_price == "5.5"
    assert client.cancel_order_by_id(order.id) is None
    assert client.get_order_by_id(order.id).status is OrderStatus.CANCELED


def test_orders_are_listed_by_every_filter(venue: Venue) -> None:
    client = venue.trading()
    first = client.submit_order(resting("SPY"))
    venue.step(60)
    second = client.submit_order(resting("TLT"))
    client.cancel_order_by_id(second.id)

    def listed(**filters: object) -> list[UUID]:
        return [order.id for order in client.get_orders(GetOrdersRequest(**filters))]

    assert [order.id for order in client.get_orders()] == [first.id]
    assert listed(status=QueryOrderStatus.ALL) == [second.id, first.id]
    assert listed(status=QueryOrderStatus.CLOSED) == [second.id]
    assert listed(status=QueryOrderStatus.ALL, direction="asc", limit=1) == [first.id]
    assert listed(status=QueryOrderStatus.ALL, symbols=["TLT", "GLD"]) == [second.id]
    assert listed(status=QueryOrderStatus.ALL, after=MONDAY_NOON) == [second.id]
    assert listed(status=QueryOrderStatus.ALL, until=MONDAY_NOON) == [first.id]
    assert listed(status=QueryOrderStatus.ALL, side=OrderSide.SELL) == []


def test_all_orders_are_cancelled_at_once(venue: Venue) -> None:
    client = venue.trading()
    orders = [client.submit_order(resting(symbol)) for symbol in ("SPY", "TLT")]
    answers = client.cancel_orders()
    assert [(answer.id, answer.status) for answer in answers] == [(order.id, 200) for order in orders]
    assert client.get_orders() == []


def test_positions_are_closed_in_part_and_all_at_once(venue: Venue) -> None:
    client = venue.trading()
    for symbol in ("SPY", "TLT"):
        client.submit_order(buy(symbol))
    venue.step(1)
    sale = client.close_position("SPY", ClosePositionRequest(percentage="50"))
    assert (sale.side, sale.qty) == (OrderSide.SELL, "5")
    venue.step(1)
    closed = client.close_all_positions(cancel_orders=True)
    assert [(answer.symbol, answer.status, answer.body.qty) for answer in closed] == [
        ("SPY", 200, "5"),
        ("TLT", 200, "10"),
    ]
    venue.step(1)
    assert client.get_all_positions() == []


def test_a_position_that_cannot_be_closed_says_why(venue: Venue) -> None:
    client = venue.trading()
    client.submit_order(buy(qty=4))
    venue.step(1)
    offer = LimitOrderRequest(symbol="SPY", qty=4, side="sell", time_in_force="day", limit_price=5000)
    client.submit_order(offer)
    (answer,) = client.close_all_positions()
    assert (answer.status, answer.body.code, answer.body.held_for_orders) == (403, 40310000, 4)


def refused(call: object, *arguments: object) -> tuple[int, int]:
    with pytest.raises(APIError) as refusal:
        call(*arguments)  # type: ignore[operator]
    assert refusal.value.message
    return refusal.value.status_code, refusal.value.code


def test_refusals_carry_alpacas_statuses_and_codes(venue: Venue) -> None:
    client = venue.trading()
    client.submit_order(resting(client_order_id="once"))
    assert refused(client.submit_order, resting(client_order_id="once")) == (422, 40010001)
    assert refused(client.submit_order, buy(qty=100_000)) == (403, 40310000)
    assert refused(client.submit_order, buy("NOSUCH")) == (422, 42210000)
    sale = MarketOrderRequest(symbol="GLD", qty=1, side="sell", time_in_force="day")
    assert refused(client.submit_order, sale) == (403, 40310000)
    stop = StopOrderRequest(symbol="SPY", qty=1, side="buy", time_in_force="day", stop_price=5)
    assert refused(client.submit_order, stop) == (422, 42210000)
    assert refused(client.get_order_by_id, uuid4()) == (404, 40410000)
    assert refused(client.get_order_by_client_id, "never") == (404, 40410000)
    assert refused(client.get_open_position, "SPY") == (404, 40410000)
    assert refused(client.close_position, "SPY") == (404, 40410000)
    assert refused(client.get_asset, "NOSUCH") == (404, 40410000)


def test_what_is_not_there_yet_is_not_implemented(venue: Venue) -> None:
    client = venue.trading()
    order = client.submit_order(resting())
    replacement = ReplaceOrderRequest(qty=2)
    assert refused(client.replace_order_by_id, order.id, replacement) == (501, 50110000)
    for call in (client.get_watchlists, client.get_portfolio_history, client.get_account_configurations):
        assert refused(call) == (501, 50110000)


def test_wrong_keys_are_refused(venue: Venue) -> None:
    assert refused(venue.trading(("PKDEMOPAPER", "wrong")).get_account) == (401, 40110000)
    assert refused(venue.trading(("nobody", "wrong")).get_account) == (401, 40110000)
