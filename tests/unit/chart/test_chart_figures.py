"""Alerts and dashboards ask only for figures that operator and runtime really serve, and every alert has its page."""

import json
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from tradingbot_operator import metrics as of_the_operator
from tradingbot_runtime.ops.metrics import Metrics

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts/tradingbot-operator"
RUNBOOKS = ROOT / "docs/runbooks"
DASHBOARDS = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((CHART / "files/dashboards").glob("*.json"))
}
RULES = [
    rule
    for group in yaml.safe_load((CHART / "files/alerts.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}
#: What Prometheus puts on a series beside its own labels: where it is scraped.
OF_THE_TARGET = {"namespace", "pod", "bot", "le"}
HEADINGS = [
    re.compile(r"What it means"),
    re.compile(r"What the (operator|bot) does by itself"),
    re.compile(r"What to look at"),
    re.compile(r"What to do"),
    re.compile(r"How it ends"),
]


def served() -> dict[str, set[str]]:
    """Every series with its own labels."""
    found: dict[str, set[str]] = {}
    for metric in vars(of_the_operator).values():
        if isinstance(metric, MetricWrapperBase):
            for suffix in SUFFIXES[metric._type]:
                found[metric._name + suffix] = set(metric._labelnames)
    written = (ROOT / "bot_runtime/tradingbot_runtime/ops/metrics.py").read_text(encoding="utf-8")
    for family in Metrics(lambda: {("orders", "submitted"): 1}).registry.collect():
        listed = re.search(rf'"{family.name}",.*?\)\n', written, re.DOTALL)
        assert listed is not None, family.name
        labels = re.search(r"label(?:s|names)=\[(.*?)\]", listed[0])
        for suffix in SUFFIXES[family.type]:
            found[family.name + suffix] = set(re.findall(r'"(\w+)"', labels[1] if labels else ""))
    return found


def questions() -> list[tuple[str, str]]:
    """Every expression, with what asks it."""
    asked = [(rule["alert"], rule["expr"]) for rule in RULES]
    for name, board in DASHBOARDS.items():
        for panel in board["panels"]:
            asked += [(f"{name}: {panel['title']}", target["expr"]) for target in panel.get("targets", [])]
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                asked.append((f"{name}: ${variable['name']}", variable["query"]["query"]))
    return asked


def series_of(expression: str) -> list[tuple[str, set[str]]]:
    """Each series that an expression names, with the labels it is chosen by."""
    return [
        (name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", chosen or "")))
        for name, chosen in re.findall(r"\b(tradingbot_\w+)(\{[^}]*\})?", expression)
    ]


@pytest.mark.parametrize(("who", "expression"), questions(), ids=[who for who, _ in questions()])
def test_what_is_asked_for_is_served(who: str, expression: str) -> None:
    known = served()
    named = series_of(expression)
    assert named
    for name, labels in named:
        assert name in known, f"{who}: nobody serves {name}"
        assert labels <= known[name] | OF_THE_TARGET, f"{who}: {name} has no {labels - known[name] - OF_THE_TARGET}"
    grouped = {label for group in re.findall(r"\bby \(([^)]*)\)", expression) for label in re.split(r",\s*", group)}
    own = set[str]().union(*(known[name] for name, _ in named))
    assert grouped <= own | OF_THE_TARGET, f"{who}: grouped by {grouped - own - OF_THE_TARGET}"


def test_what_is_not_served_would_be_noticed() -> None:
    assert "tradingbot_operator_kill_age_seconds" in served()
    assert "tradingbot_trading_state" in served()
    assert series_of('sum(tradingbot_made_up{colour="red"})') == [("tradingbot_made_up", {"colour"})]
    assert "tradingbot_made_up" not in served()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on(rule: dict[str, dict[str, str]]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    page = RUNBOOKS / rule["annotations"]["runbook_url"]
    headings = re.findall(r"^## (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(headings) == len(HEADINGS)
    assert all(wanted.fullmatch(there) for wanted, there in zip(HEADINGS, headings, strict=True))


def test_the_index_of_runbooks_lists_every_alert_with_its_severity_and_page() -> None:
    index = (RUNBOOKS / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(Tradingbot\w+)` \| (\w+) \| \[\w+\]\((\w+\.md)\) \|", index, re.MULTILINE)
    assert listed == [(rule["alert"], rule["labels"]["severity"], rule["annotations"]["runbook_url"]) for rule in RULES]


def test_a_page_that_names_an_alert_names_its_own() -> None:
    pages = {rule["alert"]: rule["annotations"]["runbook_url"] for rule in RULES}
    for path in sorted(RUNBOOKS.glob("*.md")):
        opening = re.search(r"^Alert (.*?)\. All runbooks", path.read_text(encoding="utf-8"), re.MULTILINE)
        if opening is not None:
            named = re.findall(r"`(\w+)`", opening[1])
            assert sorted(named) == sorted(alert for alert, page in pages.items() if page == path.name), path.name


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_fits_together(name: str) -> None:
    board = DASHBOARDS[name]
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    variables = {variable["name"] for variable in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(panels)))
    assert used - {"__rate_interval"} <= variables
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, f"{panel['title']} lies over another panel"
        taken |= cells
