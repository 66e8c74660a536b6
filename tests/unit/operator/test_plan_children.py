"""What a bot is made of: deterministic manifests that hold no key and run with no privilege."""

import hashlib
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tradingbot_api import RuntimeConfig, TradingBotSpec
from tradingbot_api.group import CONFIG_DIGEST_ANNOTATION, CONFIG_DIGEST_VARIABLE
from tradingbot_operator.plan.objects import mapping
from unit.operator.world import (
    UID,
    a_bot,
    a_stateful_set,
    an_account,
    child,
    kinds,
    plan,
)

ALL = ["ServiceAccount", "Role", "RoleBinding", "Service", "NetworkPolicy", "ConfigMap", "StatefulSet"]


def pod_spec(bot: Any = None, **changes: Any) -> dict[str, Any]:
    return child(plan(bot, **changes), "StatefulSet")["spec"]["template"]["spec"]


def config(bot: Any = None, **changes: Any) -> RuntimeConfig:
    text = child(plan(bot, **changes), "ConfigMap")["data"]["bot.yaml"]
    return RuntimeConfig.model_validate(yaml.safe_load(text))


def test_a_bot_has_seven_children_that_carry_its_name_and_belong_to_it() -> None:
    applied = plan().apply
    assert [entry.kind for entry in applied] == ALL
    for entry in applied:
        metadata = entry.manifest["metadata"]
        assert metadata["name"] == "momentum-bot"
        assert metadata["namespace"] == "demo"
        assert metadata["labels"]["tradingbots.dev/bot"] == "momentum"
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == "tradingbot-operator"
        (owner,) = metadata["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("TradingBot", UID, True)


def test_the_same_bot_gives_the_same_manifests() -> None:
    assert [entry.manifest for entry in plan().apply] == [entry.manifest for entry in plan().apply]


def test_the_config_is_what_the_runtime_reads() -> None:
    read = config(a_bot(capital="2500.50", onKill="Flatten", timeframe="5Min", risk={"maxPositions": 2}))
    assert (read.bot.namespace, read.bot.name, read.bot.uid) == ("demo", "momentum", UID)
    assert (str(read.capital), read.on_kill, read.timeframe, read.risk.max_positions) == (
        "2500.50",
        "Flatten",
        "5Min",
        2,
    )
    assert (read.broker.account, read.broker.base_url) == ("sim", "http://simulator:8080")
    assert read.broker.data_url == read.broker.base_url


def test_every_field_that_spec_and_config_share_reaches_the_bot() -> None:
    shared = RuntimeConfig.model_fields.keys() & TradingBotSpec.model_fields.keys() - {"mode"}
    assert {"strategy", "symbols", "capital", "risk", "execution", "on_kill"} <= shared
    read, spec = config(), TradingBotSpec.model_validate(a_bot()["spec"])
    for name in shared:
        assert getattr(read, name) == getattr(spec, name)


@pytest.mark.parametrize("mode", ["paper", "live"])
def test_the_config_is_always_paper(mode: str) -> None:
    bot = a_bot(mode=mode, gateRef={"name": "standard"}, accounts={"paper": "sim", "live": "real"})
    assert config(bot).mode == "paper"
    assert config(bot).broker.account == "sim"


def test_alpaca_accounts_get_alpacas_addresses() -> None:
    account = an_account(provider="alpaca")
    del account["spec"]["baseURL"]
    broker = config(account=account).broker
    assert (broker.base_url, broker.data_url) == ("https://paper-api.alpaca.markets", "https://data.alpaca.markets")


def test_keys_come_from_the_secret_by_reference() -> None:
    (container,) = pod_spec()["containers"]
    plain = [entry for entry in container["env"] if "value" in entry]
    references = {entry["name"]: entry["valueFrom"] for entry in container["env"] if entry not in plain}
    assert references["APCA_API_KEY_ID"] == {"secretKeyRef": {"name": "keys", "key": "APCA_API_KEY_ID"}}
    assert references["APCA_API_SECRET_KEY"] == {"secretKeyRef": {"name": "keys", "key": "APCA_API_SECRET_KEY"}}
    assert references["POD_NAME"]["fieldRef"]["fieldPath"] == "metadata.name"
    assert [entry["name"] for entry in plain] == [CONFIG_DIGEST_VARIABLE]


def test_the_pod_is_told_which_config_was_made_for_it() -> None:
    template = child(plan(), "StatefulSet")["spec"]["template"]
    text = child(plan(), "ConfigMap")["data"]["bot.yaml"]
    digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    (container,) = template["spec"]["containers"]
    assert {"name": CONFIG_DIGEST_VARIABLE, "value": digest} in container["env"]
    assert template["metadata"]["annotations"][CONFIG_DIGEST_ANNOTATION] == digest


def test_the_pod_meets_the_restricted_profile() -> None:
    spec = pod_spec()
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["fsGroup"] == 65532
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_container_runs_the_runtime_with_its_config_state_and_status_port() -> None:
    (container,) = pod_spec()["containers"]
    assert [*container["command"], *container["args"]] == [
        "tradingbot",
        "run",
        "--config",
        "/etc/tradingbot/bot.yaml",
        "--state",
        "/var/lib/tradingbot",
        "--control",
        "kubernetes",
        "--listen",
        "0.0.0.0:8080",
    ]
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["resources"] == {
        "requests": {"cpu": "50m", "memory": "192Mi"},
        "limits": {"memory": "512Mi"},
    }


def test_a_users_resources_replace_the_defaults_they_could_contradict() -> None:
    bot = a_bot(resources={"requests": {"memory": "2Gi"}, "limits": {"cpu": 1}})
    (container,) = pod_spec(bot)["containers"]
    assert container["resources"] == {"requests": {"memory": "2Gi"}, "limits": {"cpu": "1"}}


def test_what_a_user_says_of_the_pod_is_passed_on() -> None:
    affinity = {"podAntiAffinity": {}}
    spec = pod_spec(
        a_bot(
            nodeSelector={"disk": "ssd"},
            tolerations=[{"key": "dedicated", "operator": "Exists"}],
            affinity=affinity,
            imagePullSecrets=[{"name": "registry"}],
            image="mine:1",
            imagePullPolicy="Always",
        )
    )
    assert spec["nodeSelector"] == {"disk": "ssd"}
    assert spec["tolerations"] == [{"key": "dedicated", "operator": "Exists"}]
    assert spec["affinity"] == affinity
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert (spec["containers"][0]["image"], spec["containers"][0]["imagePullPolicy"]) == ("mine:1", "Always")


def test_our_labels_and_annotations_win_over_a_users() -> None:
    bot = a_bot(
        podLabels={"team": "quant", "tradingbots.dev/bot": "other", "app.kubernetes.io/name": "x"},
        podAnnotations={"note": "mine", "tradingbots.dev/symbols": "TSLA"},
    )
    metadata = child(plan(bot), "StatefulSet")["spec"]["template"]["metadata"]
    assert metadata["labels"]["team"] == "quant"
    assert metadata["labels"]["tradingbots.dev/bot"] == "momentum"
    assert metadata["labels"]["app.kubernetes.io/name"] == "tradingbot"
    assert metadata["annotations"]["note"] == "mine"
    assert metadata["annotations"]["tradingbots.dev/symbols"] == "AAPL,MSFT"


@pytest.mark.parametrize(("reclaim", "when_deleted"), [("Retain", "Retain"), ("Delete", "Delete")])
def test_the_volume_is_kept_when_scaled_and_as_asked_when_deleted(reclaim: str, when_deleted: str) -> None:
    spec = child(plan(a_bot(storage={"reclaim": reclaim})), "StatefulSet")["spec"]
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": when_deleted, "whenScaled": "Retain"}
    assert spec["podManagementPolicy"] == "Parallel"


def test_the_claim_asks_for_the_size_and_class() -> None:
    storage = {"size": "5Gi", "storageClassName": "fast"}
    (template,) = child(plan(a_bot(storage=storage), children={}), "StatefulSet")["spec"]["volumeClaimTemplates"]
    assert template["spec"]["resources"]["requests"]["storage"] == "5Gi"
    assert template["spec"]["storageClassName"] == "fast"


def test_a_volume_that_exists_keeps_its_size_because_a_claim_template_cannot_change() -> None:
    observed = a_stateful_set(volumeClaimTemplates=[{"spec": {"resources": {"requests": {"storage": "1Gi"}}}}])
    wanted = plan(a_bot(storage={"size": "5Gi"}), children={"StatefulSet": observed})
    (template,) = child(wanted, "StatefulSet")["spec"]["volumeClaimTemplates"]
    assert template["spec"]["resources"]["requests"]["storage"] == "1Gi"


def test_a_changed_config_is_a_changed_pod_template_and_nothing_else_is() -> None:
    def digest(bot: Any) -> str:
        annotations: dict[str, str] = child(plan(bot), "StatefulSet")["spec"]["template"]["metadata"]["annotations"]
        return annotations["tradingbots.dev/config-digest"]

    assert digest(a_bot(capital="10001")) != digest(a_bot())
    assert digest(a_bot(paused=True)) == digest(a_bot())
    runs = {"StatefulSet": child(plan(a_bot()), "StatefulSet")}
    killed = child(plan(a_bot(annotations={"tradingbots.dev/kill": "now"}), children=runs), "StatefulSet")
    assert killed["spec"]["template"] == runs["StatefulSet"]["spec"]["template"]
    assert digest(a_bot(storage={"size": "5Gi", "reclaim": "Delete"})) == digest(a_bot())
    live = a_bot(mode="live", gateRef={"name": "g"}, accounts={"paper": "sim", "live": "real"})
    assert digest(live) == digest(a_bot())


def test_a_bot_may_read_itself_and_its_account_by_name() -> None:
    rules = child(plan(), "Role")["rules"]
    assert [(rule["resources"], rule["resourceNames"]) for rule in rules] == [
        (["tradingbots"], ["momentum"]),
        (["brokeraccounts"], ["sim"]),
    ]
    assert all(rule["verbs"] == ["get", "list", "watch"] for rule in rules)
    binding = child(plan(), "RoleBinding")
    assert binding["roleRef"]["name"] == "momentum-bot"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "momentum-bot", "namespace": "demo"}]


def test_a_child_of_another_owner_is_never_adopted() -> None:
    namesake = a_stateful_set(a_bot(uid="a-former-momentum"))
    wanted = plan(children={"StatefulSet": namesake})
    assert "StatefulSet" not in kinds(wanted)
    assert "ConfigMap" in kinds(wanted)


@pytest.mark.parametrize(("uid", "ours"), [(UID, True), ("a-former-momentum", False), (None, False)])
def test_a_child_without_an_owner_is_ours_only_if_it_was_made_for_this_very_bot(uid: str | None, ours: bool) -> None:
    observed = a_stateful_set()
    annotations = {"tradingbots.dev/bot-uid": uid} if uid else {}
    orphan = {**observed, "metadata": {**observed["metadata"], "ownerReferences": [], "annotations": annotations}}
    assert ("StatefulSet" in kinds(plan(children={"StatefulSet": orphan}))) is ours


def test_a_bot_that_is_being_deleted_is_left_to_the_garbage_collector() -> None:
    bot = a_bot()
    wanted = plan({**bot, "metadata": {**bot["metadata"], "deletionTimestamp": "2026-11-21T12:00:00Z"}})
    assert (wanted.apply, wanted.status, wanted.events) == ((), None, ())


symbols = st.lists(st.sampled_from(["AAPL", "MSFT", "NVDA", "BRK.B"]), min_size=1, unique=True)
parameters = st.dictionaries(
    st.text("abcxyz_", min_size=1, max_size=8),
    st.one_of(st.integers(-1000, 1000), st.booleans(), st.text(max_size=20), st.floats(-1e6, 1e6)),
    max_size=5,
)


@given(symbols=symbols, parameters=parameters, capital=st.decimals("0.01", "999999999", places=2))
def test_any_config_survives_being_written_and_read(symbols: Any, parameters: Any, capital: Any) -> None:
    bot = a_bot(symbols=symbols, strategy={"name": "momentum", "parameters": parameters}, capital=str(capital))
    read = config(bot)
    assert (read.symbols, read.strategy.parameters, read.capital) == (symbols, parameters, capital)
    assert mapping(bot, "spec", "strategy")["parameters"] == parameters
