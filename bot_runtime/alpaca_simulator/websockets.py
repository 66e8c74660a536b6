"""The streams over aiohttp's websockets: carries frames in and out as the hub has them.

Decides nothing but when a client is too late or gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from alpaca_simulator.api.messages import json_response, refusal_response
from alpaca_simulator.api.routing import no_websocket
from alpaca_simulator.faults.socket_faults import Drop
from alpaca_simulator.faults.stream_kinds import StreamName
from alpaca_simulator.http_delivery import reset, whole
from alpaca_simulator.streams import market_data, trade_updates
from alpaca_simulator.streams.client_socket import ClientSocket
from alpaca_simulator.streams.hub import StreamHub
from alpaca_simulator.streams.market_data_codec import codec_for

#: A client of a stream that has not proved who it is by then is sent away.
AUTHENTICATION_SECONDS = 10.0
#: A client that is silent for so long is asked whether it is there, and gone if it stays silent.
HEARTBEAT_SECONDS = 30.0
CLOSING_SECONDS = 2.0

log = structlog.stdlib.get_logger("alpaca_simulator")


class Websockets:
    """The handlers of both streams."""

    def __init__(self, hub: StreamHub) -> None:
        self._hub = hub
        self._open: set[web.WebSocketResponse] = set()

    async def trade_updates(self, http: web.Request) -> web.StreamResponse:
        """Serve one client of the trade updates until either side ends it."""
        largest = trade_updates.LARGEST_FRAME_BYTES
        return await self._serve(http, "trade_updates", largest, self._hub.open_trade_updates)

    async def market_data(self, http: web.Request) -> web.StreamResponse:
        """Serve one client of the market data stream until either side ends it."""
        feed, headers = http.match_info["feed"], http.headers
        codec = codec_for(headers.get("Content-Type"))
        keys = headers.get("APCA-API-KEY-ID"), headers.get("APCA-API-SECRET-KEY")
        largest = market_data.LARGEST_FRAME_BYTES
        return await self._serve(http, "market_data", largest, lambda: self._hub.open_market_data(feed, codec, *keys))

    async def close_all(self, _app: web.Application) -> None:
        """Tell every client that the server is going away."""
        closing = [one.close(code=WSCloseCode.GOING_AWAY, message=b"") for one in self._open]
        await asyncio.gather(*closing, return_exceptions=True)

    async def _serve(
        self, http: web.Request, stream: StreamName, largest_frame: int, open_socket: Callable[[], ClientSocket]
    ) -> web.StreamResponse:
        if self._hub.is_full:
            return whole(json_response(429, {"code": 42910000, "message": "connection limit exceeded"}))
        transport = web.WebSocketResponse(
            max_msg_size=largest_frame, autoping=False, timeout=CLOSING_SECONDS, compress=False
        )
        if not transport.can_prepare(http).ok:
            return whole(refusal_response(no_websocket()))
        refused = self._hub.refused(stream)
        if refused is not None:
            if refused.status is None:
                return reset(http)
            return whole(json_response(refused.status, {"message": "connection refused"}))
        await transport.prepare(http)
        socket = open_socket()
        self._open.add(transport)
        log.info("stream_opened", stream=stream, remote=http.remote)
        sender = asyncio.create_task(_send(http, transport, socket))
        try:
            await _receive(transport, socket)
            # What is on its way out, an error or a close of ours, is still sent.
            if socket.is_ending:
                await asyncio.wait({sender}, timeout=CLOSING_SECONDS)
        finally:
            account = socket.account_name
            self._hub.close(socket)
            self._open.discard(transport)
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            log.info("stream_closed", stream=stream, account=account, slow=socket.fell_behind)
        return transport


async def _receive(transport: web.WebSocketResponse, socket: ClientSocket) -> None:
    """Feed what the client sends to its connection until either side ends it."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + AUTHENTICATION_SECONDS
    asked = False
    while not transport.closed:
        known = socket.account_name is not None
        try:
            async with asyncio.timeout_at(loop.time() + HEARTBEAT_SECONDS if known else deadline):
                message = await transport.receive()
        except TimeoutError:
            if not known:
                socket.time_out()
                return
            if asked and not socket.is_mute:
                return
            asked = not socket.is_mute
            if asked:
                await transport.ping()
            continue
        asked = False
        match message.type:
            case WSMsgType.TEXT | WSMsgType.BINARY:
                socket.receive(message.data)
            case WSMsgType.PING:
                if socket.answers_pings:
                    await transport.pong(message.data)
            case WSMsgType.PONG:
                pass
            case _:
                return


async def _send(http: web.Request, transport: web.WebSocketResponse, socket: ClientSocket) -> None:
    """Send what waits for the client, and end the connection when that is what comes next."""
    ready = asyncio.Event()
    socket.on_ready = ready.set
    while True:
        ready.clear()
        while (one := socket.next()) is not None:
            if isinstance(one, Drop):
                await _end(http, transport, one)
                return
            if isinstance(one, str):
                await transport.send_str(one)
            else:
                await transport.send_bytes(one)
        await ready.wait()


async def _end(http: web.Request, transport: web.WebSocketResponse, drop: Drop) -> None:
    if drop.close_code is None:
        reset(http)
    else:
        await transport.close(code=drop.close_code, message=b"")
