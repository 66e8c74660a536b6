"""A bot among every fault there is, at random: whatever happens, the invariants hold, and its books are the broker's.

Twenty seeds, each with its own mixture; TRADINGBOT_CHAOS_WEEK=1 plays a whole week under each of them.
"""

import os
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alpaca_simulator.simulator import Simulator
from simulation.chaos import FAULTS, INTERVENTIONS, Chaos
from simulation.shuffled import ShuffledWorld
from tradingbot_api import SessionReport
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.core.kill import is_open
from tradingbot_runtime.recording import replay
from tradingbot_runtime.state import verify

SEEDS = range(1, 21)
A_WEEK = bool(os.environ.get("TRADINGBOT_CHAOS_WEEK"))
"""Five whole sessions under each seed, in most of an hour instead of half a minute."""
DAYS = 5 if A_WEEK else 1
START = datetime(2026, 3, 2, 14, 28, tzinfo=UTC) if A_WEEK else datetime(2026, 3, 2, 20, 30, tzinfo=UTC)
"""Before the open in New York, or half an hour before the close."""
UNTIL_BEFORE_THE_CLOSE = timedelta(minutes=2)
SEEDS_WITH_A_KILL = 5
SEEDS_WITH_A_RECORDING = 4


def a_world(volume: Path, seed: int, simulator: Simulator | None = None) -> ShuffledWorld:
    config: dict[str, Any] = {"timeframe": "1Min", "symbols": ["AAPL", "MSFT", "SPY"][: 2 + seed % 2]}
    config["strategy"] = {"name": "momentum", "parameters": {"lookback": 3, "max_weight": 0.2}}
    config["risk"] = {"maxOrdersPerMinute": 6}
    if seed % 3 == 0:
        config["execution"] = {"limitOffsetBps": -2, "repriceBps": 5}
    return ShuffledWorld(volume, seed, start=START, simulator=simulator, **config)


def checked(world: ShuffledWorld, chaos: Chaos, *, killed: bool) -> None:
    """The bot comes back by itself; what somebody else did to the account is taken over on a person's word."""
    chaos.stop()
    world.quiet()
    if world.interfered:
        world.say(seen.PositionsAccepted(f"looked at after {world.simulator.clock.now()}"))
        world.quiet()
    world.check(interfered=world.interfered)
    if not world.restarts:
        world.check_the_rate()
    kill = world.recovered().kill
    assert (kill is not None and kill.is_done) == killed
    assert not killed or not [order for order in world.ours if is_open(order["status"])]
    world.time.forget()
    world.database.close()
    found = verify(world.volume, "paper")
    world.die()
    assert found.orders == len(world.recovered().orders)


def check_sessions(world: ShuffledWorld, days: int) -> None:
    """One record for each session, with the figures of the orders that the volume has."""
    closed = world.database.records.sessions()
    assert len(closed) == days
    for one in closed:
        report = SessionReport.model_validate_json(one.record.payload)
        orders = world.database.records.orders_between(
            datetime.fromisoformat(report.opens_at), datetime.fromisoformat(report.closes_at)
        )
        assert report.orders == sum(1 for order in orders if order.broker_id and not order.parent_id), report
        assert report.filled_orders == sum(1 for order in orders if order.state.value == "filled"), report


@pytest.mark.parametrize("seed", SEEDS)
def test_sessions_of_faults_and_crashes_end_in_the_brokers_books(tmp_path: Path, seed: int) -> None:
    played: Counter[str] = Counter()
    killed = False
    with a_world(tmp_path / "state", seed) as world:
        if seed % SEEDS_WITH_A_RECORDING == 0:
            world.record_in(tmp_path)
            world.die()
        for day in range(1, DAYS + 1):
            chaos = Chaos(world, f"{seed}, day {day}", hands_off=seed % 2 == 0)
            left = world.until_the_close() - UNTIL_BEFORE_THE_CLOSE
            chaos.play(left / 2)
            if seed % SEEDS_WITH_A_KILL == 0 and day == DAYS:
                world.say(seen.KillSeen("in the middle of it", "TradingBot"))
                killed = True
            chaos.play(left / 2)
            played += chaos.played
            checked(world, chaos, killed=killed)
            check_sessions(world, days=day)
            world.wake_at_the_open()
            world.run_for(timedelta(minutes=3))
            assert world.engine.is_ready, world.engine._known.not_ready_reason()
        world.end_recording()
        assert [replay(path).difference for path in world.recordings] == [None] * len(world.recordings)
        print(
            f"\nseed {seed}: {len(world.orders)} orders, {world.restarts} deaths, {world.steps} steps, {dict(played)}"
        )


def test_every_kind_of_fault_and_intervention_is_played() -> None:
    played: Counter[str] = Counter()
    for draw in (*FAULTS, *INTERVENTIONS):
        played[draw(random.Random(1), ["AAPL"])["kind"]] += 1
    assert len(played) == len(FAULTS) + len(INTERVENTIONS)
