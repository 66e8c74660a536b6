"""`tradingbot check-strategy`: whether a strategy is what the contract says, with what was tried. Asks no broker."""

import json
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tradingbot_runtime.commands.endings import WrongConfig
from tradingbot_runtime.commands.inputs import strategy_refusals
from tradingbot_runtime.commands.research_inputs import parameters_of, research_refusals
from tradingbot_runtime.commands.tables import table

if TYPE_CHECKING:
    from tradingbot_research.market import Bars
    from tradingbot_research.strategy_check import Checked, Property
    from tradingbot_runtime.strategies.contract import Strategy

FAILED = 1
_HOW = "How it is tried"


class Output(StrEnum):
    """How the result is printed."""

    TABLE = "table"
    JSON = "json"


def _names(incomplete: str) -> list[str]:
    """What a shell proposes."""
    from tradingbot_runtime.strategies.registry import names

    return [name for name in names() if name.startswith(incomplete)]


def check_strategy(
    strategy: Annotated[
        str,
        typer.Argument(
            metavar="NAME|MODULE:CLASS",
            help="Name of an installed strategy, or a class such as my_package.strategy:MyStrategy; the folder you are"
            " in is looked at, too.",
            autocompletion=_names,
        ),
    ],
    parameters: Annotated[
        str | None, typer.Option(help="Parameters as JSON, such as '{\"lookback\": 20}'.", metavar="JSON")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A parameter, such as lookback=20; may be repeated, and wins over --parameters."),
    ] = None,
    bars: Annotated[
        Path | None,
        typer.Option(
            help="Bars to try it on instead: a CSV or Parquet file, or a folder, as `tradingbot backtest --help` says.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    symbols: Annotated[
        str | None,
        typer.Option(
            help="Symbols with commas between; without them all of --bars, or those that the parameters name, with VTI,"
            " TLT, GLD and DBC up to four.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the markets and of all that is drawn.", rich_help_panel=_HOW)
    ] = 1,
    tries: Annotated[
        int,
        typer.Option(
            min=2,
            max=10_000,
            help="Bars of each market at which it is asked: spread evenly, as many after changes, as many after holes.",
            rich_help_panel=_HOW,
        ),
    ] = 20,
    output: Annotated[Output, typer.Option("--output", "-o", help="How to print it.")] = Output.TABLE,
) -> None:
    """Check that a strategy keeps the contract, so that it does live what it did in the backtest.

    answers: one row a bar, with the bars' times; one column a symbol, and none that it was given no bars of.
    causality: bars after a moment are taken away, and made others; no target up to it may change.
    determinism: the same bars again, in other orders of the symbols, and in three new processes, each with another
    PYTHONHASHSEED, two with another date and time of day: the same targets.
    no hidden state: an instance that was asked of other bars before, a new one, and a new one that knows only the bars
    from mid-way on say the same, once `lookback` bars are there; the bars it is given stay as they are.
    bounds: weights are finite and in [-1, 1]; those of a bar sum to at most 1. NaN, which leaves a position as it is,
    is counted, and no symbol may get nothing else.
    live equals backtest: asked bar by bar with the last `lookback` bars, as a bot asks it, it says what it says of all
    bars at once. To the sixth decimal, which is the last one that a bot keeps.

    It is tried on four markets from a seed: calm, wild, still (prices that do not move) and holes (bars that are not
    there), or on your own --bars. What was tried is counted, since that is all that is proved. A clock that compiled
    code reads, as numpy's "now", is not found out.

    Exit codes: 0 every property holds; 1 one does not, and the first bar and symbol where it shows are named; 65 the
    bars cannot be used; 78 name, parameters or options are wrong.

    Try it:  tradingbot check-strategy momentum
             tradingbot check-strategy momentum --set lookback=60 --bars bars.csv
             tradingbot check-strategy my_package.strategy:MyStrategy -o json | jq .passed
    """
    with research_refusals():
        given = {**_as_json(parameters), **parameters_of(settings or ())}
        wanted = _symbols(symbols)
        found = tried(loaded(strategy, given, wanted), bars, wanted, tries=tries, seed=seed)
    typer.echo(json.dumps(_document(found, seed), indent=2) if output is Output.JSON else _shown(found))
    for warning in found.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if not found.passed:
        raise typer.Exit(FAILED)


def tried(
    strategy: "Strategy[Any]", bars: Path | None, symbols: Sequence[str] | None, *, tries: int, seed: int
) -> "Checked":
    """Every property of a strategy, tried on bars of a file, or where there is none on markets from the seed.

    Raises BarsUnusable, WrongConfig.
    """
    from tradingbot_research.asked_apart import NotFoundAgain
    from tradingbot_research.bars_files import BarsUnusable
    from tradingbot_research.strategy_check import TooFewBars
    from tradingbot_research.strategy_check import check_strategy as run

    try:
        return run(strategy, _markets(strategy, bars, symbols, seed), tries=tries, seed=seed)
    except TooFewBars as error:
        raise BarsUnusable(str(error)) from error
    except NotFoundAgain as error:
        raise WrongConfig("UnknownStrategy", str(error)) from error


def loaded(name: str, parameters: Mapping[str, Any], symbols: Sequence[str] | None) -> "Strategy[Any]":
    """A strategy by its name, or as MODULE:CLASS. Raises WrongConfig."""
    from tradingbot_runtime.strategies.registry import load, made

    with strategy_refusals():
        return made(_class_named(name), parameters, symbols) if ":" in name else load(name, parameters, symbols)


def _class_named(name: str) -> "type[Strategy[Any]]":
    """MODULE:CLASS. Whatever importing somebody else's module raises is said. Raises WrongConfig."""
    from tradingbot_runtime.strategies.contract import Strategy

    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    module, _, attributes = name.partition(":")
    try:
        found: Any = import_module(module)
        for attribute in attributes.split("."):
            found = getattr(found, attribute)
    except Exception as error:
        raise WrongConfig("UnknownStrategy", f"{name}: {type(error).__name__}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        raise WrongConfig("UnknownStrategy", f"{name} is no Strategy: write a class that is one")
    return found


def _as_json(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError as error:
        raise WrongConfig("InvalidOptions", f"--parameters {text}: this is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise WrongConfig("InvalidOptions", f'--parameters {text}: write an object such as {{"lookback": 20}}')
    return found


def _symbols(text: str | None) -> list[str] | None:
    if text is None:
        return None
    wanted = [one.strip().upper() for one in text.split(",") if one.strip()]
    if not wanted or len(set(wanted)) < len(wanted):
        raise WrongConfig("InvalidOptions", f"--symbols {text}: write symbols such as AAPL,MSFT, each once")
    return wanted


def _markets(
    strategy: "Strategy[Any]", path: Path | None, symbols: Sequence[str] | None, seed: int
) -> "Mapping[str, Bars]":
    from tradingbot_research.bars_files import read_bars
    from tradingbot_research.trial_markets import symbols_with, trial_markets

    if path is not None:
        return {path.name: read_bars(path, symbols).bars}
    return trial_markets(seed, strategy.lookback, symbols or symbols_with(strategy.needed_symbols))


def _shown(found: "Checked") -> str:
    parameters = ", ".join(f"{name}={value}" for name, value in found.parameters.items())
    lines = [f"{found.strategy} ({parameters}), lookback {found.lookback}"]
    lines += [
        f"on {name}: {len(bars):,} bars of {', '.join(bars.symbols)}, {bars.fingerprint[:12]}"
        for name, bars in found.markets.items()
    ]
    rows = [(one.name, "holds" if one.holds else "FAILED", how_often(one)) for one in found.properties]
    lines += ["", table(("PROPERTY", "RESULT", "TRIED"), rows)]
    for one in found.properties:
        if one.failure is not None:
            where = f" on {one.failure.market}" if one.failure.market else ""
            lines += ["", f"{one.name} ({one.means}) does not hold{where}:", f"  {one.failure.says}"]
    return "\n".join(lines)


def how_often(one: "Property") -> str:
    """What was tried of a property, in words."""
    return ", ".join(f"{number:,} {what}" for what, number in one.tried.items()) or "nothing"


def _document(found: "Checked", seed: int) -> dict[str, Any]:
    return {
        "strategy": found.strategy,
        "parameters": found.parameters,
        "lookback": found.lookback,
        "seed": seed,
        "markets": [
            {"name": name, "symbols": list(bars.symbols), "bars": len(bars), "fingerprint": bars.fingerprint}
            for name, bars in found.markets.items()
        ],
        "passed": found.passed,
        "properties": [_property(one) for one in found.properties],
        "warnings": list(found.warnings),
    }


def _property(one: "Property") -> dict[str, Any]:
    document: dict[str, Any] = {"name": one.name, "passed": one.holds, "tried": dict(one.tried), "failure": None}
    if one.failure is not None:
        where = one.failure.where
        document["failure"] = {"market": one.failure.market, "says": one.failure.says}
        if where is not None:
            document["failure"] |= {
                "bar": where.when,
                "symbol": where.symbol,
                "expected": _number(where.expected),
                "found": _number(where.found),
            }
    return document


def _number(weight: float) -> float | str:
    # JSON has no NaN.
    return weight if abs(weight) < float("inf") else str(weight)
