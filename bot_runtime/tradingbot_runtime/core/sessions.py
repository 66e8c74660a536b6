"""One record for each exchange session: what was covered, traded, earned, and what went wrong. Closed once, for good.

Measures; decides nothing. Figures of the running session are a checkpoint, so that a restart loses minutes at most.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

import pandas as pd

from tradingbot_api import ReconciliationCounts, SessionReport
from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core.books import Books
from tradingbot_runtime.core.execution_tally import ExecutionTally
from tradingbot_runtime.core.orders import OrderState
from tradingbot_runtime.core.quality import BAR_MINUTES, NEW_YORK, defect
from tradingbot_runtime.core.reconciling import Reconciliation
from tradingbot_runtime.core.records import PutSession, SessionRecord
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.core.report import instant
from tradingbot_runtime.core.risk import CHECKPOINT as RISK_CHECKPOINT
from tradingbot_runtime.core.shadow import Shadow
from tradingbot_runtime.core.situation import Situation
from tradingbot_runtime.core.values import MarketClock, Now

CHECKPOINT: Final = "session"
CHECKPOINT_EVERY: Final = timedelta(minutes=5)
"""Market time: what a crash costs of the coverage, at most."""
GAP_IS_UNCOVERED_AFTER: Final = timedelta(seconds=30)
"""Machine time between two words of the broker's clock; what lies between was not watched."""

CLOSING_BARS_AWAITED: Final = timedelta(seconds=20)
"""Machine time."""
CLOSE_IS_FRESH_FOR: Final = timedelta(minutes=10)
"""Market time after a close in which the broker's last prices are still the session's."""

_CENT = Decimal("0.01")
_EXCHANGE_OPENS = time(9, 30)

_COUNTED: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    # Figure of the report -> the engine's counters that add up to it.
    "orders": (("orders", "reached"),),
    "filled_orders": (("orders", "filled"),),
    "fills": (("fills", "buy"), ("fills", "sell")),
    "rejected_orders": (("orders", "rejected"),),
    "clean": (("reconciliation", "clean"),),
    "mismatch": (("reconciliation", "mismatch"),),
    "failed": (("reconciliation", "failed"),),
    "incidents": (("incidents", "opened"),),
}


@dataclass
class _Running:
    """Figures of the session under way. Money in account currency, times in market time."""

    day: date
    opens_at: datetime
    closes_at: datetime
    profit_at_open: Decimal
    shadow_at_open: Decimal
    covered: timedelta = timedelta(0)
    began_at: str = ""
    """When the bot first saw it open (machine time, RFC 3339); empty where an older version did not note it."""
    starts: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    tally: ExecutionTally = field(default_factory=ExecutionTally)

    def to_json(self) -> dict[str, Any]:
        return {
            "day": self.day.isoformat(),
            "opens_at": self.opens_at.isoformat(),
            "closes_at": self.closes_at.isoformat(),
            "profit_at_open": str(self.profit_at_open),
            "shadow_at_open": str(self.shadow_at_open),
            "covered_seconds": self.covered.total_seconds(),
            "began_at": self.began_at,
            "starts": self.starts,
            "counts": dict(sorted(self.counts.items())),
            "tally": self.tally.to_texts(),
        }

    def recount(self, recovered: Recovered) -> None:
        """Orders and fills as the volume has them: a checkpoint may be older than the last of them."""
        orders = {order.client_order_id: order for order in recovered.orders}
        ours = [one for one in orders.values() if self._has(one.created_at)]
        fills = [fill for fill in recovered.fills if self._has(fill.at) and fill.client_order_id]
        self.counts["orders"] = sum(1 for order in ours if order.broker_id and not order.parent_id)
        self.counts["filled_orders"] = sum(1 for order in ours if order.state is OrderState.FILLED)
        self.counts["rejected_orders"] = sum(1 for order in ours if order.state is OrderState.REJECTED)
        self.counts["fills"] = len(fills)
        self.tally = ExecutionTally()
        for fill in fills:
            if fill.client_order_id in orders:
                self.tally.add_fill(orders[fill.client_order_id], fill)
        for order in ours:
            if order.is_terminal and order.broker_id:
                self.tally.add_end(order)

    def _has(self, at: datetime) -> bool:
        return self.opens_at <= at <= self.closes_at

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "_Running":
        return cls(
            day=date.fromisoformat(document["day"]),
            opens_at=datetime.fromisoformat(document["opens_at"]),
            closes_at=datetime.fromisoformat(document["closes_at"]),
            profit_at_open=Decimal(document["profit_at_open"]),
            shadow_at_open=Decimal(document["shadow_at_open"]),
            covered=timedelta(seconds=document["covered_seconds"]),
            began_at=document.get("began_at", ""),
            starts=document["starts"],
            counts=Counter(document["counts"]),
            tally=ExecutionTally.from_texts(document["tally"]),
        )


@dataclass
class _Ending:
    """What the record of a session that is over still waits for."""

    bars_until: datetime
    """How long the closing prices are waited for (machine time); they have come, or never will, where it is past."""
    compared: bool = False
    """Whether the books were compared with the broker's since the close."""
    has_closes: bool = False


class Sessions:
    """Keeps the running session's figures and closes its record."""

    def __init__(
        self,
        situation: Situation,
        books: Books,
        reconciliation: Reconciliation,
        shadow: Shadow,
        checkpoint: str | None,
        recovered: Recovered,
    ) -> None:
        self._known = situation
        self._books = books
        self._reconciliation = reconciliation
        self._shadow = shadow
        data = json.loads(checkpoint) if checkpoint else {}
        self._running = _Running.from_json(data["running"]) if data.get("running") else None
        if self._running is not None:
            self._running.starts += 1
            self._running.recount(recovered)
        self._last_closed = data.get("last_closed", "")
        self._counted_until = Counter(situation.counters)
        self._tallied_until = ExecutionTally()
        self._clock_read: tuple[datetime, Now] | None = None  # market time of the last clock while ready, and when
        self._checkpointed_at: datetime | None = None  # market time
        self._heard_at: datetime | None = None  # machine time of the last clock
        self._ending: _Ending | None = None

    # ------------------------------------------------------------------ time

    def on_clock(self, clock: MarketClock, now: Now) -> list[do.Command]:
        """Covers the time since the last clock; opens and closes sessions as the exchange does."""
        commands: list[do.Command] = []
        running = self._running
        if self._heard_at is None or now.machine - self._heard_at > GAP_IS_UNCOVERED_AFTER:
            self._known.closing_prices.clear()
        self._heard_at = now.machine
        if running is not None and clock.timestamp >= running.closes_at:
            self._cover(running.closes_at, now)
            commands += self._end(clock, running, now)
        # Told between two clocks that both say open: neither of the evening before nor of the one after.
        if clock.is_open and running is not None and running is self._running:
            self._known.session_prices.update(self._known.told_prices)
        self._known.told_prices.clear()
        if clock.is_open and self._running is None and self._day(clock).isoformat() > self._last_closed:
            self._open(clock, now)
        if clock.is_open and self._running is not None:
            self._cover(clock.timestamp, now)
            if self._is_checkpoint_due(clock.timestamp):
                commands.append(do.Journal("session_progress", {}, (self.checkpoint(),)))
        self._clock_read = (clock.timestamp, now) if self._known.not_ready_reason() is None else None
        return commands

    def on_filled_at(self, at: datetime, now: Now) -> list[do.Command]:
        """An execution was told of, and is not booked yet: one of a session that our clock has not seen begin, as of an
        order that waited for the open, begins that session.
        """
        clock, running = self._known.clock, self._running
        if clock is None or clock.is_open or not clock.next_open <= at < clock.next_close:
            return []
        commands: list[do.Command] = []
        if running is not None:
            if at <= running.closes_at:
                return []
            commands = self._close(now, normally=self._ending is not None and self._ending.compared)
        self._open(replace(clock, timestamp=at), now)
        return commands

    def _end(self, clock: MarketClock, running: _Running, now: Now) -> list[do.Command]:
        """After the close: the books are compared once more, and the closing prices read."""
        if clock.is_open or self._day(clock) != running.day:
            # Another session has come: the end of this one was seen only if its books were compared.
            return self._close(now, normally=self._ending is not None and self._ending.compared)
        if self._ending is not None:
            return self._settle(now)
        self._ending = _Ending(now.machine + CLOSING_BARS_AWAITED)
        self._known.counters["operations", "bars"] += 1
        return [*self._reconciliation.ask("session closed", now, force=True), do.ReadBars()]

    def on_snapshot(self, now: Now) -> list[do.Command]:
        """The books were compared: after the close, and with the closing prices, this is the session's last word."""
        if self._ending is not None:
            self._ending.compared = True
        return self._settle(now)

    def on_closing_bars(self, frames: Mapping[str, pd.DataFrame], now: Now) -> list[do.Command]:
        """Bars were read; those that end with the session hold its closing prices. None at all: there are none."""
        running, ending = self._running, self._ending
        if running is None or ending is None:
            return []
        closes = {
            symbol: Decimal(str(float(frame["close"].iloc[-1])))
            for symbol, frame in frames.items()
            if defect(frame) is None and self._ends_with(running, frame)
        }
        if closes or not frames:
            self._known.session_prices.update(closes)
            ending.has_closes = bool(closes)
            ending.bars_until = now.machine
        return self._settle(now)

    def _ends_with(self, running: _Running, frame: pd.DataFrame) -> bool:
        begins = frame.index[-1]
        minutes = BAR_MINUTES.get(self._known.config.timeframe)
        if minutes is None:
            return bool(begins.tz_convert(NEW_YORK).date() == running.day)
        return bool(begins + timedelta(minutes=minutes) >= running.closes_at and begins < running.closes_at)

    def _settle(self, now: Now) -> list[do.Command]:
        ending = self._ending
        if ending is None or not ending.compared or now.machine < ending.bars_until:
            return []
        return self._close(now, normally=True)

    def on_bars(self, prices: Mapping[str, Decimal], frames: Mapping[str, pd.DataFrame]) -> None:
        """The last closes of good bars: those of this session's bars are prices of this session."""
        running = self._running
        if running is None:
            return
        for symbol, price in prices.items():
            if symbol in frames and running.opens_at <= frames[symbol].index[-1] < running.closes_at:
                self._known.session_prices[symbol] = price

    def _open(self, clock: MarketClock, now: Now) -> None:
        day = self._day(clock)
        self._add_up()  # what happened between the sessions belongs to none
        prices = {**self._known.prices, **self._known.closing_prices}
        self._known.session_prices.clear()
        self._running = _Running(
            day=day,
            opens_at=datetime.combine(day, _EXCHANGE_OPENS, NEW_YORK).astimezone(clock.timestamp.tzinfo),
            closes_at=clock.next_close,
            profit_at_open=self._books.profit(prices),
            shadow_at_open=self._shadow.portfolio.profit(prices),
            began_at=instant(now.machine),
            starts=1,
        )

    def _cover(self, until: datetime, now: Now) -> None:
        """Counts the market time since the last clock, if the bot was ready at both ends and never away."""
        running, before = self._running, self._clock_read
        if running is None or before is None or self._known.not_ready_reason() is not None:
            return
        since, read_at = before
        if now.machine - read_at.machine > GAP_IS_UNCOVERED_AFTER:
            return
        begin, end = max(since, running.opens_at), min(until, running.closes_at)
        running.covered += max(end - begin, timedelta(0))

    def _prices_at_the_close(self, running: _Running) -> dict[str, Decimal]:
        """The closing prices; without them what is known now, but for an evening that has moved on."""
        known, market = self._known, self._known.market
        has_closes = self._ending is not None and self._ending.has_closes
        if not has_closes and market is not None and market - running.closes_at <= CLOSE_IS_FRESH_FOR:
            return dict(known.prices)
        return {**known.prices, **known.session_prices}

    @staticmethod
    def _day(clock: MarketClock) -> date:
        return clock.timestamp.astimezone(NEW_YORK).date()

    # ------------------------------------------------------------------ figures

    def _add_up(self) -> None:
        """Moves what the counters have gained into the running session, if there is one."""
        gained = Counter(self._known.counters)
        gained.subtract(self._counted_until)
        tally = self._books.tally.since(self._tallied_until)
        self._counted_until = Counter(self._known.counters)
        self._tallied_until = self._books.tally.since(ExecutionTally())
        if self._running is None:
            return
        counts = self._running.counts
        for figure, counters in _COUNTED.items():
            counts[figure] += sum(gained[counter] for counter in counters)
        for (family, _), count in gained.items():
            if family in {"refused", "operations", "operational_errors"}:
                counts[family] += count
        self._running.tally = self._running.tally.plus(tally)

    def _is_checkpoint_due(self, market: datetime) -> bool:
        return self._checkpointed_at is None or market - self._checkpointed_at >= CHECKPOINT_EVERY

    def checkpoint(self) -> do.PutCheckpoint:
        """The running session as a document, to be journaled with what has just changed it."""
        self._add_up()
        self._checkpointed_at = self._known.market
        document = {
            "running": self._running.to_json() if self._running else None,
            "last_closed": self._last_closed,
            "shadow": self._shadow.to_json(),
        }
        return do.PutCheckpoint(CHECKPOINT, json.dumps(document, sort_keys=True))

    # ------------------------------------------------------------------ the end

    def _close(self, now: Now, *, normally: bool) -> list[do.Command]:
        running = self._running
        if running is None:
            return []
        self._add_up()
        report = self._report(running, normally)
        self._running, self._ending, self._last_closed = None, None, running.day.isoformat()
        record = SessionRecord(running.day, now.machine, report.model_dump_json(by_alias=True))
        self._known.counters["sessions", "closed"] += 1
        risk = do.PutCheckpoint(RISK_CHECKPOINT, self._known.risk.to_json())
        detail = {"session": record.day.isoformat()}
        return [do.Journal("session_closed", detail, (PutSession(record), self.checkpoint(), risk))]

    def _report(self, running: _Running, normally: bool) -> SessionReport:
        config, counts, tally = self._known.config, running.counts, running.tally
        prices = self._known.closing_prices = self._prices_at_the_close(running)
        pnl = self._books.profit(prices) - running.profit_at_open
        shadow = self._shadow.portfolio.profit(prices) - running.shadow_at_open
        length = running.closes_at - running.opens_at
        return SessionReport(
            session=running.day.isoformat(),
            namespace=config.bot.namespace,
            name=config.bot.name,
            uid=config.bot.uid,
            mode=config.mode.value,
            account=config.broker.account,
            opens_at=instant(running.opens_at),
            closes_at=instant(running.closes_at),
            began_at=running.began_at,
            coverage_percent=_rounded(Decimal(running.covered / length * 100)),
            closed_normally=normally,
            starts=running.starts,
            orders=counts["orders"],
            filled_orders=counts["filled_orders"],
            fills=counts["fills"],
            rejected_orders=counts["rejected_orders"],
            refused_orders=counts["refused"],
            pnl=pnl.quantize(_CENT),
            return_percent=_rounded(pnl / self._known.capital * 100, 4),
            shadow_return_percent=_rounded(shadow / self._known.capital * 100, 4),
            slippage_bps=None if tally.slippage_bps is None else _rounded(tally.slippage_bps),
            fill_rate_percent=None if tally.fill_rate_percent is None else _rounded(tally.fill_rate_percent),
            turnover=tally.turnover.quantize(_CENT),
            reconciliations=ReconciliationCounts(
                clean=counts["clean"], mismatch=counts["mismatch"], failed=counts["failed"]
            ),
            operations=counts["operations"],
            operational_errors=counts["operational_errors"],
            incidents=counts["incidents"],
            killed=self._known.kill is not None,
        )


def shadow_of(checkpoint: str | None) -> Shadow:
    """The shadow portfolio in a session checkpoint."""
    return Shadow.from_json(json.loads(checkpoint).get("shadow") if checkpoint else None)


def _rounded(value: Decimal, decimals: int = 2) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-decimals))
