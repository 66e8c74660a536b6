"""What docs/runtime-commands.md shows works as shown: every line of it is run, in its order, in one directory."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
import typer
import yaml
from typer.testing import CliRunner

from contract.conftest import DEADLINE_SECONDS, served
from free_ports import free_ports
from simulation.world import World
from tradingbot_api import ClosedSession, ClosedSessions, FlattenReport, SessionReport
from tradingbot_runtime.cli import app
from tradingbot_runtime.commands import endings

PAGE = (Path(__file__).parents[2] / "docs" / "runtime-commands.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent


def lines() -> list[tuple[list[str], int]]:
    """Every command of the page with the exit code it ends with."""
    found = []
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            code = re.search(r"# exits (\d+)$", line)
            found.append((shlex.split(line, comments=True), int(code[1]) if code else 0))
    return found


def a_bot_that_has_traded(directory: Path) -> World:
    """The files that the page names: a state with two closed sessions, and what /sessions says of them."""
    world = World(directory / "state")

    async def trade() -> None:
        await world.begin()
        await world.run(2)
        await world.settle()

    asyncio.run(trade())
    closed = [
        ClosedSession(
            report=SessionReport.model_validate_json(one.record.payload),
            digest=one.digest,
            journal_sequence=one.journal_seq,
            journal_hash=one.journal_hash,
        )
        for one in reversed(world.database.records.sessions())
    ]
    document = ClosedSessions(sessions=closed).model_dump_json(by_alias=True)
    (directory / "sessions.json").write_text(document)
    world.database.close()
    return world


def write_noise(path: Path, symbols: list[str]) -> None:
    """Bars of 400 days that nobody can earn anything with."""
    chance = random.Random(1)
    rows = ["timestamp,symbol,open,high,low,close,volume"]
    for symbol in symbols:
        price = 100.0
        for day in range(400):
            before, price = price, price * (1 + chance.gauss(0, 0.01))
            stamp = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day)
            low, high = sorted((before, price))
            rows.append(f"{stamp:%Y-%m-%dT%H:%MZ},{symbol},{before},{high},{low},{price},1000000")
    path.write_text("\n".join(rows) + "\n")


def run_until_ready(words: list[str], directory: Path, environment: dict[str, str]) -> int:
    """Runs a bot until it is ready, and ends it as Kubernetes does; gives its exit code."""
    port = free_ports(1)[0]
    with (directory / "bot.log").open("wb") as log:
        bot = subprocess.Popen(
            [*words, "--listen", f"127.0.0.1:{port}"], cwd=directory, env=environment, stdout=log, stderr=log
        )
        try:
            deadline = time.monotonic() + DEADLINE_SECONDS
            while not is_ready(port):
                assert bot.poll() is None and time.monotonic() < deadline, (directory / "bot.log").read_text()
                time.sleep(0.1)
            bot.send_signal(signal.SIGTERM)
            return bot.wait(timeout=DEADLINE_SECONDS)
        finally:
            bot.kill()
            bot.wait()


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(json.load(answer)["ready"])
    except OSError:
        return False


def test_every_line_of_the_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    world = a_bot_that_has_traded(tmp_path)
    environment = {**os.environ, "TERMINATION_MESSAGE_PATH": str(tmp_path / "termination-log")}
    environment.pop("KUBERNETES_SERVICE_HOST", None)
    write_noise(tmp_path / "bars.csv", list(world.config.symbols))
    document = json.loads(world.config.model_dump_json(by_alias=True))
    with served(world.simulator) as url:
        document["broker"] |= {"baseURL": url, "dataURL": url}
        (tmp_path / "bot.yaml").write_text(yaml.safe_dump(document))
        for words, code in lines():
            if words[0] == "export":
                name, _, value = words[1].partition("=")
                environment[name] = value
                continue
            assert words[0] == "tradingbot"
            if words[1] == "run" and "--dry-run" not in words:
                assert run_until_ready([str(BIN / words[0]), *words[1:]], tmp_path, environment) == code
                continue
            done = CliRunner().invoke(app, words[1:], env=environment)
            structlog.reset_defaults()  # the simulator of this process logs, too, and the command's stderr is gone
            assert done.exit_code == code, (words, done.output)
    last_words = FlattenReport.model_validate_json((tmp_path / "termination-log").read_text())
    assert last_words.reason == "QueuedForTheOpen"
    assert (tmp_path / "paper_trading_summary.json").exists()


def test_every_command_is_on_the_page() -> None:
    group = typer.main.get_command(app)
    shown = {words[1] for words, _ in lines() if words[0] == "tradingbot"}
    assert shown | {"version"} == set(group.commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [name for name in dir(endings) if name.startswith("EX_")])
def test_every_exit_code_is_on_the_page(name: str) -> None:
    assert re.search(rf"^\| {getattr(endings, name)} \| ", PAGE, re.MULTILINE)
