"""Who may do what: each identity tries what it needs, and what it must not."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from api_server import MERGE, ApiServer, Json, Refused, eventually, manifests, path_of
from world import World

ROOT = Path(__file__).parents[2]
SECRETS = "api/v1/secrets"
GROUP = "apis/tradingbots.dev/v1alpha1/namespaces/default"
POLICIES = "apis/admissionregistration.k8s.io/v1"
RBAC = "apis/rbac.authorization.k8s.io/v1"
KILL: Json = {"metadata": {"annotations": {"tradingbots.dev/kill": "enough"}}}
PEOPLE = ("view", "edit", "admin")


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
    for name in ("live-pods", "live-workloads", "operator", "scale", "status"):
        assert not is_refused(operator_identity, "GET", f"{POLICIES}/{kind}/tradingbots-{name}")


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


@pytest.mark.parametrize("role", PEOPLE)
def test_whoever_may_look_sees_bots_accounts_and_gates(somebody: Somebody, namespace: str, role: str) -> None:
    with somebody(role) as person:
        for kind in ("TradingBot", "BrokerAccount", "PromotionGate"):
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


# -------------------------------------------------------------- Pod Security


def as_pod(workload: Json) -> Json:
    template = workload["spec"]["template"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "admitted", "labels": template["metadata"].get("labels", {})},
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
