"""The journal's lines: canonical text, the hash that chains each to the one before, and what they add up to.

Pure: reads and writes nothing. A line's text never depends on the order in which its fields were made.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tradingbot_runtime.core.values import Now
from tradingbot_runtime.state.cells import Row, time_text
from tradingbot_runtime.state.rows import KEYS, NUMBERED, sparse, whole

GENESIS: Final = "0" * 64
"""What the first line's `prev_hash` is."""

MAX_DETAIL_LENGTH: Final = 2000
"""Characters kept of one detail; a broker's error page must not fill the volume."""

Key = tuple[str | int | None, ...]
Sums = Mapping[str, tuple[int, int]]
"""Per table the number of its rows, and the sum of their digests modulo 2**256: equal for equal sets of rows."""

_DIGESTS: Final = 2**256
_NO_ROWS: Final = (0, 0)


@dataclass(frozen=True)
class Put:
    """A row as a line puts it; `replaced` is the digest of the row that was there, None for a new row."""

    table: str
    row: Row
    replaced: str | None


@dataclass(frozen=True)
class Gone:
    """A row that a line takes away, because its table keeps only so many."""

    table: str
    key: Row
    replaced: str


Write = Put | Gone


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


@dataclass(frozen=True)
class Anchor:
    """A line up to which everything was verified, and what the tables held there.

    Later verifications begin here, and lines behind it may be dropped: `hash` is what the next line must follow.
    """

    seq: int
    hash: str
    at: str
    sums: Sums

    def row(self) -> Row:
        """The row of `anchors`."""
        tables = {table: [rows, f"{digests:064x}"] for table, (rows, digests) in self.sums.items()}
        return {"seq": self.seq, "hash": self.hash, "at": self.at, "tables": canonical(tables)}

    @classmethod
    def of(cls, row: Row) -> "Anchor":
        """The anchor in a row of `anchors`. Raises ValueError when it holds something else."""
        try:
            tables = json.loads(str(row["tables"]))
            sums = {str(table): (int(rows), int(digests, 16)) for table, (rows, digests) in tables.items()}
        except (AttributeError, TypeError) as error:
            raise ValueError(f"anchor {row['seq']} cannot be read: {error}") from error
        return cls(int(str(row["seq"])), str(row["hash"]), str(row["at"]), sums)


class BrokenChain(ValueError):
    """A line was altered, removed or added by something else than the journal."""


def line_of(kind: str, detail: Mapping[str, str], writes: Sequence[Write], now: Now, seq: int, prev_hash: str) -> Line:
    """The line that follows the one whose hash is `prev_hash`."""
    at_machine = time_text(now.machine)
    at_market = None if now.market is None else time_text(now.market)
    detail_text = canonical({key: _bounded(value) for key, value in detail.items()})
    changes = canonical([_change_json(write) for write in writes])
    content = (seq, at_machine, at_market, kind, detail_text, changes)
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


def digest(table: str, row: Row) -> str:
    """SHA-256 of a row, the same in every schema that has its columns."""
    return hashlib.sha256(canonical([table, sparse(table, row)]).encode()).hexdigest()


def key_of(table: str, row: Row) -> Key:
    """What names a row of its table."""
    return tuple(row[column] for column in KEYS[table])


def canonical(value: object) -> str:
    """JSON without spaces, keys in order: equal values have equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


@dataclass
class _Table:
    """What the lines read so far say of one table."""

    rows: dict[Key, Row] = field(default_factory=dict)
    """Rows that these lines put, as they must be now."""
    gone: set[Key] = field(default_factory=set)
    untouched: tuple[int, int] = _NO_ROWS
    """Number and sum of the rows that were there at the anchor and that no line has touched since."""
    last_position: int = 0


class Fold:
    """What the changes of all lines since an anchor (or since the first line) add up to."""

    def __init__(self, anchor: Anchor | None = None) -> None:
        self._anchor = anchor
        self._tables = {table: _Table() for table in KEYS}
        if anchor is not None:
            for table, sums in anchor.sums.items():
                self._tables[table].untouched = sums

    def add(self, line: Line) -> None:
        """Applies a line. Raises BrokenChain when it holds no changes of ours."""
        try:
            for change in json.loads(line.changes):
                self._apply(*change)
        except (ValueError, KeyError, TypeError) as error:
            raise BrokenChain(f"journal line {line.seq} cannot be read: {error}") from error

    def difference(self, table: str, rows: Iterable[Row]) -> str | None:
        """The first way in which a table's rows are not what the journal says; None when they are."""
        expected, others, other_digests = self._tables[table], 0, 0
        seen: set[Key] = set()
        for row in rows:
            key = key_of(table, row)
            known = expected.rows.get(key)
            if known == row:
                seen.add(key)
            elif known is not None or self._anchor is None or key in expected.gone:
                return f"table {table}, row {_named(key)}: {_first_difference(known, row)}"
            else:
                others += 1
                other_digests += int(digest(table, row), 16)
        missing = next((key for key in expected.rows if key not in seen), None)
        if missing is not None:
            return f"table {table}: row {_named(missing)} is missing"
        if (others, other_digests % _DIGESTS) != expected.untouched:
            before = self._anchor.seq if self._anchor else 0
            return f"table {table}: rows from before journal line {before} are not what they were"
        return None

    def anchor_is_recorded(self) -> bool:
        """Whether the anchor that this began from stands in the journal after it, as it was read."""
        if self._anchor is None:
            return True
        return self._tables["anchors"].rows.get((self._anchor.seq,)) == self._anchor.row()

    def sums(self) -> Sums:
        """What the tables must hold now, for an anchor here."""
        result = {}
        for name, table in self._tables.items():
            count, digests = table.untouched
            digests += sum(int(digest(name, row), 16) for row in table.rows.values())
            result[name] = (count + len(table.rows), digests % _DIGESTS)
        return result

    def _apply(self, name: str, row: Row, replaced: str | None = None, word: str = "") -> None:
        table, key = self._tables[name], key_of(name, row)
        if key not in table.rows and replaced is not None:
            if self._anchor is None:
                raise ValueError(f"it replaces a row of {name} that no line put there")
            count, digests = table.untouched
            table.untouched = (count - 1, (digests - int(replaced, 16)) % _DIGESTS)
        if word == "gone":
            table.rows.pop(key, None)
            table.gone.add(key)
            return
        table.rows[key] = self._numbered(name, key, whole(name, row))

    def _numbered(self, name: str, key: Key, row: Row) -> Row:
        # Lines of the first schema do not say a row's position: rows were counted as they came.
        if name not in NUMBERED:
            return row
        table = self._tables[name]
        if "position" not in row:
            known = table.rows.get(key)
            row = {**row, "position": known["position"] if known else table.last_position + 1}
        table.last_position = max(table.last_position, int(str(row["position"])))
        return row


def _change_json(write: Write) -> list[object]:
    match write:
        case Put(table, row, replaced):
            return [table, sparse(table, row), replaced]
        case Gone(table, key, replaced):
            return [table, key, replaced, "gone"]


def _bounded(value: str) -> str:
    return value if len(value) <= MAX_DETAIL_LENGTH else f"{value[:MAX_DETAIL_LENGTH]}… (cut)"


def _hash(prev_hash: str, content: tuple[object, ...]) -> str:
    return hashlib.sha256(f"{prev_hash}\n{canonical(content)}".encode()).hexdigest()


def _named(key: Key) -> str:
    return "/".join(str(part) for part in key)


def _first_difference(expected: Mapping[str, object] | None, row: Mapping[str, object]) -> str:
    if expected is None:
        return "the journal knows no such row"
    columns = [column for column in row if row[column] != expected.get(column)]
    return "; ".join(f"{column} is {row[column]!r}, the journal says {expected.get(column)!r}" for column in columns)
