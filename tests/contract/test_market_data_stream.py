"""alpaca-py's StockDataStream against the simulator, over a real websocket."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import msgpack
import pytest
import requests
from aiohttp.test_utils import TestClient, TestServer
from alpaca.data.live import StockDataStream
from alpaca.data.models import Bar, Quote, Trade, TradingStatus

from alpaca_simulator.server import web_application
from contract.conftest import DEADLINE_SECONDS, PAPER, Venue, noon_simulator, served

PACKED = {"Content-Type": "application/msgpack"}
MINUTE = timedelta(minutes=1)

Subscribe = Callable[[StockDataStream, Any], None]


class Audience:
    """alpaca-py's StockDataStream in a thread; what it hears comes out of `next`."""

    def __init__(self, venue: Venue, subscribe: Subscribe) -> None:
        self.venue = venue
        self._heard: queue.Queue[Any] = queue.Queue()
        self.stream = StockDataStream(*PAPER, url_override=venue.url.replace("http", "ws", 1) + "/v2/iex")
        subscribe(self.stream, self.hear)
        self._thread = threading.Thread(target=self.stream.run, daemon=True)

    async def hear(self, message: Any) -> None:
        self._heard.put(message)

    def next(self) -> Any:
        return self._heard.get(timeout=DEADLINE_SECONDS)

    def all_after(self, seconds: float) -> list[Any]:
        """Everything heard when the clock is stepped by that, in order."""
        self._heard = queue.Queue()
        self.venue.step(seconds)
        found = [self.next()]
        while True:
            try:
                found.append(self._heard.get(timeout=0.2))
            except queue.Empty:
                return found

    def __enter__(self) -> Audience:
        """Returns when the first message was heard: nothing is replayed to a late listener."""
        self._thread.start()
        for _ in range(200):
            self.venue.step(60)
            try:
                self._heard.get(timeout=0.1)
            except queue.Empty:
                continue
            return self
        raise AssertionError("the stream never heard anything")

    def __exit__(self, *_: object) -> None:
        self.stream.stop()
        # The client looks at its stop flag between messages only: give it some.
        for _ in range(200):
            if not self._thread.is_alive():
                return
            self.venue.step(60)
            self._thread.join(0.05)
        raise AssertionError("the stream never stopped")


def test_minute_bars_are_heard_as_they_end(http_venue: Venue) -> None:
    with Audience(http_venue, lambda stream, hear: stream.subscribe_bars(hear, "SPY", "TLT")) as audience:
        began = http_venue.simulator.clock.now()
        bars = audience.all_after(120)
        assert {bar.symbol for bar in bars} == {"SPY", "TLT"}
        assert all(isinstance(bar, Bar) and bar.low <= bar.close <= bar.high for bar in bars)
        assert [bar.timestamp for bar in bars if bar.symbol == "SPY"] == [began, began + MINUTE]


def test_bars_heard_are_the_bars_served(http_venue: Venue) -> None:
    with Audience(http_venue, lambda stream, hear: stream.subscribe_bars(hear, "SPY")) as audience:
        (bar,) = audience.all_after(60)
        served_bar = http_venue.data().get("/stocks/bars/latest", {"symbols": "SPY"})["bars"]["SPY"]
        assert Bar("SPY", served_bar) == bar


def test_quotes_and_trades_are_heard(http_venue: Venue) -> None:
    def subscribe(stream: StockDataStream, hear: Any) -> None:
        stream.subscribe_quotes(hear, "SPY")
        stream.subscribe_trades(hear, "SPY")

    with Audience(http_venue, subscribe) as audience:
        found = audience.all_after(10)
        quotes = [one for one in found if isinstance(one, Quote)]
        trades = [one for one in found if isinstance(one, Trade)]
        assert len(quotes) + len(trades) == len(found)
        assert quotes
        assert trades
        assert all(0 < quote.bid_price < quote.ask_price for quote in quotes)
        seconds = [one.timestamp.replace(microsecond=0) for one in found]
        assert seconds == sorted(seconds)


def test_a_wildcard_hears_every_symbol(http_venue: Venue) -> None:
    with Audience(http_venue, lambda stream, hear: stream.subscribe_bars(hear, "*")) as audience:
        bars = audience.all_after(60)
        listed = {asset.symbol for asset in http_venue.trading().get_all_assets()}
        assert {bar.symbol for bar in bars} == listed


def test_daily_bars_are_heard(http_venue: Venue) -> None:
    with Audience(http_venue, lambda stream, hear: stream.subscribe_daily_bars(hear, "SPY")) as audience:
        first, *_ = bars = audience.all_after(300)
        assert {bar.timestamp for bar in bars} == {first.timestamp}
        assert bars[-1].volume >= first.volume


def test_a_halt_and_its_end_are_heard() -> None:
    halts = [{"symbol": "SPY", "from": "2026-03-02T13:00:00-05:00", "until": "2026-03-02T13:10:00-05:00"}]
    simulator = noon_simulator(halts=halts)

    def subscribe(stream: StockDataStream, hear: Any) -> None:
        stream.subscribe_trading_statuses(hear, "*")
        stream.subscribe_bars(hear, "TLT")

    with served(simulator) as url:
        venue = Venue(simulator, url, in_process=False)
        with Audience(venue, subscribe) as audience:
            found = [one for one in audience.all_after(3600 * 1.5) if isinstance(one, TradingStatus)]
    halted, resumed = found
    assert (halted.symbol, halted.status_code) == ("SPY", "H")
    assert (resumed.symbol, resumed.status_code) == ("SPY", "T")
    assert resumed.timestamp - halted.timestamp == 10 * MINUTE


def test_every_channel_can_be_subscribed_and_left(http_venue: Venue) -> None:
    def subscribe(stream: StockDataStream, hear: Any) -> None:
        stream.subscribe_trades(hear, "SPY")
        stream.subscribe_quotes(hear, "SPY")
        stream.subscribe_bars(hear, "SPY", "TLT")
        stream.subscribe_updated_bars(hear, "SPY")
        stream.subscribe_daily_bars(hear, "SPY")
        stream.subscribe_trading_statuses(hear, "SPY")
        stream.register_trade_corrections(hear)
        stream.register_trade_cancels(hear)

    with Audience(http_venue, subscribe) as audience:
        stream = audience.stream
        stream.unsubscribe_trades("SPY")
        stream.unsubscribe_quotes("SPY")
        stream.unsubscribe_bars("SPY")
        stream.unsubscribe_updated_bars("SPY")
        stream.unsubscribe_daily_bars("SPY")
        stream.unsubscribe_trading_statuses("SPY")
        # What was on its way when the subscription ended may still be heard.
        audience.all_after(60)
        assert [(bar.symbol, type(bar)) for bar in audience.all_after(60)] == [("TLT", Bar)]


async def test_the_coroutines_of_the_data_stream_end_it(http_venue: Venue) -> None:
    heard: asyncio.Queue[Any] = asyncio.Queue()
    stream = StockDataStream(*PAPER, url_override=http_venue.url.replace("http", "ws", 1) + "/v2/iex")
    stream.subscribe_bars(heard.put, "SPY")
    running = asyncio.create_task(stream._run_forever())
    async with asyncio.timeout(DEADLINE_SECONDS):
        while heard.empty():
            await asyncio.to_thread(http_venue.step, 60)
            await asyncio.sleep(0.05)
        await stream.stop_ws()
        while not running.done():
            await asyncio.to_thread(http_venue.step, 60)
            await asyncio.sleep(0.05)
    await stream.close()


async def test_wrong_keys_are_refused_as_the_client_expects(http_venue: Venue) -> None:
    stream = StockDataStream("nobody", "x", url_override=http_venue.url.replace("http", "ws", 1) + "/v2/iex")
    with pytest.raises(ValueError, match="auth failed"):
        await stream._start_ws()
    await stream.close()


# Frame by frame -----------------------------------------------------------------


@asynccontextmanager
async def client_of(**config: Any) -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(web_application(noon_simulator(**config)))) as client:
        yield client


async def say(socket: aiohttp.ClientWebSocketResponse, message: object) -> list[Any]:
    """What a packed message is answered with."""
    await socket.send_bytes(msgpack.packb(message))
    return await hear(socket)


async def hear(socket: aiohttp.ClientWebSocketResponse) -> list[Any]:
    frame = await socket.receive(DEADLINE_SECONDS)
    assert frame.type is aiohttp.WSMsgType.BINARY, frame
    return msgpack.unpackb(frame.data)


async def authenticated(client: TestClient[Any, Any]) -> aiohttp.ClientWebSocketResponse:
    socket = await client.ws_connect("/v2/iex", headers=PACKED)
    assert await hear(socket) == [{"T": "success", "msg": "connected"}]
    answer = await say(socket, {"action": "auth", "key": PAPER[0], "secret": PAPER[1]})
    assert answer == [{"T": "success", "msg": "authenticated"}]
    return socket


def code(answer: list[Any]) -> int:
    (error,) = answer
    assert error["T"] == "error"
    assert error["msg"]
    return error["code"]


async def test_errors_of_the_data_stream_have_alpacas_codes() -> None:
    async with client_of() as client:
        socket = await client.ws_connect("/v2/iex", headers=PACKED)
        await hear(socket)
        assert code(await say(socket, {"action": "subscribe", "bars": ["SPY"]})) == 401
        assert code(await say(socket, {"action": "auth", "key": "nobody", "secret": "x"})) == 402
    async with client_of() as client:
        socket = await authenticated(client)
        assert code(await say(socket, {"action": "dance"})) == 400
        assert code(await say(socket, {"action": "auth", "key": PAPER[0], "secret": PAPER[1]})) == 403


async def test_more_than_thirty_symbols_are_too_many() -> None:
    async with client_of() as client:
        socket = await authenticated(client)
        symbols = [f"X{number}" for number in range(31)]
        assert code(await say(socket, {"action": "subscribe", "trades": symbols})) == 405


async def test_a_second_connection_of_an_account_is_one_too_many() -> None:
    async with client_of() as client:
        await authenticated(client)
        second = await client.ws_connect("/v2/iex", headers=PACKED)
        await hear(second)
        assert code(await say(second, {"action": "auth", "key": PAPER[0], "secret": PAPER[1]})) == 406


async def test_times_are_msgpack_timestamps_or_text_in_json() -> None:
    async with client_of() as client:
        packed = await authenticated(client)
        (subscription,) = await say(packed, {"action": "subscribe", "bars": ["SPY"]})
        assert (subscription["T"], subscription["bars"], subscription["quotes"]) == ("subscription", ["SPY"], [])
        await client.post("/admin/clock/step", json={"seconds": 60})
        (bar,) = await hear(packed)
        assert isinstance(bar["t"], msgpack.Timestamp)
        await packed.close()
        plain = await client.ws_connect("/v2/iex")
        assert (await plain.receive_json(timeout=DEADLINE_SECONDS))[0]["msg"] == "connected"
        await plain.send_json({"action": "auth", "key": PAPER[0], "secret": PAPER[1]})
        await plain.receive_json(timeout=DEADLINE_SECONDS)
        await plain.send_json({"action": "subscribe", "bars": ["SPY"]})
        await plain.receive_json(timeout=DEADLINE_SECONDS)
        await client.post("/admin/clock/step", json={"seconds": 60})
        (text_bar,) = await plain.receive_json(timeout=DEADLINE_SECONDS)
        assert text_bar["t"].endswith("Z")


def test_a_plain_get_of_the_data_stream_is_told_what_is_missing(http_venue: Venue) -> None:
    answer = requests.get(f"{http_venue.url}/v2/iex", timeout=DEADLINE_SECONDS)
    assert answer.status_code in {400, 426}
    assert answer.json()["message"]
