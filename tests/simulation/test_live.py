"""A live bot on the simulator's live account: it trades while it is granted, and leaves when it no longer is.

What became of it is asked of the simulator, not of the bot.
"""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from simulation.forks import Forks
from simulation.live import GONE, QUARTER, LiveWorld
from simulation.test_crashes import LIQUID, is_worth_dying_at
from simulation.world import LIVE_PREFIX, World, driven
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.state import verify

RESTING = {"limitOffsetBps": -200}


async def test_it_trades_on_the_live_account_only_while_it_is_granted(tmp_path: Path) -> None:
    world = LiveWorld(tmp_path)
    await World.begin(world)  # nobody has said anything of a grant
    await world.steps(12)
    report = world.engine.report(world.decisions.now(), version="1", started_at=world.machine)
    assert (report.trading_state, report.reason, world.orders) == ("Halted", "NotGranted", [])

    await world.say(world.grant)
    await world.steps(8)
    await world.settle()
    assert world.held
    assert all(order["client_order_id"].startswith(LIVE_PREFIX) for order in world.orders)
    assert list(world.account_of("paper").orders_newest_first()) == []
    world.check()

    await world.say(GONE)
    await world.settle()
    bought, held = world.bought, world.held
    await world.run(2, every=timedelta(minutes=30))
    assert (world.bought, world.held) == (bought, held)
    world.check()


async def test_a_grant_lost_amid_resting_orders_leaves_none_and_keeps_what_is_held(tmp_path: Path) -> None:
    world = LiveWorld(tmp_path)
    await world.begin()
    await world.steps(8)
    held = world.held
    assert held
    world.fault(kind="partial_fill_stall", seconds=100_000, match={"client_order_id_prefix": LIVE_PREFIX})
    while not world.still_open:
        await world.step(QUARTER)
    await world.say(GONE)
    await world.settle()
    assert world.still_open == []
    assert set(world.held) >= set(held)
    report = world.engine.report(world.decisions.now(), version="1", started_at=world.machine)
    assert report.withdrawal is not None and report.withdrawal.orders_cancelled_at is not None
    assert report.withdrawal.flat_at is None
    world.check(interfered=True)


async def test_a_grant_lost_while_an_order_is_on_its_way_leaves_none(tmp_path: Path) -> None:
    """The word comes between the decision and the broker's answer: the order is there, and it goes."""
    world = LiveWorld(tmp_path, execution=RESTING)
    await world.begin()
    order_sent = False

    def answer(request: Any, send: Any) -> Any:
        nonlocal order_sent
        response = send()
        if request.method == "POST" and request.url.endswith("/orders"):
            order_sent = True
        return response

    world.answer = answer
    while not order_sent:
        await world.step(timedelta(minutes=5))
    await world.say(GONE)
    await world.settle()
    assert world.orders
    assert world.still_open == []
    assert world.held == {}


async def test_flatten_leaves_nothing_and_says_so_once_the_broker_has(tmp_path: Path) -> None:
    world = LiveWorld(tmp_path, onDelete="Flatten")
    await world.begin()
    await world.steps(8)
    assert world.held
    await world.say(GONE)
    assert world.engine.report(world.decisions.now(), version="1", started_at=world.machine).withdrawal is not None
    await world.settle()
    assert (world.still_open, world.held) == ([], {})
    report = world.engine.report(world.decisions.now(), version="1", started_at=world.machine)
    assert report.withdrawal is not None and report.withdrawal.flat_at is not None
    world.check(interfered=True)


async def test_keep_leaves_what_is_held_and_opens_nothing(tmp_path: Path) -> None:
    world = LiveWorld(tmp_path, onDelete="Keep", execution=RESTING)
    await world.begin()
    while not world.still_open:
        await world.step(QUARTER)
    held, bought = world.held, world.bought
    await world.say(GONE)
    await world.settle()
    assert [order for order in world.still_open if order["side"] == "buy"] == []
    await world.run(1)
    assert (world.held, world.bought) == (held, bought)


async def test_a_bot_that_was_down_when_its_grant_went_leaves_when_it_is_back(tmp_path: Path) -> None:
    world = LiveWorld(tmp_path, onDelete="Flatten")
    await world.begin()
    await world.steps(8)
    assert world.held
    world.grant = GONE
    await world.restart()
    await world.settle()
    assert (world.still_open, world.held) == ([], {})


def test_wherever_the_process_dies_of_it_the_withdrawal_is_finished(tmp_path: Path) -> None:
    """Some orders are stuck half filled, so that there is something to cancel; what is held is closed."""
    (tmp_path / "dead").mkdir()
    forks = Forks(tmp_path / "dead", lambda number, name: dying and is_worth_dying_at(number, name))
    config = {
        "symbols": LIQUID[:5],
        "strategy": {"name": "momentum", "parameters": {"lookback": 3, "max_weight": 0.12}},
        "capital": "50000",
        "risk": {"maxOrdersPerMinute": 200},
    }
    world = LiveWorld(tmp_path / "dying", forks.points(), onDelete="Flatten", **config)
    forks.world = world
    dying = False

    def withdrawn_run() -> None:
        nonlocal dying
        driven(world.live(world.begin))
        driven(world.steps(4))
        assert len(world.held) > 2
        world.fault(kind="partial_fill_stall", seconds=100_000, match={"client_order_id_prefix": LIVE_PREFIX})
        driven(world.step(QUARTER))
        assert world.still_open
        dying = True
        driven(world.say(GONE))
        bought = world.bought
        # The same grant again changes nothing: every process, the next one too, has journaled that it was gone.
        driven(world.say(seen.GrantSeen(granted=True)))
        for _ in range(4):
            driven(world.settle())
            dying = False
        driven(world.run(1, every=timedelta(minutes=65)))
        assert world.bought == bought
        assert (world.still_open, world.held) == ([], {})
        report = world.engine.report(world.decisions.now(), version="1", started_at=world.machine)
        assert report.reason == "NotGranted"
        assert report.withdrawal is not None and report.withdrawal.flat_at is not None
        world.check(interfered=True)
        verify(world.volume, "live")

    forks.run(withdrawn_run)
    assert not forks.failures, "\n".join(forks.failures[:3])
    assert sum(forks.deaths.values()) > 20


async def test_a_new_grant_goes_on_with_the_books_of_the_old_one(tmp_path: Path) -> None:
    world = LiveWorld(tmp_path)
    await world.begin()
    await world.steps(8)
    held = world.held
    assert held
    await world.say(GONE)
    await world.settle()
    ids = {order["client_order_id"] for order in world.orders}
    assert world.config.grant is not None
    second = world.config.grant.model_copy(update={"epoch": 2})
    world.config = world.config.model_copy(update={"grant": second})
    world.grant = seen.GrantSeen(granted=True)
    await world.restart()
    await world.run(2, every=timedelta(minutes=30))
    await world.settle()
    assert {order["client_order_id"] for order in world.orders} > ids
    world.check()


async def test_a_cap_that_is_lowered_live_counts_without_a_restart(tmp_path: Path) -> None:
    capital, cap = Decimal(10_000), Decimal(3_000)
    world = LiveWorld(tmp_path, capital=str(capital), risk={"maxPositionPercent": "100"})
    await world.begin()
    await world.steps(10)
    await world.settle()
    assert world.value > cap
    before, restarts = len(world.orders), world.restarts
    await world.say(seen.GrantSeen(granted=True, max_capital=cap))
    for _ in range(12):
        orders = len(world.orders)
        await world.step(QUARTER)
        if any(order["side"] == "buy" for order in world.orders[orders:]):
            assert world.value <= cap  # only what sales had made room for
    await world.settle()
    assert any(order["side"] == "sell" for order in world.orders[before:])
    assert world.value <= cap * Decimal("1.02")  # what it holds may have risen since
    assert world.restarts == restarts
    world.check()


@pytest.mark.parametrize("on_kill", ["CancelOrders", "Flatten"])
async def test_a_kill_of_a_live_bot_that_is_leaving_is_carried_out(tmp_path: Path, on_kill: str) -> None:
    world = LiveWorld(tmp_path, onKill=on_kill, onDelete="Keep")
    await world.begin()
    await world.steps(8)
    held = world.held
    assert held
    await world.say(GONE)
    await world.tell(seen.KillSeen("enough", "BrokerAccount"))
    await world.settle()
    assert world.still_open == []
    assert world.held == ({} if on_kill == "Flatten" else held)
    kill = world.recovered().kill
    assert kill is not None and kill.is_done
