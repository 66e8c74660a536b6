"""The Lease as one replica keeps it, against a server that checks versions as the real one does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.configuration import Configuration

from tradingbot_operator.cluster.connection import Connection
from tradingbot_operator.cluster.lease import LeaseKeeper, steady_seconds
from tradingbot_operator.leadership import Leadership, LeaseTimes


class LeaseServer:
    """One Lease, released by whoever held it: replaced only by who saw its last version."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = {"metadata": {"resourceVersion": "0"}, "spec": {"holderIdentity": ""}}
        self.version = 0
        self.requests: list[str] = []
        self.broken = False
        self.before_answer: Callable[[], None] = lambda: None

    @property
    def holder(self) -> str:
        assert self.lease is not None
        return str(self.lease["spec"]["holderIdentity"])

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append(request.method)
        body = await request.json() if request.can_read_body else {}
        if self.broken:
            return web.json_response({"message": "broken"}, status=503)
        answer = self._answer(request.method, body)
        self.before_answer()
        return answer

    def _answer(self, method: str, body: dict[str, Any]) -> web.Response:
        if self.lease is None and method != "POST":
            return web.json_response({"message": "none"}, status=404)
        if method == "GET":
            return web.json_response(self.lease)
        current = self.lease["metadata"]["resourceVersion"] if self.lease is not None else None
        if body["metadata"].get("resourceVersion") != current:
            return web.json_response({"message": "conflict"}, status=409)
        self.version += 1
        self.lease = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        return web.json_response(self.lease)


@pytest.fixture
async def server() -> AsyncIterator[tuple[LeaseServer, Connection]]:
    lease_server = LeaseServer()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", lease_server.handle)
    async with TestServer(app, host="127.0.0.1") as running:
        connection = Connection(Configuration(host=f"http://127.0.0.1:{running.port}"))
        yield lease_server, connection
        await connection.close()


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def a_keeper(connection: Connection, name: str, clock: Clock) -> LeaseKeeper:
    return LeaseKeeper(connection, Leadership(name, LeaseTimes()), namespace="system", name="operator", clock=clock)


async def test_one_leads_and_the_other_takes_over_when_it_falls_silent(server: tuple[LeaseServer, Connection]) -> None:
    lease_server, connection = server
    clock = Clock()
    first, second = a_keeper(connection, "first", clock), a_keeper(connection, "second", clock)
    await first.attempt()
    await second.attempt()
    assert (first.leading, second.leading, second.holder) == (True, False, "first")
    clock.now += 11.9
    await second.attempt()
    assert (first.leading, second.leading) == (False, False)
    clock.now += 0.2
    await second.attempt()
    assert second.leading and lease_server.holder == "second"
    assert lease_server.lease is not None and lease_server.lease["spec"]["leaseTransitions"] == 2
    await first.attempt()
    await first.attempt()
    assert not first.leading and first.holder == "second"


async def test_a_leader_renews_with_one_request_and_stays_the_same_leader(
    server: tuple[LeaseServer, Connection],
) -> None:
    lease_server, connection = server
    clock = Clock()
    keeper = a_keeper(connection, "first", clock)
    await keeper.attempt()
    assert lease_server.lease is not None
    acquired = lease_server.lease["spec"]["acquireTime"]
    lease_server.requests.clear()
    for _ in range(3):
        clock.now += 2
        await keeper.attempt()
    assert lease_server.requests == ["PUT", "PUT", "PUT"] and keeper.leading
    assert (lease_server.lease["spec"]["acquireTime"], lease_server.lease["spec"]["leaseTransitions"]) == (acquired, 1)


async def test_a_slow_answer_counts_from_the_question(server: tuple[LeaseServer, Connection]) -> None:
    lease_server, connection = server
    clock = Clock()
    keeper = a_keeper(connection, "first", clock)

    def seven_seconds_pass() -> None:
        clock.now += 7

    lease_server.before_answer = seven_seconds_pass
    await keeper.attempt()
    assert lease_server.holder == "first" and not keeper.leading


async def test_a_renewal_that_fails_is_looked_into(server: tuple[LeaseServer, Connection]) -> None:
    lease_server, connection = server
    clock = Clock()
    keeper = a_keeper(connection, "first", clock)
    await keeper.attempt()
    lease_server.broken = True
    clock.now += 5
    await keeper.attempt()
    assert keeper.leading
    clock.now += 1
    assert not keeper.leading
    lease_server.broken = False
    await keeper.attempt()
    assert keeper.leading


async def test_a_release_hands_over_at_once(server: tuple[LeaseServer, Connection]) -> None:
    lease_server, connection = server
    clock = Clock()
    first, second = a_keeper(connection, "first", clock), a_keeper(connection, "second", clock)
    await first.attempt()
    await second.attempt()
    await second.release()
    assert first.leading
    await first.release()
    assert not first.leading and lease_server.holder == ""
    await second.attempt()
    assert second.leading


async def test_a_lease_that_cannot_be_released_runs_out_by_itself(server: tuple[LeaseServer, Connection]) -> None:
    lease_server, connection = server
    keeper = a_keeper(connection, "first", Clock())
    await keeper.attempt()
    lease_server.broken = True
    await keeper.release()
    assert not keeper.leading and lease_server.holder == "first"


async def test_who_waits_is_told_of_every_turn(server: tuple[LeaseServer, Connection]) -> None:
    lease_server, connection = server
    clock = Clock()
    keeper = a_keeper(connection, "first", clock)
    running = asyncio.create_task(keeper.run())
    await asyncio.wait_for(keeper.wait_until(leading=True), 5)
    lease_server.broken = True
    clock.now += 10
    await asyncio.wait_for(keeper.wait_until(leading=False), 5)
    lease_server.broken = False
    await asyncio.wait_for(keeper.wait_until(leading=True), 5)
    assert keeper.silent_seconds == 0
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def test_the_clock_never_goes_back() -> None:
    seen = [steady_seconds() for _ in range(100)]
    assert seen == sorted(seen)
