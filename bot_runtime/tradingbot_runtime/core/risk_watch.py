"""Watches the bot's profit and loss with every price that comes in, and carries out a person's reset of the breaker.

Writes the risk ledger, and journals it; what a tripped breaker forbids is the situation's and the gateway's to say.
"""

from decimal import Decimal

from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core.books import Books
from tradingbot_runtime.core.risk import CHECKPOINT, Limits, RiskLedger
from tradingbot_runtime.core.situation import Situation
from tradingbot_runtime.core.values import BrokerSnapshot


class RiskWatch:
    """Keeps the risk ledger up with the market."""

    def __init__(self, situation: Situation, books: Books) -> None:
        self._known = situation
        self._books = books
        self._limits = Limits.of(situation.config.risk)
        self._doubted: dict[str, Decimal] = {}  # prices that have jumped, told once
        self._asked_early: str | None = None  # a reset asked for before the broker's clock was read

    def on_snapshot(self, snapshot: BrokerSnapshot) -> list[do.Command]:
        """The broker values the account's positions at its own last prices."""
        for position in snapshot.positions:
            if position.symbol in self._known.differing:
                continue  # perhaps a split: its price is of other shares than the ones in our books
            if position.symbol in self._known.config.symbols and position.market_value and position.qty:
                self._price_told(position.symbol, position.market_value / position.qty)
        self._known.account_positions_value = sum(
            (abs(position.market_value or Decimal(0)) for position in snapshot.positions), Decimal(0)
        )
        return self.observe()

    def _price_told(self, symbol: str, price: Decimal) -> None:
        """A price that has jumped is believed when it is told again: one bad print must not trip the breaker."""
        before, doubted = self._known.prices.get(symbol), self._doubted.pop(symbol, None)
        if before is None or self._is_near(price, before) or (doubted is not None and self._is_near(price, doubted)):
            self._known.prices[symbol] = self._known.told_prices[symbol] = price
        else:
            self._doubted[symbol] = price

    def _is_near(self, price: Decimal, other: Decimal) -> bool:
        most = self._known.config.data_quality.max_price_jump_percent
        return other > 0 and abs(price - other) * 100 <= other * most

    def observe(self) -> list[do.Command]:
        """Profit and loss at the prices known now."""
        known = self._known
        if known.clock is None:
            return []
        if self._asked_early is not None:
            request, self._asked_early = self._asked_early, None
            return self.on_reset_asked(request) + self.observe()
        if known.differing & self._books.portfolio.holdings.keys():
            return []
        at = known.clock.timestamp
        profit = self._books.profit(known.prices)
        ledger = known.risk.observe(at.date().isoformat(), profit, known.capital, self._limits, at)
        before, known.risk = known.risk, ledger
        if ledger == before:
            return []
        commands: list[do.Command] = [_journal("risk", {"profit": str(profit)}, ledger)]
        if ledger.tripped and ledger.tripped != before.tripped:
            known.counters["breaker", ledger.tripped] += 1
            commands.append(do.Notice("critical", "breaker_tripped", f"{ledger.tripped}: profit and loss {profit:.2f}"))
        if ledger.pauses_taken > before.pauses_taken:
            known.counters["breaker", "IntradayPause"] += 1
            commands.append(do.Notice("warning", "intraday_pause", ledger.pause_in_force(at) or ""))
        return commands

    def checkpoint(self) -> do.PutCheckpoint:
        """The ledger with the profit as last observed: where the next session's loss counts from."""
        return do.PutCheckpoint(CHECKPOINT, self._known.risk.to_json())

    def on_reset_asked(self, request: str) -> list[do.Command]:
        """A person asks to close the breaker; refused during its cool-down, and carried out once."""
        known = self._known
        if request == known.risk.last_reset:
            return []
        if known.clock is None:
            self._asked_early = request
            return []
        at = known.clock.timestamp
        refusal = known.risk.why_not_reset(request, self._limits, at)
        if refusal is not None:
            known.risk = known.risk.answered(request)
            return [
                _journal("breaker_reset_refused", {"request": request, "why": refusal}, known.risk),
                do.Notice("warning", "breaker_reset_refused", f"{request}: {refusal}"),
            ]
        tripped = known.risk.tripped or ""
        known.risk = known.risk.reset(request)
        known.counters["breaker", "reset"] += 1
        return [
            _journal("breaker_reset", {"request": request, "breaker": tripped}, known.risk),
            do.Notice("warning", "breaker_reset", f"{tripped} closed: {request}"),
        ]


def _journal(kind: str, detail: dict[str, str], ledger: RiskLedger) -> do.Journal:
    return do.Journal(kind, detail, (do.PutCheckpoint(CHECKPOINT, ledger.to_json()),))
