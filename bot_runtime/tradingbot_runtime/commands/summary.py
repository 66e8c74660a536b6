"""`tradingbot summary`: a bot's closed sessions as one document and one table. Only reads the state."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tradingbot_api import Mode
from tradingbot_runtime.commands.endings import fail, refusals
from tradingbot_runtime.state_cli import InMode, State

if TYPE_CHECKING:
    from tradingbot_runtime.commands.paper_summary import PaperTradingSummary
    from tradingbot_runtime.commands.volume import Volume

FILE: Final = Path("paper_trading_summary.json")
FAILED: Final = 1
_STDOUT: Final = Path("-")


def summary(
    state: State,
    mode: InMode = Mode.PAPER,
    days: Annotated[
        int | None, typer.Option(min=1, help="Only the last so many days, counted back from the newest session.")
    ] = None,
    output: Annotated[
        Path, typer.Option(help="File to write; replaced only once it is whole. - prints the JSON instead.")
    ] = FILE,
) -> None:
    """Summarise a bot's closed sessions: whether it is ready to be promoted, what blocks it, and the figures behind.

    Writes paper_trading_summary.json and prints a table. Thresholds are a promotion gate's defaults; what counts in
    the end is the gate, from evidence of its own. Reads the state only, and may run beside the bot.

    Execution quality is 100 - 1.5 max(0, slippage in bps - 5) - 200 (1 - fill rate), from 0 to 100.

    Exit codes: 0 written, ready or not; 65 the state cannot be used; 1 the file cannot be written.

    Try it:  tradingbot summary --state ./state --days 30
             tradingbot summary --state ./state --output - | jq .blockers
    """
    with refusals():
        from tradingbot_runtime.commands.volume import read_volume

        with read_volume(state, mode.value) as volume:
            found = _summary(volume, days)
    document = found.model_dump_json(by_alias=True, indent=2) + "\n"
    if output == _STDOUT:
        typer.echo(document, nl=False)
        return
    try:
        from tradingbot_runtime.state.files import write_whole

        write_whole(output, document)
    except OSError as error:
        fail(FAILED, "OutputUnwritable", f"--output {output}: {error.strerror}")
    typer.echo(_shown(found))
    typer.echo(f"\nwritten to {output}")


def _summary(volume: "Volume", days: int | None) -> "PaperTradingSummary":
    from tradingbot_runtime.commands.paper_summary import Standing, since, summary_of
    from tradingbot_runtime.core.report import instant

    standing = Standing(
        killed=volume.kill() is not None,
        open_incidents=[incident.name for incident in volume.records.incidents()],
        dead_letters=volume.records.count_dead_letters(),
    )
    return summary_of(
        since(volume.reports(), days),
        standing,
        bot_uid=volume.bot_uid,
        mode=volume.mode,
        generated_at=instant(datetime.now(UTC)),
    )


def _shown(found: "PaperTradingSummary") -> str:
    from tradingbot_runtime.commands.tables import table

    metrics, quality = found.metrics, found.execution_quality
    sessions = (
        f"{metrics.sessions} ({metrics.counted_sessions} count, {metrics.clean_sessions_in_a_row} clean in a row)"
    )
    rows = [
        ("sessions", sessions),
        ("last session", found.last_session or "none"),
        ("trades, fills", f"{metrics.trades}, {metrics.fills}"),
        ("rejected, refused", f"{metrics.rejected_orders}, {metrics.refused_orders}"),
        ("coverage", _with_unit(metrics.coverage_percent, " %")),
        ("profit and loss", f"{metrics.pnl:f} ({metrics.return_percent:f} %)"),
        ("shadow's return", f"{metrics.shadow_return_percent:f} %"),
        ("max drawdown", f"{metrics.max_drawdown_percent:f} %"),
        ("execution quality", _with_unit(quality.score, "")),
        ("slippage", _with_unit(quality.slippage_bps, " bps")),
        ("fill rate", _with_unit(quality.fill_rate_percent, " %")),
        ("reconciliation rate", _with_unit(metrics.reconciliation_rate_percent, " %")),
        ("operational errors", _with_unit(metrics.operational_error_rate_percent, " %")),
        ("open incidents", str(metrics.open_incidents)),
    ]
    lines = [table(("READY", "yes" if found.ready else "no"), rows), ""]
    lines += [f"blocked by {one}" for one in found.blockers] or ["nothing blocks"]
    lines += [f"warning: {one}" for one in found.warnings]
    return "\n".join(lines)


def _with_unit(value: object, unit: str) -> str:
    return "not known" if value is None else f"{value}{unit}"
