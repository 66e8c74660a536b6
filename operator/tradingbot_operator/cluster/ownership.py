"""Makes what we created ours by server-side apply, so that the next apply takes away what is no longer asked for.

A plain create, or a merge patch, leaves us as a field's manager by `Update`, and an apply never removes a field that
has such a manager, even where it is the same one. Must never touch what another manager owns.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from tradingbot_operator.cluster.connection import ConflictError, Connection
from tradingbot_operator.cluster.resources import Resource
from tradingbot_operator.plan.names import MANAGER
from tradingbot_operator.plan.objects import Raw, entries, name_of, namespace_of, resource_version, uid_of

Fields = Mapping[str, Any]


async def owned_by_apply(connection: Connection, resource: Resource, observed: Raw) -> Raw:
    """The object's metadata once all our fields are ours by apply. Raises ApiError: ConflictError where the object is
    not what was observed.
    """
    namespace, name = namespace_of(observed), name_of(observed)
    seen: Raw = await connection.get_metadata(resource, namespace, name)
    if (uid_of(seen), resource_version(seen)) != (uid_of(observed), resource_version(observed)):
        raise ConflictError(f"{resource.kind} {namespace}/{name} is not what was seen")
    managers = as_applied(entries(seen, "metadata", "managedFields"))
    if managers is None:
        return seen
    operations = (
        {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version(seen)},
        {"op": "replace", "path": "/metadata/managedFields", "value": managers},
    )
    return await connection.patch(resource, namespace, name, operations, manager=MANAGER)


def as_applied(managers: Iterable[Raw]) -> list[Raw] | None:
    """metadata.managedFields with what is ours by `Update` ours by `Apply`; None where nothing is."""
    ours: list[Raw] = []
    others: list[Raw] = []
    for entry in managers:
        is_ours = entry.get("manager") == MANAGER and not entry.get("subresource")
        (ours if is_ours else others).append(entry)
    if all(entry.get("operation") == "Apply" for entry in ours):
        return None
    fields: Fields = {}
    for entry in ours:
        fields = _union(fields, entry.get("fieldsV1") or {})
    return [{**ours[-1], "operation": "Apply", "fieldsV1": fields}, *others]


def _union(left: Fields, right: Fields) -> Fields:
    return {**left, **{key: _union(left[key], value) if key in left else value for key, value in right.items()}}
