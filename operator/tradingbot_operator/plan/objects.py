"""Reads Kubernetes objects as they come from the API server: tolerant, typed access to raw documents.

Must never raise on an odd object: what is missing reads as empty, because a watch shows whatever is stored.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Raw = Mapping[str, Any]
"""An object as decoded from JSON. Never changed in place."""


@dataclass(frozen=True, order=True, slots=True)
class ObjectKey:
    """Names one object: its kind, namespace and name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def mapping(parent: Raw, *path: str) -> Raw:
    """The mapping at a path, or an empty one."""
    node: Any = parent
    for part in path:
        node = node.get(part) if isinstance(node, Mapping) else None
    return node if isinstance(node, Mapping) else {}


def text(parent: Raw, *path: str) -> str:
    """The string at a path, or an empty one."""
    value = mapping(parent, *path[:-1]).get(path[-1])
    return value if isinstance(value, str) else ""


def number(parent: Raw, *path: str) -> int:
    """The integer at a path, or 0."""
    value = mapping(parent, *path[:-1]).get(path[-1])
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def entries(parent: Raw, *path: str) -> Iterator[Raw]:
    """The mappings in the list at a path."""
    value = mapping(parent, *path[:-1]).get(path[-1])
    if isinstance(value, list | tuple):
        yield from (entry for entry in value if isinstance(entry, Mapping))


def strings(parent: Raw, *path: str) -> tuple[str, ...]:
    """The strings in the list at a path."""
    value = mapping(parent, *path[:-1]).get(path[-1])
    if not isinstance(value, list | tuple):
        return ()
    return tuple(entry for entry in value if isinstance(entry, str))


def name_of(raw: Raw) -> str:
    """metadata.name."""
    return text(raw, "metadata", "name")


def namespace_of(raw: Raw) -> str:
    """metadata.namespace."""
    return text(raw, "metadata", "namespace")


def uid_of(raw: Raw) -> str:
    """metadata.uid."""
    return text(raw, "metadata", "uid")


def generation_of(raw: Raw) -> int:
    """metadata.generation."""
    return number(raw, "metadata", "generation")


def created_at(raw: Raw) -> str:
    """metadata.creationTimestamp: RFC 3339 in UTC, so that its order as text is its order in time."""
    return text(raw, "metadata", "creationTimestamp")


def resource_version(raw: Raw) -> str:
    """metadata.resourceVersion."""
    return text(raw, "metadata", "resourceVersion")


def annotation(raw: Raw, key: str) -> str | None:
    """The annotation's value, or None where it is absent; present with any value is not absent."""
    annotations = mapping(raw, "metadata", "annotations")
    if key not in annotations:
        return None
    return text(raw, "metadata", "annotations", key)


def label(raw: Raw, key: str) -> str:
    """A label's value, or an empty string."""
    return text(raw, "metadata", "labels", key)


def is_being_deleted(raw: Raw) -> bool:
    """Whether the object has a deletionTimestamp."""
    return bool(text(raw, "metadata", "deletionTimestamp"))


def controller_uid(raw: Raw) -> str:
    """The uid of the owner that controls the object, or an empty string."""
    for owner in entries(raw, "metadata", "ownerReferences"):
        if owner.get("controller") is True:
            return text(owner, "uid")
    return ""


def as_seen(raw: Raw) -> dict[str, str]:
    """Metadata that makes a write one about this very object as it was seen: anything else is a conflict."""
    return {"uid": uid_of(raw), "resourceVersion": resource_version(raw)}
