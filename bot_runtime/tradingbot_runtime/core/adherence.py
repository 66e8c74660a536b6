"""Which targets are acted on now, where a strategy is not followed at every bar: brackets, and mixes with a band.

Decides only what to leave alone; how much is traded is the allocator's. `tradingbot_research.stepping` keeps to the
same rules. Must never enter again by itself what an exit has closed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

from tradingbot_runtime.core.allocator import Allocation, Execution
from tradingbot_runtime.core.orders import Order, OrderState
from tradingbot_runtime.core.portfolio import Portfolio
from tradingbot_runtime.strategies.handling import EVERY_BAR, Handling, Rebalancing

_ZERO = Decimal(0)
_HUNDRED = Decimal(100)


@dataclass(frozen=True)
class Held:
    """What the bot holds and has ordered, as of now."""

    portfolio: Portfolio
    prices: Mapping[str, Decimal]
    capital: Decimal
    open_orders: Mapping[str, Order]
    """The bot's own order of each symbol that may still be filled."""
    exits: frozenset[str]
    """Symbols with legs at the broker."""
    orders: Mapping[str, Order]
    """All orders that the books still know, by client_order_id."""


class Adherence:
    """Remembers what was last decided, and what of it is still to be done."""

    def __init__(self, handling: Handling, document: Mapping[str, Any] | None = None) -> None:
        """`document` is what `to_json` gave before a restart; None: nothing was decided yet."""
        self._handling = handling
        found = document or {}
        self._decided = {symbol: Decimal(weight) for symbol, weight in found.get("decided", {}).items()}
        self._pending = set(found.get("pending", ()))  # decided, and not ordered yet
        self._placed: dict[str, str] = dict(found.get("placed", {}))  # the order that is to bring it about
        rebalanced = found.get("rebalanced")
        self._rebalanced = None if rebalanced is None else date.fromisoformat(rebalanced)

    def to_json(self) -> dict[str, Any] | None:
        """All that is remembered; None where there is nothing to remember."""
        if self._handling == EVERY_BAR:
            return None
        return {
            "decided": {symbol: str(weight) for symbol, weight in sorted(self._decided.items())},
            "pending": sorted(self._pending),
            "placed": dict(sorted(self._placed.items())),
            "rebalanced": None if self._rebalanced is None else self._rebalanced.isoformat(),
        }

    def forget(self) -> None:
        """A kill: whatever comes after it is decided anew."""
        self._decided, self._placed, self._rebalanced = {}, {}, None
        self._pending = set()

    def execution(self, execution: Execution, capital: Decimal) -> Execution:
        """How intents become orders, with the handling's own smallest trade and bracket."""
        rebalancing = self._handling.rebalancing
        if rebalancing is not None and capital > 0:
            least = max(execution.min_trade_percent, rebalancing.minimum_trade / capital * _HUNDRED)
            return replace(execution, min_trade_percent=least)
        if self._handling.bracket is not None:
            # The broker replaces no order together with its exits: an entry is cancelled, and made anew.
            return replace(execution, bracket=self._handling.bracket, reprice_bps=0)
        return execution

    @property
    def sells_first(self) -> bool:
        """Whether nothing is bought while something is still to be sold."""
        return self._handling.rebalancing is not None

    # ------------------------------------------------------------------ one evaluation

    def acted_on(self, weights: Mapping[str, Decimal], held: Held, bar: date | None) -> dict[str, Decimal]:
        """The targets that are to be brought about now; what is absent is left alone. `bar`: the last bar's date."""
        if self._handling == EVERY_BAR:
            return dict(weights)
        self._look_after(held)
        # What has no target any more is no wish any more.
        self._pending &= weights.keys()
        newly = {symbol for symbol, weight in weights.items() if self._decided.get(symbol) != weight}
        self._decided.update(weights)
        self._pending |= newly
        if self._handling.rebalancing is not None:
            due = self._is_due(self._handling.rebalancing, weights, held, bar)
            self._pending |= weights.keys() if due else set()
            self._rebalanced = bar if due or newly else self._rebalanced
        if self._handling.bracket is not None:
            return self._guarded(weights, held)
        return {symbol: weights[symbol] for symbol in weights if symbol in self._pending | held.open_orders.keys()}

    def _look_after(self, held: Held) -> None:
        """What became of the orders: one that ended without being filled leaves its decision to be carried out."""
        for symbol, order_id in list(self._placed.items()):
            successor = next((one for one in held.orders.values() if one.replaces_id == order_id), None)
            if successor is not None:
                self._placed[symbol] = order_id = successor.client_order_id
            order = held.orders.get(order_id)
            if order is not None and not order.is_terminal:
                continue
            del self._placed[symbol]
            if order is not None and order.state is not OrderState.FILLED:
                self._pending.add(symbol)

    def _is_due(self, rule: Rebalancing, weights: Mapping[str, Decimal], held: Held, bar: date | None) -> bool:
        if bar is None or held.capital <= 0:
            return False
        if self._rebalanced is not None and (bar - self._rebalanced).days < rule.every_days:
            return False
        return any(
            abs(held.portfolio.qty(symbol) * held.prices[symbol] / held.capital - max(weight, _ZERO)) > rule.band
            for symbol, weight in weights.items()
            if symbol in held.prices
        )

    def _guarded(self, weights: Mapping[str, Decimal], held: Held) -> dict[str, Decimal]:
        acted: dict[str, Decimal] = {}
        for symbol, weight in weights.items():
            order, qty = held.open_orders.get(symbol), held.portfolio.qty(symbol)
            if weight <= 0:
                acted[symbol] = weight
            elif order is not None:
                # An exit of ours that is on its way goes on; an entry may still be filled.
                acted[symbol] = _ZERO if order.reducing else weight
            elif qty > 0:
                self._pending.discard(symbol)
                if symbol not in held.exits:
                    acted[symbol] = _ZERO  # nothing guards it any more
            else:
                # What an exit has closed stays closed: with nothing pending its target counts as 0.
                acted[symbol] = weight if symbol in self._pending else _ZERO
        return acted

    # ------------------------------------------------------------------ what came of it

    def allocated(self, acted: Mapping[str, Decimal], allocation: Allocation, held: Held) -> None:
        """The allocator has seen them: where it asks for no trade, nothing is left to be done."""
        traded = {intent.symbol for intent in allocation.intents} | held.open_orders.keys()
        self._pending -= {symbol for symbol in acted if symbol not in traded and symbol in held.prices}

    def ordered(self, order: Order) -> None:
        """An order was journaled and sent."""
        if self._handling != EVERY_BAR:
            self._pending.discard(order.symbol)
            self._placed[order.symbol] = order.client_order_id
