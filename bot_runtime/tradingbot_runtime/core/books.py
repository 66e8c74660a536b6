"""The bot's own books: its orders and what they filled. Everything here is also on the volume, by the Journal returned.

Records what the engine has decided or the broker has said; decides nothing about trading.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeVar

from tradingbot_api import RuntimeConfig
from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core.execution_tally import ExecutionTally
from tradingbot_runtime.core.orders import (
    UNANSWERED,
    Fill,
    Order,
    OrderState,
    client_order_id,
    client_order_id_prefix,
    epoch_of,
    sequence_of,
)
from tradingbot_runtime.core.portfolio import Portfolio
from tradingbot_runtime.core.reconcile import PositionDifference
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.core.values import BrokerOrder, OrderClass, OrderType, Side, TimeInForce

TERMINAL_ORDERS_KEPT: Final = 1000
LOOKBACK_OF_SNAPSHOT: Final = timedelta(days=1)

_ZERO = Decimal(0)
_ENDED_AT_BROKER = frozenset({OrderState.FILLED, OrderState.CANCELED, OrderState.EXPIRED})
Word = TypeVar("Word", bound=StrEnum)


class Books:
    """Orders by client_order_id, and the portfolio that their fills add up to."""

    def __init__(self, config: RuntimeConfig, recovered: Recovered, counters: Counter[tuple[str, str]]) -> None:
        """`counters` is the engine's: what is recorded is counted."""
        self._bot_uid, self._mode, self._epoch = config.bot.uid, config.mode.value, config.epoch
        self._counters = counters
        self.prefix: Final = client_order_id_prefix(self._bot_uid, self._mode)
        """What every id of this bot begins with."""
        self.orders = {order.client_order_id: order for order in recovered.orders}
        """Every order that is not terminal, and the last that are, oldest first."""
        self.portfolio = Portfolio.of(recovered.fills)
        """What the bot holds."""
        self.tally = ExecutionTally()
        """How well orders were carried out since this process started."""
        self.income = _ZERO
        """Dividends received on what the bot held, in account currency."""
        self.filled_orders = sum(1 for order in recovered.orders if order.state is OrderState.FILLED)
        """How many orders were filled since the state began."""
        self._moves: Counter[str] = Counter()
        self._fill_counts = Counter(fill.client_order_id for fill in recovered.fills)
        self._sequence = max((self._sequence_of(order_id) for order_id in self.orders), default=0)
        self._forgotten_up_to = 0  # sequence of the newest order that was dropped from memory, long terminal
        self._complete_since: datetime | None = None

    # ------------------------------------------------------------------ looking

    def next_order_id(self) -> str:
        """The id that the next order will have; the same until it is recorded."""
        return client_order_id(self._bot_uid, self._mode, self._epoch, self._sequence + 1)

    def unanswered(self) -> list[Order]:
        """Orders of which the broker has not said anything yet."""
        return [order for order in self.orders.values() if order.state in UNANSWERED]

    def open_by_symbol(self) -> dict[str, Order]:
        """The bot's own order of each symbol that may still be filled; there is at most one. Legs are not in it."""
        return {order.symbol: order for order in self._own_open()}

    def exits_by_symbol(self) -> dict[str, list[Order]]:
        """Legs that the broker holds or works for filled orders, by symbol."""
        exits: dict[str, list[Order]] = {}
        for order in self.orders.values():
            if order.parent_id and not order.is_terminal:
                exits.setdefault(order.symbol, []).append(order)
        return exits

    def reserved(self) -> dict[str, Decimal]:
        """Value of open buy orders by symbol, in account currency: cash that is spoken for."""
        reserved: dict[str, Decimal] = {}
        being_replaced = {order.replaces_id for order in self._own_open()}
        for order in self._own_open():
            # An order and the one that takes its place are never both filled: the broker ends one with the other.
            if order.side is Side.BUY and order.client_order_id not in being_replaced:
                price = max(order.limit_price or _ZERO, order.stop_price or _ZERO, order.arrival_price or _ZERO)
                reserved[order.symbol] = reserved.get(order.symbol, _ZERO) + order.remaining_qty * price
        return reserved

    def open_count(self) -> int:
        """How many orders, legs included, have not ended."""
        return sum(1 for order in self.orders.values() if not order.is_terminal)

    def _own_open(self) -> list[Order]:
        return [order for order in self.orders.values() if not order.is_terminal and not order.parent_id]

    def is_ours(self, word: BrokerOrder) -> bool:
        """Whether an order at the broker is the bot's: by its id, or known to the books as a leg or a successor."""
        return word.client_order_id.startswith(self.prefix) or word.client_order_id in self.orders

    def parents_of(self, word: BrokerOrder) -> list[Order]:
        """Our orders with legs in that symbol: one of them may be the parent of an order that nobody knows."""
        if self.is_ours(word):
            return []
        known_parents = {order.parent_id for order in self.orders.values() if order.parent_id}
        return [
            order
            for order in self.orders.values()
            if order.order_class is not OrderClass.SIMPLE
            and order.symbol == word.symbol
            and not order.parent_id
            and order.client_order_id not in known_parents
        ]

    def oldest_of_interest(self) -> datetime | None:
        """Market time before which the broker has nothing new to tell of our orders; None: nothing is known yet."""
        moments = [order.created_at for order in self.orders.values() if not order.is_terminal]
        if self.orders:
            moments.append(max(order.created_at for order in self.orders.values()))
        elif self._complete_since is not None:
            moments.append(self._complete_since)
        return min(moments) - LOOKBACK_OF_SNAPSHOT if moments else None

    def is_of_a_released_epoch(self, order: Order) -> bool:
        """Whether an entry was decided before a kill that is released now; an order without an epoch of its own is of
        that of the order whose place it took."""
        named = self.orders.get(order.replaces_id, order)
        epochs = (epoch_of(one.client_order_id, self._bot_uid, self._mode) for one in (order, named))
        epoch = next((epoch for epoch in epochs if epoch is not None), self._epoch)
        return not order.reducing and epoch < self._epoch

    def fills_of(self, order: Order) -> int:
        """How many fills an order has so far."""
        return self._fill_counts[order.client_order_id]

    # ------------------------------------------------------------------ recording

    def are_complete(self, market: datetime | None) -> None:
        """The broker's list was compared at this market time: older orders of ours are all known."""
        self._complete_since = self._complete_since or market

    def adopt(self, word: BrokerOrder, market: datetime | None) -> Order | None:
        """Our own order that the books do not know: the volume was lost or restored. Its id proves that it is ours.

        None for a stranger's order, and for one of ours that ended and was dropped from memory long ago.
        """
        sequence = sequence_of(word.client_order_id, self._bot_uid, self._mode)
        created_at = word.created_at or market
        if sequence is None or sequence <= self._forgotten_up_to or created_at is None:
            return None
        self._counters["orders", "adopted"] += 1
        return _from_word(word, created_at, reason="adopted from the broker", reducing=word.side is Side.SELL)

    def adopt_leg(self, parent: Order, word: BrokerOrder) -> Order:
        """An exit that the broker made for one of our orders, under an id that the broker chose."""
        self._counters["orders", "leg"] += 1
        leg = _from_word(
            word, word.created_at or parent.created_at, reason=f"leg of {parent.order_class}", reducing=True
        )
        return replace(leg, parent_id=parent.client_order_id)

    def adopt_successor(self, word: BrokerOrder) -> Order | None:
        """An order that took the place of one of ours by somebody else's hand; None when it is a stranger's."""
        if word.replaces is None:
            return None
        before = next((order for order in self.orders.values() if order.broker_id == word.replaces), None)
        if before is None:
            return None
        self._counters["orders", "successor"] += 1
        successor = _from_word(
            word, word.created_at or before.created_at, reason="replaced at the broker", reducing=before.reducing
        )
        return replace(successor, parent_id=before.parent_id, replaces_id=before.client_order_id)

    def decided(self, order: Order) -> do.Journal:
        """A new order, not yet sent."""
        self._remember(order)
        self._counters["orders", "submitted"] += 1
        detail = {"client_order_id": order.client_order_id, "reason": order.reason}
        return do.Journal("order_decided", detail, (do.PutOrder(order),))

    def record(self, order: Order, fill: Fill | None, source: str) -> do.Journal:
        """The order's new state, with the fill that brought it, and who said so."""
        changes: tuple[do.Change, ...] = (do.PutOrder(order),)
        detail = {"client_order_id": order.client_order_id, "state": order.state.value, "source": source}
        before = self.orders.get(order.client_order_id)
        self._remember(order)
        if order.state is OrderState.REJECTED and (before is None or before.state is not OrderState.REJECTED):
            self._counters["orders", "rejected"] += 1
        if order.broker_id and not order.parent_id and (before is None or before.broker_id is None):
            self._counters["orders", "reached"] += 1
        if order.state in _ENDED_AT_BROKER and (before is None or not before.is_terminal):
            self.tally.add_end(order)
        if order.state is OrderState.FILLED and (before is None or before.state is not OrderState.FILLED):
            self.filled_orders += 1
            self._counters["orders", "filled"] += 1
        if fill is not None:
            self._fill_counts[order.client_order_id] += 1
            self._move(fill)
            changes += (do.PutFill(fill),)
            detail |= {"filled": str(fill.signed_qty), "price": str(fill.price)}
            self._counters["fills", order.side.value] += 1
            self.tally.add_fill(order, fill)
        if order.is_terminal:
            self._forget_old_orders()
        return do.Journal("order", detail, changes)

    def moves_of(self, symbol: str) -> int:
        """How often a holding has changed since the process began: two looks at it compare only if it has not."""
        return self._moves[symbol]

    def _move(self, fill: Fill) -> None:
        self.portfolio = self.portfolio.after(fill)
        self._moves[fill.symbol] += 1

    def give_up(self, order_id: str) -> do.Journal:
        """An order that the broker no longer knows, and a person has said so."""
        gone = replace(self.orders[order_id], state=OrderState.CANCELED, reason="the broker no longer knows it")
        return self.record(gone, None, "given up by a person")

    def correct(self, difference: PositionDifference, last_price: Decimal | None, at: datetime) -> do.Journal:
        """The broker wins: a fill without an order brings the books to what the broker holds. `at` is market time."""
        held = self.portfolio.holdings.get(difference.symbol)
        paid = difference.brokers_price or (held.average_entry_price if held else _ZERO)
        described = difference.described()
        self._counters["reconciliation", described.kind] += 1
        price = paid if last_price is None else last_price
        qty = difference.brokers - difference.ours
        return self.adjust(difference.symbol, qty, price, at, reason=str(described))

    def adjust(self, symbol: str, signed_qty: Decimal, price: Decimal, at: datetime, *, reason: str) -> do.Journal:
        """A change of what is held without an order, at market time `at`; a price of zero moves no money."""
        self._fill_counts[""] += 1
        fill = Fill(
            client_order_id="",
            sequence=self._fill_counts[""],
            symbol=symbol,
            signed_qty=signed_qty,
            price=price,
            at=at,
            reason=reason,
        )
        self._move(fill)
        return do.Journal("position_corrected", {"difference": reason}, (do.PutFill(fill),))

    def profit(self, prices: Mapping[str, Decimal]) -> Decimal:
        """All profit and loss since the bot's first fill, realised and not, dividends included."""
        return self.portfolio.profit(prices) + self.income

    def _remember(self, order: Order) -> None:
        self.orders[order.client_order_id] = order
        self._sequence = max(self._sequence, self._sequence_of(order.client_order_id))

    def _forget_old_orders(self) -> None:
        terminal = [order_id for order_id, order in self.orders.items() if order.is_terminal]
        for order_id in terminal[:-TERMINAL_ORDERS_KEPT]:
            del self.orders[order_id]
            self._forgotten_up_to = max(self._forgotten_up_to, self._sequence_of(order_id))
            self._fill_counts.pop(order_id, None)

    def _sequence_of(self, order_id: str) -> int:
        return sequence_of(order_id, self._bot_uid, self._mode) or 0


def _from_word(word: BrokerOrder, created_at: datetime, *, reason: str, reducing: bool) -> Order:
    """An order that the books learn of from the broker; its state is what the broker says next."""
    return Order(
        client_order_id=word.client_order_id,
        symbol=word.symbol,
        side=word.side,
        type=_known(OrderType, word.type, OrderType.LIMIT if word.limit_price is not None else OrderType.MARKET),
        qty=word.qty,
        time_in_force=_known(TimeInForce, word.time_in_force, TimeInForce.DAY),
        state=OrderState.IN_DOUBT,
        created_at=created_at,
        limit_price=word.limit_price,
        reason=reason,
        reducing=reducing,
        order_class=_known(OrderClass, word.order_class, OrderClass.SIMPLE),
        stop_price=word.stop_price,
        trail_price=word.trail_price,
        trail_percent=word.trail_percent,
    )


def _known(kind: type[Word], text: str, otherwise: Word) -> Word:
    try:
        return kind(text)
    except ValueError:
        return otherwise
