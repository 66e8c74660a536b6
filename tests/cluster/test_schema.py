"""The CRDs on a real API server: what is good is accepted and completed, what is bad is refused with its reason."""

import subprocess
from pathlib import Path

import pytest
import yaml
from api_server import ApiServer, Json, Refused, manifests

ROOT = Path(__file__).parents[2]
BAD = sorted((Path(__file__).parent / "bad").glob("*.yaml"))
GOOD_BOT: Json = {
    "apiVersion": "tradingbots.dev/v1alpha1",
    "kind": "TradingBot",
    "metadata": {"name": "momentum"},
    "spec": {
        "strategy": {"name": "momentum", "parameters": {"lookback": 20, "deep": {"er": [1, "two"]}}},
        "symbols": ["AAPL", "BRK.B"],
        "capital": "10000",
        "accounts": {"paper": "alpaca-paper"},
    },
}


def test_there_are_enough_bad_examples() -> None:
    assert len(BAD) >= 25


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_a_bad_example_is_refused_with_the_message_its_file_names(api: ApiServer, namespace: str, file: Path) -> None:
    text = file.read_text()
    expected = text.splitlines()[0].removeprefix("# refused: ")
    *accepted, refused = yaml.safe_load_all(text)
    for document in accepted:
        api.create(document, namespace)
    with pytest.raises(Refused) as refusal:
        (api.replace if accepted else api.create)(refused, namespace)
    assert expected in refusal.value.message
    assert refusal.value.code in (400, 422)


def test_a_good_bot_is_completed_with_defaults(api: ApiServer, namespace: str) -> None:
    spec = api.apply(GOOD_BOT, namespace).document["spec"]
    assert (spec["mode"], spec["timeframe"], spec["onKill"], spec["paused"]) == ("paper", "1Day", "CancelOrders", False)
    assert spec["risk"]["maxPositionPercent"] == "25"
    assert spec["storage"] == {"size": "1Gi", "reclaim": "Retain"}
    assert spec["strategy"]["parameters"] == {"lookback": 20, "deep": {"er": [1, "two"]}}


def test_a_volume_may_grow(api: ApiServer, namespace: str) -> None:
    api.apply(GOOD_BOT, namespace)
    grown = {**GOOD_BOT, "spec": {**GOOD_BOT["spec"], "storage": {"size": "5Gi"}}}
    assert api.apply(grown, namespace).document["spec"]["storage"]["size"] == "5Gi"


def test_a_live_bot_is_accepted_because_a_sync_must_not_fail(api: ApiServer, namespace: str) -> None:
    spec = {
        **GOOD_BOT["spec"],
        "mode": "live",
        "gateRef": {"name": "standard"},
        "accounts": {"paper": "alpaca-paper", "live": "alpaca-live"},
    }
    assert api.apply({**GOOD_BOT, "spec": spec}, namespace).document["spec"]["mode"] == "live"


@pytest.mark.parametrize(
    ("provider", "environment", "url"),
    [
        ("alpaca", "paper", None),
        ("alpaca", "live", None),
        ("alpaca", "paper", "https://paper-api.alpaca.markets"),
        ("alpaca", "live", "https://api.alpaca.markets"),
        ("simulator", "paper", "http://alpaca-simulator:8080"),
        ("simulator", "live", "http://alpaca-simulator:8080"),
    ],
)
def test_a_good_account_is_accepted(
    api: ApiServer, namespace: str, provider: str, environment: str, url: str | None
) -> None:
    document: Json = {
        "apiVersion": "tradingbots.dev/v1alpha1",
        "kind": "BrokerAccount",
        "metadata": {"name": "account"},
        "spec": {"provider": provider, "environment": environment, "credentialsSecretRef": {"name": "keys"}},
    }
    if url:
        document["spec"]["baseURL"] = url
    assert api.apply(document, namespace).document["spec"]["dataFeed"] == "iex"


@pytest.mark.parametrize("name", ["bot", "bots", "account", "accounts", "gate", "gates"])
def test_short_names_are_served(api: ApiServer, name: str) -> None:
    resources = api.request("GET", "apis/tradingbots.dev/v1alpha1").document["resources"]
    assert name in [short for resource in resources for short in resource.get("shortNames", [])]


def test_everything_in_the_base_is_accepted_strictly_and_without_a_warning(api: ApiServer) -> None:
    for document in manifests(ROOT / "manifests/base"):
        answer = api.apply(document, dryRun="All")
        assert not answer.warning, (document["kind"], answer.warning)


def test_kustomize_renders_the_base(tmp_path: Path) -> None:
    subprocess.run(["kubectl", "kustomize", str(ROOT / "manifests/base")], check=True, capture_output=True, timeout=60)
