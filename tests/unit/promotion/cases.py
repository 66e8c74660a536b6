"""A bot that asks to be judged. Defaults are a healthy one: each test changes what it is about."""

import hashlib
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from tradingbot_api import (
    ApprovalSpec,
    BrokerAccountSpec,
    Drill,
    PromotionEvidenceSpec,
    PromotionGateSpec,
    TradingBotSpec,
)
from tradingbot_operator.promotion.approvals import Approval
from tradingbot_operator.promotion.evaluate import Facts
from tradingbot_operator.promotion.ledger import Evidence
from tradingbot_operator.promotion.subject import Subject, subject_of

UID = "11111111-2222-3333-4444-555555555555"
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
IMAGE = "registry/runtime@sha256:" + "a" * 64
FIRST_DAY = date(2026, 4, 1)
SPEC = TradingBotSpec.model_validate(
    {
        "mode": "live",
        "strategy": {"name": "momentum", "parameters": {"lookback": 20}},
        "symbols": ["AAPL", "MSFT"],
        "capital": "10000",
        "accounts": {"paper": "paper", "live": "live"},
        "gateRef": {"name": "standard"},
    }
)
LIVE_ACCOUNT = BrokerAccountSpec.model_validate(
    {"provider": "alpaca", "environment": "live", "credentialsSecretRef": {"name": "keys"}}
)
GATE = PromotionGateSpec.model_validate({"approvals": {"separationOfDuties": False}})


def a_gate(**changes: Any) -> PromotionGateSpec:
    """The standard gate without separation of duties; `changes` by their names in YAML."""
    return PromotionGateSpec.model_validate({"approvals": {"separationOfDuties": False}} | changes)


def a_subject(gate: PromotionGateSpec = GATE, spec: TradingBotSpec = SPEC, **changes: Any) -> Subject:
    options: dict[str, Any] = {"image": IMAGE, "kill_epoch": 0}
    return subject_of(UID, spec, gate, LIVE_ACCOUNT, **(options | changes))


def a_session(number: int, subject: Subject | None = None, *, audit: str = "Match", **changes: Any) -> Evidence:
    """Evidence of the n-th session, a good one; `changes` of the report by their names in YAML."""
    day = FIRST_DAY + timedelta(days=number)
    closes = datetime(day.year, day.month, day.day, 20, tzinfo=UTC)
    report: dict[str, Any] = {
        "session": day.isoformat(),
        "namespace": "demo",
        "name": "momentum",
        "uid": UID,
        "mode": "paper",
        "account": "paper",
        "opensAt": (closes - timedelta(hours=6.5)).isoformat(),
        "closesAt": closes.isoformat(),
        "coveragePercent": "99.5",
        "closedNormally": True,
        "starts": 1,
        "orders": 4,
        "filledOrders": 4,
        "fills": 5,
        "rejectedOrders": 0,
        "refusedOrders": 0,
        "pnl": "12.50",
        "returnPercent": "0.1250",
        "shadowReturnPercent": "0.1260",
        "slippageBps": "2",
        "fillRatePercent": "99",
        "turnover": "5000",
        "reconciliations": {"clean": 40, "mismatch": 0, "failed": 0},
        "operations": 200,
        "operationalErrors": 0,
        "incidents": 0,
        "killed": False,
    }
    if "returnPercent" in changes and "pnl" not in changes:
        changes["pnl"] = str(Decimal(changes["returnPercent"]) * SPEC.capital / 100)
    session = {
        "report": report | changes,
        "journalHash": "c" * 64,
        "audit": {"session": day.isoformat(), "result": audit},
    }
    return evidence(f"session-{number:03d}", closes, subject or a_subject(), type="Session", session=session)


def evidence(name: str, at: datetime, subject: Subject, **changes: Any) -> Evidence:
    """Evidence of any type about a subject."""
    fields: dict[str, Any] = {
        "botRef": {"name": "momentum", "uid": UID},
        "podUID": "pod-1",
        "subjectDigest": subject.digest,
        "observedGeneration": 1,
        "account": "paper",
        "provider": "alpaca",
        "image": IMAGE,
        "sourceDigest": hashlib.sha256(name.encode()).hexdigest(),
        "observedAt": at.isoformat(),
    }
    return Evidence(name, PromotionEvidenceSpec.model_validate(fields | changes), at)


def a_validation(subject: Subject | None = None, at: datetime = NOW - timedelta(days=5), **changes: Any) -> Evidence:
    fields: dict[str, Any] = {
        "sharpe": "1.4",
        "maxDrawdownPercent": "12",
        "walkForwardEfficiencyPercent": "70",
        "overfitRatio": "1.3",
        "tStatistic": "2.8",
        "permutationP": "0.01",
        "deflatedSharpe": "0.97",
        "causal": True,
        "artifacts": [{"name": "report.html", "sha256": "d" * 64}],
        "artifactsVerified": True,
        "parametersDigest": "e" * 64,
        "codeDigest": IMAGE,
        "dataFingerprint": "f" * 64,
    }
    return evidence("validation", at, subject or a_subject(), type="Validation", validation=fields | changes)


def a_drill(
    drill: Drill, subject: Subject | None = None, at: datetime = NOW - timedelta(days=3), **changes: Any
) -> Evidence:
    moment = at.isoformat()
    fields: dict[str, Any] = {
        "drill": drill.value,
        "injectedAt": moment,
        "detectedAt": moment,
        "recoveredAt": moment,
        "invariantsHeld": True,
    }
    return evidence(f"drill-{drill.value}", at, subject or a_subject(), type="Drill", drill=fields | changes)


def a_preflight(
    subject: Subject | None = None, at: datetime = NOW - timedelta(hours=1), *, passed: bool = True
) -> Evidence:
    checks = [{"name": "Keys", "passed": passed, "message": "401"}]
    return evidence(
        "preflight", at, subject or a_subject(), type="Preflight", account="live", preflight={"checks": checks}
    )


def all_good(subject: Subject | None = None, sessions: int = 35, gate: PromotionGateSpec = GATE) -> list[Evidence]:
    """Evidence with which every check of the gate passes."""
    subject = subject or a_subject(gate)
    drills = [a_drill(drill, subject) for drill in gate.checks.required_drills.drills]
    return [
        *(a_session(number, subject) for number in range(sessions)),
        a_validation(subject),
        *drills,
        a_preflight(subject),
    ]


def an_approval(
    subject: Subject | None = None, by: str = "ann", at: datetime = NOW - timedelta(hours=2), **changes: Any
) -> Approval:
    fields: dict[str, Any] = {
        "action": "Promote",
        "botRef": {"name": "momentum", "uid": UID},
        "gate": "standard",
        "subjectDigest": (subject or a_subject()).digest,
        "verdict": "GO",
        "approver": by,
        "reason": "looked at it",
    }
    return Approval(f"approval-{by}", f"uid-{by}", ApprovalSpec.model_validate(fields | changes), at)


def facts(gate: PromotionGateSpec = GATE, **changes: Any) -> Facts:
    """All that is known of a healthy bot."""
    subject = changes.get("subject") or a_subject(gate)
    options: dict[str, Any] = {
        "spec": SPEC,
        "gate_name": "standard",
        "gate": gate,
        "subject": subject,
        "evidence": all_good(subject, gate=gate),
        "incidents": (),
        "killed": False,
    }
    return Facts(**(options | changes))
