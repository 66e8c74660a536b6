"""Bracket, OCO and OTO orders: legs wait, one exit ends the other, and a client may change or cancel each."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from alpaca_simulator.exchange.lifecycle import WORKING, Status
from alpaca_simulator.exchange.orders import Order
from unit.simulator.floor import MONDAY_BEFORE_OPEN, Answer, Floor


def rising(**config: Any) -> Floor:
    """A floor at noon of a day on which SPY still rises by half a dollar."""
    for seed in range(100):
        floor = Floor(seed=seed, **config)
        asset, session = floor.exchange.catalogue.find("SPY"), floor.exchange.calendar.open_at(floor.now)
        assert asset is not None
        assert session is not None
        bars = floor.market.minutes(asset, session)
        noon = (int(floor.now.timestamp()) - bars.start_epoch) // 60
        if max(bars.high[noon + 2 :]) > bars.high[noon] + 50:
            return floor
    raise AssertionError("SPY never rises")


def exits(floor: Floor, up: float, down: float, **stop_loss: str) -> dict[str, Any]:
    """A take profit `up` dollars above the ask and a stop loss `down` dollars below the bid."""
    bid, ask = floor.quote("SPY")
    loss = {"stop_price": f"{bid - down:.2f}", **stop_loss}
    return {"take_profit": {"limit_price": f"{ask + up:.2f}"}, "stop_loss": loss}


def bracket(floor: Floor, up: float = 9, down: float = 9, qty: int = 10, **fields: object) -> Answer:
    return floor.buy("SPY", qty, order_class="bracket", **exits(floor, up, down), **fields)


def oco(floor: Floor, up: float, down: float, qty: int = 10, **fields: object) -> Answer:
    wanted = {"symbol": "SPY", "qty": str(qty), "side": "sell", "type": "limit", "time_in_force": "day"}
    return floor.order(order_class="oco", **wanted, **exits(floor, up, down), **fields)


def statuses(floor: Floor, *orders: Any) -> list[str]:
    return [floor.get(f"/v2/orders/{order['id']}").body["status"] for order in orders]


def family(answer: Answer) -> tuple[Any, ...]:
    return (answer.body, *answer.body["legs"])


def book(floor: Floor, body: Any) -> Order:
    account = next(iter(floor.exchange.accounts.values()))
    order = account.order(UUID(body["id"]))
    assert order is not None
    return order


def patch(floor: Floor, order: Any, **fields: object) -> Answer:
    return floor.send("PATCH", f"/v2/orders/{order['id']}", json.dumps(fields).encode())


def test_a_bracket_comes_with_two_held_legs() -> None:
    floor = Floor()
    answer = bracket(floor)
    entry, profit, loss = family(answer)
    assert [one["order_class"] for one in (entry, profit, loss)] == ["bracket"] * 3
    assert (entry["status"], profit["status"], loss["status"]) == ("pending_new", "held", "held")
    assert (profit["side"], profit["type"], loss["type"]) == ("sell", "limit", "stop")
    assert profit["position_intent"] == "sell_to_close"
    assert floor.events() == ["new"]
    assert floor.get("/v2/positions").body == []


def test_a_stop_loss_with_a_limit_price_is_a_stop_limit_order() -> None:
    floor = Floor()
    wanted = exits(floor, 9, 9, limit_price="400")
    assert floor.buy("SPY", 1, order_class="bracket", **wanted).body["legs"][1]["type"] == "stop_limit"


def test_the_legs_wait_until_the_entry_has_filled_completely() -> None:
    floor = Floor(partial_fill_probability=0.95)
    orders = family(bracket(floor, qty=64))
    floor.step(1)
    assert statuses(floor, *orders) == ["partially_filled", "held", "held"]
    floor.step(120)
    # The take profit works, the stop loss stays held and watches for its price.
    assert statuses(floor, *orders) == ["filled", "new", "held"]
    assert floor.get("/v2/positions/SPY").body["qty_available"] == "0"


@pytest.mark.parametrize("how", ["cancel", "expire"])
def test_when_the_entry_ends_without_filling_the_legs_are_canceled(how: str) -> None:
    floor = Floor()
    _, ask = floor.quote("SPY")
    orders = family(floor.buy("SPY", 1, limit=f"{ask - 30:.2f}", order_class="bracket", **exits(floor, 9, 40)))
    if how == "cancel":
        assert floor.delete(f"/v2/orders/{orders[0]['id']}").status == 204
    else:
        floor.step_until("close")
    assert statuses(floor, *orders) == ["canceled" if how == "cancel" else "expired", "canceled", "canceled"]


def test_the_take_profit_that_fills_cancels_the_stop_loss() -> None:
    floor = rising()
    orders = family(bracket(floor, up=0.05, down=50))
    floor.step_until("close")
    assert statuses(floor, *orders) == ["filled", "filled", "canceled"]
    assert floor.events() == ["new", "fill", "new", "fill", "canceled"]
    assert floor.get("/v2/positions").body == []


def test_the_stop_loss_that_is_reached_ends_the_take_profit_before_it_trades() -> None:
    floor = Floor()
    orders = family(bracket(floor, up=50, down=0.3))
    floor.step_until("close")
    assert statuses(floor, *orders) == ["filled", "canceled", "filled"]
    assert floor.events() == ["new", "fill", "new", "canceled", "new", "fill"]
    assert floor.get("/v2/positions").body == []


def test_a_part_of_the_take_profit_makes_the_stop_loss_smaller() -> None:
    floor = rising(partial_fill_probability=0.95)
    orders = family(bracket(floor, up=0.05, down=50, qty=64))
    for _ in range(5_000):
        floor.step(1)
        profit, loss = book(floor, orders[1]), book(floor, orders[2])
        if loss.is_open and book(floor, orders[0]).status is Status.FILLED:
            assert loss.quantity == profit.remaining
            assert floor.get("/v2/positions/SPY").body["qty"] == str(profit.remaining)
        if not profit.is_open:
            break
    assert statuses(floor, *orders) == ["filled", "filled", "canceled"]
    assert profit.fills > 1


@pytest.mark.parametrize("leg", [1, 2])
def test_canceling_one_exit_cancels_the_other(leg: int) -> None:
    floor = Floor()
    orders = family(bracket(floor))
    floor.step(1)
    assert floor.delete(f"/v2/orders/{orders[leg]['id']}").status == 204
    assert statuses(floor, *orders) == ["filled", "canceled", "canceled"]
    assert floor.get("/v2/positions/SPY").body["qty_available"] == "10"


def test_day_exits_expire_together_and_gtc_exits_live_on() -> None:
    floor = Floor()
    day, gtc = (family(bracket(floor, up=90, down=90, tif=tif)) for tif in ("day", "gtc"))
    floor.step_until("close")
    assert statuses(floor, *day[1:]) == ["expired", "expired"]
    assert statuses(floor, *gtc[1:]) == ["new", "held"]


def test_exits_of_an_order_before_the_open_wait_for_its_fill() -> None:
    floor = Floor(MONDAY_BEFORE_OPEN)
    orders = family(bracket(floor, tif="gtc", up=30, down=30))
    assert statuses(floor, *orders) == ["accepted", "held", "held"]
    floor.step_until("open")
    assert statuses(floor, *orders) == ["filled", "new", "held"]


def test_an_oco_is_a_take_profit_with_the_stop_loss_as_its_leg() -> None:
    floor = Floor().holding("SPY", 10)
    answer = oco(floor, 9, 9)
    profit, loss = family(answer)
    assert (profit["type"], profit["order_class"], loss["type"], loss["status"]) == ("limit", "oco", "stop", "held")
    assert profit["limit_price"] == str(Decimal(profit["limit_price"]))
    assert floor.get("/v2/positions/SPY").body["qty_available"] == "0"
    nested = floor.get("/v2/orders", nested="true").body
    assert [(one["id"], [leg["id"] for leg in one["legs"]]) for one in nested] == [(profit["id"], [loss["id"]])]


@pytest.mark.parametrize(
    ("up", "down", "ended"), [(0.05, 50, ["filled", "canceled"]), (50, 0.3, ["canceled", "filled"])]
)
def test_one_exit_of_an_oco_ends_the_other(up: float, down: float, ended: list[str]) -> None:
    floor = (rising() if up < down else Floor()).holding("SPY", 10)
    orders = family(oco(floor, up, down))
    floor.step_until("close")
    assert statuses(floor, *orders) == ended
    assert floor.get("/v2/positions").body == []


@pytest.mark.parametrize("part", ["take_profit", "stop_loss"])
def test_an_oto_has_one_leg_that_works_once_its_entry_has_filled(part: str) -> None:
    floor = Floor()
    wanted = exits(floor, 9, 9)
    orders = family(floor.buy("SPY", 10, order_class="oto", **{part: wanted[part]}))
    assert statuses(floor, orders[1]) == ["held"]
    floor.step(1)
    assert statuses(floor, *orders) == ["filled", "new"]
    floor.delete(f"/v2/orders/{orders[1]['id']}")
    assert floor.events() == ["new", "fill", "new", "canceled"]


def test_both_exits_can_be_replaced_and_the_new_ones_take_their_place() -> None:
    floor = Floor()
    entry, profit, loss = family(bracket(floor, tif="gtc"))
    floor.step(1)
    floor.updates()
    bid, ask = floor.quote("SPY")
    new_profit = patch(floor, profit, limit_price=f"{ask + 40:.2f}")
    new_loss = patch(floor, loss, stop_price=f"{bid - 0.3:.2f}")
    assert (new_profit.status, new_loss.status) == (200, 200)
    assert (new_profit.body["replaces"], new_loss.body["replaces"]) == (profit["id"], loss["id"])
    assert statuses(floor, profit, loss, new_profit.body, new_loss.body) == ["replaced", "replaced", "new", "held"]
    legs = floor.get(f"/v2/orders/{entry['id']}", nested="true").body["legs"]
    assert [leg["id"] for leg in legs] == [new_profit.body["id"], new_loss.body["id"]]
    floor.step_until("close")
    assert statuses(floor, new_profit.body, new_loss.body) == ["canceled", "filled"]


def test_a_leg_replaced_before_the_entry_fills_still_waits_for_it() -> None:
    floor = Floor(MONDAY_BEFORE_OPEN)
    entry, profit, loss = family(bracket(floor, up=30, down=30))
    moved = patch(floor, loss, stop_price=str(Decimal(loss["stop_price"]) - 1)).body
    assert statuses(floor, entry, profit, loss, moved) == ["accepted", "held", "replaced", "held"]
    floor.step_until("open")
    assert statuses(floor, entry, profit, moved) == ["filled", "new", "held"]


def test_an_entry_can_be_replaced_and_keeps_its_legs() -> None:
    floor = Floor()
    _, ask = floor.quote("SPY")
    limit = f"{ask - 0.02:.2f}"
    entry, profit, loss = family(floor.buy("SPY", 1, limit=limit, order_class="bracket", **exits(floor, 9, 40)))
    moved = patch(floor, entry, limit_price=f"{ask + 1:.2f}").body
    assert [leg["id"] for leg in moved["legs"]] == [profit["id"], loss["id"]]
    floor.step(1)
    assert statuses(floor, entry, moved, profit, loss) == ["replaced", "filled", "new", "held"]


def test_the_quantity_of_a_family_cannot_be_changed() -> None:
    floor = Floor()
    entry, profit, _ = family(bracket(floor))
    floor.step(1)
    answer = patch(floor, profit, qty=5)
    assert (answer.status, answer.message) == (422, "qty cannot be changed for advanced orders")
    assert patch(floor, entry, limit_price="5").message == "cannot replace order in filled status"


def test_an_exit_cannot_be_moved_to_the_wrong_side_of_the_other() -> None:
    floor = Floor()
    _, profit, loss = family(bracket(floor))
    floor.step(1)
    assert patch(floor, profit, limit_price=loss["stop_price"]).message == (
        "take_profit.limit_price must be > stop_loss.stop_price"
    )


@pytest.mark.parametrize(
    ("change", "status", "code", "message"),
    [
        ({"time_in_force": "ioc"}, 422, 40010001, 'bracket orders support only "day" or "gtc" time_in_force'),
        ({"extended_hours": True}, 403, 40310000, "bracket orders do not support extended hours trading"),
        ({"qty": "1.5"}, 422, 42210000, "fractional orders must be simple orders"),
        ({"qty": None, "notional": "500"}, 422, 42210000, "fractional orders must be simple orders"),
        ({"take_profit": {"limit_price": "5"}}, 422, 42210000, "take_profit.limit_price must be >= base_price + 0.01"),
        ({"stop_loss": {"stop_price": "999"}}, 422, 42210000, "stop_loss.stop_price must be <= base_price - 0.01"),
        ({"take_profit": {"limit_price": "5.123"}}, 422, 42210000, "invalid take_profit.limit_price 5.123. sub-penny"),
        ({"stop_loss": None}, 422, 40010001, "bracket orders require stop_loss.stop_price"),
    ],
)
def test_a_bracket_that_makes_no_sense_is_refused_whole(
    change: dict[str, object], status: int, code: int, message: str
) -> None:
    floor = Floor()
    fields = {"symbol": "SPY", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}
    answer = floor.order(**{**fields, "order_class": "bracket", **exits(floor, 9, 9), **change})
    assert (answer.status, answer.code) == (status, code)
    assert message in answer.message
    assert floor.get("/v2/orders", status="all").body == []


def test_a_refused_exit_is_told_what_it_was_measured_by() -> None:
    floor = Floor()
    wanted = {**exits(floor, 9, 9), "stop_loss": {"stop_price": "10.00"}}
    answer = floor.buy("SPY", 1, limit="10.00", order_class="bracket", **wanted)
    assert answer.message == "stop_loss.stop_price must be <= base_price - 0.01"
    assert answer.body["base_price"] == "10"


def test_brackets_enter_and_ocos_exit() -> None:
    floor = Floor()
    assert oco(floor, 9, 9).message == "oco orders must be exit orders"
    floor.holding("SPY", 10)
    fields = {"side": "sell", "symbol": "SPY", "qty": "1", "type": "market", "time_in_force": "day"}
    assert floor.order(**fields, order_class="bracket", **exits(floor, 9, 9)).message == (
        "bracket orders must be entry orders"
    )
    assert floor.order(**fields, order_class="oco", **exits(floor, 9, 9)).message == "oco orders must be limit orders"


def test_exits_of_one_position_cannot_be_placed_twice() -> None:
    floor = Floor().holding("SPY", 10)
    assert oco(floor, 9, 9).status == 200
    answer = oco(floor, 9, 9)
    assert answer.message == "insufficient qty available for order (requested: 10, available: 0)"


def test_a_family_may_stand_where_a_simple_order_would_be_a_wash_trade() -> None:
    floor = Floor().holding("SPY", 10)
    _, ask = floor.quote("SPY")
    assert floor.sell("SPY", 5, limit=f"{ask + 1:.2f}").status == 200
    assert floor.buy("SPY", 1).message.startswith("potential wash trade")
    assert bracket(floor, qty=1).status == 200


def test_cancel_all_and_nested_listing_treat_a_family_as_its_orders() -> None:
    floor = Floor()
    orders = family(bracket(floor))
    flat, nested = floor.get("/v2/orders").body, floor.get("/v2/orders", nested="true").body
    assert {one["id"] for one in flat} == {one["id"] for one in orders}
    assert all(one["legs"] is None for one in flat)
    assert [one["id"] for one in nested] == [orders[0]["id"]]
    assert [leg["id"] for leg in nested[0]["legs"]] == [one["id"] for one in orders[1:]]
    answer = floor.delete("/v2/orders")
    assert [(entry["status"], entry["body"]["status"]) for entry in answer.body] == [(200, "canceled")] * 3


def test_a_short_position_is_entered_and_left_by_a_bracket_the_other_way_round() -> None:
    account = {"name": "m", "key_id": "PKDEMOPAPER", "secret_key": "demo-paper-secret", "margin_multiplier": 2}
    floor = Floor(accounts=[{**account, "shorting": True}])
    bid, ask = floor.quote("SPY")
    wanted = {"take_profit": {"limit_price": f"{bid - 0.05:.2f}"}, "stop_loss": {"stop_price": f"{ask + 50:.2f}"}}
    orders = family(floor.sell("SPY", 10, order_class="bracket", **wanted))
    floor.step(1)
    assert floor.get("/v2/positions/SPY").body["qty"] == "-10"
    floor.step_until("close")
    assert statuses(floor, *orders) == ["filled", "filled", "canceled"]
    assert floor.get("/v2/positions").body == []


def test_never_two_exits_work_at_the_same_second() -> None:
    floor = Floor()
    orders = family(bracket(floor, up=0.4, down=0.4, tif="gtc"))
    for _ in range(300):
        floor.step(7)
        assert sum(book(floor, one).status in WORKING for one in orders[1:]) <= 1
