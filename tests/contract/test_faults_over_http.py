"""Faults on real sockets: what a client in another process would see of each."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import requests

from alpaca_simulator.in_process import BASE_URL, answer_in_process
from alpaca_simulator.simulator import Simulator
from contract.conftest import DEADLINE_SECONDS, PAPER, Venue, noon_simulator, served

KEYS = {"APCA-API-KEY-ID": PAPER[0], "APCA-API-SECRET-KEY": PAPER[1]}
LOGIN = {"action": "authenticate", "data": {"key_id": PAPER[0], "secret_key": PAPER[1]}}
LISTEN = {"action": "listen", "data": {"streams": ["trade_updates"]}}
RESTING = {"symbol": "TLT", "qty": "1", "side": "buy", "type": "limit", "limit_price": "5", "time_in_force": "gtc"}
ORDERS = {"route": "POST /v2/orders"}


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as found:
        found.trust_env = False
        found.headers.update(KEYS)
        yield found


def fault(venue: Venue, kind: str, **fields: object) -> None:
    answer = requests.post(f"{venue.url}/admin/faults", json={"kind": kind, **fields}, timeout=DEADLINE_SECONDS)
    assert answer.status_code == 200, answer.text


def order(venue: Venue, session: requests.Session, name: str, timeout: float = DEADLINE_SECONDS) -> requests.Response:
    return session.post(f"{venue.url}/v2/orders", json={**RESTING, "client_order_id": name}, timeout=timeout)


def orders(venue: Venue) -> list[str]:
    listed = requests.get(f"{venue.url}/admin/accounts/paper/orders", timeout=DEADLINE_SECONDS).json()
    return [one["client_order_id"] for one in listed]


# -- REST -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "there"), [("reset_before", []), ("reset_after", ["a"])])
def test_a_reset_is_one_of_tcp(http_venue: Venue, session: requests.Session, kind: str, there: list[str]) -> None:
    fault(http_venue, kind, match=ORDERS, count=1)
    with pytest.raises(requests.ConnectionError) as broken:
        order(http_venue, session, "a")
    assert isinstance(broken.value.args[0].args[1], ConnectionResetError)
    assert orders(http_venue) == there
    assert order(http_venue, session, "b").status_code == 200


def test_a_504_comes_after_the_order_was_accepted(http_venue: Venue, session: requests.Session) -> None:
    fault(http_venue, "timeout_after", match=ORDERS, count=1)
    assert order(http_venue, session, "a").status_code == 504
    assert orders(http_venue) == ["a"]


def test_a_hang_outlasts_the_clients_timeout_and_others_are_answered_meanwhile(
    http_venue: Venue, session: requests.Session
) -> None:
    fault(http_venue, "hang", match=ORDERS, count=1, reaches_exchange=True)
    began = time.monotonic()
    with pytest.raises(requests.ReadTimeout):
        order(http_venue, session, "a", timeout=0.3)
    assert time.monotonic() - began >= 0.3
    assert orders(http_venue) == ["a"]


def test_a_hang_ends_with_a_reset(http_venue: Venue, session: requests.Session) -> None:
    fault(http_venue, "hang", at_most_seconds=0.2, count=1)
    began = time.monotonic()
    with pytest.raises(requests.ConnectionError):
        order(http_venue, session, "a")
    assert time.monotonic() - began >= 0.2


def test_latency_is_waited_for_while_others_are_answered_at_once(http_venue: Venue, session: requests.Session) -> None:
    fault(http_venue, "latency", seconds=1.5, match=ORDERS)
    began = time.monotonic()
    assert order(http_venue, session, "a").status_code == 200
    assert time.monotonic() - began >= 1.5
    began = time.monotonic()
    assert session.get(f"{http_venue.url}/v2/account", timeout=DEADLINE_SECONDS).status_code == 200
    assert time.monotonic() - began < 1.5


def test_slow_bytes_trickle(http_venue: Venue) -> None:
    parts = urlsplit(http_venue.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=DEADLINE_SECONDS)
    fault(http_venue, "slow_bytes", bytes_per_second=400, match={"route": "GET /v2/clock"})
    connection.request("GET", "/v2/clock", headers=KEYS)
    answer = connection.getresponse()
    began, pieces = time.monotonic(), 0
    body = b""
    while piece := answer.read1(4096):
        pieces, body = pieces + 1, body + piece
    assert json.loads(body)["is_open"] is True
    assert pieces >= 3
    assert time.monotonic() - began >= 0.7 * len(body) / 400
    connection.close()


def test_truncated_json_arrives_whole_as_far_as_http_knows(http_venue: Venue, session: requests.Session) -> None:
    fault(http_venue, "truncated_json", match={"route": "GET /v2/account"}, count=1)
    answer = session.get(f"{http_venue.url}/v2/account", timeout=DEADLINE_SECONDS)
    assert (answer.status_code, int(answer.headers["Content-Length"])) == (200, len(answer.content))
    with pytest.raises(requests.JSONDecodeError):
        answer.json()


def test_a_body_may_end_before_its_promised_length(http_venue: Venue, session: requests.Session) -> None:
    fault(http_venue, "truncated_json", honest_length=False, match={"route": "GET /v2/account"}, count=1)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        session.get(f"{http_venue.url}/v2/account", timeout=DEADLINE_SECONDS)
    assert session.get(f"{http_venue.url}/v2/account", timeout=DEADLINE_SECONDS).status_code == 200


@pytest.mark.parametrize(("kind", "status", "body"), [("empty_body", 200, b""), ("html_error", 502, b"<html>")])
def test_bodies_that_are_no_json(
    http_venue: Venue, session: requests.Session, kind: str, status: int, body: bytes
) -> None:
    fault(http_venue, kind, match={"route": "GET /v2/account"}, count=1)
    answer = session.get(f"{http_venue.url}/v2/account", timeout=DEADLINE_SECONDS)
    assert (answer.status_code, answer.content[:6]) == (status, body)


def test_a_rate_limit_has_its_headers_on_the_wire(session: requests.Session) -> None:
    with served(noon_simulator(limits={"requests_per_minute": 1})) as url:
        first, second = (session.get(f"{url}/v2/account", timeout=DEADLINE_SECONDS) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 429)
    assert first.headers["X-Ratelimit-Remaining"] == "0"
    # One Date alone, of the clock that counts: a client learns from both how long to wait.
    assert second.headers["Date"] == "Mon, 02 Mar 2026 17:00:00 GMT"
    assert second.headers["X-Ratelimit-Reset"] == "1772470860"


def test_both_clients_of_one_simulator_meet_the_same_faults() -> None:
    """In process and over the network: the same requests give the same log of what was injected."""

    def injected(simulator: Simulator, url: str, *, in_process: bool) -> list[Any]:
        with requests.Session() as client:
            client.trust_env = False
            client.headers.update(KEYS)
            if in_process:
                answer_in_process(client, simulator.rest)
            for kind in ("reset_after", "status", "truncated_json"):
                rule = {"kind": kind, "probability": 0.4, **({"status": 503} if kind == "status" else {})}
                client.post(f"{url}/admin/faults", json=rule, timeout=DEADLINE_SECONDS)
            for number in range(15):
                try:
                    body = {**RESTING, "client_order_id": f"order-{number}"}
                    client.post(f"{url}/v2/orders", json=body, timeout=DEADLINE_SECONDS)
                except requests.ConnectionError:
                    continue
            log: list[Any] = client.get(f"{url}/admin/faults/log", timeout=DEADLINE_SECONDS).json()["log"]
            return log

    simulator = noon_simulator()
    here = injected(simulator, BASE_URL, in_process=True)
    other = noon_simulator()
    with served(other) as url:
        there = injected(other, url, in_process=False)
    assert here == there
    assert len(here) > 5


# -- streams --------------------------------------------------------------------------------


@contextmanager
def faulty(**config: Any) -> Iterator[Venue]:
    simulator = noon_simulator(**config)
    with served(simulator) as url:
        yield Venue(simulator, url, in_process=False)


async def listening(client: aiohttp.ClientSession, url: str) -> aiohttp.ClientWebSocketResponse:
    stream = await client.ws_connect(f"{url}/stream", autoping=False)
    for message in (LOGIN, LISTEN):
        await stream.send_json(message)
        await stream.receive(DEADLINE_SECONDS)
    return stream


async def put(client: aiohttp.ClientSession, url: str, kind: str, **fields: object) -> None:
    async with client.post(f"{url}/admin/faults", json={"kind": kind, **fields}) as answer:
        assert answer.status == 200, await answer.text()


async def place(client: aiohttp.ClientSession, url: str, name: str) -> None:
    async with client.post(f"{url}/v2/orders", json={**RESTING, "client_order_id": name}, headers=KEYS) as answer:
        assert answer.status == 200, await answer.text()


async def test_a_dropped_stream_is_a_reset_and_the_next_one_works() -> None:
    with faulty() as venue:
        async with aiohttp.ClientSession() as client:
            stream = await listening(client, venue.url)
            await put(client, venue.url, "drop_socket", when="message", count=1)
            await place(client, venue.url, "a")
            message = await stream.receive(DEADLINE_SECONDS)
            assert message.type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
            assert stream.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE
            again = await listening(client, venue.url)
            await place(client, venue.url, "b")
            update = json.loads((await again.receive(DEADLINE_SECONDS)).data)
            assert update["data"]["order"]["client_order_id"] == "b"


async def test_a_stream_is_dropped_at_once_with_a_close_frame() -> None:
    with faulty() as venue:
        async with aiohttp.ClientSession() as client:
            stream = await listening(client, venue.url)
            await put(client, venue.url, "drop_socket", when="now", close_code=1011, count=1)
            message = await stream.receive(DEADLINE_SECONDS)
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1011)


async def test_a_storm_ends_each_new_connection_until_it_is_over() -> None:
    with faulty() as venue:
        async with aiohttp.ClientSession() as client:
            await put(client, venue.url, "drop_socket", when="listening", count=3)
            survived = []
            for _ in range(5):
                stream = await listening(client, venue.url)
                with suppress(ConnectionError):
                    await stream.ping(b"there?")
                message = await stream.receive(DEADLINE_SECONDS)
                survived.append(message.type is aiohttp.WSMsgType.PONG)
            assert survived == [False, False, False, True, True]


@pytest.mark.parametrize("answers_pings", [True, False])
async def test_a_mute_stream_stays_open_and_answers_pings_or_does_not(answers_pings: bool) -> None:
    with faulty() as venue:
        async with aiohttp.ClientSession() as client:
            stream = await listening(client, venue.url)
            await put(client, venue.url, "mute_socket", answers_pings=answers_pings, count=1)
            await place(client, venue.url, "a")
            await stream.ping(b"there?")
            if answers_pings:
                assert (await stream.receive(DEADLINE_SECONDS)).type is aiohttp.WSMsgType.PONG
            with pytest.raises(TimeoutError):
                await stream.receive(0.3)
            assert not stream.closed


async def test_a_delayed_update_comes_late_on_a_running_clock() -> None:
    with faulty(clock={"mode": "scaled", "start": "2026-03-02T17:00:00Z", "speed": 10}) as venue:
        async with aiohttp.ClientSession() as client:
            stream = await listening(client, venue.url)
            await put(client, venue.url, "delay_update", seconds=0.4, count=1)
            began = time.monotonic()
            await place(client, venue.url, "a")
            await stream.receive(DEADLINE_SECONDS)
            assert time.monotonic() - began >= 0.4


async def test_garbage_comes_in_a_binary_frame() -> None:
    with faulty() as venue:
        async with aiohttp.ClientSession() as client:
            stream = await listening(client, venue.url)
            await put(client, venue.url, "garbage_frame", when="message", count=1)
            await place(client, venue.url, "a")
            garbage, update = [await stream.receive(DEADLINE_SECONDS) for _ in range(2)]
            assert garbage.type is update.type is aiohttp.WSMsgType.BINARY
            with pytest.raises(ValueError):
                json.loads(garbage.data)
            assert json.loads(update.data)["stream"] == "trade_updates"


@pytest.mark.parametrize("path", ["/stream", "/v2/iex"])
async def test_connections_are_refused_with_a_status_or_a_reset(path: str) -> None:
    with faulty() as venue:
        async with aiohttp.ClientSession() as client:
            await put(client, venue.url, "refuse_connection", status=503, count=1)
            # aiohttp tries once more by itself after a reset.
            await put(client, venue.url, "refuse_connection", status=None, count=2)
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.ws_connect(venue.url + path)
            assert refused.value.status == 503
            with pytest.raises(aiohttp.ClientConnectionError):
                await client.ws_connect(venue.url + path)
            stream = await client.ws_connect(venue.url + path)
            await stream.close()


async def test_the_data_stream_is_told_of_a_connection_limit_and_closed() -> None:
    with faulty() as venue:
        async with aiohttp.ClientSession() as client:
            await put(client, venue.url, "error_frame", when="listening", code=406, message="connection limit exceeded")
            stream = await client.ws_connect(f"{venue.url}/v2/iex", headers=KEYS)
            greeting = [await stream.receive_json(timeout=DEADLINE_SECONDS) for _ in range(2)]
            assert [one[0]["msg"] for one in greeting] == ["connected", "authenticated"]
            await stream.send_json({"action": "subscribe", "bars": ["SPY"]})
            subscribed, error = [await stream.receive_json(timeout=DEADLINE_SECONDS) for _ in range(2)]
            assert subscribed[0]["T"] == "subscription"
            assert error == [{"T": "error", "code": 406, "msg": "connection limit exceeded"}]
            assert (await stream.receive(DEADLINE_SECONDS)).type is aiohttp.WSMsgType.CLOSE
