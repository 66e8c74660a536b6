"""What the bot knows at this moment beside its books, and what it may do because of it. Sends and journals nothing.

One object shared by the engine's parts: each part writes what it learns, `standing` is the one answer to all of it.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from tradingbot_api import OnControlPlaneLoss, OnDelete, RuntimeConfig, TradingState
from tradingbot_runtime.core.grant import LiveGrant
from tradingbot_runtime.core.kill import KillState
from tradingbot_runtime.core.risk import RiskLedger
from tradingbot_runtime.core.values import BrokerFigures, MarketClock, Side


@dataclass
class Situation:
    """Everything that decides whether the bot may open exposure, only reduce it, or must stand still."""

    config: RuntimeConfig
    counters: Counter[tuple[str, str]]
    """How often what happened: ("orders", "submitted"), ("refused", "max_positions"), ..."""
    kill: KillState | None = None
    risk: RiskLedger = field(default_factory=RiskLedger)
    grant: LiveGrant | None = None
    """The grant of a live bot; None on paper."""

    clock: MarketClock | None = None
    clock_doubt: str | None = None
    """Why the last word of the broker's clock is not believed."""
    figures: BrokerFigures | None = None
    account_positions_value: Decimal = Decimal(0)
    """Market value of all positions of the account, shorts counted as positive."""
    strangers: Mapping[str, frozenset[Side]] = field(default_factory=dict)
    """Sides of open orders on this account that are not the bot's, by symbol."""
    prices: dict[str, Decimal] = field(default_factory=dict)
    told_prices: dict[str, Decimal] = field(default_factory=dict)
    """Those of them that were told since the broker's clock was last read."""
    session_prices: dict[str, Decimal] = field(default_factory=dict)
    """The last ones that were surely told while the exchange was open, in its present or last session."""
    closing_prices: dict[str, Decimal] = field(default_factory=dict)
    """What the last session was closed at; empty where the bot was away since."""
    data_halts: dict[str, str] = field(default_factory=dict)
    """Why a symbol's data cannot be trusted, by symbol."""
    doubtful: frozenset[str] = frozenset()
    """Those of them that may still be sold."""
    data_failure: str | None = None
    """Why the bot as a whole has no data to trade by, or None."""
    untradable: dict[str, str] = field(default_factory=dict)
    """Why the broker does not trade a symbol, by symbol."""
    broker_connected: bool = False
    stream_connected: bool = False
    books_current: bool = False
    """Whether a snapshot was compared since the stream last connected."""
    halted_by_reconciliation: bool = False
    differing: frozenset[str] = frozenset()
    """Symbols whose holding differs from the broker's right now: what they are worth is not known."""
    missing_orders: dict[str, str] = field(default_factory=dict)
    """Orders that the broker had and no longer knows, by client_order_id, and what they are in our books."""
    difference: str = ""
    """What differs, for a person."""
    wrong_account: str | None = None
    """Why the keys are not those of the bot's account, or None."""
    keys_refused: str = ""
    """Why the broker refuses the keys; empty while it does not."""

    paused: bool = False
    deleted: bool = False
    watched: bool = False
    """Whether a control plane is attached: then nothing is traded before it was seen once."""
    began_at: datetime | None = None
    """Machine time of the first event of this process: a control plane that was never seen is missed from then on."""
    control_plane_seen_at: datetime | None = None
    control_plane_lost: bool = False
    """Whether it was away for so long that `onControlPlaneLoss` applies; never seen counts, too."""

    strategy_error: str | None = None
    decision_undone: bool = False
    """Whether an order of the last decision never left: the decision has to be made again."""

    @property
    def market(self) -> datetime | None:
        """The broker's clock as last read and believed."""
        return self.clock.timestamp if self.clock else None

    @property
    def market_is_open(self) -> bool:
        """Whether the market is open, as last read."""
        return self.clock is not None and self.clock.is_open

    @property
    def capital(self) -> Decimal:
        """The most the bot may hold now, in account currency: its own capital, or less where its grant caps it."""
        cap = self.grant.max_capital if self.grant is not None else None
        return self.config.capital if cap is None else min(self.config.capital, cap)

    @property
    def withdrawal(self) -> KillState | None:
        """How far the bot is in leaving live trading; None on paper, and while it may trade."""
        return self.grant.withdrawal if self.grant is not None else None

    @property
    def may_evaluate(self) -> bool:
        """Whether a bar may be decided at all: not once the end has begun, nor before a live bot has seen its grant."""
        if self.kill is not None or self.deleted:
            return False
        return self.grant is None or self.grant.missing is None

    @property
    def is_closing(self) -> bool:
        """Whether open orders are to be cancelled: a kill, or a deletion or withdrawal where `onDelete` says so."""
        ends = self.deleted or self.withdrawal is not None
        return self.kill is not None or (ends and self.config.on_delete is not OnDelete.KEEP)

    def not_ready_reason(self) -> tuple[str, str] | None:
        """Why the next bar cannot be acted upon, as a CamelCase word and a sentence; None when it can."""
        if self.watched and self.control_plane_seen_at is None:
            return "ControlPlaneNotSeen", "the bot has not been able to read its own TradingBot yet"
        if self.keys_refused:
            return "KeysRefused", f"the broker refuses the keys: {self.keys_refused}"
        if self.clock is None or not self.broker_connected:
            return "BrokerUnreachable", "the broker does not answer"
        if self.clock_doubt is not None:
            return "ClockDoubted", self.clock_doubt
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
        if self.wrong_account is not None:
            return "WrongAccount", self.wrong_account
        if self.halted_by_reconciliation:
            return "ReconciliationFailed", self.difference or "the books differ from the broker's"
        if self.data_failure is not None:
            return "DataQuality", self.data_failure
        if self.grant is not None and self.grant.missing is not None:
            return "NotGranted", self.grant.missing
        return None

    def reducing_reason(self) -> tuple[str, str] | None:
        """Why the world as it is allows exits only; None when it allows entries, too."""
        not_ready = self.not_ready_reason()
        if not_ready is not None:
            return not_ready
        if self.figures is not None and self.figures.blocked:
            return "AccountBlocked", "the broker has blocked the account"
        if self._account_daily_loss():
            return "AccountDailyLoss", "the account's loss of the day is over limits.maxDailyLossPercent"
        if self._loss_forbids_entries():
            return "ControlPlaneLost", "the control plane cannot be reached, so a kill could not be seen"
        if self.strategy_error:
            return "StrategyFailed", self.strategy_error
        return None

    def _loss_forbids_entries(self) -> bool:
        return self.control_plane_lost and self.config.on_control_plane_loss is not OnControlPlaneLoss.CONTINUE

    def _account_daily_loss(self) -> bool:
        percent, figures = self.config.account_limits.max_daily_loss_percent, self.figures
        if percent is None or figures is None:
            return False
        return figures.last_equity - figures.equity >= figures.last_equity * percent / 100

    def paused_reason(self) -> tuple[str, str] | None:
        """Why no new exposure is opened though nothing is wrong with the world: a breaker, losses, a person."""
        if self.risk.tripped:
            return self.risk.tripped, "the circuit breaker is open: exits only"
        pause = self.risk.pause_in_force(self.market) if self.market else None
        if pause is not None:
            return "IntradayPause", pause
        return ("Paused", "paused: exits only") if self.paused else None

    def forbids_entries(self) -> bool:
        """Whether open entries have to go: more than a connection that is lost for a moment."""
        if self.withdrawal is not None:
            return True  # whatever onDelete keeps: no real money without a grant
        if self.deleted and self.kill is None and self.config.on_delete is OnDelete.KEEP:
            return False
        if self._loss_forbids_entries():
            return True  # also where the control plane, and with it the grant, was never seen
        halted = self.halted_reason()
        if halted is not None and halted[0] == "NotGranted":
            return False  # a live bot that has just started: what rests is its own, and its grant is seen in a moment
        if halted is not None or self.paused_reason() is not None:
            return True
        return self.not_ready_reason() is None and self.reducing_reason() is not None

    def may_open_exposure(self) -> bool:
        """Whether an entry may leave now."""
        return self.halted_reason() is None and self.reducing_reason() is None and self.paused_reason() is None

    def standing(self) -> tuple[TradingState, str, str]:
        """The trading state, and why it is not Active: a CamelCase word and a sentence."""
        halted = self.halted_reason()
        if halted is not None:
            return TradingState.HALTED, *halted
        reducing = self.reducing_reason()
        if reducing is not None:
            return TradingState.REDUCING, *reducing
        paused = self.paused_reason()
        if paused is not None:
            return TradingState.REDUCING, *paused
        return TradingState.ACTIVE, "", ""
