"""The closed sessions that the bots' pods gave at /sessions, checked before they are kept, by the pod's uid.

Kept as packed JSON, and unpacked only where somebody still needs it: a thousand bots with sixty sessions each take a
few megabytes and no time. Must never keep a session that speaks for another bot, nor an answer in which one session is
there twice.
"""

import zlib
from collections.abc import Iterable, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from pydantic import ValidationError

from tradingbot_api import ClosedSession, ClosedSessions, SessionMark
from tradingbot_operator.plan.conditions import parse_timestamp
from tradingbot_operator.plan.objects import ObjectKey
from tradingbot_operator.plan.producers import source_digest
from tradingbot_operator.plan.snapshot import CollectedSessions
from tradingbot_operator.plan.verdicts import FOREIGN_REPORT

SESSIONS_ASKED: Final = 400


@dataclass(frozen=True)
class SessionsRefused:
    """An answer at /sessions that does not count, and why."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class _Packed:
    source_digest: str
    began_at: datetime | None
    packed: bytes


@dataclass(frozen=True, slots=True)
class _Kept:
    mode: str
    newest: str
    sample: bytes
    """What the sessions are packed by: the first of them."""
    sessions: tuple[_Packed, ...]
    problem: str


class SessionBook:
    """The last sessions of each pod that could be believed, and why its last answer could not, if so."""

    def __init__(self) -> None:
        self._by_pod: dict[str, _Kept] = {}

    def of(
        self, pod_uid: str, *, recorded: Set[str] = frozenset(), since: datetime | None = None
    ) -> CollectedSessions | None:
        """What the pod gave, without the sessions whose source digest is `recorded` and those that began before
        `since`; None where it gave nothing yet.
        """
        kept = self._by_pod.get(pod_uid)
        if kept is None:
            return None
        sessions = tuple(
            ClosedSession.model_validate_json(zlib.decompressobj(zdict=kept.sample).decompress(one.packed))
            for one in kept.sessions
            if one.source_digest not in recorded and (since is None or one.began_at is None or one.began_at >= since)
        )
        return CollectedSessions(pod_uid, kept.mode, sessions, kept.problem)

    def lacks(self, pod_uid: str, mark: SessionMark | None) -> bool:
        """Whether the pod has closed a session that is not here."""
        kept = self._by_pod.get(pod_uid)
        return mark is not None and (kept is None or kept.newest != mark.digest)

    def record(self, pod_uid: str, mode: str, sessions: Iterable[ClosedSession]) -> bool:
        """Keeps an answer; True where it is news."""
        answer = tuple(sessions)
        sample = answer[0].model_dump_json(by_alias=True, exclude_none=True).encode() if answer else b""
        newest = answer[-1].digest if answer else ""
        return self._keep(pod_uid, _Kept(mode, newest, sample, tuple(_packed(one, sample) for one in answer), ""))

    def refuse(self, pod_uid: str, problem: str) -> bool:
        """Notes that an answer was not believed, and keeps what was before; True where that is news."""
        before = self._by_pod.get(pod_uid)
        if before is None:
            return self._keep(pod_uid, _Kept("", "", b"", (), problem))
        return self._keep(pod_uid, replace(before, problem=problem))

    def keep_only(self, pod_uids: set[str]) -> None:
        """Forgets pods that are gone."""
        for uid in self._by_pod.keys() - pod_uids:
            del self._by_pod[uid]

    def _keep(self, pod_uid: str, kept: _Kept) -> bool:
        before = self._by_pod.get(pod_uid)
        self._by_pod[pod_uid] = kept
        return before != kept


def _packed(session: ClosedSession, sample: bytes) -> _Packed:
    packing = zlib.compressobj(zdict=sample)
    packed = packing.compress(session.model_dump_json(by_alias=True, exclude_none=True).encode()) + packing.flush()
    return _Packed(source_digest(session), parse_timestamp(session.report.began_at), packed)


def checked_sessions(
    body: bytes, bot: ObjectKey, bot_uid: str, mode: str
) -> tuple[ClosedSession, ...] | SessionsRefused:
    """The sessions of a mode in an answer at /sessions, or why none of them counts.

    A session's digest covers what /sessions does not show (when the journal was written), so it is not computed again
    here: whether a report is true is for the audit to say, which asks the broker.
    """
    try:
        sessions = ClosedSessions.model_validate_json(body).sessions
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        return SessionsRefused("InvalidReport", f"/sessions: {where}: {first['msg']}")
    for session in sessions:
        report = session.report
        if (report.uid, report.namespace, report.name) != (bot_uid, bot.namespace, bot.name):
            who = f"{report.namespace}/{report.name} (uid {report.uid})"
            return SessionsRefused(FOREIGN_REPORT, f"/sessions holds a session of {who}, not of this bot")
    ours = tuple(one for one in sessions if one.report.mode == mode)
    days = [one.report.session for one in ours]
    if days != sorted(set(days)):
        return SessionsRefused("InvalidReport", "/sessions holds two reports of one session, or not oldest first")
    return ours
