"""The bytes of the market data stream: MessagePack in binary frames or JSON in text frames.

A time is a MessagePack timestamp there and an RFC 3339 text here; messages themselves are the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgpack

from alpaca_simulator.values.instants import utc_text

Message = Mapping[str, object]
Frame = str | bytes

MSGPACK_CONTENT_TYPE = "application/msgpack"


class Codec(Protocol):
    """How messages become a frame and a client's frame becomes a message."""

    def frame(self, messages: Sequence[Message]) -> Frame:
        """One frame with all of `messages`."""

    def message(self, frame: Frame) -> dict[str, object] | None:
        """The message in a client's frame, None when it cannot be read."""


class JsonCodec:
    """JSON in text frames, what a client gets that asks for nothing else."""

    def frame(self, messages: Sequence[Message]) -> Frame:
        """One text frame."""
        return json.dumps(list(messages), separators=(",", ":"), default=_rfc3339)

    def message(self, frame: Frame) -> dict[str, object] | None:
        """The JSON object in a text or binary frame."""
        try:
            parsed = json.loads(frame)
        except (ValueError, RecursionError):
            return None
        return parsed if isinstance(parsed, dict) else None


class MsgpackCodec:
    """MessagePack in binary frames, what a client gets that asks for it by its Content-Type."""

    def frame(self, messages: Sequence[Message]) -> Frame:
        """One binary frame."""
        packed: bytes = msgpack.packb(list(messages), default=_timestamp)
        return packed

    def message(self, frame: Frame) -> dict[str, object] | None:
        """The map in a binary frame; a text frame is read as JSON, as Alpaca does."""
        if isinstance(frame, str):
            return JsonCodec().message(frame)
        try:
            # Arrays and maps that claim to be longer than the frame are refused by default.
            parsed = msgpack.unpackb(frame)
        except (msgpack.UnpackException, ValueError):
            return None
        return parsed if isinstance(parsed, dict) else None


def codec_for(content_type: str | None) -> Codec:
    """The codec that the Content-Type of the client's upgrade request asks for."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    return MsgpackCodec() if kind == MSGPACK_CONTENT_TYPE else JsonCodec()


def _rfc3339(value: object) -> str:
    if isinstance(value, datetime):
        return utc_text(value)
    raise TypeError(f"{type(value).__name__} has no place in a message")


def _timestamp(value: object) -> msgpack.Timestamp:
    if isinstance(value, datetime):
        return msgpack.Timestamp.from_datetime(value)
    raise TypeError(f"{type(value).__name__} has no place in a message")
