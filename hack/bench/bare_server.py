"""The bare thing beside a simulator over HTTP: aiohttp with handlers that do next to nothing.

A program of its own (`python -m bench.bare_server`), so that it gets a process as the simulator does.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import WSMsgType, web


class Bare:
    """Echoes JSON, dumps a kept value, and sends what it is told to every socket."""

    def __init__(self) -> None:
        self._kept: Any = None
        self._sockets: set[web.WebSocketResponse] = set()

    async def echo(self, request: web.Request) -> web.Response:
        """The body, parsed and printed again."""
        return _json(json.loads(await request.read()))

    async def keep(self, request: web.Request) -> web.Response:
        """Remember the body for `kept`."""
        self._kept = json.loads(await request.read())
        return _json({})

    async def kept(self, _request: web.Request) -> web.Response:
        """The remembered value, printed anew for each request."""
        return _json(self._kept)

    async def broadcast(self, request: web.Request) -> web.Response:
        """Send the body to every socket."""
        frame = await request.read()
        await asyncio.gather(*(socket.send_bytes(frame) for socket in self._sockets))
        return _json({})

    async def listen(self, request: web.Request) -> web.WebSocketResponse:
        """A socket that hears every broadcast."""
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        self._sockets.add(socket)
        async for message in socket:
            if message.type is WSMsgType.ERROR:
                break
        self._sockets.discard(socket)
        return socket


def _json(value: object) -> web.Response:
    body = json.dumps(value, separators=(",", ":")).encode()
    return web.Response(body=body, content_type="application/json")


async def main() -> None:
    """Serve on a free port, which is printed as one line of JSON, until it is ended."""
    bare = Bare()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/echo", bare.echo)
    app.router.add_post("/keep", bare.keep)
    app.router.add_get("/kept", bare.kept)
    app.router.add_post("/broadcast", bare.broadcast)
    app.router.add_get("/listen", bare.listen)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(json.dumps({"port": runner.addresses[0][1]}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
