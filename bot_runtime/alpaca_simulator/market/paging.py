"""Pages over several symbols' series, symbol by symbol, each in its order of time.

A token says where the page before ended, so pages put together are the whole whatever their size.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Generic, Protocol, TypeVar

from alpaca_simulator.market.assets import Asset
from alpaca_simulator.market.calendar import Session
from alpaca_simulator.values.instants import read_instant, utc_text


class Stamped(Protocol):
    """Anything with a time of its own within its series."""

    @property
    def at(self) -> datetime:
        """When it happened or began."""


Item = TypeVar("Item", bound=Stamped)


@dataclass(frozen=True, slots=True)
class Series:
    """What is asked for as `label`: an asset, on days from `first` up to but not including `until`."""

    label: str
    asset: Asset
    first: date | None = None
    until: date | None = None

    def covers(self, session: Session) -> bool:
        """Whether the asset is asked for on that day."""
        day = session.day
        return (self.first is None or self.first <= day) and (self.until is None or day < self.until)


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` to `end`, both included, oldest or newest first."""

    start: datetime
    end: datetime
    descending: bool = False

    def after(self, resume: datetime | None) -> Span:
        """What is left of it after something that happened at `resume`."""
        if resume is None:
            return self
        if self.descending:
            return Span(self.start, min(self.end, resume), descending=True)
        return Span(max(self.start, resume), self.end)


@dataclass(frozen=True, slots=True)
class PageToken:
    """Where the page before ended: the last item that was given."""

    label: str
    at: datetime

    def text(self) -> str:
        """The token as the client sends it back."""
        return base64.urlsafe_b64encode(f"{self.label}|{utc_text(self.at)}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Items by label, and the token that asks for the rest."""

    found: dict[str, list[Item]]
    next_token: str | None


def read_page_token(text: str) -> PageToken | None:
    """A token this module gave out, None for anything else."""
    try:
        label, _, at = base64.urlsafe_b64decode(text.encode()).decode().partition("|")
    except (binascii.Error, UnicodeError, ValueError):
        return None
    instant = read_instant(at)
    return None if instant is None or not label else PageToken(label, instant)


def page_of(
    series: tuple[Series, ...],
    span: Span,
    limit: int,
    after: PageToken | None,
    items: Callable[[Series, Span], Iterator[Item]],
) -> Page[Item]:
    """The next `limit` items after `after`. `items` may give the one at a span's end again."""
    found: dict[str, list[Item]] = {}
    count, last = 0, after
    labels = [one.label for one in series]
    first = labels.index(after.label) if after is not None and after.label in labels else 0
    for one in series[first:]:
        resume = after.at if after is not None and after.label == one.label else None
        left = span.after(resume)
        if left.start > left.end:
            continue
        for item in items(one, left):
            if item.at == resume:
                continue
            if count == limit:
                return Page(found, last.text() if last else None)
            found.setdefault(one.label, []).append(item)
            count, last = count + 1, PageToken(one.label, item.at)
    return Page(found, None)
