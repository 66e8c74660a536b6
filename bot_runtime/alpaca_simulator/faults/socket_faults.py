"""The seam at a websocket of either stream: dropped, mute, disturbed, refused.

Asked about each frame on its way out; the answer is a value that the transport carries out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from alpaca_simulator.faults import stream_kinds
from alpaca_simulator.faults.book import FaultBook, RuleInForce
from alpaca_simulator.faults.stream_kinds import Moment, MomentRule, MuteSocket, StreamName

Frame = str | bytes


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection ends: with a close frame of `close_code`, or with a reset where there is none."""

    close_code: int | None = None


@dataclass(frozen=True, slots=True)
class StreamError:
    """An error in the words of the stream, which the connection knows."""

    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The upgrade is answered with `status`, or with a reset where there is none."""

    status: int | None


Outgoing = Frame | StreamError | Drop


class SocketFaults:
    """The faults of one connection; `seconds` is the time that a mute lasts in, `now` the market's."""

    def __init__(
        self, book: FaultBook, stream: StreamName, now: Callable[[], datetime], seconds: Callable[[], float]
    ) -> None:
        self._book = book
        self._stream = stream
        self._now = now
        self._seconds = seconds
        self._mute: tuple[RuleInForce[MuteSocket], float | None] | None = None

    @property
    def answers_pings(self) -> bool:
        """Whether a ping of the client is answered."""
        entry = self._muted_by()
        return entry is None or entry.rule.answers_pings

    @property
    def is_mute(self) -> bool:
        """Whether nothing is sent at present."""
        return self._muted_by() is not None

    def outgoing(self, frames: Sequence[Frame], moment: Moment, account: str | None) -> list[Outgoing]:
        """What is sent instead of `frames`; with none of them only what the moment itself brings."""
        if not self._book.of(MomentRule):
            return list(frames)
        sent: list[Outgoing] = []
        for frame in frames or (None,):
            for one in self._struck(frame, moment, account):
                if isinstance(one, Drop):
                    return [*sent, one]
                if not self.is_mute:
                    sent.append(one)
        return sent

    def _struck(self, frame: Frame | None, moment: Moment, account: str | None) -> Iterator[Outgoing]:
        """What one frame, or a moment without one, becomes."""
        lost = frame is None
        for entry in self._book.of(MomentRule):
            rule = entry.rule
            if rule.when != moment or not self._fits(rule, account) or self._is_at_rest(rule):
                continue
            now = self._now()
            if not self._book.strikes(entry, now):
                continue
            self._book.note(entry, now, f"{self._stream}, {moment}", account)
            match rule:
                case stream_kinds.DropSocket(close_code=code):
                    yield Drop(code)
                    return
                case MuteSocket(seconds=seconds):
                    self._mute = (entry, None if seconds is None else self._seconds() + seconds)  # type: ignore[assignment]
                case stream_kinds.GarbageFrame(content=content, instead=instead):
                    yield _garbage(content, frame)
                    lost = lost or instead
                case stream_kinds.ErrorFrame(code=code, message=message, closes=closes):
                    yield StreamError(code, message)
                    if closes:
                        yield Drop(1000)
                        return
        if not lost and frame is not None:
            yield frame

    def _is_at_rest(self, rule: MomentRule) -> bool:
        """Whether the rule is a mute of a connection that is mute already."""
        return isinstance(rule, MuteSocket) and self.is_mute

    def _fits(self, rule: MomentRule, account: str | None) -> bool:
        return rule.match.stream in {None, self._stream} and rule.match.account in {None, account}

    def _muted_by(self) -> RuleInForce[MuteSocket] | None:
        if self._mute is None:
            return None
        entry, until = self._mute
        over = until is not None and self._seconds() >= until
        if over or self._book.find(entry.rule_id) is not entry or not entry.rule.is_due(self._now()):
            self._mute = None
            return None
        return entry


def refused(book: FaultBook, stream: StreamName, now: datetime) -> Refused | None:
    """Whether a new connection is refused, and how."""
    for entry in book.of(stream_kinds.RefuseConnection):
        if entry.rule.match.stream in {None, stream} and book.strikes(entry, now):
            book.note(entry, now, stream)
            return Refused(entry.rule.status)
    return None


def _garbage(content: str, frame: Frame | None) -> Frame:
    """A frame nobody can read, of the type that the stream's frames have."""
    cut = len(frame) // 2 if frame else 0
    binary = not isinstance(frame, str)
    match content:
        case "empty":
            return b"" if binary else ""
        case "cut_off" if frame:
            return frame[:cut]
        case "wrong_shape":
            return b"[1,2,3]" if binary else "[1,2,3]"
    # Neither JSON nor UTF-8 nor MessagePack (0xc1 is never used there).
    return b"\xc1\xff\x00\xfe{" if binary else "\u0000{not json"
