"""One client's websocket without the socket: what has come, what is waiting to be sent, how it ends.

Puts the faults of sockets between a stream's connection and its transport. Never waits: a client that
reads too slowly is cut off.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from alpaca_simulator.exchange.accounts import Account
from alpaca_simulator.faults.socket_faults import Drop, Frame, Outgoing, SocketFaults, StreamError
from alpaca_simulator.faults.stream_kinds import Moment, StreamName

#: Close codes of RFC 6455.
NORMAL_CLOSURE, POLICY_VIOLATION, TRY_AGAIN_LATER = 1000, 1008, 1013


class Connection(Protocol):
    """A stream's side of one connection."""

    @property
    def account(self) -> Account | None:
        """Who the client has proved to be."""

    @property
    def is_listening(self) -> bool:
        """Whether the client is told anything."""

    @property
    def is_ending(self) -> bool:
        """Whether the client is to be sent away once it has been sent what is due."""

    def receive(self, frame: Frame) -> Sequence[Frame]:
        """The frames that answer a client's frame."""

    def error(self, code: int, message: str) -> Sequence[Frame]:
        """The frames that tell of an error of the server."""

    def time_out(self) -> Sequence[Frame]:
        """The last frames of a client that did not authenticate in time."""

    def fall_behind(self) -> Sequence[Frame]:
        """The last frames of a client that reads too slowly."""

    def close(self) -> None:
        """The connection is gone. Safe to call twice."""


class ClientSocket:
    """What is on its way to one client; `number` counts the connections there ever were."""

    def __init__(
        self, number: int, stream: StreamName, connection: Connection, faults: SocketFaults, frames_waiting_at_most: int
    ) -> None:
        self.number = number
        self.stream = stream
        self.connection = connection
        self.frames_sent = 0
        self.fell_behind = False
        #: Whether the connection ends with what waits to be sent.
        self.is_ending = False
        #: Called whenever there is something to take.
        self.on_ready: Callable[[], None] = lambda: None
        self._faults = faults
        self._frames_waiting_at_most = frames_waiting_at_most
        self._waiting: deque[Frame | Drop] = deque()

    @property
    def account_name(self) -> str | None:
        """The name of the account that the client has proved to be."""
        account = self.connection.account
        return None if account is None else account.terms.name

    @property
    def is_mute(self) -> bool:
        """Whether a fault keeps everything from the client."""
        return self._faults.is_mute

    @property
    def answers_pings(self) -> bool:
        """Whether a ping of the client is answered."""
        return self._faults.answers_pings

    @property
    def waiting(self) -> int:
        """How many frames wait to be sent."""
        return len(self._waiting)

    def receive(self, frame: Frame) -> None:
        """A frame of the client has come."""
        was_listening = self.connection.is_listening
        self.greet(self.connection.receive(frame))
        if self.connection.is_listening and not was_listening:
            self._send(self._faults.outgoing((), "listening", self.account_name))

    def greet(self, frames: Iterable[Frame]) -> None:
        """Answer the client's own frames: only a mute keeps these from it."""
        if not self.is_mute:
            self._send(frames)
        if self.connection.is_ending:
            self._end(Drop(NORMAL_CLOSURE))

    def tell(self, frames: Sequence[Frame]) -> None:
        """Tell the client of what has happened."""
        if frames:
            self._send(self._faults.outgoing(frames, "message", self.account_name))

    def poll(self) -> None:
        """Let the faults strike that need no occasion."""
        moment: Moment = "now"
        self._send(self._faults.outgoing((), moment, self.account_name))

    def time_out(self) -> None:
        """Send away a client that did not authenticate in time."""
        self._send(self.connection.time_out())
        self._end(Drop(POLICY_VIOLATION))

    def next(self) -> Frame | Drop | None:
        """What is to be sent next, None when there is nothing; after a Drop there never is."""
        if not self._waiting:
            return None
        sent = self._waiting.popleft()
        if not isinstance(sent, Drop):
            self.frames_sent += 1
        return sent

    def _send(self, sent: Iterable[Outgoing]) -> None:
        for one in sent:
            if isinstance(one, Drop):
                self._end(one)
            elif isinstance(one, StreamError):
                self._send(self.connection.error(one.code, one.message))
            elif not self.is_ending:
                self._put(one)

    def _put(self, frame: Frame) -> None:
        if len(self._waiting) < self._frames_waiting_at_most:
            self._waiting.append(frame)
            self.on_ready()
            return
        # What the client has not read by now it will not get.
        self.fell_behind = True
        self._waiting.clear()
        self._waiting.extend(self.connection.fall_behind())
        self._end(Drop(TRY_AGAIN_LATER))

    def _end(self, drop: Drop) -> None:
        if self.is_ending:
            return
        self.is_ending = True
        if drop.close_code is None:
            # A reset: what has not been sent is lost with the connection.
            self._waiting.clear()
        self._waiting.append(drop)
        self.on_ready()
