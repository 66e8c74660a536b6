"""From a closed bar to orders: which bar is due, what the strategy says of it, what that means for the holdings.

Sends nothing by itself: orders go by the desk.
"""

import json
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from tradingbot_api import OrderKind
from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.core.adherence import Adherence, Held
from tradingbot_runtime.core.allocator import Execution, allocate
from tradingbot_runtime.core.books import Books
from tradingbot_runtime.core.desk import Desk
from tradingbot_runtime.core.quality import BAR_MINUTES, Observed, Verdict, judge
from tradingbot_runtime.core.risk_watch import RiskWatch
from tradingbot_runtime.core.sessions import Sessions
from tradingbot_runtime.core.shadow import Shadow
from tradingbot_runtime.core.situation import Situation
from tradingbot_runtime.core.values import BrokerAsset, MarketClock, Now
from tradingbot_runtime.strategies.handling import Handling

CHECKPOINT: Final = "trading"
PASSING_REFUSALS: Final = frozenset(
    {
        "reducing",
        "data_halted",
        "open_order",
        "max_positions",
        "position_limit",
        "capital",
        "buying_power",
        "account_exposure",
        "order_rate",
        "wash_trade",
    }
)
"""Checks that may pass a moment later: a sale pays for a purchase, a minute ends, a connection comes back."""
TRIES_A_BAR: Final = 20
FIRST_TRY_WAIT: Final = timedelta(seconds=2)
LONGEST_TRY_WAIT: Final = timedelta(minutes=5)
_ASKED: Final = "asked: "


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
        handling: Handling,
        checkpoint: str | None = None,
    ) -> None:
        """`handling` is the strategy's; `checkpoint` is the document of that name on the volume."""
        config = situation.config
        self._known = situation
        self._books = books
        self._desk = desk
        self._risk = risk
        self._sessions = sessions
        self._shadow = shadow
        self._symbols = frozenset(config.symbols)
        self._execution = Execution(
            use_market_orders=config.execution.order_type is OrderKind.MARKET,
            limit_offset_bps=config.execution.limit_offset_bps,
            min_trade_percent=config.execution.min_trade_percent,
            reprice_bps=config.execution.reprice_bps,
        )
        self._evaluating: str | None = None  # the bar that is being read or evaluated
        # What an earlier process still owed of its last bar is due at once: a cancel, perhaps, that never left.
        document: dict[str, Any] = json.loads(checkpoint) if checkpoint else {}
        self._last_bar: str | None = document.get("last_bar")
        self._last_request: str | None = document.get("last_request")
        self._owed: bool = document.get("owed", False)
        self._guards = handling.bracket is not None
        self._adherence = Adherence(handling, document.get("adherence"), config.symbols)
        self._bar_date: date | None = None  # of the newest bar that the strategy is asked about
        self._asked_for: str | None = None  # a person's request for an evaluation, not yet carried out
        self._tries_left = TRIES_A_BAR
        self._again_at: datetime | None = None  # when the last bar is to be evaluated once more (machine time)
        self.last_bar_at: datetime | None = None

    # ------------------------------------------------------------------ which bar

    def on_clock(self, clock: MarketClock, now: Now) -> list[do.Command]:
        """Asks for the bars when one has closed that was not evaluated yet, or what it asked for is still due."""
        bar = self._bar_to_evaluate(clock, now)
        if bar is None or self._evaluating is not None or not self._known.may_evaluate:
            return []
        not_ready = self._known.not_ready_reason()
        if not_ready is not None and not_ready[0] != "KeysRefused":
            return []  # refused keys are asked again: only an answer to such a question shows that they are good
        self._evaluating = bar
        self._known.counters["operations", "bars"] += 1
        return [do.ReadBars()]

    def on_evaluation_asked(self, request: str) -> list[do.Command]:
        """A person asks for one evaluation at once: with the next clock, whether or not a bar has closed."""
        if request == self._last_request:
            return []
        if self._known.kill is not None:
            # Asked for before the release: an annotation that stays there is no wish of whoever releases the kill.
            self._last_request = request
            refused = do.Notice("warning", "evaluation_refused", f"{request}: a kill is in force")
            return [do.Journal("evaluation_refused", {"request": request}, (self._checkpoint(),)), refused]
        self._asked_for = request
        return [do.Notice("info", "evaluation_asked", request)]

    def drop_what_waits(self) -> list[do.Command]:
        """A kill was seen or released: what was decided or asked for before it opens nothing, not after a release."""
        self._again_at, self._owed, self._known.decision_undone = None, False, False
        self._adherence.forget()
        if self._asked_for is not None:
            self._last_request, self._asked_for = self._asked_for, None
        return [do.Journal("decisions_dropped", {}, (self._checkpoint(),))]

    def on_bars_failed(self, reason: str) -> list[do.Command]:
        """The bars could not be read: the next clock asks again."""
        self._evaluating = None
        self._known.counters["operational_errors", "bars"] += 1
        return [do.Notice("warning", "bars_failed", reason)]

    def _bar_to_evaluate(self, clock: MarketClock, now: Now) -> str | None:
        """Name of the newest closed bar when it was not evaluated yet, or again when something of it is due."""
        if self._known.decision_undone:
            self._known.decision_undone = False
            self._try_again(now)
        if not clock.is_open:
            return None
        if self._asked_for is not None:
            return f"{_ASKED}{self._asked_for}"
        minutes = BAR_MINUTES.get(self._known.config.timeframe)
        if minutes is None:
            bar = f"before {clock.timestamp.date()}"  # the last session's bar, once in this session
        else:
            bar = clock.timestamp.strftime("%Y-%m-%dT") + str(
                (clock.timestamp.hour * 60 + clock.timestamp.minute) // minutes
            )
        if bar != self._last_bar:
            self._tries_left, self._again_at, self._owed = TRIES_A_BAR, None, False
            return bar
        return bar if self._is_due_again(now) else None

    def _is_due_again(self, now: Now) -> bool:
        return self._owed or (self._again_at is not None and now.machine >= self._again_at)

    def _try_again(self, now: Now) -> None:
        """What this bar asked for could not be done yet, for a reason that passes: it is evaluated once more, later."""
        if self._tries_left <= 0 or self._again_at is not None:
            return
        tried = TRIES_A_BAR - self._tries_left
        self._tries_left -= 1
        self._again_at = now.machine + min(LONGEST_TRY_WAIT, FIRST_TRY_WAIT * 2 ** min(tried, 10))

    # ------------------------------------------------------------------ bars to orders

    def on_bars(self, event: seen.BarsClosed, now: Now) -> list[do.Command]:
        """Quality and risk; then the strategy is asked, apart from this thread: it may take its time."""
        if self._evaluating is None or not self._known.may_evaluate:
            self._evaluating = None
            return []
        self.last_bar_at = event.bar_at
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
        self._bar_date = max((frame.index[-1].date() for frame in verdict.frames.values()), default=None)
        commands = self._take_in(verdict) + self._take_in_assets(event.assets)
        commands += self._risk.observe()
        self._known.counters["operations", "strategy"] += 1
        return [*commands, do.Evaluate(self._evaluating, verdict.frames)]

    def on_targets(self, bar: str, weights: Mapping[str, Decimal], now: Now) -> list[do.Command]:
        """The strategy's weights for a bar: allocation, orders."""
        if bar != self._evaluating:
            return []
        self._known.strategy_error = None
        self._known.counters["strategy", "evaluated"] += 1
        commands = self._trade(weights, now) if self._known.may_evaluate else []
        return [self._evaluated(bar), *commands]

    def on_targets_failed(self, bar: str, reason: str, now: Now) -> list[do.Command]:
        """A user's own code: whatever it raises stops this bot's trading, never its bookkeeping."""
        if bar != self._evaluating:
            return []
        self._known.strategy_error = reason
        self._known.counters["strategy", "failed"] += 1
        self._known.counters["operational_errors", "strategy"] += 1
        # It has no opinion; what lost its exits is sold all the same.
        commands = self._trade({}, now) if self._guards and self._known.may_evaluate else []
        return [self._evaluated(bar), do.Notice("error", "strategy_failed", reason), *commands]

    def _evaluated(self, bar: str) -> do.Journal:
        # Durable with the orders it leads to: a restart never evaluates the same bar a second time.
        self._evaluating = None
        if bar.startswith(_ASKED):
            self._last_request, self._asked_for = bar.removeprefix(_ASKED), None
        else:
            self._last_bar = bar
        changes = (self._checkpoint(), self._sessions.checkpoint(), self._risk.checkpoint())
        return do.Journal("bar", {"bar": bar}, changes)

    def _take_in(self, verdict: Verdict) -> list[do.Command]:
        """Prices of good symbols; a halt, once said, for each bad one, and for the bot when too many are bad."""
        known = self._known
        known.prices.update(verdict.prices)
        self._sessions.on_bars(verdict.prices, verdict.frames)
        known.counters["bars", "rejected"] += len(verdict.bad)
        commands: list[do.Command] = [
            do.Notice("warning", "data_quality", f"{symbol}: {reason}")
            for symbol, reason in sorted(verdict.bad.items())
            if known.data_halts.get(symbol, "").partition(":")[0] != reason.partition(":")[0]
        ]
        known.data_halts, known.doubtful = dict(verdict.bad), verdict.doubtful
        too_many = verdict.bad_percent() > known.config.data_quality.max_bad_symbols_percent
        if too_many != (known.data_failure is not None):
            names = ", ".join(sorted(verdict.bad))
            known.data_failure = f"the data of {names} cannot be trusted" if too_many else None
            kind = "data_halt" if too_many else "data_resume"
            commands.append(do.Journal(kind, {"bad": json.dumps(verdict.bad, sort_keys=True)}))
            commands.append(do.Notice("error" if too_many else "info", kind, known.data_failure or "good data again"))
        return commands

    def _take_in_assets(self, assets: Mapping[str, BrokerAsset] | None) -> list[do.Command]:
        """Which symbols the broker does not trade: said once for each."""
        if assets is None:
            return []
        known = self._known
        before, known.untradable = known.untradable, {}
        for symbol in sorted(self._symbols):
            if symbol not in assets:
                known.untradable[symbol] = "the broker does not know this symbol"
            elif not assets[symbol].tradable:
                known.untradable[symbol] = "the broker does not trade it"
        return [
            do.Notice("warning", "untradable", f"{symbol}: {reason}")
            for symbol, reason in known.untradable.items()
            if symbol not in before
        ]

    def _checkpoint(self) -> do.PutCheckpoint:
        document: dict[str, Any] = {
            "last_bar": self._last_bar,
            "last_request": self._last_request,
            "owed": self._again_at is not None,
        }
        remembered = self._adherence.to_json()
        if remembered is not None:
            document["adherence"] = remembered
        return do.PutCheckpoint(CHECKPOINT, json.dumps(document, sort_keys=True))

    def _trade(self, weights: Mapping[str, Decimal], now: Now) -> list[do.Command]:
        known, books = self._known, self._books
        exits, open_orders = books.exits_by_symbol(), books.open_by_symbol()
        # After a split the legs are for what was held before it.
        guarded = {
            symbol
            for symbol, legs in exits.items()
            if max(leg.remaining_qty for leg in legs) >= books.portfolio.qty(symbol)
        }
        unseen = frozenset(known.data_halts)
        held = Held(books.portfolio, known.prices, known.capital, open_orders, frozenset(guarded), books.orders, unseen)
        acted = self._adherence.acted_on(weights, held, self._bar_date)
        execution = self._adherence.execution(self._execution, known.capital)
        self._shadow.follow(acted, known.prices, known.capital, execution, now.market or now.machine)
        allocation = allocate(acted, known.prices, books.portfolio, open_orders, known.capital, execution)
        self._adherence.allocated(acted, allocation, held)
        commands: list[do.Command] = []
        self._again_at, self._owed = None, False
        for order in allocation.obsolete:
            commands += self._desk.cancel(order, now)
            self._try_again(now)
        for order, intent in allocation.repriced:
            replaced, refusal = self._desk.replace(order, intent, now)
            commands += replaced
            if refusal is not None and refusal.check in PASSING_REFUSALS:
                self._try_again(now)
        selling = any(one.reducing for one in open_orders.values())
        for intent in allocation.intents:
            legs = exits.get(intent.symbol, ())
            if intent.reducing and legs:
                # The legs hold the shares: they have to go first, and then the same decision is made again.
                commands += [command for leg in legs for command in self._desk.cancel(leg, now)]
                self._try_again(now)
                selling = True
                continue
            if selling and self._adherence.sells_first and not intent.reducing:
                self._try_again(now)  # what the sales bring pays for it
                continue
            placed, refusal = self._desk.place(intent, now)
            commands += placed
            for command in placed:
                if isinstance(command, do.SubmitOrder):
                    self._adherence.ordered(command.order)
            passes = refusal is not None and refusal.check in PASSING_REFUSALS
            if passes:
                self._try_again(now)
            # A sale that is refused for good brings nothing that could be waited for.
            selling |= intent.reducing and (refusal is None or passes)
        return commands
