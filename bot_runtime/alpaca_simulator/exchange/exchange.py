"""The exchange: accepts orders and lets market time pass; conducts the parts that do the work.

No clock, no I/O and no randomness of its own: the same calls with the same times leave the same
books and the same trade updates, however finely `advance` is called.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.acceptance import (
    Situation,
    accept,
    check_client_order_id,
    check_not_suspended,
    check_room,
    legs_of,
    listed_asset,
)
from alpaca_simulator.exchange.accounts import Account, AccountLimits, AccountTerms
from alpaca_simulator.exchange.acknowledging import Acknowledgements
from alpaca_simulator.exchange.agenda import Pending, Wish, from_microseconds, microseconds
from alpaca_simulator.exchange.configuration import AccountConfiguration
from alpaca_simulator.exchange.custody import Custody
from alpaca_simulator.exchange.lifecycle import REQUESTED, TRANSITIONS, Event, Status
from alpaca_simulator.exchange.margin import LEAST_EQUITY_ON_MARGIN, Valuation, Valued, valuation
from alpaca_simulator.exchange.orders import Order, OrderRequest, ReplaceRequest, TimeInForce
from alpaca_simulator.exchange.phases import Bell, Mark, marks_after, phase_at, phase_from
from alpaca_simulator.exchange.placing import Identity, family_of, place
from alpaca_simulator.exchange.register import Register
from alpaca_simulator.exchange.replacement import check_replaceable, check_replacement, replaced_with
from alpaca_simulator.exchange.rules import ExchangeRules, FillGate
from alpaca_simulator.exchange.saving import ExchangeState, load, save
from alpaca_simulator.exchange.trading import Trading
from alpaca_simulator.exchange.updates import TradeUpdate
from alpaca_simulator.market.assets import Asset, AssetCatalogue
from alpaca_simulator.market.halts import HaltBook
from alpaca_simulator.market.prices import Market
from alpaca_simulator.values.instants import NEW_YORK, epoch_floor, from_epoch
from alpaca_simulator.values.quantities import ZERO, dollars

__all__ = ["Exchange", "ExchangeRules", "ExchangeState", "FillGate", "TradeUpdate"]

#: Only a trade makes these: nobody may say that one has happened.
_MADE_BY_TRADES = {Event.FILL, Event.PARTIAL_FILL}


class Exchange:
    """Accounts, their orders, and the market they trade in."""

    def __init__(
        self,
        market: Market,
        catalogue: AssetCatalogue,
        accounts: Iterable[AccountTerms],
        start: datetime,
        *,
        limits: AccountLimits | None = None,
        rules: ExchangeRules | None = None,
        halts: HaltBook | None = None,
    ) -> None:
        market.calendar.require(start)
        self.market = market
        self.calendar = market.calendar
        self.catalogue = catalogue
        self.halts = halts or HaltBook()
        self.now = start
        opened = [Account(terms, limits or AccountLimits(), start) for terms in accounts]
        self.accounts: dict[UUID, Account] = {account.account_id: account for account in opened}
        self.register = Register(rules or ExchangeRules())
        self.trading = Trading(market, self.halts, self.register, self.buying_power)
        self.acknowledgements = Acknowledgements(self.register, self.trading.agenda)
        self._custody = Custody(market, catalogue, opened, self.register)
        self._halts_known = self.halts.listed()
        self.look_at_the_clock()

    @property
    def rules(self) -> ExchangeRules:
        """How orders are acknowledged and filled."""
        return self.register.rules

    @rules.setter
    def rules(self, rules: ExchangeRules) -> None:
        self.register.rules = rules

    @property
    def fill_gate(self) -> FillGate | None:
        """Asked before each fill; None lets every fill happen."""
        return self.trading.fill_gate

    @fill_gate.setter
    def fill_gate(self, gate: FillGate | None) -> None:
        self.trading.fill_gate = gate

    # -- time -------------------------------------------------------------------------------

    def advance(self, to: datetime) -> None:
        """Let market time pass until `to`: bells, fills and acknowledgements in time order.

        Earlier times do nothing.
        """
        if to <= self.now:
            return
        until, agenda = microseconds(to), self.trading.agenda
        self._notice_halts()
        self._plan_fresh()
        while True:
            bell = microseconds(self._next_mark.at) if self._next_mark else None
            entry = agenda.next_time()
            if bell is not None and bell <= until and (entry is None or bell <= entry):
                self._ring()
            elif entry is not None and entry <= until:
                self.now = from_microseconds(entry)
                self._meet()
            else:
                break
            self._plan_fresh()
        self.now = to
        self.trading.follow_all(to)

    def look_at_the_clock(self) -> None:
        """Find out what trades at the present time and which bell comes next; every order is looked at anew."""
        self._marks = marks_after(self.calendar, self.now)
        self._next_mark: Mark | None = next(self._marks, None)
        self.trading.phase = phase_at(self.calendar, self.now)
        self.trading.agenda.drop_quotes()
        self.trading.plan_all(epoch_floor(self.now) + 1)

    def _meet(self) -> None:
        entry = self.trading.agenda.pop()
        if entry.is_quote:
            self.trading.meet(entry)
            return
        order = self.acknowledgements.order_of(entry.number)
        if order is not None:
            # Whatever becomes of a trailing stop now, it has followed the market until now.
            self.trading.follow_one(order, self.now)
        self.acknowledgements.carry_out(entry.number, self.now)

    def _plan_fresh(self) -> None:
        for order in self.register.fresh():
            self.trading.plan(order, epoch_floor(self.now) + 1)

    def _notice_halts(self) -> None:
        """Halts may be called or lifted by others: what was foreseen without them is void."""
        listed = self.halts.listed()
        if listed != self._halts_known:
            self._halts_known = listed
            self.trading.plan_all(epoch_floor(self.now) + 1)

    def _ring(self) -> None:
        """Carry out the next bell; what orders wait for begins anew with each part of the session."""
        mark = self._next_mark
        assert mark is not None  # noqa: S101  (the caller has looked)
        self._next_mark = next(self._marks, None)
        at, session = mark.at, mark.session
        self.trading.follow_all(from_epoch(mark.epoch - 1))
        self.now = at
        match mark.bell:
            case Bell.PRE_MARKET:
                self._custody.take_effect(session, at)
                self._route(at, extended_hours=True)
            case Bell.OPENING:
                self._custody.pay_dividends(at)
                self._route(at, extended_hours=False)
                self.trading.auction(session, TimeInForce.OPG, at)
                self._expire(at)
            case Bell.CLOSING:
                self.trading.auction(session, TimeInForce.CLS, at)
                self._expire(at)
                self._custody.value_at_close(session, at)
            case Bell.END:
                self._expire(at)
        self.register.fresh()
        self.trading.begin(phase_from(mark))

    def _route(self, at: datetime, *, extended_hours: bool) -> None:
        """Send waiting orders to the market that opens, and wake those that were done for the day before."""
        for order in self.register.in_order():
            waits = order.status is Status.ACCEPTED and (order.extended_hours or not extended_hours)
            rests = order.status is Status.DONE_FOR_DAY and not extended_hours
            if waits or rests:
                self.register.happen(order, Event.NEW, at)

    def _expire(self, at: datetime) -> None:
        for order in self.register.in_order():
            if order.is_open and order.expires_at <= at:
                ended = Event.CANCELED if order.time_in_force.is_immediate else Event.EXPIRED
                self.register.happen(order, ended, at)

    # -- orders -----------------------------------------------------------------------------

    def submit(self, account: Account, request: OrderRequest) -> Order:
        """Accept an order at the exchange's present time, or raise Refusal.

        What comes back is a copy of the order as the POST answers it; what happens next is a trade update.
        """
        today = self.now.astimezone(NEW_YORK).date()
        asset = listed_asset(self.catalogue, self.market.actions, request.symbol, today)
        situation = self._situation(account, asset, request)
        means = accept(situation)
        number = self.register.next_number(1 + legs_of(request))
        order = place(situation, means, Identity(self.market.seed, account.account_id, number))
        self.register.add(account, order)
        if order.is_unpriced and order.position_intent.is_closing:
            account.replace_reservation(order, ZERO, means.offered)
        for leg in order.legs:
            self.register.add(account, leg)
        family = family_of(order)
        if family is not None:
            self.register.add_family(family)
        answer = order.snapshot()
        if order.status is Status.PENDING_NEW:
            self._ask(Pending(Wish.NEW, account.account_id, order.order_id, self.now + self.rules.new_delay))
        return answer

    def cancel(self, order: Order) -> None:
        """Ask for an open order to be canceled; raises Refusal when it has ended or is being canceled or replaced."""
        if not order.is_open:
            raise refusals.unprocessable(f'order is already in "{order.status}" state')
        if order.status in REQUESTED:
            raise refusals.unprocessable(f"order {order.status.value.replace('_', ' ')}")
        if order.replaces is not None and self.acknowledgements.is_replacement(order):
            raise refusals.unprocessable("order chain not fully replaced")
        account = self.register.owners[order.number]
        due = self.now + self.rules.cancel_delay
        if due > self.now and Event.PENDING_CANCEL in TRANSITIONS[order.status]:
            self.register.happen(order, Event.PENDING_CANCEL, self.now)
        self._ask(Pending(Wish.CANCEL, account.account_id, order.order_id, due))

    def replace(self, account: Account, order: Order, request: ReplaceRequest) -> Order:
        """Ask for an open order to be replaced, or raise Refusal; a copy of the new order as the PATCH answers it.

        Whether it takes the place of the old one is told by trade updates: a fill may come first.
        """
        check_not_suspended(account)
        check_replaceable(order, request)
        check_client_order_id(account, request.client_order_id)
        check_room(account)
        identity = Identity(self.market.seed, account.account_id, self.register.orders_made + 1)
        new = replaced_with(
            order, request, identity, self.calendar, lambda: self.market.quote(order.asset, self.now), self.now
        )
        family = self.register.families.get(order.number)
        reservation = check_replacement(account, order, new, family, self.buying_power(account))
        self.register.next_number()
        self.register.add(account, new)
        account.replace_reservation(new, *reservation)
        answer = new.snapshot()
        due = self.now + self.rules.replace_delay
        if due > self.now:
            self.register.happen(order, Event.PENDING_REPLACE, self.now)
        self._ask(Pending(Wish.REPLACE, account.account_id, order.order_id, due, new.order_id, request.quantity))
        return answer

    def force(self, order: Order, event: Event) -> None:
        """Let an event happen to an order that the exchange alone would not bring about.

        Raises Refusal when the order cannot take it, and for what only a trade or a family decides.
        """
        if event in _MADE_BY_TRADES:
            raise refusals.unprocessable(f"only a trade makes a {event}")
        if event not in TRANSITIONS[order.status] or not order.is_open:
            raise refusals.unprocessable(f'order in "{order.status}" state knows no {event}')
        if order.status is Status.HELD and event is Event.NEW:
            raise refusals.unprocessable("a held order waits for the others of its family")
        self.register.happen(order, event, self.now)

    def _ask(self, pending: Pending) -> None:
        account = self.accounts[pending.account_id]
        if pending.due > self.now:
            self.acknowledgements.ask(account, pending)
        else:
            self.acknowledgements.answer(account, pending, self.now)

    def _situation(self, account: Account, asset: Asset, request: OrderRequest) -> Situation:
        return Situation(
            account=account,
            request=request,
            asset=asset,
            now=self.now,
            phase=self.trading.phase,
            calendar=self.calendar,
            quote_now=lambda: self.market.quote(asset, self.now),
            value_now=lambda: self.value(account),
            buying_power_now=lambda: self.buying_power(account),
        )

    # -- money ------------------------------------------------------------------------------

    def value(self, account: Account) -> Valuation:
        """What the account is worth at the last trades."""
        return valuation(
            account.cash,
            (
                Valued(one.quantity, dollars(self.market.quote(one.asset, self.now).last))
                for one in account.positions.values()
            ),
        )

    def multiplier(self, account: Account) -> int:
        """How many dollars the account may trade for each of its own: 1 is a cash account."""
        allowed = int(account.configuration.max_margin_multiplier)
        most = min(account.terms.margin_multiplier, allowed)
        return most if most == 1 or self.value(account).equity >= LEAST_EQUITY_ON_MARGIN else 1

    def buying_power(self, account: Account) -> Decimal:
        """Dollars that the account can still open positions with; see Valuation.buying_power."""
        if account.is_cash_account:
            return account.cash - account.reserved
        return self.value(account).buying_power(self.multiplier(account), account.reserved)

    def configure(self, account: Account, configuration: AccountConfiguration) -> None:
        """Set what the account's owner wants about it."""
        account.configuration = configuration

    def adjust_position(
        self, account: Account, asset: Asset, quantity_change: Decimal, price: Decimal, at: datetime | None = None
    ) -> None:
        """Put shares (signed) into an account at `price` dollars, as if somebody else had; no money moves."""
        self._custody.move_shares(account, asset, quantity_change, price, at or self.now)

    def adjust_cash(self, account: Account, change: Decimal, at: datetime | None = None) -> None:
        """Put dollars (signed) into an account, as if somebody else had."""
        self._custody.move_cash(account, change, at or self.now)

    # -- going on after a restart -----------------------------------------------------------

    def state(self) -> ExchangeState:
        """Everything that `restore` needs to go on from the present time; trade updates not taken are no part of it."""
        return save(self.now, self.register, self.acknowledgements, self.halts, self.accounts.values())

    def restore(self, state: ExchangeState) -> None:
        """Go on where `state` was taken; raises ValueError when it tells of accounts or assets unknown here."""
        self.now = state.now
        load(state, self.register, self.acknowledgements, self.halts, self.accounts, self.catalogue)
        self._halts_known = self.halts.listed()
        self.look_at_the_clock()

    # -- trade updates ----------------------------------------------------------------------

    @property
    def updates_dropped(self) -> int:
        """How many trade updates nobody took in time."""
        return self.register.updates.dropped

    def take_updates(self) -> list[TradeUpdate]:
        """Every trade update since the last call, in the order it happened."""
        return self.register.updates.take()
