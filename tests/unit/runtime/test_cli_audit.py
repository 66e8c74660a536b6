"""An audit says Match where bot and broker agree, and names both sides where they do not; it believes only the broker."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
import structlog
import yaml
from typer.testing import CliRunner, Result

from contract.conftest import served
from simulation.world import KEYS, World
from tradingbot_api import AuditReports, ClosedSession, ClosedSessions, SessionReport
from tradingbot_runtime.cli import app
from tradingbot_runtime.commands.audit import shortened

DAYS = ("2026-03-02", "2026-03-03")


class Audited:
    """A bot that has traded for two sessions, and the files of an audit."""

    def __init__(self, directory: Path, seed: int = 1) -> None:
        self.directory = directory
        self.world = World(directory / "state", seed)
        asyncio.run(self._trade())

    async def _trade(self) -> None:
        await self.world.begin()
        await self.world.run(2)
        await self.world.settle()

    @property
    def closed(self) -> list[SessionReport]:
        sessions = self.world.database.records.sessions()
        return [SessionReport.model_validate_json(one.record.payload) for one in reversed(sessions)]

    def report(self, change: Callable[[SessionReport], SessionReport] = lambda one: one) -> str:
        """The body of /sessions as a file, with one session changed."""
        sessions = [
            ClosedSession(report=change(one), digest="0" * 64, journal_sequence=1, journal_hash="0" * 64)
            for one in self.closed
        ]
        path = self.directory / "sessions.json"
        path.write_text(ClosedSessions(sessions=sessions).model_dump_json(by_alias=True))
        return str(path)

    def run(self, *options: str, secret: str = KEYS.secret_key, **config: Any) -> Result:
        with served(self.world.simulator) as url:
            return self.run_at(url, *options, secret=secret, **config)

    def run_at(self, url: str, *options: str, secret: str = KEYS.secret_key, **config: Any) -> Result:
        document = json.loads(self.world.config.model_dump_json(by_alias=True)) | config
        document["broker"] |= {"baseURL": url, "dataURL": url}
        path = self.directory / "bot.yaml"
        path.write_text(yaml.safe_dump(document))
        environment = {
            "APCA_API_KEY_ID": KEYS.key_id,
            "APCA_API_SECRET_KEY": secret,
            "TERMINATION_MESSAGE_PATH": str(self.directory / "termination-log"),
        }
        result = CliRunner().invoke(app, ["audit", "--config", str(path), *options], env=environment)
        structlog.reset_defaults()  # the simulator of this process logs, too, and the command's stderr is gone
        return result

    @property
    def last_words(self) -> AuditReports:
        return AuditReports.model_validate_json((self.directory / "termination-log").read_text())

    @property
    def state(self) -> tuple[str, str]:
        return "--state", str(self.directory / "state")


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    audited = Audited(tmp_path_factory.mktemp("audited"))
    assert [one.session for one in audited.closed] == list(DAYS)
    assert all(one.fills > 0 for one in audited.closed)
    yield audited
    audited.world.database.close()


def differences(result: Result) -> dict[str, tuple[str, str]]:
    reports = AuditReports.model_validate_json(result.stdout)
    return {one.what: (one.reported, one.broker) for audit in reports.audits for one in audit.differences}


def test_what_bot_and_broker_agree_on_is_a_match(traded: Audited) -> None:
    result = traded.run(*traded.state, "--last", "2")
    assert result.exit_code == 0, result.output
    reports = AuditReports.model_validate_json(result.stdout)
    assert [(one.session, one.result) for one in reports.audits] == [(day, "Match") for day in DAYS]
    assert [one.not_compared for one in reports.audits] == [[], []]
    assert traded.last_words == reports


def test_a_report_alone_is_audited_too(traded: Audited) -> None:
    result = traded.run("--report", traded.report(), "--session", DAYS[0], "--session", DAYS[1])
    assert result.exit_code == 0, result.output
    last = AuditReports.model_validate_json(result.stdout).audits[-1]
    assert last.not_compared == ["positions: the report does not hold them; give --state"]


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("orders", 1),
        ("filledOrders", -1),
        ("fills", 1),
        ("turnover", Decimal("1.00")),
        ("pnl", Decimal("400.00")),
        ("pnl", Decimal("-400.00")),
    ],
)
def test_a_figure_that_was_reported_wrongly_is_found(traded: Audited, field: str, change: Any) -> None:
    name = {"filledOrders": "filled_orders"}.get(field, field)

    def lie(one: SessionReport) -> SessionReport:
        wrong = {name: getattr(one, name) + change}
        return one.model_copy(update=wrong) if one.session == DAYS[0] else one

    result = traded.run("--report", traded.report(lie), "--last", "2")
    assert result.exit_code == 1
    assert list(differences(result)) == [field]
    reports = AuditReports.model_validate_json(result.stdout)
    assert [one.result for one in reports.audits] == ["Mismatch", "Match"]
    assert f"{DAYS[0]} Mismatch" in result.stderr and "broker" in result.stderr


def test_rejects_that_were_kept_quiet_are_found_and_those_on_the_spot_are_not_missed(traded: Audited) -> None:
    more = traded.run("--report", traded.report(lambda one: one.model_copy(update={"rejected_orders": 3})))
    assert more.exit_code == 0


def test_another_bots_sessions_are_no_match(traded: Audited) -> None:
    result = traded.run("--report", traded.report(lambda one: one.model_copy(update={"uid": "somebody-else"})))
    assert result.exit_code == 1
    assert "bot" in differences(result)


def test_an_order_that_only_the_broker_knows_is_named(tmp_path: Path) -> None:
    audited = Audited(tmp_path)
    order_id = audited.world.orders[-1]["client_order_id"]
    forged = order_id[:-3] + "999"
    with served(audited.world.simulator) as url:
        headers = {"APCA-API-KEY-ID": KEYS.key_id, "APCA-API-SECRET-KEY": KEYS.secret_key}
        opens = audited.closed[0].opens_at
        assert opens
    asyncio.run(trades_behind_its_back(audited, forged))
    result = audited.run(*audited.state, "--last", "1")
    assert result.exit_code == 1, result.output
    found = differences(result)
    assert found[f"order {forged}"][0] == "no such order"
    assert "AAPL shares traded" in found and "orders" in found and "turnover" in found
    assert url and headers
    audited.world.database.close()


async def trades_behind_its_back(audited: Audited, order_id: str) -> None:
    """An order under one of the bot's own ids that the bot never sent; then a session's end that it does not see."""
    raise NotImplementedError


def test_a_broker_that_does_not_answer_is_a_reason_to_try_again(traded: Audited) -> None:
    result = traded.run_at("http://127.0.0.1:1", *traded.state)
    assert result.exit_code == 75
    assert [one.result for one in traded.last_words.audits] == ["Unknown"]
    assert "the broker cannot be read" in traded.last_words.audits[0].message
    refused = traded.run(*traded.state, secret="wrong")
    assert refused.exit_code == 75


def test_a_session_that_is_not_closed_is_unknown(traded: Audited) -> None:
    result = traded.run(*traded.state, "--session", "2026-03-04", "--session", DAYS[0])
    assert result.exit_code == 75
    assert [one.result for one in traded.last_words.audits] == ["Match", "Unknown"]


def test_a_report_comes_from_an_address_too(traded: Audited) -> None:
    result = traded.run("--report", "http://127.0.0.1:1/sessions", "--session", DAYS[0])
    assert result.exit_code == 75
    assert "127.0.0.1:1" in traded.last_words.audits[0].message


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "give --state or --report"),
        (["--report", "nowhere.json"], "No such file"),
        (["--report", __file__], "is no /sessions document"),
        (["--report", "x", "--session", "yesterday"], "write a date such as 2026-03-02"),
    ],
)
def test_wrong_options_are_said(traded: Audited, options: list[str], said: str) -> None:
    result = traded.run_at("http://127.0.0.1:1", *options)
    assert result.exit_code == 78
    assert said in result.stderr


def test_last_words_always_fit_and_hold_every_result(traded: Audited) -> None:
    result = traded.run("--report", traded.report(lambda one: one.model_copy(update={"orders": 99, "fills": 99})))
    one = AuditReports.model_validate_json(result.stdout).audits[0]
    many = one.model_copy(update={"differences": [one.differences[0]] * 20, "message": ""})
    words = shortened(AuditReports(uid="u", mode="paper", audits=[many] * 30))
    assert len(words.encode()) <= 4096
    kept = AuditReports.model_validate_json(words)
    assert [audit.result for audit in kept.audits] == ["Mismatch"] * 30
    assert len(shortened(AuditReports(uid="u", mode="paper", audits=[many])).encode()) <= 4096


def test_help_says_what_the_exit_codes_mean() -> None:
    text = CliRunner().invoke(app, ["audit", "--help"], env={"COLUMNS": "200"}).output
    for words in ("--session", "--last", "--report", "--state", "Exit codes: 0", "75", "78", "65"):
        assert words in text
