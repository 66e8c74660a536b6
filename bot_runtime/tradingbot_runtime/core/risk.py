"""The circuit breaker: loss of the session and drawdown from the peak, in percent of the bot's capital.

Pure bookkeeping over the bot's own profit and loss; survives restarts as a checkpoint. Decides no order.
"""

import json
from dataclasses import dataclass, field, replace
from decimal import Decimal

_ZERO = Decimal(0)
CHECKPOINT = "risk"


@dataclass(frozen=True)
class RiskLedger:
    """Profit and loss at the session's start and at its highest ever, in account currency."""

    session: str = ""
    """Date of the exchange session (ISO), empty before the first."""
    session_start_profit: Decimal = _ZERO
    peak_profit: Decimal = _ZERO
    drawdown_tripped: bool = False
    """Stays until a person resets it: a drawdown does not heal by waiting."""
    daily_loss_tripped: bool = False
    """Stays until the next session."""
    last_profit: Decimal = field(default=_ZERO, compare=False)
    """As last observed: a session's loss counts from the last one's end, so that a gap overnight is in it. Not a
    reason to write the ledger by itself."""

    def observe(self, session: str, profit: Decimal, capital: Decimal, limits: "Limits") -> "RiskLedger":
        """The ledger after the bot's profit was `profit` during `session`."""
        ledger = self
        if session != ledger.session:
            start = ledger.last_profit if ledger.session else profit
            ledger = replace(ledger, session=session, session_start_profit=start, daily_loss_tripped=False)
        peak = max(ledger.peak_profit, profit)
        lost = ledger.session_start_profit - profit
        return replace(
            ledger,
            peak_profit=peak,
            last_profit=profit,
            daily_loss_tripped=ledger.daily_loss_tripped or lost >= capital * limits.daily_loss,
            drawdown_tripped=ledger.drawdown_tripped or peak - profit >= capital * limits.drawdown,
        )

    @property
    def tripped(self) -> str | None:
        """Name of the breaker that is open, or None."""
        if self.drawdown_tripped:
            return "DrawdownLimit"
        return "DailyLossLimit" if self.daily_loss_tripped else None

    def to_json(self) -> str:
        """The checkpoint's document."""
        return json.dumps(
            {
                "session": self.session,
                "session_start_profit": str(self.session_start_profit),
                "peak_profit": str(self.peak_profit),
                "last_profit": str(self.last_profit),
                "drawdown_tripped": self.drawdown_tripped,
                "daily_loss_tripped": self.daily_loss_tripped,
            },
            sort_keys=True,
        )

    @classmethod
    def from_json(cls, document: str | None) -> "RiskLedger":
        """The ledger of a checkpoint; a new one when there is none."""
        if document is None:
            return cls()
        data = json.loads(document)
        return cls(
            session=data["session"],
            session_start_profit=Decimal(data["session_start_profit"]),
            peak_profit=Decimal(data["peak_profit"]),
            last_profit=Decimal(data["last_profit"]),
            drawdown_tripped=data["drawdown_tripped"],
            daily_loss_tripped=data["daily_loss_tripped"],
        )


@dataclass(frozen=True)
class Limits:
    """Fractions of the capital, e.g. 0.03 for 3 %."""

    daily_loss: Decimal
    drawdown: Decimal
