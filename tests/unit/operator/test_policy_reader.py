"""The fences are read by name; silence changes nothing, and a refusal to show them is no fence."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.configuration import Configuration

from tradingbot_operator.cluster.connection import Connection, UnavailableError
from tradingbot_operator.cluster.policies import PolicyReader
from tradingbot_operator.plan.policies import NOT_READ

FILES = Path(__file__).parents[3] / "manifests/base/policies"
US = "system:serviceaccount:tradingbot-system:tradingbot-operator"
PLURALS = {
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}


class Api:
    """Serves the shipped policies, or one code for everything."""

    def __init__(self) -> None:
        documents = [entry for file in FILES.glob("*.yaml") for entry in yaml.safe_load_all(file.read_text())]
        self.objects: dict[str, Any] = {
            f"/apis/admissionregistration.k8s.io/v1/{PLURALS[entry['kind']]}/{entry['metadata']['name']}": entry
            for entry in documents
        }
        self.code = 200
        self.requests: list[str] = []
        self.refused_twice = asyncio.Event()

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append(f"{request.method} {request.path}")
        if self.code != 200 and len(self.requests) > 1:
            self.refused_twice.set()
        found = self.objects.get(request.path)
        code = self.code if found is not None else 404
        return web.json_response(found if code == 200 else {"message": "because"}, status=code)

    def drop(self, name: str) -> None:
        self.objects = {path: entry for path, entry in self.objects.items() if not path.endswith(name)}


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def changes() -> list[str]:
    return []


@pytest.fixture
def told() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
async def reader(api: Api, changes: list[str], told: asyncio.Event) -> AsyncIterator[PolicyReader]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", api.handle)
    claims = base64.urlsafe_b64encode(json.dumps({"sub": US}).encode()).decode().rstrip("=")
    async with TestServer(app, host="127.0.0.1") as server:
        configuration = Configuration(host=f"http://127.0.0.1:{server.port}")
        configuration.api_key["BearerToken"] = f"Bearer head.{claims}.signature"
        connection = Connection(configuration)

        def changed() -> None:
            changes.append(made.verdict.reason)
            told.set()

        made = PolicyReader(connection, changed)
        yield made
        await connection.close()


async def test_what_is_there_is_read_by_name_and_only_read(reader: PolicyReader, api: Api) -> None:
    assert reader.verdict == NOT_READ
    await reader.read()
    assert (reader.verdict.status.value, reader.verdict.reason) == ("True", "InPlace")
    assert sorted(api.requests) == sorted(f"GET {path}" for path in api.objects)


async def test_a_change_is_told_once(reader: PolicyReader, api: Api, changes: list[str]) -> None:
    await reader.read()
    await reader.read()
    api.drop("tradingbots-scale")
    await reader.read()
    await reader.read()
    assert changes == ["InPlace", "PolicyMissing"]


async def test_an_operator_that_may_not_look_knows_nothing(reader: PolicyReader, api: Api) -> None:
    await reader.read()
    api.code = 403
    await reader.read()
    assert (reader.verdict.status.value, reader.verdict.reason) == ("Unknown", "NotReadable")
    assert "cluster-role.yaml" in reader.verdict.message


async def test_silence_changes_nothing(reader: PolicyReader, api: Api, changes: list[str]) -> None:
    await reader.read()
    api.code = 503
    with pytest.raises(UnavailableError):
        await reader.read()
    assert (reader.verdict.reason, changes) == ("InPlace", ["InPlace"])


async def test_it_goes_on_looking_through_an_outage(
    reader: PolicyReader, api: Api, changes: list[str], told: asyncio.Event
) -> None:
    api.code = 503
    task = asyncio.create_task(reader.run(interval_seconds=0.01))
    try:
        async with asyncio.timeout(10):
            await api.refused_twice.wait()
            api.code = 200
            await told.wait()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert changes == ["InPlace"]
