"""The process dies at, in and after every commit and around every call to the broker; the history stays the same."""

import json
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from simulation.forks import Forks
from simulation.world import PREFIX, Points, World, driven
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.state import verify

SEED = 7
EVERYWHERE = bool(os.environ.get("TRADINGBOT_CRASH_EVERYWHERE"))
"""A run of more than 200 orders and more than 1,000 deaths, in minutes instead of seconds."""
READS_PER_DEATH = 40 if EVERYWHERE else 30
"""At every commit and every write to the broker, and at one in so many reads."""
DAYS, STEPS_A_DAY, EVERY = (9, 12, timedelta(minutes=15)) if EVERYWHERE else (1, 3, timedelta(minutes=60))
DEATHS_PER_WHOLE_RUN = 20
"""One in so many is followed to the last day, the others to the end of the day they died on."""
OPEN = {"new", "accepted", "pending_new", "partially_filled"}
LIQUID = ["AAPL", "MSFT", "SPY", "QQQ", "NVDA", "AMZN", "TSLA", "IWM"]


def a_world(volume: Path, points: Points, **changes: Any) -> World:
    config: dict[str, Any] = {
        "symbols": LIQUID if EVERYWHERE else LIQUID[:5],
        "strategy": {"name": "momentum", "parameters": {"lookback": 3, "max_weight": 0.12}},
        "capital": "50000",
        "risk": {"maxOrdersPerMinute": 200},
    }
    return World(volume, SEED, points, **(config | changes))


def is_worth_dying_at(number: int, name: str) -> bool:
    return " GET " not in name or number % READS_PER_DEATH == 0


def books_of(world: World) -> list[Any]:
    """All that an order may be judged by, at the broker and on the volume, without the ids."""
    told = ("created_at", "symbol", "side", "qty", "limit_price", "status", "filled_qty", "filled_avg_price")
    orders = sorted([order[name] for name in told] for order in world.orders)
    sent = [order for order in world.recovered().orders if order.broker_id]
    ours = sorted([str(one.created_at), one.symbol, one.side, str(one.filled_qty), one.state] for one in sent)
    checkpoints = world.recovered().checkpoints
    # What a peak was is only what somebody saw of it; what follows from it has to be the same.
    risk = {name: value for name, value in json.loads(checkpoints["risk"]).items() if "profit" not in name}
    return [orders, sorted(world.held.items()), world.cash, ours, checkpoints["trading"], risk]


def traded(world: World, forks: Forks | None, reference: list[Any]) -> None:
    """Days of trading, a new process after each: what a day leaves to the next is all on the volume."""
    driven(world.live(world.begin))
    for number in range(DAYS):
        for _ in range(STEPS_A_DAY):
            driven(world.step(EVERY))
            # A new process learns at once what the old one would have heard a moment later: so does every other.
            driven(world.linger())
        driven(world.settle())
        world.check()
        driven(world.restart())
        books = books_of(world)
        if forks is None:
            reference.append(books)
        assert books == reference[number], f"day {number + 1} ended otherwise"
        if forks is not None and forks.is_copy:
            world.check()
            if forks.number % DEATHS_PER_WHOLE_RUN:
                return
        driven(world.sleep_until_the_open())


def said_of(forks: Forks, points: int, orders: int, seconds: float) -> str:
    kinds = "\n".join(f"  {count:5d}  {name}" for name, count in forks.deaths.most_common())
    return (
        f"\n{sum(forks.deaths.values())} deaths at {points} points of a run of {orders} orders, each followed by a"
        f" process of its own, in {seconds:.0f} s:\n{kinds}"
    )


def test_a_crash_anywhere_changes_nothing_at_the_broker(tmp_path: Path) -> None:
    reference: list[Any] = []
    calm = a_world(tmp_path / "calm", Points())
    traded(calm, None, reference)
    assert len(calm.orders) >= (200 if EVERYWHERE else 8), len(calm.orders)

    started = time.monotonic()
    (tmp_path / "dead").mkdir()
    forks = Forks(tmp_path / "dead", is_worth_dying_at)
    world = forks.world = a_world(tmp_path / "dying", forks.points())
    forks.run(lambda: traded(world, forks, reference))
    print(said_of(forks, len(world.points.passed), len(world.orders), time.monotonic() - started))
    assert not forks.failures, "\n".join(forks.failures[:3])
    assert forks.deaths["during commit"] > 10
    assert forks.deaths["before POST /orders"] == len(world.orders) == len(calm.orders)
    if EVERYWHERE:
        assert sum(forks.deaths.values()) >= 1_000


def test_a_kill_is_kept_wherever_the_process_dies_of_it(tmp_path: Path) -> None:
    """Some orders are stuck half filled, so that the kill has something to cancel; what is held is closed."""
    started = time.monotonic()
    (tmp_path / "dead").mkdir()
    forks = Forks(tmp_path / "dead", lambda number, name: dying and is_worth_dying_at(number, name))
    world = forks.world = a_world(tmp_path / "dying", forks.points(), onKill="Flatten")
    dying = False

    def killed_run() -> None:
        nonlocal dying
        driven(world.live(world.begin))
        for _ in range(8 if EVERYWHERE else 4):
            driven(world.step(timedelta(minutes=15)))
        assert len(world.held) > 2
        world.fault(kind="partial_fill_stall", seconds=100_000, match={"client_order_id_prefix": PREFIX})
        driven(world.step(timedelta(minutes=15)))
        assert [order for order in world.orders if order["status"] in OPEN]
        dying = True
        for _ in range(3):  # an annotation stays: every new process sees it again
            driven(world.tell(seen.KillSeen(reason="now", scope="TradingBot")))
        sent = {order["client_order_id"] for order in world.orders if order["side"] == "buy"}
        for _ in range(4):
            driven(world.settle())
            dying = False
        driven(world.run(1, every=timedelta(minutes=65)))
        assert {order["client_order_id"] for order in world.orders if order["side"] == "buy"} == sent
        assert not [order for order in world.orders if order["status"] in OPEN]
        assert world.held == {}
        kill = world.recovered().kill
        assert kill is not None
        assert kill.is_done
        world.check(interfered=True)
        assert verify(world.volume, "paper").killed

    forks.run(killed_run)
    print(said_of(forks, len(world.points.passed), len(world.orders), time.monotonic() - started))
    assert not forks.failures, "\n".join(forks.failures[:3])
    assert sum(forks.deaths.values()) > 20


@pytest.mark.parametrize("stride", [37, 53, 71, 97])
async def test_dying_again_and_again_loses_and_doubles_nothing(tmp_path: Path, stride: int) -> None:
    dying = Points(lambda at: at % stride == stride - 1)
    world = World(tmp_path, SEED, dying)
    await world.live(world.begin)
    await world.run(3, every=timedelta(minutes=65))
    dying.dies_at = lambda at: False
    await world.settle()
    assert world.restarts >= 8
    assert world.orders
    world.check()
