"""A bot's report is asked for often enough, checked before it is believed, and never waited for."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tradingbot_operator.cluster.reports import ReportBook, ReportPoller, Target
from tradingbot_operator.plan import ReportAnswer, ReportFailure, ReportPending
from tradingbot_operator.plan.objects import ObjectKey
from unit.operator.world import NOW, UID, a_report, answered

BOT = ObjectKey("TradingBot", "demo", "momentum")


def a_body(**changes: Any) -> bytes:
    return a_report(**changes).model_dump_json(by_alias=True).encode()


class Pod:
    """Answers as a pod would; `response` may be changed while it runs."""

    def __init__(self) -> None:
        self.response: Callable[[], web.StreamResponse] = lambda: web.Response(body=a_body())
        self.asked = 0

    async def handle(self, _: web.Request) -> web.StreamResponse:
        self.asked += 1
        return self.response()


@asynccontextmanager
async def polling(
    pod: Pod, *, kill_requested: bool = False, **options: Any
) -> AsyncIterator[tuple[ReportBook, list[ObjectKey]]]:
    app = web.Application()
    app.router.add_get("/status", pod.handle)
    async with TestServer(app, host="127.0.0.1") as server:
        book, changed = ReportBook(), []
        target = Target(BOT, UID, "pod-1", "127.0.0.1", kill_requested)
        poller = ReportPoller(
            book,
            lambda: [target],
            changed.append,
            lambda: NOW,
            interval_seconds=options.get("interval_seconds", 0.01),
            port=options.get("port", server.port),
        )
        task = asyncio.create_task(poller.run())
        try:
            yield book, changed
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(look: Callable[[], Any]) -> Any:
    async with asyncio.timeout(10):
        while not (seen := look()):  # noqa: ASYNC110 - anything may be looked at
            await asyncio.sleep(0.01)
    return seen


async def test_a_good_answer_is_kept_and_told_once() -> None:
    pod = Pod()
    async with polling(pod) as (book, changed):
        answer = await until(lambda: book.of("pod-1") if isinstance(book.of("pod-1"), ReportAnswer) else None)
        assert answer == ReportAnswer(a_report(), NOW)
        await until(lambda: pod.asked >= 3)
        assert changed == [BOT]


BAD: list[tuple[str, Callable[[], web.StreamResponse]]] = [
    ("NotReporting", lambda: web.Response(status=503)),
    ("NotReporting", lambda: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"})),
    ("InvalidReport", lambda: web.Response(text="no json")),
    ("InvalidReport", lambda: web.Response(text=json.dumps({"uid": UID}))),
    ("InvalidReport", lambda: web.Response(body=b" " * 300_000)),
    ("ForeignReport", lambda: web.Response(body=a_body(uid="another"))),
    ("ForeignReport", lambda: web.Response(body=a_body(name="another"))),
    ("ForeignReport", lambda: web.Response(body=a_body(namespace="another"))),
]


@pytest.mark.parametrize(("reason", "response"), BAD)
async def test_a_bad_answer_is_a_failure_with_a_reason(reason: str, response: Any) -> None:
    pod = Pod()
    pod.response = response
    async with polling(pod) as (book, changed):
        await until(lambda: changed)
        failure = book.of("pod-1")
        assert isinstance(failure, ReportFailure) and failure.reason == reason
        assert failure.last_answer is None


async def test_nobody_at_the_address_is_a_failure() -> None:
    async with polling(Pod(), port=1) as (book, changed):
        await until(lambda: changed)
        failure = book.of("pod-1")
        assert isinstance(failure, ReportFailure) and failure.message.endswith("connection refused")


async def test_a_failure_keeps_the_last_answer_and_is_no_news_at_first() -> None:
    pod = Pod()
    async with polling(pod) as (book, changed):
        await until(lambda: changed)
        pod.response = lambda: web.Response(status=500)
        failure = await until(lambda: book.of("pod-1") if isinstance(book.of("pod-1"), ReportFailure) else None)
        assert failure.last_answer == ReportAnswer(a_report(), NOW)
        assert changed == [BOT]
        asked = pod.asked
        await until(lambda: pod.asked > asked)
        assert book.of("pod-1").last_answer == failure.last_answer  # type: ignore[union-attr]


async def test_a_kill_that_was_asked_for_does_not_wait_for_the_next_round() -> None:
    pod = Pod()
    async with polling(pod, kill_requested=True, interval_seconds=3600) as (_, _changed):
        await until(lambda: pod.asked >= 2)


def test_news_is_what_a_decision_could_depend_on() -> None:
    book = ReportBook()
    assert book.of("pod") == ReportPending()
    assert book.record("pod", answered())
    assert not book.record("pod", answered())
    assert not book.record("pod", answered(marketTime="2026-01-01T00:00:00Z", lastBarAt="2026-01-01T00:00:00Z"))
    assert not book.record("pod", answered(lastReconciliation={"at": "later", "result": "Clean"}))
    assert book.record("pod", answered(lastReconciliation=None))
    assert book.record("pod", answered(filledOrders=9))
    fresh, stale = answered(seconds_ago=10), answered(seconds_ago=61)
    assert not book.record("pod", ReportFailure("NotReporting", "x", NOW, fresh))
    assert book.record("pod", ReportFailure("NotReporting", "x", NOW, stale))
    assert book.record("pod", ReportFailure("ForeignReport", "x", NOW, fresh))
    assert book.record("pod", ReportFailure("NotReporting", "x", NOW + timedelta(hours=1)))
    assert not book.record("pod", ReportPending())
    book.keep_only(set())
    assert book.of("pod") == ReportPending()
