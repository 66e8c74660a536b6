"""Every open connection to the streams of one simulator, and who is told what.

No sockets and no waiting: a transport opens a connection here, feeds it and takes what is to be sent.
One hub takes the trade updates: whoever else takes them takes them away from its clients.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from alpaca_simulator.api.rest import RestApi
from alpaca_simulator.exchange.updates import TradeUpdate
from alpaca_simulator.faults.socket_faults import Refused
from alpaca_simulator.faults.stream_kinds import MomentRule, StreamName
from alpaca_simulator.streams.client_socket import ClientSocket, Connection
from alpaca_simulator.streams.market_data import MarketDataConnection, MarketDataStreams
from alpaca_simulator.streams.market_data_codec import Codec
from alpaca_simulator.streams.trade_updates import StreamConnection, trade_update_frame


class StreamHub:
    """Opens connections and hands them what has happened."""

    def __init__(
        self, rest: RestApi, market_data: MarketDataStreams, *, sockets_at_most: int, frames_waiting_at_most: int
    ) -> None:
        self._rest = rest
        self._market_data = market_data
        self._keys = rest.faults.keys(rest.keys, "trade_updates")
        self._sockets_at_most = sockets_at_most
        self._frames_waiting_at_most = frames_waiting_at_most
        self._sockets: dict[int, ClientSocket] = {}
        self._opened = 0
        rest.admin.view.connections = self

    @property
    def is_full(self) -> bool:
        """Whether there may be no more connections."""
        return len(self._sockets) >= self._sockets_at_most

    def refused(self, stream: StreamName) -> Refused | None:
        """Whether a fault refuses a new connection, and how. Ask once for each, before it is opened."""
        return self._rest.faults.refused(stream)

    def open_trade_updates(self) -> ClientSocket:
        """A new connection to the trade updates."""
        return self._open("trade_updates", StreamConnection(self._keys))

    def open_market_data(
        self, feed: str, codec: Codec, key_id: str | None = None, secret_key: str | None = None
    ) -> ClientSocket:
        """A new connection to a feed of the market data; keys from its headers authenticate it at once."""
        connection, greeting = self._market_data.connect(feed, codec, key_id, secret_key)
        socket = self._open("market_data", connection)
        socket.greet(greeting)
        return socket

    def close(self, socket: ClientSocket) -> None:
        """The connection is gone. Safe to call twice."""
        self._sockets.pop(socket.number, None)
        socket.connection.close()

    def deliver(self) -> list[TradeUpdate]:
        """Hand every client what has happened up to the exchange's present time; the trade updates among it."""
        updates = self._rest.take_updates()
        sockets = tuple(self._sockets.values())
        if self._rest.faults.book.of(MomentRule):
            for socket in sockets:
                socket.poll()
        listeners = self._listeners(sockets) if updates else {}
        for update in updates:
            if update.account_id in listeners:
                frame = trade_update_frame(update)
                for socket in listeners[update.account_id]:
                    socket.tell([frame])
        now = self._rest.exchange.now
        for socket in sockets:
            if isinstance(socket.connection, MarketDataConnection):
                socket.tell(socket.connection.advance(now))
        return updates

    def told(self) -> list[dict[str, Any]]:
        """Each open connection as JSON, oldest first."""
        return [
            {
                "number": socket.number,
                "stream": socket.stream,
                "feed": getattr(socket.connection, "feed", None),
                "account": socket.account_name,
                "listening": socket.connection.is_listening,
                "frames_sent": socket.frames_sent,
                "frames_waiting": socket.waiting,
                "mute": socket.is_mute,
            }
            for socket in self._sockets.values()
        ]

    def _open(self, stream: StreamName, connection: Connection) -> ClientSocket:
        self._opened += 1
        faults = self._rest.faults.socket(stream)
        socket = ClientSocket(self._opened, stream, connection, faults, self._frames_waiting_at_most)
        self._sockets[socket.number] = socket
        return socket

    def _listeners(self, sockets: Iterable[ClientSocket]) -> dict[UUID, list[ClientSocket]]:
        """Who listens to the trade updates of which account."""
        found: dict[UUID, list[ClientSocket]] = {}
        for socket in sockets:
            connection = socket.connection
            if isinstance(connection, StreamConnection) and connection.is_listening and connection.account_id:
                found.setdefault(connection.account_id, []).append(socket)
        return found
