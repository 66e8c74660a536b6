"""Replacing and cancelling: new ids, what may change, and races between a request and a fill."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from unit.simulator.floor import MONDAY_BEFORE_OPEN, MONDAY_NOON, Answer, Floor


def patch(floor: Floor, order: Answer, **fields: object) -> Answer:
    return floor.send("PATCH", f"/v2/orders/{order.body['id']}", json.dumps(fields).encode())


def body(floor: Floor, order: Answer) -> Any:
    return floor.get(f"/v2/orders/{order.body['id']}").body


def slow(**milliseconds: int) -> Floor:
    return Floor(exchange={f"{name}_delay_milliseconds": value for name, value in milliseconds.items()})


def test_a_replaced_order_gets_a_new_id_and_both_point_to_each_other() -> None:
    floor = Floor()
    old = floor.buy("SPY", 2, limit=10, tif="gtc")
    new = patch(floor, old, limit_price="11", qty=3, client_order_id="second")
    assert new.status == 200
    assert new.body["id"] != old.body["id"]
    assert (new.body["replaces"], new.body["client_order_id"]) == (old.body["id"], "second")
    assert (new.body["qty"], new.body["limit_price"]) == ("3", "11")
    before, after = body(floor, old), body(floor, new)
    assert (before["status"], before["replaced_by"]) == ("replaced", new.body["id"])
    assert before["replaced_at"] == "2026-03-02T17:00:00Z"
    assert (after["status"], after["time_in_force"]) == ("new", "gtc")
    assert floor.events() == ["new", "replaced", "new"]
    assert floor.account()["buying_power"] == "99967"


@pytest.mark.parametrize(
    ("order", "change", "shown"),
    [
        ({"type": "stop", "stop_price": "900"}, {"stop_price": "901"}, {"stop_price": "901"}),
        (
            {"type": "stop_limit", "stop_price": "900", "limit_price": "902"},
            {"stop_price": "901", "limit_price": "903"},
            {"stop_price": "901", "limit_price": "903"},
        ),
        ({"type": "trailing_stop", "trail_price": "5"}, {"trail": "7"}, {"trail_price": "7", "trail_percent": None}),
        ({"type": "trailing_stop", "trail_percent": "5"}, {"trail": "7"}, {"trail_percent": "7", "trail_price": None}),
        ({"type": "limit", "limit_price": "5"}, {"time_in_force": "gtc"}, {"time_in_force": "gtc"}),
        ({"type": "market"}, {"qty": "3"}, {"qty": "3"}),
    ],
)
def test_what_fits_the_type_can_be_changed(
    order: dict[str, str], change: dict[str, str], shown: dict[str, str | None]
) -> None:
    floor = Floor()
    old = floor.order(**{"symbol": "SPY", "qty": "2", "side": "buy", "time_in_force": "day", **order})
    new = patch(floor, old, **change)
    assert new.status == 200
    assert {name: body(floor, new)[name] for name in shown} == shown


def test_a_longer_time_in_force_moves_the_expiry() -> None:
    floor = Floor()
    old = floor.buy("SPY", 1, limit=10)
    new = patch(floor, old, time_in_force="gtc")
    assert body(floor, old)["expires_at"] == "2026-03-02T21:00:00Z"
    assert new.body["expires_at"].startswith("2026-05-29")


def test_a_trailing_stop_keeps_its_high_water_mark() -> None:
    floor = Floor().holding("SPY", 1)
    fields = {"symbol": "SPY", "qty": "1", "side": "sell", "type": "trailing_stop", "time_in_force": "day"}
    old = floor.order(trail_price="50", **fields)
    floor.step(1800)
    mark = body(floor, old)["hwm"]
    new = patch(floor, old, trail="60")
    assert body(floor, new)["hwm"] == mark
    assert Decimal(body(floor, new)["stop_price"]) == Decimal(mark) - 60


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({}, 42210000, "order parameters are not changed"),
        ({"limit_price": "10"}, 42210000, "order parameters are not changed"),
        ({"stop_price": "9"}, 40010001, "limit orders must not have stop_price"),
        ({"trail": "9"}, 40010001, "limit orders must not have trail"),
        ({"qty": "0"}, 40010001, "qty must be > 0"),
        ({"qty": "1.5"}, 42210000, "qty must be integer"),
        ({"limit_price": "10.001"}, 42210000, "sub-penny"),
        ({"limit_price": "cheap"}, 40010001, "invalid limit_price"),
        ({"time_in_force": "opg"}, 42210000, "can only be replaced with"),
        ({"client_order_id": "first"}, 42210000, "order parameters are not changed"),
        ({"client_order_id": "first", "qty": 2}, 40010001, "client_order_id must be unique"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], code: int, message: str) -> None:
    floor = Floor()
    order = floor.buy("SPY", 1, limit=10, client_order_id="first")
    answer = patch(floor, order, **change)
    assert (answer.status, answer.code) == (422, code)
    assert message in answer.message
    assert floor.status(order) == "new"


def test_an_order_no_exchange_has_cannot_be_replaced() -> None:
    floor = Floor(MONDAY_BEFORE_OPEN)
    order = floor.buy("SPY", 1, limit=10)
    assert patch(floor, order, limit_price="11").message == "cannot replace order in accepted status"


def test_an_ended_order_cannot_be_replaced() -> None:
    floor = Floor()
    filled, canceled, replaced = floor.buy("SPY", 1), floor.buy("TLT", 1, limit=5), floor.buy("GLD", 1, limit=5)
    floor.step(1)
    floor.delete(f"/v2/orders/{canceled.body['id']}")
    patch(floor, replaced, limit_price="6")
    assert patch(floor, filled, qty=2).message == "cannot replace order in filled status"
    assert patch(floor, canceled, qty=2).message == "cannot replace order in canceled status"
    assert patch(floor, replaced, qty=2).message == "order already replaced"


def test_the_new_order_works_for_what_the_old_one_has_not_filled() -> None:
    floor = Floor(partial_fill_probability=0.95)
    _, ask = floor.quote("SPY")
    order = floor.buy("SPY", 64, limit=f"{ask + 5:.2f}")
    floor.step(1)
    filled = int(body(floor, order)["filled_qty"])
    assert 0 < filled < 64
    assert patch(floor, order, qty=filled).message == "qty must be > filled_qty"
    new = patch(floor, order, qty=filled + 3)
    assert (new.body["qty"], new.body["filled_qty"]) == ("3", "0")
    floor.step(60)
    assert floor.get("/v2/positions/SPY").body["qty"] == str(filled + 3)
    assert floor.account()["buying_power"] == floor.account()["cash"]


def test_a_replacement_needs_the_means_for_the_difference() -> None:
    floor = Floor()
    order = floor.buy("SPY", 900, limit=100)
    assert patch(floor, order, qty=1001).message == "insufficient buying power"
    assert patch(floor, order, qty=1000).status == 200
    assert floor.account()["buying_power"] == "0"
    held = Floor().holding("SPY", 10)
    sale = held.sell("SPY", 10, limit=900)
    assert patch(held, sale, qty=11).message.startswith("insufficient qty available for order (requested: 11")
    assert patch(held, sale, qty=4).status == 200
    assert held.get("/v2/positions/SPY").body["qty_available"] == "6"


def test_a_replacement_that_would_trade_with_an_own_order_is_a_wash_trade() -> None:
    floor = Floor().holding("SPY", 10)
    floor.sell("SPY", 5, limit=900)
    order = floor.buy("SPY", 1, limit=10)
    assert patch(floor, order, limit_price="900").message.startswith("potential wash trade")


def test_an_order_is_pending_new_until_it_is_acknowledged() -> None:
    floor = slow(new=2500)
    order = floor.buy("SPY", 1)
    floor.step(2)
    assert floor.status(order) == "pending_new"
    assert floor.events() == []
    floor.step(1)
    assert floor.status(order) == "filled"
    new, fill = floor.updates()
    assert new.at == MONDAY_NOON + timedelta(milliseconds=2500)
    assert fill.at == MONDAY_NOON + timedelta(seconds=3)


def test_a_cancel_that_is_acknowledged_in_time_ends_the_order() -> None:
    floor = slow(cancel=400)
    order = floor.buy("SPY", 1)
    assert floor.delete(f"/v2/orders/{order.body['id']}").status == 204
    assert floor.status(order) == "pending_cancel"
    again = floor.delete(f"/v2/orders/{order.body['id']}")
    assert (again.status, again.message) == (422, "order pending cancel")
    assert patch(floor, order, qty=2).message == "cannot replace order in pending_cancel status"
    floor.step(1)
    assert floor.status(order) == "canceled"
    assert floor.events() == ["new", "pending_cancel", "canceled"]


def test_a_fill_that_beats_a_cancel_rejects_it() -> None:
    floor = slow(cancel=1500)
    order = floor.buy("SPY", 1)
    floor.delete(f"/v2/orders/{order.body['id']}")
    floor.step(2)
    assert floor.status(order) == "filled"
    updates = floor.updates()
    assert [update.event for update in updates] == ["new", "pending_cancel", "fill", "order_cancel_rejected"]
    assert updates[-1].at == MONDAY_NOON + timedelta(milliseconds=1500)
    assert updates[-1].order.status == "filled"


def test_what_is_filled_while_a_cancel_is_under_way_stays_filled() -> None:
    floor = Floor(partial_fill_probability=0.95, exchange={"cancel_delay_milliseconds": 1500})
    order = floor.buy("SPY", 64)
    floor.delete(f"/v2/orders/{order.body['id']}")
    floor.step(1)
    assert body(floor, order)["status"] == "pending_cancel"
    floor.step(1)
    assert (body(floor, order)["status"], body(floor, order)["filled_qty"]) == ("canceled", "32")


def test_a_replacement_waits_beside_the_old_order_and_holds_back_the_larger_of_the_two() -> None:
    floor = slow(replace=1500)
    old = floor.buy("SPY", 10, limit=100)
    new = patch(floor, old, qty=30)
    assert (floor.status(old), floor.status(new)) == ("pending_replace", "pending_new")
    assert floor.account()["buying_power"] == "97000"
    assert floor.delete(f"/v2/orders/{old.body['id']}").message == "order pending replace"
    assert floor.delete(f"/v2/orders/{new.body['id']}").message == "order chain not fully replaced"
    assert patch(floor, new, qty=40).message == "order chain not fully replaced"
    floor.step(2)
    assert (floor.status(old), floor.status(new)) == ("replaced", "new")
    assert floor.events() == ["new", "pending_replace", "replaced", "new"]
    assert floor.account()["buying_power"] == "97000"


def test_a_fill_that_beats_a_replacement_rejects_it() -> None:
    floor = slow(replace=1500)
    _, ask = floor.quote("SPY")
    old = floor.buy("SPY", 10, limit=f"{ask + 1:.2f}")
    new = patch(floor, old, limit_price="10")
    floor.step(2)
    assert (floor.status(old), floor.status(new)) == ("filled", "rejected")
    assert floor.events() == ["new", "pending_replace", "fill", "order_replace_rejected", "rejected"]
    assert floor.account()["buying_power"] == floor.account()["cash"]


def test_fills_that_leave_nothing_for_a_smaller_replacement_reject_it() -> None:
    floor = Floor(partial_fill_probability=0.95, exchange={"replace_delay_milliseconds": 1500})
    old = floor.buy("SPY", 64)
    new = patch(floor, old, qty=20)
    floor.step(1)
    assert body(floor, old)["filled_qty"] == "32"
    floor.step(1)
    assert floor.status(new) == "rejected"
    assert floor.status(old) in {"partially_filled", "filled"}
    assert "order_replace_rejected" in floor.events()


def test_a_stop_loss_whose_replacement_is_under_way_still_protects() -> None:
    floor = slow(replace=600_000)
    bid, ask = floor.quote("SPY")
    exits = {"take_profit": {"limit_price": f"{ask + 50:.2f}"}, "stop_loss": {"stop_price": f"{bid - 0.05:.2f}"}}
    entry = floor.buy("SPY", 10, order_class="bracket", **exits)
    floor.step(1)
    profit, loss = (Answer(200, leg, entry.raw) for leg in entry.body["legs"])
    moved = patch(floor, loss, stop_price=f"{bid - 90:.2f}")
    assert moved.status == 200
    floor.step(590)
    assert (floor.status(profit), floor.status(loss)) == ("canceled", "filled")
    floor.step(60)
    assert floor.status(moved) == "rejected"
    assert floor.get("/v2/positions").body == []
