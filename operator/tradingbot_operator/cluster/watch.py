"""Watches one kind in one place, each watch from where the one before it ended.

Not kopf's watch: that one copies every object several times and keeps a record, a queue and a task for each, which was
a quarter of the processor's time and most of the memory. Must never go on after a gap: who follows has to list anew.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

from tradingbot_operator.cluster.connection import ApiError, Connection, NotFoundError, UnavailableError
from tradingbot_operator.cluster.resources import Resource

WATCH_SECONDS: Final = 10
"""A watch ends by itself after this and the next goes on where it was."""
WATCH_LIMIT_SECONDS: Final = 15.0
"""One that has not ended by then is dead."""
EVENT_LIMIT_BYTES: Final = 16 * 1024 * 1024
_EVENTS_AT_ONCE: Final = 50

Event = dict[str, Any]


class GapError(ApiError):
    """410, or what cannot be read: events were missed, so everything has to be listed again."""


class Watch:
    """The changes of one kind in one namespace (None: in all) since `version`."""

    def __init__(
        self, connection: Connection, resource: Resource, *, namespace: str | None, label_selector: str, version: str
    ) -> None:
        self._connection = connection
        self._resource = resource
        self._namespace = namespace
        self._label_selector = label_selector
        self._version = version

    async def events(self) -> AsyncIterator[Event]:
        """Every change, for ever. Raises ApiError; where that is no GapError, calling it again misses nothing."""
        while True:
            chunks = self._connection.watch(
                self._resource,
                namespace=self._namespace,
                label_selector=self._label_selector,
                version=self._version,
                seconds=WATCH_SECONDS,
                limit_seconds=WATCH_LIMIT_SECONDS,
            )
            try:
                async for line in _lines(chunks):
                    event = _event(line)
                    self._version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        yield event
            except NotFoundError as error:
                raise GapError(error.message, error.code) from error


def _event(line: bytes) -> Event:
    try:
        event: Event = json.loads(line)
        kind, raw = event["type"], event["object"]
        if kind == "ERROR":
            # 410 above all; of no error does the API server say from where to go on.
            raise GapError(str(raw.get("message", "the watch failed")), int(raw.get("code", 0)))
        if not isinstance(raw["metadata"]["resourceVersion"], str):
            raise GapError("a watch told of an object without a version")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise GapError(f"a watch told something that is no event: {error}") from error
    return event


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > EVENT_LIMIT_BYTES:
            raise UnavailableError(f"an event is longer than {EVENT_LIMIT_BYTES} bytes")
        for number, line in enumerate(lines, 1):
            if line:
                yield line
            if number % _EVENTS_AT_ONCE == 0:
                # Many events at once must not keep a kill waiting.
                await asyncio.sleep(0)
