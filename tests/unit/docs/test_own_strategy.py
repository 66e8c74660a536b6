"""docs/how-to/own-strategy.md: its commands make the package, install it and judge it, and its files are those made."""

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


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def run(line: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    program, *arguments = shlex.split(line)
    return subprocess.run(
        [str(BIN / program), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page's first command was run."""
    folder = tmp_path_factory.mktemp("own")
    done = run(blocks("sh")[0].splitlines()[0], folder, dict(os.environ))
    assert done.returncode == 0, done.stderr
    return folder


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


def test_its_commands_install_it_and_say_what_it_made(made: Path) -> None:
    _, install, tests = blocks("sh")[0].splitlines()
    check, backtest, validate = blocks("sh")[1].splitlines()
    # Into a folder of its own, and from no index: a test changes no environment, and asks nobody.
    site = made / "site"
    installed = run(f"{install} --no-index --target {site}", made, {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    assert installed.returncode == 0, installed.stderr
    environment = {**os.environ, "PYTHONPATH": str(site)}
    tested = run(f"{tests} -p no:asyncio", made, environment)
    assert tested.returncode == 0, tested.stdout
    assert "4 passed" in tested.stdout
    checked = run(f"{check} --tries 2", made, environment)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "3 other processes" in checked.stdout
    write_bars(made / "bars.csv")
    done = run(backtest, made, environment)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^closed, with a profit +[1-9]", done.stdout, re.MULTILINE)  # it has traded
    judged = run(validate, made, environment)
    assert judged.returncode == 1, judged.stderr  # of prices at random it cannot be more than luck
    assert (made / "results").exists()
    refused = run(backtest.replace("lookback=20", "lookback=1"), made, environment)
    assert refused.returncode == 78
    assert "lookback" in refused.stderr


@pytest.mark.parametrize(
    ("language", "file"),
    [("python", "src/buy_the_dip/strategy.py"), ("dockerfile", "Dockerfile"), ("yaml", "bot.yaml")],
)
def test_the_files_on_the_page_are_those_that_are_written(made: Path, language: str, file: str) -> None:
    assert blocks(language) == [(made / "buy-the-dip" / file).read_text(encoding="utf-8")]


def test_its_bot_is_valid_and_names_the_strategy(made: Path) -> None:
    spec = TradingBotSpec.model_validate(yaml.safe_load((made / "buy-the-dip/bot.yaml").read_text())["spec"])
    project = tomllib.loads((made / "buy-the-dip/pyproject.toml").read_text())["project"]
    assert spec.strategy.name in project["entry-points"]["tradingbot.strategies"]


def test_its_image_puts_the_package_where_the_runtime_image_looks(made: Path) -> None:
    runtime = (ROOT / "docker/runtime.Dockerfile").read_text(encoding="utf-8")
    own = (made / "buy-the-dip/Dockerfile").read_text(encoding="utf-8")
    default = re.search(r"^ARG PYTHON_IMAGE=python:(\d+\.\d+)", runtime, re.MULTILINE)
    assert default is not None
    assert "PATH=/opt/venv/bin:" in runtime
    assert f"COPY --from=package /package /opt/venv/lib/python{default[1]}/site-packages" in own
    assert f"ARG PYTHON_IMAGE=python:{default[1]}-slim" in own
