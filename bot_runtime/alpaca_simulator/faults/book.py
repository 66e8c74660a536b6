"""The book of faults: which rules are in force, which opportunity each strikes, and what was injected.

Pure: no clock and no randomness but the seed's. The same rules and opportunities in the same order
strike the same way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from alpaca_simulator.faults.rules import FaultError, Rule
from alpaca_simulator.values.identity import unit_draw

R = TypeVar("R", bound=Rule, covariant=True)

RULES_AT_MOST = 200
LOG_KEPT = 1_000


@dataclass(slots=True, eq=False)
class RuleInForce(Generic[R]):
    """A rule with its counters: `seen` opportunities, of which `injected` were struck."""

    rule_id: str
    rule: R
    added_at: datetime
    seen: int = 0
    injected: int = 0

    @property
    def kind(self) -> str:
        """The kind's name as in JSON."""
        return str(getattr(self.rule, "kind", ""))

    @property
    def is_spent(self) -> bool:
        """Whether it has struck as often as it may."""
        return self.rule.count is not None and self.injected >= self.rule.count


@dataclass(frozen=True, slots=True)
class Injected:
    """One fault that happened: numbers count from 1, `at` is market time, `what` says it in words."""

    number: int
    at: datetime
    rule_id: str
    kind: str
    account: str | None
    what: str


class FaultBook:
    """Every rule in force, in the order they were added."""

    def __init__(self, seed: int, *, rules_at_most: int = RULES_AT_MOST, log_kept: int = LOG_KEPT) -> None:
        self._seed = seed
        self._rules_at_most = rules_at_most
        self._rules: dict[str, RuleInForce[Rule]] = {}
        self._of_kind: dict[type[Rule], tuple[RuleInForce[Rule], ...]] = {}
        self._log: deque[Injected] = deque(maxlen=log_kept)
        self._named = 0
        self.injected_ever = 0

    def add(self, rule: Rule, at: datetime) -> RuleInForce[Rule]:
        """Put a rule in force; raises FaultError when its name is taken or the book is full."""
        if rule.name in self._rules:
            raise FaultError(f"name: a rule {rule.name} is in force already; remove it first")
        if len(self._rules) >= self._rules_at_most:
            self._forget_spent()
        if len(self._rules) >= self._rules_at_most:
            raise FaultError(f"body: {self._rules_at_most} rules are in force already; remove one first")
        found = RuleInForce(rule.name or self._next_name(), rule, at)
        self._rules[found.rule_id] = found
        self._of_kind.clear()
        return found

    def remove(self, rule_id: str) -> bool:
        """Take a rule out of force; False when there is none of that id."""
        self._of_kind.clear()
        return self._rules.pop(rule_id, None) is not None

    def clear(self) -> None:
        """Take every rule out of force; the log stays."""
        self._rules.clear()
        self._of_kind.clear()

    def find(self, rule_id: str) -> RuleInForce[Rule] | None:
        """The rule of that id."""
        return self._rules.get(rule_id)

    def in_force(self) -> tuple[RuleInForce[Rule], ...]:
        """Every rule, oldest first, spent ones too."""
        return tuple(self._rules.values())

    def of(self, kind: type[R]) -> tuple[RuleInForce[R], ...]:
        """The rules of a kind or a family of kinds, oldest first."""
        found = self._of_kind.get(kind)
        if found is None:
            found = tuple(entry for entry in self._rules.values() if isinstance(entry.rule, kind))
            self._of_kind[kind] = found
        return found  # type: ignore[return-value]  # filtered by isinstance above

    def strikes(self, entry: RuleInForce[Rule], at: datetime) -> bool:
        """Count one more opportunity of a rule, and say whether it is struck. What strikes is to be noted."""
        rule = entry.rule
        if not rule.is_due(at):
            return False
        entry.seen += 1
        after_skipped = entry.seen - rule.skip
        if entry.is_spent or after_skipped <= 0 or after_skipped % rule.every:
            return False
        return rule.probability >= 1 or unit_draw(self._seed, "fault", entry.rule_id, entry.seen) < rule.probability

    def note(self, entry: RuleInForce[Rule], at: datetime, what: str, account: str | None = None) -> None:
        """Count a fault that happens now, and write it in the log."""
        entry.injected += 1
        self.write(at, entry.rule_id, entry.kind, what, account)

    def write(self, at: datetime, rule_id: str, kind: str, what: str, account: str | None) -> None:
        """Write a line in the log of what was injected; the oldest ones are forgotten."""
        self.injected_ever += 1
        self._log.append(Injected(self.injected_ever, at, rule_id, kind, account, what[:200]))

    def log(self, after: int = 0) -> Iterator[Injected]:
        """What was injected, oldest first, from the number after `after`."""
        return (one for one in self._log if one.number > after)

    def draw(self, *parts: object) -> float:
        """A number in [0, 1) that depends on the seed and `parts` alone."""
        return unit_draw(self._seed, "fault", *parts)

    def _next_name(self) -> str:
        while True:
            self._named += 1
            if (name := f"fault-{self._named}") not in self._rules:
                return name

    def _forget_spent(self) -> None:
        for rule_id in [one.rule_id for one in self._rules.values() if one.is_spent]:
            del self._rules[rule_id]
        self._of_kind.clear()
