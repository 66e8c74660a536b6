"""Changed specs on a real API server: what restarts the pod, what does not, what is refused, and what is never lost."""

from typing import Any

import pytest
from api_server import Json, Refused, eventually
from world import World

CLAIM = "state-momentum-bot-0"


def a_settled_bot(world: World, **spec: Any) -> str:
    world.account()
    bot = world.bot("momentum", **spec)
    world.wait_for_children(bot)
    world.wait_for_pod(bot)
    return bot


def template(world: World, bot: str) -> Json:
    found: Json = world.child(bot)["spec"]["template"]
    return found


def observed(world: World, bot: str) -> None:
    """Waits until the operator has seen the spec as it is now."""

    def is_seen() -> bool:
        found = world.get("TradingBot", bot)
        return bool(found["status"].get("observedGeneration") == found["metadata"]["generation"])

    eventually(is_seen, f"the operator has seen {bot}'s spec")


RESTARTS: list[Json] = [
    {"image": "mine:2"},
    {"strategy": {"name": "momentum", "parameters": {"lookback": 30}}},
    {"symbols": ["AAPL", "NVDA"]},
    {"capital": "5000"},
    {"risk": {"maxPositions": 3}},
    {"onDelete": "Flatten"},
    {"resources": {"limits": {"memory": "1Gi"}}},
]


@pytest.mark.parametrize("change", RESTARTS, ids=[next(iter(change)) for change in RESTARTS])
def test_what_the_pod_has_to_know_anew_is_a_new_template_for_the_same_volume(world: World, change: Json) -> None:
    bot = a_settled_bot(world)
    before, uid = template(world, bot), world.child(bot)["metadata"]["uid"]
    claim = eventually(lambda: world.get("PersistentVolumeClaim", CLAIM), "a volume claim")["metadata"]["uid"]
    world.bot(bot, **change)
    eventually(lambda: template(world, bot) != before, "a new template")
    world.bot(bot)
    eventually(lambda: template(world, bot) == before, "the template as it was")
    assert world.child(bot)["metadata"]["uid"] == uid
    assert world.get("PersistentVolumeClaim", CLAIM)["metadata"]["uid"] == claim


LIVE_CHANGES: list[Json] = [
    {"paused": True},
    {"storage": {"size": "1Gi", "reclaim": "Delete"}},
    {"mode": "live", "gateRef": {"name": "g"}, "accounts": {"paper": "sim", "live": "real"}},
]


@pytest.mark.parametrize("change", LIVE_CHANGES, ids=[next(iter(change)) for change in LIVE_CHANGES])
def test_what_needs_no_restart_leaves_the_template_alone(world: World, change: Json) -> None:
    bot = a_settled_bot(world)
    before = template(world, bot)
    world.bot(bot, **change)
    observed(world, bot)
    assert template(world, bot) == before


def be_live(world: World, bot: str) -> None:
    """As the operator would once live trading was granted: nobody else may write a status."""
    path = f"apis/tradingbots.dev/v1alpha1/namespaces/{world.namespace}/tradingbots/{bot}/status"
    with world.api.as_service_account("tradingbot-system", "tradingbot-operator") as operator:
        status = {"status": {"effectiveMode": "live"}}
        operator.request("PATCH", path, status, "application/merge-patch+json")


def test_a_live_bots_account_cannot_be_changed_under_it(world: World) -> None:
    # In a namespace's life no operator grants this; without one running nobody takes it back meanwhile.
    live: Json = {"mode": "live", "gateRef": {"name": "g"}, "accounts": {"paper": "sim", "live": "real"}}
    bot = a_settled_bot(world, **live)
    other = live | {"accounts": {"paper": "sim", "live": "other"}}

    def is_refused() -> bool:
        be_live(world, bot)
        try:
            world.bot(bot, **other)
        except Refused as refused:
            assert refused.code == 422 and "spec.accounts.live cannot be changed while the bot is live" in str(refused)
            return True
        world.bot(bot, **live)
        return False

    eventually(is_refused, "a change of a live bot's account is refused")
    # Back to paper is always allowed, and then the account may change.
    be_live(world, bot)
    world.bot(bot, **live | {"mode": "paper"})
    eventually(lambda: world.get("TradingBot", bot)["status"]["effectiveMode"] == "paper", "the bot is on paper")
    world.bot(bot, **other)


# ---------------------------------------------------------------- storage


def bind(world: World, storage_class: str | None) -> None:
    """As a provisioner would."""
    eventually(lambda: world.get("PersistentVolumeClaim", CLAIM), "a volume claim")
    volume: Json = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": world.namespace},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": "/nowhere"},
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": world.namespace, "name": CLAIM},
            **({"storageClassName": storage_class} if storage_class else {}),
        },
    }
    world.api.create(volume)
    eventually(
        lambda: world.get("PersistentVolumeClaim", CLAIM).get("status", {}).get("phase") == "Bound", "it is bound", 60
    )


def test_a_volume_grows_with_the_spec(world: World) -> None:
    storage_class = f"grows-{world.namespace}"
    world.api.create(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": storage_class},
            "provisioner": "example.com/none",
            "allowVolumeExpansion": True,
        }
    )
    bot = a_settled_bot(world, storage={"size": "1Gi", "storageClassName": storage_class})
    world.bot(bot, storage={"size": "2Gi", "storageClassName": storage_class})
    world.wait_for_condition(bot, "StorageGrown", "False", "VolumeNotBound")
    bind(world, storage_class)

    def asked() -> Any:
        return world.get("PersistentVolumeClaim", CLAIM)["spec"]["resources"]["requests"]["storage"]

    eventually(lambda: asked() == "2Gi", "the claim asks for more")
    world.wait_for_condition(bot, "StorageGrown", "False", "Resizing")
    capacity = {"status": {"capacity": {"storage": "2Gi"}}}
    world.api.patch("PersistentVolumeClaim", CLAIM, capacity, world.namespace, "status")
    eventually(lambda: not world.condition(bot, "StorageGrown"), "nothing more to say")
    with pytest.raises(Refused, match="a volume only grows"):
        world.bot(bot, storage={"size": "1Gi", "storageClassName": storage_class})


def test_a_volume_that_cannot_grow_is_a_condition_and_blocks_nothing(world: World) -> None:
    bot = a_settled_bot(world)
    bind(world, None)
    world.bot(bot, storage={"size": "2Gi"}, image="mine:3")
    condition = world.wait_for_condition(bot, "StorageGrown", "False", "ResizeRefused")
    assert "allowVolumeExpansion" in condition["message"]
    eventually(lambda: template(world, bot)["spec"]["containers"][0]["image"] == "mine:3", "the new image")
    # Told after the condition that it is about.
    found = lambda: world.api.list("Event", world.namespace, fieldSelector="reason=ResizeRefused")  # noqa: E731
    events = eventually(found, "an event tells it")
    assert [event["type"] for event in events] == ["Warning"]


# ---------------------------------------------------------------- capital


def test_the_youngest_bot_waits_until_the_account_has_room(world: World) -> None:
    world.account(limits={"maxCapital": "15000"})
    elder = world.bot("elder", symbols=["AAPL"])
    world.wait_for_children(elder)
    younger = world.younger_bot("younger", than=elder, symbols=["NVDA"])
    condition = world.wait_for_condition(younger, "CapitalExceeded", "True", "AccountCapital")
    assert "limits.maxCapital" in condition["message"]
    world.wait_for_children(younger)
    assert world.child(younger)["spec"]["replicas"] == 0
    assert world.child(elder)["spec"]["replicas"] == 1
    eventually(lambda: world.get("BrokerAccount", "sim")["status"].get("committedCapital") == "20000", "the account")
    before = template(world, elder)
    world.account(limits={"maxCapital": "20000"})
    eventually(lambda: world.child(younger)["spec"]["replicas"] == 1, "there is room")
    assert template(world, elder) == before
    world.account(limits={"maxCapital": "19999"})
    eventually(lambda: world.child(younger)["spec"]["replicas"] == 0, "there is no room any more")
    world.api.delete("TradingBot", elder, world.namespace)
    eventually(lambda: world.child(younger)["spec"]["replicas"] == 1, "the elder is gone")
