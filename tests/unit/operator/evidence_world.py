"""A bot whose pod gave closed sessions, and a cluster just good enough to keep what its operator makes of them."""

import copy
import itertools
import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from tradingbot_api import ClosedSession, TradingBotSpec
from tradingbot_operator.plan.jobs import CONTAINER
from tradingbot_operator.plan.objects import Raw, label, mapping, name_of, text, uid_of
from tradingbot_operator.plan.producers import is_as_made
from tradingbot_operator.plan.producing import Production, producing
from tradingbot_operator.plan.snapshot import BotSnapshot, CollectedSessions, parse_account_spec, parse_gate_spec
from tradingbot_operator.promotion.subject import Subject, subject_of
from unit.operator.world import NOW, UID, a_bot, a_pod, a_snapshot, a_stateful_set, an_account, stamp

IMAGE = "sha256:" + "a" * 64
SINCE = NOW - timedelta(days=90)
POD_UID = "uid-of-pod-of-momentum"
_uids = itertools.count(1)


def a_gate(**spec: Any) -> Raw:
    metadata = {"name": "standard", "namespace": "demo", "uid": "uid-of-gate", "resourceVersion": "9", "generation": 1}
    return {"kind": "PromotionGate", "metadata": metadata, "spec": spec}


def a_simulated_live_account(**spec: Any) -> Raw:
    return an_account("real", environment="live", credentialsSecretRef={"name": "live-keys"}, **spec)


def a_session(number: int = 0, *, closed: datetime = NOW, **changes: Any) -> ClosedSession:
    """The n-th closed session before today, oldest with the greatest number; `changes` of the report."""
    day = (NOW - timedelta(days=number + 1)).date()
    report: dict[str, Any] = {
        "session": day.isoformat(),
        "namespace": "demo",
        "name": "momentum",
        "uid": UID,
        "mode": "paper",
        "account": "sim",
        "opensAt": f"{day}T14:30:00Z",
        "closesAt": f"{day}T21:00:00Z",
        "beganAt": f"{day}T14:30:02Z",
        "coveragePercent": "100",
        "closedNormally": True,
        "starts": 1,
        "orders": 2,
        "filledOrders": 2,
        "fills": 2,
        "rejectedOrders": 0,
        "refusedOrders": 0,
        "pnl": "1.50",
        "returnPercent": "0.015",
        "shadowReturnPercent": "0.015",
        "turnover": "500",
        "operations": 10,
        "operationalErrors": 0,
        "incidents": 0,
        "killed": False,
    }
    return ClosedSession.model_validate(
        {"report": report | changes, "digest": f"{number:064d}", "journalSequence": 9, "journalHash": "c" * 64}
    )


def sessions(count: int) -> tuple[ClosedSession, ...]:
    """That many, oldest first."""
    return tuple(a_session(number) for number in reversed(range(count)))


@dataclass
class Cluster:
    """What is stored; `look` decides on it and carries the decision out, as the reconciler would."""

    bot: Raw = field(
        default_factory=lambda: a_bot(accounts={"paper": "sim", "live": "real"}, gateRef={"name": "standard"})
    )
    sessions: tuple[ClosedSession, ...] = ()
    objects: dict[tuple[str, str], Raw] = field(default_factory=dict)
    now: datetime = NOW
    live: bool = False
    wants_preflight: bool = False
    changes: dict[str, Any] = field(default_factory=dict)
    """Of the snapshot."""
    image: str = IMAGE
    """What the pod runs."""
    pod_metadata: dict[str, Any] = field(default_factory=dict)

    # ------------------------------------------------------------ deciding

    @property
    def subject(self) -> Subject:
        live = parse_account_spec(a_simulated_live_account())
        gate = parse_gate_spec(a_gate())
        spec = TradingBotSpec.model_validate(self.bot["spec"])
        return subject_of(uid_of(self.bot), spec, gate, live, image=IMAGE, kill_epoch=0)  # type: ignore[arg-type]

    def snapshot(self) -> BotSnapshot:
        stateful_set = copy.deepcopy(dict(a_stateful_set(self.bot)))
        stateful_set["metadata"]["annotations"] = {"tradingbots.dev/bot-uid": uid_of(self.bot)}
        stateful_set["spec"]["template"]["metadata"]["annotations"]["tradingbots.dev/config-digest"] = "sha256:c"
        pod = copy.deepcopy(dict(a_pod()))
        pod["metadata"]["annotations"]["tradingbots.dev/config-digest"] = "sha256:c"
        pod["metadata"]["ownerReferences"] = [{"uid": uid_of(stateful_set), "controller": True}]
        pod["metadata"] |= self.pod_metadata
        pod["status"]["containerStatuses"][0]["imageID"] = f"docker.io/library/runtime@{self.image}"
        mode = "live" if self.live else "paper"
        made = list(self.objects.values())
        options: dict[str, Any] = {
            "now": self.now,
            "gate": a_gate(),
            "live_account": a_simulated_live_account(),
            "children": {"StatefulSet": stateful_set},
            "pods": (pod,),
            "evidence": tuple(one for one in made if one["kind"] == "PromotionEvidence"),
            "producers": tuple(one for one in made if one["kind"] != "PromotionEvidence"),
            "sessions": CollectedSessions(POD_UID, mode, self.sessions),
        }
        return a_snapshot(self.bot, **(options | self.changes))

    def decide(self, subject: Subject | None = None, since: datetime = SINCE) -> Production:
        return producing(
            self.snapshot(), subject or self.subject, since, live=self.live, wants_preflight=self.wants_preflight
        )

    def look(
        self, subject: Subject | None = None, since: datetime = SINCE, *, dies_after: int | None = None
    ) -> Production:
        """Decides and carries out, or dies after so many writes."""
        production = self.decide(subject, since)
        for manifest in (*production.record, *production.produce)[:dies_after]:
            there = self.objects.get((manifest["kind"], name_of(manifest)))
            if there is not None and not is_as_made(there, manifest):
                return production  # a conflict: the look ends here
            self.create(manifest)
        if dies_after is None:
            for one in production.discard:
                self.remove(one)
        return production

    # ------------------------------------------------------------- storing

    def create(self, manifest: Raw) -> None:
        key = (manifest["kind"], name_of(manifest))
        assert key not in self.objects, f"{key} is made twice"
        stored = copy.deepcopy(dict(manifest))
        stored["metadata"] |= {"uid": f"made-{next(_uids)}", "creationTimestamp": stamp(self.now)}
        self.objects[key] = stored

    def remove(self, one: Raw) -> None:
        assert self.objects.pop((one["kind"], name_of(one)))["metadata"]["uid"] == uid_of(one)
        for key, pod in [(key, pod) for key, pod in self.objects.items() if key[0] == "Pod"]:
            if pod["metadata"]["ownerReferences"][0]["uid"] == uid_of(one):
                del self.objects[key]

    def of(self, kind: str) -> list[Raw]:
        return sorted((one for one in self.objects.values() if one["kind"] == kind), key=name_of)

    # ----------------------------------------- what controllers and kubelets do

    def run(self, job: Raw) -> dict[str, Any]:
        """The Job's pod starts."""
        template = copy.deepcopy(job["spec"]["template"])
        metadata = template["metadata"] | {
            "name": f"{name_of(job)}-x",
            "namespace": "demo",
            "uid": f"pod-{next(_uids)}",
            "creationTimestamp": stamp(self.now),
            "ownerReferences": [{"kind": "Job", "uid": uid_of(job), "controller": True}],
        }
        pod = {"kind": "Pod", "metadata": metadata, "spec": template["spec"], "status": {"phase": "Running"}}
        self.objects["Pod", metadata["name"]] = pod
        return pod

    def end(self, job: Raw, message: object, exit_code: int = 0) -> None:
        """The Job's pod ends with last words."""
        pod = self.run(job)
        said = message if isinstance(message, str) else json.dumps(message)
        ended = {"exitCode": exit_code, "message": said, "finishedAt": stamp(self.now), "reason": "Completed"}
        pod["status"] = {
            "phase": "Succeeded",
            "containerStatuses": [{"name": CONTAINER, "state": {"terminated": ended}}],
        }

    def fail(self, job: Raw, message: str = "Job was active longer than specified deadline") -> None:
        """The Job is over and its pod is gone."""
        condition = {"type": "Failed", "status": "True", "lastTransitionTime": stamp(self.now), "message": message}
        self.objects["Job", name_of(job)] = {**job, "status": {"conditions": [condition]}}

    # --------------------------------------------------------- the whole way

    def audit(self, result: str = "Match", **changes: Any) -> None:
        """Looks, lets the audit end like this for each session, and looks again."""
        self.look()
        for job in self.of("Job"):
            self.end(job, audits(job, result, **changes))
        self.look()


def audits(job: Raw, result: str = "Match", **changes: Any) -> dict[str, Any]:
    """AuditReports with the same result for every session that the Job was asked about."""
    arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
    days = [arguments[at + 1] for at, word in enumerate(arguments) if word == "--session"]
    mode = "live" if label(job, "tradingbots.dev/live") else "paper"
    return {"uid": UID, "mode": mode, "audits": [{"session": day, "result": result} for day in days]} | changes


def results(cluster: Cluster) -> list[tuple[str, str]]:
    """Date and audit of all evidence of sessions."""
    found = (mapping(one, "spec", "session") for one in cluster.of("PromotionEvidence"))
    return sorted((text(one, "report", "session"), text(one, "audit", "result")) for one in found if one)


__all__ = ["IMAGE", "POD_UID", "SINCE", "Cluster", "a_gate", "a_session", "audits", "replace", "results", "sessions"]
