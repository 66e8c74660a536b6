"""`tradingbot backtest`: what a strategy would have made of some bars. Asks no broker, orders nothing."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tradingbot_runtime.commands.research_inputs import (
    BarsPath,
    Capital,
    Commission,
    ConfigPath,
    CostOptions,
    HalfSpread,
    MinimumCommission,
    Settings,
    Slippage,
    StrategyName,
    Subject,
    Symbols,
    TimeframeName,
    research_refusals,
    subject_of,
)

if TYPE_CHECKING:
    from tradingbot_research.metrics import Metrics
    from tradingbot_research.result import Result


@dataclass(frozen=True)
class Backtested:
    """What a strategy would have made of its bars."""

    result: "Result"
    metrics: "Metrics"
    undone: Mapping[str, int]
    """How often something that was wanted could not be done, by the obstacle."""


def backtested(subject: Subject) -> Backtested:
    """One backtest after costs. Raises StrategyBroke."""
    from tradingbot_research.days import Days
    from tradingbot_research.engine import backtest as run
    from tradingbot_research.metrics import metrics_of
    from tradingbot_research.sweep import targets_of

    bars = subject.read.bars
    found = run(bars, targets_of(subject.strategy, bars), subject.rules)
    undone: Counter[str] = Counter()
    for one in found.unfilled:
        undone[one.obstacle.value] += one.times
    return Backtested(found, metrics_of(found, Days.of(bars.time)), undone)


def backtest(
    bars: BarsPath,
    config: ConfigPath = None,
    strategy: StrategyName = None,
    settings: Settings = None,
    symbols: Symbols = None,
    timeframe: TimeframeName = None,
    capital: Capital = None,
    commission_bps: Commission = 0.5,
    minimum_commission: MinimumCommission = 0.0,
    half_spread_bps: HalfSpread = 1.0,
    slippage_bps: Slippage = 3.0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for results: trades, equity and manifest.", file_okay=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON.")] = False,
) -> None:
    """Run a strategy over bars from a file, and show what it would have made after costs.

    A decision on a bar's close is filled at the next bar's open, moved by half spread and slippage; whole shares, long
    only, weights as shares of the capital, with the config's smallest trade: what a bot does. The bars are looked at
    first, and refused with the symbol and the defect where they have one. What was wanted and could not be done is
    counted, and listed in unfilled.parquet.

    One backtest proves little: `tradingbot validate` says what it is worth.

    Exit codes: 0 done; 65 the bars cannot be used; 78 config, options or strategy are wrong.

    Try it:  tradingbot backtest --strategy momentum --set lookback=20 --bars bars.csv
             tradingbot backtest --config bot.yaml --bars ./bars --json | jq .sharpe
    """
    costs = CostOptions(commission_bps, minimum_commission, half_spread_bps, slippage_bps)
    with research_refusals():
        subject = subject_of(bars, config, strategy, settings or (), symbols, timeframe, capital, costs)
        import json

        from tradingbot_research.artifact import Inputs, plain
        from tradingbot_research.publish import publish_backtest

        read, found = subject.read, backtested(subject)
        metrics, undone = found.metrics, found.undone
        if out is not None:
            inputs = Inputs.of(subject.strategy, read.bars, subject.timeframe, subject.rules, None, read.files)
            written = publish_backtest(out, found.result, metrics, inputs)
            typer.echo(f"written: {written.folder}", err=True)
    for warning in read.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if as_json:
        typer.echo(json.dumps({**plain(metrics), "unfilled": dict(undone)}, indent=2))
        return
    rows = [
        ("days", f"{metrics.days:,}"),
        ("total return", f"{metrics.total_return:.2%}"),
        ("annual return", f"{metrics.annual_return:.2%}"),
        ("annual volatility", f"{metrics.annual_volatility:.2%}"),
        ("Sharpe ratio", f"{metrics.sharpe:.2f}"),
        ("largest drawdown", f"{metrics.max_drawdown:.2%}"),
        ("turnover a year", f"{metrics.turnover:.1f} x"),
        ("fills", f"{metrics.fills:,}"),
        ("closed, with a profit", f"{metrics.closed:,}, {metrics.won:,}"),
        ("commission", f"{metrics.costs:,.2f}"),
        ("not done", ", ".join(f"{name} {times}" for name, times in sorted(undone.items())) or "nothing"),
    ]
    for name, value in rows:
        typer.echo(f"{name:<22} {value}")
