"""The strategy of docs/how-to/own-strategy.md is found by its name, and does what the page says."""

import os
import random
import re
import shlex
import subprocess
import sys
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from tradingbot_api import TradingBotSpec

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/how-to/own-strategy.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent


def file_named(name: str) -> str:
    found = re.search(rf"^```\w+\n(# {re.escape(name)}\n.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, name
    return found[1]


def installed(folder: Path) -> dict[str, str]:
    """The package as an installer leaves it, and an environment whose Python finds it."""
    project = tomllib.loads(file_named("pyproject.toml"))["project"]
    module = tomllib.loads(file_named("pyproject.toml"))["tool"]["hatch"]["build"]["targets"]["wheel"]["include"][0]
    (folder / module).write_text(file_named(module))
    about = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = project["entry-points"]
    lines = [
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in of.items()) for group, of in points.items()
    ]
    (about / "entry_points.txt").write_text("".join(lines))
    return {**os.environ, "PYTHONPATH": str(folder)}


def write_bars(path: Path) -> None:
    """Two symbols over 400 days, up and down at random."""
    chance = random.Random(4)
    rows = ["timestamp,symbol,open,high,low,close,volume"]
    for symbol in ("AAPL", "MSFT"):
        price = 100.0
        for day in range(400):
            before, price = price, price * (1 + chance.gauss(0, 0.02))
            low, high = sorted((before, price))
            stamp = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day)
            rows.append(f"{stamp:%Y-%m-%dT%H:%MZ},{symbol},{before},{high},{low},{price},1000000")
    path.write_text("\n".join(rows) + "\n")


def run(line: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    program, *arguments = shlex.split(line)
    return subprocess.run(
        [str(BIN / program), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_its_commands_find_it_and_say_what_it_made(tmp_path: Path) -> None:
    environment = installed(tmp_path)
    write_bars(tmp_path / "bars.csv")
    (block,) = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    backtest, validate = block.splitlines()
    done = run(backtest, tmp_path, environment)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^closed, with a profit +[1-9]", done.stdout, re.MULTILINE)  # it has traded
    judged = run(validate, tmp_path, environment)
    assert judged.returncode == 1, judged.stderr  # of prices at random it cannot be more than luck
    assert (tmp_path / "results").exists()
    refused = run(backtest.replace("lookback=20", "lookback=1"), tmp_path, environment)
    assert refused.returncode == 78
    assert "lookback" in refused.stderr


@pytest.mark.parametrize("block", re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
def test_its_bot_is_valid_and_names_the_strategy(block: str) -> None:
    spec = TradingBotSpec.model_validate(yaml.safe_load(block)["spec"])
    points = tomllib.loads(file_named("pyproject.toml"))["project"]["entry-points"]["tradingbot.strategies"]
    assert spec.strategy.name in points
    assert f'name = "{spec.strategy.name}"' in file_named("buy_the_dip.py")


def test_its_image_puts_the_package_where_the_runtime_image_looks() -> None:
    runtime = (ROOT / "docker/runtime.Dockerfile").read_text(encoding="utf-8")
    default = re.search(r"^ARG PYTHON_IMAGE=python:(\d+\.\d+)", runtime, re.MULTILINE)
    assert default is not None
    assert "PATH=/opt/venv/bin:" in runtime
    assert f"COPY --from=package /package /opt/venv/lib/python{default[1]}/site-packages" in file_named("Dockerfile")
    assert f"ARG PYTHON_IMAGE=python:{default[1]}-slim" in file_named("Dockerfile")
