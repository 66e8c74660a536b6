"""The journal's lines: canonical text, the hash that chains each to the one before, and what they add up to.

Pure: reads and writes nothing. A line's text never depends on the order in which its fields were made.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tradingbot_runtime.core.commands import Change, Journal
from tradingbot_runtime.core.values import Now
from tradingbot_runtime.state.rows import KEYS, Row, row_of, time_text

GENESIS: Final = "0" * 64
"""What the first line's `prev_hash` is."""

MAX_DETAIL_LENGTH: Final = 2000
"""Characters kept of one detail; a broker's error page must not fill the volume."""


@dataclass(frozen=True)
class Line:
    """One line as it is stored."""

    seq: int
    at_machine: str
    at_market: str | None
    kind: str
    detail: str
    changes: str
    prev_hash: str
    hash: str


class BrokenChain(ValueError):
    """A line was altered, removed or added by something else than the journal."""


def line_of(entry: Journal, now: Now, seq: int, prev_hash: str) -> Line:
    """The line that follows the one whose hash is `prev_hash`."""
    at_machine = time_text(now.machine)
    at_market = None if now.market is None else time_text(now.market)
    detail = _canonical({key: _bounded(value) for key, value in entry.detail.items()})
    changes = _canonical([_change_json(change) for change in entry.changes])
    content = (seq, at_machine, at_market, entry.kind, detail, changes)
    return Line(*content, prev_hash=prev_hash, hash=_hash(prev_hash, content))


def check(line: Line, seq: int, prev_hash: str) -> None:
    """Raises BrokenChain unless `line` is the line number `seq` after the one whose hash is `prev_hash`."""
    if line.seq != seq:
        raise BrokenChain(f"journal line {seq} is missing (the next is {line.seq})")
    if line.prev_hash != prev_hash:
        raise BrokenChain(f"journal line {seq} does not follow the line before it")
    content = (line.seq, line.at_machine, line.at_market, line.kind, line.detail, line.changes)
    if line.hash != _hash(prev_hash, content):
        raise BrokenChain(f"journal line {seq} was altered")


class Fold:
    """What the changes of all lines add up to: the rows every table must hold."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[tuple[str | int | None, ...], Row]] = {table: {} for table in KEYS}

    def add(self, line: Line) -> None:
        """Applies a line. Raises BrokenChain when it holds no changes of ours."""
        try:
            for table, row in json.loads(line.changes):
                self.tables[table][tuple(row[key] for key in KEYS[table])] = row
        except (ValueError, KeyError, TypeError) as error:
            raise BrokenChain(f"journal line {line.seq} cannot be read: {error}") from error

    def difference(self, table: str, rows: Iterable[Row]) -> str | None:
        """The first way in which a table's rows, oldest first, are not what the journal says; None when they are."""
        expected = self.tables[table]
        seen: list[tuple[str | int | None, ...]] = []
        for row in rows:
            key = tuple(row[column] for column in KEYS[table])
            seen.append(key)
            if expected.get(key) != row:
                return f"table {table}, row {_named(key)}: {_first_difference(expected.get(key), row)}"
        if seen != list(expected):
            missing = [key for key in expected if key not in set(seen)]
            which = f"row {_named(missing[0])} is missing" if missing else "its rows are in another order"
            return f"table {table}: {which}"
        return None


def _change_json(change: Change) -> list[object]:
    return list(row_of(change))


def _bounded(value: str) -> str:
    return value if len(value) <= MAX_DETAIL_LENGTH else f"{value[:MAX_DETAIL_LENGTH]}… (cut)"


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _hash(prev_hash: str, content: tuple[object, ...]) -> str:
    return hashlib.sha256(f"{prev_hash}\n{_canonical(content)}".encode()).hexdigest()


def _named(key: tuple[str | int | None, ...]) -> str:
    return "/".join(str(part) for part in key)


def _first_difference(expected: Mapping[str, object] | None, row: Mapping[str, object]) -> str:
    if expected is None:
        return "the journal knows no such row"
    columns = [column for column in row if row[column] != expected.get(column)]
    return "; ".join(f"{column} is {row[column]!r}, the journal says {expected.get(column)!r}" for column in columns)
