"""What a sweep reads of the real API server: protobuf, with the same objects and versions as JSON."""

from pathlib import Path

import pytest
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import load_kube_config
from operator_process import OperatorProcess
from world import World

from tradingbot_operator.cluster import connection as connections
from tradingbot_operator.cluster.connection import Connection
from tradingbot_operator.cluster.resources import RESOURCES
from tradingbot_operator.cluster.version_lists import ListedVersion, VersionPage, read_page
from tradingbot_operator.plan.objects import name_of, namespace_of, resource_version


async def test_a_sweep_sees_every_object_and_its_version_without_json(
    world: World, operator: OperatorProcess, operator_kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[bytes] = []

    def read_and_remember(content: bytes) -> VersionPage:
        answers.append(content)
        return read_page(content)

    monkeypatch.setattr(connections, "read_page", read_and_remember)
    monkeypatch.setattr(connections, "VERSIONS_PAGE", 1)
    world.account("sim")
    for bot in ("alpha", "beta"):
        world.bot(bot, symbols=[bot.upper()])
        world.wait_for_children(bot)
    operator.wait_until_calm()
    configuration = Configuration()
    await load_kube_config(config_file=str(operator_kubeconfig), client_configuration=configuration)
    connection = Connection(configuration)
    seen = 0
    for resource in RESOURCES.values():
        pages = [page async for page in connection.versions(resource, namespace=world.namespace)]
        listed = [item for page in pages for item in page.items]
        expected = await connection.list(resource, namespace=world.namespace)
        assert listed == [ListedVersion(namespace_of(item), name_of(item), resource_version(item)) for item in expected]
        assert all(page.version == pages[0].version != "" for page in pages)
        seen += len(listed)
    await connection.close()
    assert seen > 15
    assert all(answer.startswith(b"k8s\0") for answer in answers)
