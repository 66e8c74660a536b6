"""Clocks that somebody sets while a bot trades: its machine's, and the broker's as the broker tells it."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import requests

from simulation.world import MONDAY, World
from tradingbot_api import SessionReport

JUMPS = [timedelta(days=-400), timedelta(hours=-2), timedelta(seconds=-5), timedelta(minutes=7), timedelta(days=400)]


@pytest.mark.parametrize("jump", JUMPS, ids=str)
@pytest.mark.parametrize("and_back", [False, True])
async def test_the_machines_clock_may_be_set_in_mid_session(tmp_path: Path, jump: timedelta, and_back: bool) -> None:
    """Worse than it can come: the app's own clock follows the wall's slowly."""
    world = World(tmp_path, seed=7, execution={"limitOffsetBps": -2, "repriceBps": 5})
    await world.begin()
    for number in range(40):
        await world.step(timedelta(minutes=10))
        if number == 3:
            world.fault(kind="reset_after", match={"route": "POST /v2/orders"}, count=2)
        if number == 5:
            world.machine += jump
        if number == 15 and and_back:
            world.machine -= jump
        if number == 25:
            await world.restart()
    await world.settle()
    world.check()
    assert len(world.orders) > 3
    assert world.engine.is_ready


@pytest.mark.parametrize("jump", JUMPS, ids=str)
async def test_a_broker_that_tells_another_time_for_a_while_loses_and_doubles_nothing(
    tmp_path: Path, jump: timedelta
) -> None:
    world = World(tmp_path, seed=7)
    await world.begin()
    for number in range(60):
        world.answer = _telling_another_time(jump) if 12 <= number < 16 else lambda request, send: send()
        await world.step(timedelta(minutes=10))
    await world.settle()
    world.check()
    assert world.engine.is_ready
    assert world.engine._known.market == world.simulator.clock.now()
    afterwards = MONDAY + timedelta(minutes=170)
    assert [order for order in world.orders if datetime.fromisoformat(order["created_at"]) > afterwards]
    closed = [SessionReport.model_validate_json(one.record.payload) for one in world.database.records.sessions()]
    assert [(one.session, one.closes_at) for one in closed] == [("2026-03-02", "2026-03-02T21:00:00.000Z")]
    assert closed[0].closed_normally
    assert 85 <= closed[0].coverage_percent <= 100
    assert closed[0].orders == len(world.orders)


def _telling_another_time(
    jump: timedelta,
) -> Callable[[requests.PreparedRequest, Callable[[], requests.Response]], requests.Response]:
    def answer(request: requests.PreparedRequest, send: Callable[[], requests.Response]) -> requests.Response:
        response = send()
        if (request.url or "").endswith("/v2/clock"):
            body = json.loads(response.content)
            body["timestamp"] = (datetime.fromisoformat(body["timestamp"]) + jump).isoformat()
            response._content = json.dumps(body).encode()
        return response

    return answer
