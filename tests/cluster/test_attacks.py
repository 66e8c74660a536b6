"""Each way that somebody may try to get real money for a bot that has not earned it, as who would try it.

What admission alone decides. docs/security.md lists these with the attacks that the operator or the bot itself meets.
"""

from collections.abc import Callable, Iterator

import pytest
from api_server import ApiServer, Json, Refused, eventually, path_of
from fenced_objects import BOT, LIVE, PRODUCER, as_the_operator, config_map, job, live_stateful_set, pod, refusal
from operator_process import OperatorProcess
from promotion_documents import DIGEST, UID, acknowledgement, approval, attestation, bind, document, evidence, release
from world import World

PERSON = ("system:authenticated",)
AUDIT = "momentum-audit-0123456789ab"


@pytest.fixture
def fenced(api: ApiServer, namespace: str, operator: OperatorProcess) -> str:
    """A namespace where the policies are in force, and Alice may approve what needs `standard`."""
    # What it makes by itself, and what it removes, must not come between an attack and its answer.
    operator.stop()
    bind(api, namespace, "tradingbots-approver", "alice")
    world = World(api, namespace)
    world.account()
    world.gate()
    world.bot("momentum")

    def is_refused(thing: Json) -> bool:
        path = path_of(thing["kind"], namespace)
        return refusal(lambda: api.request("POST", path, thing, dryRun="All")) is not None

    for thing in (approval(), attestation("somebody"), evidence(), config_map(BOT), job(PRODUCER), pod(BOT)):
        eventually(lambda thing=thing: is_refused(thing), f"{thing['kind']} is fenced")
    with api.as_user("alice") as alice:
        eventually(lambda: alice.list("Approval", namespace) == [], "alice's role counts")
    return namespace


@pytest.fixture
def alice(api: ApiServer) -> Iterator[ApiServer]:
    with api.as_user("alice") as identity:
        yield identity


@pytest.fixture
def the_operator(api: ApiServer) -> Iterator[ApiServer]:
    with api.as_service_account("tradingbot-system", "tradingbot-operator") as identity:
        yield identity


def refused_by_rbac(act: Callable[[], object]) -> str:
    with pytest.raises(Refused) as refused:
        act()
    assert refused.value.code == 403
    assert "ValidatingAdmissionPolicy" not in refused.value.message
    return refused.value.message


# ---------------------------------------------------------------- approvals


def test_who_may_approve_does(alice: ApiServer, fenced: str) -> None:
    stored = alice.create(approval("alice"), fenced)
    assert stored["spec"]["approver"] == "alice"
    alice.create(approval("alice", name="further", action="AdvanceStage", stage=1, without=("verdict",)), fenced)


def test_nobody_approves_for_somebody_else(api: ApiServer, alice: ApiServer, fenced: str) -> None:
    said = refusal(lambda: alice.create(approval("bob"), fenced))
    assert said is not None
    assert "spec.approver is bob, and you are alice" in said
    # An administrator neither, who may do anything else.
    assert refusal(lambda: api.create(approval("alice"), fenced))


def test_a_service_account_approves_nothing_with_every_right(api: ApiServer, fenced: str) -> None:
    bind(api, fenced, "tradingbots-approver", "robot", kind="ServiceAccount")
    name = f"system:serviceaccount:{fenced}:robot"
    with api.as_service_account(fenced, "robot") as robot:
        eventually(lambda: robot.list("Approval", fenced) == [], "its role counts")
        said = refusal(lambda: robot.create(approval(name), fenced))
        assert said is not None
        assert "a ServiceAccount or another program cannot" in said
    programs = {
        name: "system:authenticated",
        "somebody": f"system:serviceaccounts:{fenced}",
        "system:node:worker-1": "system:nodes",
        "system:anonymous": "system:unauthenticated",
    }
    for program, group in programs.items():
        groups = (group, "system:serviceaccounts") if group.startswith("system:serviceaccounts") else (group,)
        with api.as_user(program, *groups, "system:masters") as identity:
            assert refusal(lambda who=program, by=identity: by.create(approval(who), fenced)), program


def test_the_operator_does_not_approve_by_itself(api: ApiServer, the_operator: ApiServer, fenced: str) -> None:
    name = "system:serviceaccount:tradingbot-system:tradingbot-operator"
    refused_by_rbac(lambda: the_operator.create(approval(name), fenced))
    refused_by_rbac(lambda: the_operator.create(attestation(name), fenced))
    with as_the_operator(api) as stronger:
        assert refusal(lambda: stronger.create(approval(name), fenced))
        assert refusal(lambda: stronger.create(attestation(name), fenced))


def test_a_bot_does_not_approve_itself(api: ApiServer, fenced: str) -> None:
    with api.as_service_account(fenced, "momentum-bot") as bot:
        refused_by_rbac(lambda: bot.create(approval(f"system:serviceaccount:{fenced}:momentum-bot"), fenced))


@pytest.mark.parametrize("role", ["view", "edit", "admin", "tradingbots-gates", "tradingbots-duty"])
def test_no_other_role_approves(api: ApiServer, fenced: str, role: str) -> None:
    bind(api, fenced, role, "mallory")
    with api.as_user("mallory") as mallory:
        eventually(lambda: mallory.list("PromotionGate", fenced), "the role counts")
        refused_by_rbac(lambda: mallory.create(approval("mallory"), fenced))


def test_the_right_to_write_approvals_is_not_the_right_to_promote(api: ApiServer, fenced: str) -> None:
    bind(api, fenced, "tradingbots-releaser", "mallory")
    with api.as_user("mallory") as mallory:
        eventually(lambda: mallory.create(release("mallory"), fenced), "the role counts")
        for action in ({}, {"action": "AdvanceStage", "stage": 1}):
            said = refusal(lambda action=action: mallory.create(approval("mallory", name="x", **action), fenced))
            assert said is not None
            assert "needs the verb approve on PromotionGate standard" in said


def test_who_may_approve_releases_no_kill_and_acknowledges_nothing(alice: ApiServer, fenced: str) -> None:
    for made, verb in ((release("alice"), "release"), (acknowledgement("alice"), "acknowledge")):
        said = refusal(lambda made=made: alice.create(made, fenced))
        assert said is not None
        assert f"needs the verb {verb} on the TradingBot" in said


def test_the_right_on_one_gate_is_none_on_another(api: ApiServer, fenced: str) -> None:
    group = "tradingbots.dev"
    rules = [
        {"apiGroups": [group], "resources": ["approvals"], "verbs": ["create"]},
        {"apiGroups": [group], "resources": ["promotiongates"], "resourceNames": ["lenient"], "verbs": ["approve"]},
    ]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "lenient"},
        "rules": rules,
    }
    api.create(role, fenced)
    subject = {"kind": "User", "name": "mallory", "apiGroup": "rbac.authorization.k8s.io"}
    reference = {"kind": "Role", "name": "lenient", "apiGroup": "rbac.authorization.k8s.io"}
    binding = role | {"kind": "RoleBinding", "roleRef": reference, "subjects": [subject]}
    api.create({key: value for key, value in binding.items() if key != "rules"}, fenced)
    with api.as_user("mallory") as mallory:
        eventually(lambda: mallory.create(approval("mallory", gate="lenient"), fenced), "the role counts")
        assert refusal(lambda: mallory.create(approval("mallory", name="mine"), fenced))


def test_the_right_in_one_namespace_is_none_in_another(api: ApiServer, alice: ApiServer, fenced: str) -> None:
    refused_by_rbac(lambda: alice.create(approval("alice"), "default"))


def test_an_administrator_of_the_namespace_cannot_make_himself_an_approver(api: ApiServer, fenced: str) -> None:
    bind(api, fenced, "admin", "mallory")
    with api.as_user("mallory") as mallory:
        eventually(lambda: mallory.list("Role", fenced) is not None, "the role counts")
        for role in ("tradingbots-approver", "tradingbots-releaser", "tradingbots-attester", "cluster-admin"):
            said = refused_by_rbac(lambda role=role: bind(mallory, fenced, role, "mallory"))
            assert "attempting to grant RBAC permissions not currently held" in said


def test_an_approval_is_never_changed(api: ApiServer, alice: ApiServer, fenced: str) -> None:
    alice.create(approval("alice"), fenced)
    change = {"spec": {"subjectDigest": "d" * 64}}
    refused_by_rbac(lambda: alice.patch("Approval", "go", change, fenced))
    with pytest.raises(Refused) as refused:
        api.patch("Approval", "go", change, fenced)
    assert refused.value.code == 422
    assert "an approval is never changed: delete it and write another" in refused.value.message
    alice.delete("Approval", "go", fenced)


# ---------------------------------------------------------------- kills


def kill_record(epoch: int = 1) -> Json:
    spec = {
        "botRef": {"name": "momentum", "uid": UID},
        "epoch": epoch,
        "scope": "TradingBot",
        "mode": "live",
        "onKill": "Flatten",
        "observedAt": "2026-01-02T00:00:00Z",
    }
    return document("KillRecord", f"momentum-{epoch}", spec)


def test_a_kill_is_recorded_and_forgotten_by_the_operator_alone(
    api: ApiServer, the_operator: ApiServer, fenced: str
) -> None:
    name = the_operator.create(kill_record(), fenced)["metadata"]["name"]
    for role in ("admin", "tradingbots-releaser"):
        bind(api, fenced, role, "mallory")
    with api.as_user("mallory") as mallory:
        eventually(lambda: mallory.get("KillRecord", name, fenced), "whoever may look sees it")
        refused_by_rbac(lambda: mallory.delete("KillRecord", name, fenced))
        refused_by_rbac(lambda: mallory.create(kill_record(2), fenced))
    # A higher number in advance would void an approval for ever, a lower one would be another's.
    said = refusal(lambda: api.create(kill_record(2), fenced))
    assert said is not None and "a kill is recorded by the operator alone" in said
    over = {"status": {"releasedAt": "2026-01-02T00:00:01Z"}}
    assert refusal(lambda: api.patch("KillRecord", name, over, fenced, "status"))
    said = refusal(lambda: api.delete("KillRecord", name, fenced))
    assert said is not None and "is the latch of a kill and its number counts for ever" in said
    with pytest.raises(Refused):
        api.patch("KillRecord", name, {"spec": {"onKill": "CancelOrders"}}, fenced)
    # What is asked for is never changed, by the operator neither.
    with as_the_operator(api) as stronger, pytest.raises(Refused) as refused:
        stronger.patch("KillRecord", name, {"spec": {"onKill": "CancelOrders"}}, fenced)
    assert "a kill is never changed" in refused.value.message
    the_operator.patch("KillRecord", name, over, fenced, "status")


def test_the_operator_releases_nothing_by_itself(api: ApiServer, the_operator: ApiServer, fenced: str) -> None:
    name = "system:serviceaccount:tradingbot-system:tradingbot-operator"
    refused_by_rbac(lambda: the_operator.create(release(name), fenced))
    with as_the_operator(api) as stronger:
        assert refusal(lambda: stronger.create(release(name), fenced))


# ------------------------------------------------------------- attestations


def test_a_ci_attests_in_its_own_name_and_only_with_the_verb(api: ApiServer, fenced: str) -> None:
    bind(api, fenced, "tradingbots-attester", "ci", kind="ServiceAccount")
    name = f"system:serviceaccount:{fenced}:ci"
    with api.as_service_account(fenced, "ci") as ci:
        eventually(lambda: ci.create(attestation(name), fenced), "its role counts")
        said = refusal(lambda: ci.create(attestation("release-team", name="other"), fenced))
        assert said is not None
        assert f"spec.attester is release-team, and you are {name}" in said
        with pytest.raises(Refused) as refused:
            api.patch("Attestation", "build-1", {"spec": {"gate": "other"}}, fenced)
        assert "an attestation is never changed" in refused.value.message
    rules = [{"apiGroups": ["tradingbots.dev"], "resources": ["attestations"], "verbs": ["create"]}]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": f"w-{fenced}"}}
    api.create(role | {"rules": rules})
    bind(api, fenced, f"w-{fenced}", "mallory")
    with api.as_user("mallory") as mallory:
        path, forged = path_of("Attestation", fenced), attestation("mallory", name="x")

        def answer() -> str:
            with pytest.raises(Refused) as refused:
                mallory.request("POST", path, forged)
            # Before her binding counts it is RBAC that says no.
            return refused.value.message if "ValidatingAdmissionPolicy" in refused.value.message else ""

        assert "this needs the verb attest on PromotionGate standard" in eventually(answer, "a policy refuses her")
    api.delete("ClusterRole", f"w-{fenced}")


# ------------------------------------------------------- evidence and grants


def test_not_even_an_administrator_writes_evidence(api: ApiServer, fenced: str) -> None:
    said = refusal(lambda: api.create(evidence(), fenced))
    assert said is not None
    assert "evidence is written by the operator alone" in said
    for role in ("admin", "tradingbots-approver"):
        bind(api, fenced, role, "mallory")
    with api.as_user("mallory") as mallory:
        refused_by_rbac(lambda: mallory.create(evidence(), fenced))


def test_evidence_is_never_edited_or_replaced(api: ApiServer, the_operator: ApiServer, fenced: str) -> None:
    stored = the_operator.create(evidence(), fenced)
    better = {"spec": {"subjectDigest": "d" * 64}}
    # Its schema says so to everybody; the operator has no right to try.
    for identity in (api, the_operator):
        with pytest.raises(Refused) as refused:
            identity.patch("PromotionEvidence", stored["metadata"]["name"], better, fenced)
        assert refused.value.code in (403, 422)
    with as_the_operator(api) as stronger, pytest.raises(Refused) as refused:
        stronger.patch("PromotionEvidence", stored["metadata"]["name"], better, fenced)
    assert "evidence is never changed" in refused.value.message
    # What was deleted is gone: nobody puts another in its place.
    api.delete("PromotionEvidence", stored["metadata"]["name"], fenced)
    assert refusal(lambda: api.create(evidence(subjectDigest="d" * 64), fenced))


def test_who_holds_evidence_together_is_not_held_up(api: ApiServer, the_operator: ApiServer, fenced: str) -> None:
    bot = api.get("TradingBot", "momentum", fenced)
    made = evidence()
    owner = {"apiVersion": bot["apiVersion"], "kind": "TradingBot", "name": "momentum", "uid": bot["metadata"]["uid"]}
    made["metadata"]["ownerReferences"] = [owner]
    name = the_operator.create(made, fenced)["metadata"]["name"]
    api.patch("PromotionEvidence", name, {"metadata": {"finalizers": ["example.com/wait"]}}, fenced)
    api.delete("TradingBot", "momentum", fenced)
    deleted = lambda: api.get("PromotionEvidence", name, fenced)["metadata"].get("deletionTimestamp")  # noqa: E731
    eventually(deleted, "the garbage collector deletes it with its bot", 120)
    api.patch("PromotionEvidence", name, {"metadata": {"finalizers": None}}, fenced)
    eventually(lambda: not api.exists("PromotionEvidence", name, fenced), "it is gone")


@pytest.mark.parametrize("part", ["grant", "promotion", "subjectDigest"])
def test_not_even_an_administrator_grants_by_hand(api: ApiServer, fenced: str, part: str) -> None:
    at = "2026-01-02T00:00:00Z"
    grant = {
        "subjectDigest": DIGEST,
        "epoch": 1,
        "grantedAt": at,
        "gate": "standard",
        "account": "live",
        "verdict": "GO",
        "approvals": [],
        "stageSince": at,
    }
    subject = {"digest": DIGEST, "image": "x", "since": at, "inputs": []}
    promotion = {"gate": "standard", "verdict": "GO", "score": 10000, "sessions": 30, "requiredSessions": 30}
    statuses = {"grant": grant, "promotion": promotion | {"subject": subject}, "subjectDigest": DIGEST}
    said = refusal(lambda: api.patch("TradingBot", "momentum", {"status": {part: statuses[part]}}, fenced, "status"))
    assert said is not None
    assert "the status is written by the operator alone" in said
    # A bot that brings its status along is made without.
    made = document("TradingBot", "born-live", api.get("TradingBot", "momentum", fenced)["spec"])
    stored = api.request("POST", path_of("TradingBot", fenced), made | {"status": {part: statuses[part]}}).document
    assert "status" not in stored


# --------------------------------------------- what makes evidence, and what it reads


@pytest.fixture
def audit(the_operator: ApiServer, fenced: str) -> Json:
    """The pod of an audit as the operator asks for it."""
    content = config_map(BOT, PRODUCER, name=AUDIT) | {"immutable": True}
    the_operator.create(content, fenced)
    the_operator.create(job(BOT, PRODUCER, name=AUDIT), fenced)
    # The controller may have made the live bot's pod as well by now.
    (made,) = eventually(
        lambda: [one for one in the_operator.list("Pod", fenced) if one["metadata"]["name"].startswith(AUDIT)],
        "the audit has a pod",
    )
    return made


def test_an_audit_and_what_it_reads_are_written_by_the_operator_alone(api: ApiServer, audit: Json, fenced: str) -> None:
    edited = {"data": {"bot.yaml": "capital: 1000000"}}
    with pytest.raises(Refused):
        api.patch("ConfigMap", AUDIT, edited, fenced)
    # Replaced: what is immutable can be deleted, and made again.
    api.delete("ConfigMap", AUDIT, fenced)
    assert refusal(lambda: api.create(config_map(BOT, PRODUCER, name=AUDIT) | edited, fenced))
    assert refusal(lambda: api.create(job(BOT, PRODUCER, name="momentum-audit-forged"), fenced))
    relabelled = {"metadata": {"labels": {PRODUCER: "preflight"}}}
    assert refusal(lambda: api.patch("Job", AUDIT, relabelled, fenced))
    assert refusal(lambda: api.patch("Job", AUDIT, {"spec": {"parallelism": 2}}, fenced))
    api.patch("Job", AUDIT, {"spec": {"suspend": True}}, fenced)
    api.delete("Job", AUDIT, fenced)


def test_a_pod_that_only_looks_like_an_audits_is_not_made(api: ApiServer, audit: Json, fenced: str) -> None:
    forged = pod(BOT, PRODUCER, name=f"{AUDIT}-forge")
    forged["metadata"]["ownerReferences"] = audit["metadata"]["ownerReferences"]
    assert refusal(lambda: api.create(forged, fenced))
    innocent = pod(name="innocent")
    api.create(innocent, fenced)
    assert refusal(lambda: api.patch("Pod", "innocent", {"metadata": {"labels": {PRODUCER: "audit"}}}, fenced))


def test_what_an_audit_said_is_written_by_its_node_alone(api: ApiServer, audit: Json, fenced: str) -> None:
    state = {"terminated": {"exitCode": 0, "message": '{"audits": []}', "reason": "Completed"}}
    container = {"name": "bot", "image": "bot:1", "imageID": "", "ready": False, "restartCount": 0, "state": state}
    forged = {"status": {"phase": "Succeeded", "containerStatuses": [container]}}
    name = audit["metadata"]["name"]
    for who in ("system:admin", f"system:serviceaccount:{fenced}:default", "system:kube-scheduler"):
        with api.as_user(who, "system:masters") as identity:
            said = refusal(lambda identity=identity: identity.patch("Pod", name, forged, fenced, "status"))
            assert said is not None, who
            assert "is written by its node alone" in said
    # Others may say the rest of a status, and the node says this.
    api.patch("Pod", name, {"status": {"message": "a note"}}, fenced, "status")
    with api.as_user("kubelet", "system:masters", "system:nodes") as node:
        node.patch("Pod", name, forged, fenced, "status")


@pytest.mark.parametrize("door", ["exec", "attach"])
def test_nobody_gets_into_a_pod_that_makes_evidence(api: ApiServer, audit: Json, fenced: str, door: str) -> None:
    path = path_of("Pod", fenced, audit["metadata"]["name"], door)
    said = refusal(lambda: api.request("POST", path, command="sh", stdout="true"))
    assert said is not None
    assert "nobody gets into a pod that makes evidence" in said
    # The longest name a bot can have: Kubernetes shortens its Jobs' before it adds five letters.
    longest = "b" * 40
    for job_name in (f"{longest}-audit-0123456789ab", f"{longest}-preflight-0123456789ab", f"{longest}-flatten-12-3"):
        path = path_of("Pod", fenced, f"{f'{job_name}-'[:58]}x7k2q", door)
        assert refusal(lambda path=path: api.request("POST", path, command="sh", stdout="true"))
    for other in ("momentum-bot-0", "audit-5d4f8c7b9d-x7k2q", "security-audit-0", "preflight-x7k2q"):
        path = path_of("Pod", fenced, other, door)
        with pytest.raises(Refused) as refused:
            api.request("POST", path, command="sh", stdout="true")
        # Not there, or not on a node yet: admission let it pass.
        assert refused.value.code in (400, 404), other


def test_nothing_is_put_into_a_pod_that_makes_evidence(api: ApiServer, audit: Json, fenced: str) -> None:
    _put_a_container_into(api, audit["metadata"]["name"], fenced)
    container = api.get("Pod", audit["metadata"]["name"], fenced)["spec"]["containers"][0]
    other = {"spec": {"containers": [container | {"image": "mine:1"}]}}
    assert refusal(lambda: api.patch("Pod", audit["metadata"]["name"], other, fenced))


def _put_a_container_into(api: ApiServer, name: str, namespace: str) -> None:
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    spy = {"name": "spy", "image": "spy:1", "securityContext": security}
    change = {"spec": {"ephemeralContainers": [spy]}}
    said = refusal(lambda: api.patch("Pod", name, change, namespace, "ephemeralcontainers"))
    assert said is not None
    assert "nothing is put into a pod that trades real money or makes evidence" in said


# ------------------------------------------------------------------ live pods


@pytest.fixture
def live_pod(the_operator: ApiServer, fenced: str) -> str:
    the_operator.apply(live_stateful_set(), fenced)
    eventually(lambda: the_operator.get("Pod", "momentum-x-0", fenced), "there is a live pod")
    return "momentum-x-0"


def test_nothing_is_put_into_a_live_pod(api: ApiServer, live_pod: str, fenced: str) -> None:
    _put_a_container_into(api, live_pod, fenced)


def test_an_image_is_not_swapped_in_a_pod_that_is_there(api: ApiServer, live_pod: str, fenced: str) -> None:
    container = api.get("Pod", live_pod, fenced)["spec"]["containers"][0]
    said = refusal(
        lambda: api.patch("Pod", live_pod, {"spec": {"containers": [container | {"image": "mine:1"}]}}, fenced)
    )
    assert said is not None
    assert "keep their labels and images" in said


def test_no_other_pod_answers_for_a_bot(api: ApiServer, live_pod: str, fenced: str) -> None:
    # A pod that takes the bot's name and owner while its own is away.
    true = api.get("Pod", live_pod, fenced)["metadata"]
    api.delete("StatefulSet", "momentum-x", fenced, propagationPolicy="Orphan")
    api.delete("Pod", live_pod, fenced, gracePeriodSeconds=0)
    forged = pod(BOT, name=live_pod)
    forged["metadata"]["ownerReferences"] = true["ownerReferences"]
    assert refusal(lambda: api.create(forged, fenced))


def test_a_bots_address_and_image_are_told_by_its_node_alone(api: ApiServer, live_pod: str, fenced: str) -> None:
    address = {"podIP": "10.0.0.66", "podIPs": [{"ip": "10.0.0.66"}]}
    container = {"name": "bot", "image": "bot:1", "imageID": f"bot@sha256:{'a' * 64}", "ready": True, "restartCount": 0}
    for forged in (address, {"containerStatuses": [container]}):
        assert refusal(lambda forged=forged: api.patch("Pod", live_pod, {"status": forged}, fenced, "status"))


@pytest.mark.parametrize("marks", [(BOT,), (BOT, LIVE)], ids=["paper", "live"])
def test_a_bots_config_is_written_by_the_operator_alone(
    api: ApiServer, the_operator: ApiServer, fenced: str, marks: tuple[str, ...]
) -> None:
    the_operator.create(config_map(*marks, name="momentum-bot"), fenced)
    for change in (
        {"data": {"bot.yaml": "capital: 1000000"}},
        {"binaryData": {"bot.yaml.more": "AA=="}},
        {"metadata": {"labels": dict.fromkeys(marks)}},
        {"metadata": {"labels": {BOT: "another"}}},
    ):
        assert refusal(lambda change=change: api.patch("ConfigMap", "momentum-bot", change, fenced)), change
    api.patch("ConfigMap", "momentum-bot", {"metadata": {"annotations": {"note": "x"}}}, fenced)
    api.delete("ConfigMap", "momentum-bot", fenced)
