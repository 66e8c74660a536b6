"""The volume gets full in mid-session: what could not be journaled never reaches the broker, and nothing is lost."""

from datetime import timedelta
from pathlib import Path

import pytest

from simulation.world import World
from tradingbot_runtime.app import CommitFailed
from tradingbot_runtime.state import StateUnwritable

SEED = 7
EVERY = timedelta(minutes=45)


@pytest.mark.parametrize("spare_pages", [0, 1, 6])
async def test_a_bot_on_a_full_volume_sends_nothing_and_goes_on_where_it_was(tmp_path: Path, spare_pages: int) -> None:
    world = World(tmp_path, SEED)
    await world.live(world.begin)
    await world.step(timedelta(minutes=20))
    pages = world.database._connection.execute("PRAGMA page_count").fetchone()[0]
    world.database._connection.execute(f"PRAGMA max_page_count = {pages + spare_pages}")
    with pytest.raises(CommitFailed) as raised:
        await world.run(3, every=EVERY)
    assert isinstance(raised.value.failure, StateUnwritable)
    assert "volume is full" in str(raised.value.failure)
    sent = len(world.orders)

    with pytest.raises(CommitFailed):  # also what comes later is not sent
        await world.run(3, every=EVERY)
    assert len(world.orders) == sent

    await world.restart()
    await world.settle()
    assert {order["client_order_id"] for order in world.orders} <= {o.client_order_id for o in world.recovered().orders}
    await world.run(1, every=EVERY)
    await world.settle()
    assert len(world.orders) > sent
    world.check()
    world.database.close()
