"""The exchange: accepts orders, matches them against the market's quotes as time is given to it.

No clock, no I/O and no randomness of its own: the same calls with the same times leave the same
books and the same trade updates, however finely `advance` is called.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from uuid import UUID

from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.accounts import Account, AccountLimits, AccountTerms
from alpaca_simulator.exchange.orders import Event, Order, OrderRequest, Side, Status, TimeInForce
from alpaca_simulator.market.assets import Asset, AssetCatalogue
from alpaca_simulator.market.calendar import Session
from alpaca_simulator.market.prices import Market, Quote
from alpaca_simulator.values.identity import stable_uuid, unit_draw
from alpaca_simulator.values.instants import epoch_floor
from alpaca_simulator.values.quantities import ZERO, cents_at_least, cents_at_most, dollars, places

GTC_LIFE = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class TradeUpdate:
    """One event of one order of one account, as the stream tells it; `order` is a copy of that moment.

    `price` (dollars a share), `quantity` and `position_quantity` (shares) are set for fills.
    """

    account_id: UUID
    event: Event
    at: datetime
    execution_id: UUID
    order: Order
    price: Decimal | None = None
    quantity: Decimal | None = None
    position_quantity: Decimal | None = None


@dataclass(frozen=True, slots=True)
class ExchangeRules:
    """What the exchange does beyond plain matching.

    `partial_fill_probability` is the chance that a quote fills only a part of an order;
    `updates_kept` bounds the trade updates nobody has taken yet.
    """

    partial_fill_probability: float = 0.0
    updates_kept: int = 100_000


class Exchange:
    """Accounts, their orders, and the market they trade in."""

    def __init__(
        self,
        market: Market,
        catalogue: AssetCatalogue,
        accounts: Iterable[AccountTerms],
        start: datetime,
        *,
        limits: AccountLimits | None = None,
        rules: ExchangeRules | None = None,
    ) -> None:
        market.calendar.require(start)
        self.market = market
        self.calendar = market.calendar
        self.catalogue = catalogue
        self.rules = rules or ExchangeRules()
        self.now = start
        opened = [Account(terms, limits or AccountLimits(), start) for terms in accounts]
        self.accounts: dict[UUID, Account] = {account.account_id: account for account in opened}
        self.updates_dropped = 0
        self._updates: deque[TradeUpdate] = deque()
        self._owners: dict[int, Account] = {}
        self._working: dict[int, Order] = {}
        self._orders_made = 0
        self._executions = 0

    # -- time -------------------------------------------------------------------------------

    def advance(self, to: datetime) -> None:
        """Let market time pass until `to`: opens, fills in time order, closes. Earlier times do nothing."""
        if to <= self.now:
            return
        for session in self.calendar.touched(self.now, to):
            if self.now < session.opens_at <= to:
                self._open(session)
            self._match(session, self.now, to)
            if session.closes_at <= to:
                self._close(session)
        self.now = to

    def _open(self, session: Session) -> None:
        for order in list(self._working.values()):
            if order.status is Status.ACCEPTED:
                self._happen(order, Event.NEW, session.opens_at)

    def _match(self, session: Session, after: datetime, until: datetime) -> None:
        seconds = range(
            max(epoch_floor(after) + 1, session.open_epoch), min(epoch_floor(until) + 1, session.close_epoch)
        )
        if not seconds:
            return
        # Orders are worked in the order of time, then of arrival, whatever account they are of.
        due: list[tuple[int, int]] = []
        for order in list(self._working.values()):
            self._look_ahead(due, order, session, seconds)
        while due:
            epoch, number = heapq.heappop(due)
            order = self._working[number]
            quote = self.market.quote_in(order.asset, session, epoch)
            self._execute(order, quote)
            if order.is_open:
                self._look_ahead(due, order, session, range(epoch + 1, seconds.stop))

    def _look_ahead(self, due: list[tuple[int, int]], order: Order, session: Session, seconds: range) -> None:
        """Note the first second in which something happens to `order`."""
        if not seconds:
            return
        if order.time_in_force is TimeInForce.IOC or order.limit_price is None:
            heapq.heappush(due, (seconds.start, order.number))
            return
        buying = order.side is Side.BUY
        quote = self.market.first_quote(
            order.asset,
            session,
            seconds,
            ask_at_most=cents_at_most(order.limit_price) if buying else None,
            bid_at_least=None if buying else cents_at_least(order.limit_price),
        )
        if quote is not None:
            heapq.heappush(due, (epoch_floor(quote.at), order.number))

    def _execute(self, order: Order, quote: Quote) -> None:
        account = self._owners[order.number]
        price = dollars(quote.ask if order.side is Side.BUY else quote.bid)
        if _is_marketable(order, price):
            quantity = self._fill_quantity(order)
            # What a market order costs is only known now; an account never spends what it has not.
            if order.side is Side.BUY and quantity * price > account.buying_power + order.reserved:
                unpaid = Event.REJECTED if order.filled_quantity == 0 else Event.CANCELED
                self._happen(order, unpaid, quote.at)
                return
            self._fill(account, order, quantity, price, quote.at)
        if order.is_open and order.time_in_force is TimeInForce.IOC:
            self._happen(order, Event.CANCELED, quote.at)

    def _fill_quantity(self, order: Order) -> Decimal:
        """All that remains, or by the rules' chance about half of it in whole shares."""
        half = (order.remaining / 2).to_integral_value(rounding=ROUND_FLOOR)
        chance = self.rules.partial_fill_probability
        if chance <= 0 or half < 1:
            return order.remaining
        drawn = unit_draw(self.market.seed, "partial fill", order.order_id, order.fills)
        return half if drawn < chance else order.remaining

    def _fill(self, account: Account, order: Order, quantity: Decimal, price: Decimal, at: datetime) -> None:
        account.settle(order, quantity, price)
        event = Event.FILL if order.remaining == 0 else Event.PARTIAL_FILL
        self._happen(order, event, at, price=price, quantity=quantity)

    def _close(self, session: Session) -> None:
        for order in list(self._working.values()):
            if order.expires_at <= session.closes_at:
                ended = Event.CANCELED if order.time_in_force is TimeInForce.IOC else Event.EXPIRED
                self._happen(order, ended, session.closes_at)
        for account in self.accounts.values():
            value = sum(
                (
                    position.quantity * dollars(self.market.day(position.asset, session).close)
                    for position in account.positions.values()
                ),
                ZERO,
            )
            account.equity_at_last_close = account.cash + value

    # -- orders -----------------------------------------------------------------------------

    def submit(self, account: Account, request: OrderRequest) -> Order:
        """Accept an order at the exchange's present time, or raise Refusal.

        What comes back is a copy of the order as the POST answers it; what happens next is a trade update.
        """
        asset = self._tradable(request)
        self._check_client_order_id(account, request)
        self._check_wash_trade(account, request)
        reserve_price = self._check_means(account, asset, request)
        session = self.calendar.open_at(self.now)
        if session is None and request.time_in_force is TimeInForce.IOC:
            raise refusals.unprocessable("ioc orders are only accepted while the market is open")
        self._orders_made += 1
        order_id = stable_uuid(self.market.seed, account.account_id, "order", self._orders_made)
        order = Order(
            number=self._orders_made,
            order_id=order_id,
            client_order_id=request.client_order_id or str(stable_uuid(order_id, "client")),
            asset=asset,
            side=request.side,
            order_type=request.order_type,
            time_in_force=request.time_in_force,
            quantity=request.quantity,
            limit_price=request.limit_price,
            extended_hours=request.extended_hours,
            status=Status.ACCEPTED if session is None else Status.PENDING_NEW,
            created_at=self.now,
            updated_at=self.now,
            expires_at=self._expiry(request.time_in_force),
            reserve_price=reserve_price,
        )
        account.add(order)
        self._working[order.number] = order
        self._owners[order.number] = account
        answer = replace(order)
        if session is not None:
            self._happen(order, Event.NEW, self.now)
        return answer

    def cancel(self, order: Order) -> None:
        """Cancel an open order; raises Refusal when it has already ended."""
        if not order.is_open:
            raise refusals.unprocessable(f'order is already in "{order.status}" state')
        self._happen(order, Event.CANCELED, self.now)

    def _tradable(self, request: OrderRequest) -> Asset:
        asset = self.catalogue.find(request.symbol)
        if asset is None:
            raise refusals.unprocessable(f'asset "{request.symbol}" not found')
        if not asset.tradable:
            raise refusals.unprocessable(f"asset {asset.symbol} is not tradable")
        if places(request.quantity) > 0:
            if not asset.fractionable:
                raise refusals.forbidden(f'asset "{asset.symbol}" is not fractionable')
            if request.time_in_force is not TimeInForce.DAY:
                raise refusals.unprocessable("fractional orders must be DAY orders")
        return asset

    def _check_client_order_id(self, account: Account, request: OrderRequest) -> None:
        if request.client_order_id is not None and account.knows_client_order_id(request.client_order_id):
            raise refusals.bad_parameter("client_order_id must be unique")
        if account.orders_ever >= account.limits.orders_ever:
            raise refusals.forbidden(f"account has reached its {account.limits.orders_ever} orders")
        if len(account.open_orders) >= account.limits.open_orders:
            raise refusals.forbidden(f"account has reached its {account.limits.open_orders} open orders")

    def _check_wash_trade(self, account: Account, request: OrderRequest) -> None:
        for other in account.open_orders.values():
            if other.asset.symbol != request.symbol or other.side is request.side:
                continue
            if _would_cross(request, other):
                raise refusals.wash_trade(str(other.order_id), other.order_type.value)

    def _check_means(self, account: Account, asset: Asset, request: OrderRequest) -> Decimal:
        """The dollars a share to hold back; raises Refusal when there is not enough of anything."""
        if request.side is Side.SELL:
            held, offered = account.held(asset.symbol), account.held_for_orders(asset.symbol)
            if held == 0:
                raise refusals.forbidden("account is not allowed to short")
            if request.quantity > held - offered:
                raise refusals.insufficient_quantity(asset.symbol, request.quantity, held, offered)
            return ZERO
        price = request.limit_price or dollars(self.market.quote(asset, self.now).ask)
        cost = request.quantity * price
        if cost > account.buying_power:
            raise refusals.insufficient_buying_power(account.buying_power, cost)
        return price

    def _expiry(self, time_in_force: TimeInForce) -> datetime:
        closing = self.calendar.next_closing(self.now)
        if time_in_force is not TimeInForce.GTC:
            return closing.closes_at
        last_day = (self.now + GTC_LIFE).date()
        return max((closing, *self.calendar.between(closing.day, last_day)), key=lambda s: s.number).closes_at

    # -- trade updates ----------------------------------------------------------------------

    def take_updates(self) -> list[TradeUpdate]:
        """Every trade update since the last call, in the order it happened."""
        taken = list(self._updates)
        self._updates.clear()
        return taken

    def _happen(
        self,
        order: Order,
        event: Event,
        at: datetime,
        *,
        price: Decimal | None = None,
        quantity: Decimal | None = None,
    ) -> None:
        account = self._owners[order.number]
        order.move(event, at)
        account.event_counts[event] += 1
        if not order.is_open:
            account.release(order)
            del self._working[order.number], self._owners[order.number]
        self._executions += 1
        if len(self._updates) >= self.rules.updates_kept:
            self._updates.popleft()
            self.updates_dropped += 1
        self._updates.append(
            TradeUpdate(
                account_id=account.account_id,
                event=event,
                at=at,
                execution_id=stable_uuid(order.order_id, event, self._executions),
                order=replace(order),
                price=price,
                quantity=quantity,
                position_quantity=None if price is None else account.held(order.asset.symbol),
            )
        )


def _is_marketable(order: Order, price: Decimal) -> bool:
    if order.limit_price is None:
        return True
    return price <= order.limit_price if order.side is Side.BUY else price >= order.limit_price


def _would_cross(request: OrderRequest, other: Order) -> bool:
    """Whether the two could trade with each other: either at any price, or the buy at or over the sell."""
    if request.limit_price is None or other.limit_price is None:
        return True
    buy, sell = (
        (request.limit_price, other.limit_price)
        if request.side is Side.BUY
        else (other.limit_price, request.limit_price)
    )
    return buy >= sell
