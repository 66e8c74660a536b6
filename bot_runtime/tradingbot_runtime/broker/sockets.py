"""Connections whose answers come in time or not at all, and that ask one last time before the first byte leaves.

A socket's timeout starts over with every byte: a peer that drips a header would hold a thread for ever. Here every
wait for a byte has only what is left of the whole header's time, or of the whole body's.
"""

import http.client
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from urllib3 import PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

BODY_TIMEOUT_SECONDS = 15.0
"""From the end of an answer's header to the end of its body."""

_thread = threading.local()


@contextmanager
def looking_again(check: Callable[[], None]) -> Iterator[None]:
    """Within, this thread calls `check` once it is connected and before a request's first byte; what it raises ends
    the request, of which nothing was sent then.
    """
    _thread.check = check
    try:
        yield
    finally:
        _thread.check = None


class _TimedReader(io.RawIOBase):
    """Bytes of a socket until a deadline, which covers all reads together."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, seconds: float) -> None:
        self._raw = raw
        self._sock = sock
        self._deadline = time.monotonic() + seconds

    def go_on_for(self, seconds: float) -> None:
        """Sets a new deadline."""
        self._deadline = time.monotonic() + seconds

    def readinto(self, buffer: Any, /) -> int | None:
        """Raises TimeoutError at the deadline."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer comes too slowly")
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def readable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """The socket's."""
        return self._raw.fileno()

    def close(self) -> None:
        """Lets go of the socket."""
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    """An answer whose whole header has the socket's timeout, and whose whole body BODY_TIMEOUT_SECONDS."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        seconds = sock.gettimeout()
        self._reader = _TimedReader(self.fp.detach(), sock, BODY_TIMEOUT_SECONDS if seconds is None else seconds)
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        """Reads the header. Raises TimeoutError."""
        super().begin()
        self._reader.go_on_for(BODY_TIMEOUT_SECONDS)


class _Plain(HTTPConnection):
    response_class = _TimedResponse

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Sends the request, unless whoever wants it sent thinks better of it."""
        if self.sock is None:
            self.connect()
        _look_again()
        super().request(*args, **kwargs)


class _Secure(HTTPSConnection):
    response_class = _TimedResponse

    def request(self, *args: Any, **kwargs: Any) -> None:
        """The same."""
        if self.sock is None:
            self.connect()
        _look_again()
        super().request(*args, **kwargs)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


_POOLS: Final = {"http": _PlainPool, "https": _SecurePool}


def with_timed_connections(manager: PoolManager) -> None:
    """Has a pool manager make connections of this kind from now on."""
    manager.pool_classes_by_scheme = _POOLS


def _look_again() -> None:
    check = getattr(_thread, "check", None)
    if check is not None:
        check()
