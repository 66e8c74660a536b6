"""`tradingbot backtest` and `tradingbot validate`: words, files and exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from tradingbot_api import ValidationEvidence
from tradingbot_research.bars_cache import BarsCache, Series, Span
from tradingbot_runtime.cli import app
from unit.research.candidates import market_of_moods, market_of_noise

QUICK = ["--trials", "4", "--windows", "2", "--processes", "1"]


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    return write(tmp_path / "moods.csv", market_of_moods(2, days=1200).frames())


def write(path: Path, frames: dict[str, pd.DataFrame]) -> Path:
    parts = [frame.assign(symbol=symbol) for symbol, frame in frames.items()]
    pd.concat(parts).rename_axis("timestamp").to_csv(path)
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def momentum(*more: str | Path) -> list[str | Path]:
    return ["--strategy", "momentum", "--set", "lookback=15", "--set", "max_weight=0.5", *more]


def test_a_validation_leaves_folder_message_and_verdict(bars: Path, tmp_path: Path) -> None:
    out, log = tmp_path / "results", tmp_path / "termination"
    result = run("validate", *momentum(), "--bars", bars, "--out", out, "--termination-log", log, *QUICK)
    assert result.exit_code == 0, result.output
    read = ValidationEvidence.model_validate_json(log.read_text())
    assert log.stat().st_size <= 3500
    assert read == ValidationEvidence.model_validate_json(result.stdout)
    (folder,) = out.iterdir()
    assert folder.name.startswith("momentum-")
    assert {one.name for one in read.artifacts} == {path.name for path in folder.iterdir()}
    assert "passed StatisticalSignificance" in result.stderr
    assert "trials: 5 of 5" in result.stderr


def test_what_is_not_passed_is_named_and_left_as_evidence(tmp_path: Path) -> None:
    path, log = write(tmp_path / "noise.csv", market_of_noise(3).frames()), tmp_path / "termination"
    result = run("validate", *momentum(), "--bars", path, "--out", tmp_path / "out", "--termination-log", log, *QUICK)
    assert result.exit_code == 1
    assert "FAILED StatisticalSignificance" in result.stderr
    assert ValidationEvidence.model_validate_json(log.read_text()).artifacts_verified


def test_a_grid_and_a_config_say_what_is_tried(bars: Path, tmp_path: Path) -> None:
    config = tmp_path / "bot.yaml"
    config.write_text(
        "bot: {name: b}\nstrategy: {name: momentum, parameters: {lookback: 15, max_weight: 0.5}}\n"
        "symbols: [S00, S01]\ncapital: '50000'\nexecution: {minTradePercent: '2'}\n"
    )
    result = run("validate", "--config", config, "--bars", bars, "--out", tmp_path, "--grid", "lookback=10,20", *QUICK)
    assert result.exit_code == 0, result.output
    (folder,) = tmp_path.glob("momentum-*")
    inputs = json.loads((folder / "manifest.json").read_text())["inputs"]
    assert inputs["plan"]["grid"] == {"lookback": [10, 20]}
    assert inputs["rules"]["capital"] == 50_000
    assert inputs["rules"]["minimum_trade"] == 0.02
    assert "trials: 3 of 3" in result.stderr


def test_a_backtest_shows_its_figures(bars: Path, tmp_path: Path) -> None:
    shown = run("backtest", *momentum(), "--bars", bars)
    assert shown.exit_code == 0
    assert "Sharpe ratio" in shown.stdout
    found = run("backtest", *momentum("--slippage-bps", "50"), "--bars", bars, "--json", "--out", tmp_path / "out")
    figures = json.loads(found.stdout)
    dear, cheap = figures["total_return"], json.loads(run("backtest", *momentum(), "--bars", bars, "--json").stdout)
    assert dear < cheap["total_return"]
    (folder,) = (tmp_path / "out").iterdir()
    assert {path.name for path in folder.iterdir()} == {
        "manifest.json",
        "trades.parquet",
        "equity.parquet",
        "unfilled.parquet",
    }


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--strategy", "momentun"], 78, "UnknownStrategy: "),
        (["--strategy", "momentum", "--set", "lookback=1"], 78, "parameters.lookback"),
        (["--strategy", "momentum", "--set", "lookback"], 78, "write NAME=VALUE"),
        (["--strategy", "momentum", "--symbols", "TSLA"], 65, "no bars of TSLA"),
        (["--strategy", "momentum", "--timeframe", "2Min"], 78, "--timeframe 2Min"),
        (["--strategy", "momentum", "--timeframe", "15Min"], 65, "1440 minutes apart"),
        (["--strategy", "momentum", "--config", "x.yaml"], 78, "give --config or --strategy"),
        ([], 78, "give --config or --strategy"),
    ],
)
@pytest.mark.parametrize("command", ["backtest", "validate"])
def test_what_is_wrong_is_said(
    bars: Path, tmp_path: Path, command: str, arguments: list[str], code: int, words: str
) -> None:
    more = ["--out", str(tmp_path / "out")] if command == "validate" else []
    result = run(command, "--bars", bars, *arguments, *more)
    assert result.exit_code == code
    assert words in result.stderr


def test_a_refusal_leaves_its_last_words_where_it_was_told(
    bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TERMINATION_MESSAGE_PATH", raising=False)
    log = tmp_path / "termination"
    bars.write_text(bars.read_text().replace("S01", "S00"))
    result = run("validate", *momentum(), "--bars", bars, "--out", tmp_path, "--termination-log", log)
    assert result.exit_code == 65
    assert "TERMINATION_MESSAGE_PATH" not in os.environ
    last = json.loads(log.read_text())
    assert last["reason"] == "BarsUnusable"
    assert "duplicate_timestamps" in last["message"]


def test_too_few_days_are_not_judged(tmp_path: Path) -> None:
    path = write(tmp_path / "few.csv", market_of_moods(2, days=30).frames())
    result = run("validate", *momentum(), "--bars", path, "--out", tmp_path)
    assert result.exit_code == 65
    assert "TooFewDays" in result.stderr


def test_a_grid_that_the_strategy_refuses_is_refused(bars: Path, tmp_path: Path) -> None:
    result = run("validate", *momentum(), "--bars", bars, "--out", tmp_path, "--grid", "lookback=0,1")
    assert result.exit_code == 78
    assert "--grid" in result.stderr


@pytest.mark.parametrize("command", ["backtest", "validate"])
def test_help_says_what_the_exit_codes_mean(command: str) -> None:
    shown = run(command, "--help").stdout
    assert "Exit codes: 0" in shown
    assert "Try it:" in shown


def test_help_and_a_running_bot_load_neither_numpy_nor_research() -> None:
    code = (
        "import sys, tradingbot_runtime.cli;"
        "found = {'numpy', 'pyarrow', 'tradingbot_research'} & set(sys.modules); assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_cache_is_verified_and_cleared_by_command(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    series = Series("simulator", "iex", "split", "1Day", "SPY")
    now = datetime(2026, 3, 2, tzinfo=UTC)
    frame = market_of_noise(1, days=50).frames()["S00"]
    assert BarsCache(folder).store(series, frame, Span(now, now, now, now))
    whole = run("cache", "verify", "--cache", folder)
    assert (whole.exit_code, "1 series, 0 damaged" in whole.stdout) == (0, True)
    (file,) = folder.rglob("*.parquet")
    file.write_bytes(b"")
    damaged = run("cache", "verify", "--cache", folder)
    assert damaged.exit_code == 65
    assert "simulator/iex/split/1Day/SPY: 0 bytes instead of" in damaged.stderr
    assert "removed 1 series" in run("cache", "clear", "--cache", folder).stdout
    assert "0 series, 0 damaged" in run("cache", "verify", "--cache", folder).stdout


def test_a_cache_belongs_to_bars_of_a_broker(bars: Path, tmp_path: Path) -> None:
    for option in (["--no-cache"], ["--cache", tmp_path]):
        result = run("validate", *momentum(), "--bars", bars, "--out", tmp_path, *option)
        assert result.exit_code == 78
        assert "belong to --from-broker" in result.stderr
