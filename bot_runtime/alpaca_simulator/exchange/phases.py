"""A session as the exchange sees it: which moments something happens by itself, and who trades between them.

Pure functions of the calendar and a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from alpaca_simulator.market.calendar import (
    EXTENDED_HOURS_AFTER_CLOSE,
    OutsideCalendarError,
    Session,
    TradingCalendar,
)
from alpaca_simulator.values.instants import epoch_floor, from_epoch


class Bell(IntEnum):
    """The moments of a session, in their order."""

    PRE_MARKET = 0
    OPENING = 1
    CLOSING = 2
    END = 3


@dataclass(frozen=True, slots=True)
class Mark:
    """One bell of one session; `epoch` is Unix seconds."""

    epoch: int
    bell: Bell
    session: Session

    @property
    def at(self) -> datetime:
        """The moment, UTC."""
        return from_epoch(self.epoch)


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch in which orders trade: the seconds (Unix epoch) of pre-market, regular or after-hours trading."""

    session: Session
    seconds: range
    is_extended: bool


def marks_of(session: Session) -> tuple[Mark, ...]:
    """The session's bells in order."""
    epochs = (session.pre_market_epoch, session.open_epoch, session.close_epoch, session.after_hours_epoch)
    return tuple(Mark(epoch, bell, session) for epoch, bell in zip(epochs, Bell, strict=True))


def marks_after(calendar: TradingCalendar, at: datetime) -> Iterator[Mark]:
    """Every bell strictly after `at`, as long as the calendar goes on."""
    try:
        session = calendar.next_closing(at - timedelta(seconds=EXTENDED_HOURS_AFTER_CLOSE))
    except OutsideCalendarError:
        return
    for one in calendar.sessions[session.number :]:
        for mark in marks_of(one):
            if mark.at > at:
                yield mark


def phase_from(mark: Mark) -> Phase | None:
    """What begins at `mark`, None when trading ends there."""
    session = mark.session
    match mark.bell:
        case Bell.PRE_MARKET:
            return Phase(session, range(session.pre_market_epoch, session.open_epoch), is_extended=True)
        case Bell.OPENING:
            return Phase(session, range(session.open_epoch, session.close_epoch), is_extended=False)
        case Bell.CLOSING:
            return Phase(session, range(session.close_epoch, session.after_hours_epoch), is_extended=True)
        case Bell.END:
            return None


def phase_at(calendar: TradingCalendar, at: datetime) -> Phase | None:
    """What trades at `at`, None while everything is closed."""
    second = epoch_floor(at)
    for session in calendar.extended_between(at, at):
        for mark in marks_of(session):
            phase = phase_from(mark)
            if phase is not None and second in phase.seconds:
                return phase
    return None
