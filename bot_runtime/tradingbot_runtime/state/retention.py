"""How much is kept of what grows: finished records by number, journal lines behind a verified anchor.

Orders, fills, the kill and whatever is not finished (open incidents, waiting notices) are never dropped.
"""

import sqlite3
from collections.abc import Mapping
from typing import Final

from tradingbot_runtime.state.cells import Row
from tradingbot_runtime.state.reading import dicts

SESSIONS_KEPT: Final = 1500
"""Closed sessions: six years of trading days."""
RESOLVED_INCIDENTS_KEPT: Final = 1000
DELIVERED_NOTICES_KEPT: Final = 1000
DEAD_LETTERS_KEPT: Final = 1000

LINES_KEPT: Final = 50_000
"""Journal lines that are always kept, about 40 MB: thirty days of a bot with 400 orders a day, years of a calm one.

Older ones go once an anchor stands behind them, and an anchor is only made of a backup that verified. So a dropped
line is still in the backups of the last 30 days, and orders, fills and sessions stay whole in their tables.
"""
ANCHOR_EVERY_LINES: Final = 1_000
"""How far apart anchors are at least: a start has to verify about so many lines."""
_DROPPED_AT_ONCE: Final = 50

_SURPLUS: Final[Mapping[str, tuple[tuple[str, int], ...]]] = {
    "sessions": (("SELECT * FROM sessions", SESSIONS_KEPT),),
    "incidents": (("SELECT * FROM incidents WHERE state = 'resolved'", RESOLVED_INCIDENTS_KEPT),),
    "notices": (
        ("SELECT * FROM notices WHERE delivered_at IS NOT NULL", DELIVERED_NOTICES_KEPT),
        ("SELECT * FROM notices WHERE dead = 1", DEAD_LETTERS_KEPT),
    ),
}


def surplus(connection: sqlite3.Connection, table: str) -> list[Row]:
    """Finished rows of a table beyond what is kept of it, newest first, a bounded number at once."""
    found: list[Row] = []
    for query, kept in _SURPLUS.get(table, ()):
        limited = f"{query} ORDER BY position DESC LIMIT {_DROPPED_AT_ONCE} OFFSET {kept}"
        found += dicts(connection.execute(limited))
    return found
