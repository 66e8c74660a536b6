"""Orders of every type and class as Alpaca's bodies, replacements, and lists with their legs in the right place."""

import json
from decimal import Decimal
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from broker_desk import Desk, Wire, always, refusal
from builders import a_word, an_order
from runtime_answers import ORDER
from tradingbot_runtime.broker.legs import flattened, rolled_up
from tradingbot_runtime.broker.port import OrderInDoubt, OrderRejected
from tradingbot_runtime.core.values import BrokerOrder, OrderClass, OrderType, Side, TimeInForce

TYPES: dict[OrderType, dict[str, Decimal]] = {
    OrderType.MARKET: {},
    OrderType.LIMIT: {"limit_price": Decimal("100.10")},
    OrderType.STOP: {"stop_price": Decimal("90.5")},
    OrderType.STOP_LIMIT: {"stop_price": Decimal("90.5"), "limit_price": Decimal("90.25")},
    OrderType.TRAILING_STOP: {"trail_percent": Decimal("1.5")},
}


def of_type(kind: OrderType, **changes: Any) -> Any:
    return an_order(**({"type": kind, "limit_price": None} | TYPES[kind] | changes))


def body_of(desk: Desk) -> Any:
    return json.loads(desk.wire.requests[-1].body or b"")


@pytest.mark.parametrize("kind", OrderType)
@pytest.mark.parametrize("time_in_force", TimeInForce)
async def test_every_type_and_time_in_force_is_sent_with_its_own_prices(
    kind: OrderType, time_in_force: TimeInForce
) -> None:
    desk = Desk((200, ORDER))
    await desk.broker.submit(of_type(kind, time_in_force=time_in_force), always)
    body = body_of(desk)
    assert (body["type"], body["time_in_force"]) == (kind.value, time_in_force.value)
    prices = {name: value for name, value in body.items() if name.endswith(("_price", "_percent"))}
    assert prices == {name: str(value) for name, value in TYPES[kind].items()}


async def test_a_bracket_has_both_exits() -> None:
    desk = Desk((200, ORDER))
    await desk.broker.submit(
        an_order(
            order_class=OrderClass.BRACKET,
            take_profit_price=Decimal("110.50"),
            stop_loss_price=Decimal("90"),
            stop_loss_limit_price=Decimal("89.90"),
        ),
        always,
    )
    body = body_of(desk)
    assert body["order_class"] == "bracket"
    assert body["take_profit"] == {"limit_price": "110.50"}
    assert body["stop_loss"] == {"stop_price": "90", "limit_price": "89.90"}


async def test_an_oco_has_its_limit_in_the_take_profit() -> None:
    desk = Desk((200, ORDER))
    await desk.broker.submit(
        an_order(order_class=OrderClass.OCO, side=Side.SELL, limit_price=Decimal(110), stop_loss_price=Decimal(90)),
        always,
    )
    body = body_of(desk)
    assert (body["take_profit"], body["stop_loss"]) == ({"limit_price": "110"}, {"stop_price": "90"})
    assert "limit_price" not in body


async def test_an_oto_has_one_exit() -> None:
    desk = Desk((200, ORDER))
    await desk.broker.submit(of_type(OrderType.MARKET, order_class=OrderClass.OTO, stop_loss_price=Decimal(90)), always)
    body = body_of(desk)
    assert (body["order_class"], body["stop_loss"], "take_profit" in body) == ("oto", {"stop_price": "90"}, False)


@pytest.mark.parametrize(
    "changes",
    [
        {"qty": Decimal(0)},
        {"qty": Decimal(-1)},
        {"limit_price": Decimal("NaN")},
        {"limit_price": None},
        {"type": OrderType.STOP, "limit_price": None},
        {"type": OrderType.TRAILING_STOP, "limit_price": None},
        {"order_class": OrderClass.BRACKET, "take_profit_price": Decimal(110)},
        {"order_class": OrderClass.OTO},
        {"order_class": OrderClass.OTO, "stop_loss_price": Decimal(0)},
    ],
)
async def test_what_makes_no_sense_is_refused_before_it_is_sent(changes: dict[str, Any]) -> None:
    desk = Desk((200, ORDER))
    with pytest.raises(OrderRejected, match="was not sent"):
        await desk.broker.submit(an_order(**changes), always)
    assert desk.sent == []


async def test_a_replacement_is_sent_once_with_all_that_may_differ_and_a_new_id() -> None:
    order = of_type(OrderType.STOP_LIMIT, sequence=2, qty=Decimal("7.5"), time_in_force=TimeInForce.GTC)
    desk = Desk((200, {**ORDER, "client_order_id": order.client_order_id, "replaces": str(ORDER["id"])}))
    taken = await desk.broker.replace(order, str(ORDER["id"]), always)
    assert desk.sent == [f"PATCH v2/orders/{ORDER['id']}"]
    assert body_of(desk) == {
        "qty": "7.5",
        "limit_price": "90.25",
        "stop_price": "90.5",
        "time_in_force": "gtc",
        "client_order_id": order.client_order_id,
    }
    assert taken.replaces == ORDER["id"]


async def test_a_trail_is_replaced_by_its_own_name() -> None:
    order = of_type(OrderType.TRAILING_STOP, sequence=2)
    desk = Desk((200, {**ORDER, "client_order_id": order.client_order_id}))
    await desk.broker.replace(order, str(ORDER["id"]), always)
    assert body_of(desk)["trail"] == "1.5"


async def test_a_replacement_that_answers_of_another_order_is_in_doubt() -> None:
    with pytest.raises(OrderInDoubt):
        await Desk((200, ORDER)).broker.replace(an_order(2), str(ORDER["id"]), always)


# ---------------------------------------------------------------------- lists

PARENT, STOP_LEG, LIMIT_LEG = (f"00000000-0000-0000-0000-00000000000{number}" for number in (1, 2, 3))


def an_answer(order_id: str, status: str, *legs: dict[str, Any], kind: str = "limit") -> dict[str, Any]:
    return ORDER | {
        "id": order_id,
        "client_order_id": an_order().client_order_id if order_id == PARENT else f"theirs-{order_id[-1]}",
        "status": status,
        "type": kind,
        "order_class": "bracket",
        "legs": list(legs) or None,
    }


class Book(Wire):
    """Lists a bracket as Alpaca does: legs are rolled up only under a parent that the list itself holds."""

    def __init__(self, parent_status: str) -> None:
        super().__init__()
        self.parent_status = parent_status

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        url = request.url or ""
        legs = [an_answer(STOP_LEG, "held", kind="stop"), an_answer(LIMIT_LEG, "new")]
        parent_is_listed = self.parent_status == "new" or "status=all" in url
        if "nested=True" in url:
            listed = [an_answer(PARENT, self.parent_status, *legs)] if parent_is_listed else []
        else:
            # A held leg is not among the open orders.
            listed = [an_answer(PARENT, self.parent_status)] * parent_is_listed + legs[1:]
        self.answers = [(200, listed)]
        return super().send(request, *args, **kwargs)


async def test_an_open_parent_has_its_legs_inside() -> None:
    (parent,) = await Desk(wire=Book("new")).broker.open_orders()
    assert [leg.broker_id for leg in parent.legs] == [STOP_LEG, LIMIT_LEG]
    assert [leg.status for leg in parent.legs] == ["held", "new"]


async def test_the_open_exits_of_a_filled_entry_are_not_hidden() -> None:
    desk = Desk(wire=Book("filled"))
    assert [order.broker_id for order in await desk.broker.open_orders()] == [LIMIT_LEG]
    ours = await desk.broker.orders_since(None, "tb-")
    assert [leg.broker_id for leg in ours[0].legs] == [STOP_LEG, LIMIT_LEG]


async def test_open_orders_and_ours_together_hold_each_order_once() -> None:
    desk = Desk(wire=Book("filled"))
    listed = rolled_up([*await desk.broker.open_orders(), *await desk.broker.orders_since(None, "tb-")])
    assert [order.broker_id for order in listed] == [PARENT]
    assert len(list(flattened(listed))) == 3


async def test_simple_orders_are_asked_for_once() -> None:
    desk = Desk((200, [ORDER]))
    await desk.broker.open_orders()
    assert len(desk.sent) == 1


async def test_the_brackets_of_others_are_not_rolled_up() -> None:
    desk = Desk((200, [ORDER | {"client_order_id": "theirs", "order_class": "bracket"}]))
    assert [order.client_order_id for order in await desk.broker.open_orders()] == ["theirs"]
    assert len(desk.sent) == 1


async def test_ended_orders_may_be_asked_for_by_symbol() -> None:
    desk = Desk((200, [ORDER]))
    await desk.broker.orders_since(None, "tb-", symbols=("AAPL", "MSFT"))
    await desk.broker.orders_since(None, "tb-")
    assert "symbols=AAPL%2CMSFT" in desk.sent[0]
    assert "symbols" not in desk.sent[1]


async def test_an_order_that_comes_without_its_legs_is_asked_for_again_by_its_id() -> None:
    whole = an_answer(PARENT, "filled", an_answer(STOP_LEG, "held"))
    desk = Desk((200, an_answer(PARENT, "filled")), (200, whole))
    found = await desk.broker.order(an_order().client_order_id)
    assert found is not None
    assert [leg.broker_id for leg in found.legs] == [STOP_LEG]
    assert desk.sent[-1].startswith(f"GET v2/orders/{PARENT}?nested=")


async def test_an_order_can_be_asked_for_by_the_brokers_id() -> None:
    found = await Desk((200, ORDER)).broker.order_by_id(str(ORDER["id"]))
    assert found is not None
    assert found.client_order_id == an_order().client_order_id
    assert await Desk((404, refusal(40410000, "order not found"))).broker.order_by_id(str(ORDER["id"])) is None


async def test_replace_chains_are_read_in_both_directions() -> None:
    chain = {**ORDER, "replaces": STOP_LEG, "replaced_by": LIMIT_LEG}
    (order,) = await Desk((200, [chain])).broker.open_orders()
    assert (order.replaces, order.replaced_by) == (STOP_LEG, LIMIT_LEG)


@st.composite
def lists_of_orders(draw: st.DrawFn) -> list[BrokerOrder]:
    """Parents and legs by consistent families, each order perhaps alone, perhaps inside its parent, perhaps both."""
    listed: list[BrokerOrder] = []
    for family in range(draw(st.integers(0, 4))):
        legs = tuple(
            a_word(an_order(), "held", broker_id=f"leg-{family}-{number}") for number in range(draw(st.integers(0, 2)))
        )
        listed += [leg for leg in legs if draw(st.booleans())]
        listed += [a_word(an_order(), "new", broker_id=f"parent-{family}", legs=legs)] * draw(st.integers(0, 2))
    return draw(st.permutations(listed))


@settings(max_examples=100, deadline=None)
@given(lists_of_orders())
def test_rolling_up_loses_no_order_and_shows_none_twice(listed: list[BrokerOrder]) -> None:
    rolled = rolled_up(listed)
    ids = [order.broker_id for order in flattened(rolled)]
    assert sorted(ids) == sorted({order.broker_id for order in flattened(listed)})
    assert rolled_up(rolled) == rolled
