"""A simulator that alpaca-py's own clients talk to, over real HTTP and within the process."""

from __future__ import annotations

import asyncio
import queue
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from alpaca_simulator.config import SimulatorConfig
from alpaca_simulator.in_process import BASE_URL, answer_in_process
from alpaca_simulator.server import serve
from alpaca_simulator.simulator import Simulator, build_simulator

with warnings.catch_warnings():
    # alpaca-py 0.44 imports the websockets library's deprecated client.
    warnings.simplefilter("ignore", DeprecationWarning)
    from alpaca.common.exceptions import APIError
    from alpaca.data.historical import StockHistoricalDataClient
    from alpaca.trading.client import TradingClient
    from alpaca.trading.enums import OrderSide, TimeInForce
    from alpaca.trading.requests import LimitOrderRequest, MarketOrderRequest
    from alpaca.trading.stream import TradingStream

PAPER = ("PKDEMOPAPER", "demo-paper-secret")
LIVE = ("AKDEMOLIVE", "demo-live-secret")
MONDAY_NOON = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)
DEADLINE_SECONDS = 60.0


@dataclass(frozen=True)
class Venue:
    """A stepped simulator at noon, and clients of alpaca-py that reach it at `url`."""

    simulator: Simulator
    url: str
    in_process: bool

    def trading(self, keys: tuple[str, str] = PAPER) -> TradingClient:
        return self.connected(TradingClient(*keys, url_override=self.url))

    def data(self, keys: tuple[str, str] = PAPER) -> StockHistoricalDataClient:
        return self.connected(StockHistoricalDataClient(*keys, url_override=self.url))

    def step(self, seconds: float) -> None:
        with requests.Session() as session:
            if self.in_process:
                answer_in_process(session, self.simulator.rest)
            answer = session.post(f"{self.url}/admin/clock/step", json={"seconds": seconds}, timeout=10)
        assert answer.status_code == 200, answer.text

    def connected(self, client: Any) -> Any:
        if self.in_process:
            answer_in_process(client._session, self.simulator.rest)
        return client


def noon_simulator(at: datetime = MONDAY_NOON, **config: Any) -> Simulator:
    """Without a rate limit unless one is asked for: its minute would be the market's, which stands still."""
    limits = {"requests_per_minute": 0, **config.pop("limits", {})}
    clock = {"mode": "stepped", "start": at}
    return build_simulator(SimulatorConfig.model_validate({"clock": clock, "limits": limits, **config}))


def in_process_venue(at: datetime = MONDAY_NOON, **config: Any) -> Venue:
    """For what is the same over HTTP: nothing but the market differs from test to test."""
    return Venue(noon_simulator(at, **config), BASE_URL, in_process=True)


def buy(symbol: str = "SPY", qty: float = 10, **more: object) -> MarketOrderRequest:
    return MarketOrderRequest(symbol=symbol, qty=qty, side=OrderSide.BUY, time_in_force=TimeInForce.DAY, **more)


def resting(symbol: str = "SPY", qty: float = 1, **more: object) -> LimitOrderRequest:
    return LimitOrderRequest(
        symbol=symbol, qty=qty, side=OrderSide.BUY, time_in_force=TimeInForce.GTC, limit_price=5.5, **more
    )


def refused(call: Callable[..., object], *arguments: object) -> tuple[int, int]:
    """The status and code with which `call` is refused."""
    with pytest.raises(APIError) as refusal:
        call(*arguments)
    assert refusal.value.message
    return refusal.value.status_code, refusal.value.code


@contextmanager
def served(simulator: Simulator) -> Iterator[str]:
    """Serve `simulator` on a free port of 127.0.0.1 from a thread; gives its URL."""
    ready: queue.Queue[str] = queue.Queue()
    stopping: list[Any] = []

    async def run() -> None:
        stopped = asyncio.Event()
        stopping.append((asyncio.get_running_loop(), stopped))
        await serve(simulator, "127.0.0.1", 0, stopped, ready.put)

    thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    thread.start()
    try:
        yield ready.get(timeout=DEADLINE_SECONDS)
    finally:
        loop, stopped = stopping[0]
        loop.call_soon_threadsafe(stopped.set)
        thread.join(DEADLINE_SECONDS)
        assert not thread.is_alive()


@pytest.fixture
def http_venue() -> Iterator[Venue]:
    simulator = noon_simulator()
    with served(simulator) as url:
        yield Venue(simulator, url, in_process=False)


@pytest.fixture(params=["http", "in process"])
def venue(request: pytest.FixtureRequest) -> Iterator[Venue]:
    """The same simulator over HTTP and within the process."""
    if request.param == "in process":
        yield Venue(noon_simulator(), BASE_URL, in_process=True)
    else:
        simulator = noon_simulator()
        with served(simulator) as url:
            yield Venue(simulator, url, in_process=False)


class Subscriber:
    """alpaca-py's TradingStream in a thread; what it hears comes out of `next`."""

    def __init__(self, venue: Venue, keys: tuple[str, str] = PAPER) -> None:
        self._venue = venue
        self._heard: queue.Queue[Any] = queue.Queue()
        self._stream = TradingStream(*keys, url_override=venue.url.replace("http", "ws", 1) + "/stream")
        self._stream.subscribe_trade_updates(self._hear)
        self._thread = threading.Thread(target=self._stream.run, daemon=True)

    async def _hear(self, update: Any) -> None:
        self._heard.put(update)

    def next(self) -> Any:
        return self._heard.get(timeout=DEADLINE_SECONDS)

    def __enter__(self) -> Subscriber:
        self._thread.start()
        self._wait_until_listening()
        return self

    def _wait_until_listening(self) -> None:
        """An order is submitted and cancelled until it is heard: nothing is replayed to a late listener."""
        client = self._venue.trading()
        for number in range(1000):
            order = client.submit_order(far_limit_order(client_order_id=f"are-you-there-{number}"))
            client.cancel_order_by_id(order.id)
            try:
                while self._heard.get(timeout=0.05).event != "canceled":
                    pass
            except queue.Empty:
                continue
            while not self._heard.empty():
                self._heard.get_nowait()
            return
        raise AssertionError("the stream never listened")

    def __exit__(self, *_: object) -> None:
        self._stream.stop()
        # The client looks at its stop flag between messages only: give it one.
        client = self._venue.trading()
        client.cancel_order_by_id(client.submit_order(far_limit_order(client_order_id="goodbye")).id)
        self._thread.join(DEADLINE_SECONDS)
        assert not self._thread.is_alive()


def far_limit_order(**more: Any) -> Any:
    return LimitOrderRequest(symbol="TLT", qty=1, side="buy", time_in_force="gtc", limit_price=5, **more)
