"""alpaca-py's TradingStream against the simulator, over a real websocket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from alpaca.trading.enums import OrderStatus, TradeEvent
from alpaca.trading.requests import (
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopLossRequest,
    TakeProfitRequest,
)
from alpaca.trading.stream import TradingStream

from contract.conftest import (
    DEADLINE_SECONDS,
    LIVE,
    PAPER,
    Subscriber,
    Venue,
    buy,
    far_limit_order,
    noon_simulator,
    served,
)


def test_a_fill_is_heard_after_the_order_is_new(http_venue: Venue) -> None:
    with Subscriber(http_venue) as subscriber:
        order = http_venue.trading().submit_order(
            MarketOrderRequest(symbol="SPY", qty=10, side="buy", time_in_force="day")
        )
        new = subscriber.next()
        assert (new.event, new.order.id, new.order.status) == (TradeEvent.NEW, order.id, OrderStatus.NEW)
        http_venue.step(1)
        fill = subscriber.next()
        assert (fill.event, fill.order.status) == (TradeEvent.FILL, OrderStatus.FILLED)
        assert (fill.qty, fill.position_qty) == (10, 10)
        assert fill.price == float(fill.order.filled_avg_price)


def test_cancelling_and_expiring_are_heard_and_other_accounts_are_not(http_venue: Venue) -> None:
    with Subscriber(http_venue) as subscriber:
        http_venue.trading(LIVE).submit_order(far_limit_order())
        client = http_venue.trading()
        client.cancel_order_by_id(client.submit_order(far_limit_order()).id)
        assert [subscriber.next().event for _ in range(2)] == [TradeEvent.NEW, TradeEvent.CANCELED]
        client.submit_order(LimitOrderRequest(symbol="SPY", qty=1, side="buy", time_in_force="day", limit_price=5))
        http_venue.step(4 * 3600)
        assert [subscriber.next().event for _ in range(2)] == [TradeEvent.NEW, TradeEvent.EXPIRED]


def test_partial_fills_are_heard_with_what_is_held_so_far() -> None:
    simulator = noon_simulator(partial_fill_probability=0.95)
    with served(simulator) as url:
        venue = Venue(simulator, url, in_process=False)
        with Subscriber(venue) as subscriber:
            venue.trading().submit_order(MarketOrderRequest(symbol="SPY", qty=8, side="buy", time_in_force="day"))
            venue.step(120)
            assert subscriber.next().event == TradeEvent.NEW
            first = subscriber.next()
            assert (first.event, first.qty, first.position_qty) == (TradeEvent.PARTIAL_FILL, 4, 4)
            update = first
            while update.event == TradeEvent.PARTIAL_FILL:
                update = subscriber.next()
            assert (update.event, update.position_qty) == (TradeEvent.FILL, 8)


def test_legs_and_replacements_are_heard(http_venue: Venue) -> None:
    with Subscriber(http_venue) as subscriber:
        client = http_venue.trading()
        order = client.submit_order(far_limit_order())
        second = client.replace_order_by_id(order.id, ReplaceOrderRequest(qty=2))
        assert subscriber.next().event == TradeEvent.NEW
        told = [subscriber.next() for _ in range(2)]
        assert {(update.event, update.order.id) for update in told} == {
            (TradeEvent.REPLACED, order.id),
            (TradeEvent.NEW, second.id),
        }
        client.cancel_order_by_id(second.id)
        assert subscriber.next().event == TradeEvent.CANCELED
        entry = client.submit_order(
            buy(
                order_class="bracket",
                take_profit=TakeProfitRequest(limit_price=5000),
                stop_loss=StopLossRequest(stop_price=5),
            )
        )
        http_venue.step(1)
        client.cancel_orders()
        heard: dict[object, list[TradeEvent]] = {}
        while heard.get(entry.legs[0].id, [None])[-1] != TradeEvent.CANCELED:
            update = subscriber.next()
            heard.setdefault(update.order.id, []).append(update.event)
        assert heard[entry.id] == [TradeEvent.NEW, TradeEvent.FILL]


async def test_the_coroutines_of_the_trading_stream_end_it(http_venue: Venue) -> None:
    heard: asyncio.Queue[object] = asyncio.Queue()
    stream = TradingStream(*PAPER, url_override=http_venue.url.replace("http", "ws", 1) + "/stream")
    stream.subscribe_trade_updates(heard.put)
    running = asyncio.create_task(stream._run_forever())
    client = http_venue.trading()

    async def until(done: Callable[[], bool]) -> None:
        while not done():
            order = await asyncio.to_thread(client.submit_order, far_limit_order())
            await asyncio.to_thread(client.cancel_order_by_id, order.id)
            await asyncio.sleep(0.02)

    async with asyncio.timeout(DEADLINE_SECONDS):
        await until(lambda: not heard.empty())
        await stream.stop_ws()
        await until(running.done)
    await stream.close()
