"""When an order trades and for how much: pure functions of an order and the market's quotes.

Nothing here changes an order. The market is a function of time, so the next thing that can happen
to an order is found by looking ahead, not by waiting for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

from alpaca_simulator.exchange.orders import Order, OrderType, Side, TimeInForce
from alpaca_simulator.exchange.phases import Phase
from alpaca_simulator.exchange.rules import ExchangeRules
from alpaca_simulator.exchange.trailing import first_trigger
from alpaca_simulator.market.prices import Market, Quote
from alpaca_simulator.values.identity import unit_draw
from alpaca_simulator.values.quantities import RATIO_STEP, cents_at_least, cents_at_most, dollars


@dataclass(frozen=True, slots=True)
class Offer:
    """What one quote would give an order: shares and dollars a share."""

    quantity: Decimal
    price: Decimal


def trades_in(order: Order, phase: Phase) -> bool:
    """Whether an order like this takes part in that part of the day at all."""
    if not order.is_working or order.time_in_force.is_auction:
        return False
    return order.extended_hours or not phase.is_extended


def first_chance(market: Market, order: Order, phase: Phase, parts: Iterable[range]) -> int | None:
    """The first of the seconds in `parts` (in order, halts cut out) in which something happens to `order`."""
    for seconds in parts:
        found = _first_chance(market, order, phase, seconds)
        if found is not None:
            return found
    return None


def _first_chance(market: Market, order: Order, phase: Phase, seconds: range) -> int | None:
    if order.order_type.has_stop and not order.is_triggered:
        return _first_trigger(market, order, phase, seconds)
    limit = order.limit_price if order.order_type.has_limit else None
    if limit is None and _trades_at(market, order, phase, seconds.start):
        return seconds.start
    buying = order.side is Side.BUY
    quote = market.first_quote(
        order.asset,
        phase.session,
        seconds,
        ask_at_most=None if limit is None or not buying else cents_at_most(limit),
        bid_at_least=None if limit is None or buying else cents_at_least(limit),
    )
    return None if quote is None else int(quote.at.timestamp())


def _trades_at(market: Market, order: Order, phase: Phase, epoch: int) -> bool:
    """Whether anything trades in the minute of that second of regular hours: replayed prices may have gaps."""
    bars = market.minutes(order.asset, phase.session)
    return bool(bars.volume[(epoch - bars.start_epoch) // 60])


def _first_trigger(market: Market, order: Order, phase: Phase, seconds: range) -> int | None:
    if order.order_type is OrderType.TRAILING_STOP:
        return first_trigger(market, order, phase.session, seconds)
    if order.stop_price is None:
        return None
    buying = order.side is Side.BUY
    quote = market.first_trade(
        order.asset,
        phase.session,
        seconds,
        at_least=cents_at_least(order.stop_price) if buying else None,
        at_most=None if buying else cents_at_most(order.stop_price),
    )
    return None if quote is None else int(quote.at.timestamp())


def crosses(order: Order, price: Decimal) -> bool:
    """Whether `price` is as good as the order's limit or better; without a limit every price is."""
    if not order.order_type.has_limit or order.limit_price is None:
        return True
    return price <= order.limit_price if order.side is Side.BUY else price >= order.limit_price


def quoted_price(order: Order, quote: Quote) -> Decimal:
    """Dollars a share at which `order` would trade now: buys at the ask, sells at the bid."""
    return dollars(quote.ask if order.side is Side.BUY else quote.bid)


def shares_wanted(order: Order, price: Decimal) -> Decimal:
    """Shares still to trade; of a notional order as many as its dollars buy at `price`, to nine decimals."""
    if order.is_unpriced and order.notional is not None:
        return (order.notional / price).quantize(RATIO_STEP, rounding=ROUND_FLOOR)
    return order.remaining


def fill_quantity(rules: ExchangeRules, seed: int, order: Order, wanted: Decimal, at_most: Decimal | None) -> Decimal:
    """How many of the `wanted` shares one quote fills: all, what is left of its size, or by chance about half.

    `at_most` None is no limit. A fill-or-kill order gets all or nothing.
    """
    half = (wanted / 2).to_integral_value(rounding=ROUND_FLOOR)
    quantity = wanted
    if rules.partial_fill_probability > 0 and half >= 1:
        drawn = unit_draw(seed, "partial fill", order.order_id, order.fills)
        quantity = half if drawn < rules.partial_fill_probability else wanted
    if at_most is not None:
        quantity = min(quantity, at_most)
    if order.time_in_force is TimeInForce.FOK and quantity < wanted:
        return Decimal(0)
    return quantity
