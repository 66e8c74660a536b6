"""`tradingbot validate`: whether a strategy has earned trust. Of a broker it asks bars at most; it never orders."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tradingbot_runtime.commands.endings import WrongConfig, leave_last_words
from tradingbot_runtime.commands.research_inputs import (
    BarsPathIfAny,
    CacheFolder,
    Capital,
    Commission,
    ConfigPath,
    CostOptions,
    FromBroker,
    HalfSpread,
    MinimumCommission,
    NoCache,
    Sessions,
    Settings,
    Slippage,
    StrategyName,
    Subject,
    Symbols,
    TimeframeName,
    choices_of,
    research_refusals,
    source_of,
    subject_of,
)

if TYPE_CHECKING:
    from tradingbot_research.artifact import Inputs, Written
    from tradingbot_research.validate import Plan, Validation

FAILED = 1
_HOW = "How it is judged"
_PLACE = "TERMINATION_MESSAGE_PATH"


def validate(
    out: Annotated[
        Path, typer.Option(help="Folder for results; a run makes a folder of its own in it.", file_okay=False)
    ],
    bars: BarsPathIfAny = None,
    from_broker: FromBroker = False,
    days: Sessions = None,
    cache: CacheFolder = None,
    no_cache: NoCache = False,
    config: ConfigPath = None,
    strategy: StrategyName = None,
    settings: Settings = None,
    symbols: Symbols = None,
    timeframe: TimeframeName = None,
    capital: Capital = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            help="Other values of a parameter, such as lookback=10,20,40; may be repeated, every combination is tried."
            " Without it others are drawn near the strategy's own.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    trials: Annotated[
        int, typer.Option(min=0, max=10_000, help="How many others are drawn.", rich_help_panel=_HOW)
    ] = 50,
    declared_trials: Annotated[
        int,
        typer.Option(
            min=1, max=10_000_000, help="How many sets of parameters you have tried so far.", rich_help_panel=_HOW
        ),
    ] = 1,
    windows: Annotated[
        int, typer.Option(min=1, max=100, help="Windows of the walk-forward.", rich_help_panel=_HOW)
    ] = 5,
    rolling: Annotated[
        bool,
        typer.Option(help="Trainings of one length that roll along, not from the first day.", rich_help_panel=_HOW),
    ] = False,
    purge_days: Annotated[
        int, typer.Option(min=0, help="Days before each test that are not trained on.", rich_help_panel=_HOW)
    ] = 1,
    embargo_days: Annotated[
        int, typer.Option(min=0, help="First days of each test that are not judged.", rich_help_panel=_HOW)
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.", rich_help_panel=_HOW)] = 1,
    commission_bps: Commission = 0.5,
    minimum_commission: MinimumCommission = 0.0,
    half_spread_bps: HalfSpread = 1.0,
    slippage_bps: Slippage = 3.0,
    processes: Annotated[int | None, typer.Option(min=1, help="Processes; without it one for each core.")] = None,
    image: Annotated[
        str, typer.Option(help="Digest of the image this runs in, for the evidence; without it that of the sources.")
    ] = "",
    termination_log: Annotated[
        Path | None,
        typer.Option(
            help="Where a Job's termination message goes; without it $TERMINATION_MESSAGE_PATH.", dir_okay=False
        ),
    ] = None,
) -> None:
    """Judge a strategy by what it would have earned on days that nothing was chosen on, and by what luck can do.

    Causality: later bars are taken away, and no earlier target may change. A backtest after costs. Other parameters,
    drawn near the strategy's own or from --grid, on all cores. A walk-forward that chooses among these others in each
    window and is judged on the days after it; the strategy's own are not among them, for they may have been chosen with
    knowledge of all the days. On those days: a t-test, and a permutation test of the timing. The deflated Sharpe ratio
    by the number of trials. Thresholds are those of a gate's defaults.

    Written to a folder of its own in --out, by the name of the strategy and the digest of all inputs: manifest.json,
    report.html, and trades, equity, trials and what could not be done as Parquet. The same inputs give the same bytes.
    The result, a ValidationEvidence, is printed as JSON and goes, in at most 3500 bytes, to the termination message.

    Bars come from files, or with --from-broker from the market data of the config's broker: as the bot reads them,
    adjusted for splits, and refused where they have a defect. They are kept in a cache: the next time only new ones are
    asked for, and the newest kept ones once more: a split is seen at once, a single old bar that the broker corrects
    within 30 days. --no-cache asks for all.

    Exit codes: 0 every check is passed; 1 some are not, and are named; 65 the bars cannot be used or are too few; 75
    the broker does not answer: try again; 78 config, options, keys or strategy are wrong.

    Try it:  tradingbot validate --config bot.yaml --bars ./bars --out ./results
             tradingbot validate --config bot.yaml --from-broker --days 1250 --out ./results
             tradingbot validate --strategy momentum --bars bars.csv --out ./results --grid lookback=10,20,40
    """
    costs = CostOptions(commission_bps, minimum_commission, half_spread_bps, slippage_bps)
    with _last_words_at(termination_log), research_refusals(last_words=True):
        progress = _Progress()
        source = source_of(bars, from_broker, days, config, progress, cache, no_cache)
        subject = subject_of(source, config, strategy, settings or (), symbols, timeframe, capital, costs)
        from pydantic import ValidationError

        from tradingbot_research.publish import evidence, termination_message
        from tradingbot_research.sweep import grid as grid_of
        from tradingbot_research.validate import Plan
        from tradingbot_research.validate import validate as run
        from tradingbot_research.walk_forward import Scheme

        kind, own = type(subject.strategy), subject.strategy.parameters.model_dump(mode="json")
        choices = choices_of(grid or ())
        others = None
        if choices:
            try:
                sets = grid_of(kind.parameters_model, own, choices)
            except ValidationError as error:
                raise WrongConfig("InvalidOptions", f"--grid: {error.errors(include_url=False)[0]['msg']}") from error
            others = [kind.from_parameters(one) for one in sets]
        scheme = Scheme(windows=windows, anchored=not rolling, purge_days=purge_days, embargo_days=embargo_days)
        plan = Plan(trials=trials, declared_trials=declared_trials, scheme=scheme, seed=seed)
        read = subject.read
        found = run(
            subject.strategy, read.bars, subject.rules, plan, others=others, processes=processes, progress=progress
        )
        inputs, written = published(out, found, subject, plan, choices)
        document = termination_message(evidence(found, inputs, written, image))
        leave_last_words(document)
    typer.echo(document)
    for check in found.checks:
        word = "passed" if check.passed else "FAILED"
        typer.echo(f"{word} {check.name}: {check.observed} (asked: {check.threshold})", err=True)
    for warning in read.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"written: {written.folder}", err=True)
    if not found.passed:
        raise typer.Exit(FAILED)


def published(
    out: Path, found: "Validation", subject: Subject, plan: "Plan", choices: Mapping[str, Sequence[Any]]
) -> "tuple[Inputs, Written]":
    """Writes the folder of a validation: its inputs, and what was written. Raises NotReproduced, OSError."""
    from tradingbot_research.artifact import Inputs
    from tradingbot_research.publish import publish

    read = subject.read
    asked = {"plan": plan, "grid": choices}
    inputs = Inputs.of(subject.strategy, read.bars, subject.timeframe, subject.rules, asked, read.files)
    return inputs, publish(out, found, inputs, read.warnings)


@contextmanager
def _last_words_at(path: Path | None) -> Iterator[None]:
    """Last words, those of a refusal too, go to this file instead of where the environment says."""
    before = os.environ.get(_PLACE)
    if path is not None:
        os.environ[_PLACE] = str(path)
    try:
        yield
    finally:
        if path is not None:
            os.environ.pop(_PLACE)
            os.environ.update({} if before is None else {_PLACE: before})


class _Progress:
    """Says on stderr what is being done, a line for each tenth of what is long."""

    def __init__(self) -> None:
        self._said = ("", -1)

    def __call__(self, step: str, done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if (step, tenth) == self._said or (total == 1 and done == 1):
            return
        self._said = (step, tenth)
        typer.echo(f"{step}: {done} of {total}" if total > 1 else step, err=True)
