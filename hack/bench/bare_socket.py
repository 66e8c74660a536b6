"""A broker that is a bare socket: notes when the first byte of each order arrives, and takes the order.

A program of its own (`python -m bench.bare_socket`). Knows just enough HTTP to find the end of a request. The moments
are of the machine's monotonic clock, which all processes share.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CREATED = "2026-03-02T17:00:00Z"
_arrived: list[float] = []


class _Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  (a TCP server makes no other)
        self._transport = transport
        self._received = b""
        self._began = 0.0

    def data_received(self, data: bytes) -> None:
        if not self._received:
            self._began = time.monotonic()
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not found or len(body) < (int(length[1]) if length else 0):
            return
        self._received = b""
        if head.startswith(b"GET /times"):
            answer = json.dumps(_arrived).encode()
            _arrived.clear()
        else:
            _arrived.append(self._began)
            answer = _taken(json.loads(body))
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n".encode()
        self._transport.write(head + answer)


def _taken(order: dict[str, str]) -> bytes:
    fields = {
        **order,
        "id": str(uuid.uuid4()),
        "status": "new",
        "filled_qty": "0",
        "order_type": order.get("type"),
        "order_class": "",
        "extended_hours": False,
        **dict.fromkeys(("created_at", "updated_at", "submitted_at"), _CREATED),
    }
    return json.dumps(fields).encode()


async def main() -> None:
    """Serve on a free port, which is printed as one line of JSON, until it is ended."""
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
