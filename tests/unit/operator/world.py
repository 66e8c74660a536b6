"""A small world for the operator's tests: a healthy paper bot, and words to say what is different this time."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tradingbot_api import RuntimeReport
from tradingbot_operator.plan import BotSnapshot, Plan, PlanSettings, ReportAnswer, Reported, plan_bot
from tradingbot_operator.plan.names import child_name, claim_name, labels
from tradingbot_operator.plan.objects import Raw

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
IMAGE = "tradingbot-runtime:test"
UID = "uid-of-momentum"
OWN_SYMBOLS = ["AAPL", "MSFT"]


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def a_bot(name: str = "momentum", *, uid: str = "", age_minutes: float = 60, status: Any = None, **spec: Any) -> Raw:
    annotations = spec.pop("annotations", {})
    document: dict[str, Any] = {
        "apiVersion": "tradingbots.dev/v1alpha1",
        "kind": "TradingBot",
        "metadata": {
            "name": name,
            "namespace": "demo",
            "uid": uid or f"uid-of-{name}",
            "generation": 3,
            "resourceVersion": "100",
            "creationTimestamp": stamp(NOW - timedelta(minutes=age_minutes)),
            "annotations": annotations,
        },
        "spec": {
            "strategy": {"name": "momentum", "parameters": {"lookback": 20}},
            "symbols": list(OWN_SYMBOLS),
            "capital": "10000",
            "accounts": {"paper": "sim"},
            **spec,
        },
    }
    return document | ({"status": status} if status is not None else {})


def an_account(name: str = "sim", *, annotations: dict[str, str] | None = None, **spec: Any) -> Raw:
    return {
        "apiVersion": "tradingbots.dev/v1alpha1",
        "kind": "BrokerAccount",
        "metadata": {
            "name": name,
            "namespace": "demo",
            "uid": f"uid-of-{name}",
            "generation": 1,
            "resourceVersion": "50",
            "annotations": annotations or {},
        },
        "spec": {
            "provider": "simulator",
            "environment": "paper",
            "credentialsSecretRef": {"name": "keys"},
            "baseURL": "http://simulator:8080",
            **spec,
        },
    }


def a_live_account(name: str = "real") -> Raw:
    account = an_account(name, provider="alpaca", environment="live")
    del account["spec"]["baseURL"]
    return account


def a_pod(bot: str = "momentum", *, container: Any = None, **status: Any) -> Raw:
    """A running, ready pod; `container` is its container's status, `status` replaces parts of the pod's."""
    symbols = status.pop("symbols", OWN_SYMBOLS)
    deleting = status.pop("deleting", False)
    metadata: dict[str, Any] = {
        "name": f"{child_name(bot)}-0",
        "namespace": "demo",
        "uid": f"uid-of-pod-of-{bot}",
        "resourceVersion": "70",
        "creationTimestamp": stamp(NOW - timedelta(minutes=50)),
        "labels": labels(bot, "bot"),
        "annotations": {"tradingbots.dev/account": "sim", "tradingbots.dev/symbols": ",".join(symbols)},
    }
    if deleting:
        metadata["deletionTimestamp"] = stamp(NOW)
    running = {"name": "bot", "image": IMAGE, "ready": True, "restartCount": 0, "state": {"running": {}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"nodeName": "node1"},
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.7",
            "containerStatuses": [container if container is not None else running],
            **status,
        },
    }


def a_container(*, ready: bool = False, restarts: int = 0, image: str = IMAGE, last: Any = None, **state: Any) -> Any:
    """A container's status: `waiting={...}`, `terminated={...}` or `running={}`, and how it ended `last` time."""
    status = {"name": "bot", "image": image, "ready": ready, "restartCount": restarts, "state": state}
    return status | ({"lastState": {"terminated": last}} if last is not None else {})


def a_stateful_set(bot: Raw | None = None, *, replicas: int = 1, age_seconds: float = 3000, **changes: Any) -> Raw:
    owner = bot if bot is not None else a_bot()
    name = owner["metadata"]["name"]
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {
            "name": child_name(name),
            "namespace": "demo",
            "uid": f"uid-of-set-of-{name}",
            "resourceVersion": "60",
            "creationTimestamp": stamp(NOW - timedelta(seconds=age_seconds)),
            "labels": labels(name, "bot"),
            "ownerReferences": [{"kind": "TradingBot", "uid": owner["metadata"]["uid"], "controller": True}],
        },
        "spec": {
            "replicas": replicas,
            "template": {
                "metadata": {
                    "annotations": {
                        "tradingbots.dev/account": "sim",
                        "tradingbots.dev/symbols": ",".join(changes.pop("symbols", OWN_SYMBOLS)),
                    }
                }
            },
            **changes,
        },
    }


def a_claim(bot: str = "momentum", *, phase: str = "Bound", storage_class: str = "") -> Raw:
    spec = {"storageClassName": storage_class} if storage_class else {}
    return {
        "metadata": {"name": claim_name(bot), "namespace": "demo", "uid": "uid-of-claim", "resourceVersion": "40"},
        "spec": spec,
        "status": {"phase": phase},
    }


def a_report(**changes: Any) -> RuntimeReport:
    """The report of a bot that trades."""
    document: dict[str, Any] = {
        "namespace": "demo",
        "name": "momentum",
        "uid": UID,
        "mode": "paper",
        "version": "0.1.0",
        "startedAt": "2026-11-21T11:10:00Z",
        "ready": True,
        "tradingState": "Active",
        "brokerConnected": True,
        "streamConnected": True,
        "account": {"equity": "10100.50", "cash": "5000", "dayPnl": "100.5"},
        "positions": [{"symbol": "AAPL", "qty": "10", "averageEntryPrice": "150"}],
        "recentOrders": [an_order(number) for number in range(8)],
        "openOrders": 1,
        "filledOrders": 7,
        "lastReconciliation": {"at": "2026-11-21T11:59:00Z", "result": "Clean"},
    }
    return RuntimeReport.model_validate(document | changes)


def an_order(number: int = 0) -> dict[str, Any]:
    return {
        "clientOrderId": f"order-{number}",
        "symbol": "AAPL",
        "side": "buy",
        "type": "limit",
        "qty": "10",
        "filledQty": "10",
        "status": "filled",
        "createdAt": "2026-11-21T11:00:00Z",
    }


def answered(seconds_ago: float = 1, **changes: Any) -> ReportAnswer:
    return ReportAnswer(a_report(**changes), NOW - timedelta(seconds=seconds_ago))


def a_snapshot(bot: Raw | None = None, **changes: Any) -> BotSnapshot:
    """A bot that runs and reports; keyword arguments replace what is around it."""
    the_bot = bot if bot is not None else a_bot()
    name = the_bot["metadata"]["name"]
    reported: Reported = answered()
    fields: dict[str, Any] = {
        "bot": the_bot,
        "now": NOW,
        "settings": PlanSettings(runtime_image=IMAGE),
        "account": an_account(),
        "children": {"StatefulSet": a_stateful_set(the_bot)},
        "pods": (a_pod(name),),
        "account_pods": (a_pod(name),),
        "claim": a_claim(name),
        "reported": reported,
    }
    return BotSnapshot(**(fields | changes))


def plan(bot: Raw | None = None, **changes: Any) -> Plan:
    return plan_bot(a_snapshot(bot, **changes))


def condition(plan: Plan, kind: str = "Ready") -> dict[str, Any]:
    assert plan.status is not None
    found: dict[str, Any] = next(entry for entry in plan.status["conditions"] if entry["type"] == kind)
    return found


def said(plan: Plan, kind: str = "Ready") -> tuple[str, str]:
    """A condition's status and reason."""
    found = condition(plan, kind)
    return found["status"], found["reason"]


def child(plan: Plan, kind: str) -> dict[str, Any]:
    return next(entry.manifest for entry in plan.apply if entry.kind == kind)


def kinds(plan: Plan) -> list[str]:
    return [entry.kind for entry in plan.apply]
