"""How things look on a terminal: colours, tables, plain words, and the question before something is done.

Text from the cluster is shown as what it is: a reason somebody wrote can colour nothing, and cannot move the cursor.
"""

import os
import sys
import unicodedata
from collections.abc import Sequence
from datetime import datetime

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from kubectl_tradingbot.errors import UsageError

_WIDTH_OF_A_FILE = 220
_MOST_WIDTH = 2000
_GOOD = {"True", "Pass", "GO", "Match", "Clean", "Active", "passed", "filled", "Normal", "yes", "live", "None"}
_BAD = {"Fail", "NO-GO", "Mismatch", "Halted", "Warning", "no", "killed", "rejected", "failed", "Failed", "foreign"}
_DOUBTFUL = {"Unknown", "Stale", "REVIEW", "Reducing", "Pending", "paused", "unknown", "False", "in_doubt"}


def console(*, stderr: bool = False, width: int | None = None) -> Console:
    """Where to print; without colours where it is no terminal or NO_COLOR is set, and wide enough for a file.

    `width` in characters: as wide as that, whatever the terminal is.
    """
    stream = sys.stderr if stderr else sys.stdout
    if width is None and not stream.isatty() and not os.environ.get("COLUMNS"):
        width = _WIDTH_OF_A_FILE
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def print_whole(what: RenderableType) -> None:
    """Prints a list as kubectl does: a line that is too long for the terminal goes on in the next, nothing is lost."""
    out = console()
    needed = Measurement.get(out, out.options.update(max_width=_MOST_WIDTH), what).maximum
    console(width=max(out.width, needed)).print(what, soft_wrap=True)


def plain(value: object) -> str:
    """As text without control characters, and without marks that turn the direction of writing."""
    text = "" if value is None else str(value)
    return "".join(
        character
        if character == "\n" or unicodedata.category(character) not in ("Cc", "Cf")
        else "\N{REPLACEMENT CHARACTER}"
        for character in text
    )


def words(value: object, style: str = "") -> Text:
    """A cell: what it says, in one style."""
    return Text(plain(value), style=style)


def state(value: object) -> Text:
    """A cell whose colour says how good the word in it is."""
    text = plain(value)
    for style, known in (("green", _GOOD), ("red", _BAD), ("yellow", _DOUBTFUL)):
        if text in known:
            return Text(text, style=style)
    return Text(text)


def heading(text: str) -> Text:
    """A section's title."""
    return Text(f"\n{text}", style="bold")


def nothing(text: str) -> Text:
    """What an empty section says."""
    return Text(f"  {plain(text)}", style="dim")


def table(*columns: str, right: Sequence[str] = (), unbroken: Sequence[str] = ()) -> Table:
    """A table without lines; columns in `right` are aligned there, those in `unbroken` are never wrapped."""
    made = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0), show_edge=False)
    for column in columns:
        made.add_column(
            column,
            justify="right" if column in right else "left",
            no_wrap=column in unbroken or column in right,
            overflow="fold",
        )
    return made


def pairs(rows: Sequence[tuple[str, RenderableType]]) -> Table:
    """Names with what they are."""
    made = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    made.add_column(no_wrap=True, style="dim")
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(f"{name}:", value if not isinstance(value, str) else words(value))
    return made


def age(now: datetime, stamp: str | None) -> str:
    """How long ago a time of the API server's (RFC 3339) was, in whole units as kubectl has them; empty for none."""
    then = moment(stamp)
    if then is None:
        return ""
    seconds = max(0, int((now - then).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def moment(stamp: str | None) -> datetime | None:
    """A time with a zone; None where the text is none."""
    try:
        found = datetime.fromisoformat(stamp or "")
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def confirm(out: Console, question: str, phrase: str, *, yes: bool) -> None:
    """Goes on only where the person has typed the phrase; UsageError where nobody is there, or it is another one."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("nothing was done: this is not a terminal, so nobody can confirm it; give --yes")
    out.print(Text(f"{plain(question)} Type {plain(phrase)!r} to go on: ", style="bold"), end="")
    if sys.stdin.readline().strip() != phrase:
        raise UsageError("nothing was done: it was not confirmed")
