"""A PromotionGate on a real API server: its defaults, who is listed in it, and what its bots say of it."""

from pathlib import Path

import pytest
import yaml
from api_server import ApiServer, Json, Refused, eventually
from operator_process import OperatorProcess
from world import World

EXAMPLE = Path(__file__).parents[2] / "manifests/examples/promotion-gate.yaml"
_GATES = Path(__file__).parents[2] / "manifests/gates"
SHIPPED = sorted(set(_GATES.glob("*.yaml")) - {_GATES / "kustomization.yaml"})
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


def a_check(name: str, **fields: object) -> Json:
    return {"checks": {name: fields}}


def items(count: int, **fields: object) -> Json:
    return {"items": [{"name": f"item-{number}", "text": "looked at", **fields} for number in range(count)]}


ALL_WEIGHED = [
    "backtestSharpe",
    "backtestMaxDrawdown",
    "walkForwardEfficiency",
    "overfitRatio",
    "statisticalSignificance",
    "paperProfit",
    "paperMaxDrawdown",
    "executionQuality",
    "averageSlippage",
    "fillRate",
    "shadowDrift",
]

# What is wrong, the spec, the field that is named, what is said of it
IMPOSSIBLE: list[tuple[str, Json, str, str]] = [
    ("a weight of 0", a_check("paperProfit", weight=0), "spec.checks.paperProfit.weight", "greater than or equal to 1"),
    ("a weight of 1001", a_check("fillRate", weight=1001), "spec.checks.fillRate.weight", "less than or equal to 1000"),
    ("an item of weight 0", items(1, weight=0), "spec.items[0].weight", "greater than or equal to 1"),
    ("no sessions", a_check("paperSessions", minimum=0), "spec.checks.paperSessions.minimum", "equal to 1"),
    ("401 sessions", a_check("paperSessions", minimum=401), "spec.checks.paperSessions.minimum", "equal to 400"),
    ("no trades", a_check("paperTrades", minimum=0), "spec.checks.paperTrades.minimum", "equal to 1"),
    ("101 %", a_check("fillRate", minimumPercent="101"), "spec.checks.fillRate.minimumPercent", "at most 100, e.g."),
    ("0 %", a_check("reconciliationRate", minimumPercent="0"), "spec.checks.reconciliationRate", "must be above 0"),
    (
        "below 0 %",
        a_check("shadowDrift", maximumPercent="-1"),
        "spec.checks.shadowDrift.maximumPercent",
        "should match",
    ),
    ("p of 2", a_check("statisticalSignificance", maximumP="2"), "spec.checks.statisticalSignificance", "should match"),
    ("p of 1.5", a_check("statisticalSignificance", maximumP="1.5"), "maximumP", "must be above 0 and at most 1"),
    ("a Sharpe of 0", a_check("backtestSharpe", minimum="0"), "spec.checks.backtestSharpe.minimum", "must be above 0"),
    (
        "quality of 101",
        a_check("executionQuality", minimum=101),
        "spec.checks.executionQuality.minimum",
        "equal to 100",
    ),
    (
        "slippage",
        a_check("averageSlippage", maximumBps=1001),
        "spec.checks.averageSlippage.maximumBps",
        "equal to 1000",
    ),
    (
        "30 sessions in 38 days",
        a_check("paperSessions", minimum=30, maxAge="38d"),
        "checks.paperSessions.maxAge",
        "raise it and leave room for holidays, or ask for fewer sessions",
    ),
    (
        "5 sessions in 95 h",
        a_check("paperSessions", minimum=5, maxAge="95h"),
        "checks.paperSessions.maxAge",
        "too short",
    ),
    ("an age of none", a_check("preflight", maxAge="0h"), "spec.checks.preflight.maxAge", "should match"),
    (
        "more clean sessions than sessions",
        {"checks": {"paperSessions": {"minimum": 3}, "cleanReconciliationSessions": {"minimum": 4}}},
        "checks.cleanReconciliationSessions.minimum",
        "at most paperSessions.minimum",
    ),
    (
        "nothing weighed",
        {"checks": {name: {"kind": "NotApplicable"} for name in ALL_WEIGHED}},
        "checks:",
        "make at least one check or item Weighted",
    ),
    ("an item twice", {"items": items(1)["items"] * 2}, "spec.items[1]", "Duplicate value"),
    ("101 items", items(101), "spec.items", "must have at most 100 items"),
    (
        "a drill twice",
        a_check("requiredDrills", drills=["Kill", "Kill"]),
        "spec.checks.requiredDrills.drills[1]",
        "Duplicate value",
    ),
    (
        "stages that fall",
        {"stages": [{"maxCapital": "5000", "sessions": 5}, {"maxCapital": "1000"}]},
        "stages:",
        "with rising maxCapital",
    ),
    ("a last stage that ends", {"stages": [{"maxCapital": "1", "sessions": 5}]}, "stages:", "the last has none"),
    (
        "a stage that never ends",
        {"stages": [{"maxCapital": "1"}, {"maxCapital": "2"}]},
        "stages:",
        "every stage but the last needs sessions",
    ),
    ("a stage without capital", {"stages": [{"maxCapital": "0"}]}, "spec.stages[0].maxCapital", "greater than 0"),
    (
        "11 stages",
        {"stages": [{"maxCapital": str(n + 1)} | ({"sessions": 1} if n < 10 else {}) for n in range(11)]},
        "spec.stages",
        "must have at most 10 items",
    ),
]


@pytest.mark.parametrize(("spec", "field", "said"), [e[1:] for e in IMPOSSIBLE], ids=[e[0] for e in IMPOSSIBLE])
def test_an_impossible_gate_is_refused_with_its_field_and_what_to_do(
    api: ApiServer, namespace: str, spec: Json, field: str, said: str
) -> None:
    document = {"apiVersion": "tradingbots.dev/v1alpha1", "kind": "PromotionGate", "metadata": {"name": "no"}}
    with pytest.raises(Refused) as refused:
        api.create(document | {"spec": spec}, namespace)
    assert refused.value.code == 422
    assert field in refused.value.message
    assert said in refused.value.message


@pytest.mark.parametrize(
    "sessions",
    [
        {"minimum": 30, "maxAge": "39d"},
        {"minimum": 5, "maxAge": "96h"},
        {"minimum": 1, "maxAge": "1m"},
        {"minimum": 400, "maxAge": "1m", "kind": "NotApplicable"},
    ],
)
def test_an_age_that_just_leaves_room_for_the_sessions_is_accepted(
    api: ApiServer, namespace: str, sessions: Json
) -> None:
    few = {"cleanReconciliationSessions": {"minimum": 1}}
    document = {"apiVersion": "tradingbots.dev/v1alpha1", "kind": "PromotionGate", "metadata": {"name": "yes"}}
    api.create(document | {"spec": {"checks": {"paperSessions": sessions} | few}}, namespace)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_gate_is_accepted_without_a_warning(api: ApiServer, namespace: str, path: Path) -> None:
    answer = api.apply(yaml.safe_load(path.read_text()), namespace)
    assert not answer.warning


def test_a_gate_lists_what_it_says_of_its_bots_and_what_blocks_them(world: World) -> None:
    world.account()
    world.gate()
    world.gate("other")
    world.bot("asks", symbols=["AAPL"], **NAMED)
    world.bot("waits", symbols=["MSFT"], gateRef={"name": "standard"})
    world.bot("elsewhere", symbols=["NVDA"], gateRef={"name": "other"})
    world.bot("free", symbols=["TSLA"])

    def both_are_judged() -> dict[str, Json] | None:
        found = listed(world)
        return found if len(found) == 2 and all(one["verdict"] == "NO-GO" for one in found.values()) else None

    found = eventually(both_are_judged, "both bots are listed with a verdict")
    assert found is not None
    assert (found["asks"]["requested"], found["waits"]["requested"]) == ("live", "paper")
    for entry in found.values():
        assert entry["reason"] == "Blocked"
        assert "PaperSessions" in entry["message"]
    status = world.get("PromotionGate", "standard")["status"]
    assert (status["botCount"], status["observedGeneration"]) == (2, 1)
    world.wait_for_condition("standard", "Valid", "True", of="PromotionGate")
    world.wait_for_condition("standard", "Evaluated", "True", of="PromotionGate")
    eventually(lambda: set(listed(world, "other")) == {"elsewhere"}, "the other gate lists its own")


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
    waiting = world.wait_for_condition(bot, "LiveAuthorized", "False", "VerdictNoGo")
    assert "stays on paper: NO-GO at 0.00 %, 0/30 sessions; PaperSessions" in waiting["message"]
    world.api.delete("PromotionGate", "standard", world.namespace)
    world.wait_for_condition(bot, "LiveAuthorized", "False", "GateNotFound")
    assert world.get("TradingBot", bot)["status"]["effectiveMode"] == "paper"
    world.wait_for_children(bot)
    assert "mode: paper" in world.child(bot, "ConfigMap")["data"]["bot.yaml"]


def test_what_does_not_concern_a_gate_does_not_write_it(world: World, operator: OperatorProcess) -> None:
    world.account()
    world.gate()
    world.bot("momentum", gateRef={"name": "standard"})
    eventually(lambda: listed(world).get("momentum", {}).get("verdict") == "NO-GO", "it is listed with a verdict")
    # All that the gate says of a new bot is said.
    operator.wait_until_calm()
    version = world.get("PromotionGate", "standard")["metadata"]["resourceVersion"]
    world.bot("momentum", gateRef={"name": "standard"}, capital="20000")
    seen = lambda: world.get("TradingBot", "momentum")["status"]["observedGeneration"]  # noqa: E731 - read again
    eventually(lambda: seen() == 2, "the operator has seen the change")
    sweeps = operator.metric("sweeps_total")
    # The look at the gate that the bot's change brings about is due after one second.
    eventually(lambda: operator.metric("sweeps_total") >= sweeps + 3, "three sweeps have passed")
    assert world.get("PromotionGate", "standard")["metadata"]["resourceVersion"] == version
