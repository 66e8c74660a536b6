"""Whose word counts: one for GO, two people for REVIEW, each about this very subject, named, fresh and used once."""

from datetime import timedelta
from typing import Any

import pytest

from tradingbot_api import GateVerdict
from tradingbot_operator.promotion.approvals import Approval
from tradingbot_operator.promotion.evaluate import Assessment, evaluate
from unit.promotion.cases import GATE, NOW, a_gate, a_subject, a_validation, all_good, an_approval, facts

REVIEW = [*(one for one in all_good() if one.spec.validation is None), a_validation(overfitRatio="3")]
"""Evidence with which OverfitRatio alone fails, at 95 %."""


def judged(approvals: list[Approval], **changes: Any) -> Assessment:
    return evaluate(facts(changes.pop("gate", GATE), approvals=approvals, **changes), NOW)


def test_go_needs_one_person() -> None:
    assert not judged([]).standing.is_enough
    assert judged([]).standing.missing == "0 of 1 approvals by different people"
    found = judged([an_approval()])
    assert found.verdict is GateVerdict.GO
    assert found.standing.is_enough
    assert [one.spec.approver for one in found.standing.approvals] == ["ann"]


@pytest.mark.parametrize(
    ("approval", "said"),
    [
        (an_approval(botRef={"name": "momentum", "uid": "other"}), "of another bot"),
        (an_approval(subjectDigest="0" * 64), "of another subject"),
        (an_approval(gate="lax"), "of another gate: lax"),
        (an_approval(verdict="REVIEW"), "of another verdict: REVIEW"),
        (an_approval(at=NOW - timedelta(hours=73)), "expired: older than 72h"),
        (an_approval(at=NOW + timedelta(hours=1)), "from the future"),
    ],
)
def test_an_approval_of_something_else_is_void_and_says_why(approval: Approval, said: str) -> None:
    found = judged([approval])
    assert not found.standing.is_enough
    assert said in found.standing.void["approval-ann"]


def test_an_approval_is_good_for_one_grant() -> None:
    found = judged([an_approval()], used_approvals=frozenset({"uid-ann"}))
    assert not found.standing.is_enough
    assert "used" in found.standing.void["approval-ann"]


def test_review_needs_two_people_who_name_what_failed() -> None:
    def said(by: str, reason: str = "OverfitRatio is only just over") -> Approval:
        return an_approval(by=by, verdict="REVIEW", reason=reason)

    assert judged([said("ann"), said("bob")], evidence=REVIEW).verdict is GateVerdict.REVIEW
    assert judged([said("ann"), said("bob")], evidence=REVIEW).standing.is_enough
    assert judged([said("ann")], evidence=REVIEW).standing.missing == "1 of 2 approvals by different people"
    silent = judged([said("ann"), said("bob", "fine")], evidence=REVIEW).standing
    assert not silent.is_enough
    assert silent.void["approval-bob"] == "its reason does not name what failed: OverfitRatio"


def test_a_person_counts_once() -> None:
    first = an_approval(verdict="REVIEW", reason="OverfitRatio")
    second = Approval("approval-2", "uid-2", first.spec, first.created_at)
    found = judged([first, second], evidence=REVIEW).standing
    assert not found.is_enough
    assert "counts once" in found.void["approval-ann"] + found.void.get("approval-2", "")


def test_no_go_cannot_be_approved() -> None:
    found = judged([an_approval(), an_approval(by="bob")], killed=True)
    assert not found.standing.is_enough
    assert found.standing.missing == "a verdict of NO-GO cannot be approved"


@pytest.mark.parametrize(
    ("approvers", "enough"), [(["alice"], False), (["alice", "alice"], False), (["alice", "bob"], True)]
)
def test_with_separated_duties_one_of_two_people_has_not_changed_the_bot(approvers: list[str], enough: bool) -> None:
    gate = a_gate(approvals={"separationOfDuties": True})
    subject = a_subject(gate)
    approvals = [an_approval(subject, by=one) for one in approvers]
    assert judged(approvals, gate=gate).standing.is_enough is enough


def test_an_approval_for_a_stage_or_a_kill_promotes_nobody() -> None:
    stage = an_approval(action="AdvanceStage", verdict=None, stage=1)
    release = an_approval(by="bob", action="ReleaseKill", subjectDigest=None, verdict=None, killEpoch=1)
    found = judged([stage, release])
    assert not found.standing.is_enough
    assert found.standing.void == {}
