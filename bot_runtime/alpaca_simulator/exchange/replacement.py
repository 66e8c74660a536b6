"""Replacing an order: whether it may be, and what the new order looks like.

Changes nothing: the exchange puts the new order in place when the replacement is acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.acceptance import opening_price, refuse_crossing
from alpaca_simulator.exchange.accounts import Account, needs
from alpaca_simulator.exchange.contingent import Family
from alpaca_simulator.exchange.exits import check_apart
from alpaca_simulator.exchange.lifecycle import NOT_REPLACEABLE, Status
from alpaca_simulator.exchange.orders import (
    Order,
    OrderClass,
    OrderType,
    ReplaceRequest,
    TimeInForce,
)
from alpaca_simulator.exchange.placing import Identity, expiry
from alpaca_simulator.exchange.trailing import stop_from
from alpaca_simulator.market.calendar import TradingCalendar
from alpaca_simulator.market.prices import Quote
from alpaca_simulator.values.identity import stable_uuid
from alpaca_simulator.values.quantities import ZERO, places


def check_replaceable(order: Order, request: ReplaceRequest) -> None:
    """Raise Refusal unless `order` can be changed in this way at all."""
    if order.status is Status.REPLACED:
        raise refusals.unprocessable("order already replaced")
    if order.status is Status.PENDING_NEW and order.replaces is not None:
        raise refusals.unprocessable("order chain not fully replaced")
    if order.status in NOT_REPLACEABLE:
        raise refusals.unprocessable(f"cannot replace order in {order.status} status")
    _check_fields(order, request)
    if _is_unchanged(order, request):
        raise refusals.unprocessable("order parameters are not changed")
    if request.quantity is not None:
        _check_quantity(order, request.quantity)


def _check_fields(order: Order, request: ReplaceRequest) -> None:
    kind = order.order_type
    name = kind.value.replace("_", " ")
    if request.limit_price is not None and not kind.has_limit:
        raise refusals.bad_parameter(f"{name} orders must not have limit_price")
    if request.stop_price is not None and kind not in {OrderType.STOP, OrderType.STOP_LIMIT}:
        raise refusals.bad_parameter(f"{name} orders must not have stop_price")
    if request.trail is not None and kind is not OrderType.TRAILING_STOP:
        raise refusals.bad_parameter(f"{name} orders must not have trail")
    if order.is_triggered and (request.trail is not None or request.stop_price is not None):
        raise refusals.unprocessable("stop price has already been reached")
    if request.time_in_force is not None and order.order_class is not OrderClass.SIMPLE:
        raise refusals.unprocessable("time_in_force cannot be changed for advanced orders")
    if request.time_in_force not in {None, order.time_in_force, TimeInForce.DAY, TimeInForce.GTC}:
        raise refusals.unprocessable('orders can only be replaced with "day" or "gtc" time_in_force')


def _is_unchanged(order: Order, request: ReplaceRequest) -> bool:
    trail = order.trail_price if order.trail_price is not None else order.trail_percent
    return (
        request.quantity in {None, order.quantity}
        and request.limit_price in {None, order.limit_price}
        and request.stop_price in {None, order.stop_price}
        and request.trail in {None, trail}
        and request.time_in_force in {None, order.time_in_force}
        and request.client_order_id in {None, order.client_order_id}
    )


def _check_quantity(order: Order, quantity: Decimal) -> None:
    if quantity == order.quantity:
        return
    if order.order_class is not OrderClass.SIMPLE:
        raise refusals.unprocessable("qty cannot be changed for advanced orders")
    if order.notional is not None:
        raise refusals.unprocessable("qty cannot be changed for notional orders")
    if places(quantity) > 0:
        raise refusals.unprocessable("qty must be integer")
    if quantity <= order.filled_quantity:
        raise refusals.unprocessable("qty must be > filled_qty")


def replaced_with(
    order: Order,
    request: ReplaceRequest,
    identity: Identity,
    calendar: TradingCalendar,
    quote: Callable[[], Quote],
    now: datetime,
) -> Order:
    """The order that takes the place of `order`: for what that one has not filled, under an id of its own."""
    order_id = identity.order_id
    tif = request.time_in_force or order.time_in_force
    limit_price = order.limit_price if request.limit_price is None else request.limit_price
    stop_price = order.stop_price if request.stop_price is None else request.stop_price
    new = replace(
        order,
        number=identity.number,
        order_id=order_id,
        client_order_id=request.client_order_id or str(stable_uuid(order_id, "client")),
        quantity=(order.quantity if request.quantity is None else request.quantity) - order.filled_quantity,
        notional=None if order.filled_quantity else order.notional,
        limit_price=limit_price,
        stop_price=stop_price,
        time_in_force=tif,
        trail_price=_trail(order.trail_price, request),
        trail_percent=_trail(order.trail_percent, request),
        status=Status.HELD if order.status is Status.HELD else Status.PENDING_NEW,
        created_at=now,
        updated_at=now,
        expires_at=order.expires_at if tif is order.time_in_force else expiry(calendar, tif, now, order.extended_hours),
        reserve_price=_reserve_price(order, limit_price, stop_price, quote),
        reserved=ZERO,
        offered=ZERO,
        filled_quantity=ZERO,
        filled_notional=ZERO,
        fills=0,
        # Only one of the two may trade: the new one is armed when it takes the place of the old one.
        is_armed=False,
        status_before=None,
        replaces=order.order_id,
        replaced_by=None,
    )
    if new.high_water_mark is not None:
        new.stop_price = stop_from(new, new.high_water_mark)
    return new


def check_replacement(
    account: Account, old: Order, new: Order, family: Family | None, buying_power: Decimal
) -> tuple[Decimal, Decimal]:
    """Dollars and shares the new order holds back beside the old one; raises Refusal when it may not take its place."""
    if family is not None:
        check_exits_apart(family, old, new)
    if old.order_class is OrderClass.SIMPLE:
        limit_price = new.limit_price if new.order_type.has_limit else None
        refuse_crossing(account.open_in(old.asset.symbol, old.side.opposite), old.side, limit_price)
    return check_means(account, old, new, buying_power)


def check_means(account: Account, old: Order, new: Order, buying_power: Decimal) -> tuple[Decimal, Decimal]:
    """Dollars and shares the new order holds back beside the old one; raises Refusal when they are not there.

    Together they hold back as much as the larger of the two (docs: replace an order).
    """
    reserved, offered = needs(replace(new, status=Status.NEW) if new.status is Status.PENDING_NEW else new)
    more_reserved, more_offered = max(ZERO, reserved - old.reserved), max(ZERO, offered - old.offered)
    symbol = old.asset.symbol
    if more_offered > account.available(symbol):
        raise refusals.insufficient_quantity(
            symbol, offered, abs(account.held(symbol)), account.held_for_orders(symbol) - old.offered
        )
    if more_reserved > 0 and more_reserved > buying_power:
        raise refusals.insufficient_buying_power(max(buying_power, ZERO), reserved)
    return more_reserved, more_offered


def check_exits_apart(family: Family, old: Order, new: Order) -> None:
    """Raise Refusal when the new exit would stand on the wrong side of the other one."""
    exits = [new if one is old else one for one in family.exits]
    take_profit = next((one.limit_price for one in exits if one.order_type is OrderType.LIMIT), None)
    stop_price = next((one.stop_price for one in exits if one.order_type.has_stop), None)
    if old in family.exits:
        check_apart(new.side, take_profit, stop_price)


def _reserve_price(
    order: Order, limit_price: Decimal | None, stop_price: Decimal | None, quote: Callable[[], Quote]
) -> Decimal:
    if order.position_intent.is_closing:
        return ZERO
    return opening_price(order.side, limit_price, stop_price, quote)


def _trail(trail: Decimal | None, request: ReplaceRequest) -> Decimal | None:
    return trail if trail is None or request.trail is None else request.trail
