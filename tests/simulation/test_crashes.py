"""The process dies at every commit and around every call to the broker; the history at the broker stays the same."""

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from simulation.world import Points, World
from tradingbot_runtime.core import events as seen

SEED = 7
EVERY_POINT = bool(os.environ.get("TRADINGBOT_CRASH_EVERYWHERE"))
"""Crashes at every point of three sessions, in minutes instead of seconds."""
READS_PER_DEATH = 4
"""Otherwise: at every commit and every write to the broker, and at every fourth read."""


def dies_at(number: int) -> Points:
    return Points(lambda at: at == number)


def worth_dying_at(points: list[str]) -> list[int]:
    return [
        number
        for number, name in enumerate(points)
        if EVERY_POINT or " GET " not in name or number % READS_PER_DEATH == 0
    ]


async def whole_run(volume: Path, points: Points | None = None, sessions: int = 1) -> World:
    world = World(volume, SEED, points)
    await world.live(world.begin)
    await world.run(sessions, every=timedelta(minutes=65))
    await world.settle()
    return world


async def test_a_crash_anywhere_changes_nothing_at_the_broker(tmp_path: Path) -> None:
    sessions = 3 if EVERY_POINT else 1
    reference = await whole_run(tmp_path / "reference", sessions=sessions)
    reference.check()
    assert len(reference.orders) >= 4
    points, started = list(reference.points.passed), time.monotonic()
    assert sum(name == "after commit" for name in points) > 10
    chosen = worth_dying_at(points)
    for number in chosen:
        name = points[number]
        world = await whole_run(tmp_path / f"dies-{number}", dies_at(number), sessions=sessions)
        assert world.restarts == 1, name
        world.check()
        assert world.ideas == reference.ideas, f"died {name} (point {number})"
        assert world.held == reference.held
        world.database.close()
    print(f"\n{len(chosen)} deaths of {len(points)}, each in a run of its own, in {time.monotonic() - started:.0f} s")


@pytest.mark.parametrize("stride", [37, 53, 71, 97])
async def test_dying_again_and_again_loses_and_doubles_nothing(tmp_path: Path, stride: int) -> None:
    dying = Points(lambda at: at % stride == stride - 1)
    world = await whole_run(tmp_path, dying, sessions=3)
    dying.dies_at = lambda at: False
    await world.settle()
    assert world.restarts >= 8
    assert world.orders
    world.check()


async def test_a_kill_is_kept_whenever_the_process_dies_of_it(tmp_path: Path) -> None:
    async def killed_run(volume: Path, points: Points) -> World:
        # Bids far below the market rest, so that the kill has something to cancel.
        world = World(volume, SEED, points, execution={"limitOffsetBps": -300})
        await world.live(world.begin)
        for _ in range(40):
            if any(order["status"] == "new" for order in world.orders):
                break
            await world.step(timedelta(minutes=15))
        points.reach("kill")
        for _ in range(3):  # an annotation stays: every new process sees it again
            await world.tell(seen.KillSeen(reason="now", scope="TradingBot"))
        await world.settle()
        return world

    reference = await killed_run(tmp_path / "reference", Points())
    first = reference.points.passed.index("kill") + 1
    chosen = [number for number in worth_dying_at(reference.points.passed) if number >= first]
    assert len(chosen) > 10
    for number in chosen:
        world = await killed_run(tmp_path / f"dies-{number}", dies_at(number))
        sent = len(world.orders)
        await world.run(1, every=timedelta(minutes=65))
        assert len(world.orders) == sent == len(reference.orders), "an order was sent after the kill"
        assert not [order for order in world.orders if order["status"] in {"new", "accepted", "pending_new"}]
        kill = world.recovered().kill
        assert kill is not None, f"died {reference.points.passed[number]}"
        assert kill.orders_cancelled_at is not None
        world.check()
        world.database.close()
