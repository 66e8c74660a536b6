"""The broker's stream of trade updates over one websocket: authenticate, listen, read, notice when it falls silent.

Holds one connection and never reconnects by itself; a word it does not know is passed on, not dropped.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import aiohttp

from tradingbot_runtime.broker.failures import unauthorized
from tradingbot_runtime.broker.port import BrokerUnavailable
from tradingbot_runtime.broker.reading import trade_update_from
from tradingbot_runtime.broker.transport import without_version
from tradingbot_runtime.core.events import StreamConnected, TradeUpdate

CONNECT_SECONDS = 10.0
"""From the first packet to the first word of the stream."""
HEARTBEAT_SECONDS = 20.0
"""A ping after so long without a frame; its pong has half of that to come, so silence is noticed in 30 s."""
MAX_FRAME_BYTES = 4 * 1024 * 1024


def stream_url(base_url: str) -> str:
    """The websocket's address beside the trading API."""
    return "ws" + without_version(base_url).removeprefix("http") + "/stream"


class TradeUpdates:
    """Trade updates of one account."""

    def __init__(
        self,
        base_url: str,
        key_id: str,
        secret_key: str,
        *,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        session: Callable[[], aiohttp.ClientSession] = aiohttp.ClientSession,
    ) -> None:
        self._url = stream_url(base_url)
        self._keys = {"key_id": key_id, "secret_key": secret_key}
        self._heartbeat_seconds = heartbeat_seconds
        self._session = session

    async def listen(self) -> AsyncGenerator[StreamConnected | TradeUpdate, None]:
        """StreamConnected once, then updates until the socket is lost: BrokerUnavailable; bad keys: Unauthorized."""
        try:
            async with self._session() as session:
                socket = await self._connect(session)
                try:
                    yield StreamConnected()
                    while True:
                        body = _frame(await socket.receive())
                        if body.get("stream") == "trade_updates":
                            yield _update(body.get("data"))
                finally:
                    await socket.close()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise BrokerUnavailable(f"trade updates: {type(error).__name__}: {error}") from error

    async def _connect(self, session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
        async with asyncio.timeout(CONNECT_SECONDS):
            socket = await session.ws_connect(
                self._url, heartbeat=self._heartbeat_seconds, max_msg_size=MAX_FRAME_BYTES
            )
            try:
                await socket.send_json({"action": "authenticate", "data": self._keys})
                await _until_authorized(socket)
                await socket.send_json({"action": "listen", "data": {"streams": ["trade_updates"]}})
                await _until_listening(socket)
            except BaseException:
                await socket.close()
                raise
            return socket


async def _until_authorized(socket: aiohttp.ClientWebSocketResponse) -> None:
    while True:
        body = _frame(await socket.receive())
        if body.get("stream") != "authorization":
            continue
        data = body.get("data")
        if isinstance(data, dict) and data.get("status") == "authorized":
            return
        raise unauthorized("trade updates")


async def _until_listening(socket: aiohttp.ClientWebSocketResponse) -> None:
    while _frame(await socket.receive()).get("stream") != "listening":
        pass


def _frame(message: aiohttp.WSMessage) -> dict[str, Any]:
    """The JSON of a frame, which Alpaca sends as binary and others as text."""
    if message.type not in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
        reason = message.data if message.type is aiohttp.WSMsgType.ERROR else message.extra
        raise BrokerUnavailable(f"trade updates: the connection is lost ({message.type.name.lower()} {reason})")
    try:
        body = json.loads(message.data)
    except ValueError as error:
        raise BrokerUnavailable(f"trade updates: a frame is not JSON: {error}") from error
    return body if isinstance(body, dict) else {}


def _update(data: object) -> TradeUpdate:
    try:
        return trade_update_from(data)
    except ValueError as error:
        # What it said is lost; connecting again makes the core read the broker's books, which say it too.
        raise BrokerUnavailable(f"trade updates: an update cannot be read: {error}") from error
