"""A plan is the bot's own decision, shown and not carried out: the same orders, and not one request that writes."""

import asyncio
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
import structlog
import yaml
from typer.testing import CliRunner, Result

from alpaca_simulator.in_process import InProcessAdapter
from alpaca_simulator.simulator import Simulator, stepped
from builders import UID, a_config, a_live_config
from contract.conftest import served
from simulation.live import GONE, LiveWorld
from simulation.world import KEYS, LIVE_KEYS, LIVE_PREFIX, PREFIX, World
from tradingbot_runtime.broker.alpaca import AlpacaBroker
from tradingbot_runtime.broker.lanes import InlineLane
from tradingbot_runtime.cli import app
from tradingbot_runtime.commands.plan_view import Plan, plan_of, table_of
from tradingbot_runtime.commands.rehearsal import Rehearsal, Rehearsed
from tradingbot_runtime.commands.volume import read_volume
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.core.gateway import CHECKS
from tradingbot_runtime.core.orders import client_order_id_prefix
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.strategies.registry import load

NOON = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)
SUNDAY = datetime(2026, 3, 1, 17, 0, tzinfo=UTC)
ENVIRONMENT = {"APCA_API_KEY_ID": KEYS.key_id, "APCA_API_SECRET_KEY": KEYS.secret_key}


class Asked(InProcessAdapter):
    """Answers through the simulator, and notes what was asked."""

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator.rest)
        self.methods: set[str | None] = set()

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        self.methods.add(request.method)
        return super().send(request, *args, **kwargs)


def rehearsed(config: Any, simulator: Simulator, recovered: Recovered | None) -> Rehearsed:
    adapter = Asked(simulator)

    def session() -> requests.Session:
        session = requests.Session()
        session.mount("http://", adapter)
        return session

    broker = AlpacaBroker(
        config.broker,
        KEYS if config.grant is None else LIVE_KEYS,
        prefix=client_order_id_prefix(UID, config.mode.value),
        rng=random.Random(1),
        session=session,
        lane=lambda name, threads: InlineLane(),
    )
    strategy = load(config.strategy.name, config.strategy.parameters)
    machine = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
    found = asyncio.run(Rehearsal(config, strategy, recovered, broker, machine).run())
    assert adapter.methods == {"GET"}
    return found


def planned(world: World) -> Rehearsed:
    with read_volume(world.volume, world.mode, UID) as volume:
        return rehearsed(world.config, world.simulator, volume.recovered())


WORDS = ("client_order_id", "symbol", "side", "type", "time_in_force")
NUMBERS = ("qty", "limit_price")


def wishes(orders: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(*(order[word] for word in WORDS), *(Decimal(order[number]) for number in NUMBERS)) for order in orders]


def wishes_of(found: Rehearsed) -> list[tuple[Any, ...]]:
    return [
        (*(str(getattr(order, word)) for word in WORDS), *(getattr(order, number) for number in NUMBERS))
        for order in found.orders
    ]


async def trading_world(volume: Path, until: timedelta, seed: int, **config: Any) -> World:
    world = World(volume, seed, **config)
    await world.begin()
    while world.simulator.clock.now() < NOON.replace(hour=14, minute=25) + until:
        await world.step(timedelta(minutes=15))
    return world


CROSSES: dict[str, Any] = {}
RESTS: dict[str, Any] = {"execution": {"limitOffsetBps": -400, "repriceBps": 1}}
"""Orders that wait behind the market and follow it."""


@pytest.mark.parametrize(("hours", "seed"), [(1, 1), (1, 2), (1, 3), (29, 1)])
@pytest.mark.parametrize("config", [CROSSES, RESTS], ids=["crosses", "rests"])
def test_a_plan_is_what_the_bot_then_orders(tmp_path: Path, hours: int, seed: int, config: dict[str, Any]) -> None:
    world = asyncio.run(trading_world(tmp_path, timedelta(hours=hours), seed, **config))
    world.simulator.step(timedelta(minutes=20))
    before = len(world.orders)
    plan = planned(world)
    assert len(world.orders) == before
    assert planned(world) == plan

    async def evaluate() -> None:
        await world.tell(seen.EvaluationAsked("now"))
        await world.bot.read_clock()

    asyncio.run(evaluate())
    assert sorted(wishes_of(plan)) == sorted(wishes(world.orders[before:]))


def test_some_of_these_plans_order_something(tmp_path: Path) -> None:
    world = World(tmp_path, 1)
    asyncio.run(world.begin())
    asyncio.run(world.step(timedelta(minutes=10)))
    world.simulator.step(timedelta(minutes=30))
    plan = planned(world)
    assert plan.orders
    assert all(one.refusal is None for one in plan.examined)


def a_plan(start: datetime, recovered: Recovered | None = None, **changes: Any) -> tuple[Rehearsed, Plan]:
    config = a_config(**({"timeframe": "15Min"} | changes))
    found = rehearsed(config, stepped(start), recovered)
    return found, plan_of(config, found, has_state=recovered is not None)


def test_every_check_of_the_gateway_says_its_word() -> None:
    _, plan = a_plan(NOON, Recovered())
    ordered = [one for one in plan.symbols if one.order is not None]
    assert ordered
    for one in ordered:
        assert [check.check for check in one.checks] == [name for name, _, _ in CHECKS]
        assert {check.result for check in one.checks} == {"Passes"}
        assert one.order is not None and one.order.client_order_id.startswith(PREFIX)
        assert one.target_shares == one.held + one.order.qty


def test_the_check_that_refuses_is_named_with_its_reason() -> None:
    _, plan = a_plan(NOON, Recovered(), risk={"maxPositionPercent": "1"})
    refused = [one for one in plan.symbols if one.order is not None]
    assert refused
    for one in refused:
        assert one.refused_by == "position_limit"
        assert "risk.maxPositionPercent" in one.reason
        assert one.order is not None and one.order.client_order_id == ""
    assert "refused by position_limit" in table_of(plan)


def test_a_closed_market_refuses_and_the_open_is_shown() -> None:
    _, plan = a_plan(SUNDAY, Recovered())
    assert not plan.market_open
    ordered = [one for one in plan.symbols if one.order is not None]
    assert ordered
    for one in ordered:
        assert (one.refused_by, one.at_the_open) == ("market_hours", "would be sent")
    text = table_of(plan)
    assert "market: closed, opens 2026-03-02T14:30:00.000Z" in text
    assert "refused by market_hours: the market is closed; at the open: would be sent" in text


def test_without_a_state_what_the_account_holds_is_the_bots() -> None:
    simulator = stepped(NOON)
    headers = {"APCA-API-KEY-ID": KEYS.key_id, "APCA-API-SECRET-KEY": KEYS.secret_key}
    with served(simulator) as url:
        body = {"symbol": "AAPL", "qty": "3", "side": "buy", "type": "market", "time_in_force": "day"}
        assert requests.post(f"{url}/v2/orders", json=body, headers=headers, timeout=10).ok
    simulator.step(timedelta(seconds=5))
    config = a_config(timeframe="15Min")
    plan = plan_of(config, rehearsed(config, simulator, None), has_state=False)
    assert {one.symbol: one.held for one in plan.symbols} == {"AAPL": Decimal(3), "MSFT": Decimal(0)}
    assert plan.trading_state == "Active"


def test_a_kill_in_the_state_is_said_and_nothing_is_evaluated(tmp_path: Path) -> None:
    world = World(tmp_path)
    asyncio.run(world.begin())
    asyncio.run(world.tell(seen.KillSeen("enough", "TradingBot")))
    plan = plan_of(world.config, planned(world), has_state=True)
    assert (plan.trading_state, plan.why) == ("Halted", "Killed: killed by TradingBot: enough")
    assert {one.reason for one in plan.symbols} == {"not evaluated"}


def test_a_plan_of_a_live_bot_supposes_its_grant_but_for_a_withdrawal_in_its_state(tmp_path: Path) -> None:
    config = a_live_config(timeframe="15Min")
    plan = plan_of(config, rehearsed(config, stepped(NOON), Recovered()), has_state=True)
    assert plan.trading_state == "Active"
    ordered = [one.order for one in plan.symbols if one.order is not None]
    assert ordered and all(one.client_order_id.startswith(LIVE_PREFIX) for one in ordered)

    world = LiveWorld(tmp_path)
    asyncio.run(world.begin())
    asyncio.run(world.say(GONE))
    withdrawn = plan_of(world.config, planned(world), has_state=True)
    assert withdrawn.trading_state == "Halted"
    assert withdrawn.why.startswith("NotGranted: the bot may no longer trade live")


# ---------------------------------------------------------------------- the command


@contextmanager
def a_shell(tmp_path: Path, start: datetime = NOON, **changes: Any) -> Iterator[list[str]]:
    with served(stepped(start)) as url:
        document = json.loads(a_config(**({"timeframe": "15Min"} | changes)).model_dump_json(by_alias=True))
        document["broker"] |= {"baseURL": url, "dataURL": url}
        path = tmp_path / "bot.yaml"
        path.write_text(yaml.safe_dump(document))
        yield ["--config", str(path)]


def run(*arguments: str, environment: dict[str, Any] | None = None) -> Result:
    result = CliRunner().invoke(app, arguments, env=ENVIRONMENT | (environment or {}))
    structlog.reset_defaults()  # the simulator of this process logs, too, and the command's stderr is gone
    return result


def test_the_command_shows_a_table(tmp_path: Path) -> None:
    with a_shell(tmp_path) as options:
        result = run("plan", *options)
    assert result.exit_code == 0, result.output
    for words in ("demo/momentum", "SYMBOL", "AAPL", "MSFT", "trading state: Active", "Nothing was ordered."):
        assert words in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["bot.yaml"]


def test_the_command_shows_json(tmp_path: Path) -> None:
    with a_shell(tmp_path) as options:
        result = run("plan", *options, "--json")
    assert result.exit_code == 0, result.output
    plan = Plan.model_validate_json(result.stdout)
    assert [one.symbol for one in plan.symbols] == ["AAPL", "MSFT"]


def test_a_dry_run_is_a_plan(tmp_path: Path) -> None:
    with a_shell(tmp_path) as options:
        result = run("run", *options, "--state", str(tmp_path / "state"), "--dry-run")
    assert result.exit_code == 0, result.output
    assert "Nothing was ordered." in result.output
    assert not (tmp_path / "state").exists()


def test_keys_that_the_broker_refuses_end_it(tmp_path: Path) -> None:
    with a_shell(tmp_path) as options:
        result = run("plan", *options, environment={"APCA_API_SECRET_KEY": "wrong"})
    assert (result.exit_code, result.stdout) == (78, "")
    assert result.stderr.startswith("KeysRefused: ")


def test_a_state_that_is_not_there_or_anothers_ends_it(tmp_path: Path) -> None:
    world = World(tmp_path / "state")
    world.database.close()
    with a_shell(tmp_path, bot={"name": "other", "uid": "another-uid"}) as options:
        result = run("plan", *options, "--state", str(tmp_path / "state"))
        assert (result.exit_code, result.stderr.partition(":")[0]) == (65, "StateOfAnotherBot")
        result = run("plan", *options, "--state", str(tmp_path / "nowhere"))
        assert (result.exit_code, result.stderr.partition(":")[0]) == (65, "StateUnwritable")


def test_a_broker_that_does_not_answer_is_a_reason_to_try_again(tmp_path: Path) -> None:
    with a_shell(tmp_path) as options:
        pass
    result = run("plan", *options)
    assert (result.exit_code, result.stderr.partition(":")[0]) == (75, "BrokerUnreadable")


def test_help_says_what_the_exit_codes_mean() -> None:
    text = CliRunner().invoke(app, ["plan", "--help"], env={"COLUMNS": "200"}).output
    for words in ("--config", "--state", "--json", "APCA_API_KEY_ID", "78", "65", "75"):
        assert words in text
