"""Stands between one operator and the API server, and does what crashes, networks and busy API servers do.

Plain HTTP on 127.0.0.1, in a thread of its own. A write is known by what it writes and how often that was written
before, so that each is hit once whatever the order. Must never change what no fault was asked for.
"""

import asyncio
import json
import ssl
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

_WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_NOT_PASSED_ON: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "keep-alive"})
_HANG_SECONDS: Final = 120.0
_LINE_LIMIT: Final = 8 * 1024 * 1024
_WINDOW_SECONDS: Final = 0.3
"""Over how long events are gathered to be handed on in another order."""


class WriteFault(StrEnum):
    """What becomes of a write."""

    KILL_BEFORE = "killed before it is forwarded"
    KILL_AFTER_COMMIT = "killed after the commit, before the reply"
    KILL_AFTER_REPLY = "killed after the reply"
    CONFLICT = "answered 409"
    TOO_MANY_REQUESTS = "answered 429 with Retry-After"
    INTERNAL_ERROR = "answered 500"
    UNAVAILABLE = "answered 503"
    RESET = "connection dropped before it is forwarded"
    REPLY_LOST = "connection dropped after the commit"
    HANG = "never answered"


class ReadFault(StrEnum):
    """What becomes of watches and lists."""

    STALE = "watches stall silently"
    GONE = "watches end with 410"
    CLOSED = "watches close at once"
    DROPPED = "every second event is dropped"
    DOUBLED = "events are repeated and reordered"
    REFUSED = "watches and lists are answered 500"
    THROTTLED = "watches and lists are answered 429 with Retry-After"


KILLS: Final = (WriteFault.KILL_BEFORE, WriteFault.KILL_AFTER_COMMIT, WriteFault.KILL_AFTER_REPLY)
_ANSWERS: Final = {
    WriteFault.CONFLICT: (409, "Conflict"),
    WriteFault.TOO_MANY_REQUESTS: (429, "TooManyRequests"),
    WriteFault.INTERNAL_ERROR: (500, "InternalError"),
    WriteFault.UNAVAILABLE: (503, "ServiceUnavailable"),
}
_READ_ANSWERS: Final = {ReadFault.REFUSED: (500, "InternalError"), ReadFault.THROTTLED: (429, "TooManyRequests")}


@dataclass(frozen=True, order=True)
class Write:
    """One write: what it writes, and how often that had been written when it came."""

    verb: str
    target: str
    ordinal: int = 0

    @property
    def is_status(self) -> bool:
        """Whether it writes a status: how often that is depends on how fast things follow one another."""
        return self.target.endswith("/status")

    @property
    def is_event(self) -> bool:
        """Whether it tells a Kubernetes Event."""
        return self.target.startswith("events ")


@dataclass(frozen=True)
class Commit:
    """What the API server has carried out."""

    write: Write
    code: int
    at: float

    @property
    def created(self) -> bool:
        """Whether an object was made."""
        return self.code == 201


@dataclass
class Faults:
    """What to do to whom; `strikes` chooses among the writes, and each is struck once."""

    write: WriteFault | None = None
    strikes: Callable[[Write], bool] = lambda _: True
    read: ReadFault | None = None
    meanwhile: Callable[[Write, bytes], None] | None = None
    """What others do when a write has come, with its body, and is not forwarded yet."""


@dataclass
class Record:
    """What went through."""

    commits: list[Commit] = field(default_factory=list)
    struck: list[Write] = field(default_factory=list)
    reads_struck: int = 0

    @property
    def faults(self) -> int:
        """How many faults were injected."""
        return len(self.struck) + self.reads_struck

    def writes(self) -> list[Write]:
        """What was written, Events left out: they are told at most once."""
        return [commit.write for commit in self.commits if not commit.write.is_event]

    def created(self) -> Counter[str]:
        """How often each object was made, Events left out."""
        return Counter(commit.write.target for commit in self.commits if commit.created and not commit.write.is_event)

    def deleted(self) -> Counter[str]:
        """How often each object was deleted."""
        return Counter(commit.write.target for commit in self.commits if commit.write.verb == "DELETE")


class Mortal(Protocol):
    """The operator behind the proxy: killed, and started again."""

    def life(self) -> int:
        """Which start it is of; 0 while it is dead."""

    def kill(self, life: int) -> bool:
        """SIGKILL, if this is still the one that lives."""

    def revive(self) -> None:
        """Starts another, if none lives."""


class _Loop(asyncio.SelectorEventLoop):
    """Knows what it has connected to: a TLS connection that is closed waits for the other side's word, for a while."""

    def __init__(self) -> None:
        super().__init__()
        self._connections: weakref.WeakSet[Any] = weakref.WeakSet()

    async def create_connection(self, *arguments: Any, **options: Any) -> Any:
        made = await super().create_connection(*arguments, **options)
        self._connections.add(made[0])
        return made

    async def abort_connections(self) -> None:
        """Ends them now, whatever they wait for."""
        for connection in list(self._connections):
            connection.abort()
        # A transport gives back its socket in the loop's next turn.
        await asyncio.sleep(0)
        await asyncio.sleep(0)


class FaultProxy:
    """One proxy, for whatever operator lives at the moment."""

    def __init__(self, upstream: str, ca_file: str, faults: Faults, operator: "Mortal") -> None:
        self._upstream = upstream
        self._ca_file = ca_file
        self._faults = faults
        self._operator = operator
        self._count: Counter[tuple[str, str]] = Counter()
        self._seen: set[Write] = set()
        self._turn: Counter[str] = Counter()
        self._ready: Future[int] = Future()
        self._loop = _Loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.record = Record()

    def start(self) -> str:
        """Starts it; its address."""
        self._thread.start()
        return f"http://127.0.0.1:{self._ready.result(10)}"

    def close(self) -> None:
        """Stops it and every connection."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    # ------------------------------------------------------------------ serving

    def _run(self) -> None:
        # The runner cancels what is left.
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        trust = ssl.create_default_context(cafile=self._ca_file)
        connector = aiohttp.TCPConnector(ssl=trust, limit=0)
        timeout = aiohttp.ClientTimeout(total=None, connect=10)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, auto_decompress=False, read_bufsize=_LINE_LIMIT
        ) as session:
            self._session = session
            runner = web.ServerRunner(web.Server(self._handle), handle_signals=False, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self._ready.set_result(runner.addresses[0][1])
            await self._stop.wait()
            await runner.cleanup()
        await self._loop.abort_connections()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            if "watch" in request.query:
                return await self._watch(request)
            body = await request.read()
            if request.method in _WRITES:
                return await self._write(request, body)
            return await self._read(request)
        except (aiohttp.ClientError, ConnectionError) as error:
            # The API server is away, or the operator is: nobody is told anything.
            return _cut(request, str(error))

    # ------------------------------------------------------------------- writes

    async def _write(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        what = _what(request, body)
        write, life = Write(*what, self._count[what]), self._operator.life()
        if self._faults.meanwhile is not None:
            await self._loop.run_in_executor(None, self._faults.meanwhile, write, body)
        fault = self._fault_for(request, write, life)
        if fault is WriteFault.KILL_BEFORE:
            return await self._killed(request, write, life)
        if fault is WriteFault.RESET:
            return _cut(request)
        if fault is WriteFault.HANG:
            await asyncio.sleep(_HANG_SECONDS)
            return _cut(request)
        if fault in _ANSWERS:
            return _refusal(*_ANSWERS[fault])
        code, headers, content = await self._forward(request, body)
        if code < 300:
            self._count[what] += 1
            self.record.commits.append(Commit(write, code, time.monotonic()))
        if fault is WriteFault.KILL_AFTER_COMMIT:
            return await self._killed(request, write, life)
        if fault is WriteFault.REPLY_LOST:
            return _cut(request)
        response = web.Response(status=code, headers=headers, body=content)
        if fault is WriteFault.KILL_AFTER_REPLY:
            await response.prepare(request)
            await response.write_eof()
            await asyncio.sleep(0.005)
            return await self._killed(request, write, life)
        return response

    def _fault_for(self, request: web.BaseRequest, write: Write, life: int) -> WriteFault | None:
        if self._faults.write is None or write in self._seen or not self._faults.strikes(write):
            return None
        if not life or request.transport is None or request.transport.is_closing():
            # The last words of an operator that was killed meanwhile: they arrive, and nobody waits for the answer.
            return None
        self._seen.add(write)
        self.record.struck.append(write)
        return self._faults.write

    async def _killed(self, request: web.BaseRequest, write: Write, life: int) -> web.StreamResponse:
        if self._operator.kill(life):
            await self._loop.run_in_executor(None, self._operator.revive)
        else:
            # Another write of the same operator was its death already.
            self.record.struck.remove(write)
        return _cut(request)

    async def _forward(self, request: web.BaseRequest, body: bytes) -> tuple[int, dict[str, str], bytes]:
        async with self._session.request(
            request.method, self._upstream + request.raw_path, data=body or None, headers=_passed_on(request.headers)
        ) as answer:
            return answer.status, _passed_on(answer.headers), await answer.read()

    # -------------------------------------------------------------------- reads

    async def _read(self, request: web.BaseRequest) -> web.StreamResponse:
        refusal = _READ_ANSWERS.get(self._faults.read) if self._faults.read is not None else None
        if refusal is not None and self._is_struck(f"list {request.path}", every=8):
            return _refusal(*refusal)
        code, headers, content = await self._forward(request, b"")
        return web.Response(status=code, headers=headers, body=content)

    async def _watch(self, request: web.BaseRequest) -> web.StreamResponse:
        fault = self._faults.read
        at_the_start = (*_READ_ANSWERS, ReadFault.GONE, ReadFault.CLOSED)
        if fault in at_the_start and not self._is_struck(f"watch {request.path}"):
            fault = None
        if fault in _READ_ANSWERS:
            return _refusal(*_READ_ANSWERS[fault])
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if fault is ReadFault.CLOSED:
            return response
        if fault is ReadFault.GONE:
            await response.write(_GONE)
            return response
        headers = {key: value for key, value in _passed_on(request.headers).items() if key.lower() != "accept-encoding"}
        async with self._session.get(self._upstream + request.raw_path, headers=headers) as answer:
            if fault is ReadFault.DOUBLED:
                await self._shuffled(answer, response)
                return response
            async for line in answer.content:
                if fault is ReadFault.STALE or (fault is ReadFault.DROPPED and self._is_struck(request.path)):
                    self.record.reads_struck += fault is ReadFault.STALE
                    continue
                await response.write(line)
            if fault is ReadFault.STALE:
                # The end is not seen either: the operator has to notice by itself.
                await asyncio.sleep(_HANG_SECONDS)
        return response

    async def _shuffled(self, answer: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
        ended = False
        pending: asyncio.Future[bytes] | None = None
        while not ended:
            window: list[bytes] = []
            until = self._loop.time() + _WINDOW_SECONDS
            while not ended and (left := until - self._loop.time()) > 0:
                pending = pending or asyncio.ensure_future(answer.content.readline())
                if not (await asyncio.wait([pending], timeout=left))[0]:
                    break
                line, pending = pending.result(), None
                ended = not line
                window.append(line)
            for line in reversed(window):
                self.record.reads_struck += bool(line)
                await response.write(line + line)

    def _is_struck(self, what: str, every: int = 2) -> bool:
        self._turn[what] += 1
        is_struck = self._turn[what] % every == every - 1
        self.record.reads_struck += is_struck
        return is_struck


_GONE: Final = (
    json.dumps(
        {
            "type": "ERROR",
            "object": {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Failure",
                "message": "too old resource version: 1 (2)",
                "reason": "Expired",
                "code": 410,
            },
        }
    ).encode()
    + b"\n"
)


def _what(request: web.BaseRequest, body: bytes) -> tuple[str, str]:
    """The verb, and the path after the namespace; an Event by what it tells of whom."""
    _, _, target = urlsplit(request.path).path.partition("/namespaces/")
    target = target.partition("/")[2]
    if target == "events":
        event: dict[str, Any] = json.loads(body)
        regarding = event["regarding"]
        target = f"events {event['reason']} of {regarding['kind']} {regarding['name']}"
    elif request.method == "POST":
        target = f"{target}/{json.loads(body)['metadata']['name']}"
    return request.method, target


def _passed_on(headers: Any) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key.lower() not in _NOT_PASSED_ON}


def _cut(request: web.BaseRequest, reason: str = "") -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=502, text=reason)


def _refusal(code: int, reason: str) -> web.Response:
    status: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"the fault proxy says {code}",
        "reason": reason,
        "code": code,
    }
    headers = {}
    if code == 429:
        status["details"] = {"retryAfterSeconds": 1}
        headers["Retry-After"] = "1"
    return web.json_response(status, status=code, headers=headers)
