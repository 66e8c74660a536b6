"""The commands as processes against a served simulator: a bot that died is flattened, and its sessions audited."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders import UID
from free_ports import free_ports
from simulation.test_process import BIN, KEYS, orders_at, page, process, until
from tradingbot_api import AuditReports, FlattenReport

SESSION_SECONDS = 8


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[int]:
    port = free_ports(1)[0]
    speed = ("--session-seconds", str(SESSION_SECONDS), "--requests-per-minute", "0")
    with process(
        *(str(BIN / "alpaca-simulator"), "serve", "--port", str(port), *speed), log=tmp_path / "simulator.log"
    ):
        until(lambda: page(port, "/healthz"))
        yield port


def a_config(directory: Path, simulator: int) -> Path:
    url, path = f"http://127.0.0.1:{simulator}", directory / "bot.yaml"
    broker = {"account": "paper", "provider": "simulator", "environment": "paper", "baseURL": url, "dataURL": url}
    document = {
        "bot": {"name": "momentum", "uid": UID},
        "strategy": {"name": "momentum", "parameters": {"lookback": 3}},
        "symbols": ["AAPL", "MSFT", "SPY"],
        "timeframe": "15Min",
        "risk": {"maxOrdersPerMinute": 200},
        "capital": "10000",
        "broker": {**broker, "clockPollSeconds": 0.1},
    }
    path.write_text(yaml.safe_dump(document))
    return path


def command(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **KEYS, "TERMINATION_MESSAGE_PATH": str(directory / "termination-log")}
    return subprocess.run(
        [str(BIN / "tradingbot"), *words],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def positions(simulator: int) -> Any:
    accounts = (page(simulator, "/admin/state") or {})["accounts"]
    return next(one for one in accounts if one["name"] == "paper")["positions"]


def traded_sessions(port: int) -> list[Any]:
    closed = (page(port, "/sessions") or {}).get("sessions", ())
    return [one for one in closed if one["report"]["fills"]]


def test_a_dead_bot_is_flattened_and_what_it_reported_is_audited(tmp_path: Path, simulator: int) -> None:
    port, config = free_ports(1)[0], a_config(tmp_path, simulator)
    bot = (
        *(str(BIN / "tradingbot"), "run", "--config", str(config), "--state", "state", "--control", "none"),
        *("--listen", f"127.0.0.1:{port}", "--record", "day.jsonl"),
    )
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        with process(*bot, log=tmp_path / "bot.log") as running:
            until(lambda: traded_sessions(port))
            until(lambda: positions(simulator))
            sessions = page(port, "/sessions")
            running.send_signal(signal.SIGTERM)
            assert running.wait(timeout=60) == 0
    finally:
        os.chdir(here)

    flattened = command(tmp_path, "flatten", "--config", "bot.yaml", "--positions", "--timeout", "180")
    assert flattened.returncode == 0, flattened.stderr
    report = FlattenReport.model_validate_json((tmp_path / "termination-log").read_text())
    assert report.confirmed and report.flat_at and report.open_orders == report.open_positions == 0
    assert not positions(simulator)
    ended = {"filled", "canceled", "expired", "rejected", "replaced"}
    assert all(order["status"] in ended for order in orders_at(simulator))

    day = [one["report"]["session"] for one in sessions["sessions"] if one["report"]["fills"]][-1]
    (tmp_path / "sessions.json").write_text(json.dumps(sessions))
    for source in (("--report", "sessions.json"), ("--state", "state")):
        audited = command(tmp_path, "audit", "--config", "bot.yaml", *source, "--session", day)
        assert audited.returncode == 0, (audited.stdout, audited.stderr)
        found = AuditReports.model_validate_json((tmp_path / "termination-log").read_text())
        assert [one.result for one in found.audits] == ["Match"]

    replayed = command(tmp_path, "replay", "day.jsonl")
    assert replayed.returncode == 0, replayed.stderr
    summary = command(tmp_path, "summary", "--state", "state", "--output", "-")
    assert json.loads(summary.stdout)["metrics"]["fills"] > 0
    audit = [json.loads(line) for line in (tmp_path / "state" / "paper" / "audit.jsonl").read_text().splitlines()]
    assert {"order_decided", "session_closed"} <= {line["kind"] for line in audit}
