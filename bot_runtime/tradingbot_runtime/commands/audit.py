"""`tradingbot audit`: closed sessions against the broker's own record, by a process that is not the bot."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tradingbot_runtime.commands.endings import (
    EX_TEMPFAIL,
    MAX_LAST_WORDS_BYTES,
    WrongConfig,
    leave_last_words,
    refusals,
)
from tradingbot_runtime.commands.inputs import Config, Keys, keys_in, read_document

if TYPE_CHECKING:
    from tradingbot_api import AuditReport, AuditReports, SessionReport
    from tradingbot_runtime.commands.account_config import AuditConfig
    from tradingbot_runtime.commands.auditing import Books, BrokerRecord

MISMATCH: Final = 1


def audit(
    config: Config,
    state: Annotated[
        Path | None,
        typer.Option(
            help="Directory of the bot's state: its closed sessions, and order by order what it knows of them."
            " Read beside a running bot, never written.",
            file_okay=False,
        ),
    ] = None,
    report: Annotated[
        str | None, typer.Option(help="The closed sessions as /sessions gives them, from a file or an http address.")
    ] = None,
    session: Annotated[
        list[str] | None, typer.Option(help="Date of a session in New York, such as 2026-03-02; may be repeated.")
    ] = None,
    last: Annotated[int, typer.Option(min=1, max=400, help="Without --session: the last so many sessions.")] = 1,
) -> None:
    """Compare closed sessions with the broker's own record of them, and say Match or what differs.

    A separate process that trusts only the broker: it reads the exchange's calendar, the account's orders (by the bot's
    client_order_ids, exits included), executions, positions and daily prices, and compares the session's open and
    close, orders, trades, fills, rejects, turnover and profit with what the bot reported of it. With --state also each
    order, the shares of each symbol, and, for the last session, what is held. Executions that reached the bot as one
    count as one; profit is compared exactly where nothing was held at either end, else with what the session's prices
    allow.

    Keys come from APCA_API_KEY_ID and APCA_API_SECRET_KEY; only questions are asked. Of the config only bot, mode,
    symbols and broker count: a live bot is audited without its grant, too.

    The result, AuditReports, is printed as JSON and goes, shortened to 4096 bytes, to $TERMINATION_MESSAGE_PATH.

    Exit codes: 0 all match; 1 some do not, and both sides are listed; 75 some could not be judged, because the broker
    does not answer or the session is not closed yet, and none is wrong: try again; 78 config, keys or options are
    wrong; 65 the state cannot be used.

    Try it:  tradingbot audit --config bot.yaml --state ./state --last 5
             tradingbot audit --config bot.yaml --report http://localhost:8080/sessions --session 2026-03-02
    """
    with refusals(last_words=True):
        if state is None and report is None:
            raise WrongConfig("InvalidOptions", "give --state or --report: an audit needs the bot's own word")
        found = _audited(config, state, report, tuple(session or ()), last)
    typer.echo(found.model_dump_json(by_alias=True, exclude_defaults=True))
    leave_last_words(shortened(found))
    results = {one.result.value for one in found.audits}
    for one in found.audits:
        words = "; ".join(f"{each.what}: reported {each.reported}, broker {each.broker}" for each in one.differences)
        typer.echo(f"{one.session} {one.result.value} {one.message} {words}".strip(), err=True)
    if "Mismatch" in results:
        raise typer.Exit(MISMATCH)
    if results != {"Match"}:
        raise typer.Exit(EX_TEMPFAIL)


def shortened(found: "AuditReports", most_bytes: int = MAX_LAST_WORDS_BYTES) -> str:
    """The reports as JSON in so many bytes: with fewer and fewer differences listed, but every session's result."""
    for differences in (20, 10, 5, 3, 2, 1, 0):
        audits = [_with_at_most(one, differences) for one in found.audits]
        document = found.model_copy(update={"audits": audits}).model_dump_json(by_alias=True, exclude_defaults=True)
        if len(document.encode()) <= most_bytes:
            return document
    results = [one.model_copy(update={"differences": [], "not_compared": [], "message": ""}) for one in found.audits]
    return found.model_copy(update={"audits": results}).model_dump_json(by_alias=True, exclude_defaults=True)


def _with_at_most(one: "AuditReport", differences: int) -> "AuditReport":
    left_out = len(one.differences) - differences
    if left_out <= 0:
        return one
    message = one.message or f"{left_out} more differences are not listed here"
    return one.model_copy(update={"differences": one.differences[:differences], "message": message})


def _audited(path: Path, state: Path | None, report: str | None, wanted: Sequence[str], last: int) -> "AuditReports":
    from contextlib import ExitStack

    from tradingbot_api import AuditReports
    from tradingbot_runtime.commands.account_config import AuditConfig
    from tradingbot_runtime.commands.audit_reading import ReportUnreadable, books_of, reports_at
    from tradingbot_runtime.commands.auditing import sessions_of, unknown
    from tradingbot_runtime.commands.volume import read_volume
    from tradingbot_runtime.core.portfolio import Portfolio
    from tradingbot_runtime.ops import logs

    config, keys = read_document(path, AuditConfig), keys_in(os.environ)
    logs.configure(config.bot.name, config.bot.namespace)
    _check_dates(wanted)
    found = AuditReports(uid=config.bot.uid, mode=config.mode.value)
    with ExitStack() as closing:
        books: dict[str, Books] = {}
        volume = None
        if state is not None:
            volume = closing.enter_context(read_volume(state, config.mode.value, config.bot.uid))
        try:
            reports = reports_at(report) if report is not None else volume.reports() if volume else []
        except ReportUnreadable as error:
            typer.echo(str(error), err=True)
            return found.model_copy(update={"audits": [unknown(day, str(error)) for day in wanted]})
        chosen = sessions_of(reports, wanted, last)
        there = [one for one in chosen if not isinstance(one, str)]
        if volume is not None:
            portfolio = Portfolio.of(volume.recovered().fills)
            books = {one.session: books_of(volume, one, portfolio) for one in there}
    newest = max((one.session for one in reports), default="")
    judged = {one.session: one for one in asyncio.run(_judged(config, keys, there, books, newest))}
    audits = [
        unknown(one, "no closed session of this date: it is not over yet, or the bot did not see it")
        if isinstance(one, str)
        else judged[one.session]
        for one in chosen
    ]
    return found.model_copy(update={"audits": audits})


async def _judged(
    config: "AuditConfig", keys: Keys, reports: "Sequence[SessionReport]", books: "dict[str, Books]", newest: str
) -> "list[AuditReport]":
    from tradingbot_runtime.broker.port import BrokerError
    from tradingbot_runtime.commands.audit_reading import read_record
    from tradingbot_runtime.commands.auditing import unknown
    from tradingbot_runtime.commands.brokers import broker_of
    from tradingbot_runtime.core.orders import client_order_id_prefix

    if not reports:
        return []
    prefix = client_order_id_prefix(config.bot.uid, config.mode.value)
    with broker_of(config.broker, keys, config.bot.uid, config.mode.value) as broker:
        try:
            record = await read_record(broker, prefix, frozenset(config.symbols), reports)
        except BrokerError as error:
            return [unknown(report.session, f"the broker cannot be read: {error}") for report in reports]
    return [
        _judgement(config, report, record, books.get(report.session), is_last=report.session == newest)
        for report in reports
    ]


def _judgement(
    config: "AuditConfig", report: "SessionReport", record: "BrokerRecord", books: "Books | None", *, is_last: bool
) -> "AuditReport":
    from tradingbot_api import AuditDifference, AuditResult
    from tradingbot_runtime.commands.auditing import Audit

    found = Audit(report, record, frozenset(config.symbols), books).result(is_last=is_last)
    if (report.uid, report.mode) == (config.bot.uid, config.mode.value):
        return found
    whose = AuditDifference(
        what="bot", reported=f"{report.uid} {report.mode}", broker=f"{config.bot.uid} {config.mode.value} (config)"
    )
    differences = [whose, *found.differences][:20]
    return found.model_copy(update={"result": AuditResult.MISMATCH, "differences": differences})


def _check_dates(wanted: Sequence[str]) -> None:
    from datetime import date

    for day in wanted:
        try:
            right = date.fromisoformat(day).isoformat() == day
        except ValueError:
            right = False
        if not right:
            raise WrongConfig("InvalidOptions", f"--session {day}: write a date such as 2026-03-02")
