"""A bot trades on through what is done to the operator's release: taken over, upgraded, rolled back, uninstalled."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.chart_tools import CHART, RELEASE, helm
from e2e.lab import OPERATOR_NAMESPACE, Cluster, Lab, eventually

ROOT = Path(__file__).parents[2]
_DEPLOYMENT = "deployment/tradingbot-operator"
#: The images that are built here, and reports as often as the other tests of this cluster expect them.
_HERE = "image.tag=dev,runtimeImage.tag=dev,operator.reportPollSeconds=3"


def _rolled_out(cluster: Cluster) -> None:
    rollout = ("-n", OPERATOR_NAMESPACE, "rollout", "status", _DEPLOYMENT, "--timeout=300s")
    cluster.run(*rollout, timeout_seconds=310)


@pytest.fixture
def release(cluster: Cluster) -> Iterator[Cluster]:
    """No release; afterwards the operator is there as the other tests know it."""
    yield cluster
    if RELEASE in _helm(cluster, "list", "--short"):
        _helm(cluster, "uninstall", RELEASE, "--wait", "--timeout=60s")
    cluster.run("apply", "--server-side", "--force-conflicts", "-k", str(ROOT / "manifests/overlays/demo"))
    _rolled_out(cluster)


def _helm(cluster: Cluster, *arguments: str) -> str:
    return helm(*arguments, "--namespace", OPERATOR_NAMESPACE, kubeconfig=cluster.kubeconfig)


def test_a_bot_trades_on_through_the_life_of_a_release(release: Cluster, lab: Lab) -> None:
    account = lab.account()
    bot = lab.bot("steady", account, timeframe="1Min", risk={"maxOrdersPerMinute": 200})
    eventually(lambda: lab.filled(account), "a filled order", 300)
    pod = lab.get("pod", lab.pod(bot))["metadata"]["uid"]
    started = lab.report(bot)["startedAt"]

    def trades_on(after: str) -> None:
        sent = len(lab.requests(account))
        eventually(lambda: len(lab.requests(account)) > sent, f"another order after {after}", 300)
        assert lab.get("pod", lab.pod(bot))["metadata"]["uid"] == pod
        assert lab.report(bot)["startedAt"] == started

    _helm(release, "install", RELEASE, str(CHART), "--take-ownership", "--set", f"{_HERE},replicas=1")
    _rolled_out(release)
    trades_on("the install")
    struck = lab.bot("struck", lab.account(), timeframe="1Min", risk={"maxOrdersPerMinute": 200})
    lab.wait_for_condition(struck, "Ready", "True", timeout_seconds=120)
    _helm(release, "upgrade", RELEASE, str(CHART), "--set", f"{_HERE},replicas=2,podAnnotations.example=upgraded")
    # While one release of the operator goes and the next comes.
    lab.kubectl("annotate", "bot", struck, "tradingbots.dev/kill=upgrade")
    eventually(lambda: (lab.report(struck)["kill"] or {}).get("ordersCancelledAt"), "killed amid the upgrade", 30)
    _rolled_out(release)
    lab.wait_for_condition(struck, "Killed", "True", "OrdersCancelled", timeout_seconds=60)
    assert lab.get("killrecord", f"{struck}-1")["status"]["confirmedBy"] == "Bot"
    trades_on("the upgrade")
    lab.wait_for_condition(bot, "PolicyEnforced", "True", "InPlace")
    _helm(release, "rollback", RELEASE, "1")
    _rolled_out(release)
    trades_on("the rollback")

    _helm(release, "uninstall", RELEASE, "--wait", "--timeout=60s")
    trades_on("the uninstall")
    lab.kubectl("annotate", "bot", bot, "tradingbots.dev/kill=now")
    killed = eventually(
        lambda: (kill := lab.report(bot)["kill"]) and kill["ordersCancelledAt"] and kill, "it is killed"
    )
    assert killed["reason"] == "now"
    assert lab.at_broker(account)["open_orders"] == []
