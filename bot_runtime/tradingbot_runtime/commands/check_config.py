"""`tradingbot check-config`: whether a config is right, before anybody starts a bot with it."""

import typer

from tradingbot_runtime.commands.endings import refusals
from tradingbot_runtime.commands.inputs import Config, load_strategy, read_config


def check_config(config: Config) -> None:
    """Check a config, with the strategy's own parameters, and say what it would run. Changes nothing.

    Exit codes: 0 it is right; 78 it is wrong, and each wrong field is named.
    """
    with refusals():
        checked = read_config(config)
        strategy = load_strategy(checked)
    typer.echo(
        f"{config} is right: bot {checked.bot.namespace}/{checked.bot.name} runs {checked.strategy.name}"
        f" on {', '.join(checked.symbols)} ({checked.timeframe.value} bars, {strategy.lookback} of them)"
        f" with {checked.capital} on account {checked.broker.account} in mode {checked.mode.value}"
    )
