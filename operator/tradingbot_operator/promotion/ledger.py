"""Sorts evidence: what counts for a subject, and of everything else why it does not.

Pure, and blind to order: the same evidence in any order gives the same ledger. Must never count what it cannot place.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final

from tradingbot_api import AuditResult, EvidenceType, Mode, PromotionEvidenceSpec, SessionReport
from tradingbot_operator.promotion.subject import Subject, is_from_the_future

LEAST_COVERAGE_PERCENT: Final = Decimal(95)
_CENT: Final = Decimal("0.01")
_RETURN_STEP: Final = Decimal("0.0001")
"""Profits are told in cents, returns in so many percent."""


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
class LiveSession:
    """A session with real money. It never counts as one on paper."""

    evidence: str
    report: SessionReport
    is_clean: bool
    """Whole, confirmed by the broker's record, and without any difference between the books."""


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
    live: tuple[LiveSession, ...] = ()
    """Sessions on the live account, by date; those that contradict themselves are not here."""
    live_mismatches: Mapping[str, str] = field(default_factory=dict)
    """Those of `mismatches` that are of live sessions."""
    set_aside: Mapping[str, str] = field(default_factory=dict)
    """Evidence that does not count, and why, by name."""
    kinds_set_aside: Mapping[str, EvidenceType] = field(default_factory=dict)
    """What each of those is evidence of."""

    def why_not(self, kind: EvidenceType) -> tuple[int, str]:
        """How much evidence of a kind does not count, and the last one's name and reason in words."""
        names = [name for name in self.set_aside if self.kinds_set_aside.get(name) is kind]
        return len(names), f"({names[-1]}): {self.set_aside[names[-1]]}" if names else ""


def ledger_of(evidence: Iterable[Evidence], subject: Subject, *, now: datetime, sessions_since: datetime) -> Ledger:
    """What counts of all the evidence about a bot. Sessions that closed before `sessions_since` are too old."""
    set_aside: dict[str, str] = {}
    kinds: dict[str, EvidenceType] = {}
    paper: list[Evidence] = []
    live: list[Evidence] = []
    others: dict[EvidenceType, list[Evidence]] = {kind: [] for kind in EvidenceType}
    for one in sorted(evidence, key=lambda one: (one.observed_at, one.name)):
        kinds[one.name] = one.spec.type
        foreign = _foreign(one, subject, now)
        if foreign is not None:
            set_aside[one.name] = foreign
        elif one.spec.type is not EvidenceType.SESSION:
            others[one.spec.type].append(one)
        elif one.observed_at < sessions_since:
            # No date: it would be another one each day, and the status would say so of every session.
            set_aside[one.name] = "too old: older than the gate's paperSessions.maxAge"
        else:
            (live if one.spec.account == subject.live_account else paper).append(one)
    on_paper = _sorted_out(paper, Mode.PAPER, set_aside, subject.capital)
    with_money = _sorted_out(live, Mode.LIVE, set_aside, None)
    unclean_days = {one.report.session for one in with_money.unclean}
    return Ledger(
        sessions=tuple(on_paper.counted),
        unclean=tuple(on_paper.unclean),
        mismatches={**on_paper.mismatches, **with_money.mismatches},
        unaudited=tuple(on_paper.unaudited),
        validations=tuple(reversed(others[EvidenceType.VALIDATION])),
        drills=tuple(reversed(others[EvidenceType.DRILL])),
        preflights=tuple(reversed(others[EvidenceType.PREFLIGHT])),
        live=tuple(
            LiveSession(
                one.evidence,
                one.report,
                is_clean=one in with_money.counted
                and one.report.session not in unclean_days
                and not one.report.reconciliations.mismatch,
            )
            for one in with_money.seen
        ),
        live_mismatches=with_money.mismatches,
        set_aside=set_aside,
        kinds_set_aside={name: kinds[name] for name in set_aside},
    )


def _foreign(one: Evidence, subject: Subject, now: datetime) -> str | None:
    """Why evidence is about something else than this subject; None when it is about it."""
    spec = one.spec
    foreign = subject.why_foreign(spec.bot_ref.uid, spec.subject_digest)
    if foreign is not None:
        return foreign
    if spec.image != subject.image:
        return f"of another image: {spec.image}"
    if spec.account not in _accounts(spec.type, subject):
        return f"of another account: {spec.account}"
    if is_from_the_future(one.observed_at, now):
        return "from the future: a clock was wrong"
    if spec.provider == "simulator" and subject.live_provider != "simulator":
        return "from a simulator: it counts only for a bot whose live account is one, too"
    return _not_what_it_says(spec)


def _accounts(kind: EvidenceType, subject: Subject) -> tuple[str, ...]:
    live = (subject.live_account,) if subject.live_account else ()
    if kind is EvidenceType.PREFLIGHT:
        return live
    return (subject.paper_account, *live) if kind is EvidenceType.SESSION else (subject.paper_account,)


def _not_what_it_says(spec: PromotionEvidenceSpec) -> str | None:
    """Why a session's report is not of the bot and the account that its evidence names."""
    report = spec.session.report if spec.session is not None else None
    if report is None:
        return None
    if report.uid != spec.bot_ref.uid:
        return "its report is of another bot"
    return f"its report is of another account: {report.account}" if report.account != spec.account else None


@dataclass
class _Sorted:
    """The sessions of one mode, by what they are worth."""

    counted: list[CountedSession] = field(default_factory=list)
    unclean: list[CountedSession] = field(default_factory=list)
    unaudited: list[str] = field(default_factory=list)
    mismatches: dict[str, str] = field(default_factory=dict)
    seen: list[CountedSession] = field(default_factory=list)
    """Every one that does not contradict itself, by date."""


def _sorted_out(sessions: list[Evidence], mode: Mode, set_aside: dict[str, str], capital: Decimal | None) -> _Sorted:
    """`capital`: what returns are percent of; None where a grant's cap was, which may have changed meanwhile."""
    found = _Sorted()
    by_day: dict[str, list[Evidence]] = {}
    for one in sessions:
        by_day.setdefault(_session(one)[0].session, []).append(one)
    for day, same_day in sorted(by_day.items()):
        one = same_day[0]
        if len({other.spec.source_digest for other in same_day}) > 1:
            for other in same_day:
                found.mismatches[other.name] = f"{day}: two reports of the same session that differ"
            continue
        for other in same_day[1:]:
            set_aside[other.name] = f"the same as {one.name}"
        report, audit, why = _session(one)
        mine = CountedSession(one.name, report)
        found.seen.append(mine)
        if audit is AuditResult.MISMATCH:
            found.mismatches[one.name] = f"{day}: {why}"
            found.unclean.append(mine)
        elif (odd := _odd_return(report, capital)) is not None:
            found.mismatches[one.name] = f"{day}: {odd}"
            found.unclean.append(mine)
        elif (unfit := _unfit(report, mode)) is not None:
            set_aside[one.name] = unfit
            found.unclean += [mine] if report.reconciliations.mismatch else []
        elif audit is AuditResult.UNKNOWN:
            found.unaudited.append(one.name)
        else:
            found.counted.append(mine)
    return found


def _session(one: Evidence) -> tuple[SessionReport, AuditResult, str]:
    session = one.spec.session
    if session is None:
        raise ValueError(f"{one.name} is of type Session and holds none")  # the CRD's rules refuse it
    audit = session.audit
    result = audit.result if audit.session == session.report.session else AuditResult.UNKNOWN
    said = "; ".join(f"{one.what}: bot {one.reported}, broker {one.broker}" for one in audit.differences[:3])
    return session.report, result, said or audit.message or "the audit says Mismatch"


def _odd_return(report: SessionReport, capital: Decimal | None) -> str | None:
    """Why the return is not that of the profit, which is all that an audit compares: a gate reads the return."""
    if capital is None:
        return None
    rounding = _RETURN_STEP + 100 * _CENT / capital
    due = 100 * report.pnl / capital
    if abs(report.return_percent - due) <= rounding:
        return None
    return (
        f"a return of {report.return_percent} % is not that of a profit of {report.pnl}: {due.quantize(_RETURN_STEP)} %"
    )


def _unfit(report: SessionReport, mode: Mode) -> str | None:
    if report.mode != mode.value:
        return f"not of a {mode.value} bot"
    if not report.closed_normally:
        return "it was not closed normally: nobody saw its end"
    if report.coverage_percent < LEAST_COVERAGE_PERCENT:
        return f"the bot covered {report.coverage_percent} % of it, and {LEAST_COVERAGE_PERCENT} % are needed"
    if report.coverage_percent > 100:
        return f"it says that {report.coverage_percent} % of it were covered: a clock was wrong"
    if report.killed:
        return "a kill was in force"
    return None
