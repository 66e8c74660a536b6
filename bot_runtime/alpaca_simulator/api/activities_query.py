"""Which of an account's activities a request asks for, and the page of them it gets.

Reads parameters and filters; never changes an activity.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from alpaca_simulator.api.messages import Request
from alpaca_simulator.api.parameters import date_parameter, instant_parameter, whole_parameter
from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.activities import Activity, ActivityType
from alpaca_simulator.values.instants import NEW_YORK

PAGE_AT_MOST = 100

_ID = re.compile(r"([0-9]{17})::[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
#: Alpaca's kinds that never happen here: asking for them is right and finds nothing.
_NEVER_HERE = frozenset(
    {
        "ACATC",
        "ACATS",
        "CFEE",
        "CSD",
        "CSW",
        "DIVCGL",
        "DIVCGS",
        "DIVNRA",
        "DIVROC",
        "DIVTXEX",
        "DIVWH",
        "EXTRD",
        "FEE",
        "FXTRD",
        "INT",
        "INTPNL",
        "MA",
        "MEM",
        "OCT",
        "OPASN",
        "OPCA",
        "OPCSH",
        "OPEXC",
        "OPEXP",
        "OPTRD",
        "PTC",
        "PTR",
        "REORG",
        "SPIN",
        "SSO",
        "SSP",
        "SWP",
        "TRANS",
        "VOF",
        "WH",
    }
)
_HERE = frozenset(kind.value for kind in ActivityType)
_TRADES = frozenset({ActivityType.FILL.value})
_CATEGORIES = {"trade_activity": _TRADES, "non_trade_activity": _HERE - _TRADES}


@dataclass(frozen=True, slots=True)
class ActivityQuery:
    """The activities asked for: of these kinds, strictly after `after` and before `until`, or on New York's `day`.

    `kinds` None means every kind; `page_token` is the id the page before ended with.
    """

    kinds: frozenset[str] | None
    after: datetime | None
    until: datetime | None
    day: date | None
    ascending: bool
    page_size: int | None
    page_token: str | None

    def page(self, activities: Sequence[Activity]) -> list[Activity]:
        """The next page out of `activities`, which are in the order they happened."""
        ordered = activities if self.ascending else activities[::-1]
        if self.page_token is not None:
            ordered = _after_token(ordered, self.page_token, ascending=self.ascending)
        chosen = [activity for activity in ordered if self._admits(activity)]
        return chosen if self.page_size is None else chosen[: self.page_size]

    def _admits(self, activity: Activity) -> bool:
        return (
            (self.kinds is None or activity.activity_type.value in self.kinds)
            and (self.after is None or activity.at > self.after)
            and (self.until is None or activity.at < self.until)
            and (self.day is None or activity.at.astimezone(NEW_YORK).date() == self.day)
        )


def read_activity_query(request: Request, kind_in_path: str | None) -> ActivityQuery:
    """The query in a request's path and parameters; raises Refusal."""
    wanted = request.parameters
    day = date_parameter(request, "date")
    after, until = instant_parameter(request, "after"), instant_parameter(request, "until")
    if day is not None and (after or until):
        raise refusals.unprocessable("date cannot be used together with after or until")
    direction = wanted.get("direction") or "desc"
    if direction not in {"asc", "desc"}:
        raise refusals.unprocessable(f"invalid direction: {direction[:40]}")
    token = wanted.get("page_token") or None
    if token is not None and not _ID.fullmatch(token):
        raise refusals.unprocessable("invalid page_token: not the id of an activity")
    # A day asked for by name is given whole unless a page size is named.
    whole_day = day is not None and not wanted.get("page_size")
    size = None if whole_day else whole_parameter(request, "page_size", otherwise=PAGE_AT_MOST, at_most=PAGE_AT_MOST)
    return ActivityQuery(
        kinds=_kinds(request, kind_in_path),
        after=after,
        until=until,
        day=day,
        ascending=direction == "asc",
        page_size=size,
        page_token=token,
    )


def _kinds(request: Request, in_path: str | None) -> frozenset[str] | None:
    named = request.parameters.get("activity_types") or ""
    category = request.parameters.get("category") or None
    if category is not None:
        if in_path is not None or named:
            raise refusals.unprocessable("category cannot be used together with activity types")
        if category not in _CATEGORIES:
            raise refusals.unprocessable(f"invalid category: {category[:40]}")
        return _CATEGORIES[category]
    if in_path is not None:
        return frozenset({_known_kind(in_path)})
    kinds = frozenset(_known_kind(one) for one in named.split(",") if one)
    return kinds or None


def _known_kind(text: str) -> str:
    if text not in _HERE and text not in _NEVER_HERE:
        raise refusals.unprocessable(f"invalid activity type: {text[:40]}")
    return text


def _after_token(ordered: Sequence[Activity], token: str, *, ascending: bool) -> Sequence[Activity]:
    """What follows the activity of that id; of one that was forgotten, what lies beyond its time."""
    for index, activity in enumerate(ordered):
        if activity.activity_id == token:
            return ordered[index + 1 :]
    time = token.partition("::")[0]
    return [one for one in ordered if (one.activity_id > time if ascending else one.activity_id < time)]
