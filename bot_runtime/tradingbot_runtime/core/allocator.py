"""From target weights and holdings to intents: what would have to be bought or sold. Orders nothing itself.

Whole shares, long only in this version. Exits come before entries, so that what they free can be used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, Decimal

from tradingbot_runtime.core.orders import Order
from tradingbot_runtime.core.portfolio import Portfolio
from tradingbot_runtime.core.values import OrderClass, OrderType, Side, TimeInForce
from tradingbot_runtime.strategies.handling import Bracket

_ZERO = Decimal(0)
_CENT = Decimal("0.01")
_BASIS_POINT = Decimal("0.0001")


@dataclass(frozen=True)
class Execution:
    """How intents become orders. `limit_offset_bps` above zero crosses the spread, below zero rests behind it."""

    use_market_orders: bool
    limit_offset_bps: int
    min_trade_percent: Decimal
    reprice_bps: int = 0
    bracket: Bracket | None = None
    """Exits that the broker holds for each entry."""


@dataclass(frozen=True)
class Intent:
    """A wish to trade: shares of a symbol, at the last price seen, with a limit price or None for market."""

    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    limit_price: Decimal | None
    reason: str
    stop_price: Decimal | None = None
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    order_class: OrderClass = OrderClass.SIMPLE
    take_profit_price: Decimal | None = None
    stop_loss_price: Decimal | None = None
    stop_loss_limit_price: Decimal | None = None

    @property
    def order_type(self) -> OrderType:
        """The type that the prices make it."""
        if self.trail_price is not None or self.trail_percent is not None:
            return OrderType.TRAILING_STOP
        if self.stop_price is not None:
            return OrderType.STOP if self.limit_price is None else OrderType.STOP_LIMIT
        return OrderType.MARKET if self.limit_price is None else OrderType.LIMIT

    @property
    def reducing(self) -> bool:
        """Whether it only makes a position smaller (long only: every sell does)."""
        return self.side is Side.SELL


@dataclass(frozen=True)
class Allocation:
    """What to trade now, and which open orders no longer lead to the targets."""

    intents: tuple[Intent, ...]
    obsolete: tuple[Order, ...]
    repriced: tuple[tuple[Order, Intent], ...] = ()
    """Open orders whose limit is too far from the market's, and what they are to become."""


def allocate(
    weights: Mapping[str, Decimal],
    prices: Mapping[str, Decimal],
    portfolio: Portfolio,
    open_orders: Mapping[str, Order],
    capital: Decimal,
    execution: Execution,
) -> Allocation:
    """Compares targets with holdings, symbol by symbol.

    `weights` are shares of the capital; a symbol that is absent keeps what it has. A symbol with an open order
    (in `open_orders`) gets no second one: the order is kept while it still goes the right way, or is obsolete.
    """
    intents: list[Intent] = []
    obsolete: list[Order] = []
    repriced: list[tuple[Order, Intent]] = []
    for symbol in sorted(weights):
        price = prices.get(symbol)
        if price is None or price <= 0:
            continue
        wanted = _wanted(weights[symbol], price, portfolio.qty(symbol), capital, execution)
        order = open_orders.get(symbol)
        if order is not None:
            too_much = order.remaining_qty > abs(wanted)
            if wanted == 0 or too_much or (wanted > 0) != (order.side is Side.BUY):
                obsolete.append(order)
            else:
                intent = _intent(symbol, wanted, price, weights[symbol], execution)
                if _is_far(order, intent, execution):
                    repriced.append((order, intent))
        elif wanted != 0:
            intents.append(_intent(symbol, wanted, price, weights[symbol], execution))
    return Allocation(tuple(sorted(intents, key=lambda intent: not intent.reducing)), tuple(obsolete), tuple(repriced))


def _is_far(order: Order, intent: Intent, execution: Execution) -> bool:
    if not execution.reprice_bps or order.limit_price is None or intent.limit_price is None:
        return False
    away = abs(intent.limit_price - order.limit_price) / order.limit_price
    return away > execution.reprice_bps * _BASIS_POINT


def _wanted(weight: Decimal, price: Decimal, held: Decimal, capital: Decimal, execution: Execution) -> Decimal:
    target = (max(weight, _ZERO) * capital / price).to_integral_value(rounding=ROUND_DOWN)
    wanted = target - held
    if target != 0 and abs(wanted) * price < capital * execution.min_trade_percent / 100:
        return _ZERO  # too small to be worth its costs; a full exit is never too small
    return wanted


def _intent(symbol: str, wanted: Decimal, price: Decimal, weight: Decimal, execution: Execution) -> Intent:
    side = Side.BUY if wanted > 0 else Side.SELL
    intent = Intent(
        symbol=symbol,
        side=side,
        qty=abs(wanted),
        price=price,
        limit_price=None if execution.use_market_orders else _limit_price(side, price, execution),
        reason=f"target weight {weight:.4f}",
    )
    return intent if execution.bracket is None or intent.reducing else _with_bracket(intent, execution.bracket)


def _with_bracket(entry: Intent, bracket: Bracket) -> Intent:
    """The entry with its exits, measured from the price it was decided at; they outlast the day."""
    price, dearest = entry.price, max(entry.price, entry.limit_price or entry.price)
    stop = None if bracket.stop_loss is None else (price * (1 - bracket.stop_loss)).quantize(_CENT)
    if stop is not None:
        # Nor a stop that is not below what it is bought for.
        stop = max(min(stop, min(price, entry.limit_price or price).quantize(_CENT) - _CENT), _CENT)
    take = None if bracket.take_profit is None else (price * (1 + bracket.take_profit)).quantize(_CENT)
    if take is not None:
        take = max(take, dearest.quantize(_CENT) + _CENT)  # the broker refuses a profit below the limit of the entry
    return replace(
        entry,
        order_class=OrderClass.OTO if stop is None or take is None else OrderClass.BRACKET,
        time_in_force=TimeInForce.GTC,
        stop_loss_price=stop,
        take_profit_price=take,
    )


def _limit_price(side: Side, price: Decimal, execution: Execution) -> Decimal:
    offset = _BASIS_POINT * execution.limit_offset_bps * (1 if side is Side.BUY else -1)
    return max((price * (1 + offset)).quantize(_CENT), _CENT)
