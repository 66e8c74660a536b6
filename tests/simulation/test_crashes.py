"""The process dies at every commit and around every call to the broker; the history at the broker stays the same."""

import time
from pathlib import Path

import pytest

from simulation.world import Points, World
from tradingbot_runtime.core import events as seen

SEED = 7
SESSIONS = 1


async def whole_run(volume: Path, points: Points | None = None) -> World:
    world = World(volume, SEED, points, timeframe="1Hour")
    await world.live(world.begin)
    await world.run(SESSIONS)
    await world.settle()
    return world


async def test_a_crash_anywhere_changes_nothing_at_the_broker(tmp_path: Path) -> None:
    reference = await whole_run(tmp_path / "reference")
    reference.check()
    points = list(reference.points.passed)
    started = time.monotonic()
    for number, name in enumerate(points):
        world = await whole_run(tmp_path / f"dies-{number}", Points(lambda at, number=number: at == number))
        assert world.restarts == 1, name
        world.check()
        assert world.ideas == reference.ideas, f"died {name} (point {number})"
        assert world.held == reference.held
        world.database.close()
    print(f"{len(points)} deaths in {time.monotonic() - started:.1f} s")
