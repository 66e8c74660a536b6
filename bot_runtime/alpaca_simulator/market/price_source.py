"""Where prices come from: one day's bar and one day's minutes of an asset, whatever makes them.

A source answers the same whenever and in whatever order it is asked; it knows nothing of the present.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from alpaca_simulator.market.assets import Asset
from alpaca_simulator.market.calendar import Session

#: More shares than ever trade in a day: what keeps sums of cents times shares within 64 bits.
MOST_SHARES_A_DAY = 10**10


def spread_at(cents: int) -> int:
    """The spread of the NBBO in cents at that price: a cent, and another one for each hundred dollars."""
    return 1 + cents // 10_000


class Hours(StrEnum):
    """The three parts of a trading day."""

    PRE_MARKET = "pre-market"
    REGULAR = "regular"
    AFTER_HOURS = "after-hours"

    def seconds(self, session: Session) -> range:
        """This part of `session` in Unix epoch seconds."""
        match self:
            case Hours.PRE_MARKET:
                return range(session.pre_market_epoch, session.open_epoch)
            case Hours.REGULAR:
                return range(session.open_epoch, session.close_epoch)
            case Hours.AFTER_HOURS:
                return range(session.close_epoch, session.after_hours_epoch)


def hours_at(session: Session, epoch: int) -> Hours:
    """The part of `session` that a second of it (Unix epoch) falls in."""
    if epoch < session.open_epoch:
        return Hours.PRE_MARKET
    return Hours.REGULAR if epoch < session.close_epoch else Hours.AFTER_HOURS


class Jump(NamedTuple):
    """A sudden move within one minute of a session: prices in cents before and after it."""

    minute: int
    before: int
    after: int


class DayBar(NamedTuple):
    """One session of one symbol: prices in cents, volume in shares, spread of the NBBO in cents.

    `turnover` is what all shares cost together, in cents. `shape` is 48 bits that say when the
    extremes are reached. A `thin` bar has few shares: its minutes decide how many trades there are
    and what they cost, and many of them have none.
    """

    open: int
    high: int
    low: int
    close: int
    volume: int
    trades: int
    spread: int
    turnover: int
    shape: int
    jump: Jump | None = None
    thin: bool = False


@dataclass(frozen=True, slots=True)
class MinuteBars:
    """Every minute from `start_epoch` on, in columns: prices in cents, volume in shares, turnover in cents.

    A minute without trades has no volume and stands where the price stood before it.
    """

    start_epoch: int
    spread: int
    open: Sequence[int]
    high: Sequence[int]
    low: Sequence[int]
    close: Sequence[int]
    volume: Sequence[int]
    trades: Sequence[int]
    turnover: Sequence[int]

    @property
    def stop_epoch(self) -> int:
        """The first second after the last minute."""
        return self.start_epoch + 60 * len(self.open)


class PriceSource(Protocol):
    """Raw prices of any asset in any session of the calendar."""

    def traded(self, asset: Asset, number: int) -> int | None:
        """The newest session at or before `number` in which the asset trades, None when there is none."""

    def day(self, asset: Asset, number: int) -> DayBar:
        """The whole session as one bar; only for sessions in which the asset trades."""

    def minutes(self, asset: Asset, number: int, hours: Hours) -> MinuteBars:
        """The minutes of one part of a session; only for sessions in which the asset trades."""
