"""A bot on a restored backup learns from the broker what it did since, and uses no order's id twice."""

from datetime import timedelta
from pathlib import Path

from simulation.world import World
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.state import Backups, restore

SEED = 7
EVERY = timedelta(minutes=45)


async def test_what_was_done_after_the_backup_is_adopted_and_nothing_is_doubled(tmp_path: Path) -> None:
    world = World(tmp_path, SEED)
    await world.live(world.begin)
    await world.step(timedelta(minutes=50))
    backup = Backups(tmp_path, "paper").take(world.machine)
    assert backup.verification.orders > 0
    await world.run(1, every=EVERY)
    sent = len(world.orders)
    assert sent > backup.verification.orders

    world.database.close()
    restore(tmp_path, "paper", backup.path, world.machine)
    world.boot()
    await world.begin()
    await world.settle()
    assert len(world.recovered().orders) == sent
    world.check()
    await world.run(1, every=EVERY)
    await world.settle()
    assert len(world.orders) > sent
    world.check()
    world.database.close()


async def test_a_bot_that_was_killed_after_the_backup_stays_killed(tmp_path: Path) -> None:
    world = World(tmp_path, SEED)
    await world.live(world.begin)
    await world.step(timedelta(minutes=50))
    backup = Backups(tmp_path, "paper").take(world.machine)
    await world.tell(seen.KillSeen(reason="now", scope="TradingBot"))
    sent = len(world.orders)

    world.database.close()
    assert restore(tmp_path, "paper", backup.path, world.machine).kill_carried_over
    world.boot()
    await world.begin()
    await world.settle()
    await world.run(1, every=EVERY)
    assert len(world.orders) == sent
    world.database.close()
