"""What leaves in a bug report: no key, token or password, wherever it stands; and the rest is still of use."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kubectl_tradingbot.redaction import GONE, redacted_object, redacted_text

SECRET = "Zx9Qw7Lk3Vb5Nm1P"


def a_pod(**container: Any) -> dict[str, Any]:
    return {"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "bot", **container}]}}


def test_a_secret_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="no place in a report"):
        redacted_object({"kind": "Secret", "data": {"a": "b"}})


def test_environments_keep_names_and_sources_and_lose_values() -> None:
    source = {"secretKeyRef": {"name": "keys", "key": "APCA_API_KEY_ID"}}
    env = [{"name": "HARMLESS", "value": SECRET}, {"name": "KEY", "valueFrom": source}]
    found = redacted_object(a_pod(env=env, envFrom=[{"secretRef": {"name": "keys"}}]))
    (container,) = found["spec"]["containers"]
    assert container["env"] == [{"name": "HARMLESS", "value": GONE}, {"name": "KEY", "valueFrom": source}]
    assert container["envFrom"] == [{"secretRef": {"name": "keys"}}]


@pytest.mark.parametrize(
    "key",
    ["apiKey", "api_key", "APCA_API_SECRET_KEY", "password", "smtpPassword", "accessToken", "clientSecret", "key-id"],
)
def test_what_is_called_a_secret_is_taken_out_at_any_depth(key: str) -> None:
    parameters = {"lookback": 20, "vendor": [{key: SECRET}]}
    bot = {"kind": "TradingBot", "metadata": {}, "spec": {"strategy": {"parameters": parameters}}}
    found = json.dumps(redacted_object(bot))
    assert SECRET not in found
    assert '"lookback": 20' in found


def test_names_of_secrets_stay_because_they_tell_what_is_wired_to_what() -> None:
    account = {"kind": "BrokerAccount", "metadata": {}, "spec": {"credentialsSecretRef": {"name": "alpaca-keys"}}}
    assert redacted_object(account)["spec"] == account["spec"]
    volume = a_pod()
    volume["spec"]["volumes"] = [{"name": "keys", "secret": {"secretName": "alpaca-keys"}}]
    assert "alpaca-keys" in json.dumps(redacted_object(volume))


def test_a_webhooks_path_goes_and_its_host_stays() -> None:
    hook = {
        "kind": "TradingBot",
        "metadata": {},
        "spec": {"notices": {"webhook": {"url": f"https://h.example/{SECRET}"}}},
    }
    assert redacted_object(hook)["spec"]["notices"]["webhook"]["url"] == f"https://h.example/{GONE}"
    assert redacted_text(f"POST https://u:{SECRET}@h.example:444/x?t={SECRET} failed") == (
        f"POST https://h.example:444/{GONE} failed"
    )
    assert redacted_text("baseURL http://simulator:8080") == "baseURL http://simulator:8080"


def test_a_config_map_is_read_as_the_document_it_holds() -> None:
    config = yaml.safe_dump({"bot": {"name": "momentum"}, "feed": {"token": SECRET}})
    data = {"bot.yaml": config, "broken": f"{{ password: {SECRET}", "plain": f"smtp_password={SECRET} host=h"}
    found = redacted_object({"kind": "ConfigMap", "metadata": {}, "data": data, "binaryData": {"x": SECRET}})
    assert SECRET not in json.dumps(found)
    assert "momentum" in found["data"]["bot.yaml"]


def test_what_was_applied_last_goes_with_all_it_says() -> None:
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": SECRET, "tradingbots.dev/kill": "why"}
    found = redacted_object({"kind": "TradingBot", "metadata": {"annotations": annotations, "managedFields": [SECRET]}})
    assert found["metadata"] == {"annotations": {"tradingbots.dev/kill": "why"}}


@pytest.mark.parametrize(
    "line",
    [
        "key PKABCDEFGHIJKLMNOP12 refused",
        f"Authorization: Bearer {SECRET}",
        '{"event": "x", "api_key": "Zx9Qw7Lk3Vb5Nm1P"}',
        "?token=Zx9Qw7Lk3Vb5Nm1P&x=1",
        r'{"event": "sent {\"secretKey\": \"Zx9Qw7Lk3Vb5Nm1P\"}"}',
        "APCA_API_SECRET_KEY='Zx9Qw7Lk3Vb5Nm1P'",
        f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----",
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl",
    ],
)
def test_a_log_loses_what_looks_like_a_key(line: str) -> None:
    found = redacted_text(f"before {line} after")
    assert GONE in found
    for hidden in (SECRET, "PKABCDEFGHIJKLMNOP12", "c2lnbmF0dXJl"):
        assert hidden not in found
    assert found.startswith("before")


def test_an_ordinary_log_line_stays_as_it_is() -> None:
    line = '{"event": "order_filled", "symbol": "AAPL", "qty": "10", "client_order_id": "tb-1-2-3", "session": "2026"}'
    assert redacted_text(line) == line


leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=20))
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=8), trees, max_size=4), st.integers(0, 3))
def test_no_shape_of_a_document_lets_a_password_through(tree: dict[str, Any], depth: int) -> None:
    hidden: Any = {"password": SECRET, "env": [{"name": "A", "value": SECRET}]}
    for _ in range(depth):
        hidden = {"inner": [hidden]}
    found = redacted_object({"kind": "TradingBot", "metadata": {}, "spec": {**tree, "hidden": hidden}})
    assert SECRET not in json.dumps(found)
