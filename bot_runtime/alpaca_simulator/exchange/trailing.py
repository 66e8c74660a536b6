"""Trailing stops: the high water mark follows the last trade, the stop price follows the mark.

Pure functions of an order and the market; regular hours only, which is the caller's to see to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from alpaca_simulator.exchange.orders import Order, Side
from alpaca_simulator.market.calendar import Session
from alpaca_simulator.market.prices import Market
from alpaca_simulator.values.quantities import CENT, HUNDRED, dollars


def stop_from(order: Order, mark: Decimal) -> Decimal:
    """The stop price that a high water mark (a low one for buys) gives, to the cent, in dollars."""
    distance = order.trail_price
    if distance is None:
        distance = mark * (order.trail_percent or Decimal(0)) / HUNDRED
    away = mark + distance if order.side is Side.BUY else mark - distance
    return away.quantize(CENT, rounding=ROUND_HALF_UP)


def first_trigger(market: Market, order: Order, session: Session, seconds: range) -> int | None:
    """The first of `seconds` (Unix epoch) whose last trade reaches the stop price as it will be then."""
    return next((step.epoch for step in _steps(market, order, session, seconds) if step.triggers), None)


def mark_after(market: Market, order: Order, session: Session, seconds: range) -> Decimal | None:
    """The high water mark after `seconds`, in dollars; it stops moving where the stop is reached."""
    mark = order.high_water_mark
    for step in _steps(market, order, session, seconds):
        if step.triggers:
            break
        mark = step.mark
    return mark


@dataclass(frozen=True, slots=True)
class _Step:
    """One second that changes something: the mark after it, and whether the stop was reached."""

    epoch: int
    mark: Decimal
    triggers: bool


def _steps(market: Market, order: Order, session: Session, seconds: range) -> Iterator[_Step]:
    if order.high_water_mark is None:
        return
    buying = order.side is Side.BUY
    mark = order.high_water_mark
    stop = stop_from(order, mark)
    bars = market.minutes(order.asset, session)
    epoch = seconds.start
    while epoch < seconds.stop:
        minute = (epoch - bars.start_epoch) // 60
        following = min(seconds.stop, bars.start_epoch + 60 * (minute + 1))
        low, high = dollars(bars.low[minute]), dollars(bars.high[minute])
        # Within these the minute neither moves the mark nor reaches the stop.
        is_quiet = (low >= mark and high < stop) if buying else (high <= mark and low > stop)
        is_quiet = is_quiet or not bars.volume[minute]
        for second in () if is_quiet else range(epoch, following):
            last = dollars(market.quote_in(order.asset, session, second).last)
            if (last >= stop) if buying else (last <= stop):
                yield _Step(second, mark, triggers=True)
                return
            if (last < mark) if buying else (last > mark):
                mark = last
                stop = stop_from(order, mark)
                yield _Step(second, mark, triggers=False)
        epoch = following
