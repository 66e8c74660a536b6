"""The example repository and what it syncs: nothing that would differ for ever, and nothing unprotected."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tradingbot_api import BrokerAccountSpec, PromotionGateSpec
from tradingbot_api.crd import RESOURCES

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples/gitops"
DECIDED_BY_PEOPLE = {"Approval", "Attestation", "PromotionEvidence", "KillRecord"}


def documents(path: Path) -> list[Any]:
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def empty_lists(node: Any, where: str = "") -> Iterator[str]:
    if isinstance(node, dict):
        for key, item in node.items():
            yield from [f"{where}.{key}"] if item == [] and key != "default" else empty_lists(item, f"{where}.{key}")
    elif isinstance(node, list):
        for at, item in enumerate(node):
            yield from empty_lists(item, f"{where}[{at}]")


@pytest.mark.parametrize("path", sorted((ROOT / "crds").glob("tradingbots.dev_*.yaml")), ids=lambda path: path.stem)
def test_a_crd_holds_nothing_that_the_api_server_drops(path: Path) -> None:
    """A list that is empty in Git and absent in the cluster is a difference that every sync tries to mend."""
    assert [found for document in documents(path) for found in empty_lists(document)] == []


def test_what_people_and_the_operator_decide_does_not_come_from_git() -> None:
    (project,) = documents(EXAMPLE / "apps/project.yaml")
    allowed = {one["kind"] for one in project["spec"]["namespaceResourceWhitelist"]}
    assert {resource.kind for resource in RESOURCES} >= DECIDED_BY_PEOPLE
    assert not DECIDED_BY_PEOPLE & allowed
    assert {"TradingBot", "BrokerAccount", "PromotionGate"} <= allowed


def test_bots_come_last_so_that_none_of_them_holds_up_a_sync() -> None:
    waves: dict[str, set[int]] = {}
    for path in (EXAMPLE / "bots").rglob("*.yaml"):
        for document in documents(path):
            wave = document.get("metadata", {}).get("annotations", {}).get("argocd.argoproj.io/sync-wave")
            if wave is not None:
                waves.setdefault(document["kind"], set()).add(int(wave))
    assert set(waves) == {"Namespace", "BrokerAccount", "PromotionGate", "TradingBot"}
    assert max(waves["Namespace"]) < min(waves["BrokerAccount"] | waves["PromotionGate"])
    assert max(waves["BrokerAccount"] | waves["PromotionGate"]) < min(waves["TradingBot"])


def test_an_application_that_is_deleted_leaves_what_it_synced() -> None:
    applications = [one for path in EXAMPLE.rglob("*.yaml") for one in documents(path) if one["kind"] == "Application"]
    assert len(applications) == 4
    assert all("finalizers" not in one["metadata"] for one in applications)
    assert all("Replace=true" not in one["spec"]["syncPolicy"].get("syncOptions", []) for one in applications)


def test_accounts_and_gate_of_the_example_are_valid() -> None:
    models = {"BrokerAccount": BrokerAccountSpec, "PromotionGate": PromotionGateSpec}
    found = [
        models[document["kind"]].model_validate(document["spec"])
        for path in (EXAMPLE / "bots").rglob("*.yaml")
        for document in documents(path)
        if document["kind"] in models
    ]
    assert len(found) == 4
