"""The cluster with the operator installed (by `hack/tiers.py`, or by hand), and a namespace with a simulator."""

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from cache_folder import cache_folder
from e2e.lab import OPERATOR_NAMESPACE, RUNTIME_IMAGE, Cluster, Json, Lab, eventually

ROOT = Path(__file__).parents[2]
ACCOUNTS = tuple(f"paper-{number}" for number in range(1, 31))
SESSION_SECONDS = 60


def _key(account: str) -> str:
    return f"PK{account.upper()}"


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    kubeconfig = os.environ.get("KUBECONFIG") or _embedded_kubeconfig()
    kubectl = os.environ.get("KUBECTL") or _kubectl()
    cluster = Cluster(kubectl, Path(kubeconfig))
    eventually(lambda: cluster.run("get", "--raw", "/readyz"), "the API server answers")
    cluster.run("apply", "--server-side", "--force-conflicts", "-k", str(ROOT / "manifests/overlays/demo"))
    cluster.run("-n", OPERATOR_NAMESPACE, "scale", "deployment/tradingbot-operator", "--replicas=1")
    # The image has the same name whatever is in it: a cluster that is still there would go on with the old one.
    cluster.run("-n", OPERATOR_NAMESPACE, "rollout", "restart", "deployment/tradingbot-operator")
    rollout = ("-n", OPERATOR_NAMESPACE, "rollout", "status", "deployment/tradingbot-operator", "--timeout=300s")
    cluster.run(*rollout, timeout_seconds=310)
    return cluster


def _embedded_kubeconfig() -> str:
    script = str(ROOT / "hack/cluster/cluster.sh")
    return subprocess.run([script, "kubeconfig"], check=True, capture_output=True, text=True).stdout.strip()


def _kubectl() -> str:
    embedded = cache_folder() / "bin/kubectl"
    found = str(embedded) if embedded.exists() else shutil.which("kubectl")
    assert found, "no kubectl: run `hack/cluster/cluster.sh build`, or set KUBECTL"
    return found


@contextmanager
def _a_lab(cluster: Cluster, accounts: Mapping[str, str], *pace: str) -> Iterator[Lab]:
    """A restricted namespace with a simulator of its own, with accounts by name and kind; removed afterwards."""
    namespace = f"e2e-{uuid.uuid4().hex[:8]}"
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": restricted}})
    lab = Lab(cluster, namespace, tuple(accounts))
    try:
        cluster.apply(_simulator(namespace, accounts, pace))
        for account, kind in accounts.items():
            _account(lab, account, kind)
        rollout = ("-n", namespace, "rollout", "status", "deployment/simulator", "--timeout=300s")
        cluster.run(*rollout, timeout_seconds=310)
        yield lab
    finally:
        # Volumes that tests kept on purpose go with their namespace.
        cluster.run("delete", "namespace", namespace, "--wait=false")


@pytest.fixture(scope="session")
def lab(cluster: Cluster) -> Iterator[Lab]:
    """Thirty paper accounts, and a session in a minute."""
    with _a_lab(cluster, dict.fromkeys(ACCOUNTS, "paper"), f"--session-seconds={SESSION_SECONDS}") as lab:
        yield lab


@pytest.fixture(scope="session")
def race(cluster: Cluster) -> Iterator[Lab]:
    """One paper and one live account, and a session in six seconds, the settling of the day included."""
    with _a_lab(cluster, {"paper": "paper", "live": "live"}, "--session-seconds=5", "--minutes-after-close=90") as lab:
        yield lab


@pytest.fixture(autouse=True)
def _bots_end_with_their_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Two cores carry a few bots at a time, not all of the suite's."""
    yield
    for name in {"lab", "race"} & set(request.fixturenames):
        used: Lab = request.getfixturevalue(name)
        if used.bots:
            used.kubectl("delete", "bot", *used.bots, "--ignore-not-found", "--wait=false")
            used.bots.clear()


def _account(lab: Lab, account: str, kind: str) -> None:
    lab.apply(
        "Secret", account, stringData={"APCA_API_KEY_ID": _key(account), "APCA_API_SECRET_KEY": f"secret-of-{account}"}
    )
    lab.apply(
        "BrokerAccount",
        account,
        spec={
            "provider": "simulator",
            "environment": kind,
            "baseURL": f"http://simulator.{lab.namespace}.svc:8080",
            "credentialsSecretRef": {"name": account},
        },
    )


def _simulator(namespace: str, accounts: Mapping[str, str], pace: Sequence[str]) -> list[Json]:
    labels = {"app.kubernetes.io/name": "alpaca-simulator"}
    keys = [f"--account={name}:{kind}:{_key(name)}:secret-of-{name}" for name, kind in accounts.items()]
    # A session in seconds has the requests of a session: Alpaca's limit by the minute would stop them.
    args = ["serve", "--host=0.0.0.0", "--port=8080", "--requests-per-minute=0", *pace, *keys]
    container = {
        "name": "simulator",
        "image": RUNTIME_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["alpaca-simulator"],
        "args": args,
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "automountServiceAccountToken": False,
        "containers": [container],
    }
    metadata = {"name": "simulator", "namespace": namespace, "labels": labels}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": labels, "ports": [{"port": 8080}]},
        },
    ]
