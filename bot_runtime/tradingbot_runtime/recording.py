"""A bot's decisions as a file: every event with the commands it led to, so that they can be made again and compared.

The engine is a function of its events, so a replay that gives other commands is a defect. Holds no keys; decides
nothing.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, get_args

import pandas as pd
from pydantic import TypeAdapter

from tradingbot_api import RuntimeConfig
from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.core.engine import Engine
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.core.values import BrokerAsset, BrokerQuote, MarketSession, Now
from tradingbot_runtime.strategies.registry import load

FORMAT: Final = 1
LARGEST_FILE_BYTES: Final = 1024 * 1024 * 1024
"""Where a recording ends by itself: a bot on minute bars writes about 30 MB a week."""

_adapters: Final[dict[type[Any], TypeAdapter[Any]]] = {}
_EVENTS: Final[dict[str, type[Any]]] = {kind.__name__: kind for kind in get_args(seen.Event)}


class NotARecording(ValueError):
    """The file is no recording of this format, or a line of it cannot be read; the message names the line."""


class Recorder:
    """Writes a recording line by line. A context manager; the file is made anew."""

    def __init__(self, path: Path, config: RuntimeConfig, recovered: Recovered, *, watched: bool) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._written = 0
        self.is_full = False
        """Whether the file has reached its largest size: nothing more is written."""
        start = {
            "format": FORMAT,
            "config": config.model_dump(mode="json", by_alias=True, exclude_none=True),
            "recovered": _adapter(Recovered).dump_python(recovered, mode="json"),
            "watched": watched,
        }
        self._write(start)

    def record(self, event: seen.Event, now: Now, commands: Sequence[do.Command]) -> None:
        """One event, and all that it led to."""
        if self.is_full:
            return
        self._write(
            {
                "now": _adapter(Now).dump_python(now, mode="json"),
                "event": type(event).__name__,
                "body": _event_body(event),
                "commands": commands_text(commands),
            }
        )

    def _write(self, line: dict[str, Any]) -> None:
        text = json.dumps(line, separators=(",", ":"), sort_keys=True) + "\n"
        self._written += len(text)
        self.is_full = self._written > LARGEST_FILE_BYTES
        self._file.write(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


@dataclass(frozen=True)
class Replayed:
    """What came of making the decisions of a recording again."""

    events: int
    commands: int
    difference: str | None
    """The first event after which other commands came, with both sides; None when all were the same."""


def replay(path: Path) -> Replayed:
    """Makes every decision of a recording again. Raises NotARecording; OSError when the file cannot be read."""
    with path.open(encoding="utf-8") as file:
        lines = enumerate(file, start=1)
        engine = _engine(_read(next(lines, (1, ""))))
        events = commands = 0
        for number, line in _whole(lines):
            record = _read((number, line))
            event, now = _event(record, number), _adapter(Now).validate_python(record["now"])
            again = commands_text(engine.handle(event, now))
            events, commands = events + 1, commands + len(again)
            if again != record["commands"]:
                return Replayed(events, commands, _first_difference(number, event, record["commands"], again))
    return Replayed(events, commands, None)


def commands_text(commands: Sequence[do.Command]) -> list[str]:
    """Commands as canonical text: equal commands give equal bytes."""
    return [
        json.dumps({"command": type(command).__name__, **_command_body(command)}, separators=(",", ":"), sort_keys=True)
        for command in commands
    ]


def _command_body(command: do.Command) -> dict[str, Any]:
    if isinstance(command, do.Evaluate):
        return {"bar": command.bar, "symbols": sorted(command.frames)}  # the bars themselves are in the event
    body: dict[str, Any] = _adapter(type(command)).dump_python(command, mode="json")
    return body


def _whole(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Lines but for a last one that the end of the process has torn."""
    for number, line in lines:
        if line.endswith("\n"):
            yield number, line


def _engine(start: dict[str, Any]) -> Engine:
    if start.get("format") != FORMAT:
        raise NotARecording(f"line 1: format {start.get('format')!r}, this version reads {FORMAT}")
    config = RuntimeConfig.model_validate(start["config"])
    recovered = _adapter(Recovered).validate_python(start["recovered"])
    strategy = load(config.strategy.name, config.strategy.parameters)
    return Engine(config, strategy, recovered, watched=bool(start["watched"]))


def _read(numbered: tuple[int, str]) -> dict[str, Any]:
    number, line = numbered
    try:
        record = json.loads(line)
    except ValueError as error:
        raise NotARecording(f"line {number}: {error}") from error
    if not isinstance(record, dict):
        raise NotARecording(f"line {number}: not an object")
    return record


def _event_body(event: seen.Event) -> dict[str, Any]:
    if isinstance(event, seen.BarsClosed):
        return {
            "bar_at": event.bar_at.isoformat(),
            "frames": {symbol: _frame_body(frame) for symbol, frame in event.frames.items()},
            "as_of": event.as_of.isoformat() if event.as_of else None,
            "quotes": None
            if event.quotes is None
            else {s: _adapter(BrokerQuote).dump_python(quote, mode="json") for s, quote in event.quotes.items()},
            "assets": None
            if event.assets is None
            else {s: _adapter(BrokerAsset).dump_python(one, mode="json") for s, one in event.assets.items()},
            "sessions": [_adapter(MarketSession).dump_python(one, mode="json") for one in event.sessions],
        }
    body: dict[str, Any] = _adapter(type(event)).dump_python(event, mode="json")
    return body


def _event(record: dict[str, Any], number: int) -> seen.Event:
    kind = _EVENTS.get(str(record.get("event")))
    if kind is None:
        raise NotARecording(f"line {number}: there is no event {record.get('event')!r}")
    body = record["body"]
    if kind is seen.BarsClosed:
        sessions = [_adapter(MarketSession).validate_python(one) for one in body["sessions"]]
        quotes = body["quotes"]
        return seen.BarsClosed(
            bar_at=_instant(body["bar_at"]),
            frames={symbol: _frame(one) for symbol, one in body["frames"].items()},
            as_of=_instant(body["as_of"]) if body["as_of"] else None,
            quotes=None
            if quotes is None
            else {s: _adapter(BrokerQuote).validate_python(one) for s, one in quotes.items()},
            sessions=tuple(sessions),
            assets=None
            if body["assets"] is None
            else {s: _adapter(BrokerAsset).validate_python(one) for s, one in body["assets"].items()},
        )
    event: seen.Event = _adapter(kind).validate_python(body)
    return event


def _frame_body(frame: pd.DataFrame) -> dict[str, Any]:
    return {
        "columns": [str(column) for column in frame.columns],
        "index": [moment.isoformat() for moment in frame.index],
        "rows": frame.to_numpy(dtype=float).tolist(),
    }


def _frame(body: dict[str, Any]) -> pd.DataFrame:
    index = pd.DatetimeIndex([pd.Timestamp(moment) for moment in body["index"]])
    return pd.DataFrame(body["rows"], columns=body["columns"], index=index, dtype=float)


def _instant(text: str) -> Any:
    return pd.Timestamp(text).to_pydatetime()


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    # As many as there are kinds of events, commands and values.
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def _first_difference(number: int, event: seen.Event, before: list[str], again: list[str]) -> str:
    for index, (one, other) in enumerate(zip(before, again, strict=False)):
        if one != other:
            return f"line {number}, {type(event).__name__}, command {index + 1}: recorded {one}; again {other}"
    return f"line {number}, {type(event).__name__}: {len(before)} commands recorded, {len(again)} again"
