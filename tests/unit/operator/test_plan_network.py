"""A bot's NetworkPolicy lets it reach what it was given and nothing more, and never keeps it from the API server."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradingbot_api import BrokerAccountSpec, TradingBotSpec
from tradingbot_operator.plan.network import network_policy_spec
from tradingbot_operator.plan.objects import Raw
from unit.operator.world import a_bot, a_live_account, a_snapshot, an_account, child, plan

API_SERVER = {443, 6443, 8443, 16443}


def policy(account: Raw | None = None, **spec: Any) -> Any:
    return network_policy_spec(
        "momentum",
        TradingBotSpec.model_validate(a_bot(**spec)["spec"]),
        BrokerAccountSpec.model_validate((account or an_account())["spec"]),
        "tradingbot-system",
    )


def ports(rule: Any) -> set[int]:
    return {entry["port"] for entry in rule["ports"]}


def anywhere(spec: Any) -> set[int]:
    return {port for rule in spec["egress"] if "to" not in rule for port in ports(rule)}


def inside(spec: Any) -> list[tuple[str, set[int]]]:
    found = []
    for rule in spec["egress"]:
        for peer in rule.get("to", ()):
            labels = peer.get("namespaceSelector", {}).get("matchLabels", {})
            found.append((labels.get("kubernetes.io/metadata.name", "own"), ports(rule)))
    return found


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://alpaca-simulator:8080", [("own", {8080})]),
        ("http://alpaca-simulator", [("own", {80})]),
        ("http://alpaca-simulator.alpaca-simulator.svc:8080", [("alpaca-simulator", {8080})]),
        ("http://sim.lab.svc.cluster.local:9000/v2", [("lab", {9000})]),
        ("https://sim.lab.svc", [("lab", {443})]),
    ],
)
def test_a_simulator_is_reached_where_it_is(url: str, expected: Any) -> None:
    spec = policy(an_account(baseURL=url))
    assert inside(spec) == expected
    assert anywhere(spec) == API_SERVER | {53}


@pytest.mark.parametrize(
    ("url", "port"), [("http://sim.lab:8080", 8080), ("http://10.0.0.9:8081", 8081), ("http://sim.example.org", 80)]
)
def test_what_may_be_on_the_internet_is_reached_by_its_port(url: str, port: int) -> None:
    spec = policy(an_account(baseURL=url))
    assert inside(spec) == []
    assert anywhere(spec) == API_SERVER | {53, port}


def test_alpaca_needs_no_more_than_https() -> None:
    assert anywhere(policy(a_live_account())) == API_SERVER | {53}
    assert inside(policy(a_live_account())) == []


def test_data_and_notices_have_their_own_addresses() -> None:
    spec = policy(
        an_account(dataURL="http://data.lab.svc:7000"),
        notices={
            "webhook": {"url": "http://Pager.Lab.svc:9093/hook"},
            "email": {"server": "mail.example.org:587", "sender": "a@b", "recipients": ["c@d"]},
        },
    )
    assert inside(spec) == [("own", {8080}), ("lab", {7000}), ("lab", {9093})]
    assert 587 in anywhere(spec)
    plain = policy(notices={"email": {"server": "mail.example.org", "sender": "a@b", "recipients": ["c@d"]}})
    assert 25 in anywhere(plain)


def test_one_address_twice_is_one_rule() -> None:
    url = "http://sim.lab.svc:8080"
    assert inside(policy(an_account(baseURL=url, dataURL=url))) == [("lab", {8080})]


def test_only_the_operator_and_prometheus_reach_a_bot() -> None:
    spec = policy()
    (rule,) = spec["ingress"]
    assert ports(rule) == {8080}
    operator, prometheus = rule["from"]
    assert operator == {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "tradingbot-system"}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "tradingbot-operator"}},
    }
    assert prometheus == {"namespaceSelector": {"matchLabels": {"tradingbots.dev/metrics": "scrape"}}}


def test_it_selects_the_bots_pod() -> None:
    planned = plan()
    selected = child(planned, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    assert selected.items() <= child(planned, "StatefulSet")["spec"]["template"]["metadata"]["labels"].items()
    assert a_snapshot().settings.operator_namespace == "tradingbot-system"


@settings(max_examples=60, deadline=None)
@given(st.from_regex(r"https?://[^\s]{1,60}", fullmatch=True))
def test_no_address_of_a_webhook_opens_everything_or_cuts_off_the_api_server(url: str) -> None:
    spec = policy(notices={"webhook": {"url": url}})
    assert anywhere(spec) >= API_SERVER | {53}
    assert len(spec["egress"]) <= 4
    for rule in spec["egress"]:
        assert rule["ports"]
        assert all(0 < port < 65536 for port in ports(rule))
