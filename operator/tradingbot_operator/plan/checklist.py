"""status.promotion: what a gate says of a bot, so that `kubectl describe bot` answers why it is not live yet.

Every part is bounded, and nothing in it changes by itself: no age, no countdown, or every look would be a write.
Must never say more than was judged.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from tradingbot_api import BrokerProvider, CheckKind, GateVerdict
from tradingbot_api.group import API_VERSION
from tradingbot_api.promotion_status import ChecklistEntry, Named, PromotionStatus
from tradingbot_operator.plan.conditions import parse_timestamp, timestamp
from tradingbot_operator.plan.events import EventNote
from tradingbot_operator.plan.judging import Judged, Unjudged, stored_promotion
from tradingbot_operator.plan.live import Passage, Phase, summary
from tradingbot_operator.plan.objects import Raw, name_of, namespace_of, text, uid_of
from tradingbot_operator.plan.symbols import asks_for_live
from tradingbot_operator.plan.verdicts import View
from tradingbot_operator.promotion.exchange_calendar import first_whole_session, nth_session, session_at
from tradingbot_operator.promotion.findings import Check

NEXT: Final = " Next: "
"""Divides a message: why the bot is not live, and what a person may do about it."""

_LISTED: Final = 10
_MESSAGE_LIMIT: Final = 1024
_COMMAND_LIMIT: Final = 700


def promotion_status(
    judged: Judged | Unjudged, passage: Passage, view: View, producing_notes: tuple[str, ...] = ()
) -> PromotionStatus | None:
    """The document; None where there is neither a gate nor a history. `producing_notes`: what keeps evidence away."""
    stored = stored_promotion(view.bot)
    if isinstance(judged, Unjudged):
        return _carried(stored, judged, passage)
    found, paper = judged.assessment, judged.gate.checks.paper_sessions
    earliest = earliest_at(judged, view)
    return PromotionStatus(
        gate=judged.gate_name,
        verdict=found.verdict,
        score=found.score,
        sessions=found.sessions,
        required_sessions=0 if paper.kind is CheckKind.NOT_APPLICABLE else paper.minimum,
        message=_message(judged, passage, view, earliest, producing_notes),
        earliest_at=earliest,
        subject=judged.status,
        blockers=[name[:128] for name in found.blockers],
        checklist=_checklist(judged, stored, timestamp(view.now)),
        approvals=[one.used for one in found.standing.approvals[:_LISTED]],
        approvals_missing="" if passage.grant is not None else found.standing.missing[:256],
        void_approvals=_last(found.standing.void),
        set_aside=_last({**found.ledger.set_aside, **judged.unreadable}),
        used_approvals=list(passage.used_approvals),
        grants=passage.grants,
    )


def _carried(stored: PromotionStatus | None, judged: Unjudged, passage: Passage) -> PromotionStatus | None:
    """What is kept while nobody judges: how many grants there were, and which approvals are used up.

    A gate that is taken away and named again must not make an approval good for a second time.
    """
    if stored is None or not (passage.grants or passage.used_approvals):
        return None
    if judged.holds:
        return stored.model_copy(update={"message": judged.message[:_MESSAGE_LIMIT]})
    return stored.model_copy(
        update={
            "verdict": GateVerdict.PENDING,
            "score": 0,
            "message": judged.message[:_MESSAGE_LIMIT],
            "earliest_at": None,
            "blockers": [],
            "checklist": [],
            "approvals": [],
            "approvals_missing": "",
            "void_approvals": [],
            "set_aside": [],
            "grants": passage.grants,
            "used_approvals": list(passage.used_approvals),
        }
    )


# ---------------------------------------------------------------- the lines


def _checklist(judged: Judged, stored: PromotionStatus | None, moment: str) -> list[ChecklistEntry]:
    before = {line.name: line for line in stored.checklist} if stored is not None else {}
    return [_line(check, before, moment) for check in judged.assessment.checklist]


def _line(check: Check, before: Mapping[str, ChecklistEntry], moment: str) -> ChecklistEntry:
    found = check.finding
    line = ChecklistEntry(
        name=check.name[:128],
        kind=check.kind,
        weight=check.weight,
        state=found.state,
        observed=found.observed[:128],
        threshold=found.threshold[:128],
        message=found.message[:512],
        evidence_refs=list(found.refs[-5:]),
        last_evaluated=moment,
    )
    known = before.get(line.name)
    if known is None:
        return line
    same = line.model_copy(update={"last_evaluated": known.last_evaluated})
    return same if same == known else line


def _last(why: Mapping[str, str]) -> list[Named]:
    """The last few by name, so that the same objects always give the same list."""
    return [Named(name=name[:253], reason=reason[:256]) for name, reason in sorted(why.items())[-_LISTED:]]


# ---------------------------------------------------------------- by when


def earliest_at(judged: Judged, view: View) -> str | None:
    """The first date (New York) on which the sessions asked for can be there; None where they are, or none are asked.

    By the broker's clock where the bot has read it: a simulator's may run far from ours.
    """
    paper, ledger = judged.gate.checks.paper_sessions, judged.assessment.ledger
    missing = paper.minimum - judged.assessment.sessions - len(ledger.unaudited)
    if paper.kind is CheckKind.NOT_APPLICABLE or missing <= 0:
        return None
    now = _market_time(view)
    today = session_at(now)
    if today is not None and _saw_the_open(judged, view, now):
        return nth_session(today, missing).isoformat()
    return nth_session(first_whole_session(now), missing).isoformat()


def _market_time(view: View) -> datetime:
    report = view.answer.report if view.answer is not None else None
    return (parse_timestamp(report.market_time or "") if report is not None else None) or view.now


def _saw_the_open(judged: Judged, view: View, now: datetime) -> bool:
    """Whether the session that is open now can still be a whole one of this subject."""
    if judged.subject.live_provider == BrokerProvider.SIMULATOR.value:
        return True
    return session_at(judged.since) is None or session_at(judged.since) != session_at(now)


# ---------------------------------------------------------------- in one look


def _message(
    judged: Judged, passage: Passage, view: View, earliest: str | None, producing_notes: tuple[str, ...]
) -> str:
    told = ". ".join(_told(judged, passage, view, earliest, producing_notes)) + "."
    following = _following(judged, passage, view)
    if following:
        following = f"{NEXT}{following}"
    room = _MESSAGE_LIMIT - len(following)
    return (told if len(told) <= room else f"{told[: room - 2]}….") + following


def _told(
    judged: Judged, passage: Passage, view: View, earliest: str | None, producing_notes: tuple[str, ...]
) -> Iterator[str]:
    if passage.phase is Phase.LIVE:
        yield f"Live: {passage.why}"
        return
    if passage.phase is Phase.WITHDRAWING or passage.grant is not None:
        yield passage.why
        return
    yield summary(judged)
    if earliest is not None:
        yield f"The sessions can be there on {earliest} at the earliest"
    yield from producing_notes[:1]
    if judged.assessment.verdict.is_approvable:
        missing = judged.assessment.standing.missing
        yield f"It waits for people: {missing}" if missing else "It is approved"
        if asks_for_live(view.bot) and passage.reason not in ("NotApproved", "Demoted"):
            yield f"{passage.reason}: {passage.why}"
    if passage.demotion is not None:
        yield f"Last demoted at {passage.demotion.at}: {passage.demotion.reason}: {passage.demotion.message[:200]}"


def _following(judged: Judged, passage: Passage, view: View) -> str:
    """What a person may do next, as a command where there is one."""
    bot, standing = view.bot, judged.assessment.standing
    if passage.grant is not None or passage.phase is not Phase.PAPER:
        return ""
    name, namespace = name_of(bot), namespace_of(bot)
    if not judged.assessment.verdict.is_approvable:
        items = [item.name for item in judged.gate.items if item.source.value == "Manual"]
        unsaid = [one for one in items if one in judged.assessment.failed]
        if unsaid and set(judged.assessment.blockers) <= {*unsaid, "Preflight"}:
            return f"people have to look at {', '.join(unsaid)[:300]} and name them in `items` of an Approval"
        return f"kubectl describe bot {name} -n {namespace} lists every check"
    if standing.missing:
        return _approve(judged, bot)
    if not asks_for_live(bot):
        patch = """'{"spec":{"mode":"live"}}'"""
        return f"kubectl patch bot {name} -n {namespace} --type merge -p {patch}"
    return ""


def _approve(judged: Judged, bot: Raw) -> str:
    failed = f", although these do not pass: {', '.join(judged.assessment.failed)}" if judged.assessment.failed else ""
    spec: dict[str, Any] = {
        "action": "Promote",
        "botRef": {"name": name_of(bot), "uid": uid_of(bot)},
        "gate": judged.gate_name,
        "subjectDigest": judged.subject.digest,
        "verdict": judged.assessment.verdict.value,
        "approver": "YOUR-USER-NAME",
        "reason": f"WHY{failed}",
    }
    metadata = {"generateName": f"{name_of(bot)}-"}
    document = {"apiVersion": API_VERSION, "kind": "Approval", "metadata": metadata, "spec": spec}
    encoded = json.dumps(document, separators=(",", ":"))
    command = f"kubectl create -n {namespace_of(bot)} -f - <<<'{encoded}'"
    if len(command) > _COMMAND_LIMIT:
        return "a person who may approve creates an Approval with subjectDigest and verdict as above; see docs/gates.md"
    return command


# ---------------------------------------------------------------- what is worth an Event


def verdict_notes(bot: Raw, promotion: PromotionStatus | None, now: datetime) -> tuple[EventNote, ...]:
    """One Event for each change of verdict. That a new bot begins with NO-GO surprises nobody."""
    before = text(bot, "status", "promotion", "verdict")
    if promotion is None or promotion.verdict is GateVerdict.PENDING or promotion.verdict.value == before:
        return ()
    if not before and promotion.verdict is GateVerdict.NO_GO:
        return ()
    was = f"{before} before" if before else "the first verdict"
    message = f"{promotion.verdict.value} ({was}): {promotion.message.partition(NEXT)[0]}"[:_MESSAGE_LIMIT]
    worse = promotion.verdict is GateVerdict.NO_GO
    reason = {"GO": "VerdictGo", "REVIEW": "VerdictReview", "NO-GO": "VerdictNoGo"}[promotion.verdict.value]
    transition = f"Verdict/{promotion.verdict.value}/{promotion.subject.digest[:12]}/{timestamp(now)}"
    return (EventNote(reason, message, warning=worse, transition=transition),)
