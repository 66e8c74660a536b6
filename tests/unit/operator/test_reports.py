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

from tradingbot_api import ClosedSession, ClosedSessions
from tradingbot_operator.cluster.reports import ReportBook, ReportPoller, Target, impatient_seconds
from tradingbot_operator.plan import ReportAnswer, ReportFailure, ReportPending
from tradingbot_operator.plan.objects import ObjectKey
from tradingbot_operator.plan.snapshot import CollectedSessions
from unit.operator.evidence_world import a_session, sessions
from unit.operator.world import NOW, UID, a_report, answered

BOT = ObjectKey("TradingBot", "demo", "momentum")


def a_body(**changes: Any) -> bytes:
    return a_report(**changes).model_dump_json(by_alias=True).encode()


class Pod:
    """Answers as a pod would; `response` may be changed while it runs."""

    def __init__(self) -> None:
        self.response: Callable[[], web.StreamResponse] = lambda: web.Response(body=a_body())
        self.asked = 0
        self.sessions: Callable[[], web.StreamResponse] = lambda: web.Response(text='{"sessions": []}')
        self.asked_for_sessions: list[str] = []

    async def handle_sessions(self, request: web.Request) -> web.StreamResponse:
        self.asked_for_sessions.append(request.query_string)
        return self.sessions()

    async def handle(self, _: web.Request) -> web.StreamResponse:
        self.asked += 1
        return self.response()


@asynccontextmanager
async def polling(
    pod: Pod, *, kill_requested: bool = False, **options: Any
) -> AsyncIterator[tuple[ReportBook, list[ObjectKey]]]:
    app = web.Application()
    app.router.add_get("/status", pod.handle)
    app.router.add_get("/sessions", pod.handle_sessions)
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
    async with asyncio.timeout(60):
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


def test_many_bots_that_are_killed_at_once_share_the_questions() -> None:
    assert [impatient_seconds(count) for count in (1, 20, 50, 1000)] == [1, 1, 2.5, 50]


# ------------------------------------------------------------ closed sessions


def with_sessions(*closed: ClosedSession) -> Pod:
    """A pod that has closed these."""
    pod = Pod()
    newest = closed[-1]
    mark = {"session": newest.report.session, "digest": newest.digest}
    pod.response = lambda: web.Response(body=a_body(lastSession=mark))
    pod.sessions = lambda: web.Response(body=ClosedSessions(sessions=list(closed)).model_dump_json(by_alias=True))
    return pod


async def test_closed_sessions_are_asked_for_once_and_told() -> None:
    pod = with_sessions(*sessions(3))
    async with polling(pod) as (book, changed):
        await until(lambda: book.sessions.of("pod-1"))
        await until(lambda: pod.asked >= 4)
        assert book.sessions.of("pod-1") == CollectedSessions("pod-1", "paper", sessions(3))
        assert pod.asked_for_sessions == ["limit=400"]
        assert changed == [BOT, BOT]
        renewed = with_sessions(*sessions(4)[1:], a_session(0, pnl="7").model_copy(update={"digest": "new"}))
        pod.response, pod.sessions = renewed.response, renewed.sessions
        await until(lambda: len(pod.asked_for_sessions) == 2)


async def test_a_bot_that_has_closed_no_session_is_not_asked() -> None:
    pod = Pod()
    async with polling(pod) as (book, _):
        await until(lambda: pod.asked >= 4)
        assert pod.asked_for_sessions == [] and book.sessions.of("pod-1") is None


async def test_a_kill_is_not_kept_waiting_by_sessions() -> None:
    pod = with_sessions(*sessions(1))
    async with polling(pod, kill_requested=True, interval_seconds=3600) as (_, _changed):
        await until(lambda: pod.asked >= 2)
        assert pod.asked_for_sessions == []


async def test_sessions_of_the_other_mode_are_left_out() -> None:
    pod = with_sessions(a_session(1, mode="live"), a_session(0))
    async with polling(pod) as (book, _):
        collected = await until(lambda: book.sessions.of("pod-1"))
        assert collected.sessions == (a_session(0),)


BAD_SESSIONS: list[tuple[str, Callable[[], web.StreamResponse]]] = [
    ("answered 503", lambda: web.Response(status=503)),
    ("answered 302", lambda: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"})),
    ("JSON", lambda: web.Response(text="no json")),
    ("longer than", lambda: web.Response(body=b" " * 1_100_000)),
    ("not of this bot", lambda: with_sessions(a_session(uid="another")).sessions()),
    ("not of this bot", lambda: with_sessions(a_session(name="another")).sessions()),
    ("not of this bot", lambda: with_sessions(a_session(1), a_session(0, namespace="another")).sessions()),
    ("two reports of one", lambda: with_sessions(a_session(), a_session(pnl="9")).sessions()),
    ("oldest first", lambda: with_sessions(a_session(0), a_session(1)).sessions()),
]


@pytest.mark.parametrize(("problem", "answer"), BAD_SESSIONS)
async def test_sessions_that_cannot_be_believed_are_a_problem_and_what_was_known_stays(
    problem: str, answer: Callable[[], web.StreamResponse]
) -> None:
    pod = with_sessions(*sessions(2))
    async with polling(pod) as (book, changed):
        await until(lambda: book.sessions.of("pod-1"))
        pod.response = with_sessions(a_session(0).model_copy(update={"digest": "new"})).response
        pod.sessions = answer
        told = len(changed)
        collected = await until(lambda: (it := book.sessions.of("pod-1")) and it.problem and it)
        assert problem in collected.problem and collected.sessions == sessions(2)
        assert isinstance(book.of("pod-1"), ReportAnswer)
        await until(lambda: len(changed) > told)
        # It goes on asking, and believes again.
        good = with_sessions(*sessions(3)[:-1], a_session(0).model_copy(update={"digest": "new"}))
        pod.sessions = good.sessions
        await until(lambda: (it := book.sessions.of("pod-1")) and not it.problem)


def test_a_pod_that_is_gone_leaves_no_sessions() -> None:
    book = ReportBook()
    assert book.sessions.record("pod", "paper", sessions(2))
    assert not book.sessions.record("pod", "paper", sessions(2))
    assert book.sessions.refuse("pod", "why") and not book.sessions.refuse("pod", "why")
    assert book.sessions.refuse("other", "why")
    book.keep_only({"pod"})
    assert book.sessions.of("other") is None and book.sessions.of("pod") is not None


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
