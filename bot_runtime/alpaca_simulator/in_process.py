"""Runs a `requests` client, such as alpaca-py's, and a stream's client against a simulator in this process.

No sockets and no waiting. Delays only count against the caller's timeout: what would have taken longer
fails as it would have failed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import IncompleteRead, ProtocolError, ReadTimeoutError

from alpaca_simulator.api.messages import Request
from alpaca_simulator.api.rest import RestApi
from alpaca_simulator.faults.delivery import Answer
from alpaca_simulator.faults.socket_faults import Drop, Frame
from alpaca_simulator.streams.client_socket import ClientSocket
from alpaca_simulator.streams.hub import StreamHub

#: A base URL that no name server knows, so that a client without the adapter fails at once.
BASE_URL = "http://alpaca-simulator.invalid"

Timeout = float | tuple[float, float] | tuple[float, None] | None


class InProcessAdapter(BaseAdapter):
    """A transport adapter that answers every request through `RestApi.answer`, with its faults.

    `waited` is told the seconds that an answer, or giving up on one, would have taken.
    """

    def __init__(self, rest: RestApi, waited: Callable[[float], None] = lambda seconds: None) -> None:
        super().__init__()
        self._rest = rest
        self._waited = waited

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Timeout = None,
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Answer one prepared request; raises what `requests` raises when a fault ends it otherwise."""
        parts = urlsplit(request.url or "")
        body = request.body or b""
        answer = self._rest.answer(
            Request(
                method=request.method or "GET",
                path=parts.path,
                query=parts.query,
                headers=dict(request.headers),
                body=body.encode() if isinstance(body, str) else bytes(body),
            )
        )
        return self._delivered(request, answer, _read_timeout(timeout))

    def close(self) -> None:
        """Nothing is held open."""

    def _delivered(
        self, request: requests.PreparedRequest, answer: Answer, read_timeout: float | None
    ) -> requests.Response:
        delivery, response = answer.delivery, answer.response
        silence = delivery.delay_seconds + delivery.silent_seconds
        if read_timeout is not None and silence > read_timeout:
            self._waited(read_timeout)
            raise requests.ReadTimeout(f"Read timed out. (read timeout={read_timeout})", request=request)
        self._waited(silence)
        if delivery.reset or response is None:
            broken = ProtocolError("Connection aborted.", ConnectionResetError(104, "Connection reset by peer"))
            raise requests.ConnectionError(broken, request=request)
        received = requests.Response()
        received.status_code = response.status
        received.headers = CaseInsensitiveDict(response.headers)
        received.headers.setdefault("Content-Length", str(len(response.body)))
        received.url = request.url or ""
        received.request = request
        received.encoding = "utf-8"
        received.raw = _Body(response.body, answer, read_timeout, self._waited)
        return received


class _Body(BytesIO):
    """A response's body as it arrives: slowly, or not to its end."""

    def __init__(
        self, body: bytes, answer: Answer, read_timeout: float | None, waited: Callable[[float], None]
    ) -> None:
        super().__init__(body)
        self._answer = answer
        self._read_timeout = read_timeout
        self._was_read = waited

    def stream(self, amount: int, decode_content: bool = False) -> Iterator[bytes]:
        """The body in pieces of at most `amount` bytes, as `requests` asks urllib3 for them."""
        whole, delivery = self.getvalue(), self._answer.delivery
        there = whole if delivery.cut_after_bytes is None else whole[: delivery.cut_after_bytes]
        if delivery.bytes_per_second is not None and there:
            between = 1 / delivery.bytes_per_second
            if self._read_timeout is not None and between > self._read_timeout:
                self._was_read(self._read_timeout)
                raise ReadTimeoutError(None, None, "Read timed out.")  # type: ignore[arg-type]  # no pool here
            self._was_read(len(there) * between)
        for start in range(0, len(there), amount):
            yield there[start : start + amount]
        if len(there) < len(whole):
            broken = IncompleteRead(len(there), len(whole) - len(there))
            raise ProtocolError(f"Connection broken: {broken!r}", broken)


@dataclass(frozen=True, slots=True)
class StreamRefusedError(Exception):
    """The connection to a stream was refused with an HTTP `status`, or reset where there is none."""

    status: int | None


class InProcessStream:
    """A client's connection to a stream, in the simulator's own time.

    What comes is what had happened by the clock's time when it is asked for. It takes the trade updates
    for every stream of the simulator: `Simulator.take_trade_updates` sees none that it took.
    """

    def __init__(self, rest: RestApi, hub: StreamHub, open_socket: Callable[[], ClientSocket]) -> None:
        refused = hub.refused("trade_updates")
        if refused is not None:
            raise StreamRefusedError(refused.status)
        self._rest = rest
        self._hub = hub
        self._socket = open_socket()
        self._received: list[Frame] = []
        self.dropped: Drop | None = None

    @property
    def is_open(self) -> bool:
        """Whether the connection has not ended, as far as the client has read."""
        return self.dropped is None

    @property
    def is_listening(self) -> bool:
        """Whether the simulator tells this client anything."""
        return self.is_open and self._socket.connection.is_listening

    def send(self, message: object) -> None:
        """Send a message as JSON; raises ConnectionResetError when the connection has ended."""
        if not self.is_open:
            raise ConnectionResetError("the connection has ended")
        # What has happened so far was told, or not, to who listened so far.
        self._rest.catch_up()
        self._hub.deliver()
        self._socket.receive(json.dumps(message))

    def frames(self) -> list[Frame]:
        """What has come since the last call, up to the clock's time; nothing after the connection has ended."""
        if self.is_open:
            self._rest.catch_up()
            self._hub.deliver()
        while self.is_open and (one := self._socket.next()) is not None:
            if isinstance(one, Drop):
                self.dropped = one
                self._hub.close(self._socket)
            else:
                self._received.append(one)
        taken, self._received = self._received, []
        return taken

    def ping(self) -> bool:
        """Whether a ping is answered."""
        return self.is_open and self._socket.answers_pings

    def close(self) -> None:
        """End the connection from the client's side."""
        self.dropped = self.dropped or Drop(1000)
        self._hub.close(self._socket)


def open_trade_updates(rest: RestApi, hub: StreamHub, key_id: str, secret_key: str) -> InProcessStream:
    """A connection to the trade updates that has said who it is and listens.

    The frames that answer come first. Raises StreamRefusedError.
    """
    stream = InProcessStream(rest, hub, hub.open_trade_updates)
    stream.send({"action": "authenticate", "data": {"key_id": key_id, "secret_key": secret_key}})
    stream.send({"action": "listen", "data": {"streams": ["trade_updates"]}})
    return stream


def answer_in_process(session: requests.Session, rest: RestApi) -> None:
    """Let `session` (alpaca-py keeps its own in `client._session`) be answered by `rest` for every URL."""
    adapter = InProcessAdapter(rest)
    session.mount("http://", adapter)
    session.mount("https://", adapter)


def _read_timeout(timeout: Timeout) -> float | None:
    return timeout[1] if isinstance(timeout, tuple) else timeout
