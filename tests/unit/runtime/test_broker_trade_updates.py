"""The stream of trade updates: it says when it flows, when it is lost and when the keys are wrong."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing

import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

from runtime_answers import ORDER
from tradingbot_runtime.broker import trade_updates
from tradingbot_runtime.broker.port import BrokerError, BrokerUnavailable, Unauthorized
from tradingbot_runtime.broker.strangers import Strangers
from tradingbot_runtime.broker.trade_updates import TradeUpdates, stream_url
from tradingbot_runtime.core.events import StreamConnected, TradeUpdate

UPDATE = {
    "event": "fill",
    "execution_id": "2f63ea93-423d-4169-b3f6-3fdafc10c418",
    "order": {**ORDER, "status": "filled", "filled_qty": "10", "filled_avg_price": "100.01"},
    "timestamp": "2026-03-02T14:35:01.5Z",
    "price": "100.01",
    "qty": "10",
    "position_qty": "10",
}

Talk = Callable[[web.WebSocketResponse], Awaitable[None]]


async def heard(
    talk: Talk,
    limit: int = 10,
    key: str = "PK",
    *,
    pongs: bool = True,
    heartbeat_seconds: float = 20.0,
    streams: Sequence[str] = ("trade_updates",),
    drop_after: int | None = None,
    strangers: Strangers | None = None,
) -> tuple[list[object], BrokerError]:
    """What a listener hears from a broker that greets and then talks, and how it ends."""

    async def stream(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=pongs)
        await socket.prepare(request)
        asked = json.loads((await socket.receive()).data)
        known = asked["data"]["key_id"] == "PK"
        word = {"action": "authenticate", "status": "authorized" if known else "unauthorized"}
        await socket.send_bytes(json.dumps({"stream": "authorization", "data": word}).encode())
        if known:
            assert json.loads((await socket.receive()).data)["action"] == "listen"
            await socket.send_str(json.dumps({"stream": "listening", "data": {"streams": list(streams)}}))
            await talk(socket)
        return socket

    app = web.Application()
    app.router.add_get("/stream", stream)
    events: list[object] = []
    async with TestServer(app) as server:
        updates = TradeUpdates(
            str(server.make_url("")),
            key,
            "secret",
            strangers=strangers or Strangers("tb-"),
            heartbeat_seconds=heartbeat_seconds,
        )
        with pytest.raises(BrokerError) as raised:
            async with aclosing(updates.listen()) as listening:
                async for event in listening:
                    events.append(event)
                    assert len(events) < limit
                    if len(events) == drop_after:
                        updates.drop("nothing was said of order 7")
    return events, raised.value


def frame(data: object, stream: str = "trade_updates") -> bytes:
    return json.dumps({"stream": stream, "data": data}).encode()


async def test_updates_come_after_the_connection_and_end_with_it() -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(frame(UPDATE))
        await socket.send_str(frame(UPDATE).decode())
        await socket.send_bytes(frame({}, "something_else"))
        await socket.close()

    events, error = await heard(talk)
    assert isinstance(events[0], StreamConnected)
    assert [type(event) for event in events[1:]] == [TradeUpdate, TradeUpdate]
    update = events[1]
    assert isinstance(update, TradeUpdate)
    assert (update.event, update.order.status, str(update.order.filled_average_price)) == ("fill", "filled", "100.01")
    assert isinstance(error, BrokerUnavailable)


async def test_events_and_statuses_nobody_knows_are_passed_on() -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(frame({**UPDATE, "event": "blessed", "order": {**ORDER, "status": "blessed"}}))
        await socket.close()

    (_, update), _ = await heard(talk)
    assert isinstance(update, TradeUpdate)
    assert (update.event, update.order.status) == ("blessed", "blessed")


async def test_wrong_keys_are_said_at_once() -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        raise AssertionError

    events, error = await heard(talk, key="AK")
    assert events == []
    assert isinstance(error, Unauthorized)
    assert "APCA_API_KEY_ID" in str(error)


BAD_FRAMES = [
    b"{cut",
    b"\xff\xfe",
    b"[1]",
    b"[" * 100_000,
    frame({"event": "fill"}),
    frame({**UPDATE, "order": {"id": 1}}),
    frame({**UPDATE, "order": {**ORDER, "filled_qty": "NaN"}}),
    frame({**UPDATE, "order": {**ORDER, "order_class": "mleg", "symbol": "", "side": ""}}),
    frame({**UPDATE, "order": {**ORDER, "legs": 5}}),
    frame([]),
]


@pytest.mark.parametrize("bad", BAD_FRAMES)
async def test_a_frame_that_cannot_be_read_has_the_books_read_and_loses_nothing_after_it(bad: bytes) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(bad)
        await socket.send_bytes(frame(UPDATE))
        await socket.close()

    events, _ = await heard(talk)
    assert [type(event) for event in events] == [StreamConnected, StreamConnected, TradeUpdate]


async def test_a_broker_that_only_talks_nonsense_is_given_up() -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        for _ in range(2 * trade_updates.MAX_UNREADABLE_FRAMES):
            await socket.send_bytes(b"{cut")
        await socket.receive()

    events, error = await heard(talk, limit=100)
    assert len(events) == 1 + trade_updates.MAX_UNREADABLE_FRAMES
    assert isinstance(error, BrokerUnavailable)
    assert "make no sense" in str(error)


ANOTHERS = ORDER | {"id": "71e69015-8549-4bfd-b9c3-01e75843f47d", "client_order_id": "another's"}


@pytest.mark.parametrize(
    "order",
    [
        {**ANOTHERS, "order_class": "mleg", "symbol": "", "side": ""},
        {**ANOTHERS, "side": "sell_short"},
        {**ANOTHERS, "asset_class": ["crypto"], "symbol": None},
        {**ANOTHERS, "legs": 5},
    ],
)
async def test_others_orders_that_cannot_be_read_do_not_drop_the_stream_however_many(order: dict[str, object]) -> None:
    strangers, many = Strangers("tb-"), 2 * trade_updates.MAX_UNREADABLE_FRAMES

    async def talk(socket: web.WebSocketResponse) -> None:
        for _ in range(many):
            await socket.send_bytes(frame({**UPDATE, "order": order}))
        await socket.send_bytes(frame(UPDATE))
        await socket.close()

    events, _ = await heard(talk, strangers=strangers)
    assert [type(event) for event in events] == [StreamConnected, TradeUpdate]
    assert strangers.skipped == many


async def test_doubled_and_reordered_updates_are_passed_on_as_they_come() -> None:
    new = {**UPDATE, "event": "new", "order": {**ORDER, "status": "new"}}

    async def talk(socket: web.WebSocketResponse) -> None:
        for update in (UPDATE, UPDATE, new):
            await socket.send_bytes(frame(update))
        await socket.close()

    events, _ = await heard(talk)
    assert [event.event for event in events if isinstance(event, TradeUpdate)] == ["fill", "fill", "new"]


async def test_keys_that_are_revoked_in_mid_stream_are_said_so() -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(frame({"action": "authenticate", "status": "unauthorized"}, "authorization"))
        await socket.receive()

    _, error = await heard(talk)
    assert isinstance(error, Unauthorized)


async def test_a_broker_that_listens_to_something_else_is_not_listened_to() -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        raise AssertionError

    events, error = await heard(talk, streams=["account_updates"])
    assert events == []
    assert isinstance(error, BrokerUnavailable)
    assert "account_updates" in str(error)


@pytest.mark.parametrize(
    ("status", "expected"), [(401, Unauthorized), (403, BrokerUnavailable), (503, BrokerUnavailable)]
)
async def test_an_answer_that_is_no_websocket_is_refused_keys_only_when_it_says_so(
    status: int, expected: type[BrokerError]
) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/stream", refuse)
    async with TestServer(app) as server:
        with pytest.raises(BrokerError) as raised:
            async for _ in TradeUpdates(str(server.make_url("")), "PK", "s", strangers=Strangers("tb-")).listen():
                raise AssertionError
    assert type(raised.value) is expected


async def test_a_connection_that_is_dropped_ends_with_the_reason() -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(frame(UPDATE))
        await socket.receive()

    events, error = await heard(talk, drop_after=2)
    assert len(events) == 2
    assert isinstance(error, BrokerUnavailable)
    assert "mute: nothing was said of order 7" in str(error)


async def test_a_mute_connection_is_noticed() -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        while (await socket.receive()).type is WSMsgType.PING:
            pass  # and never a pong

    events, error = await heard(talk, heartbeat_seconds=0.1, pongs=False)
    assert len(events) == 1
    assert isinstance(error, BrokerUnavailable)


async def test_a_broker_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trade_updates, "CONNECT_SECONDS", 0.1)

    async def silent(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            await asyncio.sleep(0)
        return socket

    app = web.Application()
    app.router.add_get("/stream", silent)
    async with TestServer(app) as server:
        with pytest.raises(BrokerUnavailable):
            async for _ in TradeUpdates(str(server.make_url("")), "PK", "s", strangers=Strangers("tb-")).listen():
                raise AssertionError


async def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(BrokerUnavailable):
        async for _ in TradeUpdates("http://127.0.0.1:1", "PK", "s", strangers=Strangers("tb-")).listen():
            raise AssertionError


def test_the_stream_is_beside_the_api() -> None:
    assert stream_url("https://paper-api.alpaca.markets") == "wss://paper-api.alpaca.markets/stream"
    assert stream_url("http://sim:8900/v2") == "ws://sim:8900/stream"
