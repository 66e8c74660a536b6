"""Splits, dividends and changes of symbol, recognised from the broker's activities instead of as a difference.

Every activity is applied once; which ones were is a checkpoint. What no activity explains stays a difference.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core.books import Books
from tradingbot_runtime.core.reconcile import PositionDifference
from tradingbot_runtime.core.situation import Situation
from tradingbot_runtime.core.values import BrokerActivity, Now

CHECKPOINT: Final = "corporate_actions"
LOOK_BACK: Final = timedelta(days=7)
"""An activity may be posted days after the change that it explains."""
APPLIED_KEPT: Final = 500

_SPLITS: Final = frozenset({"SPLIT", "SSP", "REORG"})
_RENAMES: Final = frozenset({"NC", "SC"})
_ZERO = Decimal(0)


class CorporateActions:
    """What happened to the bot's symbols without an order."""

    def __init__(self, situation: Situation, books: Books, checkpoint: str | None) -> None:
        self._known = situation
        self._books = books
        data = json.loads(checkpoint) if checkpoint else {}
        self._applied: list[str] = data.get("applied", [])
        since = data.get("since")
        self._since = datetime.fromisoformat(since) if since else None
        books.income = Decimal(data.get("income", "0"))

    def ask_since(self) -> datetime | None:
        """From when on the broker should tell its activities (market time); None before its clock was read."""
        market = self._known.market
        if self._since is None and market is not None:
            self._since = market
        return None if self._since is None or market is None else max(self._since, market - LOOK_BACK)

    def explain(
        self, gap: Sequence[PositionDifference], activities: Sequence[BrokerActivity], now: Now
    ) -> tuple[list[do.Command], tuple[PositionDifference, ...]]:
        """What the activities make of the books, and the differences that they do not explain."""
        commands: list[do.Command] = []
        fresh = [one for one in activities if one.activity_id not in self._applied and self._concerns_us(one)]
        commands += [self._receive(one) for one in fresh if one.kind.startswith("DIV")]
        left: list[PositionDifference] = []
        for difference in gap:
            shares = [one for one in fresh if one.symbol == difference.symbol and one.kind in _SPLITS | _RENAMES]
            if shares and sum((one.qty for one in shares), _ZERO) == difference.brokers - difference.ours:
                commands += self._adjust(difference, shares, fresh, now)
            else:
                left.append(difference)
        return commands, tuple(left)

    def _concerns_us(self, activity: BrokerActivity) -> bool:
        if self._since is not None and activity.at < self._since - LOOK_BACK:
            return False
        return activity.symbol in self._known.config.symbols or activity.symbol in self._books.portfolio.holdings

    def _receive(self, dividend: BrokerActivity) -> do.Command:
        """A dividend on what the bot held is the bot's income."""
        self._books.income += dividend.net_amount
        self._known.counters["corporate_actions", "dividend"] += 1
        return self._applied_now(
            "dividend", {"symbol": dividend.symbol, "amount": str(dividend.net_amount)}, [dividend]
        )

    def _adjust(
        self,
        difference: PositionDifference,
        shares: Sequence[BrokerActivity],
        fresh: Sequence[BrokerActivity],
        now: Now,
    ) -> list[do.Command]:
        at = now.market or now.machine
        symbol, qty = difference.symbol, difference.brokers - difference.ours
        if any(one.kind in _SPLITS for one in shares):
            self._scale_price(difference)
            moved = self._books.adjust(
                symbol, qty, _ZERO, at, reason=f"split: {difference.ours} to {difference.brokers}"
            )
            kind = "split"
        else:
            price = self._price_of_renamed(difference, fresh)
            moved = self._books.adjust(symbol, qty, price, at, reason=f"change of symbol: {qty} {symbol}")
            kind = "symbol_change"
        self._known.counters["corporate_actions", kind] += 1
        described = {"symbol": symbol, "ours": str(difference.ours), "brokers": str(difference.brokers)}
        return [
            moved,
            self._applied_now(kind, described, shares),
            do.Notice("warning", kind, f"{symbol}: {difference.ours} became {difference.brokers} shares"),
        ]

    def _scale_price(self, difference: PositionDifference) -> None:
        """The last price known is of shares before the split: left as it is it would be a gain or loss of its own."""
        known = self._known
        for prices in (known.prices, known.told_prices, known.session_prices, known.closing_prices):
            price = prices.get(difference.symbol)
            if price is not None and difference.brokers != 0:
                prices[difference.symbol] = price * difference.ours / difference.brokers

    def _price_of_renamed(self, difference: PositionDifference, fresh: Sequence[BrokerActivity]) -> Decimal:
        """What a share cost, so that leaving the old symbol and entering the new one moves no money."""
        leaving = [one for one in fresh if one.kind in _RENAMES and one.qty == difference.ours - difference.brokers]
        holdings = self._books.portfolio.holdings
        for symbol in (difference.symbol, *(one.symbol for one in leaving)):
            if symbol in holdings:
                return holdings[symbol].average_entry_price
        return difference.brokers_price

    def _applied_now(self, kind: str, detail: dict[str, str], activities: Sequence[BrokerActivity]) -> do.Journal:
        self._applied = [*self._applied, *(one.activity_id for one in activities)][-APPLIED_KEPT:]
        document = {
            "applied": self._applied,
            "income": str(self._books.income),
            "since": self._since.isoformat() if self._since else None,
        }
        return do.Journal(kind, detail, (do.PutCheckpoint(CHECKPOINT, json.dumps(document, sort_keys=True)),))
