"""`tradingbot new-strategy`: what it writes and what it refuses to. That it works: unit/docs/test_own_strategy."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from tradingbot_runtime.cli import app


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["new-strategy", *[str(one) for one in arguments]])


def test_a_package_is_written_under_its_own_name(tmp_path: Path) -> None:
    result = run("catch-a-knife2", "--directory", tmp_path / "mine")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "mine/catch-a-knife2"
    written = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert written == [
        ".dockerignore",
        "Dockerfile",
        "README.md",
        "bot.yaml",
        "pyproject.toml",
        "src/catch_a_knife2/__init__.py",
        "src/catch_a_knife2/strategy.py",
        "tests/test_catch_a_knife2.py",
    ]
    assert sorted(result.stdout.split()) == sorted(str(folder / path) for path in written)
    points = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["entry-points"]
    assert points == {"tradingbot.strategies": {"catch-a-knife2": "catch_a_knife2.strategy:CatchAKnife2"}}
    assert "class CatchAKnife2(Strategy[CatchAKnife2Parameters]):" in (folder / written[6]).read_text()
    left = [path.name for path in folder.rglob("*") if path.is_file() and re.search("@[A-Z]+@", path.read_text())]
    assert left == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    assert run("mine", "--directory", tmp_path).exit_code == 0
    strategy = tmp_path / "mine/src/mine/strategy.py"
    strategy.write_text("# a year of work")
    again = run("mine", "--directory", tmp_path)
    assert again.exit_code == 65
    assert "is there already: nothing was written" in again.stderr
    assert strategy.read_text() == "# a year of work"


def test_an_empty_folder_of_that_name_is_left_alone_too(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert run("mine", "--directory", tmp_path).exit_code == 65
    assert list((tmp_path / "mine").iterdir()) == []


def test_where_nothing_can_be_written_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("mine", "--directory", tmp_path / "file/folder")
    assert result.exit_code == 65
    assert "NotWritten: " in result.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Mine", "small letters"),
        ("my_own", "small letters"),
        ("../mine", "small letters"),
        ("mine-", "small letters"),
        ("a" * 51, "small letters"),
        ("class", "has taken"),
        ("json", "has taken"),
        ("tradingbot-runtime", "has taken"),
        ("momentum", "a strategy of that name is installed"),
    ],
)
def test_a_name_that_would_not_work_is_refused(tmp_path: Path, name: str, words: str) -> None:
    result = run(name, "--directory", tmp_path)
    assert result.exit_code == 78
    assert words in result.stderr
    assert list(tmp_path.iterdir()) == []
