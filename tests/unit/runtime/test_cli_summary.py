"""A summary says whether a paper bot is ready, and what blocks it, from its closed sessions alone."""

import json
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from builders import UID, at
from tradingbot_api import SessionReport
from tradingbot_runtime.cli import app
from tradingbot_runtime.commands.paper_summary import (
    PaperTradingSummary,
    Standing,
    quality_of,
    since,
    summary_of,
)
from volumes import MONDAY, a_notice, an_incident, closing, killed, opened, told

CLEAN = {"clean": 100, "mismatch": 0, "failed": 0}
ALL_IS_WELL = Standing(killed=False, open_incidents=(), dead_letters=0)


def a_session(number: int = 0, **changes: Any) -> SessionReport:
    """A good session: two trades, ten in profit, on the number-th day."""
    fields: dict[str, Any] = {
        "session": (MONDAY + timedelta(days=number)).isoformat(),
        "namespace": "demo",
        "name": "momentum",
        "uid": UID,
        "mode": "paper",
        "account": "paper",
        "opens_at": "2026-03-02T14:30:00.000Z",
        "closes_at": "2026-03-02T21:00:00.000Z",
        "coverage_percent": "99.5",
        "closed_normally": True,
        "starts": 1,
        "orders": 2,
        "filled_orders": 2,
        "fills": 3,
        "rejected_orders": 0,
        "refused_orders": 1,
        "pnl": "10.00",
        "return_percent": "0.1000",
        "shadow_return_percent": "0.1100",
        "slippage_bps": "2.00",
        "fill_rate_percent": "100.00",
        "turnover": "2000.00",
        "reconciliations": CLEAN,
        "operations": 500,
        "operational_errors": 1,
        "incidents": 0,
        "killed": False,
    }
    return SessionReport.model_validate(fields | changes)


def summarised(*sessions: SessionReport, standing: Standing = ALL_IS_WELL) -> PaperTradingSummary:
    return summary_of(sessions, standing, bot_uid=UID, mode="paper", generated_at="now")


def names(lines: list[str]) -> list[str]:
    return [line.partition(":")[0] for line in lines]


GOOD = [a_session(number) for number in range(30)]


def test_thirty_good_sessions_are_ready() -> None:
    found = summarised(*GOOD)
    assert (found.ready, found.blockers, found.warnings) == (True, [], [])
    metrics = found.metrics
    assert (metrics.sessions, metrics.trades, metrics.fills) == (30, 60, 90)
    assert (metrics.pnl, metrics.return_percent, metrics.max_drawdown_percent) == (Decimal(300), Decimal(3), 0)
    assert metrics.reconciliation_rate_percent == 100
    assert found.execution_quality.score == 100


def test_no_session_at_all_says_what_is_missing() -> None:
    found = summarised()
    assert names(found.blockers) == [
        "PaperSessions",
        "PaperTrades",
        "CleanReconciliationSessions",
        "ReconciliationRate",
        "OperationalErrorRate",
    ]
    assert (found.ready, found.last_session, found.execution_quality.score) == (False, None, None)


@pytest.mark.parametrize(
    ("last", "blocker"),
    [
        ({"coverage_percent": "94.99"}, "PaperSessions"),
        ({"closed_normally": False}, "PaperSessions"),
        ({"reconciliations": {"clean": 100, "mismatch": 1}}, "CleanReconciliationSessions"),
        ({"reconciliations": {"clean": 100, "failed": 60}}, "CleanReconciliationSessions ReconciliationRate"),
        ({"operations": 500, "operational_errors": 400}, "OperationalErrorRate"),
    ],
)
def test_one_session_that_is_not_good_blocks(last: dict[str, Any], blocker: str) -> None:
    assert names(summarised(*GOOD[:-1], a_session(29, **last)).blockers) == blocker.split()


def test_a_kill_and_an_open_incident_block() -> None:
    found = summarised(*GOOD, standing=Standing(True, ("broker_unreachable",), 2))
    assert found.blockers == ["NoOpenIncident: broker_unreachable", "NotKilled: a kill is in force"]
    assert names(found.warnings) == ["Notices"]


@pytest.mark.parametrize(
    ("every", "warnings"),
    [
        ({"pnl": "0.00", "return_percent": "0"}, "PaperProfit"),
        ({"slippage_bps": "25"}, ""),
        ({"slippage_bps": "25.01"}, "ExecutionQuality AverageSlippage"),
        ({"fill_rate_percent": "94.99"}, "FillRate"),
        ({"fill_rate_percent": "80"}, "ExecutionQuality FillRate"),
        ({"pnl": "-60", "return_percent": "-0.6"}, "PaperProfit PaperMaxDrawdown"),
    ],
)
def test_what_is_weak_warns_and_does_not_block(every: dict[str, Any], warnings: str) -> None:
    found = summarised(*(a_session(number, **every) for number in range(30)))
    assert found.ready
    assert names(found.warnings) == warnings.split()


@pytest.mark.parametrize(
    ("slippage", "rate", "score"),
    [
        ("0", "100", "100"),
        ("5", "100", "100"),
        ("25", "100", "70"),
        ("5", "95", "90"),
        ("90", "50", "0"),
        ("-3", "99", "98"),
    ],
)
def test_execution_quality_is_the_formula(slippage: str, rate: str, score: str) -> None:
    found = quality_of([a_session(slippage_bps=slippage, fill_rate_percent=rate)])
    assert found.score == Decimal(score)


def test_averages_are_weighted_by_what_they_are_of() -> None:
    found = quality_of(
        [
            a_session(slippage_bps="10", turnover="3000", fill_rate_percent="100", orders=3),
            a_session(1, slippage_bps="2", turnover="1000", fill_rate_percent="60", orders=1),
            a_session(2, slippage_bps=None, turnover="0", fill_rate_percent=None, orders=0),
        ]
    )
    assert (found.slippage_bps, found.fill_rate_percent) == (Decimal(8), Decimal(90))


@given(returns=st.lists(st.integers(-500, 500), min_size=1, max_size=40))
@settings(max_examples=60)
def test_the_drawdown_is_the_deepest_fall_between_any_two_ends(returns: list[int]) -> None:
    sessions = [a_session(number, return_percent=str(Decimal(one) / 100)) for number, one in enumerate(returns)]
    curve = [Decimal(sum(returns[:end])) / 100 for end in range(len(returns) + 1)]
    deepest = max(curve[begin] - curve[end] for end in range(len(curve)) for begin in range(end + 1))
    assert summarised(*sessions).metrics.max_drawdown_percent == deepest


def test_days_count_back_from_the_newest_session() -> None:
    assert [one.session for one in since(GOOD, 3)] == [one.session for one in GOOD[-3:]]
    assert since(GOOD, None) == GOOD
    assert since([], 3) == []


# ---------------------------------------------------------------------- the command


def a_volume(volume: Path, sessions: int = 3) -> Path:
    with opened(volume) as database:
        for number in range(sessions):
            report = a_session(number)
            database.commit([closing(date.fromisoformat(report.session), report.model_dump_json(by_alias=True))], at())
    return volume


def run(*options: str) -> Result:
    return CliRunner().invoke(app, ["summary", *options])


def test_the_command_writes_the_document_and_shows_a_table(tmp_path: Path) -> None:
    state, file = a_volume(tmp_path / "state"), tmp_path / "paper_trading_summary.json"
    before = sorted(path.name for path in state.rglob("*"))
    with opened(state):  # a running bot
        result = run("--state", str(state), "--output", str(file))
    assert result.exit_code == 0, result.output
    found = PaperTradingSummary.model_validate_json(file.read_text())
    assert (found.bot_uid, found.mode, found.metrics.sessions) == (UID, "paper", 3)
    for words in ("READY", "blocked by PaperSessions: 3, at least 30 is needed", "execution quality", "30.00"):
        assert words in result.output
    assert sorted(path.name for path in state.rglob("*")) == before


def test_the_document_goes_to_the_terminal_where_asked(tmp_path: Path) -> None:
    state = a_volume(tmp_path / "state")
    with opened(state) as database:
        database.commit([killed(), told(an_incident(), a_notice(dead=True))], at())
    result = run("--state", str(state), "--days", "2", "--output", "-")
    assert result.exit_code == 0, result.output
    body = json.loads(result.stdout)
    assert body["metrics"]["sessions"] == 2
    assert body["lastSession"] == "2026-03-04"
    assert "NotKilled: a kill is in force" in body["blockers"]
    assert "NoOpenIncident: reconciliation" in body["blockers"]
    assert body["metrics"]["deadLetters"] == 1


def test_a_state_that_is_not_there_and_a_file_that_cannot_be_written_are_said(tmp_path: Path) -> None:
    result = run("--state", str(tmp_path))
    assert (result.exit_code, result.stderr.partition(":")[0]) == (65, "StateUnwritable")
    result = run("--state", str(a_volume(tmp_path / "state")), "--output", str(tmp_path / "no" / "where.json"))
    assert (result.exit_code, result.stderr.partition(":")[0]) == (1, "OutputUnwritable")


def test_help_says_what_the_exit_codes_mean() -> None:
    text = CliRunner().invoke(app, ["summary", "--help"], env={"COLUMNS": "200"}).output
    for words in ("--state", "--days", "--output", "Exit codes: 0", "65", "Execution quality"):
        assert words in text
