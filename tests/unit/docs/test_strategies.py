"""docs/strategies is what the models say and the backtests draw, and every built-in strategy has a page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET  # our own files, which `make generate` writes
from pathlib import Path

import pytest

import docs_strategies
from docs_strategies import FOLDER, SHOWN, table_of
from tradingbot_runtime.strategies import registry

ROOT = Path(__file__).parents[3]
NAMES = sorted(SHOWN)


def test_tables_and_charts_are_what_the_code_says() -> None:
    assert [path.name for path in docs_strategies.stale()] == [], "run `make generate`"


def test_every_built_in_strategy_has_its_page() -> None:
    points = (ROOT / "pyproject.toml").read_text().split('[project.entry-points."tradingbot.strategies"]')[1]
    assert re.findall(r"^([a-z-]+) = ", points.split("\n[")[0], re.MULTILINE) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_formula_source_failures_chart_example_and_parameters(name: str) -> None:
    page = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    for part in ("weight", "**Source.**", "**When it fails.**", f"({name}.svg)", f"strategies/{name}.yaml)"):
        assert part in page
    model = type(registry.load(name, SHOWN[name].parameters)).parameters_model
    for field, one in model.model_fields.items():
        assert f"| `{field}` |" in page
        assert one.description, f"{name}: {field} is not explained"


@pytest.mark.parametrize("name", NAMES)
def test_a_chart_stands_alone_and_loads_nothing(name: str) -> None:
    text = (FOLDER / f"{name}.svg").read_text(encoding="utf-8")
    root = ET.fromstring(text)  # noqa: S314  # our own file
    assert len(root.findall(".//{http://www.w3.org/2000/svg}polyline")) >= 3
    assert re.findall(r"(?:href|src|url)\s*[=(]", text) == []


def test_a_table_says_type_bounds_and_default() -> None:
    model = type(registry.load("momentum-brackets", {})).parameters_model
    lines = table_of(model).splitlines()
    assert "| `lookback` | whole number, 2 to 500 | `20` | Bars over which the return is measured. |" in lines
    assert any(line.startswith("| `max_weight` | number, above 0 to 1 | `0.2` |") for line in lines)
