"""The shipped gates as they decide: how much may be missing for GO, for REVIEW, and what is a NO-GO whatever else."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tradingbot_api import AttestationSpec, CheckState, GateVerdict, ItemSource, PromotionGateSpec
from tradingbot_operator.promotion.evaluate import Assessment, Attestation, evaluate
from tradingbot_operator.promotion.ledger import Evidence
from unit.promotion.cases import IMAGE, NOW, a_session, a_subject, a_validation, all_good, an_approval, facts
from unit.promotion.test_presets import a_gate

STANDARD = a_gate("standard")
HARDENING = a_gate("hardening-80")
READINESS = a_gate("production-readiness")


def judged(gate: PromotionGateSpec, **changes: Any) -> Assessment:
    """What a gate says of a bot that shows everything, but for `changes`."""
    subject = a_subject(gate)
    names = [item.name for item in gate.items if item.source is ItemSource.MANUAL]
    defaults: dict[str, Any] = {
        "subject": subject,
        "evidence": all_good(subject, gate=gate),
        "approvals": [an_approval(subject, items=names)],
        "attestations": [a_ci(gate)] if any(item.source is ItemSource.ATTESTED for item in gate.items) else [],
    }
    return evaluate(facts(gate, **(defaults | changes)), NOW)


def a_ci(gate: PromotionGateSpec, ago: timedelta = timedelta(hours=1), *, failed: Sequence[str] = ()) -> Attestation:
    """What a CI says of every item it attests."""
    items = [
        {"name": item.name, "passed": item.name not in failed, "observed": "seen"}
        for item in gate.items
        if item.source is ItemSource.ATTESTED
    ]
    spec = {"gate": "standard", "attester": "ci", "imageDigest": IMAGE.partition("@")[2], "items": items}
    return Attestation("ci", AttestationSpec.model_validate(spec), NOW - ago)


def with_validation(gate: PromotionGateSpec, **changes: Any) -> list[Evidence]:
    subject = a_subject(gate)
    others = [one for one in all_good(subject, gate=gate) if one.spec.validation is None]
    return [*others, a_validation(subject, **changes)]


def with_session(gate: PromotionGateSpec, **changes: Any) -> list[Evidence]:
    """One of the sessions is another than it would be."""
    subject = a_subject(gate)
    others = [one for one in all_good(subject, gate=gate) if one.name != "session-003"]
    return [*others, a_session(3, subject, **changes)]


@pytest.mark.parametrize("gate", [STANDARD, READINESS, HARDENING], ids=["standard", "readiness", "hardening"])
def test_whoever_shows_everything_is_go(gate: PromotionGateSpec) -> None:
    found = judged(gate)
    assert (found.verdict, found.score, found.failed) == (GateVerdict.GO, 10_000, ())


@pytest.mark.parametrize("gate", [STANDARD, READINESS], ids=["standard", "readiness"])
@pytest.mark.parametrize(
    ("changes", "score", "verdict"),
    [
        ({"overfitRatio": "2.1"}, 9_500, GateVerdict.REVIEW),
        ({"sharpe": "0.9"}, 9_000, GateVerdict.NO_GO),
        ({"maxDrawdownPercent": "21"}, 9_000, GateVerdict.NO_GO),
        ({"walkForwardEfficiencyPercent": "49"}, 8_500, GateVerdict.NO_GO),
        ({"overfitRatio": "2.1", "sharpe": "0.9"}, 8_500, GateVerdict.NO_GO),
    ],
)
def test_one_check_of_weight_five_may_fail_and_one_of_ten_may_not(
    gate: PromotionGateSpec, changes: dict[str, Any], score: int, verdict: GateVerdict
) -> None:
    found = judged(gate, evidence=with_validation(gate, **changes))
    assert (found.score, found.verdict, found.blockers) == (score, verdict, ())


@pytest.mark.parametrize("gate", [STANDARD, READINESS, HARDENING], ids=["standard", "readiness", "hardening"])
@pytest.mark.parametrize(("audit", "state"), [("Unknown", CheckState.UNKNOWN), ("Mismatch", CheckState.FAIL)])
def test_a_missing_audit_is_as_much_a_no_go_as_one_that_contradicts(
    gate: PromotionGateSpec, audit: str, state: CheckState
) -> None:
    found = judged(gate, evidence=with_session(gate, audit=audit))
    assert found.verdict is GateVerdict.NO_GO
    assert "BrokerAudit" in found.blockers
    assert next(one.finding.state for one in found.checklist if one.name == "BrokerAudit") is state


@pytest.mark.parametrize(
    ("missing", "verdict"),
    [(0, GateVerdict.GO), (1, GateVerdict.REVIEW), (4, GateVerdict.REVIEW), (5, GateVerdict.NO_GO)],
)
@pytest.mark.parametrize("source", list(ItemSource))
def test_of_eighty_lines_seventy_six_are_needed(source: ItemSource, missing: int, verdict: GateVerdict) -> None:
    left_out = [item.name for item in HARDENING.items if item.source is source][:missing]
    signed = [item.name for item in HARDENING.items if item.source is ItemSource.MANUAL and item.name not in left_out]
    found = judged(
        HARDENING,
        approvals=[an_approval(a_subject(HARDENING), items=signed)],
        attestations=[a_ci(HARDENING, failed=left_out)],
    )
    assert (found.score, found.verdict) == ((80 - missing) * 125, verdict)
    assert sorted(found.failed) == sorted(left_out)


def test_until_drills_and_validations_exist_hardening_is_review_and_the_others_no_go() -> None:
    def without_them(gate: PromotionGateSpec) -> Assessment:
        kept = [one for one in all_good(a_subject(gate), gate=gate) if not (one.spec.drill or one.spec.validation)]
        return judged(gate, evidence=kept)

    assert (without_them(HARDENING).verdict, without_them(HARDENING).score) == (GateVerdict.REVIEW, 78 * 125)
    for gate in (STANDARD, READINESS):
        assert set(without_them(gate).blockers) == {"ValidationArtifacts", "RequiredDrills"}


@pytest.mark.parametrize("gate", [READINESS, HARDENING], ids=["readiness", "hardening"])
def test_a_ci_that_sleeps_is_no_go(gate: PromotionGateSpec) -> None:
    found = judged(gate, attestations=[a_ci(gate, timedelta(days=7, minutes=1))])
    assert found.verdict is GateVerdict.NO_GO
    stale = {check.name for check in found.checklist if check.finding.state is CheckState.STALE}
    assert stale == {item.name for item in gate.items if item.source is ItemSource.ATTESTED}
    assert judged(gate, attestations=[a_ci(gate, timedelta(days=6))]).verdict is GateVerdict.GO


def test_the_return_that_a_gate_reads_is_that_of_the_profit_that_was_audited() -> None:
    # The broker knows no capital: an audit compares the profit alone, and the checks of profit read the return.
    lie = with_session(STANDARD, returnPercent="9.0000", shadowReturnPercent="9.0000", pnl="12.50")
    found = judged(STANDARD, evidence=lie)
    assert found.verdict is GateVerdict.NO_GO
    assert "is not that of a profit of 12.50" in found.ledger.mismatches["session-003"]
    rounded = with_session(STANDARD, returnPercent="0.1251", pnl="12.50")
    assert judged(STANDARD, evidence=rounded).verdict is GateVerdict.GO


def test_what_another_subject_has_reported_contradicts_nothing() -> None:
    foreign = replace(a_session(3, a_subject(), returnPercent="9.0000", pnl="1.00"), name="foreign")
    found = judged(HARDENING, evidence=[*all_good(a_subject(HARDENING), gate=HARDENING), foreign])
    assert found.verdict is GateVerdict.GO
    assert "of another subject" in found.ledger.set_aside["foreign"]
