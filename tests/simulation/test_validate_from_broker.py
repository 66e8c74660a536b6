"""`tradingbot validate --from-broker`: bars by the broker's market data over HTTP, whole or not at all."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml
from click.testing import Result
from typer.testing import CliRunner

from alpaca_simulator.simulator import Simulator
from builders import UID
from contract.conftest import PAPER, noon_simulator, served
from tradingbot_api import ValidationEvidence
from tradingbot_runtime.cli import app

QUICK = ("--trials", "3", "--windows", "2", "--processes", "1")


def validated(directory: Path, simulator: Simulator, *options: str, **changes: Any) -> Result:
    """Runs the command on a bot whose broker is this simulator; its last words are in `termination-log`."""
    with served(simulator) as url:
        broker = {"account": "paper", "provider": "simulator", "environment": "paper", "baseURL": url, "dataURL": url}
        config = {
            "bot": {"name": "momentum", "uid": UID},
            "strategy": {"name": "momentum", "parameters": {"lookback": 15}},
            "symbols": ["AAPL", "SPY"],
            "capital": "10000",
            "broker": broker,
        } | changes
        path, log = directory / "bot.yaml", directory / "termination-log"
        path.write_text(yaml.safe_dump(config))
        asked = ["validate", "--config", str(path), "--from-broker", "--out", str(directory / "results"), *options]
        environment = {"APCA_API_KEY_ID": PAPER[0], "APCA_API_SECRET_KEY": PAPER[1]}
        try:
            return CliRunner().invoke(app, [*asked, "--termination-log", str(log)], env={**os.environ, **environment})
        finally:
            structlog.reset_defaults()  # the simulator of this process logs, too


def last_words(directory: Path) -> str:
    return (directory / "termination-log").read_text()


def test_bars_of_the_broker_are_validated_and_their_fingerprint_is_theirs(tmp_path: Path) -> None:
    simulator = noon_simulator()
    first = validated(tmp_path, simulator, "--days", "400", *QUICK)
    assert first.exit_code in (0, 1), first.output
    one = ValidationEvidence.model_validate_json(last_words(tmp_path))
    assert one.artifacts_verified and one.causal
    assert "bars: 1 of 2" in first.stderr
    assert validated(tmp_path, simulator, "--days", "400", *QUICK).exit_code == first.exit_code
    assert ValidationEvidence.model_validate_json(last_words(tmp_path)) == one
    fewer = validated(tmp_path, simulator, "--days", "399", *QUICK)
    assert fewer.exit_code in (0, 1)
    assert ValidationEvidence.model_validate_json(last_words(tmp_path)).data_fingerprint != one.data_fingerprint


def test_a_symbol_without_bars_is_refused_and_not_left_out(tmp_path: Path) -> None:
    found = validated(tmp_path, noon_simulator(), "--days", "400", *QUICK, symbols=["AAPL", "NONE"])
    assert found.exit_code == 65, found.output
    assert "NONE" in last_words(tmp_path)
    assert not (tmp_path / "results").exists()


def test_a_broker_that_does_not_answer_may_be_asked_again(tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:9"
    broker = {"account": "paper", "provider": "simulator", "environment": "paper", "baseURL": nobody}
    found = validated(tmp_path, noon_simulator(), "--days", "400", *QUICK, broker=broker | {"dataURL": nobody})
    assert found.exit_code == 75, found.output
    assert "BrokerUnavailable" in last_words(tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [((), "--days"), (("--days", "400", "--bars", "x.csv"), "not both")],
    ids=["no days", "two sources"],
)
def test_options_that_leave_open_what_is_read_are_refused(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    found = validated(tmp_path, noon_simulator(datetime(2026, 3, 2, 17, tzinfo=UTC)), *options, *QUICK)
    assert found.exit_code == 78
    assert said in last_words(tmp_path)
