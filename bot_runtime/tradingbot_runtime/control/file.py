"""A file as control plane, for a bot without Kubernetes, in YAML or JSON. Read only.

`kill: why`, `paused: true`, `reset-breaker: why`, `run-now: any new value`,
`acknowledge-incident: its id`, `accept-positions: why`. What stops the bot counts at once; anything else only when
the file says it twice in a row, for whoever writes a file makes it empty, or takes it away, for a moment.
"""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final

import yaml

from tradingbot_runtime.control.observed import Observed, words_of
from tradingbot_runtime.control.port import ControlEvent, ControlPlaneLost
from tradingbot_runtime.core.events import ControlPlaneSeen

POLL_SECONDS: Final = 0.5
MAX_FILE_BYTES: Final = 64 * 1024


class FileControl:
    """Reads the file twice a second. A file that is not there asks for nothing."""

    watched = True

    def __init__(self, path: Path, *, poll_seconds: float = POLL_SECONDS) -> None:
        self._path = path
        self._poll_seconds = poll_seconds
        self._observed = Observed()
        self._text_before: str | None = None
        """What the file said when it was last read; None where it could not be."""

    async def events(self) -> AsyncGenerator[ControlEvent, None]:
        """What the file asks for."""
        while True:
            for event in self.read():
                yield event
            await asyncio.sleep(self._poll_seconds)

    def read(self) -> list[ControlEvent]:
        """What the file asks for now, of which nothing was said yet."""
        before, self._text_before = self._text_before, None
        try:
            text = self._text()
        except OSError as error:
            return [self._lost(error.strerror)]
        try:
            body = _body_of(text)
        except Exception as error:  # PyYAML raises all kinds of errors for what is no YAML
            # Whoever writes "kill" in a hurry means it, well-formed or not.
            kill = self._observed.kill("File", words_of(text)) if "kill" in text else []
            return [*kill, self._lost(f"cannot be read: {error}")]
        self._text_before = text
        if text != before:
            return self._stopping(body)
        return [
            *self._observed.kill("File", words_of(body["kill"]) if "kill" in body else None),
            *self._observed.paused(body.get("paused") is True),
            *self._observed.breaker_reset(words_of(body.get("reset-breaker")) or None),
            *self._observed.evaluation(words_of(body.get("run-now")) or None),
            *self._observed.acknowledged(words_of(body.get("acknowledge-incident")) or None),
            *self._observed.accepted(words_of(body.get("accept-positions")) or None),
            ControlPlaneSeen(),
        ]

    def _stopping(self, body: dict[Any, Any]) -> list[ControlEvent]:
        """What of it stops the bot."""
        return [
            *(self._observed.kill("File", words_of(body["kill"])) if "kill" in body else []),
            *(self._observed.paused(True) if body.get("paused") is True else []),
        ]

    def _lost(self, reason: str | None) -> ControlPlaneLost:
        return ControlPlaneLost(words_of(f"{self._path}: {reason}"))

    def _text(self) -> str:
        try:
            with self._path.open("rb") as file:
                return file.read(MAX_FILE_BYTES).decode("utf-8", "replace")
        except FileNotFoundError:
            return ""


def _body_of(text: str) -> dict[Any, Any]:
    body = yaml.safe_load(text) or {}
    if not isinstance(body, dict):
        raise ValueError("write `kill: why` or `paused: true`")
    return body
