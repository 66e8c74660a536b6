"""An order is looked at once more when all its waiting is over, and a cancel never waits for anything else."""

import asyncio
import json
import random
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import requests

from broker_desk import Answer, Desk, Wire, always
from builders import a_config, an_order
from runtime_answers import ORDER
from tradingbot_runtime.broker import connection
from tradingbot_runtime.broker.alpaca import AlpacaBroker
from tradingbot_runtime.broker.budget import Rule, Urgency
from tradingbot_runtime.broker.connection import Credentials
from tradingbot_runtime.broker.port import BrokerError, OrderNotTaken
from tradingbot_runtime.broker.transport import bounded_session

BROKER_ID = str(ORDER["id"])
DEADLINE_SECONDS = 60.0


def never() -> bool:
    return False


def confused() -> bool:
    raise RuntimeError("dictionary changed size during iteration")


@pytest.mark.parametrize("may_send", [never, confused])
@pytest.mark.parametrize("how", ["submit", "replace"])
async def test_an_order_that_may_not_leave_is_withheld_and_nothing_is_sent(
    may_send: Callable[[], bool], how: str
) -> None:
    desk = Desk((200, ORDER))
    with pytest.raises(OrderNotTaken, match="withheld"):
        if how == "submit":
            await desk.broker.submit(an_order(), may_send)
        else:
            await desk.broker.replace(an_order(2), BROKER_ID, may_send)
    assert desk.sent == []


async def test_a_kill_during_the_wait_for_the_budget_withholds_the_order() -> None:
    desk = Desk((200, ORDER, {"X-Ratelimit-Limit": "200", "X-Ratelimit-Remaining": "0", "Retry-After": "3"}))
    desk.wire.answers = [(429, "", {"Retry-After": "3"}), (200, ORDER)]
    with pytest.raises(BrokerError):
        await desk.broker.submit(an_order(), always)
    with pytest.raises(OrderNotTaken, match="withheld"):
        await desk.broker.submit(an_order(), lambda: not desk.waited_for_budget)
    assert desk.waited_for_budget == [3.0]
    assert len(desk.sent) == 1


class Hanging(Wire):
    """Answers only once it is told to, where `hangs` says so of a request."""

    def __init__(self, answer: Answer, hangs: Callable[[requests.PreparedRequest], bool]) -> None:
        super().__init__(answer)
        self._hangs = hangs
        self._lock = threading.Lock()
        self.go_on = threading.Event()

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        if self._hangs(request):
            with self._lock:
                self.requests.append(request)
            self.go_on.wait(DEADLINE_SECONDS)
            raise requests.exceptions.ReadTimeout("hangs")
        with self._lock:
            return super().send(request, *args, **kwargs)

    def sent(self, method: str) -> int:
        return sum(request.method == method for request in self.requests)


@asynccontextmanager
async def a_broker_over(wire: Hanging) -> AsyncIterator[AlpacaBroker]:
    """The adapter with its own threads; calls that still hang in the end are let go."""

    def session() -> requests.Session:
        made = requests.Session()
        made.mount("http://", wire)
        return made

    broker = AlpacaBroker(
        a_config().broker, Credentials("PK", "secret"), prefix="tb-", rng=random.Random(1), session=session
    )
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            yield broker
    finally:
        wire.go_on.set()
        broker.close()


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 (threads have no event of the loop's)
        await asyncio.sleep(0.005)


async def test_an_order_that_waits_behind_a_hanging_one_does_not_leave_after_a_kill() -> None:
    wire, killed = Hanging((200, ORDER), lambda request: b"-00000001" in (request.body or b"")), threading.Event()
    asked_in: list[str] = []

    def may_send() -> bool:
        asked_in.append(threading.current_thread().name)
        return not killed.is_set()

    async with a_broker_over(wire) as broker:
        hanging = asyncio.create_task(broker.submit(an_order(), always))
        await until(lambda: wire.requests)
        waiting = asyncio.create_task(broker.submit(an_order(2), may_send))
        await asyncio.sleep(0.05)
        killed.set()
        wire.go_on.set()
        with pytest.raises(OrderNotTaken, match="withheld"):
            await waiting
        with pytest.raises(BrokerError):
            await hanging
    assert asked_in == ["orders-0"]
    assert [json.loads(request.body or b"")["client_order_id"] for request in wire.requests] == [
        an_order().client_order_id
    ]


async def test_an_order_that_finds_no_thread_in_time_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "RULES", {Urgency.ORDER: Rule(0.05, 0.1)})
    monkeypatch.setattr(connection, "LEAST_WAIT_FOR_A_THREAD_SECONDS", 0.1)
    wire = Hanging((200, ORDER), lambda request: b"-00000001" in (request.body or b""))
    async with a_broker_over(wire) as broker:
        hanging = asyncio.create_task(broker.submit(an_order(), always))
        await until(lambda: wire.requests)
        with pytest.raises(OrderNotTaken, match=r"no thread was free within 0\.1 s"):
            await broker.submit(an_order(2), always)
        wire.go_on.set()
        with pytest.raises(BrokerError):
            await hanging
        await broker.cancel(BROKER_ID)
    assert wire.sent("POST") == 1


async def test_not_a_byte_leaves_when_the_kill_comes_while_the_connection_is_made() -> None:
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    endpoint = a_config().broker.model_copy(update={"base_url": url, "data_url": url})
    looks = iter([True, False])
    with bounded_session() as session:
        broker = AlpacaBroker(
            endpoint, Credentials("PK", "secret"), prefix="tb-", rng=random.Random(1), session=lambda: session
        )
        with pytest.raises(OrderNotTaken, match="withheld"):
            await broker.submit(an_order(), lambda: next(looks))
        broker.close()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await until(lambda: received)
    server.close()
    assert received == [b""]
    assert next(looks, None) is None


def asks_about_one_order(request: requests.PreparedRequest) -> bool:
    return "by_client_order_id" in (request.url or "")


def reads(request: requests.PreparedRequest) -> bool:
    return request.method == "GET"


async def test_a_cancel_and_a_kills_snapshot_wait_for_no_question() -> None:
    wire = Hanging((200, []), asks_about_one_order)
    async with a_broker_over(wire) as broker:
        questions = [asyncio.create_task(broker.order(f"tb-{number}")) for number in range(20)]
        await until(lambda: wire.requests)
        await broker.cancel(BROKER_ID)
        assert await broker.open_orders(urgent=True) == ()
        assert await broker.positions(urgent=True) == ()
        assert await broker.activities(None, urgent=True) == ()
        assert not any(question.done() for question in questions)
        for question in questions:
            question.cancel()


async def test_a_cancel_waits_for_no_read_of_whatever_kind() -> None:
    wire = Hanging((204, ""), reads)
    async with a_broker_over(wire) as broker:
        asked = [
            asyncio.create_task(call)
            for _ in range(8)
            for call in (
                broker.clock(),
                broker.order("tb-1"),
                broker.open_orders(),
                broker.open_orders(urgent=True),
                broker.figures(urgent=True),
            )
        ]
        await until(lambda: wire.sent("GET") >= 6)
        await broker.cancel(BROKER_ID)
        assert wire.sent("DELETE") == 1
        for call in asked:
            call.cancel()
