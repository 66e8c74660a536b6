"""Every answer of the API server becomes one error whose name says what to do next."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.configuration import Configuration
from prometheus_client import REGISTRY

from tradingbot_operator.cluster import connection as module
from tradingbot_operator.cluster.apply import Applier
from tradingbot_operator.cluster.connection import (
    ApiError,
    ConflictError,
    Connection,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from tradingbot_operator.cluster.events import EventRecorder
from tradingbot_operator.cluster.ownership import as_applied
from tradingbot_operator.cluster.resources import RESOURCES
from tradingbot_operator.cluster.write_gate import NotLeadingError, WriteGate
from tradingbot_operator.plan import EventNote
from unit.operator.world import NOW, a_bot, plan

PODS = RESOURCES["Pod"]


class Api:
    """Records requests and answers from a list, the last answer for ever."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = [(200, {})]
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.user_agents: list[str] = []
        self.headers: dict[str, str] = {}

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        sent = json.loads(body) if body else None
        self.user_agents.append(request.headers["User-Agent"])
        self.requests.append((request.method, request.path, dict(request.query), sent))
        status, answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer == "hang":
            await asyncio.sleep(30)
        return web.Response(
            status=status, text=answer if isinstance(answer, str) else json.dumps(answer), headers=self.headers
        )

    @property
    def methods(self) -> list[str]:
        return [request[0] for request in self.requests]


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
async def connection(api: Api) -> AsyncIterator[Connection]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", api.handle)
    async with TestServer(app, host="127.0.0.1") as server:
        configuration = Configuration(host=f"http://127.0.0.1:{server.port}")
        configuration.api_key["BearerToken"] = "Bearer token"
        made = Connection(configuration)
        yield made
        await made.close()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, NotFoundError),
        (410, NotFoundError),
        (409, ConflictError),
        (400, RefusedError),
        (403, RefusedError),
        (422, RefusedError),
        (401, UnavailableError),
        (429, UnavailableError),
        (500, UnavailableError),
        (503, UnavailableError),
    ],
)
async def test_a_code_has_a_meaning(connection: Connection, api: Api, status: int, error: type[ApiError]) -> None:
    api.answers = [(status, {"message": "because"})]
    with pytest.raises(error) as raised:
        await connection.get(PODS, "demo", "x")
    assert (raised.value.message, raised.value.code) == ("because", status)


@pytest.mark.parametrize("words", ["failed to create typed patch object (a/b)", "failed to convert new object (a/b)"])
async def test_a_field_of_the_wrong_type_is_refused_whatever_its_code(
    connection: Connection, api: Api, words: str
) -> None:
    api.answers = [(500, {"message": f"{words}: expected map"})]
    with pytest.raises(RefusedError):
        await connection.get(PODS, "demo", "x")


async def test_an_apply_is_read_the_same_by_yaml(connection: Connection) -> None:
    said = "\U0001f525 \u0085 \u2028 \ufeff \\ud83d \x7f é"
    body = module._as_yaml({"metadata": {"annotations": {"why": said}}})
    assert yaml.safe_load(body) == {"metadata": {"annotations": {"why": said}}}


async def test_a_namespace_that_ends_is_as_good_as_gone(connection: Connection, api: Api) -> None:
    api.answers = [(403, {"details": {"causes": [{"reason": "NamespaceTerminating"}]}})]
    with pytest.raises(NotFoundError):
        await connection.create(PODS, "demo", {})


async def test_how_long_to_wait_is_passed_on(connection: Connection, api: Api) -> None:
    api.answers = [(429, {"details": {"retryAfterSeconds": 7}})]
    with pytest.raises(UnavailableError) as raised:
        await connection.get(PODS, "demo", "x")
    assert raised.value.retry_after_seconds == 7


async def test_a_429_without_a_body_says_how_long_to_wait_in_its_header(connection: Connection, api: Api) -> None:
    api.answers, api.headers = [(429, "Too many requests")], {"Retry-After": "3"}
    with pytest.raises(UnavailableError) as raised:
        await connection.get(PODS, "demo", "x")
    assert raised.value.retry_after_seconds == 3


async def test_a_429_pauses_the_writes_of_everyone(api: Api, connection: Connection) -> None:
    clock = 0.0
    gate = WriteGate(writes_per_second=100, clock=lambda: clock)
    gated = Connection(connection.configuration, gate)
    api.answers = [(429, {"details": {"retryAfterSeconds": 30}})]
    with pytest.raises(UnavailableError):
        await gated.get(PODS, "demo", "x")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await gated.create(PODS, "demo", {})
    assert api.methods == ["GET"]
    await gated.close()


async def test_a_write_that_the_lease_does_not_cover_is_never_sent(api: Api, connection: Connection) -> None:
    gate = WriteGate(writes_per_second=100, clock=lambda: 0.0, may_write=lambda: False)
    gated = Connection(connection.configuration, gate)
    await gated.get(PODS, "demo", "x")
    for write in (
        gated.create(PODS, "demo", {}),
        gated.delete(PODS, "demo", "x", uid="u"),
        gated.replace(PODS, "demo", "x", {}),
        gated.merge(PODS, "demo", "x", {}, manager="m"),
        gated.apply(PODS, {"metadata": {"namespace": "demo", "name": "x"}}, manager="m"),
    ):
        with pytest.raises(NotLeadingError):
            await write
    assert api.methods == ["GET"]
    await gated.close()


async def test_a_request_says_which_look_it_belongs_to(connection: Connection, api: Api) -> None:
    await connection.get(PODS, "demo", "x")
    with structlog.contextvars.bound_contextvars(reconcile="abc-1"):
        await connection.get(PODS, "demo", "x")
    first, second = api.user_agents
    assert first.startswith("tradingbot-operator/") and second == f"{first} reconcile/abc-1"


async def test_calls_are_counted_by_what_they_were_about(connection: Connection) -> None:
    before = calls("pods"), calls("deployments")
    await connection.get(PODS, "demo", "x")
    await connection.list(PODS)
    await connection.list(RESOURCES["StatefulSet"], namespace="demo")
    assert (calls("pods") - before[0], calls("deployments") - before[1]) == (2, 0)


def calls(plural: str) -> float:
    labels = {"verb": "GET", "resource": plural, "code": "200"}
    return REGISTRY.get_sample_value("tradingbot_operator_api_calls_total", labels) or 0.0


async def test_an_answer_that_is_no_json_still_has_a_message(connection: Connection, api: Api) -> None:
    api.answers = [(502, "bad gateway")]
    with pytest.raises(UnavailableError, match="answered with 502"):
        await connection.get(PODS, "demo", "x")


async def test_silence_is_unavailable(connection: Connection, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.answers = [(200, "hang")]
    with pytest.raises(UnavailableError, match="Timeout"):
        await connection._request("GET", "/x", timeout_seconds=0.05)


async def test_no_server_is_unavailable() -> None:
    nobody = Connection(Configuration(host="http://127.0.0.1:1"))
    with pytest.raises(UnavailableError):
        await nobody.get(PODS, "demo", "x")
    await nobody.close()


async def test_a_list_is_read_in_pages_and_its_items_say_what_they_are(connection: Connection, api: Api) -> None:
    pages = [{"metadata": {"continue": "more"}, "items": [{"n": 1}]}, {"metadata": {}, "items": [{"n": 2}]}]
    api.answers = [(200, page) for page in pages]
    items = await connection.list(PODS, namespace="demo", label_selector="a=b")
    assert [(item["n"], item["kind"], item["apiVersion"]) for item in items] == [(1, "Pod", "v1"), (2, "Pod", "v1")]
    assert [query.get("continue") for _, _, query, _ in api.requests] == [None, "more"]
    assert api.requests[0][2]["labelSelector"] == "a=b"


async def test_a_list_of_versions_is_read_in_pages(connection: Connection, api: Api) -> None:
    one, other = ({"metadata": {"namespace": "demo", "name": name, "resourceVersion": "7"}} for name in "ab")
    api.answers = [
        (200, {"metadata": {"resourceVersion": "9", "continue": "more"}, "items": [one]}),
        (200, {"metadata": {"resourceVersion": "9"}, "items": [other]}),
    ]
    pages = [page async for page in connection.versions(PODS, namespace="demo", label_selector="a=b")]
    assert [item.name for page in pages for item in page.items] == ["a", "b"]
    assert [query.get("continue") for _, _, query, _ in api.requests] == [None, "more"]
    assert api.requests[0][2]["labelSelector"] == "a=b"


async def test_a_list_of_versions_that_cannot_be_read_is_unavailable(connection: Connection, api: Api) -> None:
    api.answers = [(200, {"items": [{"metadata": {"name": "no version"}}]})]
    with pytest.raises(UnavailableError, match="no list of metadata"):
        [page async for page in connection.versions(PODS)]


async def test_a_delete_names_this_very_object(connection: Connection, api: Api) -> None:
    await connection.delete(PODS, "demo", "x", uid="u")
    assert api.requests[0][3]["preconditions"] == {"uid": "u"}
    assert api.requests[0][3]["propagationPolicy"] == "Background"


# ------------------------------------------------------------------------ apply


def a_child() -> Any:
    return next(child for child in plan().apply if child.kind == "ConfigMap")


def stored(child: Any, version: str = "7", **changes: Any) -> dict[str, Any]:
    document = json.loads(json.dumps(child.manifest)) | changes
    document["metadata"] |= {"uid": "u", "resourceVersion": version}
    return document


async def test_a_child_that_is_as_asked_is_not_written(connection: Connection, api: Api) -> None:
    child = a_child()
    applied = await Applier(connection).apply(child, stored(child))
    assert not applied.written and api.requests == []


async def test_a_child_that_nobody_saw_is_made_and_nothing_is_read(connection: Connection, api: Api) -> None:
    child = a_child()
    api.answers = [(201, stored(child))]
    applied = await Applier(connection).apply(child, None)
    assert applied.written and api.methods == ["POST"]
    # A field that nobody knows is refused, as an apply refuses it, instead of being dropped in silence.
    assert api.requests[0][2] == {
        "fieldManager": "tradingbot-operator",
        "fieldValidation": "Strict",
        "timeout": "5s",
    }
    assert api.requests[0][3] == child.manifest


async def test_an_object_that_nobody_saw_is_a_conflict(connection: Connection, api: Api) -> None:
    api.answers = [(409, {"message": "it already exists"})]
    with pytest.raises(ConflictError):
        await Applier(connection).apply(a_child(), None)
    assert api.methods == ["POST"]


async def test_drift_is_applied_to_this_very_object(connection: Connection, api: Api) -> None:
    child = a_child()
    api.answers = [(200, stored(child, "7")), (200, stored(child, "8"))]
    applied = await Applier(connection).apply(child, stored(child, data={"bot.yaml": "other"}))
    assert applied.written and api.methods == ["GET", "PATCH"]
    assert api.requests[1][2] == {"fieldManager": "tradingbot-operator", "force": "true", "timeout": "5s"}
    sent = api.requests[1][3]["metadata"]
    assert (sent["uid"], sent["resourceVersion"]) == ("u", "7")


async def test_what_is_not_what_was_seen_is_not_applied(connection: Connection, api: Api) -> None:
    child = a_child()
    api.answers = [(200, stored(child, "8"))]
    with pytest.raises(ConflictError):
        await Applier(connection).apply(child, stored(child, "7", data={"bot.yaml": "other"}))
    assert api.methods == ["GET"]


async def test_what_we_created_is_ours_by_apply_before_it_is_applied(connection: Connection, api: Api) -> None:
    child = a_child()
    created = stored(child, "7")
    created["metadata"]["managedFields"] = [managed("Update", {"f:data": {"f:bot.yaml": {}}})]
    api.answers = [(200, created), (200, stored(child, "8")), (200, stored(child, "9"))]
    await Applier(connection).apply(child, stored(child, "7", data={"bot.yaml": "other"}))
    assert api.methods == ["GET", "PATCH", "PATCH"]
    assert api.requests[1][3] == [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
        {
            "op": "replace",
            "path": "/metadata/managedFields",
            "value": [managed("Apply", {"f:data": {"f:bot.yaml": {}}})],
        },
    ]
    assert api.requests[2][3]["metadata"]["resourceVersion"] == "8"


def managed(operation: str, fields: dict[str, Any], manager: str = "tradingbot-operator") -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "fieldsV1": fields}


def test_what_is_ours_by_apply_and_by_update_is_ours_by_apply_once() -> None:
    theirs = managed("Update", {"f:spec": {"f:replicas": {}}}, manager="kubectl")
    status = managed("Update", {"f:status": {}}) | {"subresource": "status"}
    ours = [managed("Update", {"f:spec": {"f:a": {}, "f:b": {".": {}}}}), managed("Apply", {"f:spec": {"f:b": {}}})]
    merged = as_applied([theirs, *ours, status])
    assert merged == [managed("Apply", {"f:spec": {"f:a": {}, "f:b": {".": {}}}}), theirs, status]


def test_what_is_ours_by_apply_alone_stays_as_it_is() -> None:
    theirs = managed("Update", {"f:data": {}}, manager="kubectl")
    assert as_applied([managed("Apply", {"f:data": {}}), theirs]) is None
    assert as_applied([theirs]) is None and as_applied([]) is None


async def test_drift_that_comes_back_is_not_fought(connection: Connection, api: Api) -> None:
    child, applier = a_child(), Applier(connection)
    drifted = stored(child, "9", data={"bot.yaml": "a webhook's"})
    api.answers = [(200, drifted)]
    await applier.apply(child, drifted)
    assert api.methods == ["GET", "PATCH", "PATCH"]
    assert not (await applier.apply(child, drifted)).written
    assert len(api.requests) == 3
    changed = {**drifted, "metadata": {**drifted["metadata"], "resourceVersion": "10"}}
    api.answers = [(200, changed)]
    assert (await applier.apply(child, changed)).written


# ----------------------------------------------------------------------- events


async def test_an_event_is_told_once_and_never_fails(connection: Connection, api: Api) -> None:
    recorder = EventRecorder(connection, "pod-1")
    note = EventNote("Killed", "killed: now", warning=True, transition="Killed/True")
    for _ in range(3):
        await recorder.tell("TradingBot", a_bot(), note, NOW)
    assert api.methods == ["POST"]
    sent = api.requests[0][3]
    assert (sent["type"], sent["reason"], sent["regarding"]["name"]) == ("Warning", "Killed", "momentum")
    for status in (409, 403, 500):
        api.answers = [(status, {})]
        other = EventNote("Killed", "x", warning=False, transition=f"t{status}")
        await recorder.tell("TradingBot", a_bot(), other, NOW)


async def test_told_events_are_forgotten_in_time(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradingbot_operator.cluster.events._REMEMBERED", 2)
    recorder = EventRecorder(connection, "pod-1")
    for number in range(5):
        await recorder.tell("TradingBot", a_bot(), EventNote("r", "m", False, str(number)), NOW)
    assert len(recorder._told) == 2


async def test_credentials_come_from_the_pod_or_from_a_kubeconfig(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(
        json.dumps(
            {
                "current-context": "c",
                "clusters": [{"name": "k", "cluster": {"server": "https://example.test:6443"}}],
                "users": [{"name": "u", "user": {"token": "secret"}}],
                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            }
        )
    )
    monkeypatch.setattr("kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    loaded = await module.load_configuration()
    assert loaded.host == "https://example.test:6443"
    assert await module.authorization(loaded) == "Bearer secret"
    assert await module.authorization(Configuration()) == ""
