"""Writes a state's tables as JSON lines, oldest first, for people and other programs. Changes nothing.

It reads what it can and verifies nothing: also a state that does not verify can be looked at.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from tradingbot_runtime.state.cells import time_text
from tradingbot_runtime.state.failures import StateUnwritable
from tradingbot_runtime.state.reading import check_version, database_path, dicts, failures_of, read_only

TIMES: Final = {
    "journal": "at_machine",
    "orders": "created_at",
    "fills": "at",
    "sessions": "closed_at",
    "incidents": "opened_at",
    "notices": "created_at",
}
"""Tables that can be exported, and the time by which `since` chooses their rows."""
_DOCUMENTS: Final = frozenset({"detail", "changes", "payload"})


def export(directory: Path, mode: str, tables: Sequence[str], since: datetime | None = None) -> Iterator[str]:
    """The rows of `tables` since a moment, a JSON document each, with the table's name in `table`.

    `since` is machine time for journal, sessions, incidents and notices, market time for orders and fills. A table
    that an older schema does not have is empty. Raises StateCorrupt, StateTooNew or StateUnwritable.
    """
    path = database_path(directory, mode)
    if not path.is_file():
        raise StateUnwritable(f"there is no state {path}: check --state and --mode")
    with failures_of(path), contextlib.closing(read_only(path)) as connection:
        connection.execute("BEGIN")
        check_version(connection, path)
        there = {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for table in tables:
            if table not in there:
                continue
            query = f"SELECT * FROM {table} WHERE {TIMES[table]} >= ? ORDER BY rowid"  # noqa: S608 (names are ours)
            for row in dicts(connection.execute(query, (time_text(since) if since else "",))):
                row.pop("position", None)
                document = {column: _document(column, value) for column, value in row.items()}
                yield json.dumps({"table": table, **document})


def _document(column: str, value: str | int | None) -> object:
    if column not in _DOCUMENTS:
        return value
    try:
        return json.loads(str(value))
    except ValueError:
        return value
