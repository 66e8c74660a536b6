"""`tradingbot state`: looks after the state on a volume. Each command says what it did, or why not and what to do.

Only `restore` changes the state, under the bot's own lock; none of them ever deletes one.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from tradingbot_api import EX_STATE, Mode

RESTORE_WAIT_SECONDS: Final = 3.0
"""How long a restore waits for a bot that is just ending."""

state_app = typer.Typer(help="Verify, back up, restore and export the state on a bot's volume.", no_args_is_help=True)

State = Annotated[Path, typer.Option(help="Directory of the bot's state, as given to `run`.", file_okay=False)]
InMode = Annotated[Mode, typer.Option(help="paper or live.")]


@state_app.command("verify")
def verify_state(
    state: State,
    mode: InMode = Mode.PAPER,
    backup: Annotated[
        Path | None, typer.Option(help="Verify this backup instead of the state itself.", dir_okay=False)
    ] = None,
) -> None:
    """Verify a state, or a backup of it: the file's pages, the journal's chain, and that the tables are what the
    journal says. Of a backup also its .sha256.

    Changes nothing, and may run beside the bot. Exit code 65 when it does not verify.

    Try it:  tradingbot state verify --state ./state
    """
    from tradingbot_runtime.state import verify, verify_backup

    with _refusals():
        found = verify(state, mode.value) if backup is None else verify_backup(backup)
        typer.echo(
            f"{found.path} verifies: bot {found.bot_uid}, mode {found.mode}, schema {found.schema_version},"
            f" {found.lines} journal lines, {found.orders} orders, {found.fills} fills, {found.sessions} sessions"
            f"{', killed' if found.killed else ''}; last line {found.last_hash[:16]}"
            f"{f' of {found.last_line_at}' if found.last_line_at else ''}"
        )


@state_app.command("backup")
def back_up_state(state: State, mode: InMode = Mode.PAPER) -> None:
    """Take a backup now, beside the bot if it runs, verify it, and say where it is.

    A running bot does this every hour by itself, and before it brings the state to a newer schema. Backups lie in
    STATE/MODE/backups, each with a .sha256 that `sha256sum --check` reads. Kept are all of the last day, the newest
    of each of the last 30 days, and always the last three; older ones go earlier when the volume gets full. A volume
    can be lost as a whole: copy backups elsewhere, too.

    Exit code 65 when the state does not verify or there is no room.
    """
    from tradingbot_runtime.state import Backups, verify

    with _refusals():
        verify(state, mode.value)
        made = Backups(state, mode.value).take(datetime.now(UTC))
        typer.echo(f"{made.path} verifies: {made.verification.lines} journal lines, {made.verification.orders} orders")


@state_app.command("restore")
def restore_state(
    state: State,
    backup: Annotated[
        Path | None,
        typer.Option(help="The backup to restore; without it, the backups are listed.", dir_okay=False),
    ] = None,
    mode: InMode = Mode.PAPER,
) -> None:
    """Put a backup in the place of the state. Stop the bot first: while one runs, nothing is done and it is named.

    The backup is verified before anything is touched. The state that is replaced stays, whole, in
    STATE/MODE/replaced. What the bot did after the backup, its next start learns from the broker: its orders by
    their ids, its positions by comparison. A kill that either of the two knows stays in force, and a released one
    stays released. If this is interrupted, the bot refuses to start until it was run again.

    Exit code 65 when the backup does not verify, is of another bot or mode, or a bot holds the state.

    Try it:  tradingbot state restore --state ./state
             tradingbot state restore --state ./state --backup ./state/paper/backups/state-…-line-00000123.db
    """
    from tradingbot_runtime.state import DirectoryLock, complete_backups, holder_of_this_process, restore

    now = datetime.now(UTC)
    with _refusals():
        if backup is None:
            found = complete_backups(state, mode.value)
            typer.echo("\n".join(str(path) for path in found) or f"no backups in {state / mode.value / 'backups'}")
            return
        holder = holder_of_this_process(os.environ, now)
        with DirectoryLock(state, holder, wait_seconds=RESTORE_WAIT_SECONDS):
            done = restore(state, mode.value, backup, now)
    typer.echo(
        f"restored {backup}: {done.backup.lines} journal lines, the last of {done.backup.last_line_at or 'never'}"
    )
    typer.echo(f"the replaced state is in {done.aside}" if done.aside else "there was no state to replace")
    if done.kill_carried_over:
        typer.echo("a kill of the replaced state stays in force")
    if done.kill_unknown:
        typer.echo(
            "the replaced state cannot be read: if the bot was killed after the backup, kill it again before it starts",
            err=True,
        )


@state_app.command("export")
def export_state(
    state: State,
    mode: InMode = Mode.PAPER,
    table: Annotated[
        list[str] | None,
        typer.Option(help="journal, orders, fills, sessions, incidents or notices; may be repeated."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            help="Only what is not older, in UTC: by machine time, orders and fills by market time.",
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"],
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write; replaced only once the export is whole.", dir_okay=False)
    ] = None,
) -> None:
    """Write journal, orders, fills and sessions as JSON lines: a document a row, oldest first, its table in `table`.

    Changes nothing, and may run beside the bot. Verifies nothing either: also a damaged state can be looked at as far
    as it can be read. Numbers are text, so that no digit is lost.

    Try it:  tradingbot state export --state ./state --table fills --since 2026-03-02
    """
    from tradingbot_runtime.state import export
    from tradingbot_runtime.state.export import TIMES

    tables = table or ["journal", "orders", "fills", "sessions"]
    unknown = [name for name in tables if name not in TIMES]
    if unknown:
        raise typer.BadParameter(f"no such table: {', '.join(unknown)}; write {', '.join(TIMES)}")
    with _refusals():
        lines = export(state, mode.value, tables, since.replace(tzinfo=UTC) if since else None)
        if output is None:
            for line in lines:
                sys.stdout.write(line + "\n")
            return
        _write(output, lines)


def _write(output: Path, lines: Iterator[str]) -> None:
    from tradingbot_runtime.state.files import os_failures_of

    aside = output.with_name(output.name + ".tmp")
    try:
        with os_failures_of(output), aside.open("w", encoding="utf-8") as file:
            count = sum(1 for line in lines if file.write(line + "\n"))
            file.flush()
            os.fsync(file.fileno())
        aside.replace(output)
    finally:
        aside.unlink(missing_ok=True)
    typer.echo(f"{count} lines in {output}")


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    from tradingbot_runtime.state import StateFailure

    try:
        yield
    except StateFailure as error:
        _refuse(error.reason, str(error))


def _refuse(reason: str, message: str) -> NoReturn:
    typer.echo(f"{reason}: {message}", err=True)
    raise typer.Exit(EX_STATE)
