"""Market time: the wall's, faster than life, or stepped by the caller.

Never sleeps and never reads a machine clock of its own: the time source is given.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol

from alpaca_simulator.market.calendar import TradingCalendar

ClockMode = Literal["real", "scaled", "stepped"]


class MarketClock(Protocol):
    """What tells the market's time; it never goes back."""

    @property
    def mode(self) -> ClockMode:
        """How the time moves."""

    def now(self) -> datetime:
        """The market's time, UTC."""


class RealClock:
    """Market time is the wall's time.

    `unix_seconds` is the machine's wall clock, such as `time.time`.
    """

    mode: ClockMode = "real"

    def __init__(self, unix_seconds: Callable[[], float]) -> None:
        self._unix_seconds = unix_seconds
        self._latest = datetime.fromtimestamp(0, tz=UTC)

    def now(self) -> datetime:
        """The wall's time, held back when the machine's clock is set back."""
        self._latest = max(self._latest, datetime.fromtimestamp(self._unix_seconds(), tz=UTC))
        return self._latest


class ScaledClock:
    """Market time that runs `speed` times faster than the machine, from a given start.

    With `skip_closed` it jumps from `after_close` past a close to `before_open` ahead of the next
    open, so that nights, weekends and holidays take no time. `machine_seconds` only has to move
    forward, such as `time.monotonic`.
    """

    mode: ClockMode = "scaled"

    def __init__(
        self,
        calendar: TradingCalendar,
        machine_seconds: Callable[[], float],
        *,
        start: datetime,
        speed: float,
        skip_closed: bool = True,
        before_open: timedelta = timedelta(minutes=5),
        after_close: timedelta = timedelta(minutes=5),
    ) -> None:
        if not 0 < speed <= 1_000_000:
            raise ValueError(f"speed must be above 0 and at most 1000000, not {speed}")
        calendar.require(start)
        self._calendar = calendar
        self._machine_seconds = machine_seconds
        self._speed = speed
        self._skip_closed = skip_closed
        self._before_open = before_open
        self._after_close = after_close
        self._machine_then = machine_seconds()
        self._market_then = start.astimezone(UTC)

    def now(self) -> datetime:
        """The market's time; raises OutsideCalendarError when the calendar has run out."""
        machine_now = self._machine_seconds()
        passed = timedelta(seconds=max(0.0, machine_now - self._machine_then) * self._speed)
        self._market_then = self._moved(self._market_then, passed)
        self._machine_then = machine_now
        return self._market_then

    def _moved(self, market: datetime, passed: timedelta) -> datetime:
        while self._skip_closed:
            if self._is_skipped(market):
                market = self._calendar.next_opening(market).opens_at - self._before_open
            session = self._calendar.next_closing(market - self._after_close)
            left = session.closes_at + self._after_close - market
            if passed < left:
                return market + passed
            market, passed = market + left, passed - left
            following = self._calendar.next_opening(session.closes_at).opens_at - self._before_open
            market = max(market, following)
        return market + passed

    def _is_skipped(self, market: datetime) -> bool:
        """Whether `market` lies in the closed hours that are jumped over."""
        before = self._calendar.last_opened(market)
        lingering = before is not None and market < before.closes_at + self._after_close
        waiting = market >= self._calendar.next_opening(market).opens_at - self._before_open
        return not (lingering or waiting)


class SteppedClock:
    """Market time that stands still until the caller moves it."""

    mode: ClockMode = "stepped"

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        """The time of the last step."""
        return self._now

    def step(self, by: timedelta) -> datetime:
        """Move forward by `by`; raises ValueError for a step back."""
        return self.step_to(self._now + by)

    def step_to(self, at: datetime) -> datetime:
        """Move forward to `at`; raises ValueError for a step back."""
        if at < self._now:
            raise ValueError(f"market time cannot go back from {self._now.isoformat()} to {at.isoformat()}")
        self._now = at.astimezone(UTC)
        return self._now
