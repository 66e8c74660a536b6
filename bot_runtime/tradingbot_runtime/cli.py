"""`tradingbot`: the commands, by name. Only what `--help` needs is imported here; each command imports its own."""

import signal
import sys

import typer

from tradingbot_runtime import __version__
from tradingbot_runtime.commands import control
from tradingbot_runtime.commands.audit import audit
from tradingbot_runtime.commands.backtest import backtest
from tradingbot_runtime.commands.cache import cache_app
from tradingbot_runtime.commands.check_config import check_config
from tradingbot_runtime.commands.check_strategy import check_strategy
from tradingbot_runtime.commands.ci import ci
from tradingbot_runtime.commands.endings import EX_INTERRUPTED
from tradingbot_runtime.commands.flatten import flatten
from tradingbot_runtime.commands.new_strategy import new_strategy
from tradingbot_runtime.commands.plan import plan
from tradingbot_runtime.commands.preflight import preflight
from tradingbot_runtime.commands.replay import replay
from tradingbot_runtime.commands.run import run
from tradingbot_runtime.commands.summary import summary
from tradingbot_runtime.commands.validate import validate
from tradingbot_runtime.state_cli import state_app

_OPERATE, _LOOK, _RESEARCH = "Ask a running bot", "Look, change nothing", "Judge a strategy, without a broker"

app = typer.Typer(
    name="tradingbot",
    help="Runs one trading bot: its data, strategy, orders, state, reconciliation and kill.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(run)
app.command(rich_help_panel=_LOOK)(plan)
app.command(rich_help_panel=_LOOK)(preflight)
app.command(rich_help_panel=_LOOK)(audit)
app.command(rich_help_panel=_LOOK)(summary)
app.command(rich_help_panel=_LOOK)(replay)
app.command("check-config", rich_help_panel=_LOOK)(check_config)
app.command("new-strategy", rich_help_panel=_RESEARCH)(new_strategy)
app.command("check-strategy", rich_help_panel=_RESEARCH)(check_strategy)
app.command(rich_help_panel=_RESEARCH)(backtest)
app.command(rich_help_panel=_RESEARCH)(validate)
app.command(rich_help_panel=_RESEARCH)(ci)
app.command("run-now", rich_help_panel=_OPERATE)(control.run_now)
app.command(rich_help_panel=_OPERATE)(control.pause)
app.command(rich_help_panel=_OPERATE)(control.resume)
app.command(rich_help_panel=_OPERATE)(control.kill)
app.command(rich_help_panel=_OPERATE)(control.acknowledge)
app.command("accept-positions", rich_help_panel=_OPERATE)(control.accept_positions)
app.command("reset-breaker", rich_help_panel=_OPERATE)(control.reset_breaker)
app.command(rich_help_panel=_OPERATE)(flatten)
app.add_typer(cache_app, name="cache")
app.add_typer(state_app, name="state")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """The console script."""
    # Process 1 of a container ignores signals nobody handles; a command with an orderly end sets its own.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EX_INTERRUPTED))
    app()
