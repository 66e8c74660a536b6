"""Whom a bot's pod may talk to, and who may talk to it, as a NetworkPolicy's spec.

One for each bot, made and repaired like its other children: bots live in their users' namespaces, where nothing
that is shipped would reach, and what a bot needs depends on its own account and notices. Must never cut a bot off
from the API server: that is how it learns of a kill.
"""

import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from tradingbot_api import BrokerAccountSpec, TradingBotSpec
from tradingbot_api.group import METRICS_LABEL
from tradingbot_operator.plan.names import MANAGER, PORT, selector

Rule = dict[str, Any]

_NAMESPACE_LABEL: Final = "kubernetes.io/metadata.name"
_API_SERVER_PORTS: Final = (443, 6443, 8443, 16443)
"""443 is the broker's as well. A policy sees the port behind the Service, which differs between distributions."""
_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "smtp": 25}
_SERVICE_HOST: Final = re.compile(r"[a-z0-9-]+\.([a-z0-9-]+)\.svc(\.[a-z0-9.-]+)?")


def network_policy_spec(
    bot: str, spec: TradingBotSpec, account: BrokerAccountSpec, operator_namespace: str, bucket: str = ""
) -> Rule:
    """The spec of a bot's NetworkPolicy; the same bot and account give the same bytes.

    `bucket` is the URL of an S3 that is not Amazon's, where the pod streams its state to one: 443 is open anyway.
    """
    return {
        "podSelector": {"matchLabels": selector(bot)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": _readers(operator_namespace), "ports": [_tcp(PORT)]}],
        "egress": [
            {"ports": [{"protocol": "UDP", "port": 53}, _tcp(53)]},
            {"ports": [_tcp(port) for port in _API_SERVER_PORTS]},
            *_destinations(spec, account, bucket),
        ],
    }


def _readers(operator_namespace: str) -> list[Rule]:
    return [
        {
            "namespaceSelector": {"matchLabels": {_NAMESPACE_LABEL: operator_namespace}},
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": MANAGER}},
        },
        {"namespaceSelector": {"matchLabels": {METRICS_LABEL: "scrape"}}},
    ]


def _destinations(spec: TradingBotSpec, account: BrokerAccountSpec, bucket: str) -> list[Rule]:
    """The addresses that the pod is given: its broker, whoever takes its notices, and the bucket for its state."""
    rules: list[Rule] = []
    for host, port in _addresses(spec, account, bucket):
        rule = _rule(host, port)
        if rule is not None and rule not in rules:
            rules.append(rule)
    return rules


def _addresses(spec: TradingBotSpec, account: BrokerAccountSpec, bucket: str) -> Iterator[tuple[str, int]]:
    webhook = spec.notices.webhook.url if spec.notices.webhook is not None else None
    for url in (account.base_url, account.data_url, webhook, bucket):
        yield from _address(url or "")
    if spec.notices.email is not None:
        yield from _address(f"smtp://{spec.notices.email.server}")


def _address(url: str) -> Iterator[tuple[str, int]]:
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        # What is no address cannot be reached either; the bot says so itself.
        return
    if parts.hostname and port:
        yield parts.hostname, port


def _rule(host: str, port: int) -> Rule | None:
    if match := _SERVICE_HOST.fullmatch(host):
        return {"to": [{"namespaceSelector": {"matchLabels": {_NAMESPACE_LABEL: match[1]}}}], "ports": [_tcp(port)]}
    if "." not in host and ":" not in host:
        return {"to": [{"podSelector": {}}], "ports": [_tcp(port)]}
    # `name.namespace` and a name on the internet look alike: the port is open to both.
    return None if port in _API_SERVER_PORTS else {"ports": [_tcp(port)]}


def _tcp(port: int) -> Rule:
    return {"protocol": "TCP", "port": port}
