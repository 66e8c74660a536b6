"""`tradingbot validate --from-broker`: bars by the broker's market data over HTTP, whole or not at all."""

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
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
        return validated_at(url, directory, "--no-cache", *options, **changes)


def validated_at(url: str, directory: Path, *options: str, **changes: Any) -> Result:
    """The same of a simulator that is served already."""
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


def test_with_a_cache_the_evidence_is_the_same_and_little_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over three days of a market with a split in it, with a file that is damaged, and without the cache at all."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    split = {"type": "split", "symbol": "AAPL", "ex_date": "2026-03-04", "new": 4, "old": 1}
    simulator = noon_simulator(corporate_actions=[split])
    with served(simulator) as url:

        def evidence(*options: str) -> tuple[ValidationEvidence, str]:
            found = validated_at(url, tmp_path, "--days", "300", *QUICK, *options)
            assert found.exit_code in (0, 1), found.output
            return ValidationEvidence.model_validate_json(last_words(tmp_path)), found.stderr

        def step_a_day() -> None:
            answer = requests.post(f"{url}/admin/clock/step", json={"seconds": 86_400}, timeout=30)
            assert answer.status_code == 200, answer.text

        first, said = evidence()
        assert " 0 bars of 0 of 2 symbols were there already" in said
        again, said = evidence()
        assert again == first == evidence("--no-cache")[0]
        kept = re.search(r" (\d+) bars of 2 of 2 symbols were there already", said)
        assert kept is not None
        assert int(kept[1]) > 450  # of 600
        (file,) = (tmp_path / "caches" / "tradingbot").rglob("SPY.*.parquet")
        file.write_bytes(file.read_bytes()[:-100])
        step_a_day()
        tomorrow, said = evidence()
        assert tomorrow == evidence("--no-cache")[0] != first
        assert "cache: SPY: " in said
        assert "cache: AAPL: " not in said
        step_a_day()
        after_the_split, said = evidence()
        assert after_the_split == evidence("--no-cache")[0]
        assert "cache: AAPL: what is kept differs from what the broker says now, as after a split" in said
        assert "cache: SPY: " not in said


def test_a_cache_that_cannot_be_made_costs_nothing_but_a_word(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with served(noon_simulator()) as url:
        found = validated_at(url, tmp_path, "--days", "300", *QUICK, "--cache", str(tmp_path / "file" / "cache"))
    assert found.exit_code in (0, 1), found.output
    assert "Not a directory: going on without it" in found.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "--days"),
        (("--days", "400", "--cache", "bars"), "not both"),
        (("--days", "400", "--bars", "x.csv"), "not both"),
    ],
    ids=["no days", "a cache and none", "two sources"],
)
def test_options_that_leave_open_what_is_read_are_refused(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    found = validated(tmp_path, noon_simulator(datetime(2026, 3, 2, 17, tzinfo=UTC)), *options, *QUICK)
    assert found.exit_code == 78
    assert said in last_words(tmp_path)
