"""Writes the status of our own kinds, whole, through server-side apply. Must never touch spec or metadata, and never
say something about an object that changed since it was looked at.
"""

from collections.abc import Mapping
from typing import Any

from tradingbot_operator.cluster.connection import Connection
from tradingbot_operator.cluster.resources import RESOURCES
from tradingbot_operator.plan.names import MANAGER
from tradingbot_operator.plan.objects import Raw, name_of, namespace_of, resource_version, uid_of


async def write_status(connection: Connection, kind: str, raw: Raw, status: Mapping[str, Any]) -> Raw:
    """Replaces the status of this very object as it was seen; a field that is left out is removed. Raises ApiError."""
    resource = RESOURCES[kind]
    body = {
        "apiVersion": resource.api_version,
        "kind": kind,
        "metadata": {
            "name": name_of(raw),
            "namespace": namespace_of(raw),
            "uid": uid_of(raw),
            "resourceVersion": resource_version(raw),
        },
        "status": dict(status),
    }
    return await connection.apply(resource, body, manager=MANAGER, subresource="status")
