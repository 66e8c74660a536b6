"""`tradingbot cache`: looks after the bars that `validate --from-broker` keeps. Asks no broker; what is removed here is
only asked for again.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tradingbot_runtime.commands.endings import EX_DATA, WrongConfig, fail
from tradingbot_runtime.commands.research_inputs import research_refusals

if TYPE_CHECKING:
    from tradingbot_research.bars_cache import BarsCache

cache_app = typer.Typer(help="Verify or clear the bars that `validate --from-broker` keeps.", no_args_is_help=True)

Folder = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        help="The folder. Without it $XDG_CACHE_HOME/tradingbot, or ~/.cache/tradingbot.",
        file_okay=False,
        show_default=False,
    ),
]


@cache_app.command("verify")
def verify_cache(cache: Folder = None) -> None:
    """Read every series that is kept and compare it with its checksum.

    Changes nothing. `validate` does the same with each series before it uses it, and asks for a damaged one again. Exit
    code 65 where one is damaged.

    Try it:  tradingbot cache verify
    """
    with _opened(cache) as kept:
        found = list(kept.verify())
    damaged = [(name, wrong) for name, wrong in found if wrong]
    for name, wrong in damaged:
        typer.echo(f"{name}: {wrong}", err=True)
    typer.echo(f"{kept.folder}: {len(found)} series, {len(damaged)} damaged")
    if damaged:
        raise typer.Exit(EX_DATA)


@cache_app.command("clear")
def clear_cache(cache: Folder = None) -> None:
    """Remove every series that is kept, and nothing else that may lie in the folder.

    Try it:  tradingbot cache clear
    """
    with _opened(cache) as kept:
        typer.echo(f"{kept.folder}: removed {kept.clear()} series")


@contextmanager
def _opened(folder: Path | None) -> "Iterator[BarsCache]":
    with research_refusals():
        from tradingbot_research.bars_cache import BarsCache, CacheUnusable, usual_folder

        folder = folder or usual_folder(os.environ)
        if folder is None:
            raise WrongConfig("InvalidOptions", "there is no usual place for a cache here: name one with --cache")
        try:
            yield BarsCache(folder)
        except CacheUnusable as error:
            fail(EX_DATA, "CacheUnusable", str(error))
