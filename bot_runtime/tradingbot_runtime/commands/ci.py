"""`tradingbot ci`: what a repository with strategies and bots runs on a pull request. Asks no broker and no cluster."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tradingbot_runtime.commands.endings import EX_DATA, WrongConfig, fail
from tradingbot_runtime.commands.research_inputs import research_refusals

if TYPE_CHECKING:
    from tradingbot_runtime.commands.ci_config import CiConfig
    from tradingbot_runtime.commands.ci_findings import Findings
    from tradingbot_runtime.commands.ci_manifests import Manifests
    from tradingbot_runtime.commands.ci_voids import Compared

FAILED = 1
_WHAT, _HOW, _BASE, _LEFT = "What is looked at", "How it is judged", "What would be voided", "What is left"


def ci(
    config: Annotated[
        Path | None,
        typer.Option(
            help="The checks in YAML; .tradingbot/ci.yaml where there is one. Options win over it.",
            dir_okay=False,
            show_default=False,
        ),
    ] = None,
    bot: Annotated[
        list[str] | None,
        typer.Option(
            help="File with TradingBots; may be repeated. PromotionGates and BrokerAccounts in it count, too.",
            metavar="FILE",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    bars: Annotated[
        str | None,
        typer.Option(
            help="Bars, as `tradingbot backtest --help` says. Without them: no backtest, no validation.",
            metavar="PATH",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    minimum_sharpe: Annotated[
        str | None,
        typer.Option(
            help="Least annual Sharpe ratio of the backtest, such as 0.5.", metavar="RATIO", rich_help_panel=_HOW
        ),
    ] = None,
    maximum_drawdown: Annotated[
        str | None,
        typer.Option(
            help="Largest fall of its equity from a peak, in percent.", metavar="PERCENT", rich_help_panel=_HOW
        ),
    ] = None,
    minimum_return: Annotated[
        str | None,
        typer.Option(help="Its least return, in percent of the capital.", metavar="PERCENT", rich_help_panel=_HOW),
    ] = None,
    minimum_trades: Annotated[
        int | None, typer.Option(help="Least number of its fills that close something.", rich_help_panel=_HOW)
    ] = None,
    validate: Annotated[
        bool | None,
        typer.Option("--validate/--no-validate", help="Whether there is a validation.", rich_help_panel=_HOW),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Other sets of parameters that it draws.", rich_help_panel=_HOW)
    ] = None,
    windows: Annotated[int | None, typer.Option(help="Windows of its walk-forward.", rich_help_panel=_HOW)] = None,
    base_ref: Annotated[
        str | None,
        typer.Option(
            help="Compare with the same files at this commit, branch or tag, such as origin/main.",
            metavar="REF",
            rich_help_panel=_BASE,
        ),
    ] = None,
    base: Annotated[
        list[str] | None,
        typer.Option(help="Compare with this file, as it was; may be repeated.", metavar="FILE", rich_help_panel=_BASE),
    ] = None,
    image_source: Annotated[
        list[str] | None,
        typer.Option(
            help="With --base-ref: file or folder that the bots' image is built from, such as src; may be repeated. A"
            " change in it is another image.",
            metavar="PATH",
            rich_help_panel=_BASE,
        ),
    ] = None,
    fail_on_void: Annotated[
        bool | None,
        typer.Option("--fail-on-void", help="Voiding something is a failure.", rich_help_panel=_BASE),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(help="File for the result as JUnit.", dir_okay=False, rich_help_panel=_LEFT)
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="File for the result as JSON.", dir_okay=False, rich_help_panel=_LEFT)
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(help="File for the result as Markdown, for a comment.", dir_okay=False, rich_help_panel=_LEFT),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the validations' files.", file_okay=False, rich_help_panel=_LEFT)
    ] = None,
    print_example: Annotated[bool, typer.Option("--print-example", help="Print a config, and end.")] = False,
) -> None:
    """Check the bots of a repository, as on a pull request: does each keep the contract, and earn what was asked?

    For every bot, in this order: its manifest, with the strategy's own parameters; `check-strategy`; a backtest against
    thresholds; a validation. Where a strategy breaks the contract, no figure of it is looked at. Then, with --base-ref
    or --base, which inputs of the promotion's subject differ, and what merging would void: evidence, approvals, the
    grant. That is said, and fails only with --fail-on-void.

    The strategies have to be installed where this runs, as they are in their image. Strategies are code, and it runs
    here: give such a job no keys.

    Exit codes: 0 every check is passed; 1 one is not, and is named; 2 wrong options; 65 there are no such bars, or a
    file cannot be written; 78 the config is wrong, a manifest's file cannot be read, or Git does not know the ref.

    Try it:  tradingbot ci --print-example > .tradingbot/ci.yaml
             tradingbot ci --bot bot.yaml --bars bars.csv --minimum-sharpe 0.5 --base-ref origin/main --image-source src
             tradingbot ci --junit ci.xml --summary ci.md
    """
    if print_example:
        from tradingbot_runtime.commands.ci_config import EXAMPLE

        typer.echo(EXAMPLE, nl=False)
        return
    backtest: dict[str, Any] = {
        "minimumSharpe": minimum_sharpe,
        "maximumDrawdownPercent": maximum_drawdown,
        "minimumReturnPercent": minimum_return,
        "minimumTrades": minimum_trades,
    }
    validation: dict[str, Any] = {"trials": trials, "windows": windows}
    compared: dict[str, Any] = {
        "ref": base_ref,
        "files": base or None,
        "imageSources": image_source or None,
        "failOnVoid": fail_on_void,
    }
    with research_refusals():
        if validate is False and _given(validation):
            raise WrongConfig("InvalidOptions", "--trials and --windows belong to a validation")
        changes: dict[str, Any] = _given({"bots": bot or None, "bars": bars})
        changes |= {name: part for name, part in (("backtest", _given(backtest)), ("base", _given(compared))) if part}
        if validate or _given(validation):
            changes["validation"] = _given(validation)
        found = _run(_read(config, changes, no_validation=validate is False), out)
        from tradingbot_runtime.commands.ci_report import as_json, as_junit, as_summary, as_table

        for path, made in ((junit, as_junit), (json, as_json), (summary, as_summary)):
            if path is not None:
                _write(path, made(found))
    typer.echo(as_table(found))
    if not found.passed:
        raise typer.Exit(FAILED)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _read(path: Path | None, changes: dict[str, Any], *, no_validation: bool) -> "CiConfig":
    from tradingbot_runtime.commands.ci_config import read_ci

    base = changes.get("base", {})
    # What an option names takes the place of what the file compares with, be it the other of the two.
    if "ref" in base:
        changes["base"] = {"files": []} | base
    elif "files" in base:
        changes["base"] = {"ref": None, "imageSources": []} | base
    found = read_ci(path, changes)
    return found.model_copy(update={"validation": None}) if no_validation else found


def _run(config: "CiConfig", out: Path | None) -> "Findings":
    from tradingbot_runtime.commands.ci_findings import Finding, Findings, Outcome, finding
    from tradingbot_runtime.commands.ci_manifests import manifests_in
    from tradingbot_runtime.commands.ci_steps import MANIFEST, Work, steps_of
    from tradingbot_runtime.commands.inputs import bytes_of

    if config.bars is not None and not Path(config.bars).exists():
        fail(EX_DATA, "BarsUnusable", f"{config.bars}: there is no such file or folder")
    now = manifests_in([(name, bytes_of(Path(name))) for name in config.bots])
    compared = _compared(config, now)
    found: list[Finding] = [
        finding(source, MANIFEST, Outcome.FAILED, message=f"{source}: {why}") for source, why in now.problems
    ]
    if not now.bots and not found:
        raise WrongConfig("InvalidConfig", f"{', '.join(config.bots)}: there is no TradingBot in it")
    for bot in now.bots:
        work = Work(bot, now.gate_of(bot), config, out)
        found += steps_of(work, lambda words: typer.echo(words, err=True))
    for one in compared:
        message = f"merging it voids {', '.join(one.voids)}: {', '.join(change.input for change in one.changes)}"
        outcome = Outcome.FAILED if config.base.fail_on_void else Outcome.NOTED
        if not one.voids:
            outcome, message = Outcome.PASSED, "a new bot" if one.is_new else "nothing is voided"
        found.append(finding(one.bot, "subject", outcome, message=message))
    return Findings(tuple(found), compared)


def _compared(config: "CiConfig", now: "Manifests") -> "tuple[Compared, ...]":
    from tradingbot_runtime.commands.ci_base import changed_since, commit_of, files_at
    from tradingbot_runtime.commands.ci_manifests import manifests_in
    from tradingbot_runtime.commands.ci_voids import compared
    from tradingbot_runtime.commands.inputs import bytes_of

    base, paths = config.base, [Path(name) for name in config.bots]
    if base.files:
        before = manifests_in([(name, bytes_of(Path(name))) for name in base.files])
        return compared(before, now, ", ".join(base.files), ())
    if base.ref is None:
        return ()
    commit = commit_of(base.ref, Path())
    sources = changed_since(commit, base.image_sources, Path())
    return compared(manifests_in(files_at(commit, paths)), now, base.ref, sources)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(EX_DATA, "NotWritten", f"{error.filename}: {error.strerror}")
