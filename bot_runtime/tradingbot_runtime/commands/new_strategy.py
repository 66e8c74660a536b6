"""`tradingbot new-strategy`: writes a package with a strategy in it. Never writes where something is already."""

import keyword
import re
import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final

import typer

from tradingbot_runtime.commands.endings import EX_DATA, WrongConfig, fail, refusals

LONGEST_NAME: Final = 50
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*")
_TEMPLATES: Final = "new_strategy_files"
_FILES: Final = {
    "README.md.in": "README.md",
    "pyproject.toml.in": "pyproject.toml",
    "init.py.in": "src/@MODULE@/__init__.py",
    "strategy.py.in": "src/@MODULE@/strategy.py",
    "test.py.in": "tests/test_@MODULE@.py",
    "Dockerfile.in": "Dockerfile",
    "dockerignore.in": ".dockerignore",
    "bot.yaml.in": "bot.yaml",
}


def new_strategy(
    name: Annotated[str, typer.Argument(help="Its name, as spec.strategy.name will say it, such as buy-the-dip.")],
    directory: Annotated[
        Path, typer.Option(help="Where its folder is made; made itself when missing.", file_okay=False)
    ] = Path(),
) -> None:
    """Write a package with a strategy that works: class, parameters, test, Dockerfile, README and a sample bot.

    It is a folder of the strategy's name, and installable: its entry point is how the runtime finds the class. The
    strategy in it holds what has fallen below its own average; put your own in its place. Nothing that is there is
    overwritten. docs/how-to/own-strategy.md goes on from here, to the image and the bot.

    Exit codes: 0 written; 65 there is something of that name already, or nothing can be written; 78 the name is wrong.

    Try it:  tradingbot new-strategy buy-the-dip
             pip install --no-deps -e ./buy-the-dip && pytest ./buy-the-dip
             tradingbot check-strategy buy-the-dip
    """
    with refusals():
        check_name(name)
    folder = directory / name
    try:
        written = write(name, folder)
    except FileExistsError:
        fail(EX_DATA, "AlreadyThere", f"{folder} is there already: nothing was written")
    except OSError as error:
        fail(EX_DATA, "NotWritten", f"{error.filename}: {error.strerror}")
    for path in written:
        typer.echo(path)


def check_name(name: str) -> None:
    """Raises WrongConfig for a name that could be no strategy's, or not that of a package of its own."""
    from tradingbot_runtime.strategies.registry import names

    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise WrongConfig(
            "InvalidName", f"{name}: write words of small letters and digits, joined by -, such as buy-the-dip"
        )
    module = _module(name)
    if keyword.iskeyword(module) or module in sys.stdlib_module_names or module.startswith("tradingbot"):
        raise WrongConfig("InvalidName", f"{name}: {module} is a name that Python or the runtime has taken")
    if name in names():
        raise WrongConfig("InvalidName", f"{name}: a strategy of that name is installed: {', '.join(names())}")


def write(name: str, folder: Path) -> list[Path]:
    """The package in a folder that is made for it; the files written. Raises FileExistsError, OSError."""
    folder.mkdir(parents=True)
    templates = files(__package__) / _TEMPLATES
    written = []
    for template, place in _FILES.items():
        path = folder / _filled(place, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_filled((templates / template).read_text(encoding="utf-8"), name), encoding="utf-8")
        written.append(path)
    return written


def _filled(text: str, name: str) -> str:
    class_name = "".join(word.capitalize() for word in name.split("-"))
    return text.replace("@NAME@", name).replace("@MODULE@", _module(name)).replace("@CLASS@", class_name)


def _module(name: str) -> str:
    return name.replace("-", "_")
