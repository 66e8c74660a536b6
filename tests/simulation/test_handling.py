"""Brackets and rebalancing at the simulator: what the broker holds for a bot, and what the bot leaves alone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from simulation.world import World
from tradingbot_runtime.core.orders import OrderState

BRACKETS = {
    "name": "momentum-brackets",
    "parameters": {"lookback": 3, "max_weight": 0.2, "stop_loss_percent": 0.4, "take_profit_percent": 0.5},
}
MIX = {
    "name": "all-weather",
    "parameters": {
        "weights_percent": {"AAPL": 40, "MSFT": 30, "SPY": 20},
        "drift_percent": 0.3,
        "days_apart": 0,
        "min_trade": 20,
    },
}
MARKET = {"orderType": "market", "minTradePercent": "0.1"}


def entries(world: World) -> list[dict[str, Any]]:
    return [order for order in world.ours if order["side"] == "buy" and order["status"] == "filled"]


async def test_every_entry_has_its_exits_at_the_broker_and_some_are_taken(tmp_path: Path) -> None:
    world = World(tmp_path, seed=7, strategy=BRACKETS, execution=MARKET)
    await world.begin()
    await world.run(2)
    await world.settle()
    world.check(interfered=True)
    bought = entries(world)
    assert len(bought) >= 3
    assert {order["order_class"] for order in bought} == {"bracket"}
    assert {order["time_in_force"] for order in bought} == {"gtc"}
    legs = [order for order in world.recovered().orders if order.parent_id]
    assert len(legs) == 2 * len(bought)
    taken = [leg for leg in legs if leg.state is OrderState.FILLED]
    assert taken, "no exit was reached: the test shows nothing"
    # The exits outlast the day: what still waits now, after the close, is of positions that are held.
    waiting = {leg.symbol for leg in legs if not leg.is_terminal}
    assert waiting <= world.held.keys()


async def test_a_position_whose_exits_somebody_cancels_is_sold_at_the_next_bar(tmp_path: Path) -> None:
    far = {**BRACKETS, "parameters": {"lookback": 3, "max_weight": 0.2, "stop_loss_percent": 50}}
    world = World(tmp_path, seed=7, strategy=far, execution=MARKET)
    await world.begin()
    while not world.held:
        await world.step(timedelta(minutes=15))
    (symbol, *_) = sorted(world.held)
    (leg, *_) = [one for one in world.orders if one["symbol"] == symbol and one["side"] == "sell"]
    # Of two exits that cancel each other, one is enough.
    event = {"account": "paper", "client_order_id": leg["client_order_id"], "event": "canceled"}
    world.intervene(kind="force_event", **event)
    await world.step(timedelta(minutes=15))
    await world.step(timedelta(minutes=15))
    assert symbol not in world.held
    world.check(interfered=True)


async def test_after_an_exit_nothing_is_bought_until_the_target_was_zero(tmp_path: Path) -> None:
    world = World(tmp_path, seed=7, strategy=BRACKETS, execution=MARKET)
    said: list[tuple[str, str]] = []
    evaluate = world.engine._trading.on_targets

    def noted(bar: str, weights: Any, now: Any) -> Any:
        said.extend((symbol, "in" if weight else "out") for symbol, weight in weights.items())
        return evaluate(bar, weights, now)

    world.engine._trading.on_targets = noted  # type: ignore[method-assign]  # a note of what the strategy says
    await world.begin()
    await world.run(2)
    for symbol in ("AAPL", "MSFT", "SPY"):
        words = [word for name, word in said if name == symbol]
        rises = sum(
            1 for before, after in zip(["out", *words], words, strict=False) if (before, after) == ("out", "in")
        )
        assert len([order for order in entries(world) if order["symbol"] == symbol]) <= rises


async def test_a_process_that_dies_at_every_step_enters_no_position_twice(tmp_path: Path) -> None:
    steady = World(tmp_path / "steady", seed=7, strategy=BRACKETS, execution=MARKET)
    dying = World(tmp_path / "dying", seed=7, strategy=BRACKETS, execution=MARKET)
    for world in (steady, dying):
        await world.begin()
    await steady.run(1)
    session = dying.simulator.exchange.calendar.next_closing(dying.simulator.clock.now())
    while dying.simulator.clock.now() < session.closes_at + timedelta(minutes=5):
        await dying.step(timedelta(minutes=15))
        await dying.restart()
    await dying.settle()
    dying.check(interfered=True)
    assert entries(dying)
    assert [order["symbol"] for order in entries(dying)] == [order["symbol"] for order in entries(steady)]


async def test_a_mix_is_bought_once_and_brought_back_when_it_has_drifted_sells_first(tmp_path: Path) -> None:
    world = World(tmp_path, seed=7, strategy=MIX, execution=MARKET, risk={"maxPositionPercent": "60"})
    await world.begin()
    await world.run(3)
    await world.settle()
    world.check()
    first = [order for order in world.orders if order["created_at"] == world.orders[0]["created_at"]]
    assert {order["symbol"] for order in first} == {"AAPL", "MSFT", "SPY"}
    later = world.orders[3:]
    assert {order["side"] for order in later} == {"buy", "sell"}
    for bought in (order for order in later if order["side"] == "buy"):
        open_sells = [
            order
            for order in later
            if order["side"] == "sell" and order["created_at"] <= bought["created_at"] < order["filled_at"]
        ]
        assert open_sells == []


async def test_within_its_band_a_mix_is_left_alone(tmp_path: Path) -> None:
    wide = {**MIX, "parameters": {**MIX["parameters"], "drift_percent": 20}}  # type: ignore[dict-item]
    world = World(tmp_path, seed=7, strategy=wide, execution=MARKET, risk={"maxPositionPercent": "60"})
    await world.begin()
    await world.run(3)
    await world.settle()
    world.check()
    assert len(world.orders) == 3
