"""A bot trades sessions on the simulator, and its books are the broker's whatever happens on the way."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from simulation.world import PREFIX, World
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.core.orders import OrderState


async def test_it_trades_three_sessions_and_its_books_are_the_brokers(tmp_path: Path) -> None:
    world = World(tmp_path, seed=7)
    await world.begin()
    await world.run(3)
    await world.settle()
    world.check()
    assert len(world.orders) > 10
    assert {order["side"] for order in world.orders} == {"buy", "sell"}
    assert world.engine.is_ready


@pytest.mark.parametrize("timeframe", ["5Min", "1Hour", "1Day"])
async def test_it_trades_on_bars_of_every_length(tmp_path: Path, timeframe: str) -> None:
    world = World(tmp_path, seed=3, timeframe=timeframe)
    await world.begin()
    await world.run(3 if timeframe == "1Day" else 1, every=timedelta(minutes=15))
    await world.settle()
    world.check()
    assert world.orders


async def test_the_same_seed_gives_the_same_history(tmp_path: Path) -> None:
    histories = []
    for name in ("one", "two"):
        world = World(tmp_path / name, seed=5)
        await world.begin()
        await world.run(2)
        lines = world.database._connection.execute("SELECT hash FROM journal ORDER BY seq").fetchall()
        histories.append((world.ideas, lines))
    assert histories[0] == histories[1]
    assert histories[0][0]


async def test_orders_that_rest_are_kept_over_a_restart(tmp_path: Path) -> None:
    world = World(tmp_path, seed=7, execution={"limitOffsetBps": -200})
    await world.begin()
    await world.run(1, every=timedelta(minutes=15))
    before = [order["client_order_id"] for order in world.orders]
    await world.restart()
    await world.settle()
    assert [order["client_order_id"] for order in world.orders] == before
    world.check()


def failing(
    kind: str, times: list[int]
) -> Callable[[requests.PreparedRequest, Callable[[], requests.Response]], requests.Response]:
    """The broker misbehaves at some submits."""
    count = 0

    def answer(request: requests.PreparedRequest, send: Callable[[], requests.Response]) -> requests.Response:
        nonlocal count
        if request.method != "POST":
            return send()
        count += 1
        if count not in times:
            return send()
        if kind == "timeout before":
            raise requests.exceptions.ConnectTimeout("no answer")
        response = send()
        if kind == "timeout after":
            raise requests.exceptions.ReadTimeout("no answer")
        if kind == "connection lost":
            raise requests.exceptions.ConnectionError("reset")
        response.status_code = 504 if kind == "504 after" else 200
        response._content = b"<html>gateway timeout</html>" if kind == "504 after" else b'{"id": "'
        return response

    return answer


@pytest.mark.parametrize("kind", ["timeout before", "timeout after", "connection lost", "504 after", "cut short"])
async def test_a_doubtful_order_is_asked_about_and_never_sent_twice(tmp_path: Path, kind: str) -> None:
    calm = World(tmp_path / "calm", seed=7)
    await calm.begin()
    await calm.run(1)

    world = World(tmp_path / "storm", seed=7)
    world.answer = failing(kind, [1, 2, 5])
    await world.begin()
    await world.run(1)
    await world.settle()
    world.check()
    states = [order.state for order in world.recovered().orders]
    assert OrderState.IN_DOUBT not in states
    # Without a connection nothing can have left: that is no doubt.
    never_left = kind == "timeout before"
    assert world.engine.counters["orders", "in_doubt"] == (0 if never_left else 3)
    assert states.count(OrderState.NOT_SENT) == (3 if never_left else 0)
    if not never_left:
        assert world.ideas == calm.ideas


async def test_a_missed_trade_update_is_made_good(tmp_path: Path) -> None:
    world = World(tmp_path, seed=7)
    await world.begin()
    world.simulator.take_trade_updates()
    for _ in range(30):
        world.simulator.clock.step(timedelta(minutes=15))  # type: ignore[attr-defined]
        world.simulator.take_trade_updates()
        world.machine += timedelta(seconds=5)
        await world.bot.read_clock()
    await world.settle()
    world.check()
    assert world.orders


async def test_a_kill_in_mid_run_ends_it_for_good(tmp_path: Path) -> None:
    world = World(tmp_path, seed=7, execution={"limitOffsetBps": -300})
    await world.begin()
    await world.run(1, every=timedelta(minutes=30))
    while not [order for order in world.orders if order["status"] == "new"]:
        await world.step(timedelta(minutes=15))
    await world.tell(seen.KillSeen(reason="now", scope="TradingBot"))
    sent = len(world.orders)
    assert not [order for order in world.orders if order["status"] in {"new", "accepted", "pending_new"}]
    await world.settle()
    await world.run(1)
    await world.restart()
    await world.run(1)
    assert len(world.orders) == sent
    kill = world.recovered().kill
    assert kill is not None
    assert kill.orders_cancelled_at is not None
    world.check()


async def test_a_kill_that_flattens_closes_what_is_held(tmp_path: Path) -> None:
    world = World(tmp_path, seed=7, onKill="Flatten")
    await world.begin()
    while not world.held or not world.simulator.exchange.calendar.open_at(world.simulator.clock.now()):
        await world.step(timedelta(minutes=15))
    await world.tell(seen.KillSeen(reason="flatten", scope="BrokerAccount"))
    await world.settle()
    kill = world.recovered().kill
    assert world.held == {}
    assert kill is not None
    assert kill.flat_at is not None
    ours = [order for order in world.orders if order["client_order_id"].startswith(PREFIX)]
    assert len(ours) == len(world.recovered().orders)
