"""Whether a word of the broker's clock may be believed: market time that jumps would close sessions that still run.

Holds the clock that was last believed and the one in doubt; decides nothing else.
"""

from datetime import datetime, timedelta
from typing import Final

from tradingbot_api import BrokerProvider
from tradingbot_runtime.core.values import MarketClock, Now

TOLERANCE: Final = timedelta(seconds=60)
"""By how much market time may be ahead of the machine's pace: answers travel, and machines' clocks run apart."""
MAY_GO_BACK: Final = timedelta(seconds=1)
LONGEST_CLOSED: Final = timedelta(days=5)
"""What a clock that leaves out closed hours may skip."""
BELIEVED_AFTER: Final = timedelta(seconds=30)
"""Machine time for which the new time has to be told without another jump; then it was the old one that was wrong."""
BELIEVED_AFTER_WORDS: Final = 3


class ClockWatch:
    """Compares each word of the broker's clock with the one before it."""

    def __init__(self, provider: BrokerProvider) -> None:
        # A simulator's clock may run at any speed; the exchange's runs with the machine's.
        self._may_lead = LONGEST_CLOSED if provider is BrokerProvider.SIMULATOR else TOLERANCE
        self._believed: tuple[MarketClock, datetime] | None = None
        self._doubted: tuple[MarketClock, datetime] | None = None
        self._doubted_since: datetime | None = None
        self._words = 0

    def doubt(self, clock: MarketClock, now: Now) -> str | None:
        """Why this word is not believed; None when it is."""
        at = now.machine
        jump = self._jump(self._believed, clock, at)
        if jump is not None and not self._is_told_for_long(clock, at):
            return jump
        self._believed, self._doubted, self._doubted_since = (clock, at), None, None
        return None

    def _is_told_for_long(self, clock: MarketClock, at: datetime) -> bool:
        if self._doubted_since is None or self._jump(self._doubted, clock, at) is not None:
            self._doubted_since, self._words = at, 0
        self._doubted = clock, at
        self._words += 1
        return at - self._doubted_since >= BELIEVED_AFTER and self._words >= BELIEVED_AFTER_WORDS

    def _jump(self, before: tuple[MarketClock, datetime] | None, clock: MarketClock, at: datetime) -> str | None:
        if before is None:
            return None
        told, told_at = before
        moved, passed = clock.timestamp - told.timestamp, max(at - told_at, timedelta(0))
        if moved < -MAY_GO_BACK:
            return f"the broker's clock went back from {told.timestamp} to {clock.timestamp}"
        if moved > passed + self._may_lead:
            return f"the broker's clock went from {told.timestamp} to {clock.timestamp} within {passed}"
        return None
