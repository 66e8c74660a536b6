"""`tradingbot flatten`: the kill of a bot whose process does not answer, with its verified result as last words."""

import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tradingbot_runtime.commands.endings import leave_last_words, refusals
from tradingbot_runtime.commands.inputs import Config, Keys, keys_in, read_document

if TYPE_CHECKING:
    from tradingbot_api import FlattenReport
    from tradingbot_runtime.commands.flatten_config import FlattenConfig
    from tradingbot_runtime.commands.flattening import Target

NOT_CONFIRMED = 1


def flatten(
    config: Config,
    positions: Annotated[
        bool | None,
        typer.Option(
            "--positions/--no-positions",
            help="Close the positions in the bot's symbols, too. Without either: as the config's onKill says.",
        ),
    ] = None,
    all_orders: Annotated[
        bool,
        typer.Option("--all-orders", help="All of this bot's orders and nothing else: the same as --no-positions."),
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=1, max=3600, help="How long to go on while the broker does not confirm, in seconds.")
    ] = 120.0,
) -> None:
    """Cancel every open order of a bot, close its positions if so configured, and ask until the broker confirms it.

    For a Job, or for a person, when the bot's own process does not answer; needs no state and may run beside a bot
    that wakes up. The bot's orders are told by their client_order_ids, exits included; nobody else's order is touched.
    Positions go through the broker's close-position, at most what is held and not for sale already, read again before
    each. Errors 429 and 5xx, silence and refused keys are tried again until --timeout.

    While the market is closed, orders are cancelled and verified, and closings are queued for the open: that is said,
    and is not a confirmation.

    Keys come from APCA_API_KEY_ID and APCA_API_SECRET_KEY. Of the config, only bot, mode, symbols, onKill and broker
    count: whatever else is wrong with it does not keep a kill from being carried out.

    The result, a FlattenReport with verified counts and times, is printed and goes to $TERMINATION_MESSAGE_PATH.

    Exit codes: 0 the broker confirmed that nothing is left; 1 it did not, and the report says what is left; 78 the
    config or the keys are missing or wrong, and nothing was asked of the broker.

    Try it:  tradingbot flatten --config bot.yaml --positions
    """
    with refusals(last_words=True):
        if positions and all_orders:
            raise typer.BadParameter("--all-orders touches no position: give it or --positions")
        report = _flattened(config, False if all_orders else positions, timeout)
    document = report.model_dump_json(by_alias=True, exclude_none=True)
    leave_last_words(document)
    typer.echo(document)
    typer.echo(f"{report.reason}: {report.message}", err=True)
    if not report.confirmed:
        raise typer.Exit(NOT_CONFIRMED)


def _flattened(config: Path, positions: bool | None, timeout: float) -> "FlattenReport":
    from tradingbot_api import OnKill
    from tradingbot_runtime.commands.flatten_config import FlattenConfig
    from tradingbot_runtime.commands.flattening import Target
    from tradingbot_runtime.core.orders import client_order_id_prefix
    from tradingbot_runtime.ops import logs

    checked = read_document(config, FlattenConfig)
    keys = keys_in(os.environ)
    logs.configure(checked.bot.name, checked.bot.namespace)
    target = Target(
        bot_uid=checked.bot.uid,
        mode=checked.mode.value,
        prefix=client_order_id_prefix(checked.bot.uid, checked.mode.value),
        symbols=frozenset(checked.symbols),
        closes_positions=checked.on_kill is OnKill.FLATTEN if positions is None else positions,
    )
    return asyncio.run(_until_confirmed(checked, keys, target, timeout))


async def _until_confirmed(checked: "FlattenConfig", keys: Keys, target: "Target", seconds: float) -> "FlattenReport":
    from tradingbot_runtime.commands.brokers import broker_of
    from tradingbot_runtime.commands.flattening import Flattening

    with broker_of(checked.broker, keys, checked.bot.uid, checked.mode.value) as broker:
        work = asyncio.create_task(Flattening(broker, target).run(seconds))
        await asyncio.sleep(0)  # begun before it can be interrupted: a task that never ran has no report
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            # What was verified so far is said all the same.
            loop.add_signal_handler(name, work.cancel)
        return await work
