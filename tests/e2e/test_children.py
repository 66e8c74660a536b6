"""The children of a bot: repaired, remade, removed with it, and its volume kept or not as the spec says."""

import pytest

from e2e.lab import Lab, eventually

CHILDREN = ("serviceaccount", "role", "rolebinding", "configmap", "service", "statefulset")


def test_drift_is_repaired_and_a_deleted_child_comes_back(lab: Lab) -> None:
    bot = lab.bot("cared-for", lab.account())
    lab.wait_for_condition(bot, "Ready", "True", timeout_seconds=120)
    name = f"{bot}-bot"
    lab.kubectl("patch", "configmap", name, "--type=merge", "-p", '{"data":{"bot.yaml":"tampered"}}')
    eventually(lambda: lab.get("configmap", name)["data"]["bot.yaml"] != "tampered", "the config is repaired", 30)
    for kind in CHILDREN:
        uid = lab.get(kind, name)["metadata"]["uid"]
        lab.kubectl("delete", kind, name)
        eventually(lambda kind=kind, uid=uid: lab.get(kind, name)["metadata"]["uid"] != uid, f"a new {kind}", 30)
    lab.wait_for_condition(bot, "Ready", "True", timeout_seconds=120)


@pytest.mark.parametrize(("reclaim", "kept"), [("Retain", True), ("Delete", False)])
def test_deleting_a_bot_removes_its_children_and_keeps_its_volume_or_not(lab: Lab, reclaim: str, kept: bool) -> None:
    bot = lab.bot(f"leaver-{reclaim.lower()}", lab.account(), storage={"size": "64Mi", "reclaim": reclaim})
    lab.wait_for_condition(bot, "Ready", "True", timeout_seconds=120)
    claim = f"state-{bot}-bot-0"
    assert lab.exists("persistentvolumeclaim", claim)
    lab.kubectl("delete", "bot", bot)
    for kind in (*CHILDREN, "pod"):
        name = lab.pod(bot) if kind == "pod" else f"{bot}-bot"
        eventually(lambda kind=kind, name=name: not lab.exists(kind, name), f"{kind} {name} is gone", 60)
    if kept:
        assert lab.exists("persistentvolumeclaim", claim)
    else:
        eventually(lambda: not lab.exists("persistentvolumeclaim", claim), "the volume is gone", 30)


def test_a_clean_stop_takes_less_than_five_seconds(lab: Lab) -> None:
    bot = lab.bot("stopper", lab.account())
    lab.wait_for_condition(bot, "Ready", "True", timeout_seconds=120)
    uid = lab.get("pod", lab.pod(bot))["metadata"]["uid"]
    lab.kubectl("delete", "pod", lab.pod(bot), "--grace-period=5", "--wait=true")
    # A process that had to be killed leaves exit code 137 in the kubelet's event, and its lock unreleased.
    events = lab.kubectl("get", "events", "--field-selector", f"involvedObject.uid={uid}", "-o", "jsonpath={..message}")
    assert "137" not in events
    lab.wait_for_condition(bot, "Ready", "True", timeout_seconds=120)
