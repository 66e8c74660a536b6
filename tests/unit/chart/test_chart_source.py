"""What the chart shares with the manifests has one source, and every knob is explained."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

import chart
from tradingbot_operator.settings import Settings

ROOT = Path(__file__).parents[3]
VALUES = (ROOT / "charts/tradingbot-operator/values.yaml").read_text(encoding="utf-8")


def test_schemas_policies_roles_and_the_table_of_knobs_are_what_their_sources_say() -> None:
    stale = [str(path.relative_to(ROOT)) for path in chart.stale()]
    assert stale == [], "run `make generate`"


def test_the_chart_has_the_version_of_the_project() -> None:
    about = yaml.safe_load((ROOT / "charts/tradingbot-operator/Chart.yaml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert about["version"] == about["appVersion"] == project["version"]


def test_every_policy_and_schema_of_the_manifests_is_in_the_chart() -> None:
    made = {path.name for path in chart.contents()}
    policies = ROOT / "manifests/base/policies"
    assert {path.name for path in policies.glob("*.yaml")} <= made
    assert {path.name for path in (ROOT / "crds").glob("tradingbots.dev_*.yaml")} <= made


def test_a_policy_names_the_operator_of_the_release() -> None:
    text = next(text for path, text in chart.templates() if path.name == "status.yaml")
    assert "'system:serviceaccount:{{ .Release.Namespace }}:tradingbot-operator'" in text
    assert chart.NAMESPACE not in text


def test_a_source_that_the_chart_cannot_follow_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chart, "ROOT", tmp_path)
    source = tmp_path / "policy.yaml"
    document = "apiVersion: v1\nkind: X\nmetadata:\n  name: x\nspec: {}\n"
    source.write_text(document)
    assert yaml.safe_load(re.sub(r"\{\{.*\}\}", "", chart._template(source, "policies")))["spec"] == {}
    for odd, why in (
        ("# {{ template }}\n", "two braces"),
        ("  namespace: tradingbot-system\n", "in a way that the chart cannot follow"),
    ):
        source.write_text(document + odd)
        with pytest.raises(ValueError, match=why):
            chart._template(source, "policies")
    source.write_text("metadata:\n  labels: {}\n  name: x\n")
    with pytest.raises(ValueError, match="metadata that this does not know"):
        chart._template(source, "policies")


def test_every_knob_is_explained_with_its_type_and_default() -> None:
    knobs = {knob.path: knob for knob in chart.knobs()}
    assert knobs["replicas"] == chart.Knob("replicas", 2, "integer", knobs["replicas"].means)
    assert knobs["monitoring.dashboards.labels"].default == {"grafana_dashboard": "1"}
    assert all(
        knob.means[0].islower() or knob.means.split()[0] in {"CPU", "IfNotPresent,", "PriorityClass", "Secrets"}
        for knob in knobs.values()
    )
    assert len(knobs) > 35


def test_a_knob_without_a_word_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("values.yaml", "values.schema.json"):
        (tmp_path / name).write_text((ROOT / "charts/tradingbot-operator" / name).read_text(encoding="utf-8"))
    monkeypatch.setattr(chart, "CHART", tmp_path)
    (tmp_path / "values.yaml").write_text(VALUES + "novelty: 1\n")
    with pytest.raises(ValueError, match="does not explain novelty"):
        chart.knobs()
    (tmp_path / "values.yaml").write_text(VALUES + "# -- something new\nnovelty: 1\n")
    with pytest.raises(ValueError, match=r"values\.schema\.json has no novelty"):
        chart.knobs()


def test_the_schema_knows_every_value_and_the_values_every_part_of_the_schema() -> None:
    schema = json.loads((ROOT / "charts/tradingbot-operator/values.schema.json").read_text(encoding="utf-8"))
    knobs = {knob.path for knob in chart.knobs()}
    named = {path for path in _leaves(schema) if path != "global"}
    assert {path for path in named if not any(path == knob or path.startswith(f"{knob}.") for knob in knobs)} == set()


def _leaves(schema: dict[str, dict[str, object]], before: str = "") -> list[str]:
    found: list[str] = []
    for name, child in schema["properties"].items():
        if isinstance(child, dict) and "properties" in child:
            found += _leaves(child, f"{before}{name}.")
        else:
            found.append(before + name)
    return found


def test_the_operators_own_defaults_are_told_as_they_are() -> None:
    means = {knob.path: knob.means for knob in chart.knobs()}
    settings = Settings(runtime_image="any")
    for path, default in (
        ("operator.writesPerSecond", settings.writes_per_second),
        ("operator.resyncSeconds", settings.resync_seconds),
        ("operator.reportPollSeconds", settings.report_poll_seconds),
    ):
        assert means[path].endswith(f"the operator's own default, {default:g}")
    assert means["operator.logLevel"].endswith(f"the operator's own default, {settings.log_level.lower()}")
