"""Outcomes come late and in any order, and the books are the broker's all the same."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from simulation.shuffled import ShuffledWorld
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.recording import replay

SEEDS = range(1, 7)


def a_world(volume: Path, seed: int, **changes: Any) -> ShuffledWorld:
    return ShuffledWorld(volume, seed, **({"timeframe": "5Min", "symbols": ["AAPL", "MSFT"]} | changes))


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_order_outcomes_come_in_the_books_are_the_brokers(tmp_path: Path, seed: int) -> None:
    with a_world(tmp_path, seed) as world:
        world.run_for(timedelta(minutes=100))
        world.quiet()
        assert len(world.orders) >= 2
        world.check()
        world.check_the_rate()


def test_the_same_seed_shuffles_the_same_way(tmp_path: Path) -> None:
    histories = []
    for name in ("one", "two"):
        with a_world(tmp_path / name, 3) as world:
            world.run_for(timedelta(minutes=60))
            lines = world.database._connection.execute("SELECT hash FROM journal ORDER BY seq").fetchall()
            histories.append((world.steps, world.ideas, lines))
    assert histories[0] == histories[1]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_kill_among_shuffled_outcomes_leaves_nothing_open(tmp_path: Path, seed: int) -> None:
    with a_world(tmp_path, seed, execution={"limitOffsetBps": -200}, timeframe="1Min") as world:
        world.run_for(timedelta(minutes=6 + seed * 1.37))
        world.say(seen.KillSeen("enough", "TradingBot"))
        world.run_for(timedelta(minutes=30))
        kill = world.recovered().kill
        assert kill is not None
        assert kill.orders_cancelled_at is not None
        world.check()


def test_a_recording_of_shuffled_outcomes_gives_the_same_commands_again(tmp_path: Path) -> None:
    with a_world(tmp_path, 2) as world:
        world.record_in(tmp_path)
        world.die()
        world.run_for(timedelta(minutes=60))
        world.die()
        world.run_for(timedelta(minutes=20))
        world.end_recording()
        replayed = [replay(path) for path in world.recordings]
        assert [one.difference for one in replayed] == [None, None]
        assert sum(one.events for one in replayed) > 300
