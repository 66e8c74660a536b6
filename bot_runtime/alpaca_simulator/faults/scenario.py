"""A scenario: what goes wrong at which market time, read from a YAML file.

Unknown fields are errors. Times are either given or counted from the bells of a day.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, model_validator

from alpaca_simulator.faults.catalogue import AnyRule, problems, rule_json
from alpaca_simulator.faults.interventions import AnyIntervention, Intervention, intervention_json
from alpaca_simulator.faults.rules import FaultError, Rule, RuleName, Strict
from alpaca_simulator.market.calendar import OutsideCalendarError, Session, TradingCalendar
from alpaca_simulator.values.instants import read_instant

LARGEST_SCENARIO_BYTES = 1024 * 1024
STEPS_AT_MOST = 1_000
DAYS_AT_MOST = 1_000

_BELL = re.compile(r"(open|close)(?:([+-])(\d{1,5})([smh]))?")
_UNIT = {"s": "seconds", "m": "minutes", "h": "hours"}


class ScenarioError(FaultError):
    """The scenario cannot be read or does not fit the simulator's time; the message names the step."""


def _moment(text: str) -> str:
    if _BELL.fullmatch(text) is None and (len(text) <= 10 or read_instant(text) is None):
        raise ValueError("is a time such as 2026-03-02T15:00:00Z, open+30m, close-5m or close")
    return text


class Step(Strict):
    """What happens at one time: exactly one of a rule to add, a rule to remove, or something to do."""

    at: Annotated[str, AfterValidator(_moment)]
    day: int = Field(default=1, ge=1, le=DAYS_AT_MOST, description="of open and close: 1 is the first session")
    add: AnyRule | None = None
    remove: RuleName | None = None
    do: AnyIntervention | None = None

    @model_validator(mode="after")
    def _does_one(self) -> Step:
        if sum(one is not None for one in (self.add, self.remove, self.do)) != 1:
            raise ValueError("needs exactly one of add, remove and do")
        if self.day > 1 and _BELL.fullmatch(self.at) is None:
            raise ValueError("day goes with open and close only")
        return self


class Scenario(Strict):
    """A scenario file."""

    name: str = Field(default="", max_length=100)
    steps: tuple[Step, ...] = Field(max_length=STEPS_AT_MOST)


@dataclass(frozen=True, slots=True)
class Planned:
    """A step with the market time it comes at; `number` counts the file's steps from 1."""

    number: int
    at: datetime
    step: Step

    def told(self) -> dict[str, Any]:
        """The step as JSON."""
        return {"number": self.number, "at": self.at.isoformat().replace("+00:00", "Z"), **_deed(self.step)}


_SCENARIO: TypeAdapter[Scenario] = TypeAdapter(Scenario)


def read_scenario(path: Path) -> Scenario:
    """The scenario in a YAML or JSON file; raises ScenarioError."""
    try:
        if path.stat().st_size > LARGEST_SCENARIO_BYTES:
            raise ScenarioError(f"{path}: over {LARGEST_SCENARIO_BYTES} bytes")
        return parse_scenario(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeError) as error:
        raise ScenarioError(f"{path}: {error}") from error


def parse_scenario(text: str, source: str = "scenario") -> Scenario:
    """The scenario in a YAML text; raises ScenarioError that names `source` and each field."""
    try:
        # By way of JSON, so that a file means what the same JSON to the admin API means.
        written = json.dumps(yaml.safe_load(text) or {}, default=_plain)
        return _SCENARIO.validate_json(written)
    except ValidationError as error:
        raise ScenarioError(f"{source}: {problems(error, is_step=True)}") from error
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise ScenarioError(f"{source}: {' '.join(str(error).split())}") from error


def planned(scenario: Scenario, calendar: TradingCalendar, start: datetime) -> tuple[Planned, ...]:
    """The steps at their market times, in the order they come; raises ScenarioError.

    Day 1 is the first session that closes after `start`. Of steps at the same time the file's order counts.
    A rule that is removed must have been added before.
    """
    steps = [
        Planned(number, _time_of(number, step, calendar, start), step)
        for number, step in enumerate(scenario.steps, start=1)
    ]
    for one in steps:
        if one.at < start:
            raise ScenarioError(f"step {one.number}: {one.at.isoformat()} is before the start, {start.isoformat()}")
    ordered = tuple(sorted(steps, key=lambda one: (one.at, one.number)))
    _check_names(ordered)
    return ordered


def told_by_step(steps: tuple[Planned, ...]) -> Iterator[str]:
    """What happens when, a line for each step."""
    for one in steps:
        (word, content), *_ = _deed(one.step).items()
        text = content if isinstance(content, str) else json.dumps(content, separators=(", ", ": "))
        yield f"{one.at:%Y-%m-%dT%H:%M:%SZ}  step {one.number}: {word} {text}"


def _deed(step: Step) -> dict[str, Any]:
    if isinstance(step.add, Rule):
        return {"add": rule_json(step.add)}
    if isinstance(step.do, Intervention):
        return {"do": intervention_json(step.do)}
    return {"remove": step.remove}


def _time_of(number: int, step: Step, calendar: TradingCalendar, start: datetime) -> datetime:
    found = _BELL.fullmatch(step.at)
    if found is None:
        at = read_instant(step.at)
        if at is None:
            raise ScenarioError(f"step {number}: {step.at} is no time")
        return at
    bell, sign, amount, unit = found.groups()
    session = _session(number, step.day, calendar, start)
    at = session.opens_at if bell == "open" else session.closes_at
    offset = timedelta(**{_UNIT[unit]: int(amount)}) if unit else timedelta()
    return at - offset if sign == "-" else at + offset


def _session(number: int, day: int, calendar: TradingCalendar, start: datetime) -> Session:
    try:
        first = calendar.next_closing(start)
    except OutsideCalendarError as error:
        raise ScenarioError(f"step {number}: {error}") from error
    if first.number + day > len(calendar.sessions):
        raise ScenarioError(f"step {number}: day {day} is after the last session that the simulator knows")
    return calendar.sessions[first.number + day - 1]


def _check_names(steps: tuple[Planned, ...]) -> None:
    there: set[str] = set()
    for one in steps:
        name, gone = one.step.add.name if isinstance(one.step.add, Rule) else None, one.step.remove
        if name is not None and name in there:
            raise ScenarioError(f"step {one.number}: a rule {name} is there already at that time")
        if gone is not None and gone not in there:
            raise ScenarioError(f"step {one.number}: there is no rule {gone} to remove at that time")
        if name is not None:
            there.add(name)
        there.discard(gone or "")


def _plain(value: object) -> str:
    """YAML's own dates and times as the text they were written as."""
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in a scenario")
