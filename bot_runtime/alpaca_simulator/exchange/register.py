"""The register of open orders: carries out events on them, and whatever an event brings with it.

Every change of a status goes through `happen`: the account's books, the trade update, the activity
and the rest of the order's family follow from it here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from uuid import UUID

from alpaca_simulator.exchange.accounts import Account
from alpaca_simulator.exchange.activities import Activity, ActivityType
from alpaca_simulator.exchange.contingent import Action, Consequence, Family, before_trigger, consequences
from alpaca_simulator.exchange.lifecycle import WORKING, Event, Status
from alpaca_simulator.exchange.orders import Order, Side
from alpaca_simulator.exchange.rules import ExchangeRules
from alpaca_simulator.exchange.trailing import stop_from
from alpaca_simulator.exchange.updates import TradeUpdate, UpdateQueue
from alpaca_simulator.values.identity import stable_uuid
from alpaca_simulator.values.instants import NEW_YORK
from alpaca_simulator.values.quantities import ZERO


class Register:
    """Open orders of every account, by their number, with their owners and families."""

    def __init__(self, rules: ExchangeRules) -> None:
        self.rules = rules
        self.updates = UpdateQueue()
        self.orders_made = 0
        self.executions = 0
        self.open: dict[int, Order] = {}
        self.owners: dict[int, Account] = {}
        self.families: dict[int, Family] = {}
        self._fresh: list[Order] = []

    # -- orders come and go -----------------------------------------------------------------

    def next_number(self, orders: int = 1) -> int:
        """The number of the next order, after which `orders` numbers are taken."""
        first = self.orders_made + 1
        self.orders_made += orders
        return first

    def add(self, account: Account, order: Order) -> None:
        """Take an order on the books of its account."""
        account.add(order)
        self.open[order.number] = order
        self.owners[order.number] = account
        if order.is_working:
            self._fresh.append(order)

    def add_family(self, family: Family) -> None:
        """Let the orders of `family` follow one another from now on."""
        for order in family.members():
            self.families[order.number] = family

    def fresh(self) -> Iterable[Order]:
        """Orders that began to work, or changed what they wait for, since the last call."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def in_order(self) -> list[Order]:
        """Every open order in the order of arrival."""
        return [self.open[number] for number in sorted(self.open)]

    # -- what happens to them ---------------------------------------------------------------

    def happen(self, order: Order, event: Event, at: datetime) -> None:
        """Carry out an event that is no fill, and what follows from it."""
        account = self.owners[order.number]
        worked, was_held = order.is_working, order.standing is Status.HELD
        order.move(event, at)
        if not order.is_open:
            self._end(account, order)
        elif was_held:
            account.hold_back(order)
        if order.is_working and not worked:
            self._fresh.append(order)
        self._tell(account, order, event, at)
        self._follow_up(order, event, at)

    def fill(self, order: Order, quantity: Decimal, price: Decimal, at: datetime) -> None:
        """Exchange `quantity` shares at `price` dollars, and what follows from it."""
        account = self.owners[order.number]
        account.settle(order, quantity, price)
        event = Event.FILL if order.remaining == 0 else Event.PARTIAL_FILL
        order.move(event, at)
        if not order.is_open:
            self._end(account, order)
        execution_id = self._tell(account, order, event, at, price, quantity)
        write_fill(account, order, quantity, price, at, execution_id)
        self._follow_up(order, event, at)

    def trigger(self, order: Order, at: datetime) -> None:
        """Let an order whose stop price was reached begin to trade; a held one first ends the exit beside it."""
        order.is_triggered = True
        family = self.families.get(order.number)
        if family is None or order.standing is not Status.HELD:
            return
        self._carry_out(before_trigger(family, order), at)
        self._begin(order, at)

    def replace(self, old: Order, new: Order, quantity: Decimal, at: datetime) -> None:
        """Put `new`, for `quantity` shares, in the place of `old`: events on both, the family goes over to it."""
        worked = old.standing in WORKING
        _inherit(old, new, quantity)
        old.replaced_by = new.order_id
        family = self.families.get(old.number)
        if family is not None:
            family.swap(old, new)
            self.families[new.number] = family
            self._adopt(new, old)
        self.happen(old, Event.REPLACED, at)
        if worked:
            self.owners[new.number].hold_back(new)
            self.happen(new, Event.NEW, at)
        elif new.is_armed:
            self._fresh.append(new)

    def tell_again(self, order: Order, event: Event, at: datetime, account: Account) -> None:
        """Tell an event of an order that has ended already and stays as it is."""
        order.move(event, at)
        self._tell(account, order, event, at)

    def _begin(self, order: Order, at: datetime) -> None:
        """Let a held order trade."""
        if order.status is Status.HELD:
            self.happen(order, Event.NEW, at)
        else:
            # A request is under way: that one's answer is still to come, the order trades meanwhile.
            order.status_before = Status.NEW
            self.owners[order.number].hold_back(order)
            self._fresh.append(order)

    def _adopt(self, new: Order, old: Order) -> None:
        """Let parents point to the new leg, and legs to the new parent."""
        for leg in new.legs:
            leg.parent_id = new.order_id
        parent = None if new.parent_id is None else self.owners[new.number].order(new.parent_id)
        if parent is not None:
            parent.legs = tuple(new if leg is old else leg for leg in parent.legs)

    def _end(self, account: Account, order: Order) -> None:
        account.close(order)
        del self.open[order.number], self.owners[order.number]

    def _follow_up(self, order: Order, event: Event, at: datetime) -> None:
        family = self.families.get(order.number)
        if family is None:
            return
        self._carry_out(consequences(family, order, event), at)
        if order is family.entry and event is Event.FILL:
            family.entry = None
        if not order.is_open:
            self.families.pop(order.number, None)

    def _carry_out(self, what_follows: list[Consequence], at: datetime) -> None:
        for one in what_follows:
            order = one.order
            if not order.is_open:
                # An action before has already brought it to its end.
                continue
            match one.action:
                case Action.ACTIVATE:
                    self._begin(order, at)
                case Action.ARM:
                    order.is_armed = True
                    self._fresh.append(order)
                case Action.CANCEL:
                    self.happen(order, Event.CANCELED, at)
                case Action.EXPIRE:
                    ended = Event.EXPIRED if order.expires_at <= at else Event.CANCELED
                    self.happen(order, ended, at)
                case Action.RESIZE:
                    order.quantity = order.filled_quantity + (one.quantity or ZERO)
                    self.owners[order.number].hold_back(order)

    def _tell(
        self,
        account: Account,
        order: Order,
        event: Event,
        at: datetime,
        price: Decimal | None = None,
        quantity: Decimal | None = None,
    ) -> UUID:
        account.event_counts[event] += 1
        self.executions += 1
        execution_id = stable_uuid(order.order_id, event, self.executions)
        self.updates.put(
            TradeUpdate(
                account_id=account.account_id,
                event=event,
                at=at,
                execution_id=execution_id,
                order=order.snapshot(),
                price=price,
                quantity=quantity,
                position_quantity=None if price is None else account.held(order.asset.symbol),
            ),
            self.rules.updates_kept,
        )
        return execution_id


def _inherit(old: Order, new: Order, quantity: Decimal) -> None:
    """Give `new` what has become of `old` since the replacement was asked for."""
    new.quantity = quantity
    new.is_armed, new.is_triggered = old.is_armed, old.is_triggered
    new.followed_until = old.followed_until
    if old.high_water_mark is not None:
        new.high_water_mark = old.high_water_mark
        new.stop_price = stop_from(new, old.high_water_mark)


def write_fill(
    account: Account, order: Order, quantity: Decimal, price: Decimal, at: datetime, execution_id: UUID
) -> None:
    """Write a fill into the account's activities, under the id of its execution."""
    buying = order.side is Side.BUY
    account.activities_written += 1
    account.activities.append(
        Activity(
            number=account.activities_written,
            activity_id=_activity_id(at, execution_id),
            activity_type=ActivityType.FILL,
            at=at,
            symbol=order.asset.symbol,
            quantity=quantity if buying else -quantity,
            price=price,
            net_amount=-quantity * price if buying else quantity * price,
            order_id=order.order_id,
            side=order.side.value,
            cumulative_quantity=order.filled_quantity,
            leaves_quantity=order.remaining,
            order_status=order.status.value,
        )
    )


def write(
    account: Account,
    kind: ActivityType,
    at: datetime,
    symbol: str | None,
    quantity: Decimal,
    price: Decimal | None,
    net_amount: Decimal,
    description: str,
) -> None:
    """Write what moved without an order into the account's activities; amounts as Activity says."""
    account.activities_written += 1
    number = account.activities_written
    activity_id = _activity_id(at, stable_uuid(account.account_id, "activity", number))
    account.activities.append(Activity(number, activity_id, kind, at, symbol, quantity, price, net_amount, description))


def _activity_id(at: datetime, identity: UUID) -> str:
    """Alpaca's form: the moment to the millisecond, and an id; in the order of time as text."""
    return f"{_moment(at)}::{identity}"


@lru_cache(maxsize=64)
def _moment(at: datetime) -> str:
    """In New York's time, as Alpaca has it. Many fills happen at one moment."""
    return f"{at.astimezone(NEW_YORK):%Y%m%d%H%M%S}{at.microsecond // 1000:03d}"
