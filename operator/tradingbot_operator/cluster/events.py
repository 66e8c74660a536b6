"""Tells people what changed as Kubernetes Events, each change once. Must never fail a reconciliation."""

import hashlib
from collections import OrderedDict
from datetime import datetime
from typing import Any, Final

import structlog

from tradingbot_operator.cluster.connection import ApiError, ConflictError, Connection, NotFoundError
from tradingbot_operator.cluster.resources import EVENTS, RESOURCES
from tradingbot_operator.plan import EventNote
from tradingbot_operator.plan.names import MANAGER
from tradingbot_operator.plan.objects import Raw, name_of, namespace_of, resource_version, uid_of

_LOG = structlog.get_logger(__name__)
_REMEMBERED: Final = 4096
_NOTE_LIMIT: Final = 1024


class EventRecorder:
    """Posts Events. Their names come from what they tell, so that a restarted operator does not tell it twice."""

    def __init__(self, connection: Connection, instance: str) -> None:
        self._connection = connection
        self._instance = instance
        self._told: OrderedDict[str, None] = OrderedDict()

    async def tell(self, kind: str, raw: Raw, note: EventNote, now: datetime) -> None:
        """Posts one Event unless it was posted before; an error is logged and forgotten."""
        name = _event_name(raw, note)
        if name in self._told:
            return
        self._told[name] = None
        while len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        try:
            await self._connection.create(EVENTS, namespace_of(raw), self._event(name, kind, raw, note, now))
        except ConflictError:
            return
        except NotFoundError as error:
            _LOG.info("event not posted", name=name, error=error.message)
            # What is said of an account there is said of its bot, too: once is enough.
            if note.warning and kind != "BrokerAccount":
                await self._tell_of_namespace(name, kind, raw, note, now)
        except ApiError as error:
            _LOG.info("event not posted", name=name, error=error.message)

    async def _tell_of_namespace(self, name: str, kind: str, raw: Raw, note: EventNote, now: datetime) -> None:
        """A namespace that is going takes no Events; those about the namespace itself are kept in `default`."""
        event = self._event(name, kind, raw, note, now)
        event["metadata"] = {"name": f"{namespace_of(raw)}.{name}"[-253:].lstrip("-."), "namespace": "default"}
        event["note"] = f"{kind} {name_of(raw)}: {note.message}"[:_NOTE_LIMIT]
        event["regarding"] = {"apiVersion": "v1", "kind": "Namespace", "name": namespace_of(raw)}
        try:
            await self._connection.create(EVENTS, "default", event)
        except ApiError as error:
            _LOG.warning("event not posted", name=name, error=error.message, note=note.message)

    def _event(self, name: str, kind: str, raw: Raw, note: EventNote, now: datetime) -> dict[str, Any]:
        return {
            "apiVersion": EVENTS.api_version,
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace_of(raw)},
            "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "type": "Warning" if note.warning else "Normal",
            "reason": note.reason[:128],
            "note": note.message[:_NOTE_LIMIT],
            "action": "Reconcile",
            "reportingController": MANAGER,
            "reportingInstance": self._instance[:128],
            "regarding": {
                "apiVersion": RESOURCES[kind].api_version,
                "kind": kind,
                "namespace": namespace_of(raw),
                "name": name_of(raw),
                "uid": uid_of(raw),
                "resourceVersion": resource_version(raw),
            },
        }


def _event_name(raw: Raw, note: EventNote) -> str:
    content = f"{uid_of(raw)}/{note.transition}".encode()
    return f"{name_of(raw)}.{hashlib.sha256(content).hexdigest()[:16]}"
