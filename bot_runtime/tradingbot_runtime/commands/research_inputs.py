"""What `backtest` and `validate` are given: a strategy, bars, costs. Raises WrongConfig that says what to write."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tradingbot_runtime.commands.endings import EX_DATA, EX_TEMPFAIL, WrongConfig, end, fail
from tradingbot_runtime.commands.inputs import keys_in, read_document, strategy_refusals

if TYPE_CHECKING:
    from tradingbot_api import Timeframe, TradingBotSpec
    from tradingbot_research.bars_files import BarsRead
    from tradingbot_research.rules import Rules
    from tradingbot_runtime.commands.broker_bars import Asked
    from tradingbot_runtime.commands.research_config import ResearchConfig
    from tradingbot_runtime.strategies.contract import Strategy

_WHAT, _COSTS = "What is looked at", "What trading costs"

_BARS = typer.Option(
    "--bars",
    help="CSV or Parquet file, or a folder with one for each symbol, such as AAPL.csv. Columns: timestamp, open,"
    " high, low, close, volume, and symbol where a file holds several.",
    rich_help_panel=_WHAT,
)
BarsPath = Annotated[Path, _BARS]
BarsPathIfAny = Annotated[Path | None, _BARS]
FromBroker = Annotated[
    bool,
    typer.Option(
        help="Read the bars from the market data of the broker in --config, instead of --bars. Keys come from"
        " APCA_API_KEY_ID and APCA_API_SECRET_KEY.",
        rich_help_panel=_WHAT,
    ),
]
Sessions = Annotated[
    int | None,
    typer.Option(
        "--days",
        min=1,
        max=10_000,
        help="With --from-broker: bars of so many sessions.",
        rich_help_panel=_WHAT,
    ),
]
CacheFolder = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        help="With --from-broker: folder in which bars are kept for the next time. Without it"
        " $XDG_CACHE_HOME/tradingbot, or ~/.cache/tradingbot; in a pod none.",
        file_okay=False,
        show_default=False,
        rich_help_panel=_WHAT,
    ),
]
NoCache = Annotated[
    bool,
    typer.Option("--no-cache", help="With --from-broker: ask the broker for all, keep nothing.", rich_help_panel=_WHAT),
]
ConfigPath = Annotated[
    Path | None,
    typer.Option(
        help="A bot's config: strategy, symbols, timeframe, capital and execution come from it.",
        dir_okay=False,
        rich_help_panel=_WHAT,
    ),
]
StrategyName = Annotated[
    str | None, typer.Option(help="Without --config: name of the strategy.", rich_help_panel=_WHAT)
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="A parameter, such as lookback=20; may be repeated, and wins over --config.",
        rich_help_panel=_WHAT,
    ),
]
Symbols = Annotated[
    str | None,
    typer.Option(help="Symbols with commas between; without them those of the config, or all.", rich_help_panel=_WHAT),
]
TimeframeName = Annotated[
    str | None, typer.Option(help="Length of the bars: 1Min, 5Min, 15Min, 1Hour, 1Day.", rich_help_panel=_WHAT)
]
Capital = Annotated[
    float | None, typer.Option(min=1, help="Capital; without it that of the config, or 100,000.", rich_help_panel=_WHAT)
]
Commission = Annotated[float, typer.Option(min=0, help="Commission, in basis points.", rich_help_panel=_COSTS)]
MinimumCommission = Annotated[float, typer.Option(min=0, help="Least commission of a fill.", rich_help_panel=_COSTS)]
HalfSpread = Annotated[float, typer.Option(min=0, help="Half of the spread, in basis points.", rich_help_panel=_COSTS)]
Slippage = Annotated[float, typer.Option(min=0, help="Slippage, in basis points.", rich_help_panel=_COSTS)]


@dataclass(frozen=True)
class CostOptions:
    """What each fill costs, as the options say it."""

    commission_bps: float
    minimum_commission: float
    half_spread_bps: float
    slippage_bps: float


def source_of(
    bars: Path | None,
    from_broker: bool,
    days: int | None,
    config: Path | None,
    told: Callable[[str, int, int], None],
    cache: Path | None = None,
    no_cache: bool = False,
) -> "Path | Asked":
    """Where the bars are read from. Raises WrongConfig where the options do not say that clearly."""
    if (bars is None) == (not from_broker):
        raise WrongConfig("InvalidOptions", "give --bars or --from-broker, and not both")
    if bars is not None:
        if days is not None:
            raise WrongConfig("InvalidOptions", "--days belongs to --from-broker: a file is read whole")
        if cache is not None or no_cache:
            raise WrongConfig("InvalidOptions", "--cache and --no-cache belong to --from-broker")
        return bars
    if config is None or days is None:
        raise WrongConfig("InvalidOptions", "--from-broker needs --config, which names the broker, and --days")
    from tradingbot_runtime.commands.broker_bars import Asked

    if cache is not None and no_cache:
        raise WrongConfig("InvalidOptions", "give --cache or --no-cache, and not both")
    if cache is None and not no_cache:
        from tradingbot_research.bars_cache import usual_folder

        cache = usual_folder(os.environ)
    return Asked(days, told, cache, lambda words: typer.echo(words, err=True))


@dataclass(frozen=True)
class Subject:
    """What is looked at."""

    strategy: "Strategy[Any]"
    read: "BarsRead"
    rules: "Rules"
    timeframe: str


@dataclass(frozen=True)
class Traded:
    """What would be traded, and how, before any bar is read."""

    strategy: str
    parameters: Mapping[str, Any]
    symbols: Sequence[str] | None
    """None: all that there are bars of."""
    timeframe: str
    capital: float | None
    """In account currency; None: 100,000."""
    minimum_trade: float
    """The smallest trade, as a share of the capital."""


def traded_by(bot: "ResearchConfig | TradingBotSpec") -> Traded:
    """What a bot trades, as its config or its manifest says it."""
    smallest = float(bot.execution.min_trade_percent) / 100
    chosen, capital = bot.strategy, float(bot.capital)
    return Traded(chosen.name, chosen.parameters, list(bot.symbols), bot.timeframe.value, capital, smallest)


def subject_of(
    bars: "Path | Asked",
    config: Path | None,
    strategy: str | None,
    settings: Sequence[str],
    symbols: str | None,
    timeframe: str | None,
    capital: float | None,
    costs: CostOptions,
) -> Subject:
    """Reads what the options name. Raises WrongConfig, BarsUnusable, BrokerError."""
    from tradingbot_api import Timeframe
    from tradingbot_research.rules import Rules
    from tradingbot_runtime.commands.research_config import ResearchConfig

    if (config is None) == (strategy is None):
        raise WrongConfig("InvalidOptions", "give --config or --strategy, and not both")
    given = parameters_of(settings)
    if config is not None:
        traded = traded_by(read_document(config, ResearchConfig))
    else:
        traded = Traded(str(strategy), {}, None, Timeframe.DAY_1.value, None, Rules().minimum_trade)
    wanted = traded.symbols
    if symbols is not None:
        wanted = [one.strip().upper() for one in symbols.split(",") if one.strip()]
        if not wanted:
            raise WrongConfig("InvalidOptions", "--symbols: write symbols such as AAPL,MSFT")
    traded = replace(
        traded,
        parameters={**traded.parameters, **given},
        symbols=wanted,
        timeframe=timeframe or traded.timeframe,
        capital=capital or traded.capital,
    )
    if traded.timeframe not in [one.value for one in Timeframe]:
        raise WrongConfig(
            "InvalidOptions", f"--timeframe {timeframe}: write {', '.join(one.value for one in Timeframe)}"
        )
    return subject_from(traded, bars, costs, config)


def subject_from(traded: Traded, bars: "Path | Asked", costs: CostOptions, config: Path | None = None) -> Subject:
    """Loads the strategy and reads its bars. `config` names the broker where they are one's.

    Raises WrongConfig, BarsUnusable, BrokerError.
    """
    from tradingbot_api import Timeframe
    from tradingbot_research.bars_files import check_spacing, read_bars
    from tradingbot_research.handled import rules_of
    from tradingbot_research.rules import Costs, Rules
    from tradingbot_runtime.strategies.registry import load

    wanted, timeframe = traded.symbols, Timeframe(traded.timeframe)
    try:
        rules = Rules(
            capital=traded.capital or Rules().capital, costs=Costs(**vars(costs)), minimum_trade=traded.minimum_trade
        )
        with strategy_refusals():
            loaded = load(traded.strategy, traded.parameters, wanted)
        rules = rules_of(loaded, rules)
    except ValueError as error:
        raise WrongConfig("InvalidOptions", str(error)) from error
    found = read_bars(bars, wanted) if isinstance(bars, Path) else _from_broker(bars, config, wanted, timeframe)
    check_spacing(found.bars, timeframe)
    missing = sorted(loaded.needed_symbols.difference(found.bars.symbols))
    if missing:
        raise WrongConfig("InvalidOptions", f"the parameters name {', '.join(missing)}, which there are no bars of")
    return Subject(loaded, found, rules, timeframe.value)


def _from_broker(
    source: "Asked", config: Path | None, symbols: Sequence[str] | None, timeframe: "Timeframe"
) -> "BarsRead":
    from tradingbot_runtime.commands.broker_bars import read_broker_bars
    from tradingbot_runtime.commands.research_config import BrokerResearchConfig
    from tradingbot_runtime.ops import logs

    if config is None:
        raise WrongConfig("InvalidOptions", "--from-broker needs --config, which names the broker")
    read, keys = read_document(config, BrokerResearchConfig), keys_in(os.environ)
    logs.configure(read.bot.name, read.bot.namespace)
    wanted = read.model_copy(update={"symbols": list(symbols or read.symbols), "timeframe": timeframe})
    return read_broker_bars(wanted, keys, source)


def parameters_of(settings: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE, ... by name; a value that is no JSON is a word. Raises WrongConfig."""
    found = {}
    for setting in settings:
        name, sign, value = setting.partition("=")
        if not sign or not name.strip():
            raise WrongConfig("InvalidOptions", f"--set {setting}: write NAME=VALUE, such as lookback=20")
        found[name.strip()] = _value(value.strip())
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text  # a word needs no quotes


def choices_of(grid: Sequence[str]) -> dict[str, list[Any]]:
    """NAME=VALUE,VALUE,... as lists by name. Raises WrongConfig."""
    found = {}
    for one in grid:
        name, sign, values = one.partition("=")
        if not sign or not name.strip() or not values.strip():
            raise WrongConfig("InvalidOptions", f"--grid {one}: write NAME=VALUE,VALUE, such as lookback=10,20,40")
        found[name.strip()] = [_value(value.strip()) for value in values.split(",")]
    return found


RESEARCH_PATH = "TRADINGBOT_RESEARCH_PATH"
"""Environment variable: a folder with what only research imports."""


@contextmanager
def research_refusals(*, last_words: bool = False) -> Iterator[None]:
    """Ends the command with the right words and code where something that was given is wrong."""
    from tradingbot_api import EX_CONFIG

    stop = end if last_words else fail
    # pandas takes pyarrow up wherever it finds it, 34 MB for each bot: in the image it is beside what a bot imports.
    beside = os.environ.get(RESEARCH_PATH)
    if beside and beside not in sys.path:
        sys.path.append(beside)
    try:
        from tradingbot_research.artifact import NotReproduced
        from tradingbot_research.bars_files import BarsUnusable
        from tradingbot_research.sweep import StrategyBroke, TooManyTrials
        from tradingbot_research.walk_forward import TooFewDays
        from tradingbot_runtime.broker.port import BrokerError, BrokerUnavailable
    except ModuleNotFoundError as error:
        stop(EX_CONFIG, "NotInstalled", f"{error.name} is missing: install tradingbot-operator[research]")
    try:
        yield
    except WrongConfig as error:
        stop(EX_CONFIG, error.reason, str(error))
    except StrategyBroke as error:
        stop(EX_CONFIG, "StrategyBroke", str(error))
    except TooManyTrials as error:
        stop(EX_CONFIG, "TooManyTrials", str(error))
    except (BarsUnusable, TooFewDays) as error:
        stop(EX_DATA, type(error).__name__, str(error))
    except BrokerUnavailable as error:
        stop(EX_TEMPFAIL, "BrokerUnavailable", str(error))
    except BrokerError as error:
        stop(EX_CONFIG, "BrokerRefused", str(error))
    except NotReproduced as error:
        stop(EX_DATA, "NotReproduced", str(error))
    except OSError as error:
        stop(EX_DATA, "NotWritten", f"{error.filename}: {error.strerror}")
