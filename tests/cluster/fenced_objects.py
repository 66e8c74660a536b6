"""Objects with the labels that policies are about, as small as can be, and what a policy says against a change."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from api_server import ApiServer, Json, Refused

BOT, LIVE, PRODUCER = "tradingbots.dev/bot", "tradingbots.dev/live", "tradingbots.dev/producer"
MARKS = (BOT, LIVE, PRODUCER)


def template(*marks: str, image: str = "bot:1") -> Json:
    container = {
        "name": "bot",
        "image": image,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"containers": [container], "securityContext": security, "automountServiceAccountToken": False}
    return {"metadata": {"labels": {"app": "momentum"} | marked(*marks)}, "spec": spec}


def marked(*marks: str) -> dict[str, str]:
    """Labels of ours."""
    return dict.fromkeys(marks, "momentum")


def stateful_set(*marks: str, name: str = "momentum-x", **spec: Any) -> Json:
    body = {
        "replicas": 1,
        "serviceName": name,
        "selector": {"matchLabels": marked(BOT) if BOT in marks else {"app": "momentum"}},
        "template": template(*marks),
        **spec,
    }
    metadata = {"name": name, "labels": {"team": "a"} | marked(*marks)}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": body}


def live_stateful_set(**spec: Any) -> Json:
    return stateful_set(BOT, LIVE, **spec)


def job(*marks: str, name: str = "flatten") -> Json:
    pod = template(*marks)
    pod["spec"]["restartPolicy"] = "Never"
    metadata = {"name": name, "labels": marked(*marks)}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": pod}}


def pod(*marks: str, name: str = "loose") -> Json:
    document = {"apiVersion": "v1", "kind": "Pod", **template(*marks)}
    return document | {"metadata": {"name": name, "labels": marked(*marks)}}


def config_map(*marks: str, name: str = "config") -> Json:
    metadata = {"name": name, "labels": marked(*marks)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"bot.yaml": "capital: 1"}}


def refusal(act: Callable[[], object]) -> str | None:
    """What a policy says against it; None where it is done."""
    try:
        act()
    except Refused as refused:
        if refused.code == 409:
            raise
        assert refused.code == 403, refused
        assert "ValidatingAdmissionPolicy" in refused.message, refused
        return refused.message
    return None


def as_the_operator(api: ApiServer) -> AbstractContextManager[ApiServer]:
    """The operator's name with every right that RBAC can give: what is left is the policies."""
    return api.as_user("system:serviceaccount:tradingbot-system:tradingbot-operator", "system:masters")
