"""What happens next, in the order of time: quotes that concern an order, and acknowledgements.

Only an order of entries: what they mean is the exchange's.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import NamedTuple
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MICROSECONDS = 1_000_000


class Step(IntEnum):
    """The kinds of entry, in the order in which they come at the same instant; a bell comes before both.

    A quote comes before an acknowledgement: a fill beats the cancel of the same moment.
    """

    QUOTE = 0
    ACKNOWLEDGEMENT = 1


class Entry(NamedTuple):
    """One thing to come: at `microseconds` of the Unix epoch, for the order or request of that number.

    `token` tells a valid entry from one that was made void; `is_due` a quote at which something
    happens from one at which to look ahead again.
    """

    microseconds: int
    step: Step
    number: int
    token: int = 0
    is_due: bool = False

    @property
    def is_quote(self) -> bool:
        """Whether it concerns a quote, otherwise an acknowledgement."""
        return self.step is Step.QUOTE

    @property
    def epoch(self) -> int:
        """Its second of the Unix epoch."""
        return self.microseconds // _MICROSECONDS


class Wish(StrEnum):
    """What the exchange is asked to do with an order."""

    NEW = "new"
    CANCEL = "cancel"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Pending:
    """A request that the exchange has not acknowledged yet.

    Of a replacement `replacement_id` is the new order, and `quantity` the shares it was asked for with
    what was filled counted in, None when it is to have as many as the old one.
    """

    wish: Wish
    account_id: UUID
    order_id: UUID
    due: datetime
    replacement_id: UUID | None = None
    quantity: Decimal | None = None


def microseconds(at: datetime) -> int:
    """`at` in microseconds of the Unix epoch, exactly."""
    return (at - _EPOCH) // _MICROSECOND


def from_microseconds(count: int) -> datetime:
    """The UTC time so many microseconds after the Unix epoch."""
    return _EPOCH + timedelta(microseconds=count)


class Agenda:
    """Quotes and acknowledgements to come, soonest first."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._tokens: dict[int, int] = {}
        self._tokens_given = 0

    def put_quote(self, epoch: int, number: int, *, is_due: bool) -> None:
        """Look at the order at that second; an entry of it from before is void."""
        self._tokens_given += 1
        self._tokens[number] = self._tokens_given
        heapq.heappush(self._entries, Entry(epoch * _MICROSECONDS, Step.QUOTE, number, self._tokens_given, is_due))

    def put_acknowledgement(self, at: datetime, number: int) -> None:
        """Answer the request of that number at that time."""
        heapq.heappush(self._entries, Entry(microseconds(at), Step.ACKNOWLEDGEMENT, number))

    def drop_quotes(self) -> None:
        """Make every entry for a quote void."""
        self._tokens.clear()
        self._entries = [one for one in self._entries if one.step is not Step.QUOTE]
        heapq.heapify(self._entries)

    def drop_quote(self, number: int) -> None:
        """Make the order's entry for a quote void."""
        self._tokens.pop(number, None)

    def next_time(self) -> int | None:
        """Microseconds of the soonest entry, None when there is none."""
        while self._entries and not self._is_valid(self._entries[0]):
            heapq.heappop(self._entries)
        return self._entries[0].microseconds if self._entries else None

    def pop(self) -> Entry:
        """The soonest entry; call `next_time` first."""
        return heapq.heappop(self._entries)

    def _is_valid(self, entry: Entry) -> bool:
        return entry.step is not Step.QUOTE or self._tokens.get(entry.number) == entry.token
