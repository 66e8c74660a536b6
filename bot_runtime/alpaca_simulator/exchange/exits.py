"""Where the exits of bracket, OCO and OTO orders may stand: profit on one side of a price, loss on the other.

Pure functions of prices in dollars; the messages and the base price are Alpaca's.
"""

from __future__ import annotations

from decimal import Decimal

from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.orders import OrderRequest, PositionIntent, Side
from alpaca_simulator.market.prices import Quote
from alpaca_simulator.values.quantities import CENT, dollars


def check_exits(request: OrderRequest, intent: PositionIntent, quote: Quote) -> None:
    """Raise Refusal unless every exit is at least a cent on its side of the base price.

    The base is the entry's limit or stop, and for a stop loss the market as well (docs: threshold on stop price).
    """
    exit_side = request.side if intent.is_closing else request.side.opposite
    market = dollars(quote.bid if exit_side is Side.BUY else quote.ask)
    if intent.is_closing:
        check_apart(exit_side, request.take_profit, request.stop_loss.stop_price if request.stop_loss else None)
        bases = [market]
    else:
        entry = request.limit_price if request.order_type.has_limit else request.stop_price
        base = market if entry is None else entry
        _check_take_profit(exit_side, request.take_profit, base)
        bases = [base, market]
    for base in bases:
        _check_stop_loss(exit_side, request.stop_loss.stop_price if request.stop_loss else None, base)


def check_apart(exit_side: Side, take_profit: Decimal | None, stop_price: Decimal | None) -> None:
    """Raise Refusal unless the take profit is at least a cent beyond the stop loss."""
    if take_profit is None or stop_price is None:
        return
    if exit_side is Side.SELL and take_profit < stop_price + CENT:
        raise refusals.unprocessable("take_profit.limit_price must be > stop_loss.stop_price")
    if exit_side is Side.BUY and take_profit > stop_price - CENT:
        raise refusals.unprocessable("take_profit.limit_price must be < stop_loss.stop_price")


def _check_take_profit(exit_side: Side, limit_price: Decimal | None, base: Decimal) -> None:
    if limit_price is None:
        return
    if exit_side is Side.SELL and limit_price < base + CENT:
        raise refusals.unprocessable_price("take_profit.limit_price must be >= base_price + 0.01", base)
    if exit_side is Side.BUY and limit_price > base - CENT:
        raise refusals.unprocessable_price("take_profit.limit_price must be <= base_price - 0.01", base)


def _check_stop_loss(exit_side: Side, stop_price: Decimal | None, base: Decimal) -> None:
    if stop_price is None:
        return
    if exit_side is Side.SELL and stop_price > base - CENT:
        raise refusals.unprocessable_price("stop_loss.stop_price must be <= base_price - 0.01", base)
    if exit_side is Side.BUY and stop_price < base + CENT:
        raise refusals.unprocessable_price("stop_loss.stop_price must be >= base_price + 0.01", base)
