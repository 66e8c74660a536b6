"""Judges a bot by its gate: checklist, score, verdict. The one function behind every promotion, demotion and status.

Pure and total: the same case gives the same assessment, in whatever order the evidence comes. Only Pass passes, and
nothing that is unknown makes the whole smaller. Must never be given anything but facts: no client, no clock.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from tradingbot_api import (
    AttestationSpec,
    CheckKind,
    ChecklistItem,
    CheckState,
    EvidenceType,
    GateVerdict,
    ItemKind,
    ItemSource,
    PromotionGateSpec,
    TradingBotSpec,
    span,
)
from tradingbot_operator.promotion.approvals import Approval, Standing, promotions_of, standing
from tradingbot_operator.promotion.checks import Case, all_checks
from tradingbot_operator.promotion.findings import Check, Finding
from tradingbot_operator.promotion.ledger import Evidence, Ledger, ledger_of
from tradingbot_operator.promotion.subject import CLOCKS_MAY_DIFFER, Subject

WHOLE: Final = 10_000
"""Score in basis points at which every weighted check passes."""
REVIEW_FROM: Final = 9_500
"""Below this it is NO-GO."""


@dataclass(frozen=True)
class Attestation:
    """One Attestation object. `created_at` is the API server's time."""

    name: str
    spec: AttestationSpec
    created_at: datetime


@dataclass(frozen=True)
class Facts:
    """What is known about a bot that asks to be judged."""

    spec: TradingBotSpec
    gate_name: str
    gate: PromotionGateSpec
    subject: Subject
    evidence: Sequence[Evidence] = ()
    approvals: Sequence[Approval] = ()
    attestations: Sequence[Attestation] = ()
    used_approvals: frozenset[str] = frozenset()
    """UIDs of approvals that an earlier grant has used up."""
    demoted_at: datetime | None = None
    """When the bot last went back to paper: approvals from before do not stand."""
    incidents: tuple[str, ...] | None = None
    """Ids of open incidents; None while the bot does not say."""
    killed: bool | None = None
    """Whether a kill is in force; None while nobody knows."""


@dataclass(frozen=True)
class Assessment:
    """What the gate says of the bot."""

    checklist: tuple[Check, ...]
    score: int
    """Passed weight over all weight, in basis points, rounded down."""
    verdict: GateVerdict
    blockers: tuple[str, ...]
    """Names of blocking checks that do not pass."""
    failed: tuple[str, ...]
    """Names of all checks that do not pass."""
    ledger: Ledger
    sessions: int = 0
    """Sessions that count."""
    standing: Standing = field(default_factory=Standing)


def evaluate(facts: Facts, now: datetime) -> Assessment:
    """The verdict on one bot at one moment (UTC)."""
    gate = facts.gate
    ledger = ledger_of(
        facts.evidence, facts.subject, now=now, sessions_since=now - span(gate.checks.paper_sessions.max_age)
    )
    good, void = promotions_of(
        facts.approvals,
        facts.subject,
        facts.gate_name,
        gate.approvals,
        used=facts.used_approvals,
        now=now,
        demoted_at=facts.demoted_at,
    )
    case = Case(facts.spec, ledger, now, facts.subject.is_known, facts.incidents, facts.killed)
    checklist = (
        *all_checks(gate.checks, case),
        *(_item(item, good, facts, now) for item in gate.items),
    )
    score = score_of(checklist)
    blockers = tuple(check.name for check in checklist if check.kind is CheckKind.BLOCKING and not check.passes)
    verdict = verdict_of(score, blocked=bool(blockers))
    failed = tuple(check.name for check in checklist if check.kind is not CheckKind.NOT_APPLICABLE and not check.passes)
    return Assessment(
        checklist=checklist,
        score=score,
        verdict=verdict,
        blockers=blockers,
        failed=failed,
        ledger=ledger,
        sessions=len(ledger.sessions),
        standing=standing(good, void, verdict, failed, separation_of_duties=gate.approvals.separation_of_duties),
    )


def changes_at(facts: Facts, now: datetime) -> datetime | None:
    """When time alone may next change an assessment: something gets too old, or is no longer from the future."""
    gate = facts.gate
    ages = {
        EvidenceType.SESSION: gate.checks.paper_sessions.max_age,
        EvidenceType.VALIDATION: gate.checks.validation_artifacts.max_age,
        EvidenceType.DRILL: gate.checks.required_drills.max_age,
        EvidenceType.PREFLIGHT: gate.checks.preflight.max_age,
    }
    items = [span(item.max_age) for item in gate.items if item.max_age is not None]
    moments = [
        moment for one in facts.evidence for moment in (one.observed_at + span(ages[one.spec.type]), one.observed_at)
    ]
    for approval in facts.approvals:
        moments += [approval.created_at, approval.created_at + span(gate.approvals.expire_after)]
        moments += [approval.created_at + age for age in items]
    for attestation in facts.attestations:
        moments += [attestation.created_at, *(attestation.created_at + age for age in items)]
    # What is from the future by more than clocks may differ stops being so that much earlier.
    moments += [moment - CLOCKS_MAY_DIFFER for moment in moments]
    return min((moment for moment in moments if moment >= now), default=None)


def score_of(checklist: Iterable[Check]) -> int:
    """Passed weight over the weight of all weighted checks, in basis points, rounded down; 0 where none is weighted."""
    weighted = [check for check in checklist if check.kind is CheckKind.WEIGHTED]
    total = sum(check.weight for check in weighted)
    return WHOLE * sum(check.weight for check in weighted if check.passes) // total if total else 0


def verdict_of(score: int, *, blocked: bool) -> GateVerdict:
    """GO when everything passes, REVIEW from 95 %, NO-GO below or with any blocker."""
    if blocked or score < REVIEW_FROM:
        return GateVerdict.NO_GO
    return GateVerdict.GO if score == WHOLE else GateVerdict.REVIEW


def _item(item: ChecklistItem, good: Sequence[Approval], facts: Facts, now: datetime) -> Check:
    judge = _manual if item.source is ItemSource.MANUAL else _attested
    weight = item.weight if item.kind is ItemKind.WEIGHTED else 0
    return Check(item.name, CheckKind(item.kind.value), weight, judge(item, good, facts, now))


def _manual(item: ChecklistItem, good: Sequence[Approval], facts: Facts, now: datetime) -> Finding:
    naming = [one for one in good if item.name in one.spec.items]
    if not naming:
        message = f"an approval has to name it in items: {item.text}"
        return Finding(CheckState.UNKNOWN, "nobody", "a person", message[:512])
    newest = naming[-1]
    if item.max_age is not None and now - newest.created_at > span(item.max_age):
        return Finding(CheckState.STALE, newest.spec.approver, "a person", f"older than {item.max_age}", (newest.name,))
    return Finding(CheckState.PASS, newest.spec.approver, "a person", refs=(newest.name,))


def _attested(item: ChecklistItem, good: Sequence[Approval], facts: Facts, now: datetime) -> Finding:
    threshold = "attested for this image"
    digest = "sha256:" + facts.subject.image.rpartition("sha256:")[2]
    naming = [
        (one, found)
        for one in sorted(facts.attestations, key=lambda one: (one.created_at, one.name))
        if one.spec.gate == facts.gate_name and one.spec.image_digest == digest and one.created_at <= now
        for found in one.spec.items
        if found.name == item.name
    ]
    if not naming:
        return Finding(
            CheckState.UNKNOWN, "not attested", threshold, f"another system has to attest: {item.text}"[:512]
        )
    newest, found = naming[-1]
    if item.max_age is not None and now - newest.created_at > span(item.max_age):
        return Finding(CheckState.STALE, found.observed, threshold, f"older than {item.max_age}", (newest.name,))
    state = CheckState.PASS if found.passed else CheckState.FAIL
    return Finding(state, found.observed, threshold, "" if found.passed else item.text, (newest.name,))
