"""The server itself: sockets, bounds, running clocks and stopping."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import requests
from aiohttp.test_utils import TestClient, TestServer

from alpaca_simulator import websockets
from alpaca_simulator.config import SimulatorConfig
from alpaca_simulator.server import web_application
from alpaca_simulator.simulator import Simulator, build_simulator
from contract.conftest import DEADLINE_SECONDS, MONDAY_NOON, PAPER, noon_simulator

KEYS = {"APCA-API-KEY-ID": PAPER[0], "APCA-API-SECRET-KEY": PAPER[1]}
LOGIN = {"action": "authenticate", "data": {"key_id": PAPER[0], "secret_key": PAPER[1]}}
LISTEN = {"action": "listen", "data": {"streams": ["trade_updates"]}}
RESTING = {"symbol": "TLT", "qty": 1, "side": "buy", "type": "limit", "limit_price": 5, "time_in_force": "gtc"}


@asynccontextmanager
async def client_of(simulator: Simulator) -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(web_application(simulator))) as client:
        yield client


async def listener(client: TestClient[Any, Any]) -> aiohttp.ClientWebSocketResponse:
    stream = await client.ws_connect("/stream")
    for message in (LOGIN, LISTEN):
        await stream.send_json(message)
        answer = await stream.receive(DEADLINE_SECONDS)
        assert answer.type is aiohttp.WSMsgType.BINARY
    return stream


async def test_trade_updates_are_json_in_binary_frames() -> None:
    async with client_of(noon_simulator()) as client:
        stream = await listener(client)
        await client.post("/v2/orders", json=RESTING, headers=KEYS)
        frame = await stream.receive(DEADLINE_SECONDS)
        assert frame.type is aiohttp.WSMsgType.BINARY
        assert json.loads(frame.data)["stream"] == "trade_updates"


async def test_a_running_clock_delivers_without_being_asked() -> None:
    clock = {"mode": "scaled", "start": MONDAY_NOON, "speed": 600}
    async with client_of(build_simulator(SimulatorConfig.model_validate({"clock": clock}))) as client:
        stream = await listener(client)
        order = {"symbol": "SPY", "qty": 1, "side": "buy", "type": "market", "time_in_force": "day"}
        await client.post("/v2/orders", json=order, headers=KEYS)
        events = [json.loads((await stream.receive(DEADLINE_SECONDS)).data)["data"]["event"] for _ in range(2)]
        assert events == ["new", "fill"]


async def test_a_client_that_does_not_keep_up_is_cut_off() -> None:
    async with client_of(noon_simulator(limits={"updates_per_socket": 2})) as client:
        stream = await listener(client)
        for _ in range(5):
            await client.post("/v2/orders", json=RESTING, headers=KEYS)
            await stream.receive(DEADLINE_SECONDS)
        await client.delete("/v2/orders", headers=KEYS)
        message = await stream.receive(DEADLINE_SECONDS)
        while message.type is aiohttp.WSMsgType.BINARY:
            message = await stream.receive(DEADLINE_SECONDS)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.TRY_AGAIN_LATER)


async def test_who_does_not_authenticate_in_time_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websockets, "AUTHENTICATION_SECONDS", 0.05)
    async with client_of(noon_simulator()) as client:
        stream = await client.ws_connect("/stream")
        message = await stream.receive(DEADLINE_SECONDS)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.POLICY_VIOLATION)


async def test_there_is_an_end_to_open_sockets() -> None:
    async with client_of(noon_simulator(limits={"sockets": 1})) as client:
        await listener(client)
        answer = await client.get("/stream")
        assert (answer.status, (await answer.json())["code"]) == (429, 42910000)


async def test_a_plain_get_of_the_stream_is_told_what_is_missing() -> None:
    async with client_of(noon_simulator()) as client:
        assert (await client.get("/stream")).status == 400


async def test_stopping_tells_the_streams() -> None:
    async with client_of(noon_simulator()) as client:
        stream = await listener(client)
        closing = asyncio.create_task(client.server.close())
        message = await stream.receive(DEADLINE_SECONDS)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.GOING_AWAY)
        await stream.close()
        await closing


async def test_a_body_over_the_limit_is_refused_in_alpacas_shape() -> None:
    async with client_of(noon_simulator()) as client:
        answer = await client.post("/v2/orders", data=b" " * 200_000, headers=KEYS)
        assert (answer.status, (await answer.json())["code"]) == (413, 41310000)


async def test_a_bug_is_answered_in_alpacas_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    simulator = noon_simulator()

    def broken(_request: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(simulator.rest, "answer", broken)
    async with client_of(simulator) as client:
        answer = await client.get("/healthz")
        assert (answer.status, (await answer.json())["code"]) == (500, 50010000)


def test_the_program_serves_and_stops_when_told() -> None:
    command = [sys.executable, "-m", "alpaca_simulator", "serve", "--port", "0", "--clock", "stepped"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as program:
        assert program.stderr is not None
        started = json.loads(program.stderr.readline())
        assert started["event"] == "serving"
        state = requests.get(started["url"] + "/admin/state", timeout=DEADLINE_SECONDS).json()
        assert state["clock"]["mode"] == "stepped"
        program.send_signal(signal.SIGTERM)
        rest = program.stderr.read()
        assert program.wait(DEADLINE_SECONDS) == 0
    assert json.loads(rest.splitlines()[-1])["event"] == "stopped"
    assert "secret" not in rest


def test_a_port_that_is_taken_is_explained_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        command = [sys.executable, "-m", "alpaca_simulator", "serve", "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS)
    assert done.returncode == 2
    assert done.stderr.startswith(f"alpaca-simulator: cannot listen on 127.0.0.1:{port}")
    assert len(done.stderr.splitlines()) == 1


NO_HTTP = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /v2/account HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    b"POST /v2/orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /v2/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
    b"\x00" * 1_000,
)


async def test_bytes_that_are_no_http_stop_nobody() -> None:
    async with client_of(noon_simulator()) as client:
        for blob in NO_HTTP:
            reader, writer = await asyncio.open_connection(client.host, client.port)
            writer.write(blob)
            writer.write_eof()
            answer = await asyncio.wait_for(reader.read(1 << 16), DEADLINE_SECONDS)
            assert answer == b"" or int(answer[9:12]) in range(400, 500), (blob[:40], answer[:40])
            writer.close()
        assert (await client.get("/healthz")).status == 200


NO_FRAMES = (b"", b"\xff\xfe", b"[" * 10_000, b"{}", b'{"action":[]}', b"\xdd\xff\xff\xff\xff", b"\x91" * 4_000)


@pytest.mark.parametrize("path", ["/stream", "/v2/iex"])
async def test_frames_that_say_nothing_end_no_stream(path: str) -> None:
    async with client_of(noon_simulator()) as client:
        stream = await client.ws_connect(path)
        for blob in NO_FRAMES:
            await stream.send_bytes(blob)
            await stream.send_str(blob.decode("latin-1"))
        await stream.send_json({"action": "auth", "key": PAPER[0], "secret": PAPER[1]})
        told = b""
        while b"authenticated" not in told and b'"authorized"' not in told:
            frame = await stream.receive(DEADLINE_SECONDS)
            assert frame.type in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}, frame
            told = frame.data if isinstance(frame.data, bytes) else frame.data.encode()
        assert (await client.get("/healthz")).status == 200


@pytest.mark.parametrize("path", ["/stream", "/v2/iex"])
async def test_a_frame_over_the_limit_ends_its_stream_alone(path: str) -> None:
    async with client_of(noon_simulator()) as client:
        stream = await client.ws_connect(path)
        # The server may hang up while the rest of the frame is still on its way.
        with contextlib.suppress(ConnectionError):
            await stream.send_bytes(b" " * (4 * 1024 * 1024))
        message = await stream.receive(DEADLINE_SECONDS)
        while message.type in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
            message = await stream.receive(DEADLINE_SECONDS)
        assert message.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
        assert (await client.get("/healthz")).status == 200
