"""What the bot knows at this moment beside its books, and what it may do because of it. Sends and journals nothing.

One object shared by the engine's parts: each part writes what it learns, `standing` is the one answer to all of it.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from tradingbot_api import OnControlPlaneLoss, OnDelete, RuntimeConfig, TradingState
from tradingbot_runtime.core.kill import KillState
from tradingbot_runtime.core.risk import RiskLedger
from tradingbot_runtime.core.values import BrokerFigures, MarketClock


@dataclass
class Situation:
    """Everything that decides whether the bot may open exposure, only reduce it, or must stand still."""

    config: RuntimeConfig
    counters: Counter[tuple[str, str]]
    """How often what happened: ("orders", "submitted"), ("refused", "max_positions"), ..."""
    kill: KillState | None = None
    risk: RiskLedger = field(default_factory=RiskLedger)

    clock: MarketClock | None = None
    figures: BrokerFigures | None = None
    prices: dict[str, Decimal] = field(default_factory=dict)
    broker_connected: bool = False
    stream_connected: bool = False
    books_current: bool = False
    """Whether a snapshot was compared since the stream last connected."""
    halted_by_reconciliation: bool = False

    paused: bool = False
    deleted: bool = False
    watched: bool = False
    """Whether a control plane is attached: then nothing is traded before it was seen once."""
    control_plane_seen_at: datetime | None = None
    control_plane_lost: bool = False

    strategy_error: str | None = None

    @property
    def market(self) -> datetime | None:
        """The broker's clock as last read."""
        return self.clock.timestamp if self.clock else None

    @property
    def market_is_open(self) -> bool:
        """Whether the market is open, as last read."""
        return self.clock is not None and self.clock.is_open

    @property
    def is_closing(self) -> bool:
        """Whether open orders are to be cancelled: a kill, or a deletion that says so."""
        return self.kill is not None or (self.deleted and self.config.on_delete is not OnDelete.KEEP)

    def not_ready_reason(self) -> tuple[str, str] | None:
        """Why the next bar cannot be acted upon, as a CamelCase word and a sentence; None when it can."""
        if self.watched and self.control_plane_seen_at is None:
            return "ControlPlaneNotSeen", "the bot has not been able to read its own TradingBot yet"
        if self.clock is None or not self.broker_connected:
            return "BrokerUnreachable", "the broker does not answer"
        if not self.stream_connected:
            return "StreamDisconnected", "no trade updates are being received"
        if not self.books_current or self.figures is None:
            return "Reconciling", "the books are being compared with the broker's"
        return None

    def halted_reason(self) -> tuple[str, str] | None:
        """Why nothing at all may be sent, exits neither; None when something may."""
        if self.kill is not None:
            return "Killed", f"killed by {self.kill.scope}: {self.kill.reason}"
        if self.deleted:
            return "Deleted", "the TradingBot is being deleted"
        if self.halted_by_reconciliation:
            return "ReconciliationFailed", "the books differ from the broker's"
        return None

    def reducing_reason(self) -> tuple[str, str] | None:
        """Why only exits may be sent; None when entries may, too. A pause is told apart: a person asked for it."""
        not_ready = self.not_ready_reason()
        if not_ready is not None:
            return not_ready
        if self.figures is not None and self.figures.blocked:
            return "AccountBlocked", "the broker has blocked the account"
        if self.control_plane_lost and self.config.on_control_plane_loss is not OnControlPlaneLoss.CONTINUE:
            return "ControlPlaneLost", "the control plane cannot be reached, so a kill could not be seen"
        if self.risk.tripped:
            return self.risk.tripped, f"breaker {self.risk.tripped}: exits only"
        if self.strategy_error:
            return "StrategyFailed", self.strategy_error
        return None

    def standing(self) -> tuple[TradingState, str, str]:
        """The trading state, and why it is not Active: a CamelCase word and a sentence."""
        halted = self.halted_reason()
        if halted is not None:
            return TradingState.HALTED, *halted
        reducing = self.reducing_reason()
        if reducing is not None:
            return TradingState.REDUCING, *reducing
        if self.paused:
            return TradingState.REDUCING, "Paused", "paused: exits only"
        return TradingState.ACTIVE, "", ""
