"""HTTP that ends: a silent, dripping or endless broker is given up, and nothing is sent twice."""

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from tradingbot_runtime.broker import sockets, transport
from tradingbot_runtime.broker.sockets import looking_again
from tradingbot_runtime.broker.transport import bounded_session, without_version


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
    monkeypatch.setattr(transport, "READ_TIMEOUT_SECONDS", 0.4)
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


class Tick(threading.Event):
    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(0.01)


def test_a_body_that_drips_is_given_up_however_small_its_drops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "BODY_TIMEOUT_SECONDS", 0.15)
    drops = [answer(b"", length=1000), *[b"x"] * 500]
    with server(*drops, pause=Tick()) as (url, _), bounded_session() as session:
        started = time.monotonic()
        with pytest.raises(requests.exceptions.ReadTimeout, match="slowly"):
            session.get(url)
        assert time.monotonic() - started < 4


DRIPPED_LINES = [b"HTTP/1.1 200 OK\r\n", *(b"X-%d: x\r\n" % number for number in range(500))]
DRIPPED_BYTES = [b"HTTP/1.1 200 OK\r\nX-Long: ", *[b"x"] * 500]
DRIPPED_STATUS = [b"H", b"T", b"T", b"P", b"/", *[b"1"] * 500]
ONE_HUNDRED_CONTINUES = [b"HTTP/1.1 100 Continue\r\n\r\n"] * 500


@pytest.mark.parametrize("drops", [DRIPPED_LINES, DRIPPED_BYTES, DRIPPED_STATUS, ONE_HUNDRED_CONTINUES])
def test_a_header_that_drips_is_given_up_though_no_single_byte_is_late(
    drops: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "READ_TIMEOUT_SECONDS", 0.3)
    with server(*drops, pause=Tick()) as (url, received), bounded_session() as session:
        started = time.monotonic()
        with pytest.raises(requests.exceptions.ReadTimeout):
            session.post(url, json={})
        assert time.monotonic() - started < 2
    assert len(received) == 1


def test_a_body_has_time_of_its_own_after_a_slow_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "READ_TIMEOUT_SECONDS", 0.6)
    drops = [answer(b"", length=80), *[b"1"] * 80]
    with server(*drops, pause=Tick()) as (url, _), bounded_session() as session:
        assert session.get(url).text == "1" * 80


class ThinksBetterOfIt(Exception):
    pass


def test_not_one_byte_leaves_when_the_last_look_says_no() -> None:
    def look() -> None:
        raise ThinksBetterOfIt

    with server(answer(b"{}")) as (url, received), bounded_session() as session:
        with looking_again(look), pytest.raises(ThinksBetterOfIt):
            session.post(url, json={})
        assert received in ([], [b""])
        assert session.post(url, json={}).json() == {}
    assert [said.split(b" ")[0] for said in received if said] == [b"POST"]


def test_the_last_look_comes_when_the_connection_stands_and_only_in_its_own_thread() -> None:
    looks: list[int] = []
    with server(answer(b"{}")) as (url, _), bounded_session() as session:
        with looking_again(lambda: looks.append(1)):
            other = threading.Thread(target=lambda: session.get(url))
            other.start()
            other.join(10)
            assert looks == []
            session.get(url)
        session.get(url)
    assert looks == [1]
    with (
        bounded_session() as session,
        looking_again(lambda: looks.append(2)),
        pytest.raises(requests.exceptions.ConnectionError),
    ):
        session.get("http://127.0.0.1:1")
    assert looks == [1]


def test_a_body_that_never_comes_is_waited_for_only_in_the_bodys_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "BODY_TIMEOUT_SECONDS", 0.1)
    pause = threading.Event()
    with server(answer(b"", length=10), pause=pause) as (url, _), bounded_session() as session:
        started = time.monotonic()
        with pytest.raises(requests.exceptions.ReadTimeout, match="slowly"):
            session.get(url)
        assert time.monotonic() - started < transport.READ_TIMEOUT_SECONDS / 2
        pause.set()
