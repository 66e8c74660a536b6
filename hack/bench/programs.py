"""Starts the programs that are measured, each in a process of its own, and speaks HTTP with them.

The client is as small as HTTP/1.1 with keep-alive allows: what is measured is the server.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HACK = Path(__file__).parents[1]
NOON = "2026-03-02T12:00:00-05:00"
KEYS = ("PKBENCH0", "bench-secret")
#: A server that takes longer to answer than this is broken.
DEADLINE_SECONDS = 60.0


@dataclass(frozen=True)
class Program:
    """A server that answers on `port` of 127.0.0.1; `ready_seconds` after it was started."""

    port: int
    pid: int
    ready_seconds: float


def bench_config(accounts: int = 1) -> dict[str, Any]:
    """A simulator that stands at noon, with rich accounts and no bounds that a bench would run into."""
    return {
        "clock": {"mode": "stepped", "start": NOON},
        "accounts": [
            {"name": f"bench-{number}", "key_id": f"PKBENCH{number}", "secret_key": KEYS[1], "cash": "900000000000"}
            for number in range(accounts)
        ],
        "limits": {"orders_ever": 10_000_000, "requests_per_minute": 0},
    }


def key_headers(account: int = 0) -> dict[str, str]:
    """The headers that open the account of that number."""
    return {"APCA-API-KEY-ID": f"PKBENCH{account}", "APCA-API-SECRET-KEY": KEYS[1]}


@contextmanager
def simulator(config: Mapping[str, Any]) -> Iterator[Program]:
    """`alpaca-simulator serve` with `config`, silent."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "simulator.json"
        file.write_text(json.dumps(config), encoding="utf-8")
        command = ["alpaca_simulator", "serve", "--port", "0", "--config", str(file)]
        with _started(command, read_stderr=True) as program:
            yield program


@contextmanager
def bare_server() -> Iterator[Program]:
    """The bare aiohttp server."""
    with _started(["bench.bare_server"], read_stderr=False) as program:
        yield program


@contextmanager
def bare_socket() -> Iterator[Program]:
    """The bare socket that takes orders."""
    with _started(["bench.bare_socket"], read_stderr=False) as program:
        yield program


@contextmanager
def cable(routes: Sequence[tuple[tuple[str, int], tuple[str, int]]]) -> Iterator[Program]:
    """A forwarder from each first address to its second one."""
    with _started(["bench.cable", json.dumps(routes)], read_stderr=False) as program:
        try:
            yield program
        finally:
            os.kill(program.pid, signal.SIGCONT)  # stopped, it could not be ended


@contextmanager
def _started(module: Sequence[str], *, read_stderr: bool) -> Iterator[Program]:
    began = time.perf_counter()
    command = [sys.executable, "-m", *module]
    environment = {**os.environ, "PYTHONPATH": str(HACK)}
    pipe = {"stderr": subprocess.PIPE} if read_stderr else {"stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipe) as child:  # type: ignore[call-overload]
        stream = child.stderr if read_stderr else child.stdout
        try:
            line = json.loads(stream.readline())
            ready = time.perf_counter() - began
            port = int(line["port"]) if "port" in line else int(line["url"].rpartition(":")[2])
            _drain(stream)
            yield Program(port, child.pid, ready)
        finally:
            child.terminate()
            child.wait(DEADLINE_SECONDS)


def _drain(stream: Any) -> None:
    """Read the log away in a thread of its own, so that the pipe never fills."""
    import threading

    threading.Thread(target=lambda: [None for _ in stream], daemon=True).start()


def resident_mib(pid: int) -> float:
    """The resident memory of a process, MiB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} tells no resident memory")


def request_bytes(method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """An HTTP/1.1 request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: bench", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def _read_answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    lengths = (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    length = next(lengths, 0)  # an answer 204 has none
    body = await reader.readexactly(length)
    if status >= 300:
        raise RuntimeError(f"answered with {status}: {body[:300].decode(errors='replace')}")
    return body


async def _converse(port: int, requests: Sequence[bytes]) -> list[bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=64 * 1024 * 1024)
    answers = []
    for request in requests:
        writer.write(request)
        answers.append(await asyncio.wait_for(_read_answer(reader), DEADLINE_SECONDS))
    writer.close()
    return answers


def ask(port: int, requests: Sequence[bytes]) -> list[bytes]:
    """The bodies that answer `requests`, one after the other on one connection; raises RuntimeError on an error."""
    return asyncio.run(_converse(port, requests))


def seconds_for(port: int, requests: Sequence[bytes], connections: int = 1) -> float:
    """How long `requests` take, dealt out to that many keep-alive connections."""

    async def run() -> float:
        shares = [requests[number::connections] for number in range(connections)]
        began = time.perf_counter()
        await asyncio.gather(*(_converse(port, share) for share in shares))
        return time.perf_counter() - began

    return asyncio.run(run())
