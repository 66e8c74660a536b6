"""Alpaca's REST API as the runtime's broker: alpaca-py's requests, our transport, our reading of the answers.

Sends an order once and never again. Retries reads and cancels only. Decides nothing about orders.
"""

import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import pandas as pd
from alpaca.common.enums import Sort
from alpaca.common.exceptions import APIError
from alpaca.data.enums import Adjustment, DataFeed
from alpaca.data.historical.stock import StockHistoricalDataClient
from alpaca.data.requests import StockBarsRequest
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import QueryOrderStatus
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetCalendarRequest,
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
)

from tradingbot_api import BrokerEndpoint
from tradingbot_runtime.broker import failures, reading
from tradingbot_runtime.broker.bars import (
    BAR_LENGTHS,
    NEW_YORK,
    BarLength,
    ended,
    frame_of,
    local_date,
    may_hold_a_running_day,
    regular_close,
    windows,
)
from tradingbot_runtime.broker.lanes import Lane, ThreadLane
from tradingbot_runtime.broker.port import OrderInDoubt
from tradingbot_runtime.broker.retries import Retries
from tradingbot_runtime.broker.trade_updates import TradeUpdates
from tradingbot_runtime.broker.transport import SessionFactory, bounded_session, hardened, without_version
from tradingbot_runtime.core.events import StreamConnected, TradeUpdate
from tradingbot_runtime.core.orders import Order
from tradingbot_runtime.core.values import (
    BrokerFigures,
    BrokerOrder,
    BrokerPosition,
    MarketClock,
    OrderType,
)

T = TypeVar("T")

CALL_TIMEOUT_SECONDS = 30.0
"""The most one call may take, its wait for a thread included."""
PAGE = 500
MAX_PAGES = 200


@dataclass(frozen=True)
class Credentials:
    """The account's keys. Never logged: the representation hides them."""

    key_id: str = field(repr=False)
    secret_key: str = field(repr=False)


class _Connection:
    """A lane of threads with clients of its own: a session is not shared between lanes."""

    def __init__(self, endpoint: BrokerEndpoint, keys: Credentials, session: SessionFactory, lane: Lane) -> None:
        self.lane = lane
        self.trading = hardened(
            TradingClient(keys.key_id, keys.secret_key, raw_data=True, url_override=without_version(endpoint.base_url)),
            session(),
        )
        self.data = hardened(
            StockHistoricalDataClient(
                keys.key_id, keys.secret_key, raw_data=True, url_override=without_version(endpoint.data_url)
            ),
            session(),
        )

    async def run(self, call: Callable[[], T]) -> T:
        return await self.lane.run(call, CALL_TIMEOUT_SECONDS)


class AlpacaBroker:
    """The `Broker` port over Alpaca's protocol, for Alpaca and for the simulator.

    Three lanes: reads, orders, and what must never wait behind either (cancels, closing, questions about an order).
    """

    def __init__(
        self,
        endpoint: BrokerEndpoint,
        keys: Credentials,
        *,
        rng: random.Random,
        session: SessionFactory = bounded_session,
        lane: Callable[[str, int], Lane] = ThreadLane,
        retries: Retries | None = None,
        trade_updates: TradeUpdates | None = None,
    ) -> None:
        self._feed = DataFeed(endpoint.data_feed.value)
        self._retries = retries or Retries(rng)
        self._reads = _Connection(endpoint, keys, session, lane("reads", 2))
        self._orders = _Connection(endpoint, keys, session, lane("orders", 1))
        self._urgent = _Connection(endpoint, keys, session, lane("urgent", 4))
        self._updates = trade_updates or TradeUpdates(endpoint.base_url, keys.key_id, keys.secret_key)
        self._session_close: tuple[date, datetime] | None = None

    def close(self) -> None:
        """Ends the idle threads; a call that hangs dies with the process."""
        for connection in (self._reads, self._orders, self._urgent):
            connection.lane.close()

    async def clock(self) -> MarketClock:
        """The market's clock."""
        client = self._reads.trading
        return await self._read("clock", lambda: reading.clock_from(client.get_clock()))

    async def figures(self) -> BrokerFigures:
        """The account's money."""
        client = self._reads.trading
        return await self._read("account", lambda: reading.figures_from(client.get_account()))

    async def positions(self) -> tuple[BrokerPosition, ...]:
        """All positions of the account."""
        client = self._reads.trading

        def call() -> tuple[BrokerPosition, ...]:
            return tuple(reading.position_from(raw) for raw in _list(client.get_all_positions()))

        return await self._read("positions", call)

    async def open_orders(self) -> tuple[BrokerOrder, ...]:
        """All open orders of the account, whoever placed them."""
        return await self._paged(QueryOrderStatus.OPEN, None)

    async def orders_since(self, after: datetime | None, prefix: str) -> tuple[BrokerOrder, ...]:
        """Orders in any state created after a moment of market time, whose client_order_id begins with `prefix`."""
        orders = await self._paged(QueryOrderStatus.ALL, after)
        return tuple(order for order in orders if order.client_order_id.startswith(prefix))

    async def order(self, client_order_id: str) -> BrokerOrder | None:
        """One order by our id; None when the broker itself says that it knows no such order."""
        client = self._urgent.trading

        def call() -> BrokerOrder | None:
            try:
                return reading.order_from(client.get_order_by_client_id(client_order_id))
            except APIError as error:
                if failures.is_not_found(error):
                    return None
                raise

        found = await self._read(f"order {client_order_id}", call, self._urgent)
        if found is not None and found.client_order_id != client_order_id:
            raise failures.of_call(ValueError("the answer is about another order"), f"order {client_order_id}")
        return found

    async def submit(self, order: Order) -> BrokerOrder:
        """Sends an order once. Raises OrderRejected, Unauthorized or OrderInDoubt."""
        client, fields = self._orders.trading, _order_fields(order)
        try:
            taken = await self._orders.run(lambda: reading.order_from(client.post("/orders", fields)))
        except Exception as error:
            raise failures.of_submit(error, order.client_order_id) from error
        if taken.client_order_id != order.client_order_id:
            raise OrderInDoubt(
                f"submit {order.client_order_id}: the answer is about {taken.client_order_id}; asking by our id"
            )
        return taken

    async def cancel(self, broker_id: str) -> None:
        """Asks to cancel; an order that is already closed, or unknown, is no error."""
        client = self._urgent.trading

        def call() -> None:
            try:
                client.cancel_order_by_id(broker_id)
            except APIError as error:
                if not (failures.is_final(error, 422) or failures.is_not_found(error)):
                    raise

        await self._read(f"cancel {broker_id}", call, self._urgent)

    async def close_position(self, symbol: str, qty: str) -> None:
        """Closes at most qty shares of what is held and not already being sold; nothing held is no error.

        Never tried again by itself: a second close could sell what another owner of the account holds.
        """
        client = self._urgent.trading

        def available() -> Decimal:
            try:
                raw = client.get_open_position(symbol)
            except APIError as error:
                if failures.is_not_found(error):
                    return Decimal(0)
                raise
            return abs(reading.available_from(raw))

        closing = min(abs(Decimal(qty)), await self._read(f"position {symbol}", available, self._urgent))
        if closing == 0:
            return
        request = ClosePositionRequest(qty=format(closing, "f"))
        try:
            await self._urgent.run(lambda: client.close_position(symbol, request))
        except Exception as error:
            if isinstance(error, APIError) and failures.is_not_found(error):
                return
            raise failures.of_call(error, f"close {symbol}") from error

    async def bars(
        self, symbols: Sequence[str], timeframe: str, count: int, before: datetime
    ) -> Mapping[str, pd.DataFrame]:
        """Per symbol the last `count` bars that ended at or before a moment of market time, oldest first.

        Prices are adjusted for splits, as positions are. A symbol without bars is absent.
        """
        length = BAR_LENGTHS[timeframe]
        frames: dict[str, pd.DataFrame] = {}
        missing = list(symbols)
        for start in windows(length, count, before):
            read = await self._bars_from(missing, length, start, before)
            frames.update(await self._ended(read, length, before))
            missing = [symbol for symbol in missing if len(frames.get(symbol, ())) < count]
            if not missing:
                break
        return {symbol: frames[symbol].tail(count) for symbol in symbols if len(frames.get(symbol, ())) > 0}

    def trade_updates(self) -> AsyncGenerator[StreamConnected | TradeUpdate, None]:
        """One StreamConnected once updates flow, then trade updates; ends with an error of the port's."""
        return self._updates.listen()

    async def _read(self, doing: str, call: Callable[[], T], on: _Connection | None = None) -> T:
        connection = on or self._reads

        async def once() -> T:
            try:
                return await connection.run(call)
            except Exception as error:
                raise failures.of_call(error, doing) from error

        return await self._retries.run(once)

    async def _paged(self, status: QueryOrderStatus, after: datetime | None) -> tuple[BrokerOrder, ...]:
        found: dict[str, BrokerOrder] = {}
        for _ in range(MAX_PAGES):
            raw = await self._page(status, after)
            orders = reading.readable_orders(raw)
            news = [order for order in orders if order.broker_id not in found]
            found.update((order.broker_id, order) for order in orders)
            if len(raw) < PAGE or not news:
                break
            # Orders of one instant may be cut in two by a page's end: the next page begins just before it.
            newest = max(order.created_at for order in news if order.created_at is not None)
            after = newest - timedelta(milliseconds=1)
        return tuple(found.values())

    def _page(self, status: QueryOrderStatus, after: datetime | None) -> Awaitable[list[object]]:
        client = self._reads.trading
        request = GetOrdersRequest(status=status, limit=PAGE, direction=Sort.ASC, after=after, nested=False)
        return self._read("orders", lambda: _list(client.get_orders(request)))

    async def _bars_from(
        self, symbols: Sequence[str], length: BarLength, start: datetime, before: datetime
    ) -> dict[str, pd.DataFrame]:
        client = self._reads.data
        request = StockBarsRequest(
            symbol_or_symbols=list(symbols),
            timeframe=length.alpaca,
            start=start,
            end=before,
            adjustment=Adjustment.SPLIT,
            feed=self._feed,
        )

        def call() -> dict[str, pd.DataFrame]:
            answer = client.get_stock_bars(request)
            if not isinstance(answer, Mapping):
                raise ValueError("the broker's answer is not bars")
            return {str(symbol): frame_of(raw) for symbol, raw in answer.items() if raw}

        return await self._read("bars", call)

    async def _ended(
        self, frames: dict[str, pd.DataFrame], length: BarLength, before: datetime
    ) -> dict[str, pd.DataFrame]:
        close = regular_close(local_date(before))
        if length.is_daily and may_hold_a_running_day(frames.values(), before):
            close = await self._close_of(local_date(before))
        return {symbol: ended(frame, length, before, close) for symbol, frame in frames.items()}

    async def _close_of(self, day: date) -> datetime:
        """The close of a day's session by the broker's calendar, which knows half days; remembered for that day."""
        if self._session_close is None or self._session_close[0] != day:
            client = self._reads.trading

            def call() -> datetime:
                days = _list(client.get_calendar(GetCalendarRequest(start=day, end=day)))
                return _closing_time(day, days)

            self._session_close = (day, await self._read("calendar", call))
        return self._session_close[1]


def _order_fields(order: Order) -> dict[str, Any]:
    kind: type[LimitOrderRequest] | type[MarketOrderRequest]
    kind = LimitOrderRequest if order.type is OrderType.LIMIT else MarketOrderRequest
    price = {"limit_price": order.limit_price} if order.type is OrderType.LIMIT else {}
    request = kind(
        symbol=order.symbol,
        qty=order.qty,
        side=order.side.value,
        time_in_force=order.time_in_force.value,
        client_order_id=order.client_order_id,
        **price,
    )
    fields = dict(request.to_request_fields())
    # alpaca-py turns money into floats; the broker takes decimal strings as well.
    fields["qty"] = format(order.qty, "f")
    if order.limit_price is not None and order.type is OrderType.LIMIT:
        fields["limit_price"] = format(order.limit_price, "f")
    return fields


def _closing_time(day: date, days: Sequence[object]) -> datetime:
    for entry in days:
        if isinstance(entry, Mapping) and entry.get("date") == day.isoformat():
            hour, _, minute = str(entry["close"]).partition(":")
            local = datetime(day.year, day.month, day.day, int(hour), int(minute), tzinfo=NEW_YORK)
            return local.astimezone(UTC)
    return regular_close(day)


def _list(raw: object) -> list[object]:
    if not isinstance(raw, list):
        raise ValueError("the broker's answer is not a list")
    return raw
