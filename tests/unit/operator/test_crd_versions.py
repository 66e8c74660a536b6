"""CRDs that are newer stop the operator, older ones are named once, and each release can read the one before it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.configuration import Configuration

from tradingbot_api.crd import RESOURCES as API_RESOURCES
from tradingbot_api.crd import custom_resource_definition
from tradingbot_api.group import CRD_VERSION, CRD_VERSION_LABEL
from tradingbot_operator.cluster.connection import Connection, UnavailableError
from tradingbot_operator.cluster.crd_versions import CrdsTooNewError, CrdVersions, version_of
from tradingbot_operator.cluster.resources import OWN_KINDS, RESOURCES

ROOT = Path(__file__).parents[3]
PREVIOUS = ROOT / "tests/cluster/previous/v0.1"


def a_definition(version: str | None) -> dict[str, Any]:
    return {"metadata": {"labels": {} if version is None else {CRD_VERSION_LABEL: version}}}


@pytest.mark.parametrize(
    ("version", "number"), [(None, 0), ("", 0), ("7", 7), ("v2", CRD_VERSION + 1), ("-1", CRD_VERSION + 1)]
)
def test_a_version_that_is_no_number_is_a_later_one(version: str | None, number: int) -> None:
    assert version_of(a_definition(version)) == number


class Api:
    def __init__(self) -> None:
        self.status = 200
        self.version: str | None = str(CRD_VERSION)
        self.asked: list[str] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(request.path.rsplit("/", 1)[-1])
        return web.json_response(a_definition(self.version), status=self.status)


@pytest.fixture
async def served() -> AsyncIterator[tuple[Api, CrdVersions]]:
    api = Api()
    app = web.Application()
    app.router.add_get("/{tail:.*}", api.handle)
    async with TestServer(app, host="127.0.0.1") as server:
        connection = Connection(Configuration(host=f"http://127.0.0.1:{server.port}"))
        yield api, CrdVersions(connection)
        await connection.close()


async def test_every_kind_of_ours_is_asked_for(served: tuple[Api, CrdVersions]) -> None:
    api, crds = served
    with structlog.testing.capture_logs() as said:
        await crds.check()
    assert api.asked == [f"{RESOURCES[kind].plural}.tradingbots.dev" for kind in OWN_KINDS]
    assert said == []


async def test_newer_crds_are_refused(served: tuple[Api, CrdVersions]) -> None:
    api, crds = served
    api.version = str(CRD_VERSION + 1)
    with pytest.raises(CrdsTooNewError, match="run the operator of the release that the CRDs came with"):
        await crds.check()


@pytest.mark.parametrize(
    ("status", "version", "words"),
    [
        (200, None, "fields of this release are missing there"),
        (404, None, "is not there: apply"),
        (403, None, "apply the ClusterRole of this release"),
    ],
)
async def test_what_is_older_is_said_once_and_again_after_it_was_right(
    served: tuple[Api, CrdVersions], status: int, version: str | None, words: str
) -> None:
    api, crds = served
    api.status, api.version = status, version
    with structlog.testing.capture_logs() as said:
        await crds.check()
        await crds.check()
    assert len(said) == len(OWN_KINDS)
    assert all(words in line["event"] for line in said)
    api.status, api.version = 200, str(CRD_VERSION)
    await crds.check()
    api.status, api.version = status, version
    with structlog.testing.capture_logs() as said:
        await crds.check()
    assert len(said) == len(OWN_KINDS)


async def test_an_api_server_that_does_not_answer_is_not_an_older_crd(served: tuple[Api, CrdVersions]) -> None:
    api, crds = served
    api.status = 503
    with pytest.raises(UnavailableError):
        await crds.check()


def test_the_cluster_role_lets_the_operator_see_every_crd() -> None:
    (rule,) = [
        rule
        for rule in yaml.safe_load((ROOT / "manifests/base/cluster-role.yaml").read_text())["rules"]
        if rule["resources"] == ["customresourcedefinitions"]
    ]
    assert set(rule["resourceNames"]) >= {f"{RESOURCES[kind].plural}.tradingbots.dev" for kind in OWN_KINDS}
    assert rule["verbs"] == ["get"]


# ------------------------------------------------------------- what was stored

DEFINITIONS = {resource.kind: custom_resource_definition(resource) for resource in API_RESOURCES}
STORED = {crd["spec"]["names"]["kind"]: crd for crd in (yaml.safe_load(f.read_text()) for f in PREVIOUS.glob("crd_*"))}


def schema_of(crd: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    return found


def refused_now(before: dict[str, Any], now: dict[str, Any], path: str) -> list[str]:
    """Where the later schema takes less than the earlier one."""
    wrong = [f"{path}: {name} is needed" for name in set(now.get("required", [])) - set(before.get("required", []))]
    if "enum" in before:
        wrong += [f"{path}: no more {value}" for value in set(before["enum"]) - set(now.get("enum", before["enum"]))]
    if before.get("type") != now.get("type"):
        wrong.append(f"{path}: {before.get('type')} became {now.get('type')}")
    for bound in ("maximum", "maxLength", "maxItems"):
        if bound in now and (bound not in before or now[bound] < before[bound]):
            wrong.append(f"{path}: {bound} is tighter")
    for bound in ("minimum", "minLength", "minItems"):
        if bound in now and (bound not in before or now[bound] > before[bound]):
            wrong.append(f"{path}: {bound} is tighter")
    for name, child in before.get("properties", {}).items():
        if name not in now.get("properties", {}):
            wrong.append(f"{path}.{name} is gone")
        else:
            wrong += refused_now(child, now["properties"][name], f"{path}.{name}")
    if "items" in before:
        wrong += refused_now(before["items"], now.get("items", {}), f"{path}[]")
    return wrong


@pytest.mark.parametrize("kind", sorted(STORED))
def test_nothing_that_the_previous_release_stored_is_refused_now(kind: str) -> None:
    before, now = schema_of(STORED[kind]), schema_of(DEFINITIONS[kind])
    assert refused_now(before["spec"], now["spec"], "spec") == []
    assert refused_now(before["status"], now["status"], "status") == []


def test_the_comparison_would_notice() -> None:
    def part(**schema: Any) -> dict[str, Any]:
        return {"type": "object", "properties": {"a": {"type": "string", **schema}}}

    assert refused_now(part(), {"type": "object"}, "spec") == ["spec.a is gone"]
    assert refused_now(part(), {**part(), "required": ["a"]}, "spec") == ["spec: a is needed"]
    assert refused_now(part(enum=["x", "y"]), part(enum=["y"]), "spec") == ["spec.a: no more x"]
    assert refused_now(part(maxLength=9), part(maxLength=8), "spec") == ["spec.a: maxLength is tighter"]
    assert refused_now(part(), part(minLength=1), "spec") == ["spec.a: minLength is tighter"]
    assert refused_now({"items": {"type": "string"}}, {"items": {"type": "integer"}}, "x") == [
        "x[]: string became integer"
    ]
    assert refused_now(part(maxLength=9, enum=["x"]), part(maxLength=10, enum=["x", "y"]), "spec") == []


@pytest.mark.parametrize("kind", sorted(STORED))
def test_a_schema_that_changed_has_a_later_version(kind: str) -> None:
    if schema_of(STORED[kind]) != schema_of(DEFINITIONS[kind]):
        assert version_of(DEFINITIONS[kind]) > version_of(STORED[kind])
