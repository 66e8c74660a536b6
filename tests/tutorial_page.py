"""docs/tutorial.md as steps: what to type, and what one should see. Reads the page, and runs nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"


@dataclass(frozen=True)
class Step:
    """A block of commands, with what is shown of their output."""

    heading: str
    commands: str
    shown: tuple[str, ...]
    """Lines that have to come in this order, with `...` for whatever differs; others may be between them."""

    @property
    def name(self) -> str:
        return f"{self.heading}: {self.commands.splitlines()[0][:60]}"


def steps(page: str) -> list[Step]:
    """The `sh` blocks in their order, each with the `text` block right behind it; ValueError for one without."""
    found: list[Step] = []
    heading = ""
    pattern = r"^#+ (?P<heading>[^\n]*)$|^```sh\n(?P<sh>.*?)^```\n(?:```text\n(?P<text>.*?)^```$)?|^```(?P<other>\w*)"
    for match in re.finditer(pattern, page, re.MULTILINE | re.DOTALL):
        if match["heading"] is not None:
            heading = match["heading"]
        elif match["sh"] is None:
            raise ValueError(f"{heading}: a block of {match['other'] or 'no language'} that belongs to no commands")
        elif not match["text"]:
            raise ValueError(f"{heading}: a block that does not show what one should see")
        else:
            found.append(Step(heading, match["sh"], tuple(match["text"].splitlines())))
    return found


def missing(shown: Sequence[str], output: str) -> str | None:
    """The first shown line that does not come in the output, after those before it; None if all do."""
    lines = iter(output.splitlines())
    for expected in shown:
        pattern = _pattern(expected)
        if not any(pattern.fullmatch(" ".join(line.split())) for line in lines):
            return expected
    return None


def _pattern(line: str) -> re.Pattern[str]:
    """One blank is as good as several; `...` is anything, nothing included."""
    return re.compile(re.escape(" ".join(line.split())).replace(r"\.\.\.\ ", r"(?:.*\ )?").replace(r"\.\.\.", ".*"))
