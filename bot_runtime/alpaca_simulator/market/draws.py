"""Draws that depend on what they are for and on nothing else: hashes of (seed, symbol, day, purpose).

The arithmetic keeps to + - * / and square roots, which every machine rounds alike.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

#: A draw is a whole number from 0 up to, not including, this.
DRAW_RANGE = 65536
# A sum of four draws has this mean and standard deviation, and is close to normal.
SUM_MEAN = 2.0 * (DRAW_RANGE - 1)
SUM_DEVIATION = 37837.0


def draw_bytes(size: int, *key: object) -> bytes:
    """`size` bytes that depend on `key` alone."""
    return hashlib.shake_128("\x1f".join(map(str, key)).encode()).digest(size)


def draws(count: int, *key: object) -> Sequence[int]:
    """`count` draws that depend on `key` alone."""
    return struct.unpack(f"<{count}H", draw_bytes(2 * count, *key))


def normal(drawn: Sequence[int], first: int) -> float:
    """A nearly normal number (mean 0, deviation 1, within 3.5) from four draws."""
    total = drawn[first] + drawn[first + 1] + drawn[first + 2] + drawn[first + 3]
    return (total - SUM_MEAN) / SUM_DEVIATION


def share(drawn: int) -> float:
    """A draw as a number in [0, 1)."""
    return drawn / DRAW_RANGE
