"""CRDs and operators of different releases on a real API server: the newer is refused, and the older still works."""

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from api_server import ApiServer, Json, eventually
from conftest import OPERATOR, OPERATOR_NAMESPACE
from operator_process import OperatorProcess
from world import CHILDREN, World

from tradingbot_api.group import CRD_VERSION, CRD_VERSION_LABEL

ROOT = Path(__file__).parents[2]
PREVIOUS = Path(__file__).parent / "previous/v0.1"
BOTS = "tradingbots.tradingbots.dev"
CONFIGURATION_ERROR = 78


def documents(folder: Path, pattern: str) -> list[Json]:
    return [yaml.safe_load(path.read_text()) for path in sorted(folder.glob(pattern))]


@pytest.fixture
def current(api: ApiServer, operator: OperatorProcess) -> Iterator[dict[str, Json]]:
    """The CRDs of this release, which are there again afterwards, with no operator until the test starts one."""
    operator.stop()
    definitions = {crd["metadata"]["name"]: crd for crd in documents(ROOT / "crds", "tradingbots.dev_*.yaml")}
    yield definitions
    for crd in definitions.values():
        api.apply(crd)


def newer(crd: Json) -> Json:
    """As a later release would have it: one field more, with a default, which every stored bot has at once."""
    later = copy.deepcopy(crd)
    later["metadata"]["labels"][CRD_VERSION_LABEL] = str(CRD_VERSION + 1)
    spec = later["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["novelty"] = {"type": "string", "default": "unheard of"}
    return later


def words(process: OperatorProcess, start: int = 0) -> str:
    return process.log.read_bytes()[start:].decode()


def test_a_running_operator_ends_when_newer_crds_come_and_does_not_start_again(
    api: ApiServer, operator: OperatorProcess, current: dict[str, Json]
) -> None:
    operator.start()
    start = operator.log.stat().st_size
    api.apply(newer(current[BOTS]))
    assert operator.ending() == CONFIGURATION_ERROR
    operator.launch()
    assert operator.ending() == CONFIGURATION_ERROR
    said = words(operator, start)
    assert said.count(f"{BOTS} has version {CRD_VERSION + 1}, and this operator knows versions up to") >= 2
    assert "run the operator of the release that the CRDs came with" in said
    assert "Traceback" not in said
    api.apply(current[BOTS])
    operator.start()


def test_a_spec_of_a_later_release_is_not_called_invalid(
    api: ApiServer, namespace: str, operator_kubeconfig: Path, tmp_path: Path, current: dict[str, Json]
) -> None:
    between_sweeps = 600
    process = OperatorProcess(operator_kubeconfig, tmp_path / "log", namespace=namespace, resync_seconds=between_sweeps)
    process.start()
    api.apply(newer(current[BOTS]))
    world = World(api, namespace)
    world.account()

    def has_the_new_field() -> bool:
        return "novelty" in world.get("TradingBot", world.bot("momentum"))["spec"]

    eventually(has_the_new_field, "the new schema is in force")
    assert process.ending() == CONFIGURATION_ERROR, words(process)
    conditions = world.get("TradingBot", "momentum").get("status", {}).get("conditions", [])
    assert "InvalidSpec" not in {condition["reason"] for condition in conditions}


def test_what_the_previous_release_stored_works_with_these_crds(
    api: ApiServer, namespace: str, operator: OperatorProcess, current: dict[str, Json]
) -> None:
    for crd in documents(PREVIOUS, "crd_*.yaml"):
        api.apply(crd)
    world = World(api, namespace)
    world.live_account("real")
    with api.as_service_account(OPERATOR_NAMESPACE, OPERATOR) as its_operator:
        for stored in documents(PREVIOUS, "[bt]*.yaml"):
            status = stored.pop("status")
            api.apply(stored, namespace)
            kind, name = stored["kind"], stored["metadata"]["name"]
            its_operator.patch(kind, name, {"status": status}, namespace, "status")

    start = operator.log.stat().st_size
    operator.start()
    assert f"{BOTS} has version 0, this operator was built with {CRD_VERSION}" in words(operator, start)
    for crd in current.values():
        api.apply(crd)
    world.wait_for_condition("momentum", "Ready", "False", "VolumePending")
    world.wait_for_children("momentum")
    for kind in CHILDREN:
        owner = world.child("momentum", kind)["metadata"]["ownerReferences"][0]
        assert owner["uid"] == world.get("TradingBot", "momentum")["metadata"]["uid"]
    bot = world.get("TradingBot", "momentum")
    (asked_for,) = documents(PREVIOUS, "trading_bot.yaml")
    assert {key: bot["spec"].get(key) for key in asked_for["spec"]} == asked_for["spec"]
    assert bot["status"]["observedGeneration"] == bot["metadata"]["generation"]
    world.wait_for_condition("sim", "Killed", "False", of="BrokerAccount")
    eventually(lambda: world.get("BrokerAccount", "sim")["status"]["bots"] == ["momentum"], "the account lists it")
    world.close()
