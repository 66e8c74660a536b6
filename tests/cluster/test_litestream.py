"""With `litestream.enabled` an API server with every policy takes the pod that streams its state, and only that."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from api_server import ApiServer, Json, Refused, eventually
from chart_tools import CHART, only, rendered
from operator_process import OperatorProcess
from test_children import content
from world import World, a_report

TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"


@contextmanager
def an_operator(kubeconfig: Path, namespace: str, log: Path) -> Iterator[OperatorProcess]:
    process = OperatorProcess(kubeconfig, log, namespace=namespace)
    process.start()
    try:
        yield process
    finally:
        process.stop()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment that the chart gives to the operator for its example."""
    deployment = only("Deployment", rendered("--values", str(CHART / "ci/litestream-values.yaml")))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    for one in container["env"]:
        if one["name"].startswith("TRADINGBOT_OPERATOR_LITESTREAM_"):
            monkeypatch.setenv(one["name"], one["value"])
    return monkeypatch


@pytest.fixture
def alone(api: ApiServer, namespace: str, operator: OperatorProcess) -> Iterator[World]:
    """A namespace that nobody looks after yet."""
    operator.stop()
    world = World(api, namespace)
    world.account()
    yield world
    world.close()


@contextmanager
def without_asking(asked: pytest.MonkeyPatch) -> Iterator[None]:
    with asked.context() as without:
        for name in [name for name in os.environ if "_LITESTREAM_" in name]:
            without.delenv(name)
        yield


def containers(pod: Json) -> dict[str, Json]:
    return {one["name"]: one for one in pod["spec"]["containers"]}


def mounts(container: Json) -> dict[str, Json]:
    return {one["mountPath"]: one for one in container["volumeMounts"]}


def test_the_pod_is_admitted_and_what_streams_has_no_token_and_no_key(
    alone: World, asked: pytest.MonkeyPatch, operator_kubeconfig: Path, tmp_path: Path
) -> None:
    with an_operator(operator_kubeconfig, alone.namespace, tmp_path / "log"):
        bot = alone.bot("momentum")
        # Made by the StatefulSet controller in a namespace that enforces Pod Security's level `restricted`.
        pod = alone.wait_for_pod(bot)
    assert list(containers(pod)) == ["bot", "litestream"]
    streaming = containers(pod)["litestream"]
    assert streaming["image"].startswith("litestream/litestream@sha256:0123")
    config = yaml.safe_load(next(one["value"] for one in streaming["env"] if one["name"] == "CONFIG"))
    references = {one["name"]: one["valueFrom"]["secretKeyRef"]["name"] for one in streaming["env"][1:]}
    assert references == {"AWS_ACCESS_KEY_ID": "litestream", "AWS_SECRET_ACCESS_KEY": "litestream"}
    volumes = {one["name"]: one for one in pod["spec"]["volumes"]}
    assert "emptyDir" in volumes[mounts(streaming)[TOKEN]["name"]]
    if TOKEN in mounts(containers(pod)["bot"]):  # where the API server puts tokens into pods at all
        assert "projected" in volumes[mounts(containers(pod)["bot"])[TOKEN]["name"]]
    (replica,) = [one["replica"] for one in config["dbs"]]
    assert replica["url"] == f"s3://trading-state/production/{alone.namespace}/momentum/paper"
    ports = [port["port"] for rule in alone.child(bot, "NetworkPolicy")["spec"]["egress"] for port in rule["ports"]]
    assert 9000 in ports


def test_what_streams_is_nobodys_to_change_but_the_operators(
    alone: World, asked: pytest.MonkeyPatch, operator_kubeconfig: Path, tmp_path: Path
) -> None:
    with an_operator(operator_kubeconfig, alone.namespace, tmp_path / "log"):
        bot = alone.bot("momentum")
        pod = alone.wait_for_pod(bot)

    def with_mine(spec: Json) -> Json:
        mine = {"litestream": {"image": "mine:1"}}
        return {"spec": {"containers": [one | mine.get(one["name"], {}) for one in spec["containers"]]}}

    template = alone.child(bot)["spec"]["template"]["spec"]
    writes = (
        ("StatefulSet", f"{bot}-bot", {"spec": {"template": with_mine(template)}}),
        ("Pod", pod["metadata"]["name"], with_mine(pod["spec"])),
    )
    for kind, name, change in writes:
        with pytest.raises(Refused, match=r"tradingbots\.dev/bot, live or producer"):
            alone.api.patch(kind, name, change, alone.namespace)


def test_a_bot_whose_companion_never_starts_is_asked_and_ready(
    alone: World, asked: pytest.MonkeyPatch, operator_kubeconfig: Path, tmp_path: Path
) -> None:
    with an_operator(operator_kubeconfig, alone.namespace, tmp_path / "log"):
        bot = alone.bot("momentum")
        alone.wait_for_pod(bot)
        runtime = alone.run(bot)
        said = {"imageID": "", "restartCount": 0}
        running = {"ready": True, "started": True, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
        waiting = {"ready": False, "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
        alone.set_pod_status(
            bot,
            # So the kubelet calls a pod of which one container never ran.
            phase="Pending",
            containerStatuses=[
                {"name": "bot", "image": "tradingbot-runtime:test", **said, **running},
                {"name": "litestream", "image": "litestream", **said, **waiting},
            ],
        )
        uid = alone.get("TradingBot", bot)["metadata"]["uid"]
        runtime.report = a_report(alone.namespace, bot, uid) | {"filledOrders": 8}
        eventually(lambda: alone.get("TradingBot", bot)["status"].get("filledOrders") == 8, "it is still asked")
        alone.wait_for_condition(bot, "Ready", "True")


def test_turned_on_and_off_again_a_bot_is_what_it_was(
    alone: World, asked: pytest.MonkeyPatch, operator_kubeconfig: Path, tmp_path: Path
) -> None:
    with without_asking(asked), an_operator(operator_kubeconfig, alone.namespace, tmp_path / "log"):
        bot = alone.bot("momentum")
        alone.wait_for_children(bot)
        alone.wait_for_pod(bot)
    kinds = ("StatefulSet", "ConfigMap", "NetworkPolicy")
    before = {kind: content(alone.child(bot, kind)) for kind in kinds}
    with an_operator(operator_kubeconfig, alone.namespace, tmp_path / "log"):
        eventually(lambda: "litestream" in containers(alone.child(bot)["spec"]["template"]), "it streams")
    with without_asking(asked), an_operator(operator_kubeconfig, alone.namespace, tmp_path / "log"):
        for kind in kinds:
            eventually(lambda kind=kind: content(alone.child(bot, kind)) == before[kind], f"{kind} is as before")
