"""Who may do what: each identity tries what it needs, and what it must not."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from api_server import MERGE, ApiServer, Json, Refused, eventually, manifests, path_of
from world import World

from tradingbot_operator.plan.policies import SHIPPED as FENCES

ROOT = Path(__file__).parents[2]
SECRETS = "api/v1/secrets"
GROUP = "apis/tradingbots.dev/v1alpha1/namespaces/default"
POLICIES = "apis/admissionregistration.k8s.io/v1"
RBAC = "apis/rbac.authorization.k8s.io/v1"
KILL: Json = {"metadata": {"annotations": {"tradingbots.dev/kill": "enough"}}}
PEOPLE = ("view", "edit", "admin")
GIVEN_BY_NAME = ("tradingbots-duty", "tradingbots-approver", "tradingbots-releaser")


@pytest.fixture
def operator_identity(api: ApiServer) -> Iterator[ApiServer]:
    with api.as_service_account("tradingbot-system", "tradingbot-operator") as identity:
        yield identity


@pytest.fixture
def bot_identity(api: ApiServer, world: World) -> Iterator[ApiServer]:
    world.account()
    world.account("other")
    world.bot("momentum")
    world.bot("neighbour", account="other")
    world.wait_for_children("momentum")
    with api.as_service_account(world.namespace, "momentum-bot") as identity:
        eventually(lambda: identity.get("TradingBot", "momentum", world.namespace), "its binding counts")
        yield identity


Somebody = Callable[[str], AbstractContextManager[ApiServer]]


@pytest.fixture
def somebody(api: ApiServer, namespace: str) -> Somebody:
    """A person with one of Kubernetes' own roles, or one of ours, in the test's namespace."""

    def with_role(role: str) -> AbstractContextManager[ApiServer]:
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "User", "name": f"person-{role}", "apiGroup": "rbac.authorization.k8s.io"}],
        }
        api.apply(binding, namespace)
        person = api.as_user(f"person-{role}")
        with api.as_user(f"person-{role}") as looking:
            # A binding, and what the aggregation controller puts into the role, count a moment later.
            eventually(lambda: looking.list("PromotionGate", namespace) is not None, f"{role} counts")
        return person

    return with_role


def is_refused(server: ApiServer, method: str, path: str, body: Any = None, **query: str) -> bool:
    content = {} if body is None and method != "GET" else body
    content_type = MERGE if method == "PATCH" else "application/json"
    try:
        server.request(method, path, content, content_type, **query)
    except Refused as refused:
        assert refused.code == 403, refused
        return True
    return False


# ------------------------------------------------------------- the operator


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", SECRETS),
        ("GET", "api/v1/namespaces/default/secrets/any"),
        ("GET", "api/v1/namespaces/tradingbot-system/secrets"),
        ("POST", "api/v1/namespaces/default/secrets"),
        ("PATCH", "api/v1/namespaces/default/secrets/any"),
        ("DELETE", "api/v1/namespaces/default/secrets/any"),
        ("POST", "api/v1/namespaces/default/pods"),
        ("GET", "api/v1/namespaces/default/pods/any/log"),
        ("POST", "api/v1/namespaces/default/pods/any/exec"),
        ("POST", "api/v1/namespaces/default/pods/any/portforward"),
        ("POST", "api/v1/namespaces/default/serviceaccounts/default/token"),
        ("POST", f"{RBAC}/clusterroles"),
        ("POST", f"{RBAC}/clusterrolebindings"),
        ("PATCH", f"{RBAC}/clusterroles/tradingbot-operator"),
        ("POST", f"{GROUP}/tradingbots"),
        ("DELETE", f"{GROUP}/tradingbots/any"),
        ("POST", f"{GROUP}/brokeraccounts"),
        ("DELETE", f"{GROUP}/brokeraccounts/any"),
        ("POST", f"{GROUP}/promotiongates"),
        ("PATCH", f"{GROUP}/promotiongates/any"),
        ("DELETE", f"{GROUP}/promotiongates/any"),
        ("GET", f"{POLICIES}/validatingadmissionpolicies"),
        ("GET", f"{POLICIES}/validatingadmissionpolicies/somebody-elses"),
        ("PATCH", f"{POLICIES}/validatingadmissionpolicies/tradingbots-status"),
        ("DELETE", f"{POLICIES}/validatingadmissionpolicies/tradingbots-status"),
        ("DELETE", f"{POLICIES}/validatingadmissionpolicybindings/tradingbots-status"),
        ("DELETE", "api/v1/namespaces/default/persistentvolumeclaims/any"),
        ("DELETE", "api/v1/namespaces/default"),
        ("GET", "api/v1/nodes"),
    ],
)
def test_the_operator_may_not(operator_identity: ApiServer, method: str, path: str) -> None:
    assert is_refused(operator_identity, method, path)


@pytest.mark.parametrize("kind", ["validatingadmissionpolicies", "validatingadmissionpolicybindings"])
def test_the_operator_reads_its_own_fences(operator_identity: ApiServer, kind: str) -> None:
    names = [name.name for name in FENCES]
    assert len(names) > 10
    for name in names:
        assert not is_refused(operator_identity, "GET", f"{POLICIES}/{kind}/{name}")


def test_the_operator_cannot_grant_what_it_does_not_have(operator_identity: ApiServer, namespace: str) -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "wide"},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}],
    }
    with pytest.raises(Refused) as refusal:
        operator_identity.create(role, namespace)
    assert "attempting to grant RBAC permissions not currently held" in refusal.value.message


def test_the_operator_cannot_bind_itself_to_an_administrator(operator_identity: ApiServer, namespace: str) -> None:
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "wide"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "tradingbot-operator", "namespace": "tradingbot-system"}],
    }
    with pytest.raises(Refused) as refusal:
        operator_identity.create(binding, namespace)
    assert "attempting to grant RBAC permissions not currently held" in refusal.value.message


@pytest.mark.parametrize("verb", ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"])
def test_no_rule_gives_the_operator_a_secret(api: ApiServer, verb: str) -> None:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": "system:serviceaccount:tradingbot-system:tradingbot-operator",
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "resourceAttributes": {"verb": verb, "resource": "secrets", "namespace": "default"},
        },
    }
    answer = api.request("POST", "apis/authorization.k8s.io/v1/subjectaccessreviews", review).document
    assert answer["status"]["allowed"] is False


# --------------------------------------------------------------------- a bot


def test_a_bot_reads_its_own_objects(bot_identity: ApiServer, world: World) -> None:
    for kind, name in (("TradingBot", "momentum"), ("BrokerAccount", "sim")):
        assert bot_identity.get(kind, name, world.namespace)["metadata"]["name"] == name
        listed = bot_identity.list(kind, world.namespace, fieldSelector=f"metadata.name={name}")
        assert [item["metadata"]["name"] for item in listed] == [name]
        path = path_of(kind, world.namespace)
        watch = {"watch": "true", "timeoutSeconds": "1", "fieldSelector": f"metadata.name={name}"}
        assert not is_refused(bot_identity, "GET", path, **watch)


def test_a_bot_reads_nothing_else(bot_identity: ApiServer, world: World) -> None:
    namespaced = f"namespaces/{world.namespace}"
    group = f"apis/tradingbots.dev/v1alpha1/{namespaced}"
    for path in (
        f"{group}/tradingbots",
        f"{group}/tradingbots/neighbour",
        f"{group}/brokeraccounts",
        f"{group}/brokeraccounts/other",
        f"{group}/promotiongates",
        f"{group}/promotiongates/standard",
        "apis/tradingbots.dev/v1alpha1/tradingbots",
        f"{GROUP}/tradingbots",
        f"api/v1/{namespaced}/secrets",
        f"api/v1/{namespaced}/secrets/keys",
        f"api/v1/{namespaced}/configmaps",
        f"api/v1/{namespaced}/configmaps/momentum-bot",
        f"api/v1/{namespaced}/pods",
        f"apis/apps/v1/{namespaced}/statefulsets",
        f"{RBAC}/{namespaced}/roles",
        f"{POLICIES}/validatingadmissionpolicies/tradingbots-status",
    ):
        assert is_refused(bot_identity, "GET", path), path


def test_a_bot_watches_nothing_else(bot_identity: ApiServer, world: World) -> None:
    path = path_of("TradingBot", world.namespace)
    for selector in ({}, {"fieldSelector": "metadata.name=neighbour"}, {"labelSelector": "a=b"}):
        assert is_refused(bot_identity, "GET", path, watch="true", timeoutSeconds="1", **selector), selector


def test_a_bot_writes_nothing(bot_identity: ApiServer, world: World) -> None:
    namespaced = f"namespaces/{world.namespace}"
    group = f"apis/tradingbots.dev/v1alpha1/{namespaced}"
    for method, path in (
        ("PATCH", f"{group}/tradingbots/momentum"),
        ("PATCH", f"{group}/tradingbots/momentum/status"),
        ("DELETE", f"{group}/tradingbots/momentum"),
        ("PATCH", f"{group}/brokeraccounts/sim"),
        ("POST", f"{group}/tradingbots"),
        ("POST", f"api/v1/{namespaced}/pods"),
        ("POST", f"api/v1/{namespaced}/serviceaccounts/momentum-bot/token"),
        ("PATCH", f"apis/apps/v1/{namespaced}/statefulsets/momentum-bot"),
        ("PATCH", f"{RBAC}/{namespaced}/roles/momentum-bot"),
    ):
        assert is_refused(bot_identity, method, path), path


def test_a_neighbour_cannot_take_a_bots_identity(api: ApiServer, bot_identity: ApiServer, world: World) -> None:
    with api.as_service_account(world.namespace, "neighbour-bot") as neighbour:
        path = f"api/v1/namespaces/{world.namespace}/serviceaccounts/momentum-bot/token"
        assert is_refused(neighbour, "POST", path)
        assert is_refused(neighbour, "GET", path_of("TradingBot", world.namespace, "momentum"))


# -------------------------------------------------------------------- people


@pytest.mark.parametrize("role", [*PEOPLE, *GIVEN_BY_NAME])
def test_whoever_may_look_sees_everything_of_ours(somebody: Somebody, namespace: str, role: str) -> None:
    with somebody(role) as person:
        for kind in ("TradingBot", "BrokerAccount", "PromotionGate", "PromotionEvidence", "Approval", "Attestation"):
            assert person.list(kind, namespace) == []


def test_a_viewer_changes_nothing(api: ApiServer, somebody: Somebody, namespace: str) -> None:
    World(api, namespace).bot("momentum")
    with somebody("view") as viewer:
        path = path_of("TradingBot", namespace, "momentum")
        for method, where in (("PATCH", path), ("PATCH", f"{path}/status"), ("DELETE", path)):
            assert is_refused(viewer, method, where), where
        assert is_refused(viewer, "GET", f"api/v1/namespaces/{namespace}/secrets")


@pytest.mark.parametrize("role", ["edit", "admin"])
def test_an_author_of_bots_makes_pauses_and_kills_them(somebody: Somebody, namespace: str, role: str) -> None:
    with somebody(role) as author:
        World(author, namespace).bot("momentum")
        author.patch("TradingBot", "momentum", {"spec": {"paused": True}}, namespace)
        author.patch("TradingBot", "momentum", KILL, namespace)
        author.delete("TradingBot", "momentum", namespace)


def test_an_author_of_bots_makes_no_account_and_no_gate(api: ApiServer, somebody: Somebody, namespace: str) -> None:
    World(api, namespace).account()
    with somebody("edit") as author:
        for plural in ("brokeraccounts", "promotiongates"):
            assert is_refused(author, "POST", f"apis/tradingbots.dev/v1alpha1/namespaces/{namespace}/{plural}")
        assert is_refused(author, "PATCH", path_of("BrokerAccount", namespace, "sim"))


def test_a_namespaces_administrator_makes_accounts_and_kills_every_bot_on_one(
    somebody: Somebody, namespace: str
) -> None:
    with somebody("admin") as administrator:
        World(administrator, namespace).account()
        administrator.patch("BrokerAccount", "sim", KILL, namespace)


@pytest.mark.parametrize("role", PEOPLE)
def test_the_bar_is_set_by_whoever_was_given_it_by_name(
    api: ApiServer, somebody: Somebody, namespace: str, role: str
) -> None:
    World(api, namespace).gate()
    with somebody(role) as person:
        assert is_refused(person, "PATCH", path_of("PromotionGate", namespace, "standard"))
        assert is_refused(person, "DELETE", path_of("PromotionGate", namespace, "standard"))
    with somebody("tradingbots-gates") as owner:
        World(owner, namespace).gate(checks={"paperSessions": {"minimum": 60}})
        assert is_refused(owner, "POST", f"apis/tradingbots.dev/v1alpha1/namespaces/{namespace}/tradingbots")


@pytest.mark.parametrize("kind", ["TradingBot", "BrokerAccount", "PromotionGate"])
@pytest.mark.parametrize("role", [*PEOPLE, "cluster-admin"])
def test_nobody_but_the_operator_writes_a_status(
    api: ApiServer, somebody: Somebody, namespace: str, role: str, kind: str
) -> None:
    world = World(api, namespace)
    world.account("one")
    world.gate("one")
    world.bot("one")
    path = path_of(kind, namespace, "one", "status")
    with somebody(role) as person:
        status = {"status": {"observedGeneration": 7}}
        # The policy may be a moment behind its binding; for all but cluster-admin RBAC refuses anyway.
        eventually(lambda: is_refused(person, "PATCH", path, status), "the status is fenced")


# ------------------------------------------------------------ people on duty


@pytest.fixture
def on_duty(api: ApiServer, somebody: Somebody, namespace: str) -> Iterator[ApiServer]:
    """A person who may stop bots, where the policy that holds them to that is in force."""
    world = World(api, namespace)
    world.account()
    world.bot("momentum", annotations={"note": "ours"}, mode="live", gateRef={"name": "any"}, accounts=LIVE_TOO)
    with somebody("tradingbots-duty") as person:
        path = path_of("TradingBot", namespace, "momentum")
        change = {"spec": {"capital": "1"}}
        eventually(lambda: is_refused(person, "PATCH", path, change, dryRun="All"), "the policy is in force")
        yield person


LIVE_TOO = {"paper": "sim", "live": "real"}
PAUSE: Json = {"metadata": {"annotations": {"tradingbots.dev/pause": ""}}}
STOPS: dict[str, Json] = {
    "kill": KILL,
    "kill without a word": {"metadata": {"annotations": {"tradingbots.dev/kill": ""}}},
    "pause": PAUSE,
    "both": {"metadata": {"annotations": {"tradingbots.dev/kill": "a", "tradingbots.dev/pause": "b"}}},
    "pause in the spec": {"spec": {"paused": True}},
    "back to paper": {"spec": {"mode": "paper"}},
    "everything at once": KILL | {"spec": {"mode": "paper", "paused": True}},
}


@pytest.mark.parametrize("stop", STOPS.values(), ids=STOPS)
def test_a_person_on_duty_stops_a_bot(on_duty: ApiServer, namespace: str, stop: Json) -> None:
    on_duty.patch("TradingBot", "momentum", stop, namespace)
    # And again, when it is there already.
    on_duty.patch("TradingBot", "momentum", stop, namespace)


def test_a_person_on_duty_kills_every_bot_on_an_account(on_duty: ApiServer, namespace: str) -> None:
    on_duty.patch("BrokerAccount", "sim", KILL, namespace)


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"paused": True},
        {"strategy": {"name": "any", "parameters": {"deep": {str(n): "x" * 1000 for n in range(300)}}}},
        {"symbols": [f"S{letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]},
    ],
    ids=["plain", "paused", "large", "many symbols"],
)
def test_a_kill_by_a_person_on_duty_is_never_refused_whatever_the_bot_is(
    api: ApiServer, on_duty: ApiServer, namespace: str, spec: Json
) -> None:
    World(api, namespace).bot("odd", **spec)
    deleting = {"metadata": {"finalizers": ["example.com/wait"], "labels": {"a": "b"}}}
    api.patch("TradingBot", "odd", deleting, namespace)
    api.delete("TradingBot", "odd", namespace)
    on_duty.patch("TradingBot", "odd", KILL, namespace)
    # A change of the spec is looked at however large it is.
    path = path_of("TradingBot", namespace, "odd")
    assert is_refused(on_duty, "PATCH", path, {"spec": {"capital": "1"}})
    api.patch("TradingBot", "odd", {"metadata": {"finalizers": None}}, namespace)


def test_a_person_on_duty_takes_back_a_pause_and_an_annotation_of_kill(on_duty: ApiServer, namespace: str) -> None:
    for key in ("tradingbots.dev/pause", "tradingbots.dev/kill"):
        for value in ("", None):
            on_duty.patch("TradingBot", "momentum", {"metadata": {"annotations": {key: value}}}, namespace)


NO_STOPS: dict[str, Json] = {
    "capital": {"spec": {"capital": "20000"}},
    "an image": {"spec": {"image": "mine:1"}},
    "fewer limits": {"spec": {"risk": {"maxPositions": 100}}},
    "a field that was not there": {"spec": {"podLabels": {"a": "b"}}},
    "no gate": {"spec": {"gateRef": None, "mode": "paper"}},
    "a kill that brings a change along": KILL | {"spec": {"image": "mine:1"}},
    "a kill with another annotation": {
        "metadata": {"annotations": {"tradingbots.dev/kill": "", "tradingbots.dev/skip-cancel-on-delete": ""}}
    },
    "an annotation": {"metadata": {"annotations": {"tradingbots.dev/reset-breaker": "please"}}},
    "an empty annotation": {"metadata": {"annotations": {"tradingbots.dev/skip-cancel-on-delete": ""}}},
    "an annotation that was there": {"metadata": {"annotations": {"note": "theirs"}}},
    "an annotation less": {"metadata": {"annotations": {"note": None}}},
    "a label": {"metadata": {"labels": {"a": "b"}}},
    "a finalizer": {"metadata": {"finalizers": ["example.com/wait"]}},
    "an owner": {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "y"}]}},
}


@pytest.mark.parametrize("change", NO_STOPS.values(), ids=NO_STOPS)
def test_a_person_on_duty_does_nothing_but_stop(on_duty: ApiServer, namespace: str, change: Json) -> None:
    assert is_refused(on_duty, "PATCH", path_of("TradingBot", namespace, "momentum"), change)


def test_a_person_on_duty_starts_nothing(api: ApiServer, on_duty: ApiServer, namespace: str) -> None:
    stopped = {"spec": {"mode": "paper", "paused": True}}
    api.patch("TradingBot", "momentum", stopped, namespace)
    path = path_of("TradingBot", namespace, "momentum")
    for change in ({"spec": {"mode": "live"}}, {"spec": {"paused": False}}, {"spec": {"paused": None}}):
        assert is_refused(on_duty, "PATCH", path, change), change
    for method, where in (("DELETE", path), ("POST", f"{path.rpartition('/')[0]}"), ("PATCH", f"{path}/status")):
        assert is_refused(on_duty, method, where), where
    account = path_of("BrokerAccount", namespace, "sim")
    assert is_refused(on_duty, "PATCH", account, {"spec": {"baseURL": "http://elsewhere:8080"}})
    assert is_refused(on_duty, "PATCH", account, {"metadata": {"annotations": {"note": "x"}}})


@pytest.mark.usefixtures("on_duty")
def test_who_may_update_is_not_held_to_stops(somebody: Somebody, namespace: str) -> None:
    with somebody("edit") as author:
        author.patch("TradingBot", "momentum", {"spec": {"capital": "20000", "mode": "live"}}, namespace)


# ---------------------------------------------- who decides, by an approval


@pytest.mark.parametrize("role", GIVEN_BY_NAME)
def test_who_decides_changes_no_bot_no_account_no_gate_and_no_evidence(
    api: ApiServer, somebody: Somebody, namespace: str, role: str
) -> None:
    world = World(api, namespace)
    world.account("one")
    world.gate("one")
    world.bot("one")
    with somebody(role) as person:
        for kind in ("TradingBot", "BrokerAccount", "PromotionGate"):
            path = path_of(kind, namespace, "one")
            assert is_refused(person, "DELETE", path)
            assert is_refused(person, "POST", path_of(kind, namespace))
            assert is_refused(person, "PATCH", path, {"metadata": {"labels": {"a": "b"}}}), path
        for kind in ("PromotionEvidence", "Attestation"):
            assert is_refused(person, "POST", path_of(kind, namespace))
            assert is_refused(person, "DELETE", path_of(kind, namespace, "any"))


@pytest.mark.parametrize("role", [*PEOPLE, "tradingbots-gates"])
def test_nobody_gets_the_right_to_approve_release_or_attest_by_another_role(api: ApiServer, role: str) -> None:
    for rule in api.get("ClusterRole", role).get("rules") or []:
        if set(rule["apiGroups"]) & {"tradingbots.dev", "*"}:
            assert not set(rule["verbs"]) & {"*", "approve", "release", "acknowledge", "attest"}, rule
            if set(rule["resources"]) & {"*", "approvals", "attestations", "promotionevidences"}:
                assert set(rule["verbs"]) == {"get", "list", "watch"}, rule


# -------------------------------------------------------------- Pod Security


def as_pod(workload: Json) -> Json:
    template = workload["spec"]["template"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        # Without the labels that only a controller may give: they are no part of what is looked at here.
        "metadata": {"name": "admitted"},
        "spec": {**template["spec"], "serviceAccountName": "default"},
    }


def admitted(api: ApiServer, namespace: str, pod: Json) -> str:
    return api.request("POST", path_of("Pod", namespace), pod, dryRun="All").warning


SHIPPED = [
    entry
    for folder in ("base", "simulator")
    for entry in manifests(ROOT / "manifests" / folder)
    if entry["kind"] in ("Deployment", "StatefulSet", "Job")
]


@pytest.mark.parametrize("workload", SHIPPED, ids=lambda entry: entry["metadata"]["name"])
def test_the_pods_we_ship_pass_pod_security_restricted(api: ApiServer, namespace: str, workload: Json) -> None:
    assert admitted(api, namespace, as_pod(workload)) == ""


def test_a_bots_pod_passes_pod_security_restricted(api: ApiServer, world: World) -> None:
    world.account()
    world.bot("momentum")
    world.wait_for_children("momentum")
    pod = as_pod(world.child("momentum"))
    pod["spec"]["volumes"] = [*pod["spec"]["volumes"], {"name": "state", "emptyDir": {}}]
    assert admitted(api, world.namespace, pod) == ""
    # And it is this admission that was passed.
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(Refused) as refusal:
        admitted(api, world.namespace, pod)
    assert 'violates PodSecurity "restricted' in refusal.value.message


@pytest.mark.parametrize("folder", ["base", "simulator", "demo"])
def test_the_namespaces_we_ship_enforce_it(folder: str) -> None:
    (namespace,) = (entry for entry in manifests(ROOT / "manifests" / folder) if entry["kind"] == "Namespace")
    for mode in ("enforce", "audit", "warn"):
        assert namespace["metadata"]["labels"][f"pod-security.kubernetes.io/{mode}"] == "restricted"


# ------------------------------------------------------------------- network


def test_a_bots_network_policy_finds_its_pod_and_no_other(world: World) -> None:
    world.account()
    world.bot("momentum")
    world.wait_for_children("momentum")
    spec = world.child("momentum", "NetworkPolicy")["spec"]
    labels = world.child("momentum")["spec"]["template"]["metadata"]["labels"]
    assert spec["podSelector"]["matchLabels"].items() <= labels.items()
    assert spec["podSelector"]["matchLabels"]["tradingbots.dev/bot"] == "momentum"
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    operator, prometheus = spec["ingress"][0]["from"]
    assert operator["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "tradingbot-system"}
    assert prometheus["namespaceSelector"]["matchLabels"] == {"tradingbots.dev/metrics": "scrape"}


def test_the_operators_network_policy_finds_the_operator(api: ApiServer) -> None:
    shipped = list(manifests(ROOT / "manifests/base"))
    (policy,) = (entry for entry in shipped if entry["kind"] == "NetworkPolicy")
    (deployment,) = (entry for entry in shipped if entry["kind"] == "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    stored = api.get("NetworkPolicy", "tradingbot-operator", "tradingbot-system")["spec"]
    assert stored["policyTypes"] == ["Ingress", "Egress"]
