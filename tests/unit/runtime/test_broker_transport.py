"""HTTP that ends: a silent, dripping or endless broker is given up, and nothing is sent twice."""

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from tradingbot_runtime.broker import transport
from tradingbot_runtime.broker.transport import BoundedAdapter, bounded_session, without_version


@contextmanager
def server(*chunks: bytes, pause: threading.Event | None = None) -> Iterator[tuple[str, list[bytes]]]:
    """Answers each connection with these bytes, and waits for `pause` between them."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def serve() -> None:
            try:
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        received.append(connection.recv(65536))
                        for chunk in chunks:
                            connection.sendall(chunk)
                            if pause is not None:
                                pause.wait(10)
            except OSError:
                return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", received
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def answer(body: bytes, length: int | None = None) -> bytes:
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (
        len(body) if length is None else length,
        body,
    )


def test_an_answer_is_read_whole() -> None:
    with server(answer(b'{"a": 1}')) as (url, _), bounded_session() as session:
        assert session.get(url).json() == {"a": 1}


def test_a_silent_broker_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "READ_TIMEOUT_SECONDS", 0.1)
    pause = threading.Event()
    with server(b"HTTP/1.1 200 OK\r\n", pause=pause) as (url, received), bounded_session() as session:
        with pytest.raises(requests.exceptions.RequestException):
            session.post(url, json={})
        pause.set()
    assert len(received) == 1


def test_a_connection_that_breaks_is_not_tried_again() -> None:
    with (
        server(b"") as (url, received),
        bounded_session() as session,
        pytest.raises(requests.exceptions.ConnectionError),
    ):
        session.post(url, json={})
    assert len(received) == 1


def test_a_dripping_body_is_given_up() -> None:
    ticks = iter([0.0, *(float(second) for second in range(10, 1000, 20))])
    session = requests.Session()
    session.mount("http://", BoundedAdapter(monotonic=lambda: next(ticks)))
    with server(answer(b"x" * 500_000)) as (url, _), session, pytest.raises(requests.exceptions.ReadTimeout):
        session.get(url)


def test_an_endless_body_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_BODY_BYTES", 1000)
    with (
        server(answer(b"x" * 500_000)) as (url, _),
        bounded_session() as session,
        pytest.raises(requests.exceptions.ConnectionError, match="too long"),
    ):
        session.get(url)


def test_a_body_that_is_cut_short_is_an_error() -> None:
    with (
        server(answer(b"{", length=100)) as (url, _),
        bounded_session() as session,
        pytest.raises(requests.exceptions.RequestException),
    ):
        session.get(url)


@pytest.mark.parametrize("url", ["http://a", "http://a/", "http://a/v2", "http://a/v2/"])
def test_the_version_is_alpaca_pys_to_add(url: str) -> None:
    assert without_version(url) == "http://a"


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n[1, \r\n2\r\n2]\r\n0\r\n\r\n"
ZIPPED = gzip.compress(b"[1, 2]")
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(ZIPPED), ZIPPED)


@pytest.mark.parametrize("said", [CHUNKED, WHOLE])
def test_a_connection_is_used_again_once_its_answer_was_read(said: bytes) -> None:
    connections: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connections.append(connection.fileno())
                while connection.recv(65536):
                    connection.sendall(said)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with bounded_session() as session:
            for _ in range(3):
                assert session.get(f"http://127.0.0.1:{listener.getsockname()[1]}").json() == [1, 2]
        thread.join(10)
    assert len(connections) == 1


def test_a_body_that_drips_is_given_up_however_small_its_drops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "READ_TIMEOUT_SECONDS", 0.15)
    monkeypatch.setattr(transport, "BODY_TIMEOUT_SECONDS", 0.0)
    drops = [answer(b"", length=1000), *[b"x"] * 500]

    class Tick(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            return super().wait(0.01)

    with server(*drops, pause=Tick()) as (url, _), bounded_session() as session:
        started = time.monotonic()
        with pytest.raises(requests.exceptions.ReadTimeout, match="slowly"):
            session.get(url)
        assert time.monotonic() - started < 4
