"""Carries a scenario out as market time comes to its steps, each once and exactly at its time.

Knows when something is due; what it means to the exchange is the caller's to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from alpaca_simulator.faults.scenario import Planned


@dataclass(slots=True)
class Played:
    """A step and what came of it: None while it is still to come, else `done` or why it could not be done."""

    planned: Planned
    outcome: str | None = None


class Director:
    """The steps of one scenario in the order of their times.

    `done_before` is set where a simulator goes on after a restart: what was done to the books up to then
    is in them already and is left out; rules, which are not kept, are put in force again.
    """

    def __init__(self, name: str = "", steps: Sequence[Planned] = (), done_before: datetime | None = None) -> None:
        self.name = name
        self._steps = [Played(step) for step in steps]
        if done_before is not None:
            for played in self._steps:
                if played.planned.step.do is not None and played.planned.at <= done_before:
                    played.outcome = "done before the restart"
        self._next = 0

    def due(self, until: datetime) -> Played | None:
        """The next step whose time has come by `until`; the caller tells what came of it."""
        while self._next < len(self._steps) and self._steps[self._next].planned.at <= until:
            self._next += 1
            if (played := self._steps[self._next - 1]).outcome is None:
                return played
        return None

    def told(self) -> dict[str, Any]:
        """The scenario and how far it has come, as JSON."""
        return {
            "name": self.name,
            "played": self._next,
            "steps": [{**one.planned.told(), "outcome": one.outcome} for one in self._steps],
        }
