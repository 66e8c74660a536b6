"""Carries an answer out over aiohttp as its delivery says: late, slowly, in part, or by a reset.

All waiting is bounded by the delivery; nothing is decided here.
"""

from __future__ import annotations

import asyncio
import socket
import struct

from aiohttp import web
from multidict import CIMultiDict

from alpaca_simulator.api.messages import Response
from alpaca_simulator.faults.delivery import AT_ONCE, Answer, Delivery

#: How often a slow body gets its next bytes, machine seconds.
_BEAT_SECONDS = 0.1
#: Closing a socket that lingers for no time resets the connection.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


async def deliver(http: web.Request, answer: Answer) -> web.StreamResponse:
    """Answer `http`; what comes back is what aiohttp's handler has to return."""
    delivery, response = answer.delivery, answer.response
    if response is not None and delivery == AT_ONCE:
        return whole(response)
    await _pass(http, delivery.delay_seconds + delivery.silent_seconds)
    if response is None or delivery.reset:
        return reset(http)
    if delivery.bytes_per_second is None and delivery.cut_after_bytes is None:
        return whole(response)
    return await _piecemeal(http, response, delivery)


def whole(response: Response) -> web.Response:
    """The whole response at once."""
    return web.Response(status=response.status, body=response.body, headers=dict(response.headers))


def reset(http: web.Request) -> web.Response:
    """End the connection with a TCP reset; the response that comes back reaches nobody."""
    transport = http.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()
    return web.Response(status=503)


async def _pass(http: web.Request, seconds: float) -> None:
    """Let time pass, but no longer than the client waits for it."""
    end = asyncio.get_running_loop().time() + seconds
    while (left := end - asyncio.get_running_loop().time()) > 0:
        if http.transport is None or http.transport.is_closing():
            return
        await asyncio.sleep(min(left, _BEAT_SECONDS))


async def _piecemeal(http: web.Request, response: Response, delivery: Delivery) -> web.StreamResponse:
    headers = CIMultiDict(response.headers)
    headers["Content-Length"] = str(len(response.body))
    stream = web.StreamResponse(status=response.status, headers=headers)
    body = response.body if delivery.cut_after_bytes is None else response.body[: delivery.cut_after_bytes]
    await stream.prepare(http)
    try:
        await _write(stream, body, delivery.bytes_per_second)
        if len(body) == len(response.body):
            await stream.write_eof()
            return stream
    except ConnectionError:
        # The client went away first: there is nobody left to answer.
        pass
    if http.transport is not None:
        http.transport.close()
    return stream


async def _write(stream: web.StreamResponse, body: bytes, bytes_per_second: float | None) -> None:
    if bytes_per_second is None:
        await stream.write(body)
        return
    beat = max(_BEAT_SECONDS, 1 / bytes_per_second)
    at_a_time = max(1, int(bytes_per_second * beat))
    for start in range(0, len(body), at_a_time):
        await asyncio.sleep(beat)
        await stream.write(body[start : start + at_a_time])
