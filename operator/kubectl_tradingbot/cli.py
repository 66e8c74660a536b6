"""`kubectl-tradingbot`: the commands, by name, and how an error ends the program. Decides nothing."""

import os
import sys
from importlib.metadata import version as distribution_version
from typing import Annotated

import typer
from rich.text import Text

from kubectl_tradingbot.completion import commands_of, completion, names_of, offers
from kubectl_tradingbot.deciding import approve, release
from kubectl_tradingbot.errors import Code, PluginError
from kubectl_tradingbot.looking import evidence, gate, status
from kubectl_tradingbot.reading import logs, report
from kubectl_tradingbot.stopping import kill, pause, resume
from kubectl_tradingbot.terminal import console, plain

_LOOK, _STOP, _DECIDE, _HELP = "Look, change nothing", "Stop", "Decide, in your own name", "Help"

app = typer.Typer(
    name="kubectl tradingbot",
    help=(
        "Trading bots: how they are, why they are not live, and the way to stop them at once."
        " Uses your kubeconfig through kubectl, and can do what you may do, nothing more."
        "\n\nExit codes: 0 done; 1 refused or failed; 2 wrong options or not confirmed; 3 killed, positions kept;"
        " 4 no answer in time; 5 a right is missing; 6 not found; 7 no cluster, no kubectl or no operator."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.command(rich_help_panel=_LOOK)(status)
app.command(rich_help_panel=_LOOK)(gate)
app.command(rich_help_panel=_LOOK)(evidence)
app.command(rich_help_panel=_LOOK)(logs)
app.command(rich_help_panel=_STOP)(kill)
app.command(rich_help_panel=_STOP)(pause)
app.command(rich_help_panel=_STOP)(resume)
app.command(rich_help_panel=_DECIDE)(approve)
app.command(rich_help_panel=_DECIDE)(release)
app.command(rich_help_panel=_HELP)(report)
app.command(rich_help_panel=_HELP)(completion)


@app.command(rich_help_panel=_HELP)
def version() -> None:
    """Print the version."""
    typer.echo(distribution_version("tradingbot-operator"))


@app.command(hidden=True)
def complete(words: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Print what may stand where the last of the words is being typed, for the shells' scripts."""
    for one in offers(commands_of(app), words or [""], names_of):
        typer.echo(one)


def main() -> None:
    """The console script."""
    try:
        app(prog_name="kubectl tradingbot")
    except PluginError as error:
        console(stderr=True).print(Text.assemble(("kubectl tradingbot: ", "red"), plain(error)), soft_wrap=True)
        sys.exit(error.code)
    except BrokenPipeError:
        # Whoever read has had enough (| head): nothing is wrong, and nothing more can be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Code.DONE)


if __name__ == "__main__":
    main()
