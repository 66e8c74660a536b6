"""The tables of docs/runtime.md and the runbooks say what the code says: no check, reason or metric more or fewer."""

from __future__ import annotations

import re
import shlex
import sqlite3
import warnings
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import tradingbot_api
from tradingbot_api import DataQualitySpec, Timeframe, TradingState
from tradingbot_api.session_report import SessionReport
from tradingbot_runtime.core import quality, risk, situation
from tradingbot_runtime.core.gateway import CHECKS
from tradingbot_runtime.core.slo import OBJECTIVES
from tradingbot_runtime.core.trading import PASSING_REFUSALS
from tradingbot_runtime.state.schema import MIGRATIONS

with warnings.catch_warnings():
    # alpaca-py 0.44 imports the websockets library's deprecated client.
    warnings.simplefilter("ignore", DeprecationWarning)
    import alpaca.trading  # noqa: F401

from tradingbot_runtime.cli import app
from tradingbot_runtime.ops.metrics import Metrics
from volumes import opened, trade

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGE = (DOCS / "runtime.md").read_text(encoding="utf-8")
RUNBOOKS = DOCS / "runbooks"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.glob("*.md"), *RUNBOOKS.glob("*.md")]
HEADINGS = ("What it means", "What the bot does by itself", "What to look at", "What to do", "How it ends")
#: Reasons of the app itself, which stands above the engine.
OF_THE_APP = {"StateUnwritable": TradingState.HALTED}


def table(first_heading: str) -> list[tuple[str, ...]]:
    """The rows of the table whose first column has that heading."""
    lines = iter(PAGE.splitlines())
    for line in lines:
        if line.startswith(f"| {first_heading} |"):
            break
    else:
        raise AssertionError(f"no table begins with {first_heading}")
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append(tuple(cell.strip() for cell in line.strip("|").split("|")))
    return rows


def word(cell: str) -> str:
    found = re.search(r"`(\w+)`", cell)
    assert found is not None, cell
    return found[1]


def words(cell: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", cell))


def test_every_check_of_the_gateway_is_listed_in_its_order() -> None:
    shown = [(word(name), exits == "yes", again == "yes") for name, exits, again, _ in table("check | exits too")]
    assert shown == [(name, also_exits, name in PASSING_REFUSALS) for name, _, also_exits in CHECKS]


def test_pages_that_count_the_checks_count_all_of_them() -> None:
    counted = [
        number for path in PAGES for number in re.findall(r"(\d+) (?:named )?checks", path.read_text(encoding="utf-8"))
    ]
    assert counted
    assert {int(number) for number in counted} == {len(CHECKS)}


def test_every_reason_of_a_trading_state_is_listed() -> None:
    written = Path(situation.__file__).read_text(encoding="utf-8") + Path(risk.__file__).read_text(encoding="utf-8")
    reasons = set(re.findall(r'return \(?"([A-Z]\w+)"', written))
    assert "DrawdownLimit" in reasons
    reasons |= set(re.findall(r'return "(\w+)" if', written))
    shown = {word(reason): state for reason, state, *_ in table("reason | state")}
    assert set(shown) == reasons | set(OF_THE_APP)
    halting = re.search(r"def halted_reason.*?\n    def ", written, re.DOTALL)
    assert halting is not None
    halted = set(re.findall(r'return "(\w+)",', halting[0])) | set(OF_THE_APP)
    assert {reason for reason, state in shown.items() if state == "Halted"} == halted


def test_every_check_of_the_data_is_listed() -> None:
    shown = [word(name) for name, *_ in table("check | bad when")]
    source = Path(quality.__file__).read_text(encoding="utf-8")
    later = ["stale_data", "price_jump", "stale_quote"]
    assert all(f'"{name}: ' in source for name in later)
    assert shown == ["no_data", *(name for name, _ in quality._DEFECTS), *later]


def test_the_defaults_that_are_named_are_the_defaults() -> None:
    assert f"`maxBadSymbolsPercent` ({DataQualitySpec().max_bad_symbols_percent})" in PAGE
    assert Timeframe.DAY_1 not in quality.BAR_MINUTES


def test_every_field_of_a_session_is_listed() -> None:
    fields = {field.alias or name for name, field in SessionReport.model_fields.items()}
    shown: set[str] = set()
    for names, _ in table("field | what"):
        shown |= words(names)
    assert shown == fields


def test_every_objective_is_listed_with_its_severity_and_threshold() -> None:
    shown = [(word(name), severity, float(above)) for name, severity, above, _ in table("objective")]
    assert shown == [(one.name, one.severity, one.threshold) for one in OBJECTIVES]


@pytest.mark.parametrize("name", [one.name for one in OBJECTIVES])
def test_an_objective_has_a_runbook_that_says_all_there_is_to_say(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^## (.*)$", text, re.MULTILINE)) == HEADINGS
    assert f"]({name}.md)" in (RUNBOOKS / "README.md").read_text(encoding="utf-8")


def test_no_runbook_is_of_nothing() -> None:
    alerts = yaml.safe_load((ROOT / "charts/tradingbot-operator/files/alerts.yaml").read_text(encoding="utf-8"))
    pages = {rule["annotations"]["runbook_url"] for group in alerts["groups"] for rule in group["rules"]}
    named = {f"{one.name}.md" for one in OBJECTIVES} | pages
    assert {path.name for path in RUNBOOKS.glob("*.md")} == {"README.md", *named}


def test_every_table_of_the_state_is_listed() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        for migration in MIGRATIONS:
            migration.apply(connection)
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {word(name) for name, *_ in table("table")} == tables


def test_every_metric_is_listed_as_it_is_served() -> None:
    metrics = Metrics(lambda: {("orders", "submitted"): 1})
    served = {
        family.name + ("_total" if family.type == "counter" else ""): (family.type, family.documentation)
        for family in metrics.registry.collect()
    }
    shown = {word(name): (kind, means) for name, kind, _, means in table("metric")}
    assert shown == served


def test_every_metric_is_listed_with_its_labels() -> None:
    written = (ROOT / "bot_runtime/tradingbot_runtime/ops/metrics.py").read_text(encoding="utf-8")
    for name, _, labels, _ in table("metric"):
        family = word(name).removesuffix("_total")
        found = re.search(rf'"{family}",.*?(?:\)\n)', written, re.DOTALL)
        assert found is not None, family
        listed = re.search(r"label(?:s|names)=\[(.*?)\]", found[0])
        assert words(labels) == set(re.findall(r'"(\w+)"', listed[1] if listed else "")), family


def test_links_of_the_runbooks_lead_somewhere() -> None:
    broken = [
        f"{path.name}: {target}"
        for path in RUNBOOKS.glob("*.md")
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
        if not (path.parent / target).exists()
    ]
    assert broken == []


def shown_commands() -> list[str]:
    texts = [PAGE, *(path.read_text(encoding="utf-8") for path in sorted(RUNBOOKS.glob("*.md")))]
    blocks = [block for text in texts for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]
    return [line for block in blocks for line in block.splitlines() if line]


@pytest.mark.parametrize("line", shown_commands())
def test_a_command_that_is_shown_works(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with opened(tmp_path / "state") as database:
        trade(database, 1, 3)
    program, *arguments = shlex.split(line)
    assert program == "tradingbot"
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output


def test_only_annotations_labels_and_finalizers_that_exist_are_named() -> None:
    known = {value for value in vars(tradingbot_api.group).values() if isinstance(value, str)}
    named = {
        f"{path.name}: {found}"
        for path in PAGES
        for found in re.findall(r"(?<!\.)tradingbots\.dev/[a-z][a-z-]*[a-z]", path.read_text(encoding="utf-8"))
        if found not in known and found != "tradingbots.dev/v"
    }
    assert named == set()


def test_every_annotation_of_a_person_is_explained() -> None:
    shown = {
        word(cell) if "-" not in cell else cell.split("`")[1] for cell, *_ in table("annotation `tradingbots.dev/...`")
    }
    written = (ROOT / "bot_runtime/tradingbot_runtime/control/observed.py").read_text(encoding="utf-8")
    used = {
        getattr(tradingbot_api, name).partition("/")[2]
        for name in re.findall(r"^    (\w+_ANNOTATION),$", written, re.M)
    }
    assert used
    assert shown == used


def test_the_examples_of_yaml_are_yaml() -> None:
    for path in PAGES:
        for block in re.findall(r"^```yaml\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            assert list(yaml.safe_load_all(block)), path
