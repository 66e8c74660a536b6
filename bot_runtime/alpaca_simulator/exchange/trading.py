"""Orders meet the market: which of the next quotes concerns an order, and what that quote does to it.

Time is given by the caller; an order is looked at when something happens to it, never second by second.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from alpaca_simulator.exchange.accounts import Account
from alpaca_simulator.exchange.agenda import Agenda, Entry
from alpaca_simulator.exchange.lifecycle import Event
from alpaca_simulator.exchange.matching import (
    crosses,
    fill_quantity,
    first_chance,
    quoted_price,
    shares_wanted,
    trades_in,
)
from alpaca_simulator.exchange.orders import Order, OrderType, Side, TimeInForce
from alpaca_simulator.exchange.phases import Phase
from alpaca_simulator.exchange.register import Register
from alpaca_simulator.exchange.rules import FillGate
from alpaca_simulator.exchange.trailing import mark_after, stop_from
from alpaca_simulator.market.calendar import Session
from alpaca_simulator.market.halts import HaltBook
from alpaca_simulator.market.prices import Market, Quote
from alpaca_simulator.values.instants import epoch_floor, from_epoch
from alpaca_simulator.values.quantities import ZERO, dollars

#: How far ahead an order is looked for at a time: far enough to be lazy, near enough to be quick.
LOOK_AHEAD_SECONDS = 1800


class Trading:
    """The orders that work in the present part of the session, and the next second that concerns each."""

    def __init__(
        self,
        market: Market,
        halts: HaltBook,
        register: Register,
        buying_power: Callable[[Account], Decimal],
    ) -> None:
        self.fill_gate: FillGate | None = None
        self.agenda = Agenda()
        self.phase: Phase | None = None
        self._market = market
        self._halts = halts
        self._register = register
        self._buying_power = buying_power
        #: Shares that orders of one symbol and side have taken from the quote of one second.
        self._taken: dict[tuple[str, Side], Decimal] = {}
        self._taken_at = 0

    # -- looking ahead ----------------------------------------------------------------------

    def begin(self, phase: Phase | None) -> None:
        """Begin another part of the session, or none: what was foreseen for the last one is void."""
        self.phase = phase
        self.agenda.drop_quotes()
        if phase is not None:
            self.plan_all(phase.seconds.start)

    def plan_all(self, epoch: int) -> None:
        """Look ahead for every open order from that second on."""
        for order in self._register.in_order():
            self.plan(order, epoch)

    def plan(self, order: Order, epoch: int) -> None:
        """Foresee the first second from `epoch` on in which something happens to `order`."""
        phase = self.phase
        self.agenda.drop_quote(order.number)
        if phase is None or not trades_in(order, phase):
            return
        start = max(epoch, phase.seconds.start)
        if start >= phase.seconds.stop:
            return
        if order.time_in_force.is_immediate:
            self.agenda.put_quote(start, order.number, is_due=True)
            return
        if order.order_type is OrderType.TRAILING_STOP:
            self.follow(order, phase.session, start - 1)
        stop = min(start + LOOK_AHEAD_SECONDS, phase.seconds.stop)
        parts = self._halts.trading_seconds(order.asset.symbol, range(start, stop))
        found = first_chance(self._market, order, phase, parts)
        if found is not None:
            self.agenda.put_quote(found, order.number, is_due=True)
        elif stop < phase.seconds.stop:
            self.agenda.put_quote(stop, order.number, is_due=False)

    def follow(self, order: Order, session: Session, until: int) -> None:
        """Move a trailing stop's high water mark as the last trades did up to that second of `session`."""
        start = max(order.followed_until + 1, session.open_epoch)
        seconds = range(start, min(until + 1, session.close_epoch))
        if order.is_triggered or not seconds:
            return
        for part in self._halts.trading_seconds(order.asset.symbol, seconds):
            mark = mark_after(self._market, order, session, part)
            if mark is not None and mark != order.high_water_mark:
                order.high_water_mark = mark
                order.stop_price = stop_from(order, mark)
        order.followed_until = until

    def follow_all(self, now: datetime) -> None:
        """Show every trailing stop as it is at `now`."""
        for order in self._register.open.values():
            self.follow_one(order, now)

    def follow_one(self, order: Order, now: datetime) -> None:
        """Show `order`, if it is a trailing stop that works now, as it is at `now`."""
        phase = self.phase
        if order.order_type is OrderType.TRAILING_STOP and phase is not None and trades_in(order, phase):
            self.follow(order, phase.session, epoch_floor(now))

    # -- what a quote does ------------------------------------------------------------------

    def meet(self, entry: Entry) -> None:
        """Carry out what was foreseen, or look ahead again."""
        order = self._register.open.get(entry.number)
        phase = self.phase
        if order is None or phase is None or not trades_in(order, phase):
            return
        if not entry.is_due:
            self.plan(order, entry.epoch)
            return
        self._execute(order, phase, entry.epoch)
        if order.is_open:
            self.plan(order, entry.epoch + 1)

    def _execute(self, order: Order, phase: Phase, epoch: int) -> None:
        at = from_epoch(epoch)
        if not self._is_halted(order, epoch):
            quote = self._market.quote_in(order.asset, phase.session, epoch)
            if order.order_type.has_stop and not order.is_triggered:
                if order.order_type is OrderType.TRAILING_STOP:
                    self.follow(order, phase.session, epoch - 1)
                self._register.trigger(order, at)
            price = quoted_price(order, quote)
            if order.is_open and crosses(order, price):
                self._trade(order, price, at, self._left_of(order, quote))
        if order.is_open and order.time_in_force.is_immediate:
            self._register.happen(order, Event.CANCELED, at)

    def _trade(self, order: Order, price: Decimal, at: datetime, at_most: Decimal | None) -> None:
        """Fill as much of `order` at `price` dollars as the rules, the gate and the account's means allow."""
        gate = self.fill_gate
        allowed = None if gate is None else gate.allows(order, at, order.fills)
        if allowed is not None:
            at_most = allowed if at_most is None else min(allowed, at_most)
        wanted = self._wanted(order, price)
        quantity = fill_quantity(self._register.rules, self._market.seed, order, wanted, at_most)
        if quantity <= 0 and wanted > 0:
            return
        if wanted <= 0 or not self._can_settle(order, quantity, price):
            unpaid = Event.REJECTED if order.filled_quantity == 0 else Event.CANCELED
            self._register.happen(order, unpaid, at)
            return
        if order.is_unpriced:
            order.quantity = wanted
            order.reserve_price = ZERO if order.position_intent.is_closing else price
        if self._register.rules.fill_size_limit:
            key = (order.asset.symbol, order.side)
            self._taken[key] = self._taken.get(key, ZERO) + quantity
        self._register.fill(order, quantity, price, at)

    def _wanted(self, order: Order, price: Decimal) -> Decimal:
        wanted = shares_wanted(order, price)
        if order.is_unpriced and order.position_intent.is_closing:
            account = self._register.owners[order.number]
            return min(wanted, account.available(order.asset.symbol) + order.offered)
        return wanted

    def _can_settle(self, order: Order, quantity: Decimal, price: Decimal) -> bool:
        """Whether the account has the shares or the money.

        What a market order costs is only known now, and positions change behind an order's back: an
        account never spends what it has not, and no order turns a position the other way round.
        """
        account = self._register.owners[order.number]
        held = account.held(order.asset.symbol)
        if order.position_intent.is_closing:
            against = -held if order.side is Side.BUY else held
            return quantity <= against
        if held != 0 and (held > 0) != (order.side is Side.BUY):
            return False
        reserved = order.reserved if order.is_unpriced else quantity * order.reserve_price
        excess = quantity * price - reserved
        return excess <= 0 or excess <= self._buying_power(account)

    def _left_of(self, order: Order, quote: Quote) -> Decimal | None:
        """Shares of the quote that no order has taken yet, None when its size does not matter."""
        if not self._register.rules.fill_size_limit:
            return None
        epoch = epoch_floor(quote.at)
        if epoch != self._taken_at:
            self._taken, self._taken_at = {}, epoch
        size = quote.ask_size if order.side is Side.BUY else quote.bid_size
        return max(ZERO, Decimal(size) - self._taken.get((order.asset.symbol, order.side), ZERO))

    # -- auctions ---------------------------------------------------------------------------

    def auction(self, session: Session, tif: TimeInForce, at: datetime) -> None:
        """Fill the orders for one auction at its print: the session's first or last price."""
        for order in self._register.in_order():
            if order.time_in_force is not tif or not order.is_working:
                continue
            if not self._market.trades_in(order.asset, session) or self._is_halted(order, epoch_floor(at)):
                continue
            day = self._market.day(order.asset, session)
            price = dollars(day.open if tif is TimeInForce.OPG else day.close)
            if crosses(order, price):
                self._trade(order, price, at, None)

    def _is_halted(self, order: Order, epoch: int) -> bool:
        return self._halts.covering(order.asset.symbol, epoch) is not None
