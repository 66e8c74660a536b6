"""The children of a bot: repaired, remade, removed with it, and its volume kept or not as the spec says."""

import signal
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from e2e.lab import Json, Lab, eventually, signal_runtime

CHILDREN = ("serviceaccount", "role", "rolebinding", "configmap", "service", "statefulset")


def test_drift_is_repaired_and_a_deleted_child_comes_back(lab: Lab) -> None:
    bot = lab.bot("cared-for", lab.account())
    lab.wait_for_condition(bot, "Ready", "True", timeout_seconds=300)
    name = f"{bot}-bot"
    with pytest.raises(subprocess.CalledProcessError) as refused:
        lab.kubectl("patch", "configmap", name, "--type=merge", "-p", '{"data":{"bot.yaml":"tampered"}}')
    assert "written by the operator alone" in refused.value.stderr
    lab.kubectl("patch", "service", name, "--type=merge", "-p", '{"spec":{"publishNotReadyAddresses":false}}')
    eventually(lambda: lab.get("service", name)["spec"].get("publishNotReadyAddresses"), "the service is repaired")
    for kind in CHILDREN:
        uid = lab.get(kind, name)["metadata"]["uid"]
        lab.kubectl("delete", kind, name)
        eventually(lambda kind=kind, uid=uid: lab.get(kind, name)["metadata"]["uid"] != uid, f"a new {kind}")
    lab.wait_for_condition(bot, "Ready", "True", timeout_seconds=300)


@pytest.mark.parametrize(("reclaim", "kept"), [("Retain", True), ("Delete", False)])
def test_deleting_a_bot_removes_its_children_and_keeps_its_volume_or_not(lab: Lab, reclaim: str, kept: bool) -> None:
    bot = lab.bot(f"leaver-{reclaim.lower()}", lab.account(), storage={"size": "64Mi", "reclaim": reclaim})
    lab.wait_for_condition(bot, "Ready", "True", timeout_seconds=300)
    claim = f"state-{bot}-bot-0"
    assert lab.exists("persistentvolumeclaim", claim)
    lab.kubectl("delete", "bot", bot)
    for kind in (*CHILDREN, "pod"):
        name = lab.pod(bot) if kind == "pod" else f"{bot}-bot"
        eventually(lambda kind=kind, name=name: not lab.exists(kind, name), f"{kind} {name} is gone")
    if kept:
        assert lab.exists("persistentvolumeclaim", claim)
    else:
        eventually(lambda: not lab.exists("persistentvolumeclaim", claim), "the volume is gone")


def test_a_runtime_told_to_stop_ends_by_itself_within_five_seconds(lab: Lab) -> None:
    bot = lab.bot("stopper", lab.account())
    lab.wait_for_condition(bot, "Ready", "True", timeout_seconds=300)
    told_at = datetime.now(UTC)
    signal_runtime(lab, bot, signal.SIGTERM)
    ended = eventually(lambda: _last_end(lab, bot), "the container has ended")
    assert ended["exitCode"] == 0
    # The kubelet's times are to the full second.
    assert datetime.fromisoformat(ended["finishedAt"]) - told_at < timedelta(seconds=5)
    lab.wait_for_condition(bot, "Ready", "True", timeout_seconds=300)


def _last_end(lab: Lab, bot: str) -> Json | None:
    (container,) = lab.get("pod", lab.pod(bot))["status"]["containerStatuses"]
    ended: Json | None = container["lastState"].get("terminated") or container["state"].get("terminated")
    return ended


def test_a_bot_made_anew_does_not_take_over_another_one_s_books(lab: Lab) -> None:
    """The volume of a deleted bot is kept; a new bot of that name must not trade on it, killed as it may be."""
    account = lab.account()
    bot = lab.bot("reborn", account)
    lab.wait_for_condition(bot, "Ready", "True", timeout_seconds=300)
    lab.kubectl("delete", "bot", bot)
    eventually(lambda: not lab.exists("pod", lab.pod(bot)), "the pod is gone")
    lab.bot(bot, account)
    condition = lab.wait_for_condition(bot, "Ready", "False", "StateOfAnotherBot", timeout_seconds=300)
    assert f"state-{bot}-bot-0" in condition["message"]  # what to delete to begin anew
