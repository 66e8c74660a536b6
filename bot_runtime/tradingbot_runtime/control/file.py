"""A file as control plane, for a bot without Kubernetes, in YAML or JSON. Read only.

`kill: why`, `paused: true`, `reset-breaker: why`, `run-now: any new value`,
`acknowledge-incident: its id or name`.
"""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

import yaml

from tradingbot_runtime.control.observed import MAX_REQUEST_LENGTH, Observed
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

    async def events(self) -> AsyncGenerator[ControlEvent, None]:
        """What the file asks for."""
        while True:
            for event in self.read():
                yield event
            await asyncio.sleep(self._poll_seconds)

    def read(self) -> list[ControlEvent]:
        """What the file asks for now, of which nothing was said yet."""
        try:
            text = self._text()
        except OSError as error:
            return [ControlPlaneLost(f"{self._path}: {error.strerror}")]
        try:
            body = yaml.safe_load(text) or {}
            if not isinstance(body, dict):
                raise ValueError("write `kill: why` or `paused: true`")
        except (yaml.YAMLError, ValueError) as error:
            # Whoever writes "kill" in a hurry means it, well-formed or not.
            kill = self._observed.kill("File", text.strip()[:200]) if "kill" in text else []
            return [*kill, ControlPlaneLost(f"{self._path} cannot be read: {error}")]
        kill = self._observed.kill("File", str(body["kill"] or "") if "kill" in body else None)
        return [
            *kill,
            *self._observed.paused(body.get("paused") is True),
            *self._observed.breaker_reset(_text(body.get("reset-breaker"))),
            *self._observed.evaluation(_text(body.get("run-now"))),
            *self._observed.acknowledged(_text(body.get("acknowledge-incident"))),
            ControlPlaneSeen(),
        ]

    def _text(self) -> str:
        try:
            with self._path.open("rb") as file:
                return file.read(MAX_FILE_BYTES).decode("utf-8", "replace")
        except FileNotFoundError:
            return ""


def _text(value: object) -> str | None:
    return str(value)[:MAX_REQUEST_LENGTH] if value else None
