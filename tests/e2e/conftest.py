"""The cluster with the operator installed (by `hack/tiers.py`, or by hand), and a namespace with a simulator."""

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

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
    eventually(lambda: cluster.run("get", "--raw", "/readyz"), "the API server answers", 30)
    cluster.run("apply", "--server-side", "--force-conflicts", "-k", str(ROOT / "manifests/overlays/demo"))
    cluster.run("-n", OPERATOR_NAMESPACE, "scale", "deployment/tradingbot-operator", "--replicas=1")
    # The image has the same name whatever is in it: a cluster that is still there would go on with the old one.
    cluster.run("-n", OPERATOR_NAMESPACE, "rollout", "restart", "deployment/tradingbot-operator")
    rollout = ("-n", OPERATOR_NAMESPACE, "rollout", "status", "deployment/tradingbot-operator", "--timeout=120s")
    cluster.run(*rollout, timeout_seconds=130)
    return cluster


def _embedded_kubeconfig() -> str:
    script = str(ROOT / "hack/cluster/cluster.sh")
    return subprocess.run([script, "kubeconfig"], check=True, capture_output=True, text=True).stdout.strip()


def _kubectl() -> str:
    cache = Path(os.environ.get("TRADINGBOT_CACHE") or Path.home() / ".cache/tradingbot-operator")
    embedded = cache / "bin/kubectl"
    found = str(embedded) if embedded.exists() else shutil.which("kubectl")
    assert found, "no kubectl: run `hack/cluster/cluster.sh build`, or set KUBECTL"
    return found


@pytest.fixture(scope="session")
def lab(cluster: Cluster) -> Iterator[Lab]:
    """A restricted namespace with a simulator of its own; removed afterwards."""
    namespace = f"e2e-{uuid.uuid4().hex[:8]}"
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": restricted}})
    lab = Lab(cluster, namespace, ACCOUNTS)
    try:
        cluster.apply(_simulator(namespace))
        for account in ACCOUNTS:
            _account(lab, account)
        rollout = ("-n", namespace, "rollout", "status", "deployment/simulator", "--timeout=90s")
        cluster.run(*rollout, timeout_seconds=100)
        yield lab
    finally:
        # Volumes that tests kept on purpose go with their namespace.
        cluster.run("delete", "namespace", namespace, "--wait=false")


@pytest.fixture(autouse=True)
def _bots_end_with_their_test(lab: Lab) -> Iterator[None]:
    """Two cores carry a few bots at a time, not all of the suite's."""
    yield
    if lab.bots:
        lab.kubectl("delete", "bot", *lab.bots, "--ignore-not-found", "--wait=false")
        lab.bots.clear()


def _account(lab: Lab, account: str) -> None:
    lab.apply(
        "Secret", account, stringData={"APCA_API_KEY_ID": _key(account), "APCA_API_SECRET_KEY": f"secret-of-{account}"}
    )
    lab.apply(
        "BrokerAccount",
        account,
        spec={
            "provider": "simulator",
            "environment": "paper",
            "baseURL": f"http://simulator.{lab.namespace}.svc:8080",
            "credentialsSecretRef": {"name": account},
        },
    )


def _simulator(namespace: str) -> list[Json]:
    labels = {"app.kubernetes.io/name": "alpaca-simulator"}
    accounts = [f"--account={name}:paper:{_key(name)}:secret-of-{name}" for name in ACCOUNTS]
    # A session in seconds has the requests of a session: Alpaca's limit by the minute would stop them.
    pace = [f"--session-seconds={SESSION_SECONDS}", "--requests-per-minute=0"]
    args = ["serve", "--host=0.0.0.0", "--port=8080", *pace, *accounts]
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
