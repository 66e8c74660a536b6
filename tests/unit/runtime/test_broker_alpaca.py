"""Alpaca's answers, good and bad, as the core is told of them. Sent once; read again only where that is safe."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import requests

from broker_desk import Answer, Desk, Wire, always, refusal
from builders import OPEN, an_order
from runtime_answers import ORDER
from tradingbot_runtime.broker.connection import Credentials
from tradingbot_runtime.broker.lanes import LaneTimeout
from tradingbot_runtime.broker.listings import PAGE
from tradingbot_runtime.broker.port import (
    BrokerError,
    BrokerUnavailable,
    OrderInDoubt,
    OrderNotTaken,
    OrderRejected,
    Unauthorized,
)
from tradingbot_runtime.broker.strangers import Strangers
from tradingbot_runtime.broker.trade_updates import TradeUpdates
from tradingbot_runtime.core.events import StreamConnected, TradeUpdate
from tradingbot_runtime.core.values import OrderType, Side


async def test_an_order_is_sent_with_its_id_and_exact_decimals() -> None:
    desk = Desk((200, ORDER))
    taken = await desk.broker.submit(an_order(qty=Decimal("0.123456789"), limit_price=Decimal("100.10")), always)
    assert desk.sent == ["POST v2/orders"]
    body = json.loads(desk.wire.requests[0].body or b"")
    assert body == {
        "symbol": "AAPL",
        "qty": "0.123456789",
        "side": "buy",
        "type": "limit",
        "time_in_force": "day",
        "client_order_id": an_order().client_order_id,
        "limit_price": "100.10",
    }
    assert (taken.qty, taken.limit_price, taken.status, taken.side) == (
        Decimal(10),
        Decimal("100.10"),
        "pending_new",
        Side.BUY,
    )
    assert taken.created_at == datetime(2026, 3, 2, 14, 35, 0, 123456, tzinfo=UTC)


async def test_a_market_order_has_no_price() -> None:
    desk = Desk((200, ORDER))
    await desk.broker.submit(an_order(type=OrderType.MARKET, limit_price=None), always)
    body = json.loads(desk.wire.requests[0].body or b"")
    assert (body["type"], "limit_price" in body) == ("market", False)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (requests.exceptions.ReadTimeout("slow"), OrderInDoubt),
        (requests.exceptions.ConnectTimeout("slow"), OrderNotTaken),
        (requests.exceptions.ConnectionError("reset"), OrderInDoubt),
        (requests.exceptions.ChunkedEncodingError("cut"), OrderInDoubt),
        (LaneTimeout("no answer within 30 s"), OrderInDoubt),
        (LaneTimeout("no thread was free", started=False), OrderNotTaken),
        ((500, refusal(50010000, "internal")), OrderInDoubt),
        ((504, "<html>"), OrderInDoubt),
        ((502, ""), OrderInDoubt),
        ((429, refusal(42910000, "too many requests")), OrderNotTaken),
        ((429, "slow down"), OrderInDoubt),
        ((200, "<html>"), OrderInDoubt),
        ((200, ""), OrderInDoubt),
        ((200, [1]), OrderInDoubt),
        ((200, {**ORDER, "id": "not a uuid"}), OrderInDoubt),
        ((200, {**ORDER, "client_order_id": "another"}), OrderInDoubt),
        ((301, ""), OrderInDoubt),
        ((403, "<html>blocked by a proxy"), OrderInDoubt),
        ((404, "<html>no such page"), OrderInDoubt),
        ((422, refusal(40010001, "client_order_id must be unique")), OrderInDoubt),
        ((422, refusal(40010001, "qty must be > 0")), OrderRejected),
        ((422, refusal(42210000, "asset is not tradable")), OrderRejected),
        ((403, refusal(40310000, "insufficient buying power")), OrderRejected),
        ((400, refusal(None, "bad request")), OrderRejected),
        ((401, refusal(40110000, "request is not authorized")), Unauthorized),
        ((401, refusal(None, "unauthorized.")), Unauthorized),
        ((401, ""), Unauthorized),
    ],
)
async def test_a_submit_is_sent_once_whatever_comes_back(answer: Answer, expected: type[BrokerError]) -> None:
    desk = Desk(answer)
    with pytest.raises(BrokerError) as raised:
        await desk.broker.submit(an_order(), always)
    assert type(raised.value) is expected
    assert len(desk.sent) == 1
    assert desk.slept == []


@pytest.mark.parametrize(
    "answer",
    [
        requests.exceptions.ReadTimeout("slow"),
        (429, refusal(42910000, "too many requests")),
        (500, ""),
        (504, "<html>"),
        (200, "{cut"),
    ],
)
async def test_a_read_is_tried_three_times_more_with_growing_waits(answer: Answer) -> None:
    desk = Desk(answer)
    with pytest.raises(BrokerUnavailable):
        await desk.broker.clock()
    assert len(desk.sent) == 4
    assert len(desk.slept) == 3
    assert desk.slept[0] < desk.slept[1] < desk.slept[2] <= 1.0


async def test_a_read_that_succeeds_at_last_is_an_answer() -> None:
    clock = {
        "timestamp": "2026-03-02T09:35:00-05:00",
        "is_open": True,
        "next_open": "2026-03-03T09:30:00-05:00",
        "next_close": "2026-03-02T16:00:00-05:00",
    }
    desk = Desk((503, ""), (200, clock))
    read = await desk.broker.clock()
    assert read.timestamp == datetime(2026, 3, 2, 14, 35, tzinfo=UTC)
    assert read.timestamp.tzinfo is UTC


@pytest.mark.parametrize("answer", [(403, "<html>a proxy's"), (302, ""), (409, refusal(None, "conflict"))])
async def test_what_will_not_pass_by_itself_is_not_tried_again(answer: Answer) -> None:
    desk = Desk(answer)
    with pytest.raises(BrokerUnavailable):
        await desk.broker.clock()
    assert len(desk.sent) == 1


@pytest.mark.parametrize(
    ("status", "expected"), [(400, OrderRejected), (403, OrderRejected), (422, OrderRejected), (401, Unauthorized)]
)
async def test_a_final_refusal_is_not_tried_again(status: int, expected: type[BrokerError]) -> None:
    desk = Desk((status, refusal(40010000, "no")))
    with pytest.raises(expected, match="no"):
        await desk.broker.figures()
    assert len(desk.sent) == 1


async def test_an_unknown_order_is_none_only_when_the_broker_itself_says_so() -> None:
    assert await Desk((404, refusal(40410000, "order not found"))).broker.order("tb-x") is None
    with pytest.raises(BrokerUnavailable):
        await Desk((404, "<html>not found")).broker.order("tb-x")


async def test_an_answer_about_another_order_is_no_answer() -> None:
    with pytest.raises(BrokerUnavailable, match="another order"):
        await Desk((200, {**ORDER, "client_order_id": "other"})).broker.order(an_order().client_order_id)


@pytest.mark.parametrize(
    "answer",
    [
        (204, ""),
        (422, refusal(42210000, "order is already filled")),
        (404, refusal(40410000, "order not found")),
    ],
)
async def test_cancelling_what_is_closed_is_no_error(answer: Answer) -> None:
    desk = Desk(answer)
    await desk.broker.cancel(str(ORDER["id"]))
    assert desk.sent == [f"DELETE v2/orders/{ORDER['id']}"]


async def test_a_cancel_is_tried_again() -> None:
    desk = Desk((500, ""), (204, ""))
    await desk.broker.cancel(str(ORDER["id"]))
    assert len(desk.sent) == 2


POSITION = {
    "symbol": "AAPL",
    "qty": "10",
    "qty_available": "7",
    "side": "long",
    "avg_entry_price": "99.5",
    "market_value": "1001",
    "exchange": "AN EXCHANGE THAT IS NEW",
}


async def test_closing_is_bounded_by_what_is_free_to_sell() -> None:
    desk = Desk((200, POSITION), (200, ORDER))
    await desk.broker.close_position("AAPL", "10")
    assert desk.sent == ["GET v2/positions/AAPL", "DELETE v2/positions/AAPL?qty=7"]


async def test_closing_nothing_is_no_error_and_sends_nothing() -> None:
    desk = Desk((404, refusal(40410000, "position does not exist")))
    await desk.broker.close_position("AAPL", "10")
    assert desk.sent == ["GET v2/positions/AAPL"]


async def test_closing_is_never_tried_again_by_itself() -> None:
    desk = Desk((200, POSITION), (504, ""))
    with pytest.raises(BrokerUnavailable):
        await desk.broker.close_position("AAPL", "10")
    assert len(desk.sent) == 2


async def test_positions_are_read_whatever_exchange_they_are_from() -> None:
    (long,) = await Desk((200, [POSITION])).broker.positions()
    (short,) = await Desk((200, [{**POSITION, "qty": "-10", "side": "short"}])).broker.positions()
    assert (long.qty, short.qty, long.average_entry_price) == (Decimal(10), Decimal(-10), Decimal("99.5"))


@pytest.mark.parametrize("qty", ["NaN", "ten", None, ""])
async def test_a_position_without_a_number_is_no_answer(qty: object) -> None:
    with pytest.raises(BrokerUnavailable, match="qty"):
        await Desk((200, [{**POSITION, "qty": qty}])).broker.positions()


async def test_figures_are_read_and_a_block_is_seen() -> None:
    account = {"equity": "100.5", "last_equity": "99", "cash": "50", "buying_power": "50", "status": "A NEW ONE"}
    figures = await Desk((200, account)).broker.figures()
    assert figures.account_id == ""
    assert (await Desk((200, {**account, "id": "e6fe16f3"})).broker.figures()).account_id == "e6fe16f3"
    assert (figures.equity, figures.last_equity, figures.blocked) == (Decimal("100.5"), Decimal(99), False)
    assert (await Desk((200, {**account, "trading_blocked": True})).broker.figures()).blocked


async def test_words_nobody_knows_lose_no_order() -> None:
    odd = {**ORDER, "status": "pending_blessing", "type": "fancy", "order_class": "swarm", "time_in_force": "eon"}
    (order,) = await Desk((200, [odd])).broker.open_orders()
    assert (order.status, order.type, order.time_in_force) == ("pending_blessing", "fancy", "eon")


def an_order_of(number: int) -> dict[str, Any]:
    second = OPEN + timedelta(seconds=number // 3)  # three orders share an instant
    moment = second.isoformat()
    return ORDER | {
        "id": f"00000000-0000-0000-0000-{number:012d}",
        "client_order_id": f"tb-{number}" if number % 2 else f"other-{number}",
        "created_at": moment,
        "submitted_at": moment,
        "updated_at": moment,
    }


class Pages(Wire):
    """Pages through a list of orders as Alpaca does: after an instant, oldest first, 500 at most."""

    def __init__(self, orders: list[dict[str, Any]]) -> None:
        super().__init__()
        self.orders = orders

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        from urllib.parse import parse_qs, urlsplit

        query = parse_qs(urlsplit(request.url or "").query)
        after = datetime.fromisoformat(query["after"][0]) if "after" in query else datetime.min.replace(tzinfo=UTC)
        later = [one for one in self.orders if datetime.fromisoformat(str(one["submitted_at"])) > after]
        self.answers = [(200, later[: int(query["limit"][0])])]
        return super().send(request, *args, **kwargs)


async def test_all_pages_are_read_also_where_an_instant_is_cut_in_two() -> None:
    desk = Desk(wire=Pages([an_order_of(number) for number in range(2 * PAGE + 100)]))
    found = await desk.broker.orders_since(None, "tb-")
    assert sorted(order.client_order_id for order in found) == sorted(
        f"tb-{number}" for number in range(1, 2 * PAGE + 100, 2)
    )


def test_keys_are_not_shown() -> None:
    assert "secret" not in repr(Credentials("PK", "secret"))


async def test_keys_refused_in_mid_day_are_said_until_an_answer_accepts_them() -> None:
    account = {"equity": "1", "last_equity": "1", "cash": "1", "buying_power": "1"}
    desk = Desk((401, refusal(40110000, "request is not authorized")), (503, ""), (200, account))
    with pytest.raises(Unauthorized):
        await desk.broker.submit(an_order(), always)
    assert "not authorized" in desk.broker.health().keys_refused
    await desk.broker.figures()
    assert desk.broker.health().keys_refused == ""
    assert len(desk.sent) == 3


async def test_a_403_says_nothing_about_the_keys() -> None:
    desk = Desk((403, refusal(40310000, "insufficient buying power")))
    with pytest.raises(OrderRejected):
        await desk.broker.submit(an_order(), always)
    assert desk.broker.health().keys_refused == ""


async def test_a_read_is_not_tried_again_before_the_broker_wants_it() -> None:
    desk = Desk((503, "", {"Retry-After": "7"}))
    with pytest.raises(BrokerUnavailable):
        await desk.broker.figures()
    assert desk.slept == [7.0, 7.0, 7.0]


async def test_whoever_is_told_to_wait_too_long_gives_up_at_once() -> None:
    desk = Desk((503, "", {"Retry-After": "600"}))
    with pytest.raises(BrokerUnavailable):
        await desk.broker.figures()
    assert len(desk.sent) == 1


async def test_every_answer_counts_bad_ones_too_and_an_order_without_budget_is_not_taken() -> None:
    limits = {"X-Ratelimit-Limit": "200", "X-Ratelimit-Remaining": "10", "X-Ratelimit-Reset": "2000000000"}
    desk = Desk((422, refusal(42210000, "no"), limits))
    with pytest.raises(OrderRejected):
        await desk.broker.submit(an_order(), always)
    with pytest.raises(OrderNotTaken, match="no request to spare"):
        await desk.broker.submit(an_order(2), always)
    assert len(desk.sent) == 1
    with pytest.raises(OrderRejected):
        await desk.broker.order(an_order().client_order_id)
    budget = desk.broker.health().budgets["trading"]
    assert (budget.limit, budget.left, budget.lanes["orders"].given_up) == (200, 9, 1)


class Stream(TradeUpdates):
    """Says what it is told to say, and ends when it is dropped."""

    def __init__(self, *events: StreamConnected | TradeUpdate) -> None:
        super().__init__("http://127.0.0.1:1", "PK", "secret", strangers=Strangers("tb-"))
        self._said = events
        self.dropped = ""

    def drop(self, reason: str) -> None:
        self.dropped = reason

    async def listen(self) -> AsyncGenerator[StreamConnected | TradeUpdate, None]:
        for event in self._said:
            yield event


async def test_a_stream_that_keeps_quiet_about_what_the_books_show_is_dropped() -> None:
    stream = Stream(StreamConnected(), StreamConnected())
    filled = {**ORDER, "status": "filled", "filled_qty": "10", "filled_avg_price": "100"}
    desk = Desk((200, ORDER), (200, filled), trade_updates=stream)
    async with aclosing(desk.broker.trade_updates()) as updates:
        await anext(updates)
        await desk.broker.submit(an_order(), always)
        await desk.broker.order(an_order().client_order_id)
        assert stream.dropped == ""
        desk.pass_time(11)
        await desk.broker.order(an_order().client_order_id)
    assert str(ORDER["id"]) in stream.dropped
    assert desk.broker.health().stream_silences == 1
