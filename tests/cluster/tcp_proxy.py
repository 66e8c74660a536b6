"""Stands between one operator and the API server as a network does: it passes bytes on, or stops doing so in silence.

Plain TCP on 127.0.0.1 towards the operator, TLS towards the API server, in a thread of its own. It reads along only
to remember which writes it passed on, and when.
"""

import asyncio
import re
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from api_server import ApiServer

_REQUEST = re.compile(rb"^(GET|POST|PUT|PATCH|DELETE) (\S+) HTTP/1\.1\r\n")
_CHUNK = 256 * 1024


@dataclass(frozen=True)
class Write:
    """A write that was passed on to the API server."""

    at: float
    """time.monotonic()"""
    method: str
    path: str

    @property
    def is_about_the_lease(self) -> bool:
        return "/leases" in self.path


class _Link:
    """One connection of the operator."""

    def __init__(self) -> None:
        self.method = ""
        self.path = ""
        self.is_mute = False
        self.writers: list[asyncio.StreamWriter] = []

    def cut(self) -> None:
        for writer in self.writers:
            writer.transport.abort()

    @property
    def is_watching(self) -> bool:
        return "watch=true" in self.path

    @property
    def is_writing(self) -> bool:
        return self.method not in ("", "GET") and "/leases" not in self.path


class TcpProxy:
    """Made by `proxying`."""

    def __init__(self, api: ApiServer) -> None:
        target = urlsplit(api.url)
        self._target = (target.hostname, target.port)
        self._tls = ssl.create_default_context(cafile=str(api.ca_file))
        self._links: set[_Link] = set()
        self._handlers: set[asyncio.Task[None]] = set()
        self._writes: list[Write] = []
        self._loop = asyncio.new_event_loop()
        self._answering = asyncio.Event()
        self._answering.set()
        self._started = threading.Event()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()))
        self._port = 0

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)
        self._loop.close()

    def kubeconfig(self, like: Path, file: Path) -> Path:
        """The same credentials, by way of this proxy."""
        document = yaml.safe_load(like.read_text())
        document["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{self._port}"}
        file.write_text(yaml.safe_dump(document))
        return file

    def mute_watches(self) -> int:
        """From now on nothing comes through the watches that are open, and they stay open; how many those are."""
        watching = [link for link in self._links if link.is_watching]
        for link in watching:
            link.is_mute = True
        return len(watching)

    def hold_answers(self) -> None:
        """Writes are carried out, and their answers kept."""
        self._loop.call_soon_threadsafe(self._answering.clear)

    def let_answers_go(self) -> None:
        """What was kept is passed on."""
        self._loop.call_soon_threadsafe(self._answering.set)

    @property
    def held(self) -> int:
        """How many writes wait for their answer."""
        return sum(link.is_writing for link in set(self._links))

    def writes(self, since: float = 0.0) -> list[Write]:
        """What was passed on, but for what keeps the Lease."""
        return [write for write in self._writes if write.at >= since and not write.is_about_the_lease]

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=_CHUNK)
        self._port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._ended.wait()
        server.close()
        self._answering.set()
        for link in self._links:
            link.cut()
        await asyncio.gather(*self._handlers)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link, handler = _Link(), asyncio.current_task()
        assert handler is not None
        self._links.add(link)
        self._handlers.add(handler)
        link.writers.append(writer)
        try:
            await self._pass_on(link, reader, writer)
        finally:
            link.cut()
            for one in link.writers:
                with suppress(OSError):
                    await one.wait_closed()
            self._links.discard(link)
            self._handlers.discard(handler)

    async def _pass_on(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self._target
        try:
            api_reader, api_writer = await asyncio.open_connection(host, port, ssl=self._tls)
        except OSError:
            return
        link.writers.append(api_writer)
        up = asyncio.create_task(self._up(link, reader, api_writer))
        down = asyncio.create_task(self._down(link, api_reader, writer))
        await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        down.cancel()
        await asyncio.gather(up, down, return_exceptions=True)

    async def _up(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                if match := _REQUEST.match(chunk):
                    link.method, link.path = match[1].decode(), match[2].decode()
                    if link.method != "GET":
                        self._writes.append(Write(time.monotonic(), link.method, link.path))
                writer.write(chunk)
                await writer.drain()

    async def _down(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                if link.is_mute:
                    continue
                if link.is_writing:
                    await self._answering.wait()
                    link.method = ""
                writer.write(chunk)
                await writer.drain()
            if link.is_mute:
                # The end of a connection is not heard of either.
                await self._ended.wait()


@contextmanager
def proxying(api: ApiServer) -> Iterator[TcpProxy]:
    """A proxy in front of the API server while the context is open."""
    proxy = TcpProxy(api)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
