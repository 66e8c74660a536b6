"""The bot watches its own TradingBot and BrokerAccount: a kill is seen at once, and a dead watch is noticed."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import SUBJECT
from tradingbot_api import KILL_ANNOTATION, PAUSE_ANNOTATION, BotIdentity, GrantRef
from tradingbot_runtime.control.kubernetes import ApiServer, KubernetesControl, NotInCluster
from tradingbot_runtime.control.observed import MAX_REQUEST_LENGTH
from tradingbot_runtime.control.port import ControlEvent, ControlPlaneFailed, ControlPlaneLost
from tradingbot_runtime.core.events import BotDeleted, ControlPlaneSeen, GrantSeen, KillSeen, PauseSeen

BOT = BotIdentity(namespace="demo", name="momentum", uid="uid-1")
GRANT = GrantRef(subject_digest=SUBJECT, epoch=1)
BASE = "/apis/tradingbots.dev/v1alpha1/namespaces/demo"
DEADLINE_SECONDS = 60.0


def manifest(name: str, uid: str = "uid-1", annotations: Any = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": uid, "annotations": annotations}, "spec": spec}


class Api:
    """An API server with a TradingBot and a BrokerAccount."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any] | None] = {
            "tradingbots": manifest("momentum"),
            "brokeraccounts": manifest("paper", "uid-2"),
        }
        self.version = 1
        self.watchers: dict[str, list[asyncio.Queue[dict[str, Any]]]] = {"tradingbots": [], "brokeraccounts": []}
        self.lists: dict[str, int] = {"tradingbots": 0, "brokeraccounts": 0}
        self.tokens: set[str] = set()
        self.refuse_with = 0
        self.gone = False
        self.mute = False
        self.odd_list: Any = None
        self.odd_lines: list[bytes] = []
        self.odd_lines_sent = 0

    def change(self, plural: str, manifest: dict[str, Any] | None, kind: str = "MODIFIED") -> None:
        self.version += 1
        before, self.objects[plural] = self.objects[plural], manifest
        for watcher in self.watchers[plural]:
            watcher.put_nowait({"type": kind, "object": manifest or before})

    async def answer(self, request: web.Request) -> web.StreamResponse:
        plural = request.match_info["plural"]
        name = {"tradingbots": "momentum", "brokeraccounts": "paper"}[plural]
        assert request.query["fieldSelector"] == f"metadata.name={name}"
        self.tokens.add(request.headers.get("Authorization", ""))
        if self.refuse_with:
            return web.Response(status=self.refuse_with, text="no")
        if "watch" in request.query:
            return await self._watch(request, plural)
        self.lists[plural] += 1
        if self.odd_list is not None:
            return web.json_response(self.odd_list)
        found = self.objects[plural]
        return web.json_response(
            {"metadata": {"resourceVersion": str(self.version)}, "items": [found] if found else []}
        )

    async def _watch(self, request: web.Request, plural: str) -> web.StreamResponse:
        assert request.query["allowWatchBookmarks"] == "true"
        response = web.StreamResponse()
        await response.prepare(request)
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.watchers[plural].append(queue)
        try:
            if self.gone:
                self.gone = False
                queue.put_nowait({"type": "ERROR", "object": {"code": 410}})
            if plural == "tradingbots" and self.odd_lines:
                await response.write(self.odd_lines.pop(0) + b"\n")
                self.odd_lines_sent += 1
            while True:
                event = await queue.get()
                if not self.mute:
                    await response.write(json.dumps(event).encode() + b"\n")
        finally:
            self.watchers[plural].remove(queue)


class Seen:
    """The events so far, and waiting for one."""

    def __init__(self) -> None:
        self.events: list[ControlEvent] = []
        self.changed = asyncio.Event()

    async def until(self, wanted: type[ControlEvent], times: int = 1) -> Any:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while len(self.of(wanted)) < times:
                self.changed.clear()
                await self.changed.wait()
        return self.of(wanted)[times - 1]

    def of(self, wanted: type[ControlEvent]) -> list[Any]:
        return [event for event in self.events if isinstance(event, wanted)]


@asynccontextmanager
async def watching(
    api: Api, token: Path | None = None, watch_seconds: float = 20.0, grant: GrantRef | None = None
) -> AsyncIterator[tuple[Seen, KubernetesControl]]:
    app = web.Application()
    app.router.add_get(f"{BASE}/{{plural}}", api.answer)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        control = KubernetesControl(
            ApiServer(url, token), BOT, "paper", rng=random.Random(1), watch_seconds=watch_seconds, grant=grant
        )
        seen = Seen()

        async def follow() -> None:
            async with aclosing(control.events()) as events:
                async for event in events:
                    seen.events.append(event)
                    seen.changed.set()

        task = asyncio.create_task(follow())
        try:
            yield seen, control
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110 (the fake server has no event for each of these)
            await asyncio.sleep(0.005)


async def until_watched(api: Api) -> None:
    await until(lambda: all(api.watchers.values()))


async def test_a_quiet_bot_is_seen_once_both_objects_were_read() -> None:
    async with watching(Api()) as (seen, _):
        await seen.until(ControlPlaneSeen)
    assert seen.events == [PauseSeen(False), ControlPlaneSeen()]


@pytest.mark.parametrize("value", ["now", "", "false", "0"])
@pytest.mark.parametrize(("plural", "scope"), [("tradingbots", "TradingBot"), ("brokeraccounts", "BrokerAccount")])
async def test_a_kill_with_any_value_is_seen_by_the_watch(plural: str, scope: str, value: str) -> None:
    api = Api()
    async with watching(api) as (seen, _):
        await seen.until(ControlPlaneSeen)
        await until_watched(api)
        name = "momentum" if plural == "tradingbots" else "paper"
        api.change(plural, manifest(name, annotations={KILL_ANNOTATION: value}))
        assert await seen.until(KillSeen) == KillSeen(reason=value, scope=scope)


async def test_a_kill_that_is_there_already_comes_before_the_control_plane_counts_as_seen() -> None:
    api = Api()
    api.objects["brokeraccounts"] = manifest("paper", annotations={KILL_ANNOTATION: "all"})
    async with watching(api) as (seen, _):
        await seen.until(ControlPlaneSeen)
    assert seen.events.index(KillSeen("all", "BrokerAccount")) < seen.events.index(ControlPlaneSeen())


async def test_a_pause_comes_and_goes() -> None:
    api = Api()
    async with watching(api) as (seen, _):
        await seen.until(ControlPlaneSeen)
        await until_watched(api)
        api.change("tradingbots", manifest("momentum", annotations={PAUSE_ANNOTATION: ""}))
        assert (await seen.until(PauseSeen, 2)).paused
        api.change("tradingbots", manifest("momentum", paused=True))
        api.change("tradingbots", manifest("momentum", paused=False))
        assert not (await seen.until(PauseSeen, 3)).paused


@pytest.mark.parametrize("how", ["deleted", "terminating", "another uid", "absent from the start"])
async def test_a_bot_that_goes_is_noticed(how: str) -> None:
    api = Api()
    if how == "absent from the start":
        api.objects["tradingbots"] = None
    async with watching(api) as (seen, _):
        await seen.until(ControlPlaneSeen)
        await until_watched(api)
        if how == "deleted":
            api.change("tradingbots", None, "DELETED")
        elif how == "terminating":
            leaving = manifest("momentum")
            leaving["metadata"]["deletionTimestamp"] = "2026-11-21T09:00:00Z"
            api.change("tradingbots", leaving)
        elif how == "another uid":
            api.change("tradingbots", manifest("momentum", uid="uid-9"))
        await seen.until(BotDeleted)
    assert len(seen.of(BotDeleted)) == 1


async def test_a_kill_on_a_bot_that_is_being_deleted_still_kills() -> None:
    api = Api()
    gone = manifest("momentum", uid="uid-9", annotations={KILL_ANNOTATION: "x"})
    api.objects["tradingbots"] = gone
    async with watching(api) as (seen, _):
        await seen.until(BotDeleted)
    assert seen.of(KillSeen)


async def test_a_watch_that_is_too_old_is_listed_again() -> None:
    api = Api()
    api.gone = True
    async with watching(api) as (seen, _):
        await seen.until(ControlPlaneSeen, 1)
        await until(lambda: sum(api.lists.values()) >= 3)
    assert seen.of(ControlPlaneLost) == []


async def test_a_watch_that_died_silently_is_noticed_by_the_next_list() -> None:
    api = Api()
    api.mute = True
    async with watching(api, watch_seconds=0.2) as (seen, _):
        await seen.until(ControlPlaneSeen)
        api.objects["tradingbots"] = manifest("momentum", annotations={KILL_ANNOTATION: "unseen by the watch"})
        assert (await seen.until(KillSeen)).reason == "unseen by the watch"


async def test_the_control_plane_is_seen_again_and_again() -> None:
    async with watching(Api(), watch_seconds=0.05) as (seen, _):
        await seen.until(ControlPlaneSeen, 3)
    assert len(seen.of(PauseSeen)) == 1


@pytest.mark.parametrize("status", [401, 403, 500])
async def test_an_api_server_that_refuses_is_lost_and_found_again(status: int) -> None:
    api = Api()
    api.refuse_with = status
    async with watching(api) as (seen, _):
        assert str(status) in (await seen.until(ControlPlaneLost)).reason
        assert seen.of(ControlPlaneSeen) == []
        api.refuse_with = 0
        await seen.until(ControlPlaneSeen)


async def test_the_token_is_read_anew(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    api = Api()
    async with watching(api, token, watch_seconds=0.05) as (seen, _):
        await seen.until(ControlPlaneSeen)
        token.write_text("second")
        await until(lambda: "Bearer second" in api.tokens)
    assert "Bearer first" in api.tokens


async def test_a_bot_that_nobody_can_read_says_so() -> None:
    control = KubernetesControl(ApiServer("http://127.0.0.1:1"), BOT, "paper", rng=random.Random(1))
    async with aclosing(control.events()) as events:
        async for event in events:
            assert isinstance(event, ControlPlaneLost)
            break


ODD_LINES = [
    b"[]",
    b"null",
    b"7",
    b'"kill"',
    b"{}",
    b"",
    b"{cut",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"type": [], "object": {}}',
    b'{"type": "MODIFIED", "object": []}',
    b'{"type": "MODIFIED", "object": {}}',
    b'{"type": "MODIFIED", "object": {"metadata": {"uid": ["uid-1"]}}}',
    b'{"type": "DELETED"}',
    b'{"type": "DELETED", "object": 7}',
    b'{"type": "ERROR", "object": []}',
    b'{"type": "ERROR", "object": {"code": {}}}',
    b'{"type": "A KIND THAT IS NEW", "object": {}}',
]


@pytest.mark.parametrize("line", ODD_LINES, ids=lambda line: repr(line[:60]))
async def test_a_line_that_cannot_be_read_is_said_and_the_kill_after_it_is_seen(line: bytes) -> None:
    api = Api()
    api.odd_lines = [line]
    async with watching(api) as (seen, _):
        assert "tradingbots/momentum" in (await seen.until(ControlPlaneLost)).reason
        api.change("tradingbots", manifest("momentum", annotations={KILL_ANNOTATION: "after it"}))
        assert (await seen.until(KillSeen)).reason == "after it"
    assert seen.of(BotDeleted) == []


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        {"items": None},
        {"items": "no"},
        {"items": [7]},
        {"items": [{}]},
        {"items": [{"metadata": []}]},
        {"items": [{"metadata": {"uid": ""}}], "metadata": 7},
    ],
)
async def test_a_list_that_cannot_be_read_is_no_word_that_the_bot_is_gone(answer: Any) -> None:
    api = Api()
    api.odd_list = answer
    async with watching(api) as (seen, _):
        await seen.until(ControlPlaneLost, 3)
        assert [event for event in seen.events if not isinstance(event, ControlPlaneLost)] == []
        api.odd_list = None
        await seen.until(ControlPlaneSeen)


async def test_a_kill_on_an_object_that_cannot_be_read_kills_all_the_same() -> None:
    api = Api()
    api.odd_list = {"items": [{"metadata": {"annotations": {KILL_ANNOTATION: ["odd"]}}}], "metadata": []}
    async with watching(api) as (seen, _):
        assert (await seen.until(KillSeen)).reason == "(list)"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(), max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KINDS = st.sampled_from(["ADDED", "MODIFIED", "BOOKMARK", "ERROR", "DELETED"]) | VALUES
METADATA = VALUES | st.fixed_dictionaries(
    {"uid": st.just("uid-1")}, optional={"annotations": VALUES, "deletionTimestamp": st.none(), "labels": VALUES}
)
OBJECTS = VALUES | st.fixed_dictionaries({"metadata": METADATA}, optional={"spec": VALUES, "status": VALUES})
LINES = st.one_of(
    st.binary(max_size=30).map(lambda line: line.replace(b"\n", b" ")),
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries({"type": KINDS, "object": OBJECTS}).map(lambda event: json.dumps(event).encode()),
)


async def seen_after(line: bytes) -> list[ControlEvent]:
    """Everything said when a watch says this, and there is a kill with odd words after it."""
    api = Api()
    api.odd_lines = [line]
    async with watching(api, grant=GRANT) as (seen, _):
        await until(lambda: api.odd_lines_sent)
        api.change("tradingbots", manifest("momentum", annotations={KILL_ANNOTATION: "stop\ud800\x07"}))
        async with asyncio.timeout(DEADLINE_SECONDS):
            while KillSeen("stop??", "TradingBot") not in seen.events:
                seen.changed.clear()
                await seen.changed.wait()
    return seen.events


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(LINES, min_size=15, max_size=15))
def test_whatever_a_watch_says_the_kill_after_it_is_seen_and_every_word_can_be_kept(lines: list[bytes]) -> None:
    async def play() -> list[list[ControlEvent]]:
        return await asyncio.gather(*(seen_after(line) for line in lines))

    for events in asyncio.run(play()):
        for event in events:
            words = [value for value in vars(event).values() if isinstance(value, str)]
            assert all(len(word) <= MAX_REQUEST_LENGTH and word.isprintable() for word in words)
            [word.encode() for word in words]


async def test_a_live_bots_grant_is_seen_before_the_control_plane_counts_as_seen_and_its_end_at_once() -> None:
    api = Api()
    live = manifest("momentum", mode="live") | {"status": {"grant": {"subjectDigest": SUBJECT, "epoch": 1}}}
    api.objects["tradingbots"] = live
    async with watching(api, grant=GRANT) as (seen, _):
        await seen.until(ControlPlaneSeen)
        assert seen.events.index(GrantSeen(granted=True)) < seen.events.index(ControlPlaneSeen())
        await until_watched(api)
        api.change("tradingbots", live | {"status": {}})
        assert await seen.until(GrantSeen, 2) == GrantSeen(granted=False, why="status.grant is absent")
        api.change("tradingbots", live | {"status": {}, "metadata": {**live["metadata"], "labels": {"a": "b"}}})
        api.change("tradingbots", live)
        assert (await seen.until(GrantSeen, 3)).granted


async def test_a_control_plane_that_cannot_be_read_says_nothing_of_the_grant() -> None:
    api = Api()
    api.refuse_with = 500
    async with watching(api, grant=GRANT) as (seen, _):
        await seen.until(ControlPlaneLost, 2)
    assert seen.of(GrantSeen) == []


async def test_a_follower_that_dies_ends_the_events_with_an_error() -> None:
    class Broken(random.Random):
        def random(self) -> float:
            raise RuntimeError("no jitter today")

    control = KubernetesControl(ApiServer("http://127.0.0.1:1"), BOT, "paper", rng=Broken(1))
    seen: list[ControlEvent] = []
    async with asyncio.timeout(DEADLINE_SECONDS), aclosing(control.events()) as events:
        with pytest.raises(ControlPlaneFailed, match="no jitter today"):
            async for event in events:
                seen.append(event)
    assert [type(event) for event in seen] in ([ControlPlaneLost], [ControlPlaneLost] * 2)


async def test_a_server_whose_watches_end_at_once_is_not_asked_without_pause() -> None:
    api = Api()
    api.odd_lines = [b"null"] * 1000
    async with watching(api) as (seen, _):
        await seen.until(ControlPlaneLost, 3)
        await asyncio.sleep(0.5)
    assert api.lists["tradingbots"] < 8


def test_the_api_server_is_the_pods(tmp_path: Path) -> None:
    server = ApiServer.in_cluster({"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}, tmp_path)
    assert (server.url, server.token_path) == ("https://[fd00::1]:6443", tmp_path / "token")
    with pytest.raises(NotInCluster, match="--control file:PATH"):
        ApiServer.in_cluster({})
