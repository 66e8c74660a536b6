"""Bracket, OCO and OTO orders: what one order's event means for the others of its family.

Pure: says what is to follow, the exchange carries it out. At no time may two exits of a family be
able to trade: while the take profit works, the stop loss is held and only watches for its stop price.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, auto

from alpaca_simulator.exchange.lifecycle import TERMINAL, Event, Status
from alpaca_simulator.exchange.orders import Order, OrderClass


class Action(Enum):
    """What is to be done to another order of the family."""

    #: Begin to trade.
    ACTIVATE = auto()
    #: Stay held and watch for the stop price.
    ARM = auto()
    CANCEL = auto()
    EXPIRE = auto()
    #: Be as large as the other exit's rest.
    RESIZE = auto()


@dataclass(frozen=True, slots=True)
class Consequence:
    """One action on one order; `quantity` (shares) is set for RESIZE."""

    order: Order
    action: Action
    quantity: Decimal | None = None


@dataclass(slots=True)
class Family:
    """The orders of one bracket, OCO or OTO: the entry until it has filled, and the exits, take profit first."""

    order_class: OrderClass
    entry: Order | None
    exits: list[Order] = field(default_factory=list)

    def members(self) -> Iterator[Order]:
        """Every order of it that still matters."""
        if self.entry is not None:
            yield self.entry
        yield from self.exits

    def swap(self, old: Order, new: Order) -> None:
        """Let `new` take the place of `old`, which it replaces."""
        if self.entry is old:
            self.entry = new
        self.exits = [new if order is old else order for order in self.exits]


def consequences(family: Family, order: Order, event: Event) -> list[Consequence]:
    """What follows for the rest of `family` from what has just happened to `order`, in this order."""
    if order is family.entry:
        return _of_entry(family, order, event)
    # A stop loss whose price was reached has taken over: the end of the take profit is its own doing.
    others = [one for one in family.exits if one is not order and one.is_open and not one.is_triggered]
    if event is Event.PARTIAL_FILL:
        return [Consequence(other, Action.RESIZE, order.remaining) for other in others]
    if order.status not in TERMINAL or order.status is Status.REPLACED:
        return []
    if event is Event.EXPIRED:
        return [Consequence(other, Action.EXPIRE) for other in others]
    return [Consequence(other, Action.CANCEL) for other in others]


def before_trigger(family: Family, stop_loss: Order) -> list[Consequence]:
    """What has to happen before a stop loss whose price was reached may trade: the other exit ends."""
    return [Consequence(one, Action.CANCEL) for one in family.exits if one is not stop_loss and one.is_open]


def _of_entry(family: Family, entry: Order, event: Event) -> list[Consequence]:
    open_exits = [one for one in family.exits if one.is_open]
    if event is Event.FILL:
        return [_activation(family, one) for one in open_exits]
    if entry.status in TERMINAL and entry.status is not Status.REPLACED:
        return [Consequence(one, Action.CANCEL) for one in open_exits]
    return []


def _activation(family: Family, leg: Order) -> Consequence:
    waits = len(family.exits) > 1 and leg.order_type.has_stop
    return Consequence(leg, Action.ARM if waits else Action.ACTIVATE)
