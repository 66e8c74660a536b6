"""Makes one child as it is asked for, and writes nothing where it already is.

Must never overwrite an object that was not seen before: what has a child's name without being known is a conflict.
"""

from dataclasses import dataclass
from typing import Any, Final

import structlog

from tradingbot_operator.cluster.connection import Connection
from tradingbot_operator.cluster.drift import drift
from tradingbot_operator.cluster.ownership import owned_by_apply
from tradingbot_operator.cluster.resources import RESOURCES, Resource
from tradingbot_operator.plan.children import Child
from tradingbot_operator.plan.names import MANAGER
from tradingbot_operator.plan.objects import (
    ObjectKey,
    Raw,
    as_seen,
    name_of,
    namespace_of,
    resource_version,
)

_LOG = structlog.get_logger(__name__)
_STATEFUL_SET: Final = RESOURCES["StatefulSet"]


@dataclass(frozen=True)
class Applied:
    """What the API server has after looking at one child."""

    raw: Raw
    written: bool
    """False where nothing had to be written."""


class Applier:
    """Makes children, and applies what changed of them; skips what is as it should be."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        # What an apply could not bring about (a webhook puts it back): not tried again until something changes.
        self._settled: dict[ObjectKey, tuple[str, str]] = {}

    async def apply(self, child: Child, observed: Raw | None) -> Applied:
        """Brings a child about. Raises ApiError: ConflictError where the object is not what was observed, or is there
        where none was.
        """
        resource = RESOURCES[child.kind]
        key = ObjectKey(child.kind, child.manifest["metadata"]["namespace"], child.name)
        if observed is not None and self._is_as_asked(key, child, observed):
            return Applied(observed, written=False)
        result: Raw
        if observed is None:
            # An apply that makes an object costs the API server more than twice as much.
            result = await self._connection.create(resource, key.namespace, child.manifest, manager=MANAGER)
        else:
            seen = await owned_by_apply(self._connection, resource, observed)
            result = await self._connection.apply(resource, _body(child, seen), manager=MANAGER)
        if drift(child.manifest, result) is not None:
            result = await self._replace_lists(key, resource, child, result)
        return Applied(result, written=True)

    def forget(self, key: ObjectKey) -> None:
        """An object is gone."""
        self._settled.pop(key, None)

    async def stop(self, stateful_set: Raw) -> Raw:
        """Scales a StatefulSet to zero and leaves everything else about it alone."""
        body = {"metadata": as_seen(stateful_set), "spec": {"replicas": 0}}
        namespace, name = namespace_of(stateful_set), name_of(stateful_set)
        return await self._connection.merge(_STATEFUL_SET, namespace, name, body, manager=MANAGER)

    def _is_as_asked(self, key: ObjectKey, child: Child, observed: Raw) -> bool:
        settled = self._settled.get(key) == (child.digest, resource_version(observed))
        return settled or drift(child.manifest, observed) is None

    async def _replace_lists(self, key: ObjectKey, resource: Resource, child: Child, result: Raw) -> Raw:
        # Server-side apply never removes what another manager put into a list (a container, a variable): a merge
        # patch replaces the list. Its fields stay ours by apply, because it changes only what is not.
        body = _body(child, result)
        merged = await self._connection.merge(resource, namespace_of(result), name_of(result), body, manager=MANAGER)
        left = drift(child.manifest, merged)
        if left is not None:
            self._settled[key] = (child.digest, resource_version(merged))
            _LOG.warning("drift that cannot be repaired", kind=child.kind, name=child.name, field=left)
        return merged


def _body(child: Child, observed: Raw) -> dict[str, Any]:
    return {**child.manifest, "metadata": {**child.manifest["metadata"], **as_seen(observed)}}
