"""A kill works with the operator dead: open orders go, no new ones come, and a restart changes nothing."""

import json
import subprocess
from collections.abc import Iterator
from datetime import datetime

import pytest

from e2e.lab import OPERATOR_NAMESPACE, Cluster, Lab, eventually

RESTING = {"execution": {"limitOffsetBps": -450}}
"""Entries wait 4.5 % below the price, so that there is something to cancel."""


@pytest.fixture
def no_operator(cluster: Cluster) -> Iterator[None]:
    scale = ("-n", OPERATOR_NAMESPACE, "scale", "deployment/tradingbot-operator")
    cluster.run(*scale, "--replicas=0")
    pods = ("-n", OPERATOR_NAMESPACE, "get", "pods", "-o", "name")
    eventually(lambda: not cluster.run(*pods).strip(), "the operator is gone", 60)
    try:
        yield
    finally:
        cluster.run(*scale, "--replicas=1")
        rollout = ("-n", OPERATOR_NAMESPACE, "rollout", "status", "deployment/tradingbot-operator", "--timeout=60s")
        cluster.run(*rollout, timeout_seconds=70)


def _with_resting_orders(lab: Lab, name: str, account: str, **spec: object) -> str:
    bot = lab.bot(name, account, **(RESTING | spec))
    eventually(lambda: lab.at_broker(account)["open_orders"], "open orders at the broker", 150)
    return bot


def test_a_kill_without_the_operator_and_over_a_restart(lab: Lab, request: pytest.FixtureRequest) -> None:
    account = lab.account()
    bot = _with_resting_orders(lab, "doomed", account)
    request.getfixturevalue("no_operator")

    lab.kubectl("annotate", "bot", bot, "tradingbots.dev/kill=now")

    eventually(lambda: not lab.at_broker(account)["open_orders"], "no open order at the broker", 10)
    report = eventually(lambda: (r := lab.report(bot))["kill"]["ordersCancelledAt"] and r, "the bot says so", 10)
    assert report["tradingState"] == "Halted"
    assert report["kill"]["reason"] == "now"
    sent = len(lab.requests(account))

    lab.kubectl("annotate", "bot", bot, "tradingbots.dev/kill-")  # a latch: taking the annotation away is no release
    lab.kubectl("delete", "pod", lab.pod(bot))
    restarted = eventually(
        lambda: (r := lab.report(bot))["startedAt"] > report["startedAt"] and r["marketOpen"] and r, "it is back", 90
    )
    assert restarted["kill"]["observedAt"] == report["kill"]["observedAt"]
    seen_at = restarted["marketTime"]
    eventually(lambda: _minutes_later(lab, bot, seen_at) >= 30, "half an hour of market time later", 90)
    assert len(lab.requests(account)) == sent
    assert not lab.at_broker(account)["open_orders"]


def _minutes_later(lab: Lab, bot: str, since: str) -> float:
    now = datetime.fromisoformat(lab.report(bot)["marketTime"])
    return (now - datetime.fromisoformat(since)).total_seconds() / 60


def test_the_operator_tells_what_happened(lab: Lab) -> None:
    account = lab.account()
    bot = _with_resting_orders(lab, "told", account)
    lab.kubectl("annotate", "bot", bot, "tradingbots.dev/kill=")  # any value, the empty one too
    lab.wait_for_condition(bot, "Killed", "True", timeout_seconds=30)
    status = eventually(lambda: (s := lab.status(bot)).get("kill", {}).get("ordersCancelledAt") and s, "verified", 60)
    assert status["kill"]["openOrders"] == 0
    assert status["tradingState"] == "Halted"
    _, row = lab.kubectl("get", "bots", bot).splitlines()
    assert "Halted" in row and "True" in row


def test_a_kill_on_the_account_reaches_its_bot_and_flattens(lab: Lab) -> None:
    account = lab.account()
    bot = lab.bot("flat", account, onKill="Flatten")
    eventually(lambda: lab.at_broker(account)["positions"], "a position at the broker", 180)
    eventually(lambda: lab.report(bot)["marketOpen"], "the market is open", 60)
    lab.kubectl("annotate", "brokeraccount", account, "tradingbots.dev/kill=everything")
    report = eventually(lambda: (r := lab.report(bot))["kill"] and r["kill"]["flatAt"] and r, "verified flat", 60)
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
    eventually(lambda: not lab.at_broker(account)["open_orders"], "no open order at the broker", 10)
