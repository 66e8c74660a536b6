"""`tradingbot plan`: what would be ordered now, and why. Orders nothing, writes nothing."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tradingbot_runtime.commands.endings import EX_TEMPFAIL, WrongConfig, fail, refusals
from tradingbot_runtime.commands.inputs import Config, Keys, keys_in, load_strategy, read_config

if TYPE_CHECKING:
    from tradingbot_api import RuntimeConfig
    from tradingbot_runtime.commands.rehearsal import Rehearsed
    from tradingbot_runtime.core.recovered import Recovered
    from tradingbot_runtime.strategies.contract import Strategy


def plan(
    config: Config,
    state: Annotated[
        Path | None,
        typer.Option(
            help="Directory of the bot's state, read beside a running bot and never written."
            " Without it the bot begins with what the account holds of its symbols.",
            file_okay=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The plan as JSON, with every check's answer.")] = False,
) -> None:
    """Show what the bot would order now, symbol by symbol, and what the gateway says of it. Orders nothing.

    Reads clock, books, bars and quotes from the broker and lets the bot's own engine decide, as a bar that closes now
    would. While the market is closed, it shows what would be ordered at the next open, and that market_hours refuses
    it now. A kill, a halt or an open breaker in the state counts; a pause asked for elsewhere is not known here.

    Keys come from APCA_API_KEY_ID and APCA_API_SECRET_KEY.

    Exit codes: 0 shown, also when nothing would be ordered; 78 the config or the keys are wrong; 65 the state cannot
    be used; 75 the broker cannot be read, try again.

    Try it:  tradingbot plan --config bot.yaml --state ./state
             tradingbot plan --config bot.yaml --json | jq '.symbols[] | {symbol, order, refusedBy}'
    """
    show_plan(config, state, as_json=as_json)


def show_plan(config: Path, state: Path | None, *, as_json: bool) -> None:
    """Makes a plan and prints it; ends the command where that cannot be done."""
    with refusals():
        checked = read_config(config)
        strategy = load_strategy(checked)
        keys = keys_in(os.environ)
        recovered = None if state is None else _recovered(checked, state)
        from tradingbot_runtime.broker.port import BrokerError, Unauthorized
        from tradingbot_runtime.commands.plan_view import plan_of, table_of
        from tradingbot_runtime.ops import logs

        logs.configure(checked.bot.name, checked.bot.namespace)
        try:
            rehearsed = asyncio.run(_rehearse(checked, strategy, recovered, keys))
        except Unauthorized as error:
            raise WrongConfig("KeysRefused", str(error)) from error
        except BrokerError as error:
            fail(EX_TEMPFAIL, "BrokerUnreadable", f"{error}: try again")
        found = plan_of(checked, rehearsed, has_state=state is not None)
        typer.echo(found.model_dump_json(by_alias=True, indent=2) if as_json else table_of(found))


def _recovered(config: "RuntimeConfig", state: Path) -> "Recovered":
    from tradingbot_runtime.commands.volume import read_volume

    with read_volume(state, config.mode.value, config.bot.uid) as volume:
        return volume.recovered()


async def _rehearse(
    config: "RuntimeConfig", strategy: "Strategy[Any]", recovered: "Recovered | None", keys: Keys
) -> "Rehearsed":
    from tradingbot_runtime.commands.brokers import broker_of
    from tradingbot_runtime.commands.rehearsal import Rehearsal

    with broker_of(config.broker, keys, config.bot.uid, config.mode.value) as broker:
        return await Rehearsal(config, strategy, recovered, broker, datetime.now(UTC)).run()
