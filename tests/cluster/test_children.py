"""A TradingBot becomes its children, which are repaired, made again, and gone with it."""

import time
from typing import Any

import pytest
from api_server import ApiServer, Json, Refused, eventually
from operator_process import OperatorProcess
from world import CHILDREN, World


def ready_world(world: World, name: str = "momentum", **spec: Any) -> str:
    world.account()
    bot = world.bot(name, **spec)
    world.wait_for_children(bot)
    return bot


def test_a_bot_becomes_its_children(world: World) -> None:
    bot = ready_world(world)
    uid = world.get("TradingBot", bot)["metadata"]["uid"]
    for kind in CHILDREN:
        (owner,) = world.child(bot, kind)["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (uid, True, True)
    pod = world.wait_for_pod(bot)
    assert pod["metadata"]["labels"]["tradingbots.dev/bot"] == bot
    claim = eventually(lambda: world.get("PersistentVolumeClaim", "state-momentum-bot-0"), "a volume claim")
    assert claim["spec"]["resources"]["requests"]["storage"] == "1Gi"
    assert world.wait_for_condition(bot, "Ready", "False", "VolumePending")["observedGeneration"] == 1


def test_the_operator_writes_nothing_but_status_and_its_finalizer_on_its_own_kinds(world: World) -> None:
    bot = ready_world(world)
    world.wait_for_condition(bot, "Ready", "False")
    metadata = world.get("TradingBot", bot)["metadata"]
    assert metadata["finalizers"] == ["tradingbots.dev/cancel-on-delete"]
    assert "annotations" not in metadata
    written = {
        (entry["manager"], entry.get("subresource", "")): entry["fieldsV1"] for entry in metadata["managedFields"]
    }
    assert written.keys() == {("tests", ""), ("tradingbot-operator", ""), ("tradingbot-operator", "status")}
    ours = written["tradingbot-operator", ""]
    assert ours.keys() == {"f:metadata"} and ours["f:metadata"].keys() == {"f:finalizers"}


@pytest.mark.parametrize("kind", CHILDREN)
def test_a_deleted_child_comes_back(world: World, kind: str) -> None:
    bot = ready_world(world)
    uid = world.child(bot, kind)["metadata"]["uid"]
    world.api.delete(kind, f"{bot}-bot", world.namespace)
    eventually(lambda: world.child(bot, kind)["metadata"]["uid"] != uid, f"a new {kind}")


DRIFTS: list[tuple[str, str, Json]] = [
    ("a tampered config", "ConfigMap", {"data": {"bot.yaml": "capital: 1000000"}}),
    ("a wider role", "Role", {"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}),
    ("another subject", "RoleBinding", {"subjects": [{"kind": "User", "name": "mallory"}]}),
    ("a Service that finds nothing", "Service", {"spec": {"selector": {"tradingbots.dev/bot": "other"}}}),
    ("two replicas", "StatefulSet", {"spec": {"replicas": 2}}),
    ("no replicas", "StatefulSet", {"spec": {"replicas": 0}}),
    ("no owner", "StatefulSet", {"metadata": {"ownerReferences": None}}),
    ("no label of ours", "ServiceAccount", {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}}),
    (
        "a volume that is deleted with a scale-down",
        "StatefulSet",
        {"spec": {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"}}},
    ),
]


def content(child: Json) -> Json:
    """A child without what changes with every write."""
    changing = ("resourceVersion", "generation", "managedFields")
    metadata = {key: value for key, value in child["metadata"].items() if key not in changing}
    return {key: value for key, value in child.items() if key != "status"} | {"metadata": metadata}


@pytest.mark.parametrize(("kind", "change"), [d[1:] for d in DRIFTS], ids=[d[0] for d in DRIFTS])
def test_drift_is_repaired(world: World, kind: str, change: Json) -> None:
    bot = ready_world(world)
    before = content(world.child(bot, kind))
    patched = world.tamper(kind, f"{bot}-bot", change)
    assert content(patched) != before
    eventually(lambda: content(world.child(bot, kind)) == before, f"the {kind} is as before")


def test_a_variable_that_somebody_adds_to_the_container_is_taken_out(world: World) -> None:
    bot = ready_world(world)
    before = content(world.child(bot))
    (container,) = world.child(bot)["spec"]["template"]["spec"]["containers"]
    extra = {**container, "env": [*container["env"], {"name": "APCA_API_BASE_URL", "value": "https://evil"}]}
    change = {"spec": {"template": {"spec": {"containers": [extra, {"name": "spy", "image": "spy"}]}}}}
    world.tamper("StatefulSet", f"{bot}-bot", change)
    eventually(lambda: content(world.child(bot)) == before, "the StatefulSet is as before")


def test_a_spec_change_reaches_the_config_and_the_pod_template(world: World) -> None:
    bot = ready_world(world, nodeSelector={"disk": "ssd"})
    digest = world.child(bot)["spec"]["template"]["metadata"]["annotations"]["tradingbots.dev/config-digest"]
    world.bot(bot, capital="12345", image="mine:2")

    def is_new() -> bool:
        template = world.child(bot)["spec"]["template"]
        return (
            template["metadata"]["annotations"]["tradingbots.dev/config-digest"] != digest
            and template["spec"]["containers"][0]["image"] == "mine:2"
            # What the spec no longer asks for is gone, not left behind.
            and "nodeSelector" not in template["spec"]
        )

    eventually(is_new, "the new template")
    assert "12345" in world.child(bot, "ConfigMap")["data"]["bot.yaml"]
    eventually(lambda: world.get("TradingBot", bot)["status"].get("image") == "mine:2", "the image is in the status")


def test_storage_growth_does_not_block_other_changes(world: World) -> None:
    bot = ready_world(world)
    world.bot(bot, storage={"size": "5Gi"}, image="mine:3")
    eventually(
        lambda: world.child(bot)["spec"]["template"]["spec"]["containers"][0]["image"] == "mine:3", "the new image"
    )
    world.wait_for_condition(bot, "StorageGrown", "False", "VolumeNotBound")


@pytest.mark.parametrize(("reclaim", "kept"), [("Retain", True), ("Delete", False)])
def test_children_go_with_the_bot_and_the_volume_as_asked(world: World, reclaim: str, kept: bool) -> None:
    bot = ready_world(world, storage={"reclaim": reclaim})
    claim = f"state-{bot}-bot-0"
    eventually(lambda: world.get("PersistentVolumeClaim", claim), "a volume claim")

    def owners() -> list[str]:
        return [
            owner["kind"] for owner in world.get("PersistentVolumeClaim", claim)["metadata"].get("ownerReferences", [])
        ]

    eventually(lambda: bool(owners()) is not kept, "the claim is owned as asked")
    world.api.delete("TradingBot", bot, world.namespace)
    # The garbage collector learns of new kinds only now and then.
    for kind in CHILDREN:
        eventually(lambda kind=kind: not world.api.exists(kind, f"{bot}-bot", world.namespace), f"{kind} is gone", 120)
    if kept:
        claimed = world.get("PersistentVolumeClaim", claim)
        assert not claimed["metadata"].get("deletionTimestamp")
    else:
        eventually(
            # A claim that no pod ever used is deleted at once; its protection finalizer may take a moment.
            lambda: not world.api.exists("PersistentVolumeClaim", claim, world.namespace),
            "the volume claim is gone",
            120,
        )


def test_a_namesakes_child_is_left_alone_and_named(world: World) -> None:
    document: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "momentum-bot"}, "data": {"a": "b"}}
    world.api.create(document, world.namespace)
    world.account()
    bot = world.bot("momentum")
    condition = world.wait_for_condition(bot, "Ready", "False", "NameTaken")
    assert "ConfigMap momentum-bot" in condition["message"]
    assert world.child(bot, "ConfigMap")["data"] == {"a": "b"}
    world.api.delete("ConfigMap", "momentum-bot", world.namespace)
    eventually(lambda: "bot.yaml" in world.child(bot, "ConfigMap")["data"], "the bot's own ConfigMap")
    world.wait_for_condition(bot, "Ready", "False", "VolumePending")


def test_a_bot_made_anew_gets_children_of_its_own(world: World) -> None:
    bot = ready_world(world)
    world.api.delete("TradingBot", bot, world.namespace)
    eventually(lambda: not world.api.exists("TradingBot", bot, world.namespace), "the bot is gone")
    world.bot(bot)
    uid = world.get("TradingBot", bot)["metadata"]["uid"]

    def all_are_its_own() -> bool:
        return all(world.child(bot, kind)["metadata"]["ownerReferences"][0]["uid"] == uid for kind in CHILDREN)

    eventually(all_are_its_own, "all children are the new bot's", 120)


def test_a_refused_child_is_a_condition_and_its_repair_is_taken_up(world: World) -> None:
    world.account()
    bot = world.bot("momentum", resources={"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}})
    condition = world.wait_for_condition(bot, "Ready", "False", "ApplyRefused")
    assert "StatefulSet momentum-bot" in condition["message"]
    assert "must be less than or equal to memory limit" in condition["message"]
    world.bot(bot)
    world.wait_for_children(bot)
    world.wait_for_condition(bot, "Ready", "False", "VolumePending")


def test_what_is_refused_again_and_again_is_asked_for_ever_less(world: World, operator: OperatorProcess) -> None:
    world.account()
    bot = world.bot("momentum", resources={"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}})
    world.wait_for_condition(bot, "Ready", "False", "ApplyRefused")
    time.sleep(8)
    # Of this bot: what is refused in a namespace that is going away is another test's.
    said = [line for line in operator.log.read_text().splitlines() if f"{world.namespace}/{bot}" in line]
    # 0.25 s, doubling: five in the first eight seconds; one a quarter of a second would be more than thirty.
    assert 2 <= len([line for line in said if "a part of it was refused, trying again" in line]) <= 9


def going_away(world: World) -> list[Json]:
    """The bots of namespaces that are being deleted."""
    metadata = [one["metadata"] for one in world.api.list("Namespace")]
    ending = {one["name"] for one in metadata if "deletionTimestamp" in one}
    return [bot for bot in world.api.list("TradingBot") if bot["metadata"]["namespace"] in ending]


def test_nothing_is_written_when_nothing_changes_and_nothing_after_a_crash(
    world: World, operator: OperatorProcess
) -> None:
    bots = [ready_world(world, name) for name in ("one",)]
    bots += [world.bot(name, symbols=[symbol]) for name, symbol in (("two", "NVDA"), ("three", "TSLA"))]
    for bot in bots:
        world.wait_for_children(bot)
        world.run(bot)
        world.wait_for_condition(bot, "Ready", "True", "Trading")
    # Other tests' namespaces are still going away; then five sweeps and as many reports without a write.
    eventually(lambda: not going_away(world), "no other test's bot is left", 180)
    operator.wait_until_calm(sweeps=5)
    versions = {(kind, bot): world.child(bot, kind)["metadata"]["resourceVersion"] for bot in bots for kind in CHILDREN}
    versions |= {("TradingBot", bot): world.get("TradingBot", bot)["metadata"]["resourceVersion"] for bot in bots}
    operator.kill()
    operator.start()
    assert operator.wait_until_calm() == 0
    for (kind, bot), version in versions.items():
        seen = world.get(kind, bot) if kind == "TradingBot" else world.child(bot, kind)
        assert seen["metadata"]["resourceVersion"] == version, (kind, bot)


def test_what_happened_while_the_operator_was_down_is_made_up_for(world: World, operator: OperatorProcess) -> None:
    bot, gone = ready_world(world), world.bot("gone", symbols=["NVDA"])
    world.wait_for_children(gone)
    operator.kill()
    world.api.delete("ConfigMap", f"{bot}-bot", world.namespace)
    world.api.delete("TradingBot", gone, world.namespace)
    world.bot("new", symbols=["NVDA"])
    operator.start()
    world.wait_for_children(bot)
    world.wait_for_children("new")
    eventually(lambda: world.get("BrokerAccount", "sim")["status"]["bots"] == ["momentum", "new"], "the account's bots")


def test_the_operator_ends_cleanly_on_sigterm(operator: OperatorProcess, world: World) -> None:
    assert operator.stop() == 0


def test_an_operator_dies_and_is_replaced_in_the_middle_of_making_children(
    world: World, operator: OperatorProcess
) -> None:
    world.account()
    for number in range(6):
        world.bot(f"bot-{number}", symbols=[f"SYM{number}"])
        operator.kill()
        operator.start()
    for number in range(6):
        world.wait_for_children(f"bot-{number}")
    assert len(world.api.list("StatefulSet", world.namespace)) == 6


def test_the_api_servers_words_reach_a_refused_caller(api: ApiServer) -> None:
    with pytest.raises(Refused) as refusal:
        api.get("TradingBot", "nobody", "default")
    assert refusal.value.code == 404
