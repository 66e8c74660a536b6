"""A gate is thresholds with safe defaults: the table of the design, and nothing that could not be passed."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tradingbot_api import PromotionGateSpec
from tradingbot_api.gate_checks import span
from tradingbot_api.promotion_gate import ItemSource

ROOT = Path(__file__).parents[3]


def kinds(spec: PromotionGateSpec) -> dict[str, str]:
    return {name: str(getattr(getattr(spec.checks, name), "kind", "always")) for name in type(spec.checks).model_fields}


def test_an_empty_spec_is_the_designs_table() -> None:
    spec = PromotionGateSpec()
    blocking = {name for name, kind in kinds(spec).items() if kind == "Blocking"}
    assert blocking == {
        "paper_sessions",
        "paper_trades",
        "reconciliation_rate",
        "operational_error_rate",
        "validation_artifacts",
        "required_drills",
    }
    assert {name for name, kind in kinds(spec).items() if kind == "always"} == {
        "clean_reconciliation_sessions",
        "preflight",
    }
    weighted = [name for name, kind in kinds(spec).items() if kind == "Weighted"]
    assert sum(getattr(spec.checks, name).weight for name in weighted) == 100
    assert (spec.checks.paper_profit.weight, spec.checks.fill_rate.weight) == (15, 5)
    assert spec.checks.statistical_significance.maximum_p == Decimal("0.05")
    assert spec.approvals.separation_of_duties


@pytest.mark.parametrize(
    ("text", "length"), [("90m", timedelta(minutes=90)), ("24h", timedelta(hours=24)), ("30d", timedelta(days=30))]
)
def test_a_span_is_a_length_of_time(text: str, length: timedelta) -> None:
    assert span(text) == length


def test_the_example_is_a_gate() -> None:
    (document,) = yaml.safe_load_all((ROOT / "manifests/examples/promotion-gate.yaml").read_text())
    spec = PromotionGateSpec.model_validate(document["spec"])
    assert [stage.sessions for stage in spec.stages] == [5, 15, None]
    assert [item.source for item in spec.items] == [ItemSource.MANUAL, ItemSource.ATTESTED, ItemSource.MANUAL]
    assert kinds(spec)["overfit_ratio"] == "NotApplicable"


@pytest.mark.parametrize(
    "spec",
    [
        {"checks": {"preflight": {"kind": "NotApplicable"}}},
        {"checks": {"brokerAudit": {}}},
        {"checks": {"fillRate": {"weight": 0}}},
        {"checks": {"fillRate": {"minimumPercent": "101"}}},
        {"checks": {"statisticalSignificance": {"maximumP": "2"}}},
        {"checks": {"preflight": {"maxAge": "0h"}}},
        {"checks": {"requiredDrills": {"drills": []}}},
        {"items": [{"name": "NotKilled", "text": "x"}]},
        {"stages": [{"maxCapital": "0"}]},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_by_the_model_as_well(spec: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PromotionGateSpec.model_validate(spec)
