"""Reads Kubernetes quantities (1Gi, 50m). Pure; must never guess: what is none has no number."""

from decimal import Decimal, InvalidOperation
from typing import Any, Final

_UNITS: Final = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}


def quantity(value: Any) -> Decimal | None:
    """The number that a Kubernetes quantity means, or None where it is none."""
    text = str(value)
    digits = text.rstrip("numkMGTPEi")
    unit = _UNITS.get(text[len(digits) :])
    if unit is None:
        return None
    try:
        return Decimal(digits) * unit
    except InvalidOperation:
        return None
