"""Writes the status of our own kinds, whole. Must never touch spec or metadata, and never say something about an object
that changed since it was looked at.
"""

from collections.abc import Mapping
from typing import Any

from tradingbot_operator.cluster.connection import Connection
from tradingbot_operator.cluster.resources import RESOURCES
from tradingbot_operator.plan.names import MANAGER
from tradingbot_operator.plan.objects import Raw, name_of, namespace_of, resource_version


async def write_status(connection: Connection, kind: str, raw: Raw, status: Mapping[str, Any]) -> Raw:
    """Replaces the status of this very object as it was seen; a field that is left out is removed. Raises ApiError.

    No server-side apply: nobody else writes a status, and working out whose field is whose costs more than the write.
    """
    operations = (
        # No two objects, and no two states of one, ever have the same version.
        {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version(raw)},
        {"op": "add", "path": "/status", "value": dict(status)},
    )
    return await connection.patch(
        RESOURCES[kind], namespace_of(raw), name_of(raw), operations, manager=MANAGER, subresource="status"
    )
