"""What the state file holds, as values and as lines: a checksum, a space, a JSON object.

Pure: bytes in, values out and back. What does not read exactly as it was written is refused.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from alpaca_simulator.api.messages import Request

#: Raised whenever an older simulator could not read, or would read differently, what this one writes.
FORMAT = 1

_LINE_START = re.compile(rb"[0-9a-f]{8} \{")


class StateError(Exception):
    """The state directory cannot be used; the message says why and what to do."""


class CorruptStateError(StateError):
    """Something in the middle of the state is not what was written."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a log belongs to: the simulator's seed and configuration, and the market time it began at.

    `prices` is the digest of the files that prices come from, None when they come from the seed.
    `base` is the number of the last record that came before this log, 0 for the first log.
    """

    seed: int
    start: datetime
    config: dict[str, Any]
    prices: str | None = None
    base: int = 0
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Record:
    """One state-changing request: `number` counts from 1, `at` is the market time it was handled at.

    `account` is the name of the account whose keys it carried, None for the admin API.
    """

    number: int
    at: datetime
    account: str | None
    method: str
    path: str
    query: str
    body: bytes

    def request(self, headers: dict[str, str]) -> Request:
        """The request to handle again."""
        return Request(self.method, self.path, self.query, headers, self.body)


@dataclass(frozen=True, slots=True)
class FillDecision:
    """How much of an order a fault allowed to be filled from `at` on, after so many fills; None is all of it."""

    number: int
    at: datetime
    order_id: UUID
    fills: int
    allowed: Decimal | None


Entry = Record | FillDecision


@dataclass(frozen=True, slots=True)
class Log:
    """A log as it was read: what it holds, how many of its bytes are good, and how many a torn tail has."""

    header: Header
    entries: tuple[Entry, ...]
    good_bytes: int
    torn_bytes: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole state after the record of that number; `state` is the exchange's state as parsed JSON."""

    header: Header
    number: int
    at: datetime
    state: Any


def line(content: dict[str, Any]) -> bytes:
    """`content` as one line with its checksum."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def content(raw: bytes) -> dict[str, Any] | None:
    """The content of a line (without its line feed), None when it is not what was written."""
    checksum, space, text = raw[:8], raw[8:9], raw[9:]
    if space != b" " or checksum != b"%08x" % zlib.crc32(text):
        return None
    parsed = json.loads(text)
    return parsed if isinstance(parsed, dict) else None


def header_line(header: Header) -> bytes:
    """The first line of a log."""
    return line(_header_content(header))


def entry_line(entry: Entry) -> bytes:
    """An entry's line. A body that is no UTF-8 keeps its bytes as lone surrogates."""
    shared = {"n": entry.number, "at": entry.at.isoformat()}
    if isinstance(entry, FillDecision):
        allowed = None if entry.allowed is None else str(entry.allowed)
        return line({**shared, "order_id": str(entry.order_id), "fills": entry.fills, "allowed": allowed})
    return line(
        {
            **shared,
            "account": entry.account,
            "method": entry.method,
            "path": entry.path,
            "query": entry.query,
            "body": entry.body.decode("utf-8", "surrogateescape"),
        }
    )


def snapshot_line(snapshot: Snapshot) -> bytes:
    """The snapshot's only line."""
    return line(
        {
            "header": _header_content(snapshot.header),
            "n": snapshot.number,
            "at": snapshot.at.isoformat(),
            "state": snapshot.state,
        }
    )


def read_snapshot(raw: bytes) -> Snapshot:
    """The snapshot in a file's bytes; raises StateError."""
    found = content(raw.removesuffix(b"\n"))
    if found is None:
        raise CorruptStateError("the snapshot is corrupt: its checksum does not fit; restore it from a copy")
    return Snapshot(_header(found["header"]), found["n"], _instant(found["at"]), found["state"])


def read_log(raw: bytes) -> Log | None:
    """The log in a file's bytes, None when not even its header was written whole; raises StateError.

    A last line that is torn or corrupt is left out: it was never answered. Anything before it that does
    not read is refused with the number of the record.
    """
    lines = raw.split(b"\n")
    # What follows the last line feed is torn, unless it is nothing.
    whole, rest = lines[:-1], lines[-1]
    contents = [content(one) for one in whole]
    torn = len(rest)
    if contents and contents[-1] is None and not rest and not _ends_well(whole[-1]):
        torn = len(whole[-1]) + 1
        contents.pop()
    if not contents:
        return None
    if contents[0] is None:
        raise CorruptStateError("the log is corrupt: its first record (0) does not read; restore it from a copy")
    header = _header(contents[0])
    entries: list[Entry] = []
    for number, found in enumerate(contents[1:], start=header.base + 1):
        if found is None or found.get("n") != number:
            raise CorruptStateError(
                f"the log is corrupt: record {number} does not read, though records follow it; "
                "restore it from a copy, or move the directory away to begin anew"
            )
        entries.append(_entry(found))
    return Log(header, tuple(entries), len(raw) - torn, torn)


def _ends_well(raw: bytes) -> bool:
    """Whether a line that does not read ends with one that does: then its line feed was lost, not its end."""
    return any(content(raw[found.start() :]) is not None for found in _LINE_START.finditer(raw, 1))


def _header_content(header: Header) -> dict[str, Any]:
    return {
        "format": header.format,
        "seed": header.seed,
        "start": header.start.isoformat(),
        "base": header.base,
        "prices": header.prices,
        "config": header.config,
    }


def _header(found: dict[str, Any]) -> Header:
    version = found.get("format")
    if version != FORMAT:
        age = "newer" if isinstance(version, int) and version > FORMAT else "another"
        raise StateError(
            f"the state has format {version}, {age} than this simulator's {FORMAT}: use the simulator that wrote it"
        )
    return Header(found["seed"], _instant(found["start"]), found["config"], found["prices"], found["base"])


def _entry(found: dict[str, Any]) -> Entry:
    number, at = found["n"], _instant(found["at"])
    if "order_id" in found:
        allowed = found["allowed"]
        return FillDecision(
            number, at, UUID(found["order_id"]), found["fills"], None if allowed is None else Decimal(allowed)
        )
    return Record(
        number=number,
        at=at,
        account=found["account"],
        method=found["method"],
        path=found["path"],
        query=found["query"],
        body=found["body"].encode("utf-8", "surrogateescape"),
    )


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
