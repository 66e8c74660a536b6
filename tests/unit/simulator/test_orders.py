"""What happens to an order: acceptance, fills, expiry, cancellation, and what it holds back."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from alpaca_simulator.exchange.lifecycle import Event
from alpaca_simulator.exchange.rules import ExchangeRules
from unit.simulator.floor import LIVE, MONDAY_BEFORE_OPEN, MONDAY_CLOSE, MONDAY_NOON, SATURDAY, Floor


def test_a_market_order_is_pending_then_new_then_filled_at_the_next_quote() -> None:
    floor = Floor()
    order = floor.buy("SPY", 10)
    assert order.body["status"] == "pending_new"
    assert floor.status(order) == "new"
    assert floor.events() == ["new"]
    floor.step(1)
    assert floor.status(order) == "filled"
    (fill,) = floor.updates()
    assert (fill.event, fill.quantity, fill.position_quantity) == (Event.FILL, 10, 10)
    assert fill.at == MONDAY_NOON + timedelta(seconds=1)


def test_a_buy_pays_the_ask_and_a_sell_gets_the_bid() -> None:
    floor = Floor()
    floor.buy("SPY", 2)
    floor.step(1)
    _, ask = floor.quote("SPY")
    assert float(floor.get("/v2/positions/SPY").body["avg_entry_price"]) == ask
    sale = floor.sell("SPY", 2)
    floor.step(1)
    bid, _ = floor.quote("SPY")
    assert float(floor.get(f"/v2/orders/{sale.body['id']}").body["filled_avg_price"]) == bid


def test_an_order_before_the_open_waits_and_trades_at_the_open() -> None:
    floor = Floor(MONDAY_BEFORE_OPEN)
    order = floor.buy("SPY", 1)
    assert order.body["status"] == "accepted"
    floor.step(60)
    assert floor.events() == []
    floor.step_until("open")
    new, fill = floor.updates()
    assert (new.event, fill.event) == (Event.NEW, Event.FILL)
    assert new.at == fill.at == MONDAY_BEFORE_OPEN + timedelta(minutes=5)


def test_an_order_on_a_saturday_waits_for_monday() -> None:
    floor = Floor(SATURDAY)
    order = floor.buy("SPY", 1)
    assert order.body["expires_at"] == "2026-03-09T20:00:00Z"
    floor.step_until("open")
    assert floor.status(order) == "filled"


def test_a_limit_order_far_away_rests_and_expires_at_the_close() -> None:
    floor = Floor()
    order = floor.buy("SPY", 1, limit=10)
    floor.step_until("close")
    assert floor.status(order) == "expired"
    body = floor.get(f"/v2/orders/{order.body['id']}").body
    assert body["expired_at"] == "2026-03-02T21:00:00Z"
    assert floor.events() == ["new", "expired"]
    assert floor.account()["buying_power"] == "100000"


def test_a_gtc_order_outlives_the_close_and_ends_after_ninety_days() -> None:
    floor = Floor()
    order = floor.buy("SPY", 1, limit=10, tif="gtc")
    floor.step_until("close")
    assert floor.status(order) == "new"
    assert order.body["expires_at"].startswith("2026-05-29")
    floor.step(90 * 86400)
    assert floor.status(order) == "expired"


def test_a_limit_order_fills_at_the_first_quote_that_crosses_it() -> None:
    floor = Floor()
    _, ask = floor.quote("SPY")
    order = floor.buy("SPY", 1, limit=f"{ask - 0.30:.2f}")
    floor.step_until("close")
    _, fill = floor.updates()
    assert fill.event is Event.FILL
    assert fill.price is not None
    assert fill.price <= Decimal(order.body["limit_price"])
    before = floor.market.quote(fill.order.asset, fill.at - timedelta(seconds=1))
    assert before.ask > fill.price * 100


def test_an_ioc_order_that_does_not_cross_is_canceled_at_once() -> None:
    floor = Floor()
    order = floor.buy("SPY", 1, limit=10, tif="ioc")
    floor.step(1)
    assert floor.status(order) == "canceled"
    assert floor.events() == ["new", "canceled"]


def test_an_ioc_order_that_crosses_is_filled() -> None:
    floor = Floor()
    order = floor.buy("SPY", 1, tif="ioc")
    floor.step(1)
    assert floor.status(order) == "filled"


def test_an_ioc_order_while_closed_is_refused() -> None:
    answer = Floor(SATURDAY).buy("SPY", 1, tif="ioc")
    assert (answer.status, answer.code) == (422, 42210000)


def test_a_market_order_in_the_last_second_finds_no_quote_and_expires() -> None:
    floor = Floor(MONDAY_CLOSE - timedelta(milliseconds=500))
    order = floor.buy("SPY", 1)
    floor.step(1)
    assert floor.status(order) == "expired"


def test_cancelling_gives_the_buying_power_back() -> None:
    floor = Floor()
    order = floor.buy("SPY", 100, limit="100.50")
    assert floor.account()["buying_power"] == "89950"
    assert floor.delete(f"/v2/orders/{order.body['id']}").status == 204
    assert floor.status(order) == "canceled"
    assert floor.account()["buying_power"] == "100000"
    assert floor.events() == ["new", "canceled"]


def test_an_ended_order_cannot_be_cancelled() -> None:
    floor = Floor()
    order = floor.buy("SPY", 1)
    floor.step(1)
    answer = floor.delete(f"/v2/orders/{order.body['id']}")
    assert (answer.status, answer.code) == (422, 42210000)
    assert answer.message == 'order is already in "filled" state'


def test_cancel_all_answers_207_with_a_body_for_each_order() -> None:
    floor = Floor()
    orders = [floor.buy(symbol, 1, limit=5) for symbol in ("SPY", "TLT", "GLD")]
    answer = floor.delete("/v2/orders")
    assert answer.status == 207
    assert [entry["id"] for entry in answer.body] == [order.body["id"] for order in orders]
    assert {(entry["status"], entry["body"]["status"]) for entry in answer.body} == {(200, "canceled")}
    assert floor.delete("/v2/orders").body == []


def test_open_orders_together_cannot_cost_more_than_there_is() -> None:
    floor = Floor()
    assert floor.buy("SPY", 900, limit=100).status == 200
    answer = floor.buy("TLT", 101, limit=100)
    assert (answer.status, answer.code, answer.message) == (403, 40310000, "insufficient buying power")
    assert (answer.body["buying_power"], answer.body["cost_basis"]) == ("10000", "10100")
    assert floor.buy("TLT", 100, limit=100).status == 200


def test_a_market_order_that_the_night_made_too_dear_is_rejected_at_the_open() -> None:
    floor = dear_night()
    order = floor.buy("CRASH", 19_000)
    assert order.body["status"] == "accepted"
    floor.step_until("open")
    assert floor.status(order) == "rejected"
    assert floor.events() == ["new", "rejected"]
    assert floor.account()["cash"] == floor.account()["buying_power"] == "100000"


def dear_night() -> Floor:
    """A floor after a close, with a symbol whose 19000 shares cost over 100000 dollars only next morning."""
    floor = Floor(MONDAY_CLOSE, assets=[{"symbol": "CRASH", "price": 5, "yearly_volatility": 2.0}])
    asset, calendar = floor.exchange.catalogue.find("CRASH"), floor.exchange.calendar
    assert asset is not None
    for evening, morning in pairwise(calendar.sessions[2:]):
        tonight = floor.market.day(asset, evening).close + 10
        if 19_000 * tonight <= 10_000_000 < 19_000 * (floor.market.day(asset, morning).open - 10):
            return Floor(evening.closes_at, assets=[{"symbol": "CRASH", "price": 5, "yearly_volatility": 2.0}])
    raise AssertionError("no such night in the calendar")


def test_more_than_is_held_cannot_be_sold() -> None:
    floor = Floor().holding("SPY", 10)
    assert floor.sell("SPY", 4, limit=5000).status == 200
    answer = floor.sell("SPY", 7)
    assert (answer.status, answer.code) == (403, 40310000)
    assert answer.message == "insufficient qty available for order (requested: 7, available: 6)"
    assert answer.body["existing_qty"] == "10"
    assert answer.body["held_for_orders"] == "4"
    assert floor.get("/v2/positions/SPY").body["qty_available"] == "6"


def test_nothing_can_be_sold_short() -> None:
    answer = Floor().sell("SPY", 1)
    assert (answer.status, answer.code, answer.message) == (403, 40310000, "account is not allowed to short")


@pytest.mark.parametrize(
    ("resting", "coming", "refused"),
    [(None, 100, True), (600, None, True), (600, 600, True), (600, 700, True), (600, 599, False)],
)
def test_an_order_that_would_trade_with_an_own_one_is_a_wash_trade(
    resting: int | None, coming: int | None, refused: bool
) -> None:
    floor = Floor().holding("SPY", 10)
    existing = floor.sell("SPY", 10, limit=resting)
    answer = floor.buy("SPY", 1, limit=coming)
    if not refused:
        assert answer.status == 200
        return
    assert (answer.status, answer.code) == (403, 40310000)
    assert answer.message.startswith("potential wash trade")
    assert answer.body["existing_order_id"] == existing.body["id"]


def test_accounts_do_not_see_each_other() -> None:
    floor = Floor()
    order = floor.buy("SPY", 1, client_order_id="mine")
    floor.keys = LIVE
    assert floor.get(f"/v2/orders/{order.body['id']}").status == 404
    assert floor.buy("SPY", 1, client_order_id="mine").status == 200
    assert floor.sell("TLT", 1).status == 403


def test_a_client_order_id_is_used_up_for_ever() -> None:
    floor = Floor(limits={"orders_kept": 10})
    floor.buy("SPY", 1, client_order_id="once")
    for number in range(20):
        floor.buy("SPY", 1, client_order_id=f"later-{number}")
        floor.step(1)
    assert floor.get("/v2/orders:by_client_order_id", client_order_id="once").status == 404
    answer = floor.buy("SPY", 1, client_order_id="once")
    assert (answer.status, answer.code) == (422, 40010001)
    assert answer.message == "client_order_id must be unique"


def test_a_refused_order_does_not_use_up_its_client_order_id() -> None:
    floor = Floor()
    assert floor.buy("SPY", 10_000, client_order_id="again").status == 403
    assert floor.buy("SPY", 1, client_order_id="again").status == 200


def test_old_ended_orders_are_forgotten_and_open_ones_never() -> None:
    floor = Floor(limits={"orders_kept": 10})
    resting = floor.buy("TLT", 1, limit=5, tif="gtc")
    for _ in range(30):
        floor.buy("SPY", 1)
        floor.step(1)
    assert len(floor.get("/v2/orders", status="all", limit=500).body) == 10
    assert floor.status(resting) == "new"


def test_there_is_an_end_to_open_orders_and_to_orders_ever() -> None:
    floor = Floor(limits={"open_orders": 2, "orders_ever": 3})
    first = floor.buy("TLT", 1, limit=5)
    assert floor.buy("TLT", 1, limit=5).status == 200
    assert floor.buy("TLT", 1, limit=5).message == "account has reached its 2 open orders"
    floor.delete(f"/v2/orders/{first.body['id']}")
    assert floor.buy("TLT", 1, limit=5).status == 200
    floor.delete("/v2/orders")
    assert floor.buy("TLT", 1, limit=5).message == "account has reached its 3 orders"


def test_partial_fills_come_one_quote_at_a_time_and_add_up() -> None:
    floor = Floor(partial_fill_probability=0.9)
    order = floor.buy("SPY", 64)
    floor.step(1)
    assert floor.status(order) == "partially_filled"
    floor.step(60)
    assert floor.status(order) == "filled"
    _, *fills = floor.updates()
    assert [fill.event for fill in fills[:-1]] == [Event.PARTIAL_FILL] * (len(fills) - 1)
    assert len(fills) > 1
    assert sum(fill.quantity or 0 for fill in fills) == 64
    assert len({fill.at for fill in fills}) == len(fills)


def test_a_partially_filled_ioc_order_is_canceled_for_the_rest() -> None:
    floor = Floor(partial_fill_probability=0.95)
    order = floor.buy("SPY", 64, tif="ioc")
    floor.step(1)
    body = floor.get(f"/v2/orders/{order.body['id']}").body
    assert (body["status"], body["filled_qty"]) == ("canceled", "32")
    assert floor.events() == ["new", "partial_fill", "canceled"]


def test_fractional_shares_trade_for_the_day_only() -> None:
    floor = Floor()
    assert floor.buy("SPY", "0.5").status == 200
    floor.step(1)
    assert floor.get("/v2/positions/SPY").body["qty"] == "0.5"
    assert floor.buy("SPY", "0.5", limit=5, tif="gtc").code == 42210000
    answer = floor.buy("ZWZZT", "0.5")
    assert (answer.status, answer.code) == (403, 40310000)
    assert "is not fractionable" in answer.message


def test_closing_a_position_sells_all_of_it() -> None:
    floor = Floor().holding("SPY", 10)
    order = floor.delete("/v2/positions/SPY")
    assert (order.status, order.body["side"], order.body["qty"]) == (200, "sell", "10")
    floor.step(1)
    assert floor.get("/v2/positions/SPY").status == 404
    assert floor.get("/v2/positions").body == []


@pytest.mark.parametrize(("options", "sold"), [({"qty": "3"}, "3"), ({"percentage": "25"}, "2.5")])
def test_closing_a_part_of_a_position(options: dict[str, str], sold: str) -> None:
    floor = Floor().holding("SPY", 10)
    assert floor.delete("/v2/positions/SPY", **options).body["qty"] == sold


def test_closing_everything_cancels_first_when_asked_and_answers_207() -> None:
    floor = Floor().holding("SPY", 5).holding("TLT", 7)
    floor.sell("SPY", 5, limit=5000)
    refused = floor.delete("/v2/positions")
    assert refused.status == 207
    assert [(entry["symbol"], entry["status"]) for entry in refused.body] == [("SPY", 403), ("TLT", 200)]
    floor.step(1)
    answer = floor.delete("/v2/positions", cancel_orders="True")
    assert [(entry["symbol"], entry["status"]) for entry in answer.body] == [("SPY", 200)]
    floor.step(1)
    assert floor.get("/v2/positions").body == []


def test_canceling_everything_says_which_orders_could_not_be() -> None:
    floor = Floor(exchange={"cancel_delay_milliseconds": 5000})
    first, second = (floor.buy(symbol, 1, limit=5) for symbol in ("SPY", "TLT"))
    floor.delete(f"/v2/orders/{first.body['id']}")
    answer = floor.delete("/v2/orders")
    assert [(entry["id"], entry["status"]) for entry in answer.body] == [
        (first.body["id"], 422),
        (second.body["id"], 200),
    ]
    assert answer.body[0]["body"] == {"code": 42210000, "message": "order pending cancel"}
    assert answer.body[1]["body"]["status"] == "pending_cancel"


def test_equity_of_yesterday_is_what_the_close_left() -> None:
    floor = Floor().holding("SPY", 100)
    floor.step_until("close")
    equity = floor.account()["equity"]
    assert floor.account()["last_equity"] == equity
    floor.step_until("open")
    floor.step(3600)
    assert floor.account()["last_equity"] == equity
    assert floor.account()["equity"] != equity


def test_orders_are_listed_newest_first_and_filtered() -> None:
    floor = Floor().holding("SPY", 5)
    floor.step(10)
    middle = floor.now
    floor.step(10)
    resting = [floor.buy(symbol, 1, limit=5).body["id"] for symbol in ("TLT", "GLD")]

    def listed(**query: object) -> list[str]:
        return [order["id"] for order in floor.get("/v2/orders", **query).body]

    filled = listed(status="closed")
    assert len(filled) == 1
    assert listed() == resting[::-1]
    assert listed(status="all") == resting[::-1] + filled
    assert listed(status="all", direction="asc") == filled + resting
    assert listed(status="all", limit=1) == resting[1:]
    assert listed(status="all", symbols="TLT,SPY") == resting[:1] + filled
    assert listed(status="all", after=middle.isoformat()) == resting[::-1]
    assert listed(status="all", until=middle.isoformat()) == filled
    assert listed(status="all", side="sell") == []
    assert listed(status="all", after_order_id=filled[0]) == resting[::-1]
    assert listed(status="all", before_order_id=resting[1]) == resting[:1] + filled
    assert listed(status="all", asset_class="us_equity") == resting[::-1] + filled
    assert listed(status="all", asset_class="crypto") == []
    unknown = floor.get("/v2/orders", after_order_id="00000000-0000-4000-8000-000000000000")
    assert (unknown.status, unknown.code) == (404, 40410000)


def test_trade_updates_that_nobody_takes_are_bounded_and_counted() -> None:
    floor = Floor()
    floor.exchange.rules = ExchangeRules(updates_kept=3)
    for _ in range(4):
        floor.buy("SPY", 1)
    assert len(floor.updates()) == 3
    assert floor.get("/admin/state").body["trade_updates_dropped"] == 1
