"""Who may do what: each identity tries what it needs, and what it must not."""

from collections.abc import Iterator

import pytest
from api_server import ApiServer, Refused, path_of
from world import World

SECRETS = "api/v1/secrets"


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


def is_refused(server: ApiServer, method: str, path: str, **query: str) -> bool:
    try:
        server.request(method, path, {} if method != "GET" else None, **query)
    except Refused as refused:
        assert refused.code == 403, refused
        return True
    return False


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", SECRETS),
        ("GET", "api/v1/namespaces/default/secrets/any"),
        ("POST", "api/v1/namespaces/default/secrets"),
        ("POST", "api/v1/namespaces/default/pods"),
        ("POST", "api/v1/namespaces/default/serviceaccounts/default/token"),
        ("POST", "apis/rbac.authorization.k8s.io/v1/clusterroles"),
        ("POST", "apis/tradingbots.dev/v1alpha1/namespaces/default/tradingbots"),
        ("DELETE", "apis/tradingbots.dev/v1alpha1/namespaces/default/tradingbots/any"),
        ("DELETE", "apis/apps/v1/namespaces/default/statefulsets/any"),
        ("DELETE", "api/v1/namespaces/default/persistentvolumeclaims/any"),
        ("GET", "api/v1/nodes"),
    ],
)
def test_the_operator_may_not(operator_identity: ApiServer, method: str, path: str) -> None:
    assert is_refused(operator_identity, method, path)


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
        f"api/v1/{namespaced}/secrets",
        f"api/v1/{namespaced}/secrets/keys",
        f"api/v1/{namespaced}/configmaps",
        f"api/v1/{namespaced}/pods",
    ):
        assert is_refused(bot_identity, "GET", path), path


def test_a_bot_writes_nothing(bot_identity: ApiServer, world: World) -> None:
    group = f"apis/tradingbots.dev/v1alpha1/namespaces/{world.namespace}"
    for path in (f"{group}/tradingbots/momentum", f"{group}/tradingbots/momentum/status"):
        with pytest.raises(Refused) as refusal:
            bot_identity.request("PATCH", path, {}, "application/merge-patch+json")
        assert refusal.value.code == 403
