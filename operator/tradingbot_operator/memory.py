"""Gives memory that is free back to the system: what a sweep needed for a moment stays with the process otherwise.

To look for it costs the less the fewer objects there are to walk through: what is there for good is set aside once.

Must never be what the operator depends on: where the C library cannot do it, nothing happens.
"""

import ctypes
import gc
from collections.abc import Callable
from typing import Final


def _of_the_c_library() -> Callable[[int], int] | None:
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None  # not glibc
    return trim


_TRIM: Final = _of_the_c_library()


def set_aside() -> None:
    """Takes what there is now for what stays: modules, classes, functions. `give_back` no longer walks through it."""
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Frees what nobody refers to, and hands whole free pages back."""
    gc.collect()
    if _TRIM is not None:
        _TRIM(0)
