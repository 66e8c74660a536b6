"""Sorts evidence: what counts for a subject, and of everything else why it does not.

Pure, and blind to order: the same evidence in any order gives the same ledger. Must never count what it cannot place.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final

from tradingbot_api import AuditResult, EvidenceType, PromotionEvidenceSpec, SessionReport
from tradingbot_operator.promotion.subject import Subject, is_from_the_future

LEAST_COVERAGE_PERCENT: Final = Decimal(95)


@dataclass(frozen=True)
class Evidence:
    """One PromotionEvidence object."""

    name: str
    spec: PromotionEvidenceSpec
    observed_at: datetime


@dataclass(frozen=True)
class CountedSession:
    """A session that counts, as the bot reported it and the broker's record confirmed it."""

    evidence: str
    report: SessionReport


@dataclass(frozen=True)
class Ledger:
    """The evidence of one subject."""

    sessions: tuple[CountedSession, ...] = ()
    """What counts, by date."""
    unclean: tuple[CountedSession, ...] = ()
    """Sessions of the subject that do not count, but in which the books had differed or the audit found something."""
    mismatches: Mapping[str, str] = field(default_factory=dict)
    """Evidence that the broker's record contradicts, or that contradicts itself, and how."""
    unaudited: tuple[str, ...] = ()
    """Sessions that would count if only their audit had come to an end."""
    validations: tuple[Evidence, ...] = ()
    """Newest first."""
    drills: tuple[Evidence, ...] = ()
    """Newest first."""
    preflights: tuple[Evidence, ...] = ()
    """Newest first."""
    set_aside: Mapping[str, str] = field(default_factory=dict)
    """Evidence that does not count, and why, by name."""


def ledger_of(evidence: Iterable[Evidence], subject: Subject, *, now: datetime, sessions_since: datetime) -> Ledger:
    """What counts of all the evidence about a bot. Sessions that closed before `sessions_since` are too old."""
    set_aside: dict[str, str] = {}
    sessions: list[Evidence] = []
    others: dict[EvidenceType, list[Evidence]] = {kind: [] for kind in EvidenceType}
    for one in sorted(evidence, key=lambda one: (one.observed_at, one.name)):
        foreign = _foreign(one, subject, now)
        if foreign is not None:
            set_aside[one.name] = foreign
        elif one.spec.type is not EvidenceType.SESSION:
            others[one.spec.type].append(one)
        elif one.observed_at < sessions_since:
            set_aside[one.name] = "too old: it closed before " + sessions_since.date().isoformat()
        else:
            sessions.append(one)
    return _with_sessions(sessions, others, set_aside)


def _foreign(one: Evidence, subject: Subject, now: datetime) -> str | None:
    """Why evidence is about something else than this subject; None when it is about it."""
    spec = one.spec
    account = subject.live_account if spec.type is EvidenceType.PREFLIGHT else subject.paper_account
    foreign = subject.why_foreign(spec.bot_ref.uid, spec.subject_digest)
    if foreign is not None:
        return foreign
    if spec.image != subject.image:
        return f"of another image: {spec.image}"
    if spec.account != account:
        return f"of another account: {spec.account}"
    if is_from_the_future(one.observed_at, now):
        return "from the future: a clock was wrong"
    if spec.provider == "simulator" and subject.live_provider != "simulator":
        return "from a simulator: it counts only for a bot whose live account is one, too"
    return None


def _with_sessions(
    sessions: list[Evidence], others: dict[EvidenceType, list[Evidence]], set_aside: dict[str, str]
) -> Ledger:
    counted: list[CountedSession] = []
    unclean: list[CountedSession] = []
    unaudited: list[str] = []
    mismatches: dict[str, str] = {}
    by_day: dict[str, list[Evidence]] = {}
    for one in sessions:
        by_day.setdefault(_session(one)[0].session, []).append(one)
    for day, same_day in sorted(by_day.items()):
        one = same_day[0]
        if len({other.spec.source_digest for other in same_day}) > 1:
            for other in same_day:
                mismatches[other.name] = f"{day}: two reports of the same session that differ"
            continue
        for other in same_day[1:]:
            set_aside[other.name] = f"the same as {one.name}"
        report, audit, why = _session(one)
        mine = CountedSession(one.name, report)
        if audit is AuditResult.MISMATCH:
            mismatches[one.name] = f"{day}: {why}"
            unclean.append(mine)
        elif (unfit := _unfit(report)) is not None:
            set_aside[one.name] = unfit
            unclean += [mine] if report.reconciliations.mismatch else []
        elif audit is AuditResult.UNKNOWN:
            unaudited.append(one.name)
        else:
            counted.append(mine)
    return Ledger(
        sessions=tuple(counted),
        unclean=tuple(unclean),
        mismatches=mismatches,
        unaudited=tuple(unaudited),
        validations=tuple(reversed(others[EvidenceType.VALIDATION])),
        drills=tuple(reversed(others[EvidenceType.DRILL])),
        preflights=tuple(reversed(others[EvidenceType.PREFLIGHT])),
        set_aside=set_aside,
    )


def _session(one: Evidence) -> tuple[SessionReport, AuditResult, str]:
    session = one.spec.session
    if session is None:
        raise ValueError(f"{one.name} is of type Session and holds none")  # the CRD's rules refuse it
    audit = session.audit
    result = audit.result if audit.session == session.report.session else AuditResult.UNKNOWN
    said = "; ".join(f"{one.what}: bot {one.reported}, broker {one.broker}" for one in audit.differences[:3])
    return session.report, result, said or audit.message or "the audit says Mismatch"


def _unfit(report: SessionReport) -> str | None:
    if report.mode != "paper":
        return "not of a paper bot"
    if not report.closed_normally:
        return "it was not closed normally: nobody saw its end"
    if report.coverage_percent < LEAST_COVERAGE_PERCENT:
        return f"the bot covered {report.coverage_percent} % of it, and {LEAST_COVERAGE_PERCENT} % are needed"
    if report.coverage_percent > 100:
        return f"it says that {report.coverage_percent} % of it were covered: a clock was wrong"
    if report.killed:
        return "a kill was in force"
    return None
