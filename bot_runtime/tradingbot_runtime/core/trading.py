"""From a closed bar to orders: which bar is due, what the strategy says of it, what that means for the holdings.

Sends nothing by itself: orders go by the desk.
"""

import json
import math
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import pandas as pd

from tradingbot_api import OrderKind
from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.core.allocator import Execution, allocate
from tradingbot_runtime.core.books import Books
from tradingbot_runtime.core.desk import Desk
from tradingbot_runtime.core.quality import BAR_MINUTES, Observed, Verdict, judge
from tradingbot_runtime.core.risk_watch import RiskWatch
from tradingbot_runtime.core.sessions import Sessions
from tradingbot_runtime.core.shadow import Shadow
from tradingbot_runtime.core.situation import Situation
from tradingbot_runtime.core.values import MarketClock, Now
from tradingbot_runtime.strategies.contract import Strategy

CHECKPOINT: Final = "trading"


class Trading:
    """Evaluates each closed bar once."""

    def __init__(
        self,
        situation: Situation,
        books: Books,
        desk: Desk,
        risk: RiskWatch,
        sessions: Sessions,
        shadow: Shadow,
        strategy: Strategy[Any],
        checkpoint: str | None = None,
    ) -> None:
        """`checkpoint` is the document of that name on the volume."""
        config = situation.config
        self._known = situation
        self._books = books
        self._desk = desk
        self._risk = risk
        self._sessions = sessions
        self._shadow = shadow
        self._strategy = strategy
        self._symbols = frozenset(config.symbols)
        self._execution = Execution(
            use_market_orders=config.execution.order_type is OrderKind.MARKET,
            limit_offset_bps=config.execution.limit_offset_bps,
            min_trade_percent=config.execution.min_trade_percent,
        )
        self._reading_bar: str | None = None
        self._last_bar, self._last_request = _from_checkpoint(checkpoint)
        self._asked_for: str | None = None  # a person's request for an evaluation, not yet carried out
        self._waits_for_exits: set[str] = set()
        self.last_bar_at: datetime | None = None

    # ------------------------------------------------------------------ which bar

    def on_clock(self, clock: MarketClock) -> list[do.Command]:
        """Asks for the bars when one has closed that was not evaluated yet."""
        bar = self._bar_to_evaluate(clock)
        if bar is None or self._reading_bar is not None or not self._may_evaluate():
            return []
        if self._known.not_ready_reason() is not None:
            return []
        self._reading_bar = bar
        self._known.counters["operations", "bars"] += 1
        return [do.ReadBars()]

    def on_evaluation_asked(self, request: str) -> list[do.Command]:
        """A person asks for one evaluation at once: with the next clock, whether or not a bar has closed."""
        if request == self._last_request:
            return []
        self._asked_for = request
        return [do.Notice("info", "evaluation_asked", request)]

    def on_bars_failed(self, reason: str) -> list[do.Command]:
        """The bars could not be read: the next clock asks again."""
        self._reading_bar = None
        self._known.counters["operational_errors", "bars"] += 1
        return [do.Notice("warning", "bars_failed", reason)]

    def _may_evaluate(self) -> bool:
        return self._known.kill is None and not self._known.deleted

    def _bar_to_evaluate(self, clock: MarketClock) -> str | None:
        """Name of the newest closed bar when it was not evaluated yet, or None."""
        if not clock.is_open:
            return None
        if self._asked_for is not None:
            return f"asked: {self._asked_for}"
        minutes = BAR_MINUTES.get(self._known.config.timeframe)
        if minutes is None:
            bar = f"before {clock.timestamp.date()}"  # the last session's bar, once in this session
        else:
            bar = clock.timestamp.strftime("%Y-%m-%dT") + str(
                (clock.timestamp.hour * 60 + clock.timestamp.minute) // minutes
            )
        return bar if bar != self._last_bar or self._exits_are_gone() else None

    # ------------------------------------------------------------------ bars to orders

    def on_bars(self, event: seen.BarsClosed, now: Now) -> list[do.Command]:
        """Quality, risk, strategy, allocation, orders."""
        # The bar that was asked for, not the newest by now: on a fast clock another may have closed meanwhile.
        bar, self._reading_bar = self._reading_bar, None
        if bar is None or not self._may_evaluate():
            return []
        if bar.startswith("asked: "):
            self._last_request, self._asked_for = bar.removeprefix("asked: "), None
        else:
            self._last_bar = bar
        self.last_bar_at = event.bar_at
        commands = self._evaluate(event, now)
        # Durable with the orders it leads to: a restart never evaluates the same bar a second time.
        evaluated = do.Journal("bar", {"bar": bar}, (self._checkpoint(), self._sessions.checkpoint()))
        return [evaluated, *commands]

    def _evaluate(self, event: seen.BarsClosed, now: Now) -> list[do.Command]:
        verdict = judge(
            Observed(
                frames=event.frames,
                at=event.as_of or now.market or now.machine,
                market_open=self._known.market_is_open,
                sessions=event.sessions,
                quotes=event.quotes,
            ),
            self._symbols,
            self._known.config.timeframe,
            self._known.config.data_quality,
        )
        commands = self._take_in(verdict)
        commands += self._risk.observe()
        weights = self._weights(verdict.frames)
        if weights is None:
            return [*commands, do.Notice("error", "strategy_failed", self._known.strategy_error or "")]
        return commands + self._trade(weights, now)

    def _take_in(self, verdict: Verdict) -> list[do.Command]:
        """Prices of good symbols; a halt, once said, for each bad one, and for the bot when too many are bad."""
        known = self._known
        known.prices.update(verdict.prices)
        known.counters["bars", "rejected"] += len(verdict.bad)
        commands: list[do.Command] = [
            do.Notice("warning", "data_quality", f"{symbol}: {reason}")
            for symbol, reason in sorted(verdict.bad.items())
            if known.data_halts.get(symbol, "").partition(":")[0] != reason.partition(":")[0]
        ]
        known.data_halts = dict(verdict.bad)
        too_many = verdict.bad_percent() > known.config.data_quality.max_bad_symbols_percent
        if too_many != (known.data_failure is not None):
            names = ", ".join(sorted(verdict.bad))
            known.data_failure = f"the data of {names} cannot be trusted" if too_many else None
            kind = "data_halt" if too_many else "data_resume"
            commands.append(do.Journal(kind, {"bad": json.dumps(verdict.bad, sort_keys=True)}))
            commands.append(do.Notice("error" if too_many else "info", kind, known.data_failure or "good data again"))
        return commands

    def _checkpoint(self) -> do.PutCheckpoint:
        document = {"last_bar": self._last_bar, "last_request": self._last_request}
        return do.PutCheckpoint(CHECKPOINT, json.dumps(document, sort_keys=True))

    def _weights(self, frames: Mapping[str, pd.DataFrame]) -> dict[str, Decimal] | None:
        if not frames:
            return {}
        self._known.counters["operations", "strategy"] += 1
        try:
            row = self._strategy.targets(frames).iloc[-1]
            weights = {str(symbol): float(weight) for symbol, weight in row.items() if not math.isnan(float(weight))}
        except Exception as error:
            # A user's own code: whatever it raises stops this bot's trading, never its bookkeeping.
            self._known.strategy_error = f"{type(error).__name__}: {error}"
            self._known.counters["strategy", "failed"] += 1
            self._known.counters["operational_errors", "strategy"] += 1
            return None
        self._known.strategy_error = None
        self._known.counters["strategy", "evaluated"] += 1
        return {symbol: Decimal(str(round(weight, 6))) for symbol, weight in weights.items() if math.isfinite(weight)}

    def _trade(self, weights: Mapping[str, Decimal], now: Now) -> list[do.Command]:
        known = self._known
        self._shadow.follow(weights, known.prices, known.config.capital, self._execution, now.market or now.machine)
        allocation = allocate(
            weights,
            known.prices,
            self._books.portfolio,
            self._books.open_by_symbol(),
            known.config.capital,
            self._execution,
        )
        commands: list[do.Command] = []
        for order in allocation.obsolete:
            commands += self._desk.cancel(order, now)
        exits = self._books.exits_by_symbol()
        for intent in allocation.intents:
            legs = exits.get(intent.symbol, ())
            if intent.reducing and legs:
                # The legs hold the shares: they have to go first, and then the same decision is made again.
                self._waits_for_exits.add(intent.symbol)
                commands += [command for leg in legs for command in self._desk.cancel(leg, now)]
            else:
                commands += self._desk.place(intent, now)
        return commands

    def _exits_are_gone(self) -> bool:
        if not self._waits_for_exits or self._waits_for_exits & self._books.exits_by_symbol().keys():
            return False
        self._waits_for_exits.clear()
        return True


def _from_checkpoint(document: str | None) -> tuple[str | None, str | None]:
    """The last bar and the last request that were carried out."""
    data = json.loads(document) if document else {}
    return data.get("last_bar"), data.get("last_request")
