"""alpaca-py's TradingClient sends every kind of order, parsed by its own models."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from alpaca.trading.enums import (
    OrderClass,
    OrderSide,
    OrderStatus,
    OrderType,
    PositionIntent,
    QueryOrderStatus,
    TimeInForce,
)
from alpaca.trading.requests import (
    GetOrderByIdRequest,
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    OptionLegRequest,
    ReplaceOrderRequest,
    StopLimitOrderRequest,
    StopLossRequest,
    StopOrderRequest,
    TakeProfitRequest,
    TrailingStopOrderRequest,
)

from contract.conftest import MONDAY_NOON, Venue, buy, in_process_venue, refused, resting

BEFORE_OPEN = datetime(2026, 3, 2, 13, 30, tzinfo=UTC)
EARLY_MORNING = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

#: How each type of order is asked for: a purchase that does not trade at once, unless it is a market order.
KINDS: dict[OrderType, Callable[..., Any]] = {
    OrderType.MARKET: MarketOrderRequest,
    OrderType.LIMIT: lambda **terms: LimitOrderRequest(limit_price=5.5, **terms),
    OrderType.STOP: lambda **terms: StopOrderRequest(stop_price=5000, **terms),
    OrderType.STOP_LIMIT: lambda **terms: StopLimitOrderRequest(stop_price=5000, limit_price=5001, **terms),
    OrderType.TRAILING_STOP: lambda **terms: TrailingStopOrderRequest(trail_percent=5, **terms),
}
STOPS = (OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP)
#: What Alpaca takes at noon; at-the-open orders are taken until 9:28.
TAKEN_AT_NOON = [
    *((kind, tif) for kind in KINDS for tif in (TimeInForce.DAY, TimeInForce.GTC)),
    *(
        (kind, tif)
        for kind in (OrderType.MARKET, OrderType.LIMIT)
        for tif in (TimeInForce.CLS, TimeInForce.IOC, TimeInForce.FOK)
    ),
]


def small(kind: OrderType, tif: TimeInForce, **more: Any) -> Any:
    return KINDS[kind](symbol="SPY", qty=1, side=OrderSide.BUY, time_in_force=tif, **more)


def bracket(**more: Any) -> MarketOrderRequest:
    return buy(
        order_class=OrderClass.BRACKET,
        take_profit=TakeProfitRequest(limit_price=5000),
        stop_loss=StopLossRequest(stop_price=5.5, limit_price=5.25),
        **more,
    )


@pytest.mark.parametrize(("kind", "tif"), TAKEN_AT_NOON)
def test_every_type_is_taken_with_its_times_in_force(kind: OrderType, tif: TimeInForce) -> None:
    venue = in_process_venue()
    order = venue.trading().submit_order(small(kind, tif))
    assert (order.type, order.order_type, order.time_in_force) == (kind, kind, tif)
    assert order.status in {OrderStatus.PENDING_NEW, OrderStatus.NEW, OrderStatus.ACCEPTED}
    assert (order.symbol, order.qty, order.filled_qty, order.side) == ("SPY", "1", "0", OrderSide.BUY)
    assert (order.order_class, order.position_intent) == (OrderClass.SIMPLE, PositionIntent.BUY_TO_OPEN)
    venue.step(1)
    assert venue.trading().get_order_by_id(order.id).id == order.id


@pytest.mark.parametrize("kind", [OrderType.MARKET, OrderType.LIMIT])
def test_at_the_open_orders_are_taken_before_the_open_and_refused_after_it(kind: OrderType) -> None:
    early = in_process_venue(at=BEFORE_OPEN).trading()
    assert early.submit_order(small(kind, TimeInForce.OPG)).status is OrderStatus.ACCEPTED
    late = in_process_venue().trading()
    assert refused(late.submit_order, small(kind, TimeInForce.OPG))[0] == 403


@pytest.mark.parametrize("kind", STOPS)
@pytest.mark.parametrize("tif", [TimeInForce.OPG, TimeInForce.CLS])
def test_stops_are_not_taken_into_auctions(kind: OrderType, tif: TimeInForce) -> None:
    client = in_process_venue(at=BEFORE_OPEN).trading()
    assert refused(client.submit_order, small(kind, tif))[0] == 422


def test_a_price_is_echoed_where_it_belongs(venue: Venue) -> None:
    client = venue.trading()
    stop_limit = client.submit_order(small(OrderType.STOP_LIMIT, TimeInForce.DAY))
    assert (stop_limit.stop_price, stop_limit.limit_price) == ("5000", "5001")
    trailing = client.submit_order(small(OrderType.TRAILING_STOP, TimeInForce.GTC))
    assert (trailing.trail_percent, trailing.trail_price) == ("5", None)
    venue.step(60)
    followed = client.get_order_by_id(trailing.id)
    assert float(followed.hwm) > 0
    assert float(followed.stop_price) == pytest.approx(float(followed.hwm) * 1.05, rel=0.001)
    by_price = TrailingStopOrderRequest(symbol="SPY", qty=1, side="buy", time_in_force="day", trail_price=50)
    assert client.submit_order(by_price).trail_price == "50"


def test_a_stop_that_is_reached_trades(venue: Venue) -> None:
    client = venue.trading()
    client.submit_order(buy(qty=1))
    venue.step(1)
    price = float(client.get_open_position("SPY").current_price)
    stop = StopOrderRequest(symbol="SPY", qty=1, side="sell", time_in_force="gtc", stop_price=round(price * 0.999, 2))
    order = client.submit_order(stop)
    for _ in range(30):
        venue.step(86_400)
        if client.get_order_by_id(order.id).status is OrderStatus.FILLED:
            break
    assert client.get_order_by_id(order.id).status is OrderStatus.FILLED
    assert client.get_all_positions() == []


def test_an_order_for_dollars_is_filled_for_them(venue: Venue) -> None:
    client = venue.trading()
    request = MarketOrderRequest(symbol="SPY", notional=1000, side=OrderSide.BUY, time_in_force=TimeInForce.DAY)
    order = client.submit_order(request)
    assert (order.notional, order.qty) == ("1000", None)
    venue.step(1)
    filled = client.get_order_by_id(order.id)
    assert filled.status is OrderStatus.FILLED
    assert float(filled.filled_qty) * float(filled.filled_avg_price) == pytest.approx(1000, rel=0.0001)
    good_till_cancelled = MarketOrderRequest(symbol="SPY", notional=1000, side="buy", time_in_force="gtc")
    assert refused(client.submit_order, good_till_cancelled)[0] == 422


def test_fractions_of_a_share_trade_for_the_day_only(venue: Venue) -> None:
    client = venue.trading()
    assert client.submit_order(buy(qty=0.5)).qty == "0.5"
    half_for_long = MarketOrderRequest(symbol="SPY", qty=0.5, side="buy", time_in_force="gtc")
    assert refused(client.submit_order, half_for_long) == (422, 42210000)


def test_extended_hours_are_for_limit_orders() -> None:
    venue = in_process_venue(at=EARLY_MORNING)
    client = venue.trading()
    early = LimitOrderRequest(
        symbol="SPY", qty=1, side="buy", time_in_force="day", limit_price=5000, extended_hours=True
    )
    order = client.submit_order(early)
    assert order.extended_hours
    venue.step(60)
    assert client.get_order_by_id(order.id).status is OrderStatus.FILLED
    market = buy("TLT", extended_hours=True)
    assert refused(client.submit_order, market)[0] == 422


def test_a_bracket_holds_its_exits_until_the_entry_is_filled(venue: Venue) -> None:
    client = venue.trading()
    order = client.submit_order(bracket(client_order_id="entry"))
    assert order.order_class is OrderClass.BRACKET
    profit, loss = sorted(order.legs, key=lambda leg: leg.type is not OrderType.LIMIT)
    assert (profit.type, profit.limit_price, profit.side) == (OrderType.LIMIT, "5000", OrderSide.SELL)
    assert (loss.type, loss.stop_price, loss.limit_price) == (OrderType.STOP_LIMIT, "5.5", "5.25")
    assert {profit.status, loss.status} == {OrderStatus.HELD}
    venue.step(1)
    nested = client.get_order_by_id(order.id, GetOrderByIdRequest(nested=True))
    assert nested.status is OrderStatus.FILLED
    assert {leg.id for leg in nested.legs} == {profit.id, loss.id}
    assert OrderStatus.NEW in {leg.status for leg in nested.legs}
    client.cancel_order_by_id(profit.id)
    assert client.get_order_by_id(loss.id).status is OrderStatus.CANCELED


def test_one_exit_cancels_the_other(venue: Venue) -> None:
    client = venue.trading()
    client.submit_order(buy(qty=10))
    venue.step(1)
    exits = client.submit_order(
        LimitOrderRequest(
            symbol="SPY",
            qty=10,
            side="sell",
            time_in_force="gtc",
            order_class=OrderClass.OCO,
            take_profit=TakeProfitRequest(limit_price=5000),
            stop_loss=StopLossRequest(stop_price=5.5),
        )
    )
    assert (exits.order_class, exits.type, exits.limit_price) == (OrderClass.OCO, OrderType.LIMIT, "5000")
    (loss,) = exits.legs
    assert (loss.type, loss.stop_price) == (OrderType.STOP, "5.5")
    client.cancel_order_by_id(exits.id)
    assert client.get_order_by_id(loss.id).status is OrderStatus.CANCELED
    assert client.get_orders() == []


def test_one_order_triggers_another(venue: Venue) -> None:
    client = venue.trading()
    entry = client.submit_order(buy(qty=10, order_class=OrderClass.OTO, stop_loss=StopLossRequest(stop_price=5.5)))
    (loss,) = entry.legs
    assert (entry.order_class, loss.status) == (OrderClass.OTO, OrderStatus.HELD)
    venue.step(1)
    assert client.get_order_by_id(loss.id).status is OrderStatus.NEW
    assert client.get_open_position("SPY").qty_available == "0"


def test_what_does_not_make_a_bracket_is_refused(venue: Venue) -> None:
    client = venue.trading()
    upside_down = buy(
        order_class=OrderClass.BRACKET,
        take_profit=TakeProfitRequest(limit_price=5.5),
        stop_loss=StopLossRequest(stop_price=5000),
    )
    assert refused(client.submit_order, upside_down)[0] == 422
    assert refused(client.submit_order, bracket(qty=1.5))[0] == 422
    now_or_never = MarketOrderRequest(
        symbol="SPY",
        qty=1,
        side="buy",
        time_in_force="ioc",
        order_class=OrderClass.BRACKET,
        take_profit=TakeProfitRequest(limit_price=5000),
        stop_loss=StopLossRequest(stop_price=5.5),
    )
    assert refused(client.submit_order, now_or_never)[0] == 422


def test_several_option_legs_are_refused(venue: Venue) -> None:
    legs = [OptionLegRequest(symbol=f"SPY260320C00{strike}000", ratio_qty=1, side="buy") for strike in (500, 510)]
    order = MarketOrderRequest(qty=1, time_in_force="day", order_class=OrderClass.MLEG, legs=legs)
    assert refused(venue.trading().submit_order, order)[0] in {422, 501}


def test_an_order_is_replaced_by_one_with_a_new_id(venue: Venue) -> None:
    client = venue.trading()
    first = client.submit_order(resting(qty=1))
    changes = ReplaceOrderRequest(qty=3, limit_price=6.25, time_in_force="day", client_order_id="second")
    second = client.replace_order_by_id(first.id, changes)
    assert second.id != first.id
    assert (second.replaces, second.qty, second.limit_price) == (first.id, "3", "6.25")
    assert (second.client_order_id, second.time_in_force) == ("second", TimeInForce.DAY)
    replaced = client.get_order_by_id(first.id)
    assert (replaced.status, replaced.replaced_by) == (OrderStatus.REPLACED, second.id)
    assert replaced.replaced_at is not None
    assert [order.id for order in client.get_orders()] == [second.id]
    assert refused(client.replace_order_by_id, first.id, changes)[0] == 422
    assert refused(client.replace_order_by_id, uuid4(), changes) == (404, 40410000)


def test_stops_and_trails_are_replaced(venue: Venue) -> None:
    client = venue.trading()
    stop = client.submit_order(small(OrderType.STOP, TimeInForce.DAY))
    assert client.replace_order_by_id(stop.id, ReplaceOrderRequest(stop_price=4000)).stop_price == "4000"
    trailing = client.submit_order(small(OrderType.TRAILING_STOP, TimeInForce.DAY))
    assert client.replace_order_by_id(trailing.id, ReplaceOrderRequest(trail=7)).trail_percent == "7"


def test_a_limit_order_can_be_read_and_cancelled(venue: Venue) -> None:
    client = venue.trading()
    order = client.submit_order(resting(client_order_id="mine"))
    assert client.get_order_by_id(order.id, GetOrderByIdRequest(nested=True)).limit_price == "5.5"
    assert client.get_order_by_client_id("mine").id == order.id
    assert client.cancel_order_by_id(order.id) is None
    assert client.get_order_by_id(order.id).status is OrderStatus.CANCELED
    assert refused(client.cancel_order_by_id, order.id)[0] == 422
    assert refused(client.cancel_order_by_id, uuid4()) == (404, 40410000)


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


def test_legs_are_listed_on_their_own_or_within_their_order(venue: Venue) -> None:
    client = venue.trading()
    order = client.submit_order(bracket())
    flat = client.get_orders(GetOrdersRequest(status=QueryOrderStatus.ALL))
    assert {one.id for one in flat} >= {order.id}
    (nested,) = client.get_orders(GetOrdersRequest(status=QueryOrderStatus.ALL, nested=True))
    assert len(nested.legs) == 2


def test_all_orders_are_cancelled_at_once(venue: Venue) -> None:
    client = venue.trading()
    orders = [client.submit_order(resting(symbol)) for symbol in ("SPY", "TLT")]
    answers = client.cancel_orders()
    assert {(answer.id, answer.status) for answer in answers} == {(order.id, 200) for order in orders}
    assert client.get_orders() == []
    assert client.cancel_orders() == []


def test_refusals_carry_alpacas_statuses_and_codes(venue: Venue) -> None:
    client = venue.trading()
    client.submit_order(resting(client_order_id="once"))
    assert refused(client.submit_order, resting(client_order_id="once")) == (422, 40010001)
    assert refused(client.submit_order, buy(qty=100_000)) == (403, 40310000)
    assert refused(client.submit_order, buy("NOSUCH")) == (422, 42210000)
    sale = MarketOrderRequest(symbol="GLD", qty=1, side="sell", time_in_force="day")
    assert refused(client.submit_order, sale)[0] in {403, 422}
    against_oneself = MarketOrderRequest(symbol="SPY", qty=1, side="sell", time_in_force="day")
    assert refused(client.submit_order, against_oneself) == (403, 40310000)
    sub_penny = LimitOrderRequest(symbol="SPY", qty=1, side="buy", time_in_force="day", limit_price=5.001)
    assert refused(client.submit_order, sub_penny) == (422, 42210000)
    assert refused(client.get_order_by_id, uuid4()) == (404, 40410000)
    assert refused(client.get_order_by_client_id, "never") == (404, 40410000)


def test_a_day_order_expires_at_the_close(venue: Venue) -> None:
    client = venue.trading()
    request = LimitOrderRequest(symbol="SPY", qty=1, side="buy", time_in_force="day", limit_price=5)
    order = client.submit_order(request)
    venue.step(timedelta(hours=5).total_seconds())
    ended = client.get_order_by_id(order.id)
    assert ended.status is OrderStatus.EXPIRED
    assert ended.expired_at is not None
