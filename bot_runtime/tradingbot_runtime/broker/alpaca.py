"""Alpaca's REST API as the runtime's broker: alpaca-py's requests, our transport, our reading of the answers.

Sends an order once and never again. Retries reads and cancels only. Decides nothing about orders.
"""

import random
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import date, datetime
from decimal import Decimal

import pandas as pd
from alpaca.common.exceptions import APIError
from alpaca.data.enums import DataFeed
from alpaca.trading.enums import QueryOrderStatus
from alpaca.trading.requests import ClosePositionRequest

from tradingbot_api import BrokerEndpoint
from tradingbot_runtime.broker import failures, reading
from tradingbot_runtime.broker.account import BrokerAccount, account
from tradingbot_runtime.broker.bars import local_date, regular_close
from tradingbot_runtime.broker.budget import RequestBudget, Urgency
from tradingbot_runtime.broker.connection import Api, Connection, Credentials, KeyStanding
from tradingbot_runtime.broker.fills import BrokerFill, fills
from tradingbot_runtime.broker.lanes import Lane, ThreadLane
from tradingbot_runtime.broker.legs import rolled_up
from tradingbot_runtime.broker.listings import activities, assets, orders, sessions
from tradingbot_runtime.broker.market_data import MarketData
from tradingbot_runtime.broker.order_requests import replace_body, submit_body
from tradingbot_runtime.broker.port import BrokerHealth, OrderInDoubt, Unauthorized
from tradingbot_runtime.broker.retries import Retries
from tradingbot_runtime.broker.silence import Silence
from tradingbot_runtime.broker.strangers import Strangers
from tradingbot_runtime.broker.trade_updates import TradeUpdates
from tradingbot_runtime.broker.transport import SessionFactory, bounded_session
from tradingbot_runtime.core.events import StreamConnected, TradeUpdate
from tradingbot_runtime.core.orders import Order
from tradingbot_runtime.core.values import (
    BrokerActivity,
    BrokerAsset,
    BrokerFigures,
    BrokerOrder,
    BrokerPosition,
    BrokerQuote,
    MarketClock,
    MarketSession,
    OrderClass,
)

_NESTED = {"nested": True}
_THREADS: Mapping[str, int] = {"reads": 2, "orders": 1, "questions": 2, "snapshots": 2, "cancels": 4}
"""Threads of each lane."""


class AlpacaBroker:
    """The `Broker` port over Alpaca's protocol, for Alpaca and for the simulator.

    Five lanes, none of which waits for another: reads; orders; questions about one order; the snapshots that a kill
    waits for; cancels and closes.
    """

    def __init__(
        self,
        endpoint: BrokerEndpoint,
        keys: Credentials,
        *,
        prefix: str,
        rng: random.Random,
        session: SessionFactory = bounded_session,
        lane: Callable[[str, int], Lane] = ThreadLane,
        retries: Retries | None = None,
        budget: Callable[[str], RequestBudget] = RequestBudget,
        trade_updates: TradeUpdates | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`prefix`: what every client_order_id of the bot begins with: others' orders may be skipped, its own never.

        `budget`: makes the request budget of an API, from its name. `monotonic`: machine time, in seconds.
        """
        self._prefix, self._strangers = prefix, Strangers(prefix)
        self._budgets = {api: budget(api.value) for api in Api}
        self._standing = KeyStanding()
        retries = retries or Retries(rng)

        def connection(name: str, urgency: Urgency) -> Connection:
            return Connection(
                endpoint,
                keys,
                urgency=urgency,
                lane=lane(name, _THREADS[name]),
                session=session,
                budgets=self._budgets,
                standing=self._standing,
                retries=retries,
            )

        self._reads, self._orders = connection("reads", Urgency.READ), connection("orders", Urgency.ORDER)
        self._questions, self._snapshots, self._cancels = (
            connection(name, Urgency.URGENT) for name in ("questions", "snapshots", "cancels")
        )
        self._data = MarketData(self._reads, DataFeed(endpoint.data_feed.value), self._close_of)
        self._updates = trade_updates or TradeUpdates(
            endpoint.base_url, keys.key_id, keys.secret_key, strangers=self._strangers
        )
        self._silence, self._silences = Silence(), 0
        self._monotonic = monotonic
        self._session_close: tuple[date, datetime] | None = None

    def close(self) -> None:
        """Ends the idle threads; a call that hangs dies with the process."""
        for connection in (self._reads, self._orders, self._questions, self._snapshots, self._cancels):
            connection.close()

    def health(self) -> BrokerHealth:
        """What is known of the connection at this moment; asks nobody."""
        last = self._updates.last_frame_at
        return BrokerHealth(
            keys_refused=self._standing.message,
            budgets={api.value: budget.figures() for api, budget in self._budgets.items()},
            stream_frames=self._updates.frames,
            stream_frames_unreadable=self._updates.frames_unreadable,
            stream_silences=self._silences,
            seconds_since_stream_frame=None if last is None else self._monotonic() - last,
            unreadable_skipped=self._strangers.skipped,
        )

    # ------------------------------------------------------------------ the account

    async def clock(self) -> MarketClock:
        """The market's clock."""
        client = self._reads.trading
        clock = await self._reads.read("clock", lambda: reading.clock_from(client.get_clock()))
        self._listen_for_silence(())
        return clock

    async def figures(self, *, urgent: bool = False) -> BrokerFigures:
        """The account's money."""
        on = self._connection(urgent)
        return await on.read("account", lambda: reading.figures_from(on.trading.get_account()))

    async def account(self) -> BrokerAccount:
        """The account's number, and whether it may trade."""
        return await account(self._reads)

    async def positions(self, *, urgent: bool = False) -> tuple[BrokerPosition, ...]:
        """All positions of the account, without those of no stock that cannot be read."""
        on, strangers = self._connection(urgent), self._strangers
        return await on.read("positions", lambda: reading.positions_from(on.trading.get_all_positions(), strangers))

    async def activities(self, after: datetime | None, *, urgent: bool = False) -> tuple[BrokerActivity, ...]:
        """What changed the account without an order, booked after a moment of market time, oldest first."""
        return await activities(self._connection(urgent), after, self._strangers)

    async def fills(self, after: datetime) -> tuple[BrokerFill, ...]:
        """Every execution of the account after a moment of market time, oldest first."""
        return await fills(self._reads, after)

    # ------------------------------------------------------------------ orders

    async def open_orders(self, *, urgent: bool = False) -> tuple[BrokerOrder, ...]:
        """All open orders of the account, whoever placed them; a parent that is open has its legs inside.

        Asked for flat, because a rolled-up list hides the open exits of an entry that was filled; rolled up as well
        only where an order of the bot's own may have something to roll up: others' are nobody's business here.
        """
        on = self._connection(urgent)
        flat = await self._listed(on, QueryOrderStatus.OPEN, None, nested=False)
        ours = (order for order in flat if order.client_order_id.startswith(self._prefix))
        if all(order.order_class == OrderClass.SIMPLE for order in ours):
            return self._seen(flat)
        return self._seen(rolled_up((*flat, *await self._listed(on, QueryOrderStatus.OPEN, None, nested=True))))

    async def orders_since(
        self, after: datetime | None, prefix: str, *, urgent: bool = False, symbols: Sequence[str] = ()
    ) -> tuple[BrokerOrder, ...]:
        """Orders in any state created after a moment of market time, whose client_order_id begins with `prefix`."""
        on = self._connection(urgent)
        listed = await self._listed(on, QueryOrderStatus.ALL, after, nested=True, symbols=symbols)
        return self._seen(tuple(order for order in listed if order.client_order_id.startswith(prefix)))

    async def order(self, client_order_id: str) -> BrokerOrder | None:
        """One order by our id; None when the broker itself says that it knows no such order."""
        doing, client = f"order {client_order_id}", self._questions.trading
        found = await self._find(
            doing, lambda: client.get("/orders:by_client_order_id", {"client_order_id": client_order_id} | _NESTED)
        )
        if found is not None and found.client_order_id != client_order_id:
            raise failures.of_call(ValueError("the answer is about another order"), doing)
        if found is None or found.legs or found.order_class == OrderClass.SIMPLE:
            return found
        # Only the question by the broker's id is documented to roll legs up.
        return await self.order_by_id(found.broker_id) or found

    async def order_by_id(self, broker_id: str) -> BrokerOrder | None:
        """One order by the broker's id, its legs inside; None when there is no such order."""
        doing, client = f"order {broker_id}", self._questions.trading
        found = await self._find(doing, lambda: client.get(f"/orders/{broker_id}", _NESTED))
        if found is not None and found.broker_id != broker_id:
            raise failures.of_call(ValueError("the answer is about another order"), doing)
        return found

    async def submit(self, order: Order, may_send: Callable[[], bool]) -> BrokerOrder:
        """Sends an order once, if it still may be sent when its turn has come.

        Raises OrderRejected, OrderNotTaken, Unauthorized or OrderInDoubt.
        """
        client, body = self._orders.trading, submit_body(order)
        return await self._write(
            f"submit {order.client_order_id}", order, lambda: client.post("/orders", body), may_send
        )

    async def replace(self, order: Order, broker_id: str, may_send: Callable[[], bool]) -> BrokerOrder:
        """Asks once that `order` take the place of the order `broker_id`. Raises what `submit` raises."""
        client, body = self._orders.trading, replace_body(order)
        return await self._write(
            f"replace {broker_id} by {order.client_order_id}",
            order,
            lambda: client.patch(f"/orders/{broker_id}", body),
            may_send,
        )

    async def cancel(self, broker_id: str) -> None:
        """Asks to cancel; an order that is already closed, or unknown, is no error."""
        client = self._cancels.trading

        def call() -> None:
            try:
                client.cancel_order_by_id(broker_id)
            except APIError as error:
                if not (failures.is_final(error, 422) or failures.is_not_found(error)):
                    raise

        await self._cancels.read(f"cancel {broker_id}", call)

    async def close_position(self, symbol: str, qty: str) -> None:
        """Closes at most qty shares of what is held and not already being sold; nothing held is no error.

        Never tried again by itself: a second close could sell what another owner of the account holds.
        """
        client = self._cancels.trading

        def available() -> Decimal:
            try:
                return abs(reading.available_from(client.get_open_position(symbol)))
            except APIError as error:
                if failures.is_not_found(error):
                    return Decimal(0)
                raise

        closing = min(abs(Decimal(qty)), await self._cancels.read(f"position {symbol}", available))
        if closing == 0:
            return
        request = ClosePositionRequest(qty=format(closing, "f"))

        def close() -> None:
            try:
                client.close_position(symbol, request)
            except APIError as error:
                if not failures.is_not_found(error):
                    raise

        await self._cancels.once(f"close {symbol}", close)

    # ------------------------------------------------------------------ the market

    async def bars(
        self, symbols: Sequence[str], timeframe: str, count: int, before: datetime
    ) -> Mapping[str, pd.DataFrame]:
        """Per symbol the last `count` bars that ended at or before a moment of market time, oldest first."""
        return await self._data.bars(symbols, timeframe, count, before)

    async def quotes(self, symbols: Sequence[str]) -> Mapping[str, BrokerQuote]:
        """The latest quotes; a symbol without one is absent."""
        return await self._data.quotes(symbols)

    async def assets(self, symbols: Sequence[str]) -> Mapping[str, BrokerAsset]:
        """What the broker says of these symbols; one that it does not know is absent."""
        return await assets(self._reads, symbols)

    async def sessions(self, first: date, last: date) -> tuple[MarketSession, ...]:
        """The exchange's sessions from `first` to `last`, both included, oldest first."""
        return await sessions(self._reads, first, last)

    # ------------------------------------------------------------------ the stream

    async def trade_updates(self) -> AsyncGenerator[StreamConnected | TradeUpdate, None]:
        """StreamConnected once updates flow, then trade updates; ends with an error of the port's."""
        self._silence.lost()
        connected = False
        try:
            async with aclosing(self._updates.listen()) as events:
                async for event in events:
                    if isinstance(event, TradeUpdate):
                        self._silence.told(event.order)
                    elif not connected:
                        connected = True
                        self._silence.connected()
                        self._standing.accepted("stream")
                    yield event
        except Unauthorized as error:
            self._standing.refused("stream", str(error))
            raise
        finally:
            self._silence.lost()

    def drop_trade_updates(self, reason: str) -> None:
        """Ends the present `trade_updates` with BrokerUnavailable, so that it is connected anew."""
        self._updates.drop(reason)

    # ------------------------------------------------------------------ how

    def _connection(self, urgent: bool) -> Connection:
        return self._snapshots if urgent else self._reads

    async def _listed(
        self,
        on: Connection,
        status: QueryOrderStatus,
        after: datetime | None,
        *,
        nested: bool,
        symbols: Sequence[str] = (),
    ) -> tuple[BrokerOrder, ...]:
        return await orders(on, status, after, self._strangers, nested=nested, symbols=symbols)

    async def _find(self, doing: str, ask: Callable[[], object]) -> BrokerOrder | None:
        def call() -> BrokerOrder | None:
            try:
                return reading.order_from(ask())
            except APIError as error:
                if failures.is_not_found(error):
                    return None
                raise

        found = await self._questions.read(doing, call)
        self._listen_for_silence(() if found is None else (found,))
        return found

    async def _write(
        self, doing: str, order: Order, send: Callable[[], object], may_send: Callable[[], bool]
    ) -> BrokerOrder:
        taken = await self._orders.write(doing, lambda: reading.order_from(send()), may_send)
        if taken.client_order_id != order.client_order_id:
            raise OrderInDoubt(f"{doing}: the answer is about {taken.client_order_id}; asking by our id")
        return self._seen((taken,))[0]

    def _seen(self, listed: tuple[BrokerOrder, ...]) -> tuple[BrokerOrder, ...]:
        self._listen_for_silence(listed)
        return listed

    def _listen_for_silence(self, listed: tuple[BrokerOrder, ...]) -> None:
        now = self._monotonic()
        self._silence.read(listed, now)
        overdue = self._silence.overdue(now)
        if overdue is not None:
            self._silences += 1
            self._silence.lost()
            self._updates.drop(overdue)

    async def _close_of(self, at: datetime) -> datetime:
        """The close of a day's session by the broker's calendar, which knows half days; remembered for that day."""
        day = local_date(at)
        if self._session_close is None or self._session_close[0] != day:
            known = {session.day: session.closes_at for session in await self.sessions(day, day)}
            self._session_close = (day, known.get(day, regular_close(day)))
        return self._session_close[1]
