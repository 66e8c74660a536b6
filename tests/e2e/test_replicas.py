"""Two replicas on real pods: where the one that leads dies, the other goes on with the same bots."""

import signal
from collections.abc import Iterator

import pytest

from e2e.lab import OPERATOR_NAMESPACE, Cluster, Lab, eventually, processes_of_pod, signal_process

_DEPLOYMENT = "deployment/tradingbot-operator"
_TAKEN_OVER_WITHIN_SECONDS = 90
"""The Lease's 12 s, the kubelet's start of a container beside it, and a machine that does other work."""


@pytest.fixture
def two(cluster: Cluster) -> Iterator[Cluster]:
    def scale(replicas: int) -> None:
        cluster.run("-n", OPERATOR_NAMESPACE, "scale", _DEPLOYMENT, f"--replicas={replicas}")
        rollout = ("-n", OPERATOR_NAMESPACE, "rollout", "status", _DEPLOYMENT, "--timeout=300s")
        cluster.run(*rollout, timeout_seconds=310)

    scale(2)
    try:
        yield cluster
    finally:
        scale(1)


def _holder(cluster: Cluster) -> str:
    lease = cluster.get("lease", "tradingbot-operator", "-n", OPERATOR_NAMESPACE)
    return str(lease["spec"].get("holderIdentity", ""))


def _pods(cluster: Cluster) -> dict[str, str]:
    pods = cluster.get("pods", "-n", OPERATOR_NAMESPACE)["items"]
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in pods}


def test_where_the_leader_dies_the_other_one_goes_on(two: Cluster, lab: Lab) -> None:
    first = eventually(lambda: _holder(two), "a leader")
    uid = next(uid for name, uid in _pods(two).items() if name in first)
    for pid, command in processes_of_pod(uid):
        if "tradingbot-operator run" in command:
            signal_process(pid, signal.SIGKILL)
    bot = lab.bot("orphan", lab.account())
    eventually(
        lambda: lab.exists("statefulset", f"{bot}-bot"), "the other replica made its pod", _TAKEN_OVER_WITHIN_SECONDS
    )
    assert _holder(two) not in ("", first)
    eventually(lambda: lab.status(bot).get("observedGeneration"), "and tells of it")
