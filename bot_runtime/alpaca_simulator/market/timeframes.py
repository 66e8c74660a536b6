"""How long a bar is: minutes and hours of a day, a day, a week, or months.

Grids count from midnight in New York; weeks begin on Monday, months on their first day.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal

from alpaca_simulator.values.instants import NEW_YORK

_TIMEFRAME = re.compile(r"([0-9]{1,3})(Min|T|Hour|H|Day|D|Week|W|Month|M)", re.ASCII)
_DAY_MINUTES = 24 * 60

Unit = Literal["minute", "day", "week", "month"]


@dataclass(frozen=True, slots=True)
class Timeframe:
    """The length of a bar: so many of a unit."""

    amount: int
    unit: Unit

    @property
    def nominal_minutes(self) -> int:
        """The length in minutes, every month taken to have 30 days."""
        return (
            self.amount
            * {"minute": 1, "day": _DAY_MINUTES, "week": 7 * _DAY_MINUTES, "month": 30 * _DAY_MINUTES}[self.unit]
        )

    @property
    def is_intraday(self) -> bool:
        """Whether a session has several bars."""
        return self.unit == "minute"

    def first_day(self, day: date) -> date:
        """The first day of the bar that `day` belongs to, for bars of a day and more."""
        if self.unit == "week":
            return day - timedelta(days=day.weekday())
        if self.unit == "month":
            return day.replace(month=(day.month - 1) // self.amount * self.amount + 1, day=1)
        return day

    def last_day(self, day: date) -> date:
        """The last day of the bar that `day` belongs to, for bars of a day and more."""
        first = self.first_day(day)
        if self.unit == "week":
            return first + timedelta(days=6)
        if self.unit == "month":
            following = (first + timedelta(days=31 * self.amount)).replace(day=1)
            return self.first_day(following) - timedelta(days=1)
        return first


def read_timeframe(text: str) -> Timeframe | None:
    """1 to 59 minutes, 1 to 23 hours, 1 day, 1 week, or 1, 2, 3, 4, 6 or 12 months; None for anything else."""
    found = _TIMEFRAME.fullmatch(text)
    if found is None:
        return None
    amount, unit = int(found[1]), found[2]
    match unit:
        case "Min" | "T":
            return Timeframe(amount, "minute") if 1 <= amount <= 59 else None
        case "Hour" | "H":
            return Timeframe(amount * 60, "minute") if 1 <= amount <= 23 else None
        case "Day" | "D":
            return Timeframe(1, "day") if amount == 1 else None
        case "Week" | "W":
            return Timeframe(1, "week") if amount == 1 else None
    return Timeframe(amount, "month") if amount in {1, 2, 3, 4, 6, 12} else None


@lru_cache(maxsize=8192)
def midnight_in_new_york(day: date) -> datetime:
    """When `day` begins in New York, UTC: how bars of a day and more are stamped."""
    return datetime.combine(day, time(), NEW_YORK).astimezone(UTC)
