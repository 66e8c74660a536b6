"""Kills, their records, flatten Jobs and what ends a kill, as the API server would hold them."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from tradingbot_api import FlattenReport, RuntimeReport
from tradingbot_operator.plan.conditions import true
from tradingbot_operator.plan.flattening import EPOCH_ANNOTATION
from tradingbot_operator.plan.kills import Kill, Latch, latch_of
from tradingbot_operator.plan.names import labels
from tradingbot_operator.plan.objects import Raw, name_of, uid_of
from tradingbot_operator.plan.producers import ATTEMPT_ANNOTATION
from unit.operator.world import NOW, UID, a_bot, a_stateful_set, an_account, stamp

KILL = "tradingbots.dev/kill"
IN_FORCE = true("PolicyEnforced", "InPlace", "in place")
AN_HOUR_AGO = stamp(NOW - timedelta(hours=1))
SEEN = {"observedAt": "2026-11-21T11:58:00Z"}
CANCELLED = SEEN | {"ordersCancelledAt": "2026-11-21T11:58:01Z", "openOrders": 0, "openPositions": 2}
FLAT = CANCELLED | {"flatAt": "2026-11-21T11:58:03Z", "openPositions": 0}
DONE = {"acknowledgedAt": "2026-11-21T11:00:01Z", "ordersCancelledAt": "2026-11-21T11:00:02Z", "confirmedBy": "Bot"}
RELEASED = {"releasedAt": "2026-11-21T11:30:00Z", "releasedBy": {"name": "over", "uid": "u", "approver": "rita"}}


def a_killed_bot(reason: str = "leak", **spec: Any) -> Raw:
    """With the annotation on it."""
    return a_bot(annotations={KILL: reason}, **spec)


def a_record(epoch: int = 1, *, uid: str = UID, status: Any = None, **spec: Any) -> Raw:
    """A KillRecord as it is stored: of a kill an hour ago that nobody has confirmed or released."""
    document = {
        "botRef": {"name": "momentum", "uid": uid},
        "epoch": epoch,
        "scope": "TradingBot",
        "mode": "paper",
        "onKill": "CancelOrders",
        "reason": f"reason {epoch}",
        "observedAt": AN_HOUR_AGO,
        **spec,
    }
    metadata = {
        "name": f"momentum-{epoch}",
        "namespace": "demo",
        "uid": f"uid-of-record-{epoch}",
        "resourceVersion": "30",
        "creationTimestamp": AN_HOUR_AGO,
    }
    written = {"attempts": 0, "message": "", **(status or {})}
    return {"kind": "KillRecord", "metadata": metadata, "spec": document, "status": written}


def a_release(epoch: int = 1, *, name: str = "over", minutes_ago: float = 1, **spec: Any) -> Raw:
    """Rita's Approval that the kill of this number is over."""
    metadata = {
        "name": name,
        "namespace": "demo",
        "uid": f"uid-of-{name}",
        "resourceVersion": "8",
        "creationTimestamp": stamp(NOW - timedelta(minutes=minutes_ago)),
    }
    document = {
        "action": "ReleaseKill",
        "botRef": {"name": "momentum", "uid": UID},
        "killEpoch": epoch,
        "approver": "rita",
        "reason": "the cause is mended",
        **spec,
    }
    return {"kind": "Approval", "metadata": metadata, "spec": document}


def a_flatten_report(*, flatten: bool = False, **changes: Any) -> FlattenReport:
    """Last words of a Job that the broker has confirmed everything to."""
    confirmed = {"ordersCancelledAt": "2026-11-21T11:59:01Z", "openOrders": 0, "openPositions": 0}
    document = {
        "uid": UID,
        "mode": "paper",
        "flatten": flatten,
        "confirmed": True,
        "reason": "Confirmed",
        "message": "nothing is left",
        "startedAt": "2026-11-21T11:59:00Z",
        "endedAt": "2026-11-21T11:59:03Z",
        **confirmed,
        **({"flatAt": "2026-11-21T11:59:02Z"} if flatten else {}),
    }
    return FlattenReport.model_validate(document | changes)


def latch(
    bot: Raw | None = None,
    *,
    records: Iterable[Raw] = (),
    report: RuntimeReport | None = None,
    account: Raw | None = None,
    flattened: Mapping[int, FlattenReport] | None = None,
    now: datetime = NOW,
) -> Latch:
    """The latch of a bot in a world where nothing else is."""
    around = account if account is not None else an_account()
    return latch_of(bot if bot is not None else a_bot(), around, records, report, flattened or {}, now)


def in_force(found: Latch) -> Kill:
    """The kill of a latch that has one."""
    assert found.kill is not None
    return found.kill


# ---------------------------------------------------------------- flatten Jobs


def a_workload(bot: Raw | None = None, *, live: bool = False, **changes: Any) -> dict[str, Raw]:
    """The observed children that a flatten Job is made from."""
    owner = bot if bot is not None else a_bot()
    stateful_set = a_stateful_set(owner)
    template: Any = stateful_set["spec"]["template"]
    secret = {"name": "live-keys" if live else "keys"}
    env = [
        {"name": name, "valueFrom": {"secretKeyRef": {**secret, "key": name}}}
        for name in ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY", "WEBHOOK_TOKEN")
    ]
    template["metadata"]["labels"] = {"tradingbots.dev/live": "true"} if live else {}
    template["spec"] = {"containers": [{"name": "bot", "image": "broken:1", "env": env}], **changes}
    metadata: Any = {**stateful_set["metadata"], "annotations": {"tradingbots.dev/bot-uid": uid_of(owner)}}
    children = {
        "StatefulSet": {**stateful_set, "metadata": metadata},
        "ConfigMap": {"kind": "ConfigMap", "metadata": metadata, "data": {"bot.yaml": ""}},
        "NetworkPolicy": {
            "kind": "NetworkPolicy",
            "metadata": metadata,
            "spec": {"podSelector": {"matchLabels": labels(name_of(owner), "bot")}, "ingress": [{}], "egress": [{}]},
        },
    }
    return children


def a_job(epoch: int = 1, attempt: int = 1, *, uid: str = UID, seconds_ago: float = 60, **status: Any) -> Raw:
    """A flatten Job as it is stored."""
    name = f"momentum-flatten-{epoch}-{attempt}"
    return {
        "kind": "Job",
        "metadata": _of(name, uid, seconds_ago),
        "spec": {
            "template": {
                "metadata": {"annotations": {EPOCH_ANNOTATION: str(epoch), ATTEMPT_ANNOTATION: str(attempt)}},
            }
        },
        "status": status,
    }


def a_job_network_policy(epoch: int = 1, attempt: int = 1) -> Raw:
    """The NetworkPolicy beside it."""
    return {"kind": "NetworkPolicy", "metadata": _of(f"momentum-flatten-{epoch}-{attempt}", UID, 60)}


def a_job_pod(job: Raw, message: str, *, seconds_ago: float = 10, exit_code: int = 0) -> Raw:
    """The pod of a Job that has ended, with its last words."""
    at = stamp(NOW - timedelta(seconds=seconds_ago))
    ended = {"exitCode": exit_code, "message": message, "finishedAt": at}
    metadata = _of(f"{name_of(job)}-x7k2q", UID, seconds_ago)
    metadata["ownerReferences"] = [{"kind": "Job", "uid": uid_of(job), "controller": True}]
    container = {"name": "producer", "state": {"terminated": ended}}
    return {"kind": "Pod", "metadata": metadata, "status": {"containerStatuses": [container]}}


def _of(name: str, uid: str, seconds_ago: float) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": "demo",
        "uid": f"uid-of-{name}",
        "resourceVersion": "20",
        "creationTimestamp": stamp(NOW - timedelta(seconds=seconds_ago)),
        "labels": {"tradingbots.dev/bot": "momentum", "tradingbots.dev/producer": "flatten"},
        "annotations": {"tradingbots.dev/bot-uid": uid},
        "ownerReferences": [{"kind": "TradingBot", "uid": uid, "controller": True}],
    }
