"""The stream of trade updates: it says when it flows, when it is lost and when the keys are wrong."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

from runtime_answers import ORDER
from tradingbot_runtime.broker import trade_updates
from tradingbot_runtime.broker.port import BrokerError, BrokerUnavailable, Unauthorized
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
    talk: Talk, limit: int = 10, key: str = "PK", *, pongs: bool = True, heartbeat_seconds: float = 20.0
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
            await socket.send_str(json.dumps({"stream": "listening", "data": {"streams": ["trade_updates"]}}))
            await talk(socket)
        return socket

    app = web.Application()
    app.router.add_get("/stream", stream)
    events: list[object] = []
    async with TestServer(app) as server:
        updates = TradeUpdates(str(server.make_url("")), key, "secret", heartbeat_seconds=heartbeat_seconds)
        with pytest.raises(BrokerError) as raised:
            async with aclosing(updates.listen()) as listening:
                async for event in listening:
                    events.append(event)
                    assert len(events) < limit
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


@pytest.mark.parametrize("bad", [b"{cut", frame({"event": "fill"}), frame({**UPDATE, "order": {"id": 1}})])
async def test_an_update_that_cannot_be_read_ends_the_connection(bad: bytes) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(bad)
        await socket.receive()

    events, error = await heard(talk)
    assert len(events) == 1
    assert isinstance(error, BrokerUnavailable)


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
            async for _ in TradeUpdates(str(server.make_url("")), "PK", "s").listen():
                raise AssertionError


async def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(BrokerUnavailable):
        async for _ in TradeUpdates("http://127.0.0.1:1", "PK", "s").listen():
            raise AssertionError


def test_the_stream_is_beside_the_api() -> None:
    assert stream_url("https://paper-api.alpaca.markets") == "wss://paper-api.alpaca.markets/stream"
    assert stream_url("http://sim:8900/v2") == "ws://sim:8900/stream"
