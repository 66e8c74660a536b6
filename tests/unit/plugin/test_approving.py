"""What an approval says, when none can be written, and what became of one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubectl_tradingbot.approving import Standing, check_reason, next_stage, outcome, proposal_view, propose
from kubectl_tradingbot.errors import RefusedError, UsageError
from tradingbot_api import ApprovalSpec, ChecklistEntry, GateVerdict
from tradingbot_operator.promotion.checks import CheckKind
from tradingbot_operator.promotion.evaluate import score_of, verdict_of
from tradingbot_operator.promotion.findings import Check, Finding
from unit.plugin.sample import DIGEST, a_bot, a_check, a_promotion, a_status, an_approval_of, judged, text_of
from unit.plugin.test_gate_view import DRIFT, GRANT, ITEM, SESSIONS

GOOD = a_check("PaperTrades")
WEIGHED = a_check("PaperProfit", kind="Weighted", weight=95)


def test_it_carries_the_digest_the_verdict_the_gate_and_the_uid_of_what_was_shown() -> None:
    proposal = propose(judged("GO", GOOD), ())
    document = proposal.document("alice", "thirty clean sessions")
    spec = ApprovalSpec.model_validate(document["spec"])
    assert (spec.subject_digest, spec.verdict, spec.gate) == (DIGEST, "GO", "standard")
    assert (spec.bot_ref.uid, spec.approver) == ("uid-of-momentum", "alice")
    assert document["metadata"] == {"generateName": "momentum-", "namespace": "demo"}
    shown = text_of(proposal_view(proposal, "alice", "thirty clean sessions"))
    for part in (DIGEST, "alice", "thirty clean sessions", "capital", "Every check passes.", "PaperTrades"):
        assert part in shown


def test_what_is_no_go_cannot_be_approved() -> None:
    with pytest.raises(RefusedError, match="NO-GO cannot be approved; not passed: PaperSessions"):
        propose(judged("NO-GO", SESSIONS, GOOD), ())
    with pytest.raises(RefusedError, match="has no verdict to approve"):
        propose(a_bot(), ())


def test_a_reason_for_review_names_every_check_that_did_not_pass() -> None:
    proposal = propose(judged("REVIEW", DRIFT, WEIGHED, score=9_500), ())
    for reason in ("", " ", "it will be fine"):
        with pytest.raises(UsageError):
            check_reason(proposal, reason)
    check_reason(proposal, "ShadowDrift is the simulator's")


def test_naming_the_last_item_makes_a_no_go_a_go() -> None:
    bot = judged("NO-GO", ITEM, GOOD, WEIGHED)
    proposal = propose(bot, ["on-call-named"])
    assert (proposal.verdict, proposal.failed) == (GateVerdict.GO, ())
    assert proposal.document("alice", "it is me")["spec"]["items"] == ["on-call-named"]
    with pytest.raises(RefusedError, match="not passed: PaperSessions"):
        propose(judged("NO-GO", ITEM, SESSIONS, WEIGHED), ["on-call-named"])
    with pytest.raises(UsageError, match="no item for a person that is called PaperTrades: on-call-named"):
        propose(bot, ["PaperTrades"])


entries = st.builds(
    a_check,
    st.uuids().map(lambda found: f"c-{found}"),
    st.sampled_from(["Pass", "Fail", "Unknown", "Stale", "NotApplicable"]),
    kind=st.sampled_from(["Blocking", "Weighted", "NotApplicable"]),
    weight=st.integers(1, 40),
    threshold=st.sampled_from(["a person", ">= 1"]),
)


def by_the_operator(entry: ChecklistEntry, passes: bool) -> Check:
    state = type(entry.state).PASS if passes else entry.state
    return Check(entry.name, CheckKind(entry.kind.value), entry.weight, Finding(state, "", ""))


@settings(max_examples=60, deadline=None)
@given(st.lists(entries, min_size=1, max_size=6))
def test_the_verdict_that_is_written_is_the_one_the_operator_would_find(checks: list[ChecklistEntry]) -> None:
    items = [one.name for one in checks if one.threshold == "a person"]
    if not items:
        return
    found = [by_the_operator(one, one.name in items) for one in checks]
    blocked = any(one.kind is CheckKind.BLOCKING and not one.passes for one in found)
    verdict = verdict_of(score_of(found), blocked=blocked)
    try:
        assert propose(judged("NO-GO", *checks), items).verdict is verdict
    except RefusedError:
        assert verdict is GateVerdict.NO_GO


def test_what_became_of_it_is_the_operators_word() -> None:
    mine = an_approval_of(a_bot())
    waiting = judged("GO", GOOD)
    counts = judged("GO", GOOD, approvals=[mine], approvals_missing="1 of 2 approvals")
    void = judged("GO", GOOD, void_approvals=[{"name": "momentum-1", "reason": "of another subject"}])
    used = judged("GO", GOOD, used_approvals=[mine], void_approvals=[{"name": "momentum-1", "reason": "used"}])
    found = [outcome(bot, "momentum-1", "u1") for bot in (waiting, counts, void, used)]
    assert [one.standing for one in found] == [Standing.WAITING, Standing.COUNTS, Standing.VOID, Standing.USED]
    assert "still needed: 1 of 2" in found[1].message
    assert "of another subject" in found[2].message
    # A namesake's approval of another UID is not this one.
    assert outcome(counts, "momentum-1", "u2").standing is Standing.WAITING


def test_the_next_stage_is_the_one_after_the_grants() -> None:
    stages = [{"maxCapital": "1000", "sessions": 5, "approval": True}, {"maxCapital": "5000"}]
    bot = a_bot(mode="live", status=a_status(promotion=a_promotion("GO"), grant=GRANT))
    spec = ApprovalSpec.model_validate(next_stage(bot, stages, "alice", "five clean ones")["spec"])
    assert (spec.action, spec.stage, spec.subject_digest) == ("AdvanceStage", 1, "5" * 64)
    with pytest.raises(RefusedError, match="last stage"):
        next_stage(bot, stages[:1], "alice", "more")
    with pytest.raises(RefusedError, match="is not live"):
        next_stage(a_bot(), stages, "alice", "more")
    with pytest.raises(RefusedError, match="live already"):
        propose(bot, ())


@pytest.mark.parametrize(("weight", "verdict"), [(95, GateVerdict.REVIEW), (94, None)])
def test_with_its_items_a_bot_is_in_review_from_95_percent_on(weight: int, verdict: GateVerdict | None) -> None:
    passed = a_check("PaperProfit", kind="Weighted", weight=weight)
    failed = a_check("ShadowDrift", "Fail", kind="Weighted", weight=100 - weight)
    bot = judged("NO-GO", ITEM, passed, failed)
    if verdict is None:
        with pytest.raises(RefusedError, match="NO-GO cannot be approved"):
            propose(bot, [ITEM.name])
    else:
        assert propose(bot, [ITEM.name]).verdict is verdict
