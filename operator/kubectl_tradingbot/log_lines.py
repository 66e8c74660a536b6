"""A program's JSON log lines as a person reads them. Pure. A line that is no JSON is shown as it is."""

import json
from typing import Final

from rich.text import Text

from kubectl_tradingbot.terminal import plain

_HEAD: Final = ("timestamp", "level", "event")
_KNOWN: Final = ("bot", "namespace")
"""On every line of a bot's log: who reads it knows."""
_COLOURS: Final = {"debug": "dim", "info": "green", "warning": "yellow", "error": "red", "critical": "bold red"}


def pretty(line: str) -> Text:
    """One line: time, level, event, and the rest as key=value."""
    line = line.rstrip("\n")
    try:
        fields = json.loads(line)
    except ValueError:
        return Text(plain(line))
    if not isinstance(fields, dict) or "event" not in fields:
        return Text(plain(line))
    level = str(fields.get("level", ""))
    text = Text.assemble(
        (f"{plain(fields.get('timestamp', ''))} ", "dim"),
        (f"{plain(level).upper():8} ", _COLOURS.get(level, "")),
        (plain(fields["event"]).replace("\n", " "), "bold"),
    )
    for key, value in fields.items():
        if key in _HEAD or key in _KNOWN or key == "exception":
            continue
        text.append(f"  {plain(key)}=", style="dim")
        shown = value if isinstance(value, str) and value and " " not in value else json.dumps(value)
        text.append(plain(shown).replace("\n", " "))
    for row in str(fields.get("exception", "")).splitlines():
        text.append(f"\n    {plain(row)}", style="dim")
    return text
