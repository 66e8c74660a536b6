"""A bot on its way from paper to live: each look is carried out as the reconciler would, and the pod follows."""

import copy
import itertools
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tradingbot_api import PromotionStatus, RuntimeReport, TradingBotStatus
from tradingbot_operator.plan import BotSnapshot, Plan, PlanSettings, ReportAnswer, Reported, plan_bot
from tradingbot_operator.plan.conditions import Verdict, true
from tradingbot_operator.plan.names import labels
from tradingbot_operator.plan.objects import Raw, name_of, uid_of
from unit.operator.world import NOW, UID, a_bot, a_claim, a_pod, a_report, an_account, stamp

IMAGE_ID = "docker.io/library/runtime@sha256:" + "a" * 64
POLICIES = true("PolicyEnforced", "InPlace", "in place")
SESSIONS = 3
NOT_APPLICABLE = (
    "validationArtifacts",
    "requiredDrills",
    "backtestSharpe",
    "backtestMaxDrawdown",
    "walkForwardEfficiency",
    "overfitRatio",
    "statisticalSignificance",
)
_uids = itertools.count(1)


def a_gate(*, checks: Any = None, **spec: Any) -> Raw:
    """A gate that asks for three sessions and a preflight, of which a paper profit weighs all but a twentieth."""
    wanted: dict[str, Any] = {
        "paperSessions": {"minimum": SESSIONS},
        "paperTrades": {"minimum": 3},
        "cleanReconciliationSessions": {"minimum": 2},
        "paperProfit": {"weight": 70},
        **{name: {"kind": "NotApplicable"} for name in NOT_APPLICABLE},
        **(checks or {}),
    }
    metadata = {"name": "standard", "namespace": "demo", "uid": "uid-of-gate", "resourceVersion": "9", "generation": 1}
    document = {"checks": wanted, "approvals": {"separationOfDuties": False}, **spec}
    return {"kind": "PromotionGate", "metadata": metadata, "spec": document}


def a_live_account(name: str = "real", **spec: Any) -> Raw:
    """A live account at the simulator, as the demo has it."""
    return an_account(name, **{"environment": "live", "credentialsSecretRef": {"name": "live-keys"}, **spec})


def promotable(name: str = "momentum", **spec: Any) -> Raw:
    defaults: dict[str, Any] = {
        "mode": "live",
        "accounts": {"paper": "sim", "live": "real"},
        "gateRef": {"name": "standard"},
    }
    return a_bot(name, **(defaults | spec))


def an_object(kind: str, name: str, spec: Any, *, created: datetime) -> Raw:
    metadata = {
        "name": name,
        "namespace": "demo",
        "uid": f"uid-{next(_uids)}",
        "resourceVersion": "1",
        "creationTimestamp": stamp(created),
    }
    return {"kind": kind, "metadata": metadata, "spec": spec}


@dataclass
class Candidate:
    """One bot, and what is around it."""

    bot: Raw = field(default_factory=promotable)
    now: datetime = NOW
    gate: Raw | None = field(default_factory=a_gate)
    account: Raw | None = field(default_factory=an_account)
    live_account: Raw | None = field(default_factory=a_live_account)
    policies: Verdict = POLICIES
    image_id: str = IMAGE_ID
    settings: PlanSettings = field(default_factory=lambda: PlanSettings(runtime_image="tradingbot-runtime:test"))
    evidence: list[Raw] = field(default_factory=list)
    approvals: list[Raw] = field(default_factory=list)
    attestations: list[Raw] = field(default_factory=list)
    stateful_set: Raw | None = None
    pods: tuple[Raw, ...] = ()
    report: dict[str, Any] = field(default_factory=dict)
    """Parts of the pod's report."""
    reported: Reported | None = None
    """Instead of the pod's report."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Of the snapshot."""
    plan: Plan = field(default_factory=Plan)

    # ------------------------------------------------------------ the world

    @property
    def status(self) -> TradingBotStatus:
        return TradingBotStatus.model_validate(self.bot.get("status", {}))

    @property
    def promotion(self) -> PromotionStatus:
        found = self.status.promotion
        assert found is not None
        return found

    @property
    def digest(self) -> str:
        return self.status.subject_digest or "0" * 64

    def spec(self, **changes: Any) -> "Candidate":
        metadata = {**self.bot["metadata"], "generation": self.bot["metadata"]["generation"] + 1}
        self.bot = {**self.bot, "metadata": metadata, "spec": {**self.bot["spec"], **changes}}
        return self

    def annotate(self, key: str, value: str) -> "Candidate":
        self.bot = {**self.bot, "metadata": {**self.bot["metadata"], "annotations": {key: value}}}
        return self

    def later(self, **span: float) -> "Candidate":
        self.now += timedelta(**span)
        return self

    @property
    def is_live_pod(self) -> bool:
        return bool(self.pods) and "tradingbots.dev/live" in self.pods[0]["metadata"]["labels"]

    def the_report(self) -> RuntimeReport:
        return a_report(
            name=name_of(self.bot),
            uid=uid_of(self.bot),
            mode="live" if self.is_live_pod else "paper",
            **({"incidents": []} | self.report),
        )

    def snapshot(self) -> BotSnapshot:
        reported: Reported = self.reported or ReportAnswer(self.the_report(), self.now - timedelta(seconds=1))
        options: dict[str, Any] = {
            "bot": self.bot,
            "now": self.now,
            "settings": self.settings,
            "account": self.account,
            "live_account": self.live_account,
            "gate": self.gate,
            "policies": self.policies,
            "children": {"StatefulSet": self.stateful_set} if self.stateful_set is not None else {},
            "pods": self.pods,
            "account_pods": () if self.is_live_pod else self.pods,
            "live_pods": self.pods if self.is_live_pod else (),
            "claim": a_claim(),
            "evidence": tuple(self.evidence),
            "approvals": tuple(self.approvals),
            "attestations": tuple(self.attestations),
            "reported": reported,
        }
        return BotSnapshot(**(options | self.changes))

    # ------------------------------------------------------------ doing

    def look(self) -> Plan:
        """One look, carried out: the children are applied, the status is written. The pod stays as it is."""
        self.plan = plan_bot(self.snapshot())
        for child in self.plan.apply:
            if child.kind == "StatefulSet":
                self.stateful_set = copy.deepcopy(child.manifest)
                self.stateful_set["metadata"]["uid"] = "uid-of-set"
                self.stateful_set["metadata"]["creationTimestamp"] = stamp(self.now)
        if self.plan.stop and self.stateful_set is not None:
            self.stateful_set = {**self.stateful_set, "spec": {**self.stateful_set["spec"], "replicas": 0}}
        if self.plan.status is not None:
            self.bot = {**self.bot, "status": copy.deepcopy(self.plan.status)}
        return self.plan

    def follow(self) -> "Candidate":
        """The StatefulSet controller and the kubelet: the pod is as the set says, and runs."""
        assert self.stateful_set is not None
        template = self.stateful_set["spec"]["template"]
        image = template["spec"]["containers"][0]["image"]
        pod = copy.deepcopy(dict(a_pod()))
        pod["metadata"]["labels"] = {**labels(name_of(self.bot), "bot"), **template["metadata"]["labels"]}
        pod["metadata"]["annotations"] = template["metadata"]["annotations"]
        pod["metadata"]["uid"] = f"pod-{next(_uids)}"
        pod["spec"] = {"nodeName": "node1", "containers": [{"name": "bot", "image": image}]}
        pod["status"]["containerStatuses"][0]["imageID"] = self.image_id
        self.pods = (pod,) if self.stateful_set["spec"]["replicas"] else ()
        return self

    def settle(self, looks: int = 4) -> "Candidate":
        """Looks again and again, with a second between, and the pod follows each time."""
        for _ in range(looks):
            self.look()
            if self.stateful_set is not None and self._is_outdated():
                self.follow()
            self.later(seconds=1)
        return self

    def _is_outdated(self) -> bool:
        assert self.stateful_set is not None
        wanted = self.stateful_set["spec"]["template"]["metadata"]["annotations"]
        return not self.pods or self.pods[0]["metadata"]["annotations"] != wanted

    # ------------------------------------------------------------ what others write

    def session(self, number: int, *, live: bool = False, audit: str = "Match", **report: Any) -> Raw:
        """Evidence of the n-th session before now."""
        closed = self.now - timedelta(minutes=10 + number)
        day = (NOW - timedelta(days=number + 1)).date().isoformat()
        document: dict[str, Any] = {
            "session": day,
            "namespace": "demo",
            "name": "momentum",
            "uid": UID,
            "mode": "live" if live else "paper",
            "account": "real" if live else "sim",
            "opensAt": f"{day}T14:30:00Z",
            "closesAt": f"{day}T21:00:00Z",
            "beganAt": stamp(self.now),
            "coveragePercent": "100",
            "closedNormally": True,
            "starts": 1,
            "orders": 2,
            "filledOrders": 2,
            "fills": 2,
            "rejectedOrders": 0,
            "refusedOrders": 0,
            "pnl": "10",
            "returnPercent": "0.1",
            "shadowReturnPercent": "0.1",
            "slippageBps": "1",
            "fillRatePercent": "100",
            "turnover": "500",
            "reconciliations": {"clean": 4},
            "operations": 10,
            "operationalErrors": 0,
            "incidents": 0,
            "killed": False,
        } | report
        found = {"session": day, "result": audit}
        if audit == "Mismatch":
            found["differences"] = [{"what": "pnl", "reported": "10", "broker": "-10"}]  # type: ignore[assignment]
        spec = self._evidence("Session", document["account"], closed) | {
            "session": {"report": document, "journalHash": "c" * 64, "audit": found},
            "sourceDigest": f"{number:064x}",
        }
        raw = an_object("PromotionEvidence", f"session-{day}-{document['mode']}", spec, created=self.now)
        self.evidence.append(raw)
        return raw

    def preflight(self, *, passed: bool = True) -> Raw:
        spec = self._evidence("Preflight", "real", self.now) | {
            "preflight": {"checks": [{"name": "Keys", "passed": passed, "message": "401"}]},
            "sourceDigest": "f" * 64,
        }
        raw = an_object("PromotionEvidence", f"preflight-{next(_uids)}", spec, created=self.now)
        self.evidence.append(raw)
        return raw

    def _evidence(self, kind: str, account: str, at: datetime) -> dict[str, Any]:
        return {
            "type": kind,
            "botRef": {"name": "momentum", "uid": UID},
            "podUID": "pod-1",
            "subjectDigest": self.digest,
            "observedGeneration": 1,
            "account": account,
            "provider": "simulator",
            "image": "sha256:" + self.image_id.rpartition("sha256:")[2],
            "observedAt": stamp(at),
        }

    def approve(self, by: str = "ann", **spec: Any) -> Raw:
        document: dict[str, Any] = {
            "action": "Promote",
            "botRef": {"name": "momentum", "uid": UID},
            "gate": "standard",
            "subjectDigest": self.digest,
            "verdict": "GO",
            "approver": by,
            "reason": "looked at it",
        }
        raw = an_object("Approval", f"{by}-{next(_uids)}", document | spec, created=self.now)
        self.approvals.append(raw)
        return raw

    # ------------------------------------------------------------ how far it is

    def judged(self) -> "Candidate":
        """Runs on paper, is known by its image, and has everything its gate asks for but a person's word."""
        self.settle()
        for number in range(SESSIONS):
            self.session(number)
        self.preflight()
        self.settle(1)
        return self

    def granted(self) -> "Candidate":
        """Judged, approved, granted, and not rendered yet."""
        self.judged().approve()
        self.later(seconds=1).look()
        assert self.status.grant is not None, self.said("LiveAuthorized")
        return self

    def live(self) -> "Candidate":
        """Granted, and its live pod runs."""
        self.granted().later(seconds=1).settle(3)
        assert self.is_live_pod
        return self

    def said(self, kind: str) -> tuple[str, str]:
        """A condition's status and reason in the stored status."""
        return next(
            ((one.status.value, one.reason) for one in self.status.conditions if one.type == kind), ("", "absent")
        )

    def message(self, kind: str) -> str:
        return next(one.message for one in self.status.conditions if one.type == kind)

    @property
    def notes(self) -> list[str]:
        """Reasons of the last look's Events that are about the promotion."""
        about = ("Verdict", "LiveGranted", "StageAdvanced", "Demoted", "Withdrawn", "NotWithdrawn")
        return [note.reason for note in self.plan.events if note.reason.startswith(about)]
