"""The circuit breaker and the intraday pauses: losses of the bot's own, in percent of its capital.

Pure bookkeeping over profit and loss; survives restarts as a checkpoint. Decides no order. All times are market time.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from tradingbot_api import RiskLimits

_ZERO = Decimal(0)
CHECKPOINT = "risk"


@dataclass(frozen=True)
class Pause:
    """A loss from the session's peak that pauses new exposure. `loss` is a fraction of the capital, 0.03 for 3 %."""

    loss: Decimal
    length: timedelta | None
    """None: until the session ends."""


@dataclass(frozen=True)
class Limits:
    """Fractions of the capital, e.g. 0.03 for 3 %."""

    daily_loss: Decimal
    drawdown: Decimal
    pauses: Sequence[Pause] = ()
    """Ascending by loss."""
    cool_down: timedelta = timedelta(0)
    """How long after a trip a person's reset is refused."""

    @classmethod
    def of(cls, risk: RiskLimits) -> "Limits":
        """The limits of a bot's spec."""
        pauses = [
            Pause(one.loss_percent / 100, timedelta(minutes=one.minutes) if one.minutes else None)
            for one in risk.intraday_pauses
        ]
        return cls(
            daily_loss=risk.max_daily_loss_percent / 100,
            drawdown=risk.max_drawdown_percent / 100,
            pauses=tuple(sorted(pauses, key=lambda pause: pause.loss)),
            cool_down=timedelta(minutes=risk.breaker_cooldown_minutes),
        )


@dataclass(frozen=True)
class RiskLedger:
    """Profit and loss at the session's start and at its highest, and what they have tripped. Account currency."""

    session: str = ""
    """Date of the exchange session (ISO), empty before the first."""
    session_start_profit: Decimal = _ZERO
    session_peak_profit: Decimal = _ZERO
    peak_profit: Decimal = _ZERO
    drawdown_tripped: bool = False
    """Stays until a person resets it: a drawdown does not heal by waiting."""
    daily_loss_tripped: bool = False
    """Stays until the next session, or until a person resets it."""
    tripped_at: datetime | None = None
    pauses_taken: int = 0
    """How many of the session's pauses have begun."""
    paused_until: datetime | None = None
    """End of the running pause; with `paused_for_session`, None."""
    paused_for_session: bool = False
    last_reset: str = ""
    """The last request of a person that was carried out or refused: the same one is never carried out twice."""
    last_profit: Decimal = field(default=_ZERO, compare=False)
    """As last observed: a session's loss counts from the last one's end, so that a gap overnight is in it. Not a
    reason to write the ledger by itself."""

    def observe(self, session: str, profit: Decimal, capital: Decimal, limits: Limits, at: datetime) -> "RiskLedger":
        """The ledger after the bot's profit was `profit` at a moment of `session`."""
        ledger = self._in_session(session, profit)
        ledger = replace(
            ledger,
            peak_profit=max(ledger.peak_profit, profit),
            session_peak_profit=max(ledger.session_peak_profit, profit),
            last_profit=profit,
        )
        lost_today = ledger.session_start_profit - profit
        drawn_down = ledger.peak_profit - profit
        was_tripped = ledger.tripped
        ledger = replace(
            ledger,
            daily_loss_tripped=ledger.daily_loss_tripped or lost_today >= capital * limits.daily_loss,
            drawdown_tripped=ledger.drawdown_tripped or drawn_down >= capital * limits.drawdown,
        )
        if ledger.tripped != was_tripped:
            ledger = replace(ledger, tripped_at=at)
        return ledger._with_pauses(capital, limits, at)

    def _in_session(self, session: str, profit: Decimal) -> "RiskLedger":
        if session <= self.session:
            return self  # a clock that was read wrong once must not begin a session anew
        start = self.last_profit if self.session else profit
        return replace(
            self,
            session=session,
            session_start_profit=start,
            session_peak_profit=start,
            daily_loss_tripped=False,
            tripped_at=self.tripped_at if self.drawdown_tripped else None,
            pauses_taken=0,
            paused_until=None,
            paused_for_session=False,
        )

    def _with_pauses(self, capital: Decimal, limits: Limits, at: datetime) -> "RiskLedger":
        lost = self.session_peak_profit - self.last_profit
        reached = sum(1 for pause in limits.pauses if lost >= capital * pause.loss)
        if reached <= self.pauses_taken:
            return self
        length = limits.pauses[reached - 1].length
        return replace(
            self,
            pauses_taken=reached,
            paused_until=None if length is None else at + length,
            paused_for_session=self.paused_for_session or length is None,
        )

    @property
    def tripped(self) -> str | None:
        """Name of the breaker that is open, or None."""
        if self.drawdown_tripped:
            return "DrawdownLimit"
        return "DailyLossLimit" if self.daily_loss_tripped else None

    def pause_in_force(self, at: datetime) -> str | None:
        """The intraday pause that forbids new exposure at `at`, as a sentence, or None."""
        if self.paused_for_session:
            return "losses from the session's peak: paused until the session ends"
        if self.paused_until is not None and at < self.paused_until:
            return f"losses from the session's peak: paused until {self.paused_until:%H:%M} UTC market time"
        return None

    def why_not_reset(self, request: str, limits: Limits, at: datetime) -> str | None:
        """Why a person's request to close the breaker cannot be carried out now; None when it can."""
        if request == self.last_reset:
            return "this request was answered before: write a new reason"
        if self.tripped is None:
            return "no breaker is open"
        ready_at = (self.tripped_at or at) + limits.cool_down
        if at < ready_at:
            return f"the cool-down ends at {ready_at:%Y-%m-%d %H:%M} UTC market time"
        return None

    def reset(self, request: str) -> "RiskLedger":
        """The ledger after a person closed the breaker: losses count from here."""
        return replace(
            self,
            drawdown_tripped=False,
            daily_loss_tripped=False,
            tripped_at=None,
            peak_profit=self.last_profit,
            session_start_profit=self.last_profit,
            session_peak_profit=self.last_profit,
            pauses_taken=0,
            paused_until=None,
            paused_for_session=False,
            last_reset=request,
        )

    def answered(self, request: str) -> "RiskLedger":
        """The ledger after a request was refused: it is not tried again by itself."""
        return replace(self, last_reset=request)

    def to_json(self) -> str:
        """The checkpoint's document."""
        return json.dumps(
            {
                "session": self.session,
                "session_start_profit": str(self.session_start_profit),
                "session_peak_profit": str(self.session_peak_profit),
                "peak_profit": str(self.peak_profit),
                "last_profit": str(self.last_profit),
                "drawdown_tripped": self.drawdown_tripped,
                "daily_loss_tripped": self.daily_loss_tripped,
                "tripped_at": _time_text(self.tripped_at),
                "pauses_taken": self.pauses_taken,
                "paused_until": _time_text(self.paused_until),
                "paused_for_session": self.paused_for_session,
                "last_reset": self.last_reset,
            },
            sort_keys=True,
        )

    @classmethod
    def from_json(cls, document: str | None) -> "RiskLedger":
        """The ledger of a checkpoint; a new one when there is none. Older checkpoints lack the later fields."""
        if document is None:
            return cls()
        data = json.loads(document)
        return cls(
            session=data["session"],
            session_start_profit=Decimal(data["session_start_profit"]),
            session_peak_profit=Decimal(data.get("session_peak_profit", data["session_start_profit"])),
            peak_profit=Decimal(data["peak_profit"]),
            last_profit=Decimal(data["last_profit"]),
            drawdown_tripped=data["drawdown_tripped"],
            daily_loss_tripped=data["daily_loss_tripped"],
            tripped_at=_time_from(data.get("tripped_at")),
            pauses_taken=data.get("pauses_taken", 0),
            paused_until=_time_from(data.get("paused_until")),
            paused_for_session=data.get("paused_for_session", False),
            last_reset=data.get("last_reset", ""),
        )


def _time_text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _time_from(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
