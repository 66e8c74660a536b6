"""The journal's lines for people and their tools, as JSON lines beside the state. The journal itself is the record.

A mirror that cannot be written is a log line, never a reason to stop.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tradingbot_runtime.core.commands import Journal
from tradingbot_runtime.core.values import Now
from tradingbot_runtime.ops import logs

LARGEST_FILE_BYTES: Final = 16 * 1024 * 1024
OLD_FILES_KEPT: Final = 4

_FILES: Final = {
    "slo_events.jsonl": ("slo_breach",),
    "incident_events.jsonl": ("slo_breach", "incident_acknowledged", "incident_escalated", "incident_resolved"),
}
AUDIT_FILE: Final = "audit.jsonl"
_NOT_AUDITED: Final = frozenset({"session_progress"})


class Mirror:
    """Appends committed lines to `slo_events.jsonl`, `incident_events.jsonl` and `audit.jsonl` in one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._failed = False

    def write(self, entries: Sequence[Journal], now: Now) -> None:
        """Mirrors lines that were just committed."""
        texts: dict[str, list[str]] = {}
        for entry in entries:
            line = _line(entry, now)
            for name, kinds in _FILES.items():
                if entry.kind in kinds:
                    texts.setdefault(name, []).append(line)
            if entry.kind not in _NOT_AUDITED:
                texts.setdefault(AUDIT_FILE, []).append(line)
        try:
            for name, lines in texts.items():
                self._append(self._directory / name, "".join(lines))
        except OSError as error:
            if not self._failed:
                logs.notice("warning", "mirror_failed", f"{error.filename}: {error.strerror}: the journal goes on")
            self._failed = True
        else:
            self._failed = False

    def _append(self, path: Path, text: str) -> None:
        if path.exists() and path.stat().st_size + len(text) > LARGEST_FILE_BYTES:
            for age in range(OLD_FILES_KEPT, 0, -1):
                older = path.with_name(f"{path.name}.{age}")
                newer = path.with_name(f"{path.name}.{age - 1}") if age > 1 else path
                if newer.exists():
                    newer.replace(older)
        with path.open("a", encoding="utf-8") as file:
            file.write(text)


def _line(entry: Journal, now: Now) -> str:
    body = {
        "at": now.machine.isoformat(),
        "market_time": now.market.isoformat() if now.market else None,
        "kind": entry.kind,
        **{f"detail_{name}" if name in {"at", "kind"} else name: value for name, value in entry.detail.items()},
    }
    return json.dumps(body, sort_keys=True) + "\n"
