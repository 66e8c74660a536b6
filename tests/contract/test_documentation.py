"""What docs/simulator.md shows works as shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from alpaca_simulator.config import parse_config
from alpaca_simulator.simulator import build_simulator

PAGE = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_in_process_example_prints_a_new_order_and_its_fill(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = (block for block in blocks("python") if "answer_in_process" in block)
    exec(compile(example, "docs/simulator.md", "exec"), {})  # noqa: S102  (the page's own code)
    first, second = capsys.readouterr().out.splitlines()
    assert first == "new None"
    assert re.fullmatch(r"fill \d+\.\d\d", second)


def test_the_configuration_example_is_valid() -> None:
    (example,) = blocks("yaml")
    simulator = build_simulator(parse_config(yaml.safe_load(example), "docs/simulator.md"))
    assert simulator.exchange.catalogue.find("ACME") is not None
