"""Sessions with real money never count as paper, and what they contradict fails the audit of the same subject."""

import random
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradingbot_api import CheckState, GateVerdict, PromotionEvidenceSpec
from tradingbot_operator.promotion.approvals import promotions_of, stage_approval
from tradingbot_operator.promotion.evaluate import Assessment, evaluate
from tradingbot_operator.promotion.figures import session_drift_percent
from tradingbot_operator.promotion.ledger import Evidence
from unit.promotion.cases import GATE, NOW, a_session, a_subject, all_good, an_approval, facts


def a_live_session(number: int, *, audit: str = "Match", **changes: Any) -> Evidence:
    one = a_session(number, audit=audit, **({"mode": "live", "account": "live"} | changes))
    spec = one.spec.model_dump(mode="json", by_alias=True, exclude_none=True) | {"account": "live"}
    return Evidence(f"live-{number:03d}", PromotionEvidenceSpec.model_validate(spec), one.observed_at)


def judged(*more: Evidence, without: frozenset[int] = frozenset()) -> Assessment:
    kept = [one for number, one in enumerate(all_good()) if number not in without]
    return evaluate(facts(evidence=[*kept, *more]), NOW)


def state(found: Assessment, name: str) -> CheckState:
    return next(one.finding.state for one in found.checklist if one.name == name)


def test_a_live_session_is_no_paper_session() -> None:
    found = judged(*(a_live_session(number) for number in range(40, 60)), without=frozenset(range(10)))
    assert found.sessions == 25
    assert state(found, "PaperSessions") is CheckState.FAIL
    assert [one.is_clean for one in found.ledger.live] == [True] * 20


def test_a_live_session_changes_no_figure_of_paper() -> None:
    before = judged()
    after = judged(a_live_session(41, returnPercent="-50", filledOrders=0, shadowReturnPercent="9"))
    assert (after.checklist, after.score) == (before.checklist, before.score)


@pytest.mark.parametrize("number", [3, 41])
def test_a_live_session_that_the_broker_contradicts_fails_the_audit(number: int) -> None:
    found = judged(a_live_session(number, audit="Mismatch"))
    assert state(found, "BrokerAudit") is CheckState.FAIL
    assert found.verdict is GateVerdict.NO_GO
    assert list(found.ledger.live_mismatches) == [f"live-{number:03d}"]
    assert found.sessions == 35


def test_a_paper_mismatch_is_no_live_one() -> None:
    found = judged(a_session(41, audit="Mismatch"))
    assert (len(found.ledger.mismatches), found.ledger.live_mismatches) == (1, {})


@pytest.mark.parametrize(
    "flaw",
    [
        {"audit": "Unknown"},
        {"coveragePercent": "94"},
        {"closedNormally": False},
        {"killed": True},
        {"reconciliations": {"clean": 9, "mismatch": 1}},
        {"mode": "paper"},
    ],
)
def test_a_live_session_with_a_flaw_is_not_clean(flaw: dict[str, Any]) -> None:
    found = judged(a_live_session(41, **flaw))
    assert [one.is_clean for one in found.ledger.live] == [False]
    assert found.verdict is GateVerdict.GO, "what happens live is the demotion's business"


@pytest.mark.parametrize("changes", [{"uid": "another"}, {"account": "paper"}, {"account": "other"}])
def test_a_report_that_is_not_of_the_bot_and_account_its_evidence_names_is_set_aside(changes: dict[str, Any]) -> None:
    found = judged(a_live_session(41, **changes))
    assert found.ledger.live == ()
    assert "its report is of another" in found.ledger.set_aside["live-041"]


def test_a_paper_report_on_the_live_account_is_nothing() -> None:
    found = judged(a_live_session(41, mode="paper"))
    assert found.sessions == 35
    assert "not of a live bot" in found.ledger.set_aside["live-041"]


@settings(max_examples=20, deadline=None)
@given(st.randoms(), st.lists(st.sampled_from(["Match", "Unknown", "Mismatch"]), max_size=8))
def test_the_order_is_irrelevant_and_no_live_session_ever_raises_a_verdict(
    rng: random.Random, audits: list[str]
) -> None:
    live = [a_live_session(40 + number, audit=audit) for number, audit in enumerate(audits)]
    gone = frozenset(range(rng.randrange(12)))
    found, bare = judged(*live, without=gone), judged(without=gone)
    shuffled = [*(one for number, one in enumerate(all_good()) if number not in gone), *live]
    rng.shuffle(shuffled)
    assert evaluate(facts(evidence=shuffled), NOW) == found
    assert (found.score, found.sessions) == (bare.score, bare.sessions)
    order = [GateVerdict.NO_GO, GateVerdict.REVIEW, GateVerdict.GO]
    assert order.index(found.verdict) <= order.index(bare.verdict)
    assert ("Mismatch" in audits) == bool(found.ledger.live_mismatches)


# ---------------------------------------------------------------- drift of one session


def _report(value: str, shadow: str) -> Any:
    report = a_session(1, returnPercent=value, shadowReturnPercent=shadow).spec.session
    assert report is not None
    return report.report


@pytest.mark.parametrize(
    ("value", "shadow", "usual", "drift"),
    [
        ("1", "1", [], "0"),
        ("0", "0", [], "0"),
        ("0", "0.1", [], "100"),
        ("1", "2", [], "100"),
        ("1", "0.9", [], "10"),
        ("0.01", "0.03", ["-1", "1"], "2"),
        ("2", "1", ["-1", "1"], "50"),
        ("-2", "-1", ["-1", "1"], "50"),
    ],
)
def test_drift_is_measured_by_the_result_or_by_what_is_usual(
    value: str, shadow: str, usual: list[str], drift: str
) -> None:
    assert session_drift_percent(_report(value, shadow), [Decimal(one) for one in usual]) == Decimal(drift)


# ---------------------------------------------------------------- people


def test_what_was_approved_before_a_demotion_was_approved_without_knowing_it() -> None:
    early, late = an_approval(at=NOW - timedelta(hours=2)), an_approval(by="bob", at=NOW - timedelta(hours=1))
    good, void = promotions_of(
        [late, early],
        a_subject(),
        "standard",
        GATE.approvals,
        used=(),
        now=NOW,
        demoted_at=NOW - timedelta(hours=2),
    )
    assert [one.name for one in good] == ["approval-bob"]
    assert "older than the last demotion" in void["approval-ann"]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, True),
        ({"stage": 2}, False),
        ({"gate": "other"}, False),
        ({"subjectDigest": "0" * 64}, False),
        ({"botRef": {"name": "momentum", "uid": "another"}}, False),
        ({"action": "Promote"}, False),
    ],
)
def test_a_stage_is_approved_by_its_number_for_this_very_subject(changes: dict[str, Any], found: bool) -> None:
    approval = an_approval(**({"action": "AdvanceStage", "stage": 1, "verdict": None} | changes))
    since = approval.created_at
    assert (stage_approval([approval], a_subject(), "standard", stage=1, since=since) is not None) is found
    assert stage_approval([approval], a_subject(), "standard", stage=1, since=since + timedelta(seconds=1)) is None
