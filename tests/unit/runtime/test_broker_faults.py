"""Every way in which an HTTP answer can go wrong, against every kind of call: one table, played by a real local server.

docs/broker-faults.md shows the same table; run as a program, this file writes it there.
"""

import asyncio
import json
import random
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import requests

from broker_desk import always
from builders import a_config, an_order
from runtime_answers import ORDER
from tradingbot_runtime.broker import sockets, transport
from tradingbot_runtime.broker.alpaca import AlpacaBroker
from tradingbot_runtime.broker.budget import RequestBudget
from tradingbot_runtime.broker.connection import Credentials
from tradingbot_runtime.broker.lanes import ThreadLane
from tradingbot_runtime.broker.port import (
    BrokerUnavailable,
    OrderInDoubt,
    OrderNotTaken,
    OrderRejected,
    Unauthorized,
)
from tradingbot_runtime.broker.retries import Retries
from tradingbot_runtime.broker.transport import bounded_session

PAGE = Path(__file__).parents[3] / "docs" / "broker-faults.md"

OPERATIONS = ("read", "ask", "submit", "replace", "cancel", "close")

TRIED = "unavailable, 4 tries"
ONCE = "unavailable"
DOUBT = "in doubt"
NOT_TAKEN = "not taken"
REJECTED = "rejected"
KEYS = "keys refused"
DONE = "done"
UNKNOWN = "unknown order"

_PASSES = (TRIED, TRIED, DOUBT, DOUBT, TRIED, ONCE)
_STAYS = (ONCE, ONCE, DOUBT, DOUBT, ONCE, ONCE)
_FINAL = (REJECTED,) * 6

TABLE: dict[str, tuple[str, ...]] = {
    "nobody listens": (TRIED, TRIED, NOT_TAKEN, NOT_TAKEN, TRIED, TRIED),
    "connect timeout": (TRIED, TRIED, NOT_TAKEN, NOT_TAKEN, TRIED, TRIED),
    "read timeout": _PASSES,
    "reset before the request is read": _PASSES,
    "reset after the request is read": _PASSES,
    "closed without an answer": _PASSES,
    "body cut short": _PASSES,
    "body byte by byte": _PASSES,
    "body without end": _PASSES,
    "200, JSON cut short": _PASSES,
    "200, an HTML page": _PASSES,
    "302": _STAYS,
    "400": _FINAL,
    "400, an HTML page": _STAYS,
    "401": (KEYS,) * 6,
    "401, an HTML page": (KEYS,) * 6,
    "403": _FINAL,
    "403, an HTML page": _STAYS,
    "404": (REJECTED, UNKNOWN, REJECTED, REJECTED, DONE, DONE),
    "404, an HTML page": _STAYS,
    "408": _PASSES,
    "409": _STAYS,
    "413": _FINAL,
    "422": (REJECTED, REJECTED, REJECTED, REJECTED, DONE, REJECTED),
    "422, client_order_id used before": (REJECTED, REJECTED, DOUBT, DOUBT, DONE, REJECTED),
    "429, Alpaca's body": (TRIED, TRIED, NOT_TAKEN, NOT_TAKEN, TRIED, ONCE),
    "429, Alpaca's headers": (TRIED, TRIED, NOT_TAKEN, NOT_TAKEN, TRIED, ONCE),
    "429, neither": _PASSES,
    "500": _PASSES,
    "502, an HTML page": _PASSES,
    "503, Retry-After: 2": _PASSES,
    "504": _PASSES,
}


def reply(status: int, body: object, *headers: str, length: int | None = None) -> bytes:
    content = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(content) if length is None else length}", *headers]
    return ("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode() + content


def refusal(code: int, message: str = "no") -> dict[str, object]:
    return {"code": code, "message": message}


HTML = "<html><h1>no</h1></html>"

ANSWERS: dict[str, bytes] = {
    "closed without an answer": b"",
    "body cut short": reply(200, '{"id"', length=100),
    "body without end": reply(200, b"x" * 50_000),
    "200, JSON cut short": reply(200, '{"id": "61e6'),
    "200, an HTML page": reply(200, HTML),
    "302": reply(302, "", "Location: /v2/clock"),
    "400": reply(400, refusal(40010000)),
    "400, an HTML page": reply(400, HTML),
    "401": reply(401, refusal(40110000)),
    "401, an HTML page": reply(401, HTML),
    "403": reply(403, refusal(40310000)),
    "403, an HTML page": reply(403, HTML),
    "404": reply(404, refusal(40410000)),
    "404, an HTML page": reply(404, HTML),
    "408": reply(408, ""),
    "409": reply(409, refusal(40910000)),
    "413": reply(413, refusal(41310000)),
    "422": reply(422, refusal(42210000)),
    "422, client_order_id used before": reply(422, refusal(40010001, "client_order_id must be unique")),
    "429, Alpaca's body": reply(429, refusal(42910000)),
    "429, Alpaca's headers": reply(
        429, "", "X-Ratelimit-Limit: 200", "X-Ratelimit-Remaining: 0", "X-Ratelimit-Reset: 1"
    ),
    "429, neither": reply(429, HTML),
    "500": reply(500, refusal(50010000)),
    "502, an HTML page": reply(502, HTML),
    "503, Retry-After: 2": reply(503, "", "Retry-After: 2"),
    "504": reply(504, ""),
}

POSITION = {"symbol": "AAPL", "qty": "10", "qty_available": "10", "side": "long", "avg_entry_price": "99.5"}


async def request_of(reader: asyncio.StreamReader) -> str:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            await reader.readexactly(int(value))
    return head.split(" HTTP")[0]


def reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def play(fault: str, writer: asyncio.StreamWriter) -> None:
    if fault == "read timeout":
        await asyncio.sleep(5)
    elif fault == "reset after the request is read":
        reset(writer)
    elif fault == "body byte by byte":
        writer.write(reply(200, "", length=1000))
        for _ in range(100):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)
    else:
        writer.write(ANSWERS[fault])
        await writer.drain()


@asynccontextmanager
async def a_broker_that(fault: str, operation: str) -> AsyncIterator[tuple[str, list[str]]]:
    """Where a server is that shows the fault in every answer, and the requests it has read.

    Who closes a position asks for it first, and is told.
    """
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asks_for_position = operation == "close" and not seen
        try:
            if fault == "reset before the request is read" and not asks_for_position:
                reset(writer)
                return
            seen.append(await request_of(reader))
            if asks_for_position:
                writer.write(reply(200, POSITION))
                await writer.drain()
            else:
                await play(fault, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        if fault == "nobody listens":
            yield address, seen
            return
        if fault == "connect timeout":
            with waiting_in_line(deaf):
                yield address, seen
            return
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen
    finally:
        server.close()


@contextmanager
def waiting_in_line(deaf: socket.socket) -> Iterator[None]:
    """Nobody accepts, and the line of those who wait is full: who comes now is not even refused."""
    deaf.listen(0)
    with ExitStack() as stack:
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        yield


class Caller:
    """An adapter with real threads and sockets, for whom no time passes while it waits to try again."""

    def __init__(self, url: str) -> None:
        self.slept: list[float] = []
        self._sessions: list[requests.Session] = []
        self._budget_waits = 0.0
        endpoint = a_config().broker.model_copy(update={"base_url": url, "data_url": url})
        self.broker = AlpacaBroker(
            endpoint,
            Credentials("PK", "secret"),
            prefix="tb-",
            rng=random.Random(1),
            session=self._session,
            lane=lambda name, threads: ThreadLane(name, 1),
            retries=Retries(random.Random(1), self._sleep),
            budget=lambda name: RequestBudget(name, monotonic=self._monotonic, sleep=self._wait),
        )

    def close(self) -> None:
        self.broker.close()
        for session in self._sessions:
            session.close()

    def _session(self) -> requests.Session:
        session = bounded_session()
        session.trust_env = False
        self._sessions.append(session)
        return session

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def _wait(self, seconds: float) -> None:
        self._budget_waits += seconds

    def _monotonic(self) -> float:
        return sum(self.slept) + self._budget_waits

    async def call(self, operation: str) -> str:
        broker, broker_id = self.broker, str(ORDER["id"])
        try:
            match operation:
                case "read":
                    await broker.clock()
                case "ask":
                    return DONE if await broker.order(an_order().client_order_id) else UNKNOWN
                case "submit":
                    await broker.submit(an_order(), always)
                case "replace":
                    await broker.replace(an_order(2), broker_id, always)
                case "cancel":
                    await broker.cancel(broker_id)
                case _:
                    await broker.close_position("AAPL", "10")
        except (BrokerUnavailable, OrderInDoubt, OrderNotTaken, OrderRejected, Unauthorized) as error:
            return self._outcome(error)
        return DONE

    def _outcome(self, error: Exception) -> str:
        if not isinstance(error, BrokerUnavailable):
            words = {OrderInDoubt: DOUBT, OrderNotTaken: NOT_TAKEN, OrderRejected: REJECTED, Unauthorized: KEYS}
            return words[type(error)]
        return f"{ONCE}, {len(self.slept) + 1} tries" if self.slept else ONCE


async def outcome(fault: str, operation: str) -> tuple[str, list[str]]:
    async with a_broker_that(fault, operation) as (url, seen):
        caller = Caller(url)
        try:
            return await caller.call(operation), seen
        finally:
            caller.close()


@pytest.mark.parametrize("fault", TABLE)
async def test_each_fault_means_what_the_table_says(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "CONNECT_TIMEOUT_SECONDS", 0.8)
    monkeypatch.setattr(transport, "READ_TIMEOUT_SECONDS", 0.8 if fault == "read timeout" else 5.0)
    monkeypatch.setattr(transport, "MAX_BODY_BYTES", 10_000)
    if fault == "body byte by byte":
        monkeypatch.setattr(transport, "READ_TIMEOUT_SECONDS", 0.6)
        monkeypatch.setattr(sockets, "BODY_TIMEOUT_SECONDS", 0.1)
    outcomes = await asyncio.gather(*(outcome(fault, operation) for operation in OPERATIONS))
    assert dict(zip(OPERATIONS, (said for said, _ in outcomes), strict=True)) == dict(
        zip(OPERATIONS, TABLE[fault], strict=True)
    )
    for operation, (_, seen) in zip(OPERATIONS, outcomes, strict=True):
        if operation in {"submit", "replace", "close"}:
            writes = [request for request in seen if not request.startswith("GET ")]
            assert len(writes) <= 1, f"{operation} was sent {len(writes)} times"


async def test_the_same_calls_succeed_where_nothing_goes_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ANSWERS, "nothing", reply(200, ORDER))
    for operation in ("ask", "submit", "cancel", "close"):
        assert (await outcome("nothing", operation))[0] == DONE
    monkeypatch.setitem(ANSWERS, "nothing", reply(200, {**ORDER, "client_order_id": an_order(2).client_order_id}))
    assert (await outcome("nothing", "replace"))[0] == DONE


def rendered() -> str:
    head = ("fault", *OPERATIONS)
    rows = [head, ("---",) * len(head), *((fault, *outcomes) for fault, outcomes in TABLE.items())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def test_the_page_shows_this_table() -> None:
    assert rendered() in PAGE.read_text(encoding="utf-8")


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition("| fault |")
    PAGE.write_text(before + rendered() + rest[rest.index("\n\n") + 1 :], encoding="utf-8")
