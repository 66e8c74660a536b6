"""The gates that are shipped: they are valid, and ask for what their first lines say."""

from pathlib import Path

import pytest
import yaml

from tradingbot_api import CheckKind, Checks, ItemKind, PromotionGateSpec

GATES = Path(__file__).parents[3] / "manifests" / "gates"


def a_gate(name: str) -> PromotionGateSpec:
    document = yaml.safe_load((GATES / f"{name}.yaml").read_text())
    assert document["metadata"]["name"] == name
    return PromotionGateSpec.model_validate(document["spec"])


@pytest.mark.parametrize("path", sorted(GATES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_gate_can_be_read(path: Path) -> None:
    gate = a_gate(path.stem)
    assert len({item.name for item in gate.items}) == len(gate.items)


def test_standard_asks_for_everything() -> None:
    assert a_gate("standard").checks == Checks()


def test_the_list_of_eighty_has_eighty_items_of_equal_weight_and_no_weighted_check() -> None:
    gate = a_gate("hardening-80")
    assert [(item.kind, item.weight) for item in gate.items] == [(ItemKind.WEIGHTED, 1)] * 80
    kinds = {
        getattr(gate.checks, name).kind for name in Checks.model_fields if hasattr(getattr(gate.checks, name), "kind")
    }
    assert kinds == {CheckKind.NOT_APPLICABLE}


def test_the_demo_names_no_drill_and_no_validation() -> None:
    checks = a_gate("demo").checks
    assert checks.required_drills.kind is checks.validation_artifacts.kind is CheckKind.NOT_APPLICABLE
    assert checks.paper_sessions.minimum == 30
