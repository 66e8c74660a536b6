"""A kill in the middle of everything that can be under way: nothing is opened after it, and the broker confirms it.

What is looked at after every step is in kills.py. Deaths at every commit of a kill are in test_crashes.py, kills at
random moments in test_shuffled.py, those of a live bot in test_live.py, of a restored volume in test_restored.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from simulation.forks import Forks
from simulation.kills import KILL, MINUTE, SECOND, KillWorld, PutInPlace
from simulation.test_crashes import is_worth_dying_at
from simulation.world import World, driven
from tradingbot_runtime.core.orders import OrderState, epoch_of
from tradingbot_runtime.core.values import OrderClass, TimeInForce
from tradingbot_runtime.state import verify

ON_KILL = ["CancelOrders", "Flatten"]
POST = {"route": "POST /v2/orders"}


@pytest.mark.parametrize("seed", [1, 2])
def test_between_the_journal_and_the_broker_an_order_stays_home(tmp_path: Path, seed: int) -> None:
    with KillWorld(tmp_path, seed) as world:
        world.strikes_at = lambda name: name == "after commit" and bool(world.states(OrderState.JOURNALED))
        world.travels_seconds = 0.5
        before = set(world.posted)
        world.place()
        world.ends_well()
        assert set(world.posted) == before
        assert len(world.states(OrderState.NOT_SENT)) == 1


@pytest.mark.parametrize("far", [True, False])
def test_between_the_broker_and_its_answer_an_order_is_cancelled_or_what_it_bought_is_closed(
    tmp_path: Path, far: bool
) -> None:
    with KillWorld(tmp_path) as world:
        world.strikes_at = lambda name: name == "after POST /orders"
        world.place(far=far)
        world.ends_well()
        assert len(world.posted) == 3


@pytest.mark.parametrize("far", [True, False])
@pytest.mark.parametrize("on_kill", ON_KILL)
def test_an_order_in_doubt_keeps_the_kill_from_being_confirmed(tmp_path: Path, on_kill: str, far: bool) -> None:
    with KillWorld(tmp_path, onKill=on_kill) as world:
        for route in (POST["route"], "GET /v2/orders:by_client_order_id", "GET /v2/orders"):
            kind = "timeout_after" if route == POST["route"] else "status"
            status = {} if kind == "timeout_after" else {"status": 503}
            world.fault(kind=kind, match={"route": route}, **status)
        world.fault(kind="lose_update", match={"account": "paper"})
        world.place(far=far)
        world.run_until(lambda: bool(world.states(OrderState.IN_DOUBT)))
        world.kill()
        world.run_for(20 * SECOND)
        assert world.states(OrderState.IN_DOUBT)
        assert world.told is not None and world.told.orders_cancelled_at is None
        world.heal()
        world.ends_well()


@pytest.mark.parametrize("on_kill", ON_KILL)
def test_the_rest_of_a_partial_fill_is_cancelled_and_what_was_filled_closed(tmp_path: Path, on_kill: str) -> None:
    with KillWorld(tmp_path, onKill=on_kill) as world:
        world.fault(kind="partial_fill_stall", fraction=0.5, seconds=600, match={"symbol": "AAPL"}, count=1)
        world.place()
        world.run_until(lambda: bool(world.states(OrderState.PARTIALLY_FILLED)))
        world.kill()
        world.ends_well()
        assert world.held == ({} if on_kill == "Flatten" else {"AAPL": 15, "MSFT": 10})


@pytest.mark.parametrize("point", ["after commit", "before PATCH", "after PATCH"])
@pytest.mark.parametrize("seed", [1, 2])
def test_in_the_middle_of_a_replace_neither_order_stays(tmp_path: Path, seed: int, point: str) -> None:
    with KillWorld(tmp_path, seed) as world:
        world.place(far=True)
        world.run_until(lambda: bool(world.states(OrderState.NEW)))
        (order_id,) = world.states(OrderState.NEW)

        def strikes(name: str) -> bool:
            is_under_way = bool(world.states(OrderState.JOURNALED))
            return name.startswith(point) and is_under_way

        world.strikes_at = strikes
        world.say(PutInPlace(order_id, world.wish()))  # type: ignore[arg-type]
        world.ends_well()


@pytest.mark.parametrize("on_kill", ON_KILL)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_legs_of_a_filled_bracket_go_before_what_they_hold_is_closed(
    tmp_path: Path, seed: int, on_kill: str
) -> None:
    with KillWorld(tmp_path, seed, onKill=on_kill) as world:
        world.place(OrderClass.BRACKET)
        world.run_until(lambda: world.held.get("AAPL") == 20)
        assert [one["order_class"] for one in world.now_open] == ["bracket", "bracket"]
        world.kill()
        world.ends_well()
        assert world.held == ({} if on_kill == "Flatten" else {"AAPL": 20, "MSFT": 10})


@pytest.mark.parametrize("point", ["after POST /orders", "after commit"])
def test_a_bracket_that_is_filled_beside_the_kill_leaves_no_leg(tmp_path: Path, point: str) -> None:
    """The kill comes while nobody has told the bot yet what the broker has made of its order."""
    with KillWorld(tmp_path) as world:
        world.strikes_at = lambda name: name == point and len(world.ours) > 2
        world.place(OrderClass.BRACKET)
        world.ends_well()


@pytest.mark.parametrize("kind", ["drop_socket", "mute_socket"])
def test_while_the_stream_is_away_the_books_are_read(tmp_path: Path, kind: str) -> None:
    with KillWorld(tmp_path) as world:
        when = {"when": "now"} if kind == "drop_socket" else {}
        world.place(far=True)
        world.run_until(lambda: bool(world.states(OrderState.NEW)))
        world.fault(kind=kind, match={"stream": "trade_updates"}, **when)
        world.fault(kind="refuse_connection", status=503)
        world.run_for(4 * SECOND)
        world.kill()
        world.run_until(lambda: world.is_done)
        assert not world.engine._known.stream_connected or kind == "mute_socket"
        world.ends_well()


@pytest.mark.parametrize("on_kill", ON_KILL)
def test_a_broker_that_answers_500_for_a_minute_is_asked_until_it_does(tmp_path: Path, on_kill: str) -> None:
    with KillWorld(tmp_path, onKill=on_kill) as world:
        world.place(OrderClass.BRACKET)
        world.run_until(lambda: world.held.get("AAPL") == 20)
        until = world.simulator.clock.now() + MINUTE
        world.fault(kind="status", status=500, match={"account": "paper"}, until=until.isoformat())
        world.kill()
        world.run_for(58 * SECOND)
        assert len(world.now_open) == 2 and world.told is not None
        assert (world.told.orders_cancelled_at, world.told.flat_at) == (None, None)
        world.run_until(lambda: world.is_done, 25 * SECOND)
        world.ends_well()


@pytest.mark.parametrize("order_class", [OrderClass.SIMPLE, OrderClass.BRACKET])
def test_cancels_that_are_not_taken_keep_the_kill_from_being_confirmed_and_nothing_else_from_being_closed(
    tmp_path: Path, order_class: OrderClass
) -> None:
    with KillWorld(tmp_path) as world:
        world.place(order_class, far=order_class is OrderClass.SIMPLE)
        world.run_until(lambda: bool(world.states(OrderState.NEW)))
        left_open = len(world.now_open)
        until = world.simulator.clock.now() + 30 * SECOND
        cancel = {"route": "DELETE /v2/orders/{order_id}"}
        world.fault(kind="status", status=500, match=cancel, until=until.isoformat())
        world.kill()
        world.run_for(28 * SECOND)
        told = world.told
        assert told is not None and (told.open_orders, told.orders_cancelled_at, told.flat_at) == (
            left_open,
            None,
            None,
        )
        assert told.message == f"orders are being cancelled: {left_open} orders open"
        assert world.held.keys() == {"AAPL"}
        world.ends_well()


def test_what_closes_in_parts_is_closed_to_its_end_and_never_twice(tmp_path: Path) -> None:
    with KillWorld(tmp_path) as world:
        for symbol in ("AAPL", "MSFT"):
            world.fault(kind="partial_fill_stall", fraction=0.3, seconds=20, match={"symbol": symbol})
        world.kill()
        world.run_until(lambda: any(Decimal(0) < qty < 10 for qty in world.held.values()))
        assert not world.is_done
        world.ends_well()
        sold = [Decimal(str(one["filled_qty"])) for one in world.orders if one["side"] == "sell"]
        assert sum(sold) == 20


def test_while_the_market_is_closed_orders_go_at_once_and_closings_wait_for_the_open(tmp_path: Path) -> None:
    with KillWorld(tmp_path) as world:
        world.place(far=True, time_in_force=TimeInForce.GTC)
        world.run_until(lambda: bool(world.states(OrderState.NEW)))
        world.sleep_for(world.until_the_close() + 30 * MINUTE)
        world.run_for(20 * SECOND)
        assert len(world.now_open) == 1 and not world.engine._known.market_is_open
        world.kill()
        world.run_for(30 * SECOND)
        told = world.told
        assert told is not None and told.orders_cancelled_at is not None and told.flat_at is None
        assert "closings are queued for the open of 2026-03-03T14:30:00.000Z" in told.message
        closings = world.now_open
        assert sorted((one["symbol"], one["side"], one["qty"]) for one in closings) == [
            ("AAPL", "sell", "10"),
            ("MSFT", "sell", "10"),
        ]
        (line,) = [one for one in world.journal("kill_progress") if "queued for the open" in one["waits_for"]]
        assert line["epoch"] == "1"
        world.run_for(5.5 * MINUTE)
        assert [one["id"] for one in world.now_open] == [one["id"] for one in closings], "queued once"
        world.wake_at_the_open()
        world.ends_well()


@pytest.mark.parametrize("seed", range(1, 7))
async def test_a_pod_that_wakes_up_beside_the_flatten_command_sells_nothing_twice(tmp_path: Path, seed: int) -> None:
    """The pod is away; the command begins; the pod comes back, with or without its volume, and is told."""
    with KillWorld(tmp_path / "first", seed) as world:
        world.place(OrderClass.BRACKET)
        world.run_until(lambda: world.held.get("AAPL") == 20)
        world.fault(kind="partial_fill_stall", fraction=0.5, seconds=3, match={"symbol": "AAPL"})
        world.freeze()
        reports = world.flatten(120)
        world.run_for(world.rng.uniform(0, 4) * SECOND)
        world.wake_up(tmp_path / "second" if seed % 2 else world.volume)
        world.run_until(lambda: bool(reports))
        world.ends_well()
        assert reports[0].confirmed
        sold = [Decimal(str(one["filled_qty"])) for one in world.orders if one["side"] == "sell"]
        assert sum(sold) == 30


@pytest.mark.parametrize("seed", range(1, 5))
async def test_a_bot_that_has_not_seen_the_kill_yet_trades_beside_the_flatten_command_and_is_flat_in_the_end(
    tmp_path: Path, seed: int
) -> None:
    with KillWorld(tmp_path, seed) as world:
        reports = world.flatten(120)
        world.run_for(world.rng.uniform(0, 1) * SECOND)
        world.place()
        world.run_for(world.rng.uniform(0, 2) * SECOND)
        world.kill()
        world.run_until(lambda: bool(reports), 3 * MINUTE)
        world.ends_well()


# ---------------------------------------------------------------- start-up, release


@dataclass
class Deaths(Forks):
    """Deaths of a process from a moment on."""

    begun: bool = False

    def _die(self, number: int, name: str) -> bool:
        return self.begun and super()._die(number, name)


def a_trader(volume: Path, forks: Forks, **config: Any) -> World:
    """A bot that holds something and has orders stuck half filled."""
    world = World(volume, 7, forks.points(), onKill="Flatten", **config)
    forks.world = world
    driven(world.begin())
    for _ in range(4):
        driven(world.step(timedelta(minutes=15)))
    assert world.held
    world.fault(kind="partial_fill_stall", seconds=100_000, match={"client_order_id_prefix": world.prefix})
    while not open_orders(world):
        driven(world.step(timedelta(minutes=15)))
    return world


def open_orders(world: World) -> list[Any]:
    return [
        order for order in world.orders if order["status"] in {"new", "accepted", "pending_new", "partially_filled"}
    ]


def started_with(world: World, volume: Path, **config: Any) -> None:
    """Another process, with this volume and another config."""
    if world.database not in world.left_behind:
        world.database.close()
    world.volume = volume
    world.config = world.config.model_validate(world.config.model_dump(mode="json", by_alias=True) | config)
    driven(world.restart())


def forked(tmp_path: Path, history: Callable[["Deaths"], None]) -> "Deaths":
    (tmp_path / "dead").mkdir()
    forks = Deaths(tmp_path / "dead", is_worth_dying_at)
    forks.run(lambda: history(forks))
    assert not forks.failures, "\n".join(forks.failures[:3])
    return forks


def test_a_kill_that_the_config_tells_of_is_carried_out_wherever_the_process_dies_also_on_an_empty_volume(
    tmp_path: Path,
) -> None:
    def history(forks: Deaths) -> None:
        world = a_trader(tmp_path / "first", forks)
        bought = {order["client_order_id"] for order in world.orders if order["side"] == "buy"}
        forks.begun = True
        driven(world.live(lambda: told(world)))
        for _ in range(4):
            driven(world.settle())
            forks.begun = False
        if not forks.is_copy:
            driven(world.run(1, every=timedelta(minutes=65)))
        assert {order["client_order_id"] for order in world.orders if order["side"] == "buy"} == bought
        assert (open_orders(world), world.held) == ([], {})
        kill = world.recovered().kill
        assert kill is not None and kill.is_done
        assert (kill.epoch, kill.scope) == (1, "KillRecord")

    async def told(world: World) -> None:
        if world.volume == tmp_path / "first":
            started_with(world, tmp_path / "second", killed={"epoch": 1, "reason": "asked while it was away"})

    forks = forked(tmp_path, history)
    assert sum(forks.deaths.values()) > 10


def test_a_release_happens_once_wherever_the_process_dies_and_nothing_of_the_time_before_comes_back(
    tmp_path: Path,
) -> None:
    def history(forks: Deaths) -> None:
        world = a_trader(tmp_path / "volume", forks)
        driven(world.tell(KILL))
        driven(world.settle())
        assert (open_orders(world), world.held) == ([], {})
        sent = {order["client_order_id"] for order in world.orders}
        world.heal()
        driven(world.sleep_until_the_open())
        forks.begun = True
        started_with(world, world.volume, epoch=1)
        forks.begun = False
        assert world.recovered().kill is None
        assert not verify(world.volume, "paper").killed
        driven(world.run(1, every=timedelta(minutes=65)))
        driven(world.settle())
        later = [one for one in world.ours if one["client_order_id"] not in sent]
        assert later and {epoch_of(one["client_order_id"], world.config.bot.uid, "paper") for one in later} == {1}
        kinds = [kind for (kind,) in world.database._connection.execute("SELECT kind FROM journal ORDER BY seq")]
        assert (kinds.count("kill"), kinds.count("kill_released")) == (1, 1)
        world.check(interfered=True)
        driven(world.sleep_until_the_open())
        driven(world.step(timedelta(minutes=30)))
        driven(world.tell(KILL))
        driven(world.settle())
        kill = world.recovered().kill
        assert kill is not None and (kill.epoch, kill.is_done) == (2, True)

    forks = forked(tmp_path, history)
    assert sum(forks.deaths.values()) > 5


@pytest.mark.parametrize("seed", [1, 2])
def test_an_order_that_arrives_after_the_release_opens_nothing(tmp_path: Path, seed: int) -> None:
    """In doubt under the kill, and at the broker only once the kill is over."""
    with KillWorld(tmp_path, seed) as world:
        world.place(far=True)
        world.run_until(lambda: bool(world.states(OrderState.NEW)))
        (order_id,) = world.states(OrderState.NEW)
        world.freeze()
        world.release_and_wake_up(epoch=1)
        world.run_until(lambda: not world.now_open)
        world.run_for(30 * SECOND)
        orders = {one.client_order_id: one.state for one in world.recovered().orders}
        assert orders[order_id] is OrderState.CANCELED
        assert world.held == {"AAPL": 10, "MSFT": 10}, "what it holds it keeps"
        world.place()
        world.run_until(lambda: world.held.get("AAPL") == 20)
