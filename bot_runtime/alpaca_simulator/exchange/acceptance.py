"""What a new order has to pass before it is taken, one named check after the other, in Alpaca's order.

Every check reads a situation and raises Refusal or does nothing; none changes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import ROUND_CEILING, Decimal
from functools import cached_property

from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.accounts import Account
from alpaca_simulator.exchange.exits import check_exits
from alpaca_simulator.exchange.lifecycle import Status
from alpaca_simulator.exchange.margin import LEAST_EQUITY_ON_MARGIN, SHORT_SALE_FACTOR, Valuation
from alpaca_simulator.exchange.orders import (
    Order,
    OrderClass,
    OrderRequest,
    OrderType,
    PositionIntent,
    Side,
    TimeInForce,
)
from alpaca_simulator.exchange.phases import Phase
from alpaca_simulator.market.assets import Asset, AssetCatalogue
from alpaca_simulator.market.calendar import TradingCalendar
from alpaca_simulator.market.corporate_actions import CorporateActions
from alpaca_simulator.market.prices import Quote
from alpaca_simulator.values.instants import NEW_YORK
from alpaca_simulator.values.quantities import RATIO_STEP, ZERO, dollars, places

LEAST_NOTIONAL = Decimal(1)
#: Orders for an auction of the next session are taken from this time on, in New York.
AUCTION_ORDERS_FROM = time(19)
OPG_CUTOFF = timedelta(minutes=2)
CLS_CUTOFF = timedelta(minutes=10)

_DAY_OR_GTC = {TimeInForce.DAY, TimeInForce.GTC}


@dataclass(frozen=True)
class Situation:
    """Everything a new order is judged by. `phase` None while nothing trades at all."""

    account: Account
    request: OrderRequest
    asset: Asset
    now: datetime
    phase: Phase | None
    calendar: TradingCalendar
    quote_now: Callable[[], Quote]
    value_now: Callable[[], Valuation]
    buying_power_now: Callable[[], Decimal]

    @cached_property
    def quote(self) -> Quote:
        """The market's quote at the time of the order."""
        return self.quote_now()

    @property
    def trades_now(self) -> bool:
        """Whether the order meets a market that is open for it."""
        return self.phase is not None and (not self.phase.is_extended or self.request.extended_hours)

    @cached_property
    def intent(self) -> PositionIntent:
        """What the order would do to the position as it is now."""
        held = self.account.held(self.asset.symbol)
        closing = held != 0 and (held > 0) == (self.request.side is Side.SELL)
        return PositionIntent.of(self.request.side, closing=closing)

    @property
    def is_fractional(self) -> bool:
        """Whether it asks for parts of a share, or for dollars."""
        quantity = self.request.quantity
        return quantity is None or places(quantity) > 0


@dataclass(frozen=True, slots=True)
class Means:
    """What an accepted order holds back: dollars for each unfilled share, and shares of the position."""

    reserve_price: Decimal = ZERO
    offered: Decimal = ZERO


def listed_asset(catalogue: AssetCatalogue, actions: CorporateActions, symbol: str, today: date) -> Asset:
    """The asset of that symbol or id; raises Refusal when there is none or it does not trade."""
    asset = catalogue.find(symbol)
    if asset is None:
        raise refusals.unprocessable(f'asset "{symbol}" not found')
    if not asset.active or not actions.is_listed(asset.symbol, today):
        raise refusals.unprocessable(f"asset {asset.symbol} is not active")
    if not asset.tradable:
        raise refusals.unprocessable(f"asset {asset.symbol} is not tradable")
    return asset


def accept(situation: Situation) -> Means:
    """What the order may hold back; raises Refusal at the first check that fails."""
    check_not_suspended(situation.account)
    check_fractions(situation)
    check_extended_hours(situation.request)
    check_time_in_force(situation.request)
    check_order_class(situation)
    check_window(situation)
    check_client_order_id(situation.account, situation.request.client_order_id)
    check_room(situation.account, situation.request)
    check_intent(situation)
    check_short_sale(situation)
    if situation.request.order_class is not OrderClass.SIMPLE:
        check_exits(situation.request, situation.intent, situation.quote)
    check_wash_trade(situation)
    return find_means(situation)


def check_not_suspended(account: Account) -> None:
    """The owner may have stopped new orders."""
    if account.configuration.suspend_trade:
        raise refusals.forbidden("new orders are rejected by user request")


def check_fractions(situation: Situation) -> None:
    """Parts of a share trade for the day, alone, by a type with a known price, and for a dollar at least."""
    request = situation.request
    if not situation.is_fractional:
        return
    if not situation.asset.fractionable:
        raise refusals.forbidden(f'asset "{situation.asset.symbol}" is not fractionable')
    if not situation.account.configuration.fractional_trading:
        raise refusals.forbidden("fractional trading is disabled for this account")
    if request.order_class is not OrderClass.SIMPLE:
        raise refusals.unprocessable("fractional orders must be simple orders")
    if request.time_in_force is not TimeInForce.DAY:
        raise refusals.unprocessable("fractional orders must be DAY orders")
    if request.order_type is OrderType.TRAILING_STOP:
        raise refusals.unprocessable("fractional orders must be market, limit, stop or stop_limit orders")
    if request.notional is not None and request.notional < LEAST_NOTIONAL:
        raise refusals.unprocessable("notional must be >= 1.00")


def check_extended_hours(request: OrderRequest) -> None:
    """Outside regular hours only limit orders trade, of themselves and for a day or longer."""
    if not request.extended_hours:
        return
    if request.order_class is not OrderClass.SIMPLE:
        raise refusals.forbidden(f"{request.order_class} orders do not support extended hours trading")
    if request.order_type.has_stop:
        raise refusals.unprocessable("stop orders are not eligible for extended hours trading")
    if request.order_type is not OrderType.LIMIT or request.time_in_force not in _DAY_OR_GTC:
        raise refusals.unprocessable("extended hours order must be DAY or GTC limit orders")


def check_time_in_force(request: OrderRequest) -> None:
    """Whatever waits for a price waits for a day or until canceled."""
    if request.order_type.has_stop and request.time_in_force not in _DAY_OR_GTC:
        name = request.order_type.value.replace("_", " ")
        raise refusals.unprocessable(f'{name} orders support only "day" or "gtc" time_in_force')


def check_order_class(situation: Situation) -> None:
    """Brackets and OTOs enter, OCOs exit; all of them for a day or until canceled."""
    request = situation.request
    if request.order_class is OrderClass.SIMPLE:
        return
    if request.time_in_force not in _DAY_OR_GTC:
        raise refusals.bad_parameter(f'{request.order_class} orders support only "day" or "gtc" time_in_force')
    is_exit = request.order_class is OrderClass.OCO
    if is_exit and request.order_type is not OrderType.LIMIT:
        raise refusals.unprocessable("oco orders must be limit orders")
    if is_exit != situation.intent.is_closing:
        kind = "exit" if is_exit else "entry"
        raise refusals.unprocessable(f"{request.order_class} orders must be {kind} orders")


def check_window(situation: Situation) -> None:
    """Immediate orders need an open market, auction orders have to come before their auction's cutoff."""
    tif, now = situation.request.time_in_force, situation.now
    if tif.is_immediate and not situation.trades_now:
        raise refusals.unprocessable(f"{tif} orders are only accepted while the market is open")
    if not tif.is_auction:
        return
    local = now.astimezone(NEW_YORK)
    session = situation.calendar.on(local.date())
    if session is None or local.time() >= AUCTION_ORDERS_FROM:
        return
    if tif is TimeInForce.OPG and now >= session.opens_at - OPG_CUTOFF:
        raise refusals.forbidden("opg orders must be submitted after 7:00pm and before 9:28am")
    if tif is TimeInForce.CLS and now >= session.closes_at - CLS_CUTOFF:
        raise refusals.forbidden("cls orders must be submitted after 7:00pm and before 3:50pm")


def check_client_order_id(account: Account, client_order_id: str | None) -> None:
    """An id is used once for ever."""
    if client_order_id is not None and account.knows_client_order_id(client_order_id):
        raise refusals.bad_parameter("client_order_id must be unique")


def check_room(account: Account, request: OrderRequest | None = None) -> None:
    """What an account may keep has an end; legs count as orders."""
    more = 1 if request is None else 1 + legs_of(request)
    if account.orders_ever + more > account.limits.orders_ever:
        raise refusals.forbidden(f"account has reached its {account.limits.orders_ever} orders")
    if len(account.open_orders) + more > account.limits.open_orders:
        raise refusals.forbidden(f"account has reached its {account.limits.open_orders} open orders")


def legs_of(request: OrderRequest) -> int:
    """How many orders come along with it."""
    match request.order_class:
        case OrderClass.BRACKET:
            return 2
        case OrderClass.OCO | OrderClass.OTO:
            return 1
        case OrderClass.SIMPLE:
            return 0


def check_intent(situation: Situation) -> None:
    """What the client takes the order for has to be what it is."""
    specified = situation.request.position_intent
    if specified is not None and specified is not situation.intent:
        raise refusals.unprocessable(f"position intent mismatch, inferred: {situation.intent}, specified: {specified}")


def check_short_sale(situation: Situation) -> None:
    """Whole shares of what can be borrowed, by accounts that may; never against an opening order the other way."""
    account, asset = situation.account, situation.asset
    if situation.intent is PositionIntent.SELL_TO_OPEN:
        if not account.terms.shorting or account.configuration.no_shorting:
            raise refusals.forbidden("account is not allowed to short")
        if situation.value_now().equity < LEAST_EQUITY_ON_MARGIN:
            raise refusals.forbidden("account is not allowed to short")
        if situation.is_fractional:
            raise refusals.unprocessable("fractional orders cannot be sold short")
        if not asset.shortable:
            raise refusals.unprocessable(f"asset {asset.symbol} cannot be sold short")
        if not asset.easy_to_borrow and situation.request.time_in_force is not TimeInForce.DAY:
            raise refusals.unprocessable(f"only day orders are allowed for hard-to-borrow asset {asset.symbol}")
        if _is_opening(account, asset, PositionIntent.BUY_TO_OPEN):
            raise refusals.forbidden("cannot open a short sell while a long buy order is open")
    elif situation.intent is PositionIntent.BUY_TO_OPEN and _is_opening(account, asset, PositionIntent.SELL_TO_OPEN):
        raise refusals.forbidden("cannot open a long buy while a short sell order is open")


def _is_opening(account: Account, asset: Asset, intent: PositionIntent) -> bool:
    side = Side.BUY if intent is PositionIntent.BUY_TO_OPEN else Side.SELL
    return account.terms.shorting and any(
        order.position_intent is intent for order in account.open_in(asset.symbol, side)
    )


def check_wash_trade(situation: Situation) -> None:
    """No simple order may trade with an open one of the same account; bracket, OCO and OTO orders are exempt."""
    request = situation.request
    if request.order_class is OrderClass.SIMPLE:
        refuse_crossing(
            situation.account.open_in(situation.asset.symbol, request.side.opposite),
            request.side,
            request.limit_price if request.order_type.has_limit else None,
        )


def refuse_crossing(opposite: Iterable[Order], side: Side, limit_price: Decimal | None) -> None:
    """Raise Refusal if an order of that side and limit (None: any price) could trade with one of the `opposite` side.

    Held exits do not trade and do not count.
    """
    for other in opposite:
        if other.standing is Status.HELD:
            continue
        others_limit = other.limit_price if other.order_type.has_limit else None
        if limit_price is not None and others_limit is not None:
            crossing = limit_price - others_limit if side is Side.BUY else others_limit - limit_price
            if crossing < 0:
                continue
        raise refusals.wash_trade(str(other.order_id), has_limit=others_limit is not None)


def find_means(situation: Situation) -> Means:
    """What the order holds back; raises Refusal when there is not enough of it."""
    if situation.intent.is_closing:
        return Means(offered=_closing_quantity(situation))
    request = situation.request
    price = opening_price(request.side, request.limit_price, request.stop_price, lambda: situation.quote)
    if request.notional is not None:
        cost = request.notional
    else:
        cost = (request.quantity or ZERO) * price
        if situation.is_fractional and cost < LEAST_NOTIONAL:
            raise refusals.forbidden("cost basis must be >= minimal amount of order 1")
    buying_power = situation.buying_power_now()
    if cost > buying_power:
        raise refusals.insufficient_buying_power(max(buying_power, ZERO), cost)
    return Means(reserve_price=price)


def opening_price(
    side: Side, limit_price: Decimal | None, stop_price: Decimal | None, quote: Callable[[], Quote]
) -> Decimal:
    """Dollars that a share of an opening order counts with (docs: placing orders, buying power).

    A buy counts with its limit, else with the dearer of ask and stop; a short sale with the dearest of
    its limit, its stop and 3 % above the ask.
    """
    if side is Side.BUY and limit_price is not None:
        return limit_price
    ask = dollars(quote().ask)
    if side is Side.SELL:
        return max(limit_price or ZERO, stop_price or ZERO, ask * SHORT_SALE_FACTOR)
    return max(stop_price or ZERO, ask)


def _closing_quantity(situation: Situation) -> Decimal:
    account, symbol, request = situation.account, situation.asset.symbol, situation.request
    quantity = request.quantity
    if quantity is None:
        quote = situation.quote
        price = dollars(quote.ask if request.side is Side.BUY else quote.bid)
        quantity = ((request.notional or ZERO) / price).quantize(RATIO_STEP, rounding=ROUND_CEILING)
    if quantity > account.available(symbol):
        raise refusals.insufficient_quantity(
            symbol, quantity, abs(account.held(symbol)), account.held_for_orders(symbol)
        )
    return quantity
