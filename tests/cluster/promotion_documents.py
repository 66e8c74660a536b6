"""Approvals, attestations and evidence as they are written: good ones, each test changes what it is about."""

from typing import Any

from api_server import ApiServer, Json

API_VERSION = "tradingbots.dev/v1alpha1"
UID = "11111111-2222-3333-4444-555555555555"
DIGEST = "a" * 64
IMAGE = f"sha256:{'b' * 64}"


def document(kind: str, name: str, spec: Json) -> Json:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def approval(approver: str = "alice", *, name: str = "go", without: tuple[str, ...] = (), **changes: Any) -> Json:
    """A Promote of the bot `momentum` by the gate `standard`."""
    spec: Json = {
        "action": "Promote",
        "botRef": {"name": "momentum", "uid": UID},
        "gate": "standard",
        "subjectDigest": DIGEST,
        "verdict": "GO",
        "approver": approver,
        "reason": "thirty clean sessions",
    }
    kept = {key: value for key, value in (spec | changes).items() if key not in without}
    return document("Approval", name, kept)


def release(approver: str, *, name: str = "release", **changes: Any) -> Json:
    spec = {"action": "ReleaseKill", "killEpoch": 1, **changes}
    return approval(approver, name=name, without=("gate", "subjectDigest", "verdict"), **spec)


def acknowledgement(approver: str, *, name: str = "seen") -> Json:
    spec = {"action": "AcknowledgeIncident", "incident": "i-1"}
    return approval(approver, name=name, without=("gate", "subjectDigest", "verdict"), **spec)


def attestation(attester: str, *, name: str = "build-1", **changes: Any) -> Json:
    items = [{"name": "unit-tests", "passed": True, "observed": "4,812 passed", "link": "https://ci/1"}]
    spec = {"gate": "standard", "attester": attester, "imageDigest": IMAGE, "items": items, **changes}
    return document("Attestation", name, spec)


def evidence(*, name: str = "momentum-preflight-1", without: tuple[str, ...] = (), **changes: Any) -> Json:
    """Evidence of type Preflight, of which a forger would say that all is well."""
    spec: Json = {
        "type": "Preflight",
        "botRef": {"name": "momentum", "uid": UID},
        "podUID": "pod-1",
        "subjectDigest": DIGEST,
        "observedGeneration": 1,
        "account": "live",
        "provider": "simulator",
        "image": IMAGE,
        "sourceDigest": "c" * 64,
        "observedAt": "2026-01-02T00:00:00Z",
        "preflight": {"checks": [{"name": "Keys", "passed": True, "message": "they work"}]},
    }
    kept = {key: value for key, value in (spec | changes).items() if key not in without}
    return document("PromotionEvidence", name, kept)


def bind(
    api: ApiServer,
    namespace: str,
    role: str,
    user: str,
    *,
    group: str = "rbac.authorization.k8s.io",
    kind: str = "User",
) -> None:
    """Gives a user, or a ServiceAccount of the namespace, a ClusterRole there."""
    subject = {"kind": kind, "name": user} | ({"apiGroup": group} if kind == "User" else {"namespace": namespace})
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"{role}-{user}"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [subject],
    }
    api.apply(binding, namespace)
