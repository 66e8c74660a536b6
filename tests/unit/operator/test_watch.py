"""A watch misses nothing: it goes on where it was, and says so where it cannot."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradingbot_operator.cluster.connection import ApiError, NotFoundError, UnavailableError
from tradingbot_operator.cluster.resources import RESOURCES
from tradingbot_operator.cluster.version_lists import ListedVersion, VersionPage
from tradingbot_operator.cluster.watch import GapError, Watch
from tradingbot_operator.observer import Observer
from tradingbot_operator.plan.objects import ObjectKey, name_of, namespace_of, resource_version
from tradingbot_operator.queue import WorkQueue
from tradingbot_operator.store import POD, Store
from tradingbot_operator.sweep import Sweeper
from unit.operator.world import a_pod

PODS = RESOURCES[POD]
Told = list[bytes | ApiError]


class Server:
    """Answers each watch with the next of its scripts, and then with silence; lists what it is given."""

    def __init__(self, *scripts: Told) -> None:
        self.scripts = list(scripts)
        self.asked_from: list[str] = []
        self.pods: list[dict[str, Any]] = []
        self.silent = asyncio.Event()

    async def watch(self, resource: Any, *, version: str, **_: Any) -> AsyncIterator[bytes]:
        self.asked_from.append(version)
        if not self.scripts:
            self.silent.set()
            await asyncio.Event().wait()
        for told in self.scripts.pop(0):
            if isinstance(told, ApiError):
                raise told
            yield told

    async def pages(self, resource: Any, **_: Any) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
        yield "100", self.pods if resource.kind == POD else []

    async def versions(self, resource: Any, **_: Any) -> AsyncIterator[VersionPage]:
        pods = self.pods if resource.kind == POD else []
        listed = [ListedVersion(namespace_of(pod), name_of(pod), resource_version(pod)) for pod in pods]
        yield VersionPage("100", "", listed)

    async def get(self, resource: Any, namespace: str, name: str) -> dict[str, Any]:
        return next(pod for pod in self.pods if pod["metadata"]["name"] == name)


def line(kind: str, version: int, name: str = "a") -> bytes:
    raw = {"metadata": {"name": name, "namespace": "demo", "resourceVersion": str(version)}}
    return json.dumps({"type": kind, "object": raw}).encode() + b"\n"


def gone(code: int = 410) -> bytes:
    return json.dumps({"type": "ERROR", "object": {"code": code, "message": "too old"}}).encode() + b"\n"


def a_watch(server: Server) -> Watch:
    return Watch(server, PODS, namespace=None, label_selector="", version="1")  # type: ignore[arg-type]


async def versions_until_it_ends(watch: Watch) -> tuple[list[str], ApiError]:
    seen = []
    with pytest.raises(ApiError) as ended:
        async for event in watch.events():
            seen.append(event["object"]["metadata"]["resourceVersion"])
    return seen, ended.value


async def test_each_watch_goes_on_where_the_last_one_ended() -> None:
    server = Server([line("ADDED", 2), line("BOOKMARK", 7)], [line("DELETED", 9)], [gone()])
    seen, _ = await versions_until_it_ends(a_watch(server))
    assert seen == ["2", "9"]
    assert server.asked_from == ["1", "7", "9"]


async def test_a_watch_that_broke_off_misses_nothing_when_it_is_asked_again() -> None:
    server = Server([line("ADDED", 2), UnavailableError("lost")], [line("ADDED", 3), gone()])
    watch = a_watch(server)
    seen, why = await versions_until_it_ends(watch)
    assert seen == ["2"] and not isinstance(why, GapError)
    assert (await versions_until_it_ends(watch))[0] == ["3"]
    assert server.asked_from == ["1", "2"]


@pytest.mark.parametrize(
    "told",
    [
        gone(),
        gone(500),
        NotFoundError("expired", 410),
        b"no json\n",
        b"[]\n",
        b"{}\n",
        b'{"type": "ADDED", "object": {"metadata": {}}}\n',
        b'{"type": "ERROR", "object": 3}\n',
    ],
)
async def test_after_what_cannot_be_gone_on_from_there_is_a_gap(told: bytes | ApiError) -> None:
    _, why = await versions_until_it_ends(a_watch(Server([line("ADDED", 2), told])))
    assert isinstance(why, GapError)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 60), max_size=12), st.integers(1, 130))
def test_it_does_not_matter_where_the_stream_is_cut(cuts: list[int], events: int) -> None:
    stream = b"".join(line("ADDED", number, "ä") for number in range(2, 2 + events)) + gone()
    chunks: Told = []
    for cut in cuts:
        chunks.append(stream[:cut])
        stream = stream[cut:]
    chunks.append(stream)
    server_and_watch = versions_until_it_ends(a_watch(Server(chunks)))
    seen, why = asyncio.run(server_and_watch)
    assert seen == [str(number) for number in range(2, 2 + events)]
    assert isinstance(why, GapError)


async def test_after_a_gap_what_went_missing_is_found_by_a_list() -> None:
    server = Server([gone()], [])
    stays, leaves = dict(a_pod("stays")), dict(a_pod("leaves"))
    server.pods = [stays, leaves]
    store = Store()
    queue: WorkQueue[ObjectKey] = WorkQueue(lambda: 0.0, lambda _: False)
    sweeper = Sweeper(server, store, Observer(store, queue), None)  # type: ignore[arg-type]
    await sweeper.load()
    assert len(store.keys(POD)) == 2
    server.pods = [stays]
    following = asyncio.create_task(sweeper.follow(POD))
    await asyncio.wait_for(server.silent.wait(), 10)
    following.cancel()
    assert [key.name for key in store.keys(POD)] == ["stays-bot-0"]
    assert server.asked_from[0] == "100"
