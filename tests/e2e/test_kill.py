"""A kill works with the operator dead: open orders go, no new ones come, and a restart changes nothing."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from datetime import datetime

import pytest

from e2e.lab import OPERATOR_NAMESPACE, Cluster, Json, Lab, eventually

RESTING = {"execution": {"limitOffsetBps": -450}}
"""Entries wait 4.5 % below the price, so that there is something to cancel."""


@pytest.fixture
def no_operator(cluster: Cluster) -> Iterator[None]:
    scale = ("-n", OPERATOR_NAMESPACE, "scale", "deployment/tradingbot-operator")
    cluster.run(*scale, "--replicas=0")
    pods = ("-n", OPERATOR_NAMESPACE, "get", "pods", "-o", "name")
    eventually(lambda: not cluster.run(*pods).strip(), "the operator is gone")
    try:
        yield
    finally:
        cluster.run(*scale, "--replicas=1")
        rollout = ("-n", OPERATOR_NAMESPACE, "rollout", "status", "deployment/tradingbot-operator", "--timeout=300s")
        cluster.run(*rollout, timeout_seconds=310)


def _with_resting_orders(lab: Lab, name: str, account: str, **spec: object) -> str:
    bot = lab.bot(name, account, **(RESTING | spec))
    eventually(lambda: lab.at_broker(account)["open_orders"], "open orders at the broker", 300)
    return bot


def test_a_kill_without_the_operator_and_over_a_restart(lab: Lab, request: pytest.FixtureRequest) -> None:
    account = lab.account()
    bot = _with_resting_orders(lab, "doomed", account)
    request.getfixturevalue("no_operator")

    lab.kubectl("annotate", "bot", bot, "tradingbots.dev/kill=now")

    eventually(lambda: not lab.at_broker(account)["open_orders"], "no open order at the broker", 20)
    report = eventually(lambda: (r := lab.report(bot))["kill"]["ordersCancelledAt"] and r, "the bot says so", 20)
    assert report["tradingState"] == "Halted"
    assert report["kill"]["reason"] == "now"
    sent = len(lab.requests(account))

    lab.kubectl("annotate", "bot", bot, "tradingbots.dev/kill-")  # a latch: taking the annotation away is no release
    lab.kubectl("delete", "pod", lab.pod(bot))
    restarted = eventually(
        lambda: (r := lab.report(bot))["startedAt"] > report["startedAt"] and r["marketOpen"] and r, "it is back", 300
    )
    assert restarted["kill"]["observedAt"] == report["kill"]["observedAt"]
    seen_at = restarted["marketTime"]
    eventually(lambda: _minutes_later(lab, bot, seen_at) >= 30, "half an hour of market time later", 300)
    assert len(lab.requests(account)) == sent
    assert not lab.at_broker(account)["open_orders"]


def _minutes_later(lab: Lab, bot: str, since: str) -> float:
    now = datetime.fromisoformat(lab.report(bot)["marketTime"])
    return (now - datetime.fromisoformat(since)).total_seconds() / 60


def test_the_operator_tells_what_happened(lab: Lab) -> None:
    account = lab.account()
    bot = _with_resting_orders(lab, "told", account)
    lab.kubectl("annotate", "bot", bot, "tradingbots.dev/kill=")  # any value, the empty one too
    lab.wait_for_condition(bot, "Killed", "True")
    status = eventually(lambda: (s := lab.status(bot)).get("kill", {}).get("ordersCancelledAt") and s, "verified")
    assert status["kill"]["openOrders"] == 0
    assert status["tradingState"] == "Halted"
    _, row = lab.kubectl("get", "bots", bot).splitlines()
    assert "Halted" in row and "True" in row


def test_a_kill_on_the_account_reaches_its_bot_and_flattens(lab: Lab) -> None:
    account = lab.account()
    bot = lab.bot("flat", account, onKill="Flatten")
    eventually(lambda: lab.at_broker(account)["positions"], "a position at the broker", 300)
    eventually(lambda: lab.report(bot)["marketOpen"], "the market is open")
    lab.kubectl("annotate", "brokeraccount", account, "tradingbots.dev/kill=everything")
    report = eventually(lambda: (r := lab.report(bot))["kill"] and r["kill"]["flatAt"] and r, "verified flat", 300)
    assert report["kill"]["scope"] == "BrokerAccount"
    books = lab.at_broker(account)
    assert books["positions"] == [] and books["open_orders"] == []


def test_an_invalid_spec_does_not_shield_from_a_kill(lab: Lab) -> None:
    """The API server refuses it whole, and the annotation still goes through."""
    account = lab.account()
    bot = _with_resting_orders(lab, "shielded", account)
    with pytest.raises(subprocess.CalledProcessError):
        lab.kubectl("patch", "bot", bot, "--type=merge", "-p", json.dumps({"spec": {"capital": "-1"}}))
    lab.kubectl("annotate", "bot", bot, "tradingbots.dev/kill=now")
    eventually(lambda: not lab.at_broker(account)["open_orders"], "no open order at the broker", 20)


# ---------------------------------------------------------------- the latch, its end, and the Job


def _record(lab: Lab, bot: str, epoch: int) -> Json:
    return lab.get("killrecord", f"{bot}-{epoch}")


def _may_release(lab: Lab, user: str) -> None:
    group = "rbac.authorization.k8s.io"
    role = {"apiGroup": group, "kind": "ClusterRole", "name": "tradingbots-releaser"}
    lab.apply("RoleBinding", user, roleRef=role, subjects=[{"kind": "User", "apiGroup": group, "name": user}])


def _release(lab: Lab, bot: str, epoch: int, user: str) -> str:
    spec = {
        "action": "ReleaseKill",
        "botRef": {"name": bot, "uid": lab.get("tradingbot", bot)["metadata"]["uid"]},
        "killEpoch": epoch,
        "approver": user,
        "reason": "the feed is repaired",
    }
    metadata = {"name": f"{bot}-{uuid.uuid4().hex[:6]}", "namespace": lab.namespace}
    document = {"apiVersion": "tradingbots.dev/v1alpha1", "kind": "Approval", "metadata": metadata, "spec": spec}
    return lab.cluster.run("create", "-f", "-", f"--as={user}", document=json.dumps(document))


def test_a_kill_outlives_its_bot_and_ends_by_a_named_persons_word(lab: Lab) -> None:
    account = lab.account()
    bot = _with_resting_orders(lab, "revenant", account, storage={"reclaim": "Delete"})
    lab.kubectl("annotate", "bot", bot, "tradingbots.dev/kill=bad feed")
    lab.wait_for_condition(bot, "Killed", "True", "OrdersCancelled")
    record = eventually(lambda: (r := _record(lab, bot, 1)).get("status", {}).get("ordersCancelledAt") and r, "record")
    assert record["spec"]["reason"] == "bad feed"
    assert record["spec"]["requestedBy"] == "kubectl-annotate"
    assert record["status"]["confirmedBy"] == "Bot"

    lab.kubectl("delete", "bot", bot, "--timeout=200s")
    eventually(lambda: not lab.exists("pvc", "-l", f"tradingbots.dev/bot={bot}"), "its volume is gone")
    sent = len(lab.requests(account))
    lab.bot(bot, account, **RESTING, storage={"reclaim": "Delete"})
    report = eventually(lambda: (r := lab.report(bot))["kill"] and r["marketOpen"] and r, "it is born killed", 300)
    assert (report["kill"]["epoch"], report["kill"]["scope"], report["kill"]["reason"]) == (1, "KillRecord", "bad feed")
    lab.wait_for_condition(bot, "Killed", "True", "OrdersCancelled")

    with pytest.raises(subprocess.CalledProcessError):
        _release(lab, bot, 1, "mallory")
    _may_release(lab, "rita")
    assert len(lab.requests(account)) == sent
    eventually(lambda: _release(lab, bot, 1, "rita"), "rita's role counts")
    lab.wait_for_condition(bot, "Killed", "False", "Released")
    assert _record(lab, bot, 1)["status"]["releasedBy"]["approver"] == "rita"
    eventually(lambda: lab.report(bot)["tradingState"] == "Active", "it trades again", 300)
    fresh = eventually(lambda: lab.requests(account)[sent:], "a new order", 300)
    assert all("-p-1-" in one["client_order_id"] for one in fresh)

    lab.kubectl("annotate", "bot", bot, "tradingbots.dev/kill=again")
    eventually(lambda: _record(lab, bot, 2)["status"].get("ordersCancelledAt"), "the next kill is another one")
    # The record is written before the bot's own status.
    eventually(lambda: lab.status(bot)["kill"]["epoch"] == 2, "the bot's status says so")


def _run_image(lab: Lab, bot: str, image: str | None) -> None:
    lab.kubectl("patch", "bot", bot, "--type=merge", "-p", json.dumps({"spec": {"image": image}}))


def test_where_no_pod_answers_a_job_closes_everything_and_a_pod_that_wakes_up_sells_nothing_more(lab: Lab) -> None:
    account = lab.account()
    bot = lab.bot("frozen", account, onKill="Flatten", execution={"orderType": "market"})
    eventually(lambda: lab.at_broker(account)["positions"], "a position at the broker", 300)
    eventually(lambda: lab.report(bot)["marketOpen"], "the market is open")
    # A bad image is one of the reasons why no pod answers; the Job runs the operator's.
    _run_image(lab, bot, "tradingbot-runtime:nowhere")
    lab.wait_for_condition(bot, "Ready", "False", "ImagePullFailed")
    lab.kubectl("annotate", "bot", bot, "tradingbots.dev/kill=frozen")
    record = eventually(
        lambda: (r := _record(lab, bot, 1)).get("status", {}).get("flatAt") and r, "flat by the Job", 480
    )
    assert record["status"]["confirmedBy"] == "FlattenJob"
    books = lab.at_broker(account)
    assert books["positions"] == [] and books["open_orders"] == []
    # The record is written before the bot's own status.
    lab.wait_for_condition(bot, "Killed", "True", "Flat")
    _run_image(lab, bot, None)
    # Awake again it sees the kill; there is nothing left to sell, and it knows.
    eventually(lambda: (lab.report(bot)["kill"] or {}).get("flatAt"), "the bot says so, too", 300)
    held = [position for position in lab.at_broker(account)["positions"] if float(position["qty"])]
    assert held == []
    sold = sum(float(order["filled_qty"]) * (1 if order["side"] == "buy" else -1) for order in lab.orders(account))
    assert sold == 0
