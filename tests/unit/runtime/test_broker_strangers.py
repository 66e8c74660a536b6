"""What others do on the same account never hides what is the bot's; what may be the bot's is never skipped."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from broker_desk import Answer, Desk, Wire
from builders import OPEN
from runtime_answers import ORDER
from tradingbot_runtime.broker import listings
from tradingbot_runtime.broker.listings import PAGE
from tradingbot_runtime.broker.port import BrokerUnavailable
from tradingbot_runtime.broker.strangers import MAX_NAMED

MULTI_LEG = {"symbol": None, "side": "", "order_class": "mleg", "asset_class": "", "legs": []}

ODD: list[dict[str, Any]] = [
    MULTI_LEG,
    {"symbol": None},
    {"side": None},
    {"side": "sell_short"},
    {"symbol": ["BTC", "USD"], "asset_class": "crypto"},
    {"created_at": None},
    {"created_at": "x"},
    {"status": None},
    {"replaced_by": "x"},
    {"qty": "ten"},
    {"filled_qty": "NaN"},
    {"id": "not a uuid"},
    {"legs": 5},
    {"legs": [{**ORDER, "symbol": None}]},
]


def anothers(**changes: Any) -> dict[str, Any]:
    return ORDER | {"id": "71e69015-8549-4bfd-b9c3-01e75843f47d", "client_order_id": "a-persons-own"} | changes


@pytest.mark.parametrize("odd", ODD, ids=str)
async def test_anothers_order_that_cannot_be_read_hides_no_other(odd: dict[str, Any]) -> None:
    desk = Desk((200, [anothers(**odd), ORDER, anothers(**odd)]))
    assert [order.broker_id for order in await desk.broker.open_orders()] == [ORDER["id"]]
    assert [order.broker_id for order in await desk.broker.orders_since(None, "tb-")] == [ORDER["id"]]
    assert desk.broker.health().unreadable_skipped == 4


@pytest.mark.parametrize("odd", ODD, ids=str)
async def test_one_of_ours_that_cannot_be_read_is_never_skipped(odd: dict[str, Any]) -> None:
    desk = Desk((200, [{**ORDER, **odd}]))
    with pytest.raises(BrokerUnavailable):
        await desk.broker.open_orders()
    assert desk.broker.health().unreadable_skipped == 0


UNNEEDED: list[dict[str, Any]] = [
    {"asset_class": ["swaps"]},
    {"extended_hours": None},
    {"expires_at": "x"},
    {"replaced_by": ""},
    {"time_in_force": "fortnight", "position_intent": 7},
]


@pytest.mark.parametrize("odd", UNNEEDED, ids=str)
async def test_what_nobody_here_needs_hides_no_order(odd: dict[str, Any]) -> None:
    desk = Desk((200, [{**ORDER, **odd}]))
    assert [order.broker_id for order in await desk.broker.open_orders()] == [ORDER["id"]]


@pytest.mark.parametrize("entry", [7, None, {}, {**ORDER, "client_order_id": None}])
async def test_an_order_that_may_be_anybodys_is_not_skipped_unless_it_is_of_no_stock(entry: object) -> None:
    with pytest.raises(BrokerUnavailable):
        await Desk((200, [entry])).broker.open_orders()
    nameless = anothers(client_order_id=None, asset_class="us_option")
    assert await Desk((200, [nameless, anothers(client_order_id=None, **MULTI_LEG)])).broker.open_orders() == ()


async def test_whoever_is_skipped_is_named_once_and_not_more_than_so_many_are_named() -> None:
    odd = [anothers(id=f"00000000-0000-0000-0000-{number:012d}", side="\ud800") for number in range(MAX_NAMED + 50)]
    desk = Desk((200, odd))
    with structlog.testing.capture_logs() as logged:
        await desk.broker.open_orders()
        await desk.broker.open_orders()
    assert len(logged) == MAX_NAMED
    assert len({line["message"] for line in logged}) == MAX_NAMED
    assert "00000000-0000-0000-0000-000000000000 is another's" in logged[0]["message"]
    assert desk.broker.health().unreadable_skipped == 2 * len(odd)
    for line in logged:
        line["message"].encode()


POSITION = {
    "symbol": "AAPL",
    "asset_class": "us_equity",
    "qty": "10",
    "qty_available": "10",
    "side": "long",
    "avg_entry_price": "99.5",
}


@pytest.mark.parametrize(
    "odd",
    [
        {"asset_class": "us_option", "qty": None},
        {"asset_class": "crypto", "avg_entry_price": "", "symbol": "BTCUSD"},
        {"asset_class": "a kind that is new", "qty": "NaN"},
        {"asset_class": None, "symbol": "AAPL260619C00150000", "qty": "ten"},
        {"asset_class": None, "symbol": "BTC/USD", "avg_entry_price": None},
    ],
)
async def test_a_position_of_no_stock_that_cannot_be_read_hides_no_other(odd: dict[str, Any]) -> None:
    desk = Desk((200, [{**POSITION, **odd}, POSITION]))
    assert [position.symbol for position in await desk.broker.positions()] == ["AAPL"]
    assert desk.broker.health().unreadable_skipped == 1


@pytest.mark.parametrize("odd", [{"qty": "NaN"}, {"asset_class": None, "qty": None}, {"avg_entry_price": "?"}])
async def test_a_position_of_a_stock_is_never_skipped(odd: dict[str, Any]) -> None:
    with pytest.raises(BrokerUnavailable):
        await Desk((200, [{**POSITION, **odd}])).broker.positions()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted({*ORDER, "legs", "hwm"} - {"client_order_id"})), JSON))
def test_whatever_a_strangers_order_holds_ours_is_read(odd: dict[str, Any]) -> None:
    desk = Desk((200, [anothers(**odd), ORDER]))
    found = asyncio.run(desk.broker.orders_since(None, "tb-"))
    assert [order.broker_id for order in found] == [ORDER["id"]]


# ---------------------------------------------------------------------- whole lists or none


def numbered(number: int, at: datetime, **changes: Any) -> dict[str, Any]:
    moment = at.isoformat()
    return ORDER | {
        "id": f"00000000-0000-0000-0000-{number:012d}",
        "client_order_id": f"tb-{number}",
        "created_at": moment,
        "submitted_at": moment,
        **changes,
    }


class Pages(Wire):
    """Pages through a list of orders as Alpaca does: after an instant, oldest first, 500 at most."""

    def __init__(self, orders: list[dict[str, Any]]) -> None:
        super().__init__()
        self._orders = orders

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        query = parse_qs(urlsplit(request.url or "").query)
        after = query.get("after", [""])[0]
        later = [one for one in self._orders if not after or _at(one) > datetime.fromisoformat(after)]
        answer: Answer = (200, later[: int(query["limit"][0])])
        self.answers = [answer]
        return super().send(request, *args, **kwargs)


def _at(order: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(str(order["submitted_at"]))


async def test_more_orders_than_can_be_read_are_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "MAX_PAGES", 2)
    orders = [numbered(number, OPEN + timedelta(seconds=number)) for number in range(3 * PAGE)]
    desk = Desk(wire=Pages(orders))
    with pytest.raises(BrokerUnavailable, match="more than 2 pages; only 999 could be read, and a part is not taken"):
        await desk.broker.open_orders()
    assert len(desk.sent) == 2
    assert len(await Desk(wire=Pages(orders[: PAGE + 100])).broker.open_orders()) == PAGE + 100


async def test_more_orders_of_one_moment_than_a_page_holds_are_no_answer() -> None:
    orders = [numbered(number, OPEN) for number in range(PAGE + 1)]
    with pytest.raises(BrokerUnavailable, match="of one moment"):
        await Desk(wire=Pages(orders)).broker.open_orders()
    assert len(await Desk(wire=Pages(orders[: PAGE - 1])).broker.open_orders()) == PAGE - 1


async def test_a_page_full_of_strangers_that_cannot_be_read_does_not_end_the_list() -> None:
    odd = {"side": "sell_short"}
    strangers = [
        numbered(number, OPEN + timedelta(seconds=number), client_order_id=f"other-{number}", **odd)
        for number in range(2 * PAGE)
    ]
    ours = numbered(2 * PAGE, OPEN + timedelta(hours=1))
    (found,) = await Desk(wire=Pages([*strangers, ours])).broker.open_orders()
    assert found.client_order_id == f"tb-{2 * PAGE}"
