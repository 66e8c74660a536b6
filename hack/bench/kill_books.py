"""What the broker itself says of a kill, and when: its trade updates, heard beside the bot's own connection.

Must never ask a bot: that its word is true is what is checked here.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal

import aiohttp

from bench.programs import DEADLINE_SECONDS, KEYS

_LONGEST_KILL_SECONDS = 300.0


@dataclass(frozen=True)
class Told:
    """One trade update: what was told of which order, at which second of the machine's time."""

    at: float
    event: str
    order_id: str
    symbol: str
    position_qty: Decimal | None


@dataclass(frozen=True)
class Ended:
    """When the broker said that the last order was cancelled, and that the last position was gone; machine time."""

    cancelled_at: float
    flat_at: float


def ending_of(told: Sequence[Told], order_ids: frozenset[str], symbols: frozenset[str], since: float) -> Ended | None:
    """What the broker said since a kill of a bot with these orders and positions; None while something is left."""
    cancelled = {one.order_id: one.at for one in told if one.event == "canceled" and one.order_id in order_ids}
    flat: dict[str, float] = {}
    for one in told:
        if one.at >= since and one.symbol in symbols and one.position_qty is not None:
            if one.position_qty == 0:
                flat[one.symbol] = one.at
            else:
                flat.pop(one.symbol, None)
    if cancelled.keys() != order_ids or flat.keys() != symbols:
        return None
    cancelled_at = max(cancelled.values())
    return Ended(cancelled_at, max(cancelled_at, *flat.values()))


@dataclass
class Books:
    """The trade updates of an account, as they come."""

    told: list[Told] = field(default_factory=list)
    _listening: threading.Event = field(default_factory=threading.Event)

    def wait(self, look: Callable[[], object], what: str) -> None:
        """Until `look` finds what it looks for."""
        deadline = time.monotonic() + _LONGEST_KILL_SECONDS
        while not look():
            if time.monotonic() > deadline:
                raise RuntimeError(f"not told within {_LONGEST_KILL_SECONDS:.0f} s: {what}")
            time.sleep(0.002)

    async def listen(self, port: int, account: int) -> None:
        """Listens until it is cancelled."""
        keys = {"key": f"PKBENCH{account}", "secret": KEYS[1]}
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://127.0.0.1:{port}/stream") as socket,
        ):
            await socket.send_json({"action": "auth", **keys})
            await socket.send_json({"action": "listen", "data": {"streams": ["trade_updates"]}})
            async for message in socket:
                at, frame = time.time(), json.loads(message.data)
                if frame["stream"] == "listening":
                    self._listening.set()
                if frame["stream"] == "trade_updates":
                    self.told.append(_read(at, frame["data"]))

    def await_listening(self) -> None:
        """Until nothing is missed any more."""
        if not self._listening.wait(DEADLINE_SECONDS):
            raise RuntimeError("the simulator gives no trade updates")


def _read(at: float, update: dict[str, object]) -> Told:
    order = update["order"]
    if not isinstance(order, dict):
        raise TypeError(f"no trade update: {update!r}")
    qty = update.get("position_qty")
    return Told(at, str(update["event"]), order["id"], order["symbol"], None if qty is None else Decimal(str(qty)))


@contextmanager
def books_of(port: int, account: int) -> Iterator[Books]:
    """The books of the account of that number, told in a thread of their own."""
    books, loop = Books(), asyncio.new_event_loop()
    task = loop.create_task(books.listen(port, account))

    def run() -> None:
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            pass
        finally:
            loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        books.await_listening()
        yield books
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(DEADLINE_SECONDS)
