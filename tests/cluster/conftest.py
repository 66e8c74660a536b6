"""A real API server for the whole run, with manifests/base in it, the operator, and a namespace for each test."""

import base64
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))

from api_server import PATHS, ApiServer, Refused, eventually, manifests
from operator_process import OperatorProcess
from world import World

ROOT = Path(__file__).parents[2]
OPERATOR_NAMESPACE = "tradingbot-system"
OPERATOR = "tradingbot-operator"
_CLUSTER = ROOT / "hack/cluster/cluster.sh"
_LET_GO = {"metadata": {"annotations": {"tradingbots.dev/skip-cancel-on-delete": "the test is over"}}}


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """TRADINGBOT_TEST_KUBECONFIG, or a control plane of our own that ends with this process."""
    given = os.environ.get("TRADINGBOT_TEST_KUBECONFIG")
    if given:
        yield Path(given)
        return
    folder = tmp_path_factory.mktemp("control-plane")
    up = [str(_CLUSTER), "control-plane-up", str(folder), "--parent-pid", str(os.getpid())]
    started = subprocess.run(up, stdout=subprocess.PIPE, text=True, check=True, timeout=1800)
    try:
        yield Path(started.stdout.strip().splitlines()[-1])
    finally:
        subprocess.run([str(_CLUSTER), "control-plane-down", str(folder)], check=True, timeout=60)


@pytest.fixture(scope="session")
def api(kubeconfig: Path) -> Iterator[ApiServer]:
    """The API server as its administrator sees it, with manifests/base in it but for the Deployment."""
    server = ApiServer(kubeconfig)
    eventually(lambda: server.list("Namespace"), "the API server answers")
    for document in manifests(ROOT / "manifests/base"):
        if document["kind"] != "Deployment":
            server.apply(document)
    for kind in (kind for kind, (group, _) in PATHS.items() if group.startswith("apis/tradingbots.dev/")):
        eventually(lambda kind=kind: server.list(kind) is not None, f"{kind} is served")
    for role in ("view", "edit", "admin"):
        eventually(lambda role=role: "tradingbots.dev" in str(server.get("ClusterRole", role)), f"ours are in {role}")
    yield server
    server.close()


@pytest.fixture(scope="session")
def operator_kubeconfig(api: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the operator's pod would have: its ServiceAccount's token, and nothing of the administrator's."""
    path = f"api/v1/namespaces/{OPERATOR_NAMESPACE}/serviceaccounts/{OPERATOR}/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 7200}}
    token = api.request("POST", path, request).document["status"]["token"]
    authority = base64.b64encode(api.ca_file.read_bytes()).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "operator",
        "clusters": [{"name": "c", "cluster": {"server": api.url, "certificate-authority-data": authority}}],
        "users": [{"name": "operator", "user": {"token": token}}],
        "contexts": [{"name": "operator", "context": {"cluster": "c", "user": "operator"}}],
    }
    file = tmp_path_factory.mktemp("operator") / "kubeconfig"
    file.write_text(yaml.safe_dump(document))
    return file


@pytest.fixture(scope="session")
def operator(operator_kubeconfig: Path) -> Iterator[OperatorProcess]:
    """The operator as a process of its own, for all namespaces."""
    process = OperatorProcess(operator_kubeconfig, operator_kubeconfig.parent / "operator.log")
    process.start()
    yield process
    process.stop()


@pytest.fixture
def namespace(api: ApiServer) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    eventually(lambda: api.exists("ServiceAccount", "default", name), "the namespace is set up")
    yield name
    if api.exists("Namespace", name):
        for bot in api.list("TradingBot", name):
            # A killed one whose pod is gone would be held, and the operator kept at it, for five minutes.
            with suppress(Refused):
                api.patch("TradingBot", bot["metadata"]["name"], _LET_GO, name)
        api.delete("Namespace", name)


@pytest.fixture
def world(api: ApiServer, namespace: str, operator: OperatorProcess) -> Iterator[World]:
    """Accounts and bots in the test's namespace, with the operator running."""
    operator.ensure_running()
    world = World(api, namespace)
    yield world
    world.close()


@pytest.fixture(autouse=True)
def operator_log(request: pytest.FixtureRequest) -> Iterator[None]:
    """Shows what the operator logged during a test that failed."""
    process: OperatorProcess | None = None
    if "operator" in request.fixturenames or "world" in request.fixturenames:
        process = request.getfixturevalue("operator")
    start = process.log.stat().st_size if process is not None and process.log.exists() else 0
    yield
    if process is not None:
        text = process.log.read_bytes()[start:].decode(errors="replace")
        sys.stdout.write(f"operator's log:\n{text}\n")
