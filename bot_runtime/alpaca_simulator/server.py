"""The thin aiohttp shell: HTTP to RestApi, trade updates to websockets, the clock's ticks.

Decides nothing: requests and updates pass through to the code that does no I/O.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from alpaca_simulator.api.messages import LARGEST_BODY_BYTES, Request, Response, json_response
from alpaca_simulator.market.calendar import OutsideCalendarError
from alpaca_simulator.simulator import Simulator
from alpaca_simulator.streams.trade_updates import LARGEST_FRAME_BYTES, StreamConnection

#: How often the exchange catches up with a running clock when nobody asks, machine seconds.
TICK_SECONDS = 0.02
#: A client of the stream that has not proved who it is by then is sent away.
AUTHENTICATION_SECONDS = 10.0
SHUTDOWN_SECONDS = 2.0

log = structlog.stdlib.get_logger("alpaca_simulator")


class Listener:
    """One open websocket: what its client may hear, and the frames waiting to be sent."""

    def __init__(self, connection: StreamConnection, frames_waiting_at_most: int) -> None:
        self.connection = connection
        self.frames: asyncio.Queue[bytes | None] = asyncio.Queue(frames_waiting_at_most)
        self.fell_behind = False

    def offer(self, frame: bytes) -> None:
        """Queue a frame; a client that reads too slowly is marked and will be cut off, never waited for."""
        if self.fell_behind:
            return
        if self.frames.full():
            self.fell_behind = True
            # Room for the end mark: what the client has not read by now it will not get.
            self.frames.get_nowait()
            self.frames.put_nowait(None)
        else:
            self.frames.put_nowait(frame)


class Shell:
    """The handlers of one simulator's web application."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._listeners: set[Listener] = set()
        self._sockets: set[web.WebSocketResponse] = set()

    async def answer(self, http: web.Request) -> web.Response:
        """Pass one HTTP request to the REST API."""
        path, _, query = http.raw_path.partition("?")
        try:
            body = await http.read()
        except web.HTTPRequestEntityTooLarge:
            body = b"\x00" * (LARGEST_BODY_BYTES + 1)  # the REST API words the refusal
        response = self._handled(Request(http.method, path, query, dict(http.headers), body))
        self._deliver()
        _log_request(http.method, path, response)
        return web.Response(status=response.status, body=response.body, headers=dict(response.headers))

    def _handled(self, request: Request) -> Response:
        try:
            return self._simulator.rest.handle(request)
        except Exception:
            # A bug of the simulator: say so in the client's language and leave the trace in the log.
            log.exception("request_failed", method=request.method, path=request.path)
            return json_response(500, {"code": 50010000, "message": "internal server error occurred"})

    async def stream(self, http: web.Request) -> web.WebSocketResponse | web.Response:
        """Serve one client of the trade-update stream until either side ends it."""
        limits = self._simulator.config.limits
        if len(self._listeners) >= limits.sockets:
            refusal = json_response(429, {"code": 42910000, "message": "connection limit exceeded"})
            return web.Response(status=429, body=refusal.body, headers=dict(refusal.headers))
        socket = web.WebSocketResponse(
            max_msg_size=LARGEST_FRAME_BYTES, heartbeat=30, timeout=SHUTDOWN_SECONDS, compress=False
        )
        if not socket.can_prepare(http).ok:
            return web.Response(
                status=400, body=b'{"message":"websocket upgrade required"}', content_type="application/json"
            )
        await socket.prepare(http)
        listener = Listener(StreamConnection(self._simulator.rest.keys), limits.updates_per_socket)
        self._listeners.add(listener)
        self._sockets.add(socket)
        log.info("stream_opened", remote=http.remote)
        sender = asyncio.create_task(self._send(socket, listener))
        try:
            await self._receive(socket, listener)
        finally:
            self._listeners.discard(listener)
            self._sockets.discard(socket)
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            log.info("stream_closed", account=str(listener.connection.account_id), slow=listener.fell_behind)
        return socket

    async def _receive(self, socket: web.WebSocketResponse, listener: Listener) -> None:
        deadline = asyncio.get_running_loop().time() + AUTHENTICATION_SECONDS
        while not socket.closed:
            known = listener.connection.account_id is not None
            try:
                async with asyncio.timeout_at(None if known else deadline):
                    message = await socket.receive()
            except TimeoutError:
                await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"authentication timed out")
                return
            if message.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
                return
            for frame in listener.connection.receive(message.data):
                listener.offer(frame)

    async def _send(self, socket: web.WebSocketResponse, listener: Listener) -> None:
        while (frame := await listener.frames.get()) is not None and not listener.fell_behind:
            await socket.send_bytes(frame)
        await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"slow client")

    def _deliver(self) -> None:
        """Hand every new trade update to whoever listens to it."""
        for update in self._simulator.rest.take_updates():
            log.info(
                "trade_update",
                account=str(update.account_id),
                trade_event=update.event.value,
                symbol=update.order.asset.symbol,
                client_order_id=update.order.client_order_id,
                market_time=update.at.isoformat(),
            )
            for listener in self._listeners:
                frame = listener.connection.update(update)
                if frame is not None:
                    listener.offer(frame)

    async def tick_while_serving(self, _app: web.Application) -> AsyncIterator[None]:
        """Keep the exchange up with the clock for as long as the application runs."""
        ticking = asyncio.create_task(self._tick())
        yield
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)

    async def _tick(self) -> None:
        # A stepped clock moves with requests only, and each request catches up by itself.
        while self._simulator.clock.mode != "stepped":
            try:
                self._simulator.rest.catch_up()
            except OutsideCalendarError as error:
                log.error("clock_ran_out", problem=str(error))
                return
            self._deliver()
            await asyncio.sleep(TICK_SECONDS)

    async def close_streams(self, _app: web.Application) -> None:
        """Tell every client of the stream that the server is going away."""
        closing = [socket.close(code=WSCloseCode.GOING_AWAY, message=b"") for socket in self._sockets]
        await asyncio.gather(*closing, return_exceptions=True)


def web_application(simulator: Simulator) -> web.Application:
    """The aiohttp application of one simulator: `/stream` and, for everything else, the REST API."""
    shell = Shell(simulator)
    app = web.Application(client_max_size=LARGEST_BODY_BYTES)
    app.router.add_get("/stream", shell.stream)
    app.router.add_route("*", "/{path:.*}", shell.answer)
    app.cleanup_ctx.append(shell.tick_while_serving)
    app.on_shutdown.append(shell.close_streams)
    return app


async def serve(
    simulator: Simulator,
    host: str,
    port: int,
    stopped: asyncio.Event,
    on_ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve until `stopped` is set; raises OSError when the address cannot be had.

    Port 0 takes a free one; `on_ready` is told the URL once requests are answered.
    """
    runner = web.AppRunner(web_application(simulator), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        bound_host, bound_port, *_ = runner.addresses[0]
        url = f"http://{bound_host}:{bound_port}"
        log.info(
            "serving",
            url=url,
            clock=simulator.clock.mode,
            market_time=simulator.exchange.now.isoformat(),
            seed=simulator.config.seed,
            accounts=[account.name for account in simulator.config.accounts],
        )
        on_ready(url)
        await stopped.wait()
        log.info("stopping")
    finally:
        await runner.cleanup()
    log.info("stopped", market_time=simulator.exchange.now.isoformat())


def _log_request(method: str, path: str, response: Response) -> None:
    """Writes are worth a line, reads only when somebody looks closely."""
    write = log.info if method != "GET" else log.debug
    write("request", method=method, path=path[:200], status=response.status)
