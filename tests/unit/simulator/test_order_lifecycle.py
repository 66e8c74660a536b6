"""The life of an order as a table: every status with every event, and what may be forced from outside."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from alpaca_simulator.exchange.accounts import Account
from alpaca_simulator.exchange.lifecycle import (
    PAUSES,
    REQUESTED,
    TERMINAL,
    TRANSITIONS,
    Event,
    ImpossibleTransitionError,
    Status,
)
from alpaca_simulator.exchange.orders import Order
from alpaca_simulator.exchange.refusals import Refusal
from unit.simulator.floor import MONDAY_NOON, Answer, Floor

LATER = MONDAY_NOON + timedelta(seconds=9)
ONLY_TRADES = {Event.FILL, Event.PARTIAL_FILL}
LATE_ANSWERS = {Event.ORDER_CANCEL_REJECTED, Event.ORDER_REPLACE_REJECTED}

#: How each status is reached from a resting order by forcing events, one after the other.
PATHS: dict[Status, tuple[Event, ...]] = {
    Status.NEW: (),
    Status.ACCEPTED_FOR_BIDDING: (Event.ACCEPTED_FOR_BIDDING,),
    Status.ACCEPTED: (Event.ACCEPTED_FOR_BIDDING, Event.ACCEPTED),
    Status.PENDING_NEW: (Event.ACCEPTED_FOR_BIDDING, Event.PENDING_NEW),
    Status.PENDING_REVIEW: (Event.ACCEPTED_FOR_BIDDING, Event.PENDING_REVIEW),
    Status.PENDING_CANCEL: (Event.PENDING_CANCEL,),
    Status.PENDING_REPLACE: (Event.PENDING_REPLACE,),
    Status.STOPPED: (Event.STOPPED,),
    Status.SUSPENDED: (Event.SUSPENDED,),
    Status.CALCULATED: (Event.CALCULATED,),
    Status.DONE_FOR_DAY: (Event.DONE_FOR_DAY,),
    Status.CANCELED: (Event.CANCELED,),
    Status.EXPIRED: (Event.EXPIRED,),
    Status.REJECTED: (Event.REJECTED,),
    Status.REPLACED: (Event.REPLACED,),
}


def books_of(floor: Floor) -> Account:
    return next(iter(floor.exchange.accounts.values()))


def live(floor: Floor, answer: Answer) -> Order:
    order = books_of(floor).order(UUID(answer.body["id"]))
    assert order is not None
    return order


def brought_to(status: Status, floor: Floor) -> Order:
    """A new order on `floor` that has come to `status`; its two shares hold back 20 dollars while it is open."""
    order = live(floor, floor.buy("SPY", 2, limit=10))
    for event in PATHS[status]:
        floor.exchange.force(order, event)
    assert order.status is status
    return order


def test_the_table_knows_every_status_and_lets_no_ended_order_move() -> None:
    assert set(TRANSITIONS) == set(Status)
    for status in TERMINAL:
        assert set(TRANSITIONS[status]) == LATE_ANSWERS
        assert set(TRANSITIONS[status].values()) == {status}
    for status in set(Status) - TERMINAL:
        assert Event.CANCELED in TRANSITIONS[status]


def test_every_status_can_be_reached_by_some_event() -> None:
    reached = {following for moves in TRANSITIONS.values() for following in moves.values()}
    assert reached >= set(Status) - {Status.HELD}
    assert Status.HELD in TRANSITIONS


@pytest.mark.parametrize("status", PATHS)
def test_an_order_moves_as_the_table_says_and_in_no_other_way(status: Status) -> None:
    original = brought_to(status, Floor())
    for event in Event:
        order = original.snapshot()
        if event not in TRANSITIONS[status]:
            with pytest.raises(ImpossibleTransitionError):
                order.move(event, LATER)
            assert order == original
            continue
        following = TRANSITIONS[status][event]
        order.move(event, LATER)
        assert order.status is (Status.NEW if following is None else following)
        assert order.updated_at == LATER


@pytest.mark.parametrize("status", PATHS)
def test_what_cannot_happen_is_refused_when_it_is_forced(status: Status) -> None:
    floor = Floor()
    for event in Event:
        order = brought_to(status, floor)
        floor.updates()
        before = Decimal(floor.account()["buying_power"])
        if status not in TERMINAL and event in TRANSITIONS[status] and event not in ONLY_TRADES:
            floor.exchange.force(order, event)
            assert floor.events() == [event]
            freed = 0 if order.is_open else 20
            assert Decimal(floor.account()["buying_power"]) == before + freed
        else:
            with pytest.raises(Refusal):
                floor.exchange.force(order, event)
            assert order.status is status
            assert floor.events() == []


@pytest.mark.parametrize("status", [*sorted(PAUSES - REQUESTED), Status.ACCEPTED_FOR_BIDDING])
def test_an_order_that_is_held_up_is_not_filled_until_it_is_new_again(status: Status) -> None:
    floor = Floor()
    order = live(floor, floor.buy("SPY", 2))
    floor.exchange.force(order, PATHS[status][0])
    floor.step(60)
    assert order.filled_quantity == 0
    floor.exchange.force(order, Event.NEW)
    floor.step(1)
    assert order.status is Status.FILLED


def test_an_order_that_is_being_canceled_is_filled_meanwhile() -> None:
    floor = Floor()
    order = live(floor, floor.buy("SPY", 2))
    floor.exchange.force(order, Event.PENDING_CANCEL)
    floor.step(1)
    assert order.status is Status.FILLED


def test_a_rejected_request_leaves_an_order_where_it_was() -> None:
    floor = Floor(partial_fill_probability=0.95)
    order = live(floor, floor.buy("SPY", 64))
    floor.step(1)
    assert order.status is Status.PARTIALLY_FILLED
    floor.exchange.force(order, Event.PENDING_CANCEL)
    floor.exchange.force(order, Event.ORDER_CANCEL_REJECTED)
    assert order.status is Status.PARTIALLY_FILLED


def test_an_order_that_is_done_for_the_day_comes_back_at_the_next_open() -> None:
    floor = Floor()
    order = live(floor, floor.buy("SPY", 2, limit=10, tif="gtc"))
    floor.exchange.force(order, Event.DONE_FOR_DAY)
    floor.step_until("close")
    assert order.status is Status.DONE_FOR_DAY
    floor.step_until("open")
    assert order.status is Status.NEW
    assert floor.events() == ["new", "done_for_day", "new"]


def test_a_held_exit_cannot_be_forced_to_trade_beside_the_other() -> None:
    floor = Floor()
    bid, ask = floor.quote("SPY")
    exits = {"take_profit": {"limit_price": f"{ask + 9:.2f}"}, "stop_loss": {"stop_price": f"{bid - 9:.2f}"}}
    entry = floor.buy("SPY", 2, order_class="bracket", **exits)
    leg = books_of(floor).order(UUID(entry.body["legs"][1]["id"]))
    assert leg is not None
    with pytest.raises(Refusal, match="waits for the others"):
        floor.exchange.force(leg, Event.NEW)
    floor.exchange.force(leg, Event.RESTATED)
    assert leg.status is Status.HELD
