"""The demo's way from paper to live: what it shows, what it approves, and what each step waits for."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

import demo_promotion
from demo_promotion import Promotion, Sight
from tradingbot_api import ApprovalSpec

DIGEST = "a" * 64
NOW = "2026-03-02T15:00:00Z"


def promotion(verdict: str = "GO", **changes: Any) -> dict[str, Any]:
    return {
        "gate": "demo",
        "verdict": verdict,
        "score": 10000,
        "sessions": 30,
        "requiredSessions": 30,
        "subject": {"digest": DIGEST, "image": "sha256:1", "since": NOW, "inputs": []},
        "checklist": [
            {"name": "PaperSessions", "kind": "Blocking", "state": "Pass", "observed": "30", "lastEvaluated": NOW},
            {"name": "PaperProfit", "kind": "NotApplicable", "state": "NotApplicable", "lastEvaluated": NOW},
        ],
    } | changes


def a_bot(mode: str = "paper", **status: Any) -> dict[str, Any]:
    return {"metadata": {"uid": "u-1"}, "spec": {"mode": mode}, "status": status}


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": NOW}


class Cluster:
    """A bot that is in one state after the other, and what was asked of kubectl."""

    def __init__(self, *states: dict[str, Any]) -> None:
        self.states = list(states)
        self.asked: list[tuple[tuple[str, ...], str | None]] = []

    def __call__(self, *arguments: str, document: str | None = None) -> str:
        self.asked.append((arguments, document))
        return ""

    def get(self, *arguments: str) -> dict[str, Any]:
        return self.states[0]


def steps(cluster: Cluster, told: list[str] | None = None) -> Promotion:
    def wait(look: Callable[[], str | None], limit_seconds: float, what: str) -> None:
        while (said := look()) is not None:
            shown.append(said)
            assert len(cluster.states) > 1, f"{what} never came: {said}"
            cluster.states.pop(0)

    shown = told if told is not None else []
    return Promotion(cluster, wait, shown.append, bot="momentum", namespace="demo")


def test_sessions_are_waited_for_until_the_verdict_can_be_approved() -> None:
    told: list[str] = []
    waiting = promotion("NO-GO", sessions=12, blockers=["PaperSessions", "Preflight"])
    cluster = Cluster(a_bot(), a_bot(promotion=waiting), a_bot(promotion=promotion("REVIEW")))
    assert steps(cluster, told).earn().verdict.value == "REVIEW"
    assert told == [
        "waiting for the operator's first verdict",
        "NO-GO, 12 of 30 sessions count; not passed yet: PaperSessions, Preflight",
    ]


def test_the_checklist_leaves_out_what_the_gate_leaves_out() -> None:
    said = Sight.of(a_bot(promotion=promotion())).promotion
    assert said is not None
    table = demo_promotion.checklist_table(said)
    assert list(table.columns[0].cells) == ["PaperSessions"]
    assert "GO, score 100 %" in str(table.title)


def test_asking_says_why_the_bot_stays_on_paper() -> None:
    quiet = a_bot("live", conditions=[condition("LiveAuthorized", "False", "NotRequested")])
    answer = a_bot("live", conditions=[condition("LiveAuthorized", "False", "NotApproved", "0 of 1 approvals")])
    cluster = Cluster(quiet, answer)
    assert steps(cluster).ask() == "0 of 1 approvals"
    patch = next(one for one in cluster.asked[0][0] if one.startswith("--patch="))
    assert json.loads(patch.removeprefix("--patch=")) == {"spec": {"mode": "live"}}


def test_the_approval_is_of_this_verdict_and_subject_and_written_as_its_author() -> None:
    failed = {"name": "ShadowDrift", "kind": "Weighted", "state": "Fail", "lastEvaluated": NOW}
    said = promotion("REVIEW")
    said["checklist"].append(failed)
    cluster = Cluster(a_bot("live", promotion=said))
    document = yaml.safe_load(steps(cluster).approve())
    arguments, sent = cluster.asked[0]
    assert arguments == ("create", "--filename=-", "--as=alice")
    assert yaml.safe_load(sent or "") == document
    spec = ApprovalSpec.model_validate(document["spec"])
    assert (spec.bot_ref.uid, spec.subject_digest, spec.verdict and spec.verdict.value) == ("u-1", DIGEST, "REVIEW")
    assert spec.approver == demo_promotion.APPROVER
    assert "ShadowDrift" in spec.reason
    assert "PaperProfit" not in spec.reason


def test_without_a_verdict_there_is_nothing_to_approve() -> None:
    with pytest.raises(ValueError, match="no verdict"):
        steps(Cluster(a_bot("live"))).approve()


def test_a_kill_is_over_when_the_broker_says_that_nothing_is_held() -> None:
    cancelled = {"observedAt": NOW, "ordersCancelledAt": NOW}
    killed = condition("Killed", "True", "OrdersCancelled", "closing")
    cluster = Cluster(
        a_bot(),
        a_bot(kill=cancelled, conditions=[killed]),
        a_bot(kill=cancelled | {"flatAt": "2099-01-01T00:00:00Z"}),
    )
    told: list[str] = []
    assert steps(cluster, told).kill("enough") > 0
    assert cluster.asked[0][0][:3] == ("annotate", "bot", "momentum")
    assert told == ["waiting for the bot", "closing"]


def test_the_demo_ends_when_the_killed_bot_is_back_on_paper() -> None:
    killed = condition("Killed", "True", "Flat")
    leaving = condition("Withdrawing", "True", "WaitingForTheBot", "the live pod has not confirmed")
    ready = condition("Ready", "True", "Ready")
    grant = {
        "subjectDigest": DIGEST, "epoch": 1, "grantedAt": NOW, "gate": "demo", "account": "live", "verdict": "GO",
        "approvals": [], "stageSince": NOW,
    }  # fmt: skip
    cluster = Cluster(
        a_bot(effectiveMode="live", grant=grant, conditions=[killed]),
        a_bot(effectiveMode="live", conditions=[killed, leaving]),
        a_bot(effectiveMode="paper", conditions=[ready]),
        a_bot(effectiveMode="paper", conditions=[killed, condition("Ready", "False", "Killed")]),
    )
    told: list[str] = []
    steps(cluster, told).back_on_paper()
    assert told == ["waiting for the operator", "the live pod has not confirmed", "waiting for the operator"]
    assert len(cluster.states) == 1
