"""What docs/simulator.md shows works as shown: every file, program and command, and each example of a fault."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
import yaml
from typer.testing import CliRunner

from alpaca_simulator import cli
from alpaca_simulator.api.messages import Request
from alpaca_simulator.config import SimulatorConfig, parse_config
from alpaca_simulator.faults.catalogue import KINDS
from alpaca_simulator.faults.interventions import INTERVENTIONS
from alpaca_simulator.faults.scenario import parse_scenario, planned
from alpaca_simulator.market.calendar import new_york_stock_exchange
from alpaca_simulator.simulator import Simulator, build_simulator
from contract.conftest import DEADLINE_SECONDS, PAPER, noon_simulator, served

PAGE = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")
SHOWN_URL = "http://127.0.0.1:8900"
#: What the page shows and no test carries out, because it needs another language's tools.
OTHER_LANGUAGES = {"go", "js"}


@dataclass(frozen=True)
class Block:
    """A fenced block of the page."""

    language: str
    text: str
    heading: str

    @property
    def name(self) -> str:
        return f"{self.heading}: {self.text.splitlines()[0][:40]}"

    @property
    def file(self) -> str | None:
        """The name of the file that the block is; a comment in its first line says it where there may be one."""
        if self.language == "csv":
            return "prices.csv"
        found = re.match(r"# (\S+\.yaml)$", self.text, re.MULTILINE)
        return found and found[1]


def blocks() -> list[Block]:
    found, heading = [], ""
    pattern = r"^#+ (?P<heading>[^\n]*)$|^```(?P<language>\w*)\n(?P<text>.*?)^```$"
    for match in re.finditer(pattern, PAGE, re.MULTILINE | re.DOTALL):
        if match["heading"]:
            heading = match["heading"]
        else:
            found.append(Block(match["language"], match["text"], heading))
    return found


def of(language: str) -> list[object]:
    return [pytest.param(block, id=block.name) for block in blocks() if block.language == language]


def commands(block: Block) -> list[list[str]]:
    lines = block.text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def test_every_block_is_of_a_kind_that_is_carried_out() -> None:
    assert {block.language for block in blocks()} == {"sh", "python", "yaml", "csv", *OTHER_LANGUAGES}
    programs = {words[0] for block in blocks() if block.language == "sh" for words in commands(block)}
    assert programs == {"alpaca-simulator", "curl"}


@pytest.mark.parametrize("block", of("python"))
def test_a_program_prints_what_the_page_says(block: Block) -> None:
    with served(noon_simulator()) as url:
        program = block.text.replace(SHOWN_URL, url).replace("ws" + SHOWN_URL[4:], "ws" + url[4:])
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
        )
    assert done.returncode == 0, done.stderr
    expected = re.findall(r"# prints (.*)$", block.text, re.MULTILINE)
    assert expected
    for line, pattern in zip(done.stdout.splitlines(), expected, strict=True):
        assert re.fullmatch(re.escape(pattern).replace(r"\.\.\.", ".+"), line)


@pytest.mark.parametrize("block", of("yaml"))
def test_a_file_is_valid(block: Block) -> None:
    if block.file == "scenario.yaml":
        steps = planned(parse_scenario(block.text), new_york_stock_exchange(), SimulatorConfig().clock.start)
        assert steps
    else:
        build_simulator(parse_config(yaml.safe_load(block.text), "docs/simulator.md"))


@pytest.mark.parametrize("block", of("sh"))
def test_the_commands_of_a_block_work(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for other in blocks():
        if other.file:
            (tmp_path / other.file).write_text(other.text, encoding="utf-8")
    for words in commands(block):
        if words[0] == "alpaca-simulator":
            run_program(words[1:], monkeypatch)
    if any(words[0] == "curl" for words in commands(block)):
        with served(noon_simulator()) as url:
            for words in commands(block):
                if words[0] == "curl":
                    carry_out_curl(words[1:], url)


def run_program(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that the program does, but for sockets and its log."""
    served_at: list[tuple[str, int]] = []

    async def stopped_at_once(_simulator: Simulator, host: str, port: int) -> None:
        served_at.append((host, port))

    monkeypatch.setattr(cli, "_serve_until_signal", stopped_at_once)
    monkeypatch.setattr(cli, "_set_up_logging", lambda *_: None)
    done = CliRunner().invoke(cli.app, arguments)
    assert done.exit_code == 0, (arguments, done.output)
    assert served_at == ([("127.0.0.1", 8900)] if arguments[0] == "serve" else [])


def carry_out_curl(words: list[str], url: str) -> None:
    """The few of curl's options that the page uses, done by requests; any error status is a failure."""
    method, headers, body, target = None, {}, None, ""
    rest = iter(words)
    for word in rest:
        match word:
            case "-X":
                method = next(rest)
            case "-H":
                name, _, value = next(rest).partition(": ")
                headers[name] = value
            case "-d":
                body = next(rest)
            case _:
                assert word.startswith(SHOWN_URL), word
                target = word.replace(SHOWN_URL, url)
    verb = method or ("GET" if body is None else "POST")
    answer = requests.request(verb, target, headers=headers, data=body, timeout=DEADLINE_SECONDS)
    assert answer.status_code < 400, (verb, target, answer.status_code, answer.text[:500])


def table_of(kinds: set[str]) -> dict[str, str]:
    """The examples of a table whose rows begin with a kind."""
    rows = re.findall(r"^\| `(\w+)` \| .* \| `(\{.*\})` \|$", PAGE, re.MULTILINE)
    return {kind: shown for kind, shown in rows if kind in kinds}


def test_every_kind_of_fault_has_an_example_that_can_be_put_in_force() -> None:
    examples = table_of(set(KINDS))
    assert set(examples) == set(KINDS)
    simulator = noon_simulator()
    for kind, shown in examples.items():
        assert json.loads(shown)["kind"] == kind
        answer = simulator.rest.handle(Request("POST", "/admin/faults", body=shown.encode()))
        assert answer.status == 200, answer.body


def test_every_kind_of_intervention_has_an_example_that_can_be_carried_out() -> None:
    examples = table_of(set(INTERVENTIONS))
    assert set(examples) == set(INTERVENTIONS)
    simulator = noon_simulator()
    keys = {"APCA-API-KEY-ID": PAPER[0], "APCA-API-SECRET-KEY": PAPER[1]}
    for symbol, name in (("AAPL", "shares-to-lose"), ("TLT", "bot-1")):
        order = {"symbol": symbol, "qty": "5", "side": "buy", "type": "market", "time_in_force": "day"}
        if name == "bot-1":
            order |= {"type": "limit", "limit_price": "5"}
        body = json.dumps({**order, "client_order_id": name}).encode()
        assert simulator.rest.handle(Request("POST", "/v2/orders", "", keys, body)).status == 200
    step = Request("POST", "/admin/clock/step", body=b'{"seconds": 5}')
    for kind, shown in examples.items():
        simulator.rest.handle(step)
        answer = simulator.rest.handle(Request("POST", "/admin/interventions", body=shown.encode()))
        assert answer.status == 200, (kind, answer.body)
