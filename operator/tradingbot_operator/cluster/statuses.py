"""Writes the status of our own kinds, whole, through server-side apply. Must never touch spec or metadata."""

from collections.abc import Mapping
from typing import Any

from tradingbot_operator.cluster.connection import Connection
from tradingbot_operator.cluster.resources import RESOURCES
from tradingbot_operator.plan.names import MANAGER
from tradingbot_operator.plan.objects import Raw, name_of, namespace_of, uid_of


async def write_status(connection: Connection, kind: str, raw: Raw, status: Mapping[str, Any]) -> Raw:
    """Replaces the status of this very object; a field that is left out is removed. Raises ApiError."""
    resource = RESOURCES[kind]
    body = {
        "apiVersion": resource.api_version,
        "kind": kind,
        "metadata": {"name": name_of(raw), "namespace": namespace_of(raw), "uid": uid_of(raw)},
        "status": dict(status),
    }
    return await connection.apply(resource, body, manager=MANAGER, subresource="status")
