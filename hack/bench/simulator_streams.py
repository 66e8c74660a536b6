"""Trade updates to 100 sockets of one account: how many frames a second arrive, from the order to the last socket.

Beside it: an aiohttp server that sends a frame of the same size to 100 sockets for each request.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Iterator

import aiohttp

from bench.harness import Bench, Measurement, Scale, in_turns
from bench.programs import DEADLINE_SECONDS, KEYS, bare_server, bench_config, key_headers, simulator

SOCKETS = 100
ORDERS = 50
FRAME_BYTES = 1_400

_numbers = itertools.count()


async def _count_frames(socket: aiohttp.ClientWebSocketResponse, frames: int) -> None:
    for _ in range(frames):
        message = await socket.receive(DEADLINE_SECONDS)
        if message.type is not aiohttp.WSMsgType.BINARY:
            raise RuntimeError(f"a socket ended: {message}")


async def _simulated(port: int) -> float:
    url = f"http://127.0.0.1:{port}"
    login = {"action": "authenticate", "data": {"key_id": KEYS[0], "secret_key": KEYS[1]}}
    listen = {"action": "listen", "data": {"streams": ["trade_updates"]}}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        sockets = [await session.ws_connect(f"{url}/stream", compress=0) for _ in range(SOCKETS)]
        for socket in sockets:
            for message in (login, listen):
                await socket.send_json(message)
                await socket.receive(DEADLINE_SECONDS)
        # Each resting order is heard once when it is new, once when it is canceled.
        hearing = [asyncio.create_task(_count_frames(socket, 2 * ORDERS)) for socket in sockets]
        began = time.perf_counter()
        for _ in range(ORDERS):
            order = {"symbol": "TLT", "qty": "1", "side": "buy", "type": "limit", "time_in_force": "gtc"}
            order |= {"limit_price": "5", "client_order_id": f"bench-{next(_numbers)}"}
            async with session.post(f"{url}/v2/orders", json=order, headers=key_headers()) as answer:
                made = await answer.json()
            async with session.delete(f"{url}/v2/orders/{made['id']}", headers=key_headers()) as answer:
                await answer.read()
        await asyncio.gather(*hearing)
        seconds = time.perf_counter() - began
        await asyncio.gather(*(socket.close() for socket in sockets))
    return SOCKETS * 2 * ORDERS / seconds


async def _broadcast(port: int) -> float:
    url = f"http://127.0.0.1:{port}"
    frame = json.dumps({"stream": "x" * FRAME_BYTES}).encode()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        sockets = [await session.ws_connect(f"{url}/listen", compress=0) for _ in range(SOCKETS)]
        hearing = [asyncio.create_task(_count_frames(socket, 2 * ORDERS)) for socket in sockets]
        began = time.perf_counter()
        for _ in range(2 * ORDERS):
            async with session.post(f"{url}/broadcast", data=frame) as answer:
                await answer.read()
        await asyncio.gather(*hearing)
        seconds = time.perf_counter() - began
        await asyncio.gather(*(socket.close() for socket in sockets))
    return SOCKETS * 2 * ORDERS / seconds


def run(scale: Scale) -> Iterator[Measurement]:
    """Frames heard a second over all sockets; more is better."""
    with simulator(bench_config()) as ours, bare_server() as bare:
        yield in_turns(
            scale,
            f"trade updates, sockets: {SOCKETS}",
            "frames/s",
            lambda: asyncio.run(_simulated(ours.port)),
            "aiohttp broadcast",
            lambda: asyncio.run(_broadcast(bare.port)),
        )


BENCH = Bench("simulator-streams", f"trade updates to {SOCKETS} sockets", 10, run)
