"""What is in a bot's way is a condition that names it; what the kubelet would write is written by the test."""

import json
from typing import Any

import pytest
from api_server import ApiServer, Json, eventually
from operator_process import OperatorProcess
from world import CHILDREN, World, a_report


def a_world_with_a_bot(world: World, **spec: Any) -> str:
    world.account()
    bot = world.bot("momentum", **spec)
    world.wait_for_children(bot)
    return bot


def test_a_missing_account_is_named_and_its_arrival_noticed(world: World) -> None:
    bot = world.bot("momentum", account="nowhere")
    condition = world.wait_for_condition(bot, "Ready", "False", "AccountNotFound")
    assert "nowhere" in condition["message"]
    assert not world.api.exists("StatefulSet", f"{bot}-bot", world.namespace)
    world.account("nowhere")
    world.wait_for_children(bot)


def test_a_live_account_is_never_traded_on_paper(world: World) -> None:
    world.live_account("real")
    bot = world.bot("momentum", account="real")
    condition = world.wait_for_condition(bot, "Ready", "False", "AccountMismatch")
    assert "environment is live" in condition["message"]
    assert not world.api.exists("StatefulSet", f"{bot}-bot", world.namespace)


def test_an_account_that_is_made_anew_as_live_stops_the_pod(world: World) -> None:
    bot = a_world_with_a_bot(world)
    world.api.delete("BrokerAccount", "sim", world.namespace)
    world.wait_for_condition(bot, "Ready", "False", "AccountNotFound")
    assert world.child(bot)["spec"]["replicas"] == 1
    world.live_account("sim")
    world.wait_for_condition(bot, "Ready", "False", "AccountMismatch")
    eventually(lambda: world.child(bot)["spec"]["replicas"] == 0, "no replicas")


def test_mode_live_stays_on_paper_and_says_why(world: World) -> None:
    world.live_account("real")
    accounts = {"paper": "sim", "live": "real"}
    bot = a_world_with_a_bot(world, mode="live", gateRef={"name": "standard"}, accounts=accounts)
    condition = world.wait_for_condition(bot, "LiveAuthorized", "False", "GateNotFound")
    assert "stays on paper" in condition["message"]
    assert world.get("TradingBot", bot)["status"]["effectiveMode"] == "paper"
    assert "mode: paper" in world.child(bot, "ConfigMap")["data"]["bot.yaml"]
    assert "real" not in world.child(bot, "ConfigMap")["data"]["bot.yaml"]


LAST_WORDS = json.dumps({"reason": "InvalidStrategyParameters", "message": "spec.strategy.parameters.lookback: > 1"})
KUBELET: list[tuple[str, str, Json]] = [
    (
        "SecretNotFound",
        'secret "keys" not found',
        {"state": {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "keys" not found'}}},
    ),
    ("ImagePullFailed", "tradingbot-runtime:test", {"state": {"waiting": {"reason": "ImagePullBackOff"}}}),
    (
        "InvalidStrategyParameters",
        "lookback",
        {
            "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 78, "message": LAST_WORDS}},
        },
    ),
    (
        "CrashLooping",
        "exit code 139",
        {
            "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 139, "reason": "Error"}},
        },
    ),
]


@pytest.mark.parametrize(("reason", "words", "container"), KUBELET, ids=[entry[0] for entry in KUBELET])
def test_the_kubelets_words_are_passed_on(world: World, reason: str, words: str, container: Json) -> None:
    bot = a_world_with_a_bot(world)
    world.set_container(bot, **container)
    assert words in world.wait_for_condition(bot, "Ready", "False", reason)["message"]
    events = eventually(
        lambda: world.api.list("Event", world.namespace, fieldSelector=f"reason={reason}"), "an event tells it"
    )
    assert [event["regarding"]["name"] for event in events] == [bot]


def test_an_unschedulable_pod_is_named(world: World) -> None:
    bot = a_world_with_a_bot(world)
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: no cpu"}
    world.set_pod_status(bot, conditions=[said])
    assert "no cpu" in world.wait_for_condition(bot, "Ready", "False", "Unschedulable")["message"]


def test_a_healthy_report_becomes_the_status(world: World) -> None:
    bot = a_world_with_a_bot(world)
    world.run(bot)
    world.wait_for_condition(bot, "Ready", "True", "Trading")
    world.wait_for_condition(bot, "Reconciled", "True", "Clean")
    status = world.get("TradingBot", bot)["status"]
    assert (status["tradingState"], status["effectiveMode"], status["filledOrders"]) == ("Active", "paper", 7)
    assert status["account"] == {"equity": "10100.50", "cash": "5000", "dayPnl": "100.50"}
    assert status["positions"][0]["marketValue"] == "1550"
    world.wait_for_condition("sim", "Connected", "True", of="BrokerAccount")


def test_a_state_is_written_at_once_and_figures_later(world: World, operator: OperatorProcess) -> None:
    bot = a_world_with_a_bot(world)
    runtime = world.run(bot)
    world.wait_for_condition(bot, "Ready", "True", "Trading")
    assert runtime.report is not None
    runtime.report |= {"tradingState": "Halted", "reason": "DailyLoss", "message": "3 % lost", "filledOrders": 9}
    # Figures alone would wait for fifteen seconds.
    world.wait_for_condition(bot, "Ready", "True", "DailyLoss", seconds=10)
    assert world.get("TradingBot", bot)["status"]["filledOrders"] == 9
    runtime.report |= {"filledOrders": 10}
    eventually(lambda: world.get("TradingBot", bot)["status"]["filledOrders"] == 10, "the new figure")
    runtime.report |= {"marketTime": "2026-01-02T00:00:00Z"}
    runtime.report["lastReconciliation"] = {"at": "2026-01-02T00:00:00Z", "result": "Clean"}
    # The same operator may still have to do with the end of another test's namespace.
    eventually(lambda: operator.wait_until_calm() == operator.wait_until_calm(), "nothing more is written", 180)


def test_a_report_for_another_bot_is_refused(world: World) -> None:
    bot = a_world_with_a_bot(world)
    runtime = world.run(bot, uid="11111111-1111-1111-1111-111111111111")
    assert "ignored" in world.wait_for_condition(bot, "Ready", "False", "ForeignReport")["message"]
    assert "account" not in world.get("TradingBot", bot)["status"]
    runtime.report = a_report(world.namespace, bot, world.get("TradingBot", bot)["metadata"]["uid"])
    world.wait_for_condition(bot, "Ready", "True")


def test_a_bot_that_does_not_answer_is_named(world: World) -> None:
    bot = a_world_with_a_bot(world)
    runtime = world.run(bot)
    runtime.report = None
    world.wait_for_condition(bot, "Ready", "False", "NotReporting")


def test_the_bots_own_reason_is_passed_on(world: World) -> None:
    bot = a_world_with_a_bot(world)
    world.run(bot, ready=False, reason="BrokerUnreachable", message="no route to host", brokerConnected=False)
    assert "no route" in world.wait_for_condition(bot, "Ready", "False", "BrokerUnreachable")["message"]
    world.wait_for_condition("sim", "Connected", "False", "BrokerUnreachable", of="BrokerAccount")


def test_the_eldest_keeps_a_symbol_until_it_lets_go(world: World) -> None:
    elder = a_world_with_a_bot(world, symbols=["AAPL", "MSFT"])
    younger = world.younger_bot("younger", than=elder, symbols=["MSFT", "NVDA"])
    message = world.wait_for_condition(younger, "SymbolConflict", "True", "SymbolOwnedByOther")["message"]
    assert elder in message and "MSFT" in message and "NVDA" not in message
    world.wait_for_children(younger)
    assert world.child(younger)["spec"]["replicas"] == 0
    world.wait_for_condition(elder, "SymbolConflict", "False")
    assert world.child(elder)["spec"]["replicas"] == 1
    owned = lambda: world.get("BrokerAccount", "sim")["status"]["symbols"]  # noqa: E731 - read again and again
    eventually(lambda: {"symbol": "MSFT", "bot": elder} in owned(), "the account says whose it is")

    world.bot(elder, symbols=["AAPL"])
    world.wait_for_condition(younger, "SymbolConflict", "False", "NoConflict")
    eventually(lambda: world.child(younger)["spec"]["replicas"] == 1, "the younger bot's pod")


def test_a_conflict_ends_with_the_elder_bot(world: World) -> None:
    elder = a_world_with_a_bot(world)
    younger = world.younger_bot("younger", than=elder)
    world.wait_for_condition(younger, "SymbolConflict", "True")
    world.api.delete("TradingBot", elder, world.namespace)
    world.wait_for_condition(younger, "SymbolConflict", "False", "NoConflict", seconds=120)
    eventually(lambda: world.child(younger)["spec"]["replicas"] == 1, "the younger bot's pod")


def test_the_same_symbol_on_two_accounts_is_no_conflict(world: World) -> None:
    bot = a_world_with_a_bot(world)
    world.account("other")
    second = world.bot("second", account="other")
    for name in (bot, second):
        world.wait_for_condition(name, "SymbolConflict", "False")


# ----------------------------------------------------------------------- kill


def test_a_kill_shows_and_is_followed_until_the_broker_confirmed_it(world: World) -> None:
    bot = a_world_with_a_bot(world)
    runtime = world.run(bot)
    world.wait_for_condition(bot, "Ready", "True")
    annotation = {"metadata": {"annotations": {"tradingbots.dev/kill": "fat finger"}}}
    world.api.patch("TradingBot", bot, annotation, world.namespace)
    assert "fat finger" in world.wait_for_condition(bot, "Killed", "True", "KillRequested")["message"]
    world.wait_for_condition(bot, "Ready", "False", "Killed")
    kill = {"reason": "fat finger", "observedAt": "2026-01-01T00:00:02Z", "ordersCancelledAt": "2026-01-01T00:00:03Z"}
    assert runtime.report is not None
    runtime.report |= {"tradingState": "Halted", "kill": kill}
    world.wait_for_condition(bot, "Killed", "True", "OrdersCancelled", seconds=10)
    assert world.get("TradingBot", bot)["status"]["kill"]["ordersCancelledAt"] == kill["ordersCancelledAt"]
    runtime.report |= {"kill": {**kill, "flatAt": "2026-01-01T00:00:04Z"}}
    world.wait_for_condition(bot, "Killed", "True", "Flat")
    # The annotation goes, the latch stays until the bot says otherwise.
    remove = {"metadata": {"annotations": {"tradingbots.dev/kill": None}}}
    world.api.patch("TradingBot", bot, remove, world.namespace)
    eventually(lambda: "is gone" in world.condition(bot, "Killed")["message"], "the latch is explained")
    assert world.condition(bot, "Killed")["status"] == "True"
    assert world.child(bot)["spec"]["replicas"] == 1


def test_an_account_kills_all_its_bots_and_says_so(world: World) -> None:
    bot = a_world_with_a_bot(world)
    other = world.bot("other", symbols=["NVDA"])
    world.account(annotations={"tradingbots.dev/kill": ""})
    for name in (bot, other):
        assert "BrokerAccount sim" in world.wait_for_condition(name, "Killed", "True", "KillRequested")["message"]
    world.wait_for_condition("sim", "Killed", "True", "KillRequested", of="BrokerAccount")


def test_a_pause_shows(world: World) -> None:
    bot = a_world_with_a_bot(world, paused=True)
    world.wait_for_condition(bot, "Paused", "True", "PausedInSpec")


# --------------------------------------- an object that this release cannot read


@pytest.fixture
def unreadable_timeframes(api: ApiServer, world: World) -> Any:
    """Lets the API server store a timeframe that the models refuse, as another release's CRD might have."""
    name = "tradingbots.tradingbots.dev"
    path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/timeframe/enum"
    crd = f"apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
    enum = api.get("CustomResourceDefinition", name)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][
        "spec"
    ]["properties"]["timeframe"]["enum"]

    def accept(values: list[str]) -> None:
        patch = [{"op": "replace", "path": path, "value": values}]
        api.request("PATCH", crd, patch, "application/json-patch+json")

    accept([*enum, "2Min"])
    yield
    accept(enum)


def test_an_unreadable_spec_is_a_condition_and_a_kill_still_shows(world: World, unreadable_timeframes: Any) -> None:
    bot = a_world_with_a_bot(world)
    config = world.child(bot, "ConfigMap")["data"]

    def store() -> Json:
        world.bot(bot, timeframe="2Min")
        return world.get("TradingBot", bot)

    eventually(store, "the API server takes the new schema")
    assert "timeframe" in world.wait_for_condition(bot, "Ready", "False", "InvalidSpec")["message"]
    assert world.child(bot, "ConfigMap")["data"] == config
    assert world.child(bot)["spec"]["replicas"] == 1
    annotation = {"metadata": {"annotations": {"tradingbots.dev/kill": "now"}}}
    world.api.patch("TradingBot", bot, annotation, world.namespace)
    world.wait_for_condition(bot, "Killed", "True", "KillRequested")
    assert "InvalidSpec" in world.wait_for_condition(bot, "Ready", "False", "Killed")["message"]
    world.bot(bot)
    eventually(lambda: world.condition(bot, "Killed")["status"] == "True", "the kill stays")
    assert all(world.api.exists(kind, f"{bot}-bot", world.namespace) for kind in CHILDREN)
