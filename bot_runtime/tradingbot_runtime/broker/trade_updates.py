"""The broker's stream of trade updates over one websocket: authenticate, listen, read, notice when it falls silent.

Holds one connection and never reconnects by itself. A word it does not know is passed on, and what it cannot read is
said to be missing: nothing is dropped unnoticed, and nothing odd ends what comes after it.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Final

import aiohttp

from tradingbot_runtime.broker.failures import unauthorized
from tradingbot_runtime.broker.port import BrokerUnavailable
from tradingbot_runtime.broker.reading import trade_update_from
from tradingbot_runtime.broker.strangers import Strangers
from tradingbot_runtime.broker.transport import without_version
from tradingbot_runtime.core.events import StreamConnected, TradeUpdate

CONNECT_SECONDS = 10.0
"""From the first packet to the first word of the stream."""
CLOSE_SECONDS: Final = 2.0
HEARTBEAT_SECONDS: Final = 20.0
"""A ping after so long without a frame; its pong has half of that to come, so silence is noticed in 30 s."""
MAX_FRAME_BYTES: Final = 4 * 1024 * 1024
MAX_UNREADABLE_FRAMES: Final = 20
"""In a row: whoever sends more than that does not speak this protocol."""
_STREAM: Final = "trade_updates"


def stream_url(base_url: str) -> str:
    """The websocket's address beside the trading API."""
    return "ws" + without_version(base_url).removeprefix("http") + "/stream"


class Unreadable(Exception):
    """A frame of which nobody knows what it says."""


class TradeUpdates:
    """Trade updates of one account."""

    def __init__(
        self,
        base_url: str,
        key_id: str,
        secret_key: str,
        *,
        strangers: Strangers,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        session: Callable[[], aiohttp.ClientSession] = aiohttp.ClientSession,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = stream_url(base_url)
        self._keys = {"key_id": key_id, "secret_key": secret_key}
        self._strangers = strangers
        self._heartbeat_seconds = heartbeat_seconds
        self._session = session
        self._monotonic = monotonic
        self._listening: _Listening | None = None
        self.frames = 0
        """Frames read since the process began."""
        self.frames_unreadable = 0
        """Frames of which nobody knows what they said."""
        self.last_frame_at: float | None = None
        """Monotonic time of the last frame of the present connection; None while there is none."""

    def drop(self, reason: str) -> None:
        """Ends the present `listen` with BrokerUnavailable; without one, nothing happens."""
        if self._listening is not None:
            self._listening.drop(reason)

    async def listen(self) -> AsyncGenerator[StreamConnected | TradeUpdate, None]:
        """StreamConnected once updates flow, and again after a frame that cannot be read; updates until the end.

        The end is BrokerUnavailable (socket lost, mute, dropped, talking nonsense) or Unauthorized (bad keys, also
        when they are revoked in mid-stream).
        """
        listening = self._listening = _Listening()
        try:
            async with self._session() as session:
                socket = await self._connect(session)
                try:
                    yield StreamConnected()
                    async with aclosing(self._events(socket, listening)) as events:
                        async for event in events:
                            yield event
                finally:
                    await socket.close()
        except aiohttp.WSServerHandshakeError as error:
            if error.status == 401:
                raise unauthorized("trade updates: 401") from error
            raise BrokerUnavailable(f"trade updates: answered {error.status} instead of a websocket") from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise BrokerUnavailable(f"trade updates: {type(error).__name__}: {error}") from error
        finally:
            self.last_frame_at = None

    async def _events(
        self, socket: aiohttp.ClientWebSocketResponse, listening: "_Listening"
    ) -> AsyncGenerator[StreamConnected | TradeUpdate, None]:
        unreadable = 0
        while True:
            message = await listening.next(socket)
            try:
                update = self._update_in(message)
            except Unreadable as error:
                unreadable += 1
                self.frames_unreadable += 1
                if unreadable > MAX_UNREADABLE_FRAMES:
                    raise BrokerUnavailable(f"trade updates: {unreadable} frames make no sense; {error}") from error
                # Whatever it said is in the books: whoever is told of a new connection reads them.
                yield StreamConnected()
            else:
                unreadable = 0
                if update is not None:
                    yield update

    def _update_in(self, message: aiohttp.WSMessage) -> TradeUpdate | None:
        body = self._body(message)
        stream, data = body.get("stream"), body.get("data")
        if stream == "authorization" and isinstance(data, dict) and data.get("status") == "unauthorized":
            raise unauthorized("trade updates: the keys were revoked")
        if stream == "listening":
            _check_listening(data)
        if stream != _STREAM:
            return None
        try:
            return trade_update_from(data)
        except Exception as error:
            if isinstance(data, dict) and self._strangers.skips(data.get("order"), error):
                return None
            raise Unreadable(f"an update cannot be read: {error}") from error

    def _body(self, message: aiohttp.WSMessage) -> dict[str, Any]:
        """The JSON of a frame, which Alpaca sends as binary and others as text."""
        if message.type not in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
            reason = message.data if message.type is aiohttp.WSMsgType.ERROR else message.extra
            raise BrokerUnavailable(f"trade updates: the connection is lost ({message.type.name.lower()} {reason})")
        self.frames += 1
        self.last_frame_at = self._monotonic()
        try:
            body = json.loads(message.data)
        except (ValueError, RecursionError) as error:
            raise Unreadable(f"a frame is not JSON: {error}") from error
        if not isinstance(body, dict):
            raise Unreadable("a frame is not an object")
        return body

    async def _connect(self, session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
        async with asyncio.timeout(CONNECT_SECONDS):
            socket = await session.ws_connect(
                self._url,
                heartbeat=self._heartbeat_seconds,
                max_msg_size=MAX_FRAME_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
            )
            try:
                await socket.send_json({"action": "authenticate", "data": self._keys})
                _check_authorized(await self._answer(socket, "authorization"))
                await socket.send_json({"action": "listen", "data": {"streams": [_STREAM]}})
                _check_listening(await self._answer(socket, "listening"))
            except BaseException:
                await socket.close()
                raise
            return socket

    async def _answer(self, socket: aiohttp.ClientWebSocketResponse, stream: str) -> object:
        """What the broker says next on a stream; what else it says before is not for us."""
        while True:
            try:
                body = self._body(await socket.receive())
            except Unreadable as error:
                raise BrokerUnavailable(f"trade updates: {error}") from error
            if body.get("stream") == stream:
                return body.get("data")


class _Listening:
    """One connection's wait for frames, which may be ended from outside."""

    def __init__(self) -> None:
        self._reason: str | None = None
        self._wait: asyncio.Timeout | None = None

    def drop(self, reason: str) -> None:
        """Ends the wait that is on, or else the next; the first reason counts."""
        if self._reason is not None:
            return
        self._reason = reason
        if self._wait is not None:
            self._wait.reschedule(asyncio.get_running_loop().time())

    async def next(self, socket: aiohttp.ClientWebSocketResponse) -> aiohttp.WSMessage:
        """The next message. Raises BrokerUnavailable when the connection is dropped first."""
        if self._reason is None:
            try:
                # A limit that only a drop sets: a task and a future for each frame would cost more than reading it.
                async with asyncio.timeout(None) as self._wait:
                    return await socket.receive()
            except TimeoutError:
                if self._reason is None:
                    raise
            finally:
                self._wait = None
        raise BrokerUnavailable(f"trade updates: the stream is mute: {self._reason}")


def _check_authorized(data: object) -> None:
    status = data.get("status") if isinstance(data, dict) else None
    if status == "unauthorized":
        raise unauthorized("trade updates")
    if status != "authorized":
        raise BrokerUnavailable(f"trade updates: neither authorized nor refused, but {str(status)[:100]!r}")


def _check_listening(data: object) -> None:
    streams = data.get("streams") if isinstance(data, dict) else None
    if not isinstance(streams, list) or _STREAM not in streams:
        raise BrokerUnavailable(f"trade updates: the broker does not send them, but {str(streams)[:100]}")
