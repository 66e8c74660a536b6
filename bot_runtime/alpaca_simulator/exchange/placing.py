"""An accepted request becomes orders: the order itself, and the legs that come with it.

Decides nothing about whether an order may be placed; gives it its numbers, ids and first status.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from alpaca_simulator.exchange.acceptance import Means, Situation
from alpaca_simulator.exchange.contingent import Family
from alpaca_simulator.exchange.lifecycle import Status
from alpaca_simulator.exchange.orders import (
    Order,
    OrderClass,
    OrderRequest,
    OrderType,
    PositionIntent,
    Side,
    StopLoss,
    TimeInForce,
)
from alpaca_simulator.exchange.trailing import stop_from
from alpaca_simulator.market.calendar import EXTENDED_HOURS_AFTER_CLOSE, TradingCalendar
from alpaca_simulator.values.identity import stable_uuid
from alpaca_simulator.values.instants import epoch_floor, from_epoch
from alpaca_simulator.values.quantities import ZERO, dollars

GTC_LIFE = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who an order is: its number on the exchange, and the seed and account its ids are made from."""

    seed: int
    account_id: UUID
    number: int

    @property
    def order_id(self) -> UUID:
        """The same for the same order of the same simulator."""
        return stable_uuid(self.seed, self.account_id, "order", self.number)

    def leg(self, index: int) -> Identity:
        """Of the order's leg number `index`, counted from 1."""
        return Identity(self.seed, self.account_id, self.number + index)


def place(situation: Situation, means: Means, identity: Identity) -> Order:
    """The order as it stands on the books at first, its legs held."""
    request, order_id = situation.request, identity.order_id
    order = Order(
        number=identity.number,
        order_id=order_id,
        client_order_id=request.client_order_id or str(stable_uuid(order_id, "client")),
        asset=situation.asset,
        side=request.side,
        order_type=request.order_type,
        time_in_force=request.time_in_force,
        quantity=request.quantity or ZERO,
        notional=request.notional,
        limit_price=request.limit_price,
        stop_price=request.stop_price,
        trail_price=request.trail_price,
        trail_percent=request.trail_percent,
        extended_hours=request.extended_hours,
        order_class=request.order_class,
        position_intent=situation.intent,
        status=Status.PENDING_NEW if situation.trades_now else Status.ACCEPTED,
        created_at=situation.now,
        updated_at=situation.now,
        expires_at=expiry(situation.calendar, request.time_in_force, situation.now, request.extended_hours),
        reserve_price=means.reserve_price,
    )
    if order.order_type is OrderType.TRAILING_STOP:
        start_trailing(order, dollars(situation.quote.last), situation.now)
    if order.order_class is not OrderClass.SIMPLE:
        order.legs = tuple(_legs(request, order, identity))
    return order


def start_trailing(order: Order, last_price: Decimal, now: datetime) -> None:
    """Put a trailing stop's high water mark at `last_price` dollars."""
    order.high_water_mark = last_price
    order.stop_price = stop_from(order, last_price)
    order.followed_until = epoch_floor(now)


def family_of(order: Order) -> Family | None:
    """The family a new order begins, None for one that stands alone.

    Of an OCO the take profit is the order and the stop loss its leg, which watches from the start.
    """
    match order.order_class:
        case OrderClass.SIMPLE:
            return None
        case OrderClass.OCO:
            return Family(order.order_class, None, [order, *order.legs])
        case OrderClass.BRACKET | OrderClass.OTO:
            return Family(order.order_class, order, list(order.legs))


def expiry(calendar: TradingCalendar, tif: TimeInForce, now: datetime, extended_hours: bool) -> datetime:
    """When an order taken at `now` expires; raises OutsideCalendarError near the calendar's end."""
    if tif is TimeInForce.OPG:
        return calendar.next_opening(now).opens_at
    closing = calendar.next_closing(now)
    if tif is TimeInForce.GTC:
        last_day = (now + GTC_LIFE).date()
        return max((closing, *calendar.between(closing.day, last_day)), key=lambda one: one.number).closes_at
    if not extended_hours:
        return closing.closes_at
    running = calendar.next_closing(now - timedelta(seconds=EXTENDED_HOURS_AFTER_CLOSE))
    return from_epoch(running.after_hours_epoch)


def _legs(request: OrderRequest, parent: Order, identity: Identity) -> Iterator[Order]:
    side = parent.side if request.order_class is OrderClass.OCO else parent.side.opposite
    wanted: list[tuple[OrderType, Decimal | None, StopLoss | None]] = []
    if request.take_profit is not None and request.order_class is not OrderClass.OCO:
        wanted.append((OrderType.LIMIT, request.take_profit, None))
    if request.stop_loss is not None:
        has_limit = request.stop_loss.limit_price is not None
        kind = OrderType.STOP_LIMIT if has_limit else OrderType.STOP
        wanted.append((kind, request.stop_loss.limit_price, request.stop_loss))
    for index, (order_type, limit_price, stop_loss) in enumerate(wanted, 1):
        yield _leg(parent, identity.leg(index), side, order_type, limit_price, stop_loss)


def _leg(
    parent: Order,
    identity: Identity,
    side: Side,
    order_type: OrderType,
    limit_price: Decimal | None,
    stop_loss: StopLoss | None,
) -> Order:
    order_id = identity.order_id
    return Order(
        number=identity.number,
        order_id=order_id,
        client_order_id=str(stable_uuid(order_id, "client")),
        asset=parent.asset,
        side=side,
        order_type=order_type,
        time_in_force=parent.time_in_force,
        quantity=parent.quantity,
        notional=None,
        limit_price=limit_price,
        stop_price=stop_loss.stop_price if stop_loss else None,
        trail_price=None,
        trail_percent=None,
        extended_hours=False,
        order_class=parent.order_class,
        position_intent=PositionIntent.of(side, closing=True),
        status=Status.HELD,
        created_at=parent.created_at,
        updated_at=parent.updated_at,
        expires_at=parent.expires_at,
        is_armed=parent.order_class is OrderClass.OCO,
        parent_id=parent.order_id,
    )
