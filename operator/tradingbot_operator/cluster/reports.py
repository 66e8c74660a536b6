"""Asks the bots' pods how they are: GET http://POD_IP:8080/status, a few at a time, each with a limit on time and size.

Where that tells of a closed session that is not known, /sessions is asked as well.

A pod's answer is material to check, not to trust: one that speaks for another bot is refused by name.
Must never follow a redirect, and never ask an address that is not a running pod's own.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import aiohttp
import structlog
from pydantic import ValidationError

from tradingbot_api import ClosedSession, RuntimeReport
from tradingbot_operator.cluster.session_book import (
    SESSIONS_ASKED,
    SessionBook,
    SessionsRefused,
    checked_sessions,
)
from tradingbot_operator.metrics import REPORTS, SESSION_ANSWERS
from tradingbot_operator.plan import ReportAnswer, Reported, ReportFailure, ReportPending
from tradingbot_operator.plan.names import PORT
from tradingbot_operator.plan.objects import ObjectKey
from tradingbot_operator.plan.snapshot import REPORT_LIFETIME
from tradingbot_operator.plan.verdicts import FOREIGN_REPORT

_LOG = structlog.get_logger(__name__)

CONCURRENCY: Final = 32
TIMEOUT_SECONDS: Final = 3.0
BODY_LIMIT_BYTES: Final = 256 * 1024
SESSIONS_LIMIT_BYTES: Final = 1024 * 1024
"""400 sessions take less than half of that."""
IMPATIENT_SECONDS: Final = 1.0
"""Between two questions to a bot that is starting or has not confirmed a kill."""
IMPATIENT_QUESTIONS_A_SECOND: Final = 20.0
"""Of all such bots together: an answer costs a bot the time in which it would cancel and close."""
_IMPATIENT_ATTEMPTS: Final = 60
_TICK_SECONDS: Final = 0.5


@dataclass(frozen=True)
class Target:
    """One pod to ask."""

    bot: ObjectKey
    bot_uid: str
    pod_uid: str
    address: str
    kill_requested: bool


def impatient_seconds(count: int) -> float:
    """Between two questions to each of so many bots that are starting or have not confirmed a kill."""
    return max(IMPATIENT_SECONDS, count / IMPATIENT_QUESTIONS_A_SECOND)


class ReportBook:
    """The last answer of each pod, by the pod's uid."""

    def __init__(self) -> None:
        self._by_pod: dict[str, Reported] = {}
        self.sessions = SessionBook()

    def of(self, pod_uid: str) -> Reported:
        """What the pod last said."""
        return self._by_pod.get(pod_uid, ReportPending())

    def record(self, pod_uid: str, reported: Reported) -> bool:
        """Remembers an answer; True where something changed that a decision could depend on."""
        before = self._by_pod.get(pod_uid, ReportPending())
        self._by_pod[pod_uid] = reported
        return _changed(before, reported)

    def keep_only(self, pod_uids: set[str]) -> None:
        """Forgets pods that are gone."""
        for uid in self._by_pod.keys() - pod_uids:
            del self._by_pod[uid]
        self.sessions.keep_only(pod_uids)


def _changed(before: Reported, now: Reported) -> bool:
    if isinstance(now, ReportAnswer):
        return not isinstance(before, ReportAnswer) or _material(before.report) != _material(now.report)
    if isinstance(now, ReportFailure):
        last = now.last_answer
        # One unanswered question is no news while the last answer still counts.
        return last is None or now.reason == FOREIGN_REPORT or now.failed_at - last.read_at > REPORT_LIFETIME
    return False


def _material(report: RuntimeReport) -> RuntimeReport:
    last = report.last_reconciliation
    return report.model_copy(
        update={
            "market_time": None,
            "last_bar_at": None,
            "last_reconciliation": last.model_copy(update={"at": ""}) if last is not None else None,
        }
    )


class ReportPoller:
    """Asks every target in turn. `targets` says who there is to ask; `changed` is told whose answer is news."""

    def __init__(
        self,
        book: ReportBook,
        targets: Callable[[], Iterable[Target]],
        changed: Callable[[ObjectKey], None],
        now: Callable[[], datetime],
        *,
        interval_seconds: float,
        port: int = PORT,
    ) -> None:
        self._book = book
        self._targets = targets
        self._changed = changed
        self._now = now
        self._interval_seconds = interval_seconds
        self._port = port
        self._asked_at: dict[str, float] = {}
        self._attempts: dict[str, int] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(CONCURRENCY)

    async def run(self) -> None:
        """Polls until cancelled."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        connector = aiohttp.TCPConnector(limit=CONCURRENCY, force_close=True)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            try:
                while True:
                    self._tick(session)
                    await asyncio.sleep(_TICK_SECONDS)
            finally:
                for task in self._asking.values():
                    task.cancel()
                await asyncio.gather(*self._asking.values(), return_exceptions=True)

    def _tick(self, session: aiohttp.ClientSession) -> None:
        clock = asyncio.get_running_loop().time()
        targets = {target.pod_uid: target for target in self._targets()}
        self._book.keep_only(set(targets))
        for gone in self._asked_at.keys() - targets.keys():
            del self._asked_at[gone]
            self._attempts.pop(gone, None)
        impatient = {uid for uid, target in targets.items() if self._is_impatient(target)}
        soon = min(impatient_seconds(len(impatient)), self._interval_seconds)
        for uid, target in targets.items():
            wait = soon if uid in impatient else self._interval_seconds
            if uid not in self._asking and self._is_due(uid, wait, clock):
                self._asking[uid] = asyncio.create_task(self._ask(session, target))

    def _is_due(self, uid: str, wait_seconds: float, clock: float) -> bool:
        # Counted from the last question, so that a kill asked for since then shortens the wait at once.
        asked_at = self._asked_at.get(uid)
        return asked_at is None or clock - asked_at >= wait_seconds

    def _is_impatient(self, target: Target) -> bool:
        reported = self._book.of(target.pod_uid)
        answer = reported if isinstance(reported, ReportAnswer) else None
        if target.kill_requested and (answer is None or not _kill_is_confirmed(answer.report)):
            return True
        is_starting = answer is None or not answer.report.ready
        return is_starting and self._attempts.get(target.pod_uid, 0) < _IMPATIENT_ATTEMPTS

    async def _ask(self, session: aiohttp.ClientSession, target: Target) -> None:
        try:
            async with self._slots:
                self._asked_at[target.pod_uid] = asyncio.get_running_loop().time()
                reported = await self._question(session, target)
                self._take(target, reported)
                # Asked afterwards: what a bot says of its kill waits for nothing.
                if isinstance(reported, ReportAnswer) and not target.kill_requested:
                    await self._collect(session, target, reported.report)
        finally:
            del self._asking[target.pod_uid]

    def _take(self, target: Target, reported: Reported) -> None:
        uid = target.pod_uid
        is_ready = isinstance(reported, ReportAnswer) and reported.report.ready
        self._attempts[uid] = 0 if is_ready else self._attempts.get(uid, 0) + 1
        REPORTS.labels(result="answer" if isinstance(reported, ReportAnswer) else _result(reported)).inc()
        if self._book.record(uid, reported):
            self._changed(target.bot)

    async def _collect(self, session: aiohttp.ClientSession, target: Target, report: RuntimeReport) -> None:
        book, uid = self._book.sessions, target.pod_uid
        if not book.lacks(uid, report.last_session):
            return
        url = f"{self._address(target)}/sessions?limit={SESSIONS_ASKED}"
        body = await _get(session, url, SESSIONS_LIMIT_BYTES)
        if isinstance(body, _NoAnswer):
            answer: SessionsRefused | tuple[ClosedSession, ...] = SessionsRefused(body.reason, body.message)
        else:
            answer = checked_sessions(body, target.bot, target.bot_uid, report.mode)
        if isinstance(answer, SessionsRefused):
            SESSION_ANSWERS.labels(result=answer.reason).inc()
            _LOG.warning("sessions not taken", bot=str(target.bot), reason=answer.reason, message=answer.message)
            is_news = book.refuse(uid, answer.message[:256])
        else:
            SESSION_ANSWERS.labels(result="answer").inc()
            is_news = book.record(uid, report.mode, answer)
        if is_news:
            self._changed(target.bot)

    def _address(self, target: Target) -> str:
        return f"http://{_host(target.address)}:{self._port}"

    async def _question(self, session: aiohttp.ClientSession, target: Target) -> Reported:
        body = await _get(session, f"{self._address(target)}/status", BODY_LIMIT_BYTES)
        if isinstance(body, _NoAnswer):
            return self._failure(target, body.reason, body.message)
        return self._checked(target, body)

    def _checked(self, target: Target, body: bytes) -> Reported:
        try:
            report = RuntimeReport.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            return self._failure(target, "InvalidReport", f"{where}: {first['msg']}")
        if (report.uid, report.namespace, report.name) != (target.bot_uid, *_names(target.bot)):
            who = f"{report.namespace}/{report.name} (uid {report.uid})"
            return self._failure(
                target, FOREIGN_REPORT, f"the pod's report is that of {who}, not of this bot; it is ignored"
            )
        return ReportAnswer(report, self._now())

    def _failure(self, target: Target, reason: str, message: str) -> ReportFailure:
        before = self._book.of(target.pod_uid)
        if isinstance(before, ReportFailure):
            last = before.last_answer
        else:
            last = before if isinstance(before, ReportAnswer) else None
        return ReportFailure(reason, message[:512], self._now(), last)


def _names(bot: ObjectKey) -> tuple[str, str]:
    return bot.namespace, bot.name


def _result(reported: Reported) -> str:
    return reported.reason if isinstance(reported, ReportFailure) else "pending"


def _kill_is_confirmed(report: RuntimeReport) -> bool:
    return report.kill is not None and report.kill.orders_cancelled_at is not None


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_SECONDS:g} s"
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, ConnectionRefusedError):
        return "connection refused"
    return str(error) or type(error).__name__


@dataclass(frozen=True)
class _NoAnswer:
    reason: str
    message: str


async def _get(session: aiohttp.ClientSession, url: str, limit_bytes: int) -> bytes | _NoAnswer:
    try:
        async with session.get(url, allow_redirects=False) as response:
            body = await _bounded(response, limit_bytes)
            status = response.status
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return _NoAnswer("NotReporting", f"{url}: {_why(error)}")
    if status != 200:
        return _NoAnswer("NotReporting", f"{url} answered {status}")
    if body is None:
        return _NoAnswer("InvalidReport", f"the answer of {url} is longer than {limit_bytes} bytes")
    return body


async def _bounded(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes | None:
    body = bytearray()
    async for chunk in response.content.iter_chunked(16 * 1024):
        body += chunk
        if len(body) > limit_bytes:
            return None
    return bytes(body)
