"""Compares an object as stored with what was asked for. Pure; must never call equal what a person would call drift.

What the API server fills in is not drift: only the fields that were asked for count, but a list counts whole.
"""

from collections.abc import Mapping
from typing import Any, Final

from tradingbot_operator.plan.quantities import quantity

_QUANTITY_FIELDS: Final = frozenset({"requests", "limits", "sizeLimit"})


def drift(wanted: Any, stored: Any, path: str = "") -> str | None:
    """The path of the first field that is not as asked for, or None."""
    if isinstance(wanted, Mapping):
        return _drift_in_mapping(wanted, stored, path)
    if isinstance(wanted, list | tuple):
        return _drift_in_list(wanted, stored, path)
    return None if _same(wanted, stored, path) else path


def _drift_in_mapping(wanted: Mapping[str, Any], stored: Any, path: str) -> str | None:
    if not isinstance(stored, Mapping):
        # The API server drops an empty mapping.
        return None if not wanted and stored is None else path
    for key, value in wanted.items():
        found = drift(value, stored.get(key), f"{path}.{key}" if path else key)
        if found is not None:
            return found
    return None


def _drift_in_list(wanted: list[Any] | tuple[Any, ...], stored: Any, path: str) -> str | None:
    if not isinstance(stored, list | tuple):
        return None if not wanted and stored is None else path
    if len(wanted) != len(stored):
        return path
    for index, (value, other) in enumerate(zip(wanted, stored, strict=True)):
        found = drift(value, other, f"{path}[{index}]")
        if found is not None:
            return found
    return None


def _same(wanted: Any, stored: Any, path: str) -> bool:
    if wanted == stored:
        return True
    parts = path.split(".")
    if not _QUANTITY_FIELDS.intersection(parts[-2:]):
        # The API server drops what is empty or false.
        return stored is None and wanted in ("", False, 0)
    left, right = quantity(wanted), quantity(stored)
    return left is not None and left == right
