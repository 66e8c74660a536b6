"""What `tradingbot ci` found, as values: one finding for each check of each bot. Pure.

Words of others (a strategy's errors, names in files) are made plain here, once, for every place that shows them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tradingbot_runtime.commands.ci_voids import Compared

MOST_CHARACTERS: Final = 2000
"""Of one text; what is longer is cut."""


class Outcome(StrEnum):
    """What became of a check."""

    PASSED = "passed"
    FAILED = "FAILED"
    NOTED = "noted"
    """Not as it should be, or worth a look, and no failure."""
    SKIPPED = "skipped"
    """Not made; the message says why."""


@dataclass(frozen=True)
class Finding:
    """One check of one bot."""

    bot: str
    """NAMESPACE/NAME, or the file where no bot can be read in it."""
    check: str
    """STEP or STEP/CHECK, such as backtest/Sharpe."""
    outcome: Outcome
    observed: str = ""
    threshold: str = ""
    """What was asked for; empty where nothing was."""
    message: str = ""
    """Why it is not passed."""
    seconds: float = 0.0
    """How long the step took that it comes from; 0 for all but the first finding of a step."""


@dataclass(frozen=True)
class Findings:
    """All of a run."""

    all: tuple[Finding, ...]
    compared: tuple[Compared, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no check failed, and at least one was made."""
        made = [one for one in self.all if one.outcome is not Outcome.SKIPPED]
        return bool(made) and all(one.outcome is not Outcome.FAILED for one in made)

    def count(self, outcome: Outcome) -> int:
        """How many findings have that outcome."""
        return sum(one.outcome is outcome for one in self.all)


def finding(
    bot: str,
    check: str,
    outcome: Outcome,
    *,
    observed: str = "",
    threshold: str = "",
    message: str = "",
    seconds: float = 0.0,
) -> Finding:
    """A finding whose words are plain."""
    return Finding(plain(bot), plain(check), outcome, plain(observed), plain(threshold), plain(message), seconds)


def plain(text: str) -> str:
    """A text as one line of printable characters, which a terminal, XML and JSON hold alike, of bounded length."""
    line = " ".join(text.split())
    if len(line) > MOST_CHARACTERS:
        line = line[: MOST_CHARACTERS - 1] + "…"
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in line)


def names(many: Sequence[object]) -> str:
    """Words with commas between; `nothing` where there is none."""
    return ", ".join(str(one) for one in many) or "nothing"
