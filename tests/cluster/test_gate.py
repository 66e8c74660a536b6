"""A PromotionGate on a real API server: its defaults, who is listed in it, and what its bots say of it."""

from pathlib import Path

import pytest
import yaml
from api_server import ApiServer, Json, eventually
from operator_process import OperatorProcess
from world import World

EXAMPLE = Path(__file__).parents[2] / "manifests/examples/promotion-gate.yaml"
SHIPPED = sorted((Path(__file__).parents[2] / "manifests/gates").glob("*.yaml"))
NAMED = {"mode": "live", "gateRef": {"name": "standard"}, "accounts": {"paper": "sim", "live": "real"}}


def listed(world: World, gate: str = "standard") -> dict[str, Json]:
    return {entry["name"]: entry for entry in world.get("PromotionGate", gate).get("status", {}).get("bots", [])}


def test_an_empty_spec_is_the_whole_list(api: ApiServer, namespace: str) -> None:
    document = {"apiVersion": "tradingbots.dev/v1alpha1", "kind": "PromotionGate", "metadata": {"name": "standard"}}
    spec = api.apply({**document, "spec": {}}, namespace).document["spec"]
    checks = spec["checks"]
    assert len(checks) == 19
    assert checks["paperSessions"] == {"kind": "Blocking", "weight": 10, "minimum": 30, "maxAge": "180d"}
    assert checks["reconciliationRate"]["minimumPercent"] == "99.5"
    assert checks["statisticalSignificance"]["maximumP"] == "0.05"
    assert checks["preflight"] == {"maxAge": "24h"}
    assert "Kill" in checks["requiredDrills"]["drills"]
    assert spec["approvals"] == {"separationOfDuties": True, "expireAfter": "72h"}
    weighted = {name: check["weight"] for name, check in checks.items() if check.get("kind") == "Weighted"}
    assert sum(weighted.values()) == 100


def test_the_example_is_accepted_as_it_is_documented(api: ApiServer, namespace: str) -> None:
    (document,) = yaml.safe_load_all(EXAMPLE.read_text())
    answer = api.apply(document, namespace)
    assert not answer.warning
    assert answer.document["spec"]["checks"]["averageSlippage"]["kind"] == "Blocking"
    assert [stage["maxCapital"] for stage in answer.document["spec"]["stages"]] == ["1000", "5000", "50000"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_gate_is_accepted_without_a_warning(api: ApiServer, namespace: str, path: Path) -> None:
    answer = api.apply(yaml.safe_load(path.read_text()), namespace)
    assert not answer.warning


def test_a_gate_lists_its_bots_as_not_evaluated(world: World) -> None:
    world.account()
    world.gate()
    world.gate("other")
    world.bot("asks", symbols=["AAPL"], **NAMED)
    world.bot("waits", symbols=["MSFT"], gateRef={"name": "standard"})
    world.bot("elsewhere", symbols=["NVDA"], gateRef={"name": "other"})
    world.bot("free", symbols=["TSLA"])
    found = eventually(lambda: len(listed(world)) == 2 and listed(world), "both bots are listed")
    assert found
    assert (found["asks"]["requested"], found["waits"]["requested"]) == ("live", "paper")
    for entry in found.values():
        assert (entry["verdict"], entry["reason"]) == ("Pending", "NotEvaluated")
        assert "not evaluated yet" in entry["message"]
    status = world.get("PromotionGate", "standard")["status"]
    assert (status["botCount"], status["observedGeneration"]) == (2, 1)
    world.wait_for_condition("standard", "Valid", "True", of="PromotionGate")
    world.wait_for_condition("standard", "Evaluated", "False", "NotEvaluated", of="PromotionGate")
    assert set(listed(world, "other")) == {"elsewhere"}


def test_bots_come_and_go(world: World) -> None:
    world.account()
    world.gate()
    world.gate("other")
    world.bot("momentum", gateRef={"name": "standard"})
    eventually(lambda: set(listed(world)) == {"momentum"}, "it is listed")
    world.bot("momentum", gateRef={"name": "other"})
    eventually(lambda: set(listed(world, "other")) == {"momentum"} and not listed(world), "it is listed elsewhere")
    world.api.delete("TradingBot", "momentum", world.namespace)
    eventually(lambda: not listed(world, "other"), "it is listed nowhere")
    assert world.get("PromotionGate", "other")["status"]["botCount"] == 0


def test_a_bot_that_asks_for_live_says_what_is_in_the_way(world: World) -> None:
    world.account()
    bot = world.bot("momentum", **NAMED)
    missing = world.wait_for_condition(bot, "LiveAuthorized", "False", "GateNotFound")
    assert "stays on paper: there is no PromotionGate standard" in missing["message"]
    world.gate()
    waiting = world.wait_for_condition(bot, "LiveAuthorized", "False", "GateNotEvaluated")
    assert "PromotionGate standard was not evaluated" in waiting["message"]
    world.api.delete("PromotionGate", "standard", world.namespace)
    world.wait_for_condition(bot, "LiveAuthorized", "False", "GateNotFound")
    assert world.get("TradingBot", bot)["status"]["effectiveMode"] == "paper"
    world.wait_for_children(bot)
    assert "mode: paper" in world.child(bot, "ConfigMap")["data"]["bot.yaml"]


def test_what_does_not_concern_a_gate_does_not_write_it(world: World, operator: OperatorProcess) -> None:
    world.account()
    world.gate()
    world.bot("momentum", gateRef={"name": "standard"})
    eventually(lambda: listed(world), "it is listed")
    version = world.get("PromotionGate", "standard")["metadata"]["resourceVersion"]
    world.bot("momentum", gateRef={"name": "standard"}, capital="20000")
    sweeps = operator.metric("sweeps_total")
    # The look at the gate that the bot's change brings about is due after one second.
    eventually(lambda: operator.metric("sweeps_total") >= sweeps + 3, "three sweeps have passed")
    assert world.get("TradingBot", "momentum")["status"]["observedGeneration"] == 2
    assert world.get("PromotionGate", "standard")["metadata"]["resourceVersion"] == version
