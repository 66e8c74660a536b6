"""Requests that the exchange has not acted on yet: new orders, cancels and replacements under way.

Between request and acknowledgement the market goes on, so a fill may come first: then the request is
rejected, as on a real exchange.
"""

from __future__ import annotations

from datetime import datetime

from alpaca_simulator.exchange.accounts import Account
from alpaca_simulator.exchange.agenda import Agenda, Pending, Wish
from alpaca_simulator.exchange.lifecycle import TRANSITIONS, Event, Status
from alpaca_simulator.exchange.orders import Order
from alpaca_simulator.exchange.register import Register


class Acknowledgements:
    """What was asked for and is still to be answered, in the order it is due."""

    def __init__(self, register: Register, agenda: Agenda) -> None:
        self.waiting: dict[int, tuple[Account, Pending]] = {}
        self.requests = 0
        self._register = register
        self._agenda = agenda

    def ask(self, account: Account, pending: Pending) -> None:
        """Answer a request when it is due."""
        self.requests += 1
        self.waiting[self.requests] = (account, pending)
        self._agenda.put_acknowledgement(pending.due, self.requests)

    def is_replacement(self, order: Order) -> bool:
        """Whether `order` is still to take the place of another one."""
        return any(pending.replacement_id == order.order_id for _, pending in self.waiting.values())

    def order_of(self, number: int) -> Order | None:
        """The order that the request of that number is about."""
        account, pending = self.waiting[number]
        return account.order(pending.order_id)

    def carry_out(self, number: int, at: datetime) -> None:
        """Answer the request of that number."""
        account, pending = self.waiting.pop(number)
        self.answer(account, pending, at)

    def answer(self, account: Account, pending: Pending, at: datetime) -> None:
        """Do what was asked for, or reject it when the order can no longer take it."""
        order = account.order(pending.order_id)
        if order is None:
            return
        match pending.wish:
            case Wish.NEW:
                if order.status is Status.PENDING_NEW:
                    self._register.happen(order, Event.NEW, at)
            case Wish.CANCEL:
                self._cancel(account, order, at)
            case Wish.REPLACE:
                self._replace(account, order, pending, at)

    def _cancel(self, account: Account, order: Order, at: datetime) -> None:
        if order.is_open:
            self._register.happen(order, Event.CANCELED, at)
        else:
            self._register.tell_again(order, Event.ORDER_CANCEL_REJECTED, at, account)

    def _replace(self, account: Account, old: Order, pending: Pending, at: datetime) -> None:
        new = None if pending.replacement_id is None else account.order(pending.replacement_id)
        total = old.quantity if pending.quantity is None else pending.quantity
        quantity = total - old.filled_quantity
        if new is not None and old.is_open and can_begin(new) and (quantity > 0 or old.is_unpriced):
            self._register.replace(old, new, quantity, at)
            return
        if not old.is_open:
            self._register.tell_again(old, Event.ORDER_REPLACE_REJECTED, at, account)
        elif Event.ORDER_REPLACE_REJECTED in TRANSITIONS[old.status]:
            self._register.happen(old, Event.ORDER_REPLACE_REJECTED, at)
        if new is not None and new.is_open:
            ended = Event.REJECTED if Event.REJECTED in TRANSITIONS[new.status] else Event.CANCELED
            self._register.happen(new, ended, at)


def can_begin(new: Order) -> bool:
    """Whether nothing has happened to a replacement that keeps it from taking its place."""
    return new.is_open and (new.status is Status.HELD or Event.NEW in TRANSITIONS[new.status])
