"""What one check found. Holds values only."""

from dataclasses import dataclass

from tradingbot_api import CheckKind, CheckState


@dataclass(frozen=True)
class Finding:
    """How one check stands, and why, as a person reads it."""

    state: CheckState
    observed: str
    threshold: str
    message: str = ""
    """What is missing or wrong, and what to do; empty where it passes."""
    refs: tuple[str, ...] = ()
    """Names of the objects it was read from; bounded."""


@dataclass(frozen=True)
class Check:
    """One line of the checklist."""

    name: str
    kind: CheckKind
    weight: int
    """Counts where kind is Weighted."""
    finding: Finding

    @property
    def passes(self) -> bool:
        """Whether it is satisfied."""
        return self.finding.state is CheckState.PASS


MAX_REFS = 5


def refs(names: list[str]) -> tuple[str, ...]:
    """The last few of many names."""
    return tuple(names[-MAX_REFS:])
