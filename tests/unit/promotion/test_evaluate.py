"""Verdicts: which evidence leads to which, and that nothing unknown, foreign or doubtful ever helps."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradingbot_api import AttestationSpec, CheckKind, Drill, GateVerdict, PromotionGateSpec, TradingBotSpec
from tradingbot_operator.promotion.evaluate import Assessment, Attestation, evaluate, score_of, verdict_of
from tradingbot_operator.promotion.findings import Check, CheckState, Finding
from tradingbot_operator.promotion.ledger import Evidence
from tradingbot_operator.promotion.subject import changed_inputs
from unit.promotion.cases import (
    GATE,
    NOW,
    SPEC,
    a_drill,
    a_gate,
    a_preflight,
    a_session,
    a_subject,
    a_validation,
    all_good,
    an_approval,
    evidence,
    facts,
)


def judged(gate: PromotionGateSpec = GATE, **changes: Any) -> Assessment:
    return evaluate(facts(gate, **changes), NOW)


def check(assessment: Assessment, name: str) -> Finding:
    return next(one.finding for one in assessment.checklist if one.name == name)


def with_sessions(change: Callable[[int], dict[str, Any]], count: int = 35) -> list[Evidence]:
    others = [one for one in all_good() if one.spec.session is None]
    return [*(a_session(number, **change(number)) for number in range(count)), *others]


# ---------------------------------------------------------------------- verdicts


def test_a_bot_with_everything_is_go() -> None:
    found = judged()
    assert (found.verdict, found.score, found.blockers, found.failed) == (GateVerdict.GO, 10_000, (), ())
    assert found.sessions == 35


def test_a_bot_with_nothing_is_no_go_and_every_line_says_why() -> None:
    found = judged(evidence=(), incidents=None, killed=None)
    assert (found.verdict, found.score) == (GateVerdict.NO_GO, 0)
    for one in found.checklist:
        assert one.finding.state is not CheckState.PASS, one
        assert one.finding.message, one
        assert one.finding.threshold, one


@pytest.mark.parametrize(
    ("changes", "score", "verdict"),
    [
        ({"overfitRatio": "3"}, 9_500, GateVerdict.REVIEW),
        ({"sharpe": "0.5"}, 9_000, GateVerdict.NO_GO),
        ({"tStatistic": "1"}, 8_500, GateVerdict.NO_GO),
        ({"permutationP": "0.05"}, 8_500, GateVerdict.NO_GO),
        ({"overfitRatio": "-1"}, 9_500, GateVerdict.REVIEW),
        ({"artifactsVerified": False}, 10_000, GateVerdict.NO_GO),
    ],
)
def test_a_failed_check_costs_its_weight(changes: dict[str, Any], score: int, verdict: GateVerdict) -> None:
    kept = [one for one in all_good() if one.spec.validation is None]
    found = judged(evidence=[*kept, a_validation(**changes)])
    assert (found.score, found.verdict) == (score, verdict)


@pytest.mark.parametrize(("passed", "verdict"), [(80, "GO"), (76, "REVIEW"), (75, "NO-GO"), (0, "NO-GO")])
def test_a_list_of_eighty_items_needs_seventy_six(passed: int, verdict: str) -> None:
    items = [{"name": f"item-{n}", "text": "x", "kind": "Weighted", "weight": 1} for n in range(80)]
    nothing_else = {
        name: {"kind": "NotApplicable"}
        for name in PromotionGateSpec().checks.model_dump(by_alias=True)
        if name not in {"cleanReconciliationSessions", "preflight"}
    }
    gate = a_gate(items=items, checks=nothing_else | {"cleanReconciliationSessions": {"minimum": 1}})
    subject = a_subject(gate)
    approval = an_approval(subject, items=[f"item-{n}" for n in range(passed)])
    found = judged(gate, subject=subject, approvals=[approval])
    assert (found.score, found.verdict.value) == (passed * 125, verdict)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("NoOpenIncident", {"incidents": ("i-1",)}),
        ("NoOpenIncident", {"incidents": None}),
        ("NotKilled", {"killed": True}),
        ("NotKilled", {"killed": None}),
        ("PaperSessions", {"evidence": all_good(sessions=29)}),
        ("PaperTrades", {"evidence": with_sessions(lambda n: {"filledOrders": 0})}),
        ("BrokerAudit", {"evidence": with_sessions(lambda n: {"audit": "Mismatch"} if n == 3 else {})}),
        ("BrokerAudit", {"evidence": with_sessions(lambda n: {"audit": "Unknown"} if n == 3 else {})}),
        (
            "CleanReconciliationSessions",
            {
                "evidence": with_sessions(
                    lambda n: {"reconciliations": {"clean": 9999, "mismatch": 1}} if n == 32 else {}
                )
            },
        ),
        (
            "ReconciliationRate",
            {"evidence": with_sessions(lambda n: {"reconciliations": {"clean": 190, "failed": 1}})},
        ),
        ("OperationalErrorRate", {"evidence": with_sessions(lambda n: {"operationalErrors": 5})}),
        ("RequiredDrills", {"evidence": [one for one in all_good() if one.spec.drill is None]}),
        ("Preflight", {"evidence": [one for one in all_good() if one.spec.preflight is None]}),
        ("Preflight", {"evidence": [*(o for o in all_good() if o.spec.preflight is None), a_preflight(passed=False)]}),
        (
            "Preflight",
            {
                "evidence": [
                    *(o for o in all_good() if o.spec.preflight is None),
                    a_preflight(at=NOW - timedelta(hours=25)),
                ]
            },
        ),
        ("ValidationArtifacts", {"evidence": [one for one in all_good() if one.spec.validation is None]}),
    ],
)
def test_one_blocking_check_that_does_not_pass_is_no_go(name: str, changes: dict[str, Any]) -> None:
    found = judged(**changes)
    assert found.verdict is GateVerdict.NO_GO
    assert name in found.blockers


@pytest.mark.parametrize(
    ("name", "report"),
    [
        ("PaperProfit", {"returnPercent": "-0.1", "shadowReturnPercent": "-0.1"}),
        ("AverageSlippage", {"slippageBps": "26"}),
        ("FillRate", {"fillRatePercent": "94"}),
        ("ShadowDrift", {"shadowReturnPercent": "0.2"}),
        ("ExecutionQuality", {"slippageBps": "30"}),
        ("PaperMaxDrawdown", {"returnPercent": "-1", "shadowReturnPercent": "-1"}),
    ],
)
def test_what_sessions_say_is_weighed(name: str, report: dict[str, Any]) -> None:
    found = judged(evidence=with_sessions(lambda n: report))
    assert check(found, name).state is CheckState.FAIL
    assert found.score < 10_000


def test_a_drill_that_failed_or_was_never_noticed_does_not_pass() -> None:
    others = [one for one in all_good() if one.spec.drill is None or one.spec.drill.drill is not Drill.KILL]
    for changes in ({"invariantsHeld": False}, {"detectedAt": None}, {"recoveredAt": None}):
        found = judged(evidence=[*others, a_drill(Drill.KILL, **changes)])
        assert check(found, "RequiredDrills").state is CheckState.FAIL
        assert "Kill" in check(found, "RequiredDrills").message
    old = judged(evidence=[*others, a_drill(Drill.KILL, at=NOW - timedelta(days=31))])
    assert check(old, "RequiredDrills").state is CheckState.STALE


def test_the_newest_drill_counts() -> None:
    good, failed = a_drill(Drill.KILL), a_drill(Drill.KILL, at=NOW - timedelta(days=1), invariantsHeld=False)
    found = judged(evidence=[*all_good(), good, replace(failed, name="drill-later")])
    assert check(found, "RequiredDrills").state is CheckState.FAIL


def test_an_old_validation_is_stale_for_all_that_is_read_from_it() -> None:
    kept = [one for one in all_good() if one.spec.validation is None]
    found = judged(evidence=[*kept, a_validation(at=NOW - timedelta(days=91))])
    stale = {one.name for one in found.checklist if one.finding.state is CheckState.STALE}
    assert {"ValidationArtifacts", "BacktestSharpe", "StatisticalSignificance", "OverfitRatio"} <= stale


# ---------------------------------------------------------------------- evidence that does not count


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"botRef": {"name": "momentum", "uid": "another"}}, "of another bot"),
        ({"subjectDigest": "0" * 64}, "of another subject"),
        ({"image": "other@sha256:" + "b" * 64}, "of another image"),
        ({"account": "other"}, "of another account"),
        ({"provider": "simulator"}, "from a simulator"),
    ],
)
def test_foreign_evidence_never_counts_and_says_why(changes: dict[str, Any], said: str) -> None:
    foreign = [
        Evidence(
            one.name,
            one.spec.__class__.model_validate(one.spec.model_dump(by_alias=True, exclude_none=True) | changes),
            one.observed_at,
        )
        for one in all_good()
        if one.spec.session is not None
    ]
    found = judged(evidence=foreign)
    assert found.sessions == 0
    assert len(found.ledger.set_aside) == 35
    assert all(said in why for why in found.ledger.set_aside.values())


@pytest.mark.parametrize(
    ("report", "said"),
    [
        ({"coveragePercent": "94.99"}, "94.99 %"),
        ({"coveragePercent": "128"}, "a clock was wrong"),
        ({"closedNormally": False}, "nobody saw its end"),
        ({"killed": True}, "a kill"),
        ({"mode": "live"}, "not of a paper bot"),
    ],
)
def test_a_session_that_is_not_whole_does_not_count(report: dict[str, Any], said: str) -> None:
    found = judged(evidence=with_sessions(lambda n: report if n == 4 else {}))
    assert found.sessions == 34
    assert said in found.ledger.set_aside["session-004"]


def test_evidence_from_the_future_does_not_count() -> None:
    late = Evidence("late", a_session(1).spec, NOW + timedelta(minutes=6))
    assert "future" in judged(evidence=[late]).ledger.set_aside["late"]


def test_sessions_that_are_too_old_do_not_count() -> None:
    gate = a_gate(checks={"paperSessions": {"maxAge": "30d"}})
    found = judged(gate)
    assert 0 < found.sessions < 35
    assert check(found, "PaperSessions").state is CheckState.FAIL


def test_the_same_session_twice_counts_once_and_two_that_differ_contradict_each_other() -> None:
    twice = replace(a_session(3), name="again")
    same = Evidence("again", twice.spec, twice.observed_at)
    found = judged(evidence=[*all_good(), same])
    assert found.sessions == 35
    other = evidence("other", a_session(3).observed_at, a_subject(), type="Session", session=a_session(3).spec.session)
    found = judged(evidence=[*all_good(), other])
    assert check(found, "BrokerAudit").state is CheckState.FAIL
    assert "differ" in check(found, "BrokerAudit").message


def test_an_audit_of_another_day_is_no_audit() -> None:
    spec = a_session(3).spec
    assert spec.session is not None
    moved = spec.session.model_copy(update={"audit": spec.session.audit.model_copy(update={"session": "2026-01-02"})})
    other = Evidence("session-003", spec.model_copy(update={"session": moved}), a_session(3).observed_at)
    found = judged(evidence=[*(one for one in all_good() if one.name != "session-003"), other])
    assert check(found, "BrokerAudit").state is CheckState.UNKNOWN


# ---------------------------------------------------------------------- the subject


@pytest.mark.parametrize(
    ("changed", "subject"),
    [
        ("image", a_subject(image="other")),
        ("killEpoch", a_subject(kill_epoch=1)),
        ("gate", a_subject(a_gate(checks={"paperTrades": {"minimum": 31}}))),
        (
            "strategy",
            a_subject(
                spec=SPEC.model_copy(
                    update={"strategy": SPEC.strategy.model_copy(update={"parameters": {"lookback": 21}})}
                )
            ),
        ),
        ("symbols", a_subject(spec=SPEC.model_copy(update={"symbols": ["AAPL"]}))),
        (
            "capital",
            a_subject(
                spec=TradingBotSpec.model_validate(
                    SPEC.model_dump(mode="json", by_alias=True, exclude_none=True) | {"capital": "10001"}
                )
            ),
        ),
    ],
)
def test_every_change_that_matters_is_another_subject_and_is_named(changed: str, subject: Any) -> None:
    assert subject.digest != a_subject().digest
    assert changed_inputs(a_subject().inputs, subject.inputs) == (changed,)
    assert judged(subject=subject, evidence=all_good()).sessions == 0


def test_the_order_of_symbols_does_not_matter() -> None:
    turned = SPEC.model_copy(update={"symbols": ["MSFT", "AAPL"]})
    assert a_subject(spec=turned).digest == a_subject().digest


def test_nothing_counts_while_the_image_is_unknown() -> None:
    subject = a_subject(image=None)
    found = judged(subject=subject, evidence=all_good(subject))
    assert found.verdict is GateVerdict.NO_GO
    assert "image is not known" in check(found, "PaperSessions").message


# ---------------------------------------------------------------------- items


def an_attestation(passed: bool = True, at: timedelta = timedelta(hours=1), image: str = "a" * 64) -> Attestation:
    spec = {
        "gate": "standard",
        "attester": "ci",
        "imageDigest": f"sha256:{image}",
        "items": [{"name": "tests", "passed": passed, "observed": "1200 of 1200"}],
    }
    return Attestation("ci-1", AttestationSpec.model_validate(spec), NOW - at)


@pytest.mark.parametrize(
    ("attestations", "state"),
    [
        ([an_attestation()], CheckState.PASS),
        ([], CheckState.UNKNOWN),
        ([an_attestation(passed=False)], CheckState.FAIL),
        ([an_attestation(image="b" * 64)], CheckState.UNKNOWN),
        ([an_attestation(at=timedelta(days=2))], CheckState.STALE),
        ([an_attestation(at=timedelta(hours=5)), an_attestation(passed=False)], CheckState.FAIL),
    ],
)
def test_an_attested_item_is_the_newest_word_about_this_very_image(
    attestations: list[Attestation], state: CheckState
) -> None:
    gate = a_gate(items=[{"name": "tests", "text": "all tests are green", "source": "Attested", "maxAge": "1d"}])
    found = judged(gate, attestations=attestations)
    assert check(found, "tests").state is state
    assert (found.verdict is GateVerdict.GO) == (state is CheckState.PASS)


# ---------------------------------------------------------------------- properties

CHECK_STATES = st.sampled_from(list(CheckState))
KINDS = st.sampled_from(list(CheckKind))


@st.composite
def checklists(draw: st.DrawFn) -> list[Check]:
    return [
        Check(f"c{n}", draw(KINDS), draw(st.integers(1, 1000)), Finding(draw(CHECK_STATES), "", ""))
        for n in range(draw(st.integers(0, 12)))
    ]


@given(checklists(), st.randoms())
def test_the_order_of_checks_keeps_the_score(checklist: list[Check], rng: random.Random) -> None:
    shuffled = checklist[:]
    rng.shuffle(shuffled)
    assert score_of(shuffled) == score_of(checklist)


@given(checklists(), st.integers(0, 11))
def test_one_more_pass_never_lowers_a_verdict(checklist: list[Check], index: int) -> None:
    if not checklist:
        return
    one = checklist[index % len(checklist)]
    better = [Check(c.name, c.kind, c.weight, Finding(CheckState.PASS, "", "")) if c is one else c for c in checklist]
    order = [GateVerdict.NO_GO, GateVerdict.REVIEW, GateVerdict.GO]
    ranks = [
        order.index(
            verdict_of(score_of(each), blocked=any(c.kind is CheckKind.BLOCKING and not c.passes for c in each))
        )
        for each in (checklist, better)
    ]
    assert ranks[1] >= ranks[0]


@given(checklists())
def test_unknown_counts_as_much_as_failed(checklist: list[Check]) -> None:
    failed = [c if c.passes else Check(c.name, c.kind, c.weight, Finding(CheckState.FAIL, "", "")) for c in checklist]
    assert score_of(failed) == score_of(checklist)


@settings(max_examples=30, deadline=None)
@given(st.randoms(), st.lists(st.integers(0, 41), max_size=20))
def test_the_order_of_evidence_is_irrelevant_and_less_of_it_never_better(rng: random.Random, gone: list[int]) -> None:
    whole = all_good()
    some = [one for number, one in enumerate(whole) if number not in gone]
    shuffled = some[:]
    rng.shuffle(shuffled)
    found = judged(evidence=some)
    assert judged(evidence=shuffled) == found
    assert found.score <= judged(evidence=whole).score
    assert found.verdict in {GateVerdict.GO, GateVerdict.NO_GO}
