"""Approval, Attestation and PromotionEvidence on a real API server: their shape, and that they never change."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from api_server import ApiServer, Json, Refused, eventually, path_of
from fenced_objects import refusal
from promotion_documents import acknowledgement, approval, attestation, bind, evidence, release

EXAMPLES = Path(__file__).parents[2] / "manifests/examples"
ADMIN = "system:admin"
MAKE: dict[str, Callable[..., Json]] = {
    "Approval": lambda **changes: approval(ADMIN, **changes),
    "Attestation": lambda **changes: attestation(ADMIN, **changes),
    "PromotionEvidence": evidence,
}


@pytest.fixture
def writers(api: ApiServer, namespace: str) -> Iterator[dict[str, ApiServer]]:
    """Who may write each kind."""
    for role in ("tradingbots-approver", "tradingbots-releaser", "tradingbots-attester"):
        bind(api, namespace, role, ADMIN)
    with (
        api.as_user(ADMIN) as person,
        api.as_service_account("tradingbot-system", "tradingbot-operator") as operator,
    ):
        path = path_of("PromotionEvidence", namespace)
        forge = lambda: api.request("POST", path, evidence(), dryRun="All")  # noqa: E731 - tried again and again
        eventually(lambda: refusal(forge), "evidence is fenced")
        for kind in ("Approval", "Attestation"):
            eventually(lambda kind=kind: person.list(kind, namespace) == [], "the roles count")
        yield {"Approval": person, "Attestation": person, "PromotionEvidence": operator}


@pytest.mark.parametrize("kind", MAKE)
def test_a_good_one_is_kept_as_it_was_written(writers: dict[str, ApiServer], namespace: str, kind: str) -> None:
    document = MAKE[kind]()
    stored = writers[kind].create(document, namespace)
    assert stored["spec"].items() >= document["spec"].items()
    assert "status" not in stored


def test_every_action_is_accepted_with_what_it_is_about(writers: dict[str, ApiServer], namespace: str) -> None:
    person = writers["Approval"]
    for document in (
        approval(ADMIN, items=["runbook-read"]),
        approval(ADMIN, name="further", action="AdvanceStage", stage=1, without=("verdict",)),
        release(ADMIN),
        acknowledgement(ADMIN),
    ):
        person.create(document, namespace)


SESSION = {
    "report": {
        "session": "2026-01-02",
        "namespace": "demo",
        "name": "momentum",
        "uid": "u",
        "mode": "paper",
        "account": "sim",
        "opensAt": "2026-01-02T14:30:00Z",
        "closesAt": "2026-01-02T21:00:00Z",
        "coveragePercent": "100",
        "closedNormally": True,
        "starts": 1,
        "orders": 1,
        "filledOrders": 1,
        "fills": 1,
        "rejectedOrders": 0,
        "refusedOrders": 0,
        "pnl": "1",
        "returnPercent": "0.1",
        "shadowReturnPercent": "0.1",
        "turnover": "1",
        "operations": 1,
        "operationalErrors": 0,
        "incidents": 0,
        "killed": False,
    },
    "journalHash": "c" * 64,
    "audit": {"session": "2026-01-02", "result": "Match"},
}

# kind, what is wrong with it, the field that is named, what is said of it
BAD: list[tuple[str, str, Json, str, str]] = [
    (
        "Approval",
        "no digest",
        {"without": ("subjectDigest",)},
        "spec",
        "Promote needs subjectDigest and verdict: copy both",
    ),
    ("Approval", "no verdict", {"without": ("verdict",)}, "spec", "Promote needs subjectDigest and verdict: copy both"),
    ("Approval", "no gate", {"without": ("gate",)}, "spec", "Promote and AdvanceStage need gate: copy it"),
    (
        "Approval",
        "NO-GO",
        {"verdict": "NO-GO"},
        "spec.verdict",
        'Unsupported value: "NO-GO": supported values: "GO", "REVIEW"',
    ),
    ("Approval", "an unknown action", {"action": "Please"}, "spec.action", "Unsupported value"),
    ("Approval", "a digest that is none", {"subjectDigest": "latest"}, "spec.subjectDigest", "should match"),
    (
        "Approval",
        "no stage",
        {"action": "AdvanceStage"},
        "spec",
        "AdvanceStage needs subjectDigest and stage: copy both",
    ),
    ("Approval", "the first stage", {"action": "AdvanceStage", "stage": 0}, "spec.stage", "greater than or equal to 1"),
    ("Approval", "no epoch", {"action": "ReleaseKill"}, "spec", "ReleaseKill needs killEpoch: copy it"),
    (
        "Approval",
        "no incident",
        {"action": "AcknowledgeIncident"},
        "spec",
        "AcknowledgeIncident needs incident: copy its id",
    ),
    ("Approval", "no reason", {"reason": ""}, "spec.reason", "at least 1 chars long"),
    ("Approval", "a reason without end", {"reason": "x" * 2049}, "spec.reason", "may not be more than 2048"),
    ("Approval", "a bot without UID", {"botRef": {"name": "momentum"}}, "spec.botRef.uid", "Required value"),
    ("Approval", "an item twice", {"items": ["a", "a"]}, "spec.items[1]", "Duplicate value"),
    ("Approval", "101 items", {"items": [f"i{n}" for n in range(101)]}, "spec.items", "must have at most 100 items"),
    ("Approval", "an unknown field", {"expires": "never"}, "spec.expires", "unknown field"),
    ("Attestation", "nothing", {"items": []}, "spec.items", "should have at least 1 items"),
    ("Attestation", "a tag", {"imageDigest": "runtime:1"}, "spec.imageDigest", "should match"),
    (
        "Attestation",
        "an item twice",
        {"items": [{"name": "a", "passed": value, "observed": "x"} for value in (True, False)]},
        "spec.items[1]",
        "Duplicate value",
    ),
    (
        "Attestation",
        "nothing seen",
        {"items": [{"name": "a", "passed": True}]},
        "spec.items[0].observed",
        "Required value",
    ),
    (
        "Attestation",
        "101 items",
        {"items": [{"name": f"i{n}", "passed": True, "observed": "x"} for n in range(101)]},
        "spec.items",
        "must have at most 100 items",
    ),
    (
        "PromotionEvidence",
        "a type and no part",
        {"without": ("preflight",)},
        "spec",
        "write exactly the part that type names",
    ),
    ("PromotionEvidence", "another part", {"type": "Session"}, "spec", "write exactly the part that type names"),
    ("PromotionEvidence", "two parts", {"session": SESSION}, "spec", "write exactly the part that type names"),
    ("PromotionEvidence", "an unknown type", {"type": "Rumour"}, "spec.type", "Unsupported value"),
    ("PromotionEvidence", "no pod", {"without": ("podUID",)}, "spec.podUID", "Required value"),
    ("PromotionEvidence", "no source", {"without": ("sourceDigest",)}, "spec.sourceDigest", "Required value"),
    (
        "PromotionEvidence",
        "no checks",
        {"preflight": {"checks": []}},
        "spec.preflight.checks",
        "should have at least 1 items",
    ),
]


@pytest.mark.parametrize(
    ("kind", "changes", "field", "said"),
    [(kind, *rest) for kind, _, *rest in BAD],
    ids=[f"{e[0]}: {e[1]}" for e in BAD],
)
def test_a_bad_one_is_refused_with_its_field_and_what_to_do(
    writers: dict[str, ApiServer], namespace: str, kind: str, changes: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(Refused) as refused:
        writers[kind].create(MAKE[kind](**changes), namespace)
    assert refused.value.code in (400, 422), refused.value
    assert said in refused.value.message
    assert field in refused.value.message


CHANGES: dict[str, list[Json]] = {
    "Approval": [
        {"subjectDigest": "d" * 64},
        {"verdict": "REVIEW"},
        {"approver": "bob"},
        {"reason": "another"},
        {"items": ["more"]},
        {"botRef": {"uid": "another"}},
        {"stage": 3},
    ],
    "Attestation": [{"imageDigest": f"sha256:{'0' * 64}"}, {"items": []}, {"attester": "bob"}, {"gate": "other"}],
    "PromotionEvidence": [
        {"subjectDigest": "d" * 64},
        {"observedAt": "2027-01-01T00:00:00Z"},
        {"preflight": {"checks": [{"name": "Keys", "passed": False}]}},
        {"botRef": {"uid": "another"}},
        {"image": "another"},
    ],
}


@pytest.mark.parametrize(("kind", "change"), [(kind, change) for kind in CHANGES for change in CHANGES[kind]])
def test_none_is_ever_changed(
    api: ApiServer, writers: dict[str, ApiServer], namespace: str, kind: str, change: Json
) -> None:
    name = writers[kind].create(MAKE[kind](), namespace)["metadata"]["name"]
    # With the right to write anything, and past the policy on evidence: what is left is the schema.
    operator = "system:serviceaccount:tradingbot-system:tradingbot-operator"
    who = operator if kind == "PromotionEvidence" else ADMIN
    with api.as_user(who, "system:masters") as strongest, pytest.raises(Refused) as refused:
        strongest.patch(kind, name, {"spec": change}, namespace)
    assert refused.value.code == 422
    assert "never changed" in refused.value.message or "at least 1 items" in refused.value.message


@pytest.mark.parametrize("kind", MAKE)
def test_its_metadata_and_its_end_are_nobodys_concern(
    api: ApiServer, writers: dict[str, ApiServer], namespace: str, kind: str
) -> None:
    name = writers[kind].create(MAKE[kind](), namespace)["metadata"]["name"]
    for metadata in ({"annotations": {"note": "x"}}, {"labels": {"a": "b"}}, {"finalizers": ["example.com/wait"]}):
        api.patch(kind, name, {"metadata": metadata}, namespace)
    api.delete(kind, name, namespace)
    api.patch(kind, name, {"metadata": {"finalizers": None}}, namespace)
    assert not api.exists(kind, name, namespace)


def test_the_example_of_an_approval_is_accepted_from_who_the_example_of_a_binding_names(
    api: ApiServer, namespace: str
) -> None:
    for binding in yaml.safe_load_all((EXAMPLES / "approver.yaml").read_text()):
        api.apply(binding, namespace)
    document = yaml.safe_load((EXAMPLES / "promotion-approval.yaml").read_text())
    with api.as_user("alice") as alice, api.as_user("carol") as carol:
        stored = eventually(lambda: alice.create(document, namespace), "alice may approve")
        assert stored["metadata"]["name"].startswith("momentum-")
        with pytest.raises(Refused):
            carol.create(document, namespace)
