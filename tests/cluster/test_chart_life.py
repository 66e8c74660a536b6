"""A release's life on a real API server: install, upgrade from the chart before, rollback, uninstall, install again.

On a control plane of its own, because names of the chart are the cluster's. No kubelet: pods are asked for and never
run, so the operator is a process beside it, with what the chart gives its ServiceAccount and nothing else.
"""

import base64
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from api_server import ApiServer, Json, Refused, eventually, manifests
from chart_tools import CHART, RELEASE, ROOT, Failed, helm, only, rendered
from operator_process import OperatorProcess
from world import World

SCRIPT = ROOT / "hack/cluster/cluster.sh"
#: What `helm package` made of the chart as the release before had it.
PREVIOUS = Path(__file__).parent / "previous/charts/tradingbot-operator-0.1.0.tgz"
SYSTEM = "trading-system"
OPERATOR = "tradingbot-operator"
BOTS = "tradingbots.tradingbots.dev"
CRDS = sorted(
    path.stem.partition("_")[2] + ".tradingbots.dev" for path in (ROOT / "crds").glob("tradingbots.dev_*.yaml")
)


class Release:
    """One release of the chart, and the operator that its ServiceAccount stands for."""

    def __init__(self, api: ApiServer, kubeconfig: Path, folder: Path) -> None:
        self.api = api
        self.folder = folder
        self.namespace = SYSTEM
        self._kubeconfig = kubeconfig

    def helm(self, *arguments: str) -> str:
        return helm(*arguments, "--namespace", self.namespace, kubeconfig=self._kubeconfig)

    def install(self, chart: Path = CHART, *arguments: str) -> None:
        self.helm("install", RELEASE, str(chart), "--create-namespace", *arguments)

    def uninstall(self) -> None:
        self.helm("uninstall", RELEASE, "--wait", "--timeout", "60s")

    @contextmanager
    def operator(self, namespace: str | None = None) -> Iterator[OperatorProcess]:
        process = OperatorProcess(self._credentials(), self.folder / "operator.log", namespace=namespace)
        process.start()
        try:
            yield process
        finally:
            process.stop()

    def _credentials(self) -> Path:
        path = f"api/v1/namespaces/{self.namespace}/serviceaccounts/{OPERATOR}/token"
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600},
        }
        authority = base64.b64encode(self.api.ca_file.read_bytes()).decode()
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "operator",
            "clusters": [{"name": "c", "cluster": {"server": self.api.url, "certificate-authority-data": authority}}],
            "users": [
                {
                    "name": "operator",
                    "user": {"token": self.api.request("POST", path, request).document["status"]["token"]},
                }
            ],
            "contexts": [{"name": "operator", "context": {"cluster": "c", "user": "operator"}}],
        }
        file = self.folder / "operator.kubeconfig"
        file.write_text(yaml.safe_dump(document))
        return file


@pytest.fixture(scope="module")
def own_kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("chart-control-plane")
    up = [str(SCRIPT), "control-plane-up", str(folder), "--parent-pid", str(os.getpid())]
    started = subprocess.run(up, stdout=subprocess.PIPE, text=True, check=True, timeout=1800)
    try:
        yield Path(started.stdout.strip().splitlines()[-1])
    finally:
        subprocess.run([str(SCRIPT), "control-plane-down", str(folder)], check=True, timeout=60)


@pytest.fixture(scope="module")
def own_api(own_kubeconfig: Path) -> Iterator[ApiServer]:
    server = ApiServer(own_kubeconfig)
    eventually(lambda: server.list("Namespace"), "the API server answers")
    yield server
    server.close()


@pytest.fixture
def release(own_api: ApiServer, own_kubeconfig: Path, tmp_path: Path) -> Iterator[Release]:
    """Not installed yet; what a release before it kept is still there, as after any uninstall."""
    release = Release(own_api, own_kubeconfig, tmp_path)
    yield release
    if RELEASE in release.helm("list", "--short"):
        release.uninstall()


@pytest.fixture
def make_world(own_api: ApiServer) -> Iterator[Callable[[str], World]]:
    """A namespace of that name, gone afterwards as far as there is anything in it."""
    worlds: list[World] = []

    def make(namespace: str) -> World:
        document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        own_api.apply(document)
        eventually(lambda: own_api.exists("ServiceAccount", "default", namespace), "the namespace is set up")
        worlds.append(World(own_api, namespace))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()
        for bot in own_api.list("TradingBot", world.namespace):
            # No operator is left that would take its finalizer off.
            own_api.patch("TradingBot", bot["metadata"]["name"], {"metadata": {"finalizers": None}}, world.namespace)
        own_api.delete("Namespace", world.namespace)


def uids(api: ApiServer, namespace: str) -> dict[tuple[str, str], str]:
    """Everything of a bot that must outlive what is done to a release."""
    kinds = (
        "TradingBot",
        "BrokerAccount",
        "StatefulSet",
        "PersistentVolumeClaim",
        "ConfigMap",
        "NetworkPolicy",
        "Role",
    )
    found = [(kind, one["metadata"]) for kind in kinds for one in api.list(kind, namespace)]
    found += [("CustomResourceDefinition", api.get("CustomResourceDefinition", name)["metadata"]) for name in CRDS[-1:]]
    ours = {(kind, one["name"]): one["uid"] for kind, one in found if one["name"] != "kube-root-ca.crt"}
    assert {kind for kind, _ in ours} == {*kinds, "CustomResourceDefinition"}
    return ours


def wait_until_served(api: ApiServer) -> None:
    """A schema that has just come or changed is not served for a moment (404, 429)."""
    for kind in ("TradingBot", "BrokerAccount", "PromotionGate", "PromotionEvidence", "Approval", "Attestation"):
        eventually(lambda kind=kind: [api.list(kind)], f"{kind} is served")


def wait_until_all_is_there(api: ApiServer, namespace: str, before: dict[tuple[str, str], str]) -> None:
    # What was ever gone would have another uid for good.
    eventually(lambda: uids(api, namespace) == before, f"everything of {namespace} is there as it was")


def schema(crd: Json) -> Json:
    found: Json = crd["spec"]["versions"][0]["schema"]
    return found


def deployed(api: ApiServer) -> Json:
    return api.get("Deployment", OPERATOR, SYSTEM)


def test_bots_schemas_and_volumes_outlive_upgrade_rollback_and_uninstall(
    release: Release, own_api: ApiServer, make_world: Callable[[str], World]
) -> None:
    old = rendered(chart=PREVIOUS)
    release.install(PREVIOUS)
    world = make_world("life")
    wait_until_served(own_api)
    world.account()
    bot = world.bot("momentum")
    asked_for = world.get("TradingBot", bot)

    release.helm("upgrade", RELEASE, str(CHART))
    assert [name for name in CRDS if not own_api.exists("CustomResourceDefinition", name)] == []
    wait_until_served(own_api)
    assert world.get("TradingBot", bot)["metadata"]["uid"] == asked_for["metadata"]["uid"]
    assert world.get("TradingBot", bot)["spec"].items() >= asked_for["spec"].items()

    # The operator of this release; that of the release before is not here to run.
    with release.operator():
        world.wait_for_children(bot)
        world.wait_for_condition(bot, "PolicyEnforced", "True", "InPlace")
        eventually(lambda: own_api.exists("PersistentVolumeClaim", "state-momentum-bot-0", "life"), "it has its claim")
        before = uids(own_api, "life")
        release.helm("upgrade", RELEASE, str(CHART), "--set", "replicas=1,operator.logLevel=debug")
        assert deployed(own_api)["spec"]["replicas"] == 1
        wait_until_all_is_there(own_api, "life", before)
        world.wait_for_condition(bot, "PolicyEnforced", "True", "InPlace")

    release.helm("rollback", RELEASE, "1")
    assert deployed(own_api)["spec"]["replicas"] == 2
    assert schema(own_api.get("CustomResourceDefinition", BOTS)) == schema(only("CustomResourceDefinition", old, BOTS))
    assert [name for name in CRDS if not own_api.exists("CustomResourceDefinition", name)] == []
    wait_until_all_is_there(own_api, "life", before)

    release.uninstall()
    assert not own_api.exists("Deployment", OPERATOR, SYSTEM)
    assert not own_api.exists("ClusterRole", OPERATOR)
    wait_until_all_is_there(own_api, "life", before)
    with own_api.as_user("somebody", "system:masters") as administrator, pytest.raises(Refused, match="operator alone"):
        administrator.patch("TradingBot", bot, {"status": {"effectiveMode": "live"}}, "life", "status")
    assert own_api.exists("ClusterRole", "tradingbots-duty")

    release.install()
    with release.operator():
        world.wait_for_condition(bot, "PolicyEnforced", "True", "InPlace")
        wait_until_all_is_there(own_api, "life", before)


def test_an_operator_of_some_namespaces_sees_those_and_no_other(
    release: Release, own_api: ApiServer, make_world: Callable[[str], World]
) -> None:
    inside, outside = make_world("inside"), make_world("outside")
    release.install(CHART, "--set", "watchNamespaces={inside}")
    wait_until_served(own_api)
    for world in (inside, outside):
        world.account()
        world.bot("momentum")
    with release.operator("inside"):
        inside.wait_for_children("momentum")
        inside.wait_for_condition("momentum", "PolicyEnforced", "True", "InPlace")
    assert "status" not in outside.get("TradingBot", "momentum")
    with own_api.as_service_account(SYSTEM, OPERATOR) as operator:
        for kind in ("TradingBot", "StatefulSet", "Pod", "ConfigMap"):
            with pytest.raises(Refused, match="forbidden"):
                operator.list(kind, "outside")
            with pytest.raises(Refused, match="forbidden"):
                operator.list(kind)


def test_a_second_release_is_refused(release: Release) -> None:
    release.install()
    with pytest.raises(Failed, match="exists and cannot be imported into the current release"):
        release.helm("install", "another", str(CHART))


def test_what_the_manifests_made_is_taken_over(release: Release, own_api: ApiServer) -> None:
    release.namespace = "tradingbot-system"
    made = list(manifests(ROOT / "manifests/base"))
    for document in made:
        own_api.apply(document)
    with pytest.raises(Failed, match="cannot be imported into the current release"):
        release.install()
    release.install(CHART, "--take-ownership")
    for document in made:
        kind, name = document["kind"], document["metadata"]["name"]
        if kind != "Namespace":
            metadata = own_api.get(kind, name, release.namespace)["metadata"]
            assert metadata["annotations"]["meta.helm.sh/release-name"] == RELEASE, (kind, name)
    with release.operator() as operator:
        assert operator.is_running
