"""Which targets are acted on now, where a strategy is not followed at every bar: brackets, and mixes with a band.

Decides only what to leave alone; how much is traded is the allocator's. `tradingbot_research.stepping` keeps to the
same rules. Must never enter again by itself what an exit has closed.
"""

from collections.abc import Collection, Mapping
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
    """Symbols with legs at the broker, for all that is held of them."""
    orders: Mapping[str, Order]
    """All orders that the books still know, by client_order_id."""
    unseen: frozenset[str] = frozenset()
    """Symbols of which there are no bars to go by now."""


class Adherence:
    """Remembers what was last decided, and what of it is still to be done."""

    def __init__(
        self, handling: Handling, document: Mapping[str, Any] | None = None, symbols: Collection[str] | None = None
    ) -> None:
        """`document` is what `to_json` gave before a restart; None: nothing was decided yet. `symbols`: the bot's, for
        what was decided of others counts no more; None keeps all.
        """
        self._handling = handling
        found = document or {}
        decided = {symbol: Decimal(weight) for symbol, weight in found.get("decided", {}).items()}
        self._decided = {symbol: one for symbol, one in decided.items() if symbols is None or symbol in symbols}
        self._pending = set(found.get("pending", ()))  # decided, and not ordered yet
        self._placed: dict[str, str] = dict(found.get("placed", {}))  # the order that is to bring it about
        capital = found.get("capital")
        self._capital = None if capital is None else Decimal(capital)  # that was last brought to its targets
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
            "capital": None if self._capital is None else str(self._capital),
        }

    def forget(self) -> None:
        """A kill: whatever comes after it is decided anew."""
        self._decided, self._placed, self._rebalanced, self._capital = {}, {}, None, None
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
        # What has no target any more is no wish any more; where the bars are missing, nobody has said so.
        self._pending &= weights.keys() | held.unseen
        newly = {symbol for symbol, weight in weights.items() if self._is_another(symbol, weight)}
        self._decided.update(weights)
        self._pending |= newly
        if self._handling.rebalancing is not None:
            due = self._is_due(self._handling.rebalancing, weights, held, bar)
            self._pending |= weights.keys() if due else set()
            self._rebalanced = bar if due or newly else self._rebalanced
        if self._handling.bracket is not None:
            return self._guarded(weights, held)
        return {symbol: weights[symbol] for symbol in weights if symbol in self._pending | held.open_orders.keys()}

    def _is_another(self, symbol: str, weight: Decimal) -> bool:
        """Whether a target is another decision than the last one."""
        before = self._decided.get(symbol)
        if self._handling.bracket is None:
            return before != weight
        # How much is no new reason to enter: that changes when the bars of another symbol are missing.
        return (before is not None and before > 0) != (weight > 0)

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
        before, self._capital = self._capital, held.capital
        if before is not None and held.capital < before:
            return True  # what it may use was cut: that does not wait for the day
        if self._rebalanced is not None and (bar - self._rebalanced).days < rule.every_days:
            return False
        return any(
            abs(held.portfolio.qty(symbol) * held.prices[symbol] / held.capital - max(weight, _ZERO)) > rule.band
            for symbol, weight in weights.items()
            if symbol in held.prices
        )

    def _guarded(self, weights: Mapping[str, Decimal], held: Held) -> dict[str, Decimal]:
        # Also of what the strategy says nothing of.
        acted = {
            symbol: _ZERO
            for symbol, holding in held.portfolio.holdings.items()
            if holding.qty > 0 and symbol not in (weights.keys() | held.exits | held.open_orders.keys())
        }
        for symbol, weight in weights.items():
            order, qty = held.open_orders.get(symbol), held.portfolio.qty(symbol)
            if weight <= 0:
                acted[symbol] = weight
            elif order is not None:
                # An exit of ours that is on its way goes on; an entry may still be filled. One that is filled in part
                # gets its exits with its last share, and what else it could become would be sold again.
                if order.reducing or not order.filled_qty:
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
