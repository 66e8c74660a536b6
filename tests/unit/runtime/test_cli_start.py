"""The command line starts without what only some commands need, and a shell can complete it."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tradingbot_runtime.cli import app

DEADLINE_SECONDS = 120.0
HEAVY = {"alpaca", "pandas", "numpy", "aiohttp", "sqlite3", "requests", "prometheus_client", "structlog"}


def test_help_imports_nothing_heavy() -> None:
    program = "import sys, tradingbot_runtime.cli; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & HEAVY == set()


def test_a_shell_can_complete_the_commands() -> None:
    environment = {
        **os.environ,
        "_TRADINGBOT_COMPLETE": "complete_bash",
        "COMP_WORDS": "tradingbot fl",
        "COMP_CWORD": "1",
    }
    tradingbot = Path(sys.executable).parent / "tradingbot"
    done = subprocess.run([str(tradingbot)], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["flatten"]


def test_completion_can_be_installed() -> None:
    assert "--install-completion" in CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output


@pytest.mark.parametrize("arguments", [["flatten"], ["audit", "--last", "1", "--report", "x"]])
def test_a_command_that_is_ended_before_it_began_is_no_success(arguments: list[str], tmp_path: Path) -> None:
    config = tmp_path / "bot.yaml"
    os.mkfifo(config)  # it waits for its config for ever
    tradingbot = Path(sys.executable).parent / "tradingbot"
    with subprocess.Popen([str(tradingbot), *arguments, "--config", str(config)]) as started:
        try:
            writer = opened_once_read(config, started)
            started.send_signal(signal.SIGTERM)  # its own handlers are set by then
            assert started.wait(timeout=DEADLINE_SECONDS) != 0
            os.close(writer)
        finally:
            started.kill()  # where it is still there: leaving the block waits for it


def opened_once_read(fifo: Path, reader: "subprocess.Popen[bytes]") -> int:
    """A descriptor to write to, as soon as the process reads; fails when it ends before it does."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        assert reader.poll() is None, "it ended before it read its config"
        with suppress(OSError):
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.02)
    raise AssertionError("it never read its config")
