"""Identifiers and draws that depend only on what they are for, never on when they are asked.

No process-wide random state: everything here is a hash of its arguments.
"""

from __future__ import annotations

import hashlib
from uuid import UUID


def stable_uuid(*parts: object) -> UUID:
    """A version-4 shaped UUID, the same for the same parts on every machine."""
    return UUID(bytes=_digest(parts, 16), version=4)


def short_digest(text: str) -> int:
    """64 bits that stand for `text` where keeping the text for ever would cost too much."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def unit_draw(*parts: object) -> float:
    """A number in [0, 1), the same for the same parts on every machine."""
    return int.from_bytes(_digest(parts, 6), "big") / float(1 << 48)


def _digest(parts: tuple[object, ...], size: int) -> bytes:
    key = "\x1f".join(map(str, parts))
    return hashlib.blake2b(key.encode(), digest_size=size).digest()
