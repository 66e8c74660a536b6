"""Deleting bots, accounts and namespaces on a real API server: what is waited for, told, and that all of it ends."""

from collections.abc import Iterator
from typing import Any

import pytest
from api_server import ApiServer, Json, eventually
from operator_process import OperatorProcess
from world import CHILDREN, FakeRuntime, World

FINALIZER = "tradingbots.dev/cancel-on-delete"
SKIP = "tradingbots.dev/skip-cancel-on-delete"
OPEN_ORDER = {
    "clientOrderId": "order-1",
    "symbol": "AAPL",
    "side": "buy",
    "type": "limit",
    "qty": "10",
    "filledQty": "0",
    "status": "accepted",
    "createdAt": "2026-01-01T00:00:00Z",
}


def a_running_bot(world: World, name: str = "momentum", **spec: Any) -> tuple[str, FakeRuntime]:
    world.account()
    bot = world.bot(name, **spec)
    world.wait_for_children(bot)
    runtime = world.run(bot, recentOrders=[OPEN_ORDER])
    world.wait_for_condition(bot, "Ready", "True", "Trading")
    return bot, runtime


def delete(world: World, bot: str, **options: Any) -> None:
    world.api.delete("TradingBot", bot, world.namespace, **options)


def wait_until_gone(world: World, bot: str, seconds: float = 60) -> None:
    eventually(lambda: not world.api.exists("TradingBot", bot, world.namespace), f"{bot} is gone", seconds)


def wait_until_it_waits_for(world: World, bot: str, reason: str) -> Json:
    return world.wait_for_condition(bot, "Deleting", "True", reason)


def report(runtime: FakeRuntime, **changes: Any) -> None:
    assert runtime.report is not None
    runtime.report = {**runtime.report, **changes}


def seen(on_delete: str = "CancelOrders", **steps: Any) -> Json:
    return {"onDelete": on_delete, "observedAt": "2026-01-01T00:01:00Z", **steps}


def events(world: World, name: str, reason: str, namespace: str | None = None) -> list[Json]:
    found = world.api.list("Event", namespace or world.namespace, fieldSelector=f"reason={reason}")
    return [event for event in found if event["regarding"]["name"] == name]


CONFIRMED = "2026-01-01T00:02:00Z"


def test_a_bot_carries_our_finalizer_before_it_has_a_workload(world: World, api: ApiServer) -> None:
    world.account()
    bot = world.bot("momentum")
    stateful_set = world.wait_for_children(bot)["StatefulSet"]
    metadata = world.get("TradingBot", bot)["metadata"]
    assert metadata["finalizers"] == [FINALIZER]
    (ours,) = [
        entry["time"]
        for entry in metadata["managedFields"]
        if "f:finalizers" in entry.get("fieldsV1", {}).get("f:metadata", {})
    ]
    assert ours <= stateful_set["metadata"]["creationTimestamp"]


def test_a_bot_stays_until_the_broker_confirmed_that_no_order_is_open(world: World) -> None:
    bot, runtime = a_running_bot(world)
    delete(world, bot)
    wait_until_it_waits_for(world, bot, "WaitingForBot")
    report(runtime, deletion=seen(openOrders=1))
    wait_until_it_waits_for(world, bot, "WaitingForCancel")
    assert world.condition(bot)["reason"] == "Deleting"
    assert SKIP in world.condition(bot, "Deleting")["message"]
    assert world.api.exists("Pod", f"{bot}-bot-0", world.namespace)
    report(runtime, brokerConnected=False)
    wait_until_it_waits_for(world, bot, "BrokerUnreachable")
    report(runtime, brokerConnected=True, openOrders=0, deletion=seen(ordersCancelledAt=CONFIRMED))
    wait_until_gone(world, bot)
    assert events(world, bot, "BrokerUnreachable")
    assert not events(world, bot, "NotCancelled")
    for kind in CHILDREN:
        eventually(lambda kind=kind: not world.api.exists(kind, f"{bot}-bot", world.namespace), f"{kind} is gone", 120)


def test_flatten_waits_for_a_flat_book(world: World) -> None:
    bot, runtime = a_running_bot(world, onDelete="Flatten")
    delete(world, bot)
    report(runtime, openOrders=0, deletion=seen("Flatten", ordersCancelledAt=CONFIRMED))
    wait_until_it_waits_for(world, bot, "WaitingForFlat")
    report(runtime, deletion=seen("Flatten", ordersCancelledAt=CONFIRMED, flatAt=CONFIRMED))
    wait_until_gone(world, bot)


def test_an_on_delete_that_changes_together_with_the_deletion_reaches_the_pod(world: World) -> None:
    bot, runtime = a_running_bot(world)
    world.bot(bot, onDelete="Flatten")
    delete(world, bot)
    report(runtime, openOrders=0, deletion=seen(ordersCancelledAt=CONFIRMED))
    eventually(lambda: "onDelete: Flatten" in world.child(bot, "ConfigMap")["data"]["bot.yaml"], "the new config")
    # There is no kubelet here, so the pod that the StatefulSet replaces is simply another one that nobody runs yet.
    world.api.patch("TradingBot", bot, {"spec": {"onDelete": "Keep"}}, world.namespace)
    wait_until_gone(world, bot)


def test_keep_goes_at_once_and_an_event_names_what_stays(world: World) -> None:
    bot, _ = a_running_bot(world, onDelete="Keep")
    delete(world, bot)
    wait_until_gone(world, bot)
    (event,) = eventually(lambda: events(world, bot, "OrdersKept"), "an Event")
    assert "order-1 (buy 10 AAPL)" in event["note"] and "AAPL 10" in event["note"]


def test_the_annotation_lets_a_bot_go_at_once_and_the_account_is_told(world: World) -> None:
    bot, _ = a_running_bot(world)
    delete(world, bot)
    wait_until_it_waits_for(world, bot, "WaitingForBot")
    world.api.patch("TradingBot", bot, {"metadata": {"annotations": {SKIP: "yes"}}}, world.namespace)
    wait_until_gone(world, bot)
    for name in (bot, "sim"):
        (event,) = eventually(lambda name=name: events(world, name, "CancelSkipped"), f"an Event about {name}")
        assert event["type"] == "Warning"
        assert "order-1 (buy 10 AAPL)" in event["note"]


def test_a_bot_that_never_ran_goes_at_once(world: World) -> None:
    world.account()
    world.bot("pending")
    world.bot("stuck", symbols=["NVDA"])
    for bot in ("pending", "stuck"):
        world.wait_for_children(bot)
    world.set_container("stuck", state={"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}})
    world.wait_for_condition("stuck", "Ready", "False", "ImagePullFailed")
    for bot in ("pending", "stuck"):
        delete(world, bot)
        wait_until_gone(world, bot, 20)


def test_a_killed_bot_goes_once_its_kill_is_confirmed(world: World) -> None:
    bot, runtime = a_running_bot(world, onDelete="Keep")
    world.api.patch("TradingBot", bot, {"metadata": {"annotations": {"tradingbots.dev/kill": "stop"}}}, world.namespace)
    kill = {"reason": "stop", "observedAt": "2026-01-01T00:01:00Z", "openOrders": 1}
    report(runtime, kill=kill)
    world.wait_for_condition(bot, "Killed", "True", "KillRequested")
    delete(world, bot)
    report(runtime, deletion=seen("Keep"))
    wait_until_it_waits_for(world, bot, "WaitingForCancel")
    report(runtime, openOrders=0, kill=kill | {"ordersCancelledAt": CONFIRMED})
    wait_until_gone(world, bot)


def test_a_kill_in_the_middle_of_a_deletion_holds_the_bot_until_it_is_flat_and_outlives_it(world: World) -> None:
    bot, runtime = a_running_bot(world, onKill="Flatten")
    delete(world, bot)
    report(runtime, deletion=seen(openOrders=1))
    wait_until_it_waits_for(world, bot, "WaitingForCancel")
    world.api.patch("TradingBot", bot, {"metadata": {"annotations": {"tradingbots.dev/kill": "stop"}}}, world.namespace)
    world.wait_for_condition(bot, "Killed", "True", "KillRequested")
    # What the deletion asked for is done, what the kill asks for is not.
    kill = {"epoch": 1, "reason": "stop", "observedAt": "2026-01-01T00:01:00Z", "ordersCancelledAt": CONFIRMED}
    report(runtime, openOrders=0, deletion=seen(ordersCancelledAt=CONFIRMED), kill=kill | {"openPositions": 1})
    wait_until_it_waits_for(world, bot, "WaitingForFlat")
    report(runtime, kill=kill | {"openPositions": 0, "flatAt": CONFIRMED})
    wait_until_gone(world, bot)
    (record,) = world.api.list("KillRecord", world.namespace)
    assert (record["spec"]["epoch"], "releasedAt" in record["status"], "flatAt" in str(record["status"])) == (
        1,
        False,
        True,
    )


def test_a_deletion_in_the_foreground_is_no_tug_of_war(world: World) -> None:
    bot, runtime = a_running_bot(world)
    delete(world, bot, propagationPolicy="Foreground")
    report(runtime, openOrders=0, deletion=seen(ordersCancelledAt=CONFIRMED))
    # The garbage collector learns of new kinds only now and then.
    wait_until_gone(world, bot, 120)


def test_what_happened_while_the_operator_was_down_is_made_up_for(world: World, operator: OperatorProcess) -> None:
    bot, runtime = a_running_bot(world)
    operator.kill()
    delete(world, bot)
    report(runtime, openOrders=0, deletion=seen(ordersCancelledAt=CONFIRMED))
    assert world.get("TradingBot", bot)["metadata"]["finalizers"] == [FINALIZER]
    operator.start()
    wait_until_gone(world, bot)


def test_without_an_operator_one_command_takes_the_finalizers_off(world: World, operator: OperatorProcess) -> None:
    bot, _ = a_running_bot(world)
    operator.stop()
    delete(world, bot)
    assert world.api.exists("TradingBot", bot, world.namespace)
    world.api.patch("TradingBot", bot, {"metadata": {"finalizers": None}}, world.namespace)
    wait_until_gone(world, bot)


def test_a_finalizer_that_somebody_else_wrote_too_still_comes_off(world: World) -> None:
    bot, runtime = a_running_bot(world)
    # As `kubectl apply --server-side -f` of a dump does it: another manager owns the finalizer, too.
    document = world.get("TradingBot", bot)
    document["metadata"] = {key: document["metadata"][key] for key in ("name", "namespace", "finalizers")}
    del document["status"]
    world.api.apply(document, world.namespace)
    delete(world, bot)
    report(runtime, openOrders=0, deletion=seen(ordersCancelledAt=CONFIRMED))
    wait_until_gone(world, bot)


def test_a_finalizer_that_somebody_takes_off_comes_back(world: World) -> None:
    bot, _ = a_running_bot(world)
    world.api.patch("TradingBot", bot, {"metadata": {"finalizers": None}}, world.namespace)
    eventually(lambda: world.get("TradingBot", bot)["metadata"].get("finalizers") == [FINALIZER], "it is back")


@pytest.fixture
def doomed(world: World) -> Iterator[World]:
    """A namespace with a bot that has an order open, and one whose pod never ran."""
    world.account()
    for name, symbols in (("momentum", ["AAPL"]), ("pending", ["NVDA"])):
        world.bot(name, symbols=symbols)
        world.wait_for_children(name)
    world.run("momentum", recentOrders=[OPEN_ORDER])
    world.wait_for_condition("momentum", "Ready", "True", "Trading")
    yield world


def test_a_namespace_goes_and_what_was_open_is_told_where_it_can_be_read(doomed: World) -> None:
    namespace = doomed.namespace
    doomed.api.delete("Namespace", namespace)
    eventually(lambda: not doomed.api.exists("Namespace", namespace), "the namespace is gone", 120)
    told = eventually(lambda: events(doomed, namespace, "NotCancelled", "default"), "an Event about the namespace")
    assert len(told) == 1, told
    event = told[0]
    assert (event["type"], event["regarding"]["kind"]) == ("Warning", "Namespace")
    assert "TradingBot momentum" in event["note"] and "order-1 (buy 10 AAPL)" in event["note"]


def test_an_account_goes_at_once_and_its_bots_go_on_and_can_still_be_deleted(world: World) -> None:
    bot, runtime = a_running_bot(world)
    world.api.delete("BrokerAccount", "sim", world.namespace)
    world.wait_for_condition(bot, "Ready", "False", "AccountNotFound")
    assert world.child(bot)["spec"]["replicas"] == 1
    delete(world, bot)
    wait_until_it_waits_for(world, bot, "WaitingForBot")
    report(runtime, openOrders=0, deletion=seen(ordersCancelledAt=CONFIRMED))
    wait_until_gone(world, bot)


# ---------------------------------------------------------------- orphans


def test_children_that_lost_their_owner_are_removed_with_the_bot_and_the_volume_stays(world: World) -> None:
    world.account()
    bot = world.bot("momentum")
    world.wait_for_children(bot)
    claim = f"state-{bot}-bot-0"
    eventually(lambda: world.get("PersistentVolumeClaim", claim), "a volume claim")
    delete(world, bot, propagationPolicy="Orphan")
    wait_until_gone(world, bot, 120)
    for kind in CHILDREN:
        eventually(lambda kind=kind: not world.api.exists(kind, f"{bot}-bot", world.namespace), f"{kind} is gone", 120)
    assert "deletionTimestamp" not in world.get("PersistentVolumeClaim", claim)["metadata"]


def test_an_orphan_from_while_the_operator_was_down_is_found(world: World, operator: OperatorProcess) -> None:
    world.account()
    bot = world.bot("momentum")
    world.wait_for_children(bot)
    orphan = world.child(bot, "ConfigMap")
    operator.kill()
    world.api.patch("TradingBot", bot, {"metadata": {"finalizers": None}}, world.namespace)
    delete(world, bot)
    wait_until_gone(world, bot)
    for kind in CHILDREN:
        eventually(lambda kind=kind: not world.api.exists(kind, f"{bot}-bot", world.namespace), f"{kind} is gone", 120)
    kept = ("name", "labels", "annotations")
    copy = {key: orphan[key] for key in ("apiVersion", "kind", "data")}
    world.smuggle(copy | {"metadata": {key: orphan["metadata"][key] for key in kept}})
    named_alike = {"name": "momentum-notes", "labels": {"tradingbots.dev/bot": bot}}
    world.smuggle({"apiVersion": "v1", "kind": "ConfigMap", "metadata": named_alike})
    operator.start()
    eventually(lambda: not world.api.exists("ConfigMap", f"{bot}-bot", world.namespace), "the orphan is removed")
    assert world.api.exists("ConfigMap", "momentum-notes", world.namespace)


def test_a_namesakes_orphan_makes_room_for_the_new_bots_own_child(world: World, operator: OperatorProcess) -> None:
    world.account()
    bot = world.bot("momentum")
    config = world.wait_for_children(bot)["ConfigMap"]
    operator.kill()
    annotations = {"tradingbots.dev/bot-uid": "00000000-0000-0000-0000-000000000000"}
    change = {"metadata": {"ownerReferences": None, "annotations": annotations}}
    world.tamper("ConfigMap", f"{bot}-bot", change)
    operator.start()

    def is_its_own() -> bool:
        found: Json = world.child(bot, "ConfigMap")["metadata"]
        owner = world.get("TradingBot", bot)["metadata"]["uid"]
        return found["uid"] != config["metadata"]["uid"] and found["ownerReferences"][0]["uid"] == owner

    eventually(is_its_own, "a ConfigMap of its own")
