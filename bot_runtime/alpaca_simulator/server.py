"""The thin aiohttp shell: HTTP to RestApi, the streams to websockets, and the clock's ticks.

Decides nothing: requests and frames pass through to the code that does no I/O, and how an answer is
to be delivered is carried out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import structlog
from aiohttp import web

from alpaca_simulator.api.messages import LARGEST_BODY_BYTES, Request, json_response
from alpaca_simulator.api.routing import DATA_STREAM_PATH, STREAM_PATH
from alpaca_simulator.faults.delivery import Answer
from alpaca_simulator.http_delivery import deliver
from alpaca_simulator.market.calendar import OutsideCalendarError
from alpaca_simulator.simulator import Simulator
from alpaca_simulator.websockets import Websockets

#: How often the exchange catches up with a running clock when nobody asks, machine seconds.
TICK_SECONDS = 0.02
SHUTDOWN_SECONDS = 2.0

log = structlog.stdlib.get_logger("alpaca_simulator")


class Shell:
    """The handlers of one simulator's web application."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self.websockets = Websockets(simulator.streams)

    async def answer(self, http: web.Request) -> web.StreamResponse:
        """Pass one HTTP request to the REST API, and the answer back as it is to be delivered."""
        path, _, query = http.raw_path.partition("?")
        try:
            body = await http.read()
        except web.HTTPRequestEntityTooLarge:
            body = b"\x00" * (LARGEST_BODY_BYTES + 1)  # the REST API words the refusal
        answer = self._answered(Request(http.method, path, query, dict(http.headers), body))
        self._tell_streams()
        _log_request(http.method, path, answer)
        return await deliver(http, answer)

    def _answered(self, request: Request) -> Answer:
        try:
            return self._simulator.rest.answer(request)
        except Exception:
            # A bug of the simulator: say so in the client's language and leave the trace in the log.
            log.exception("request_failed", method=request.method, path=request.path)
            return Answer(json_response(500, {"code": 50010000, "message": "internal server error occurred"}))

    def _tell_streams(self) -> None:
        """Hand every client of a stream what has happened."""
        for update in self._simulator.streams.deliver():
            log.info(
                "trade_update",
                account=str(update.account_id),
                trade_event=update.event.value,
                symbol=update.order.asset.symbol,
                client_order_id=update.order.client_order_id,
                market_time=update.at.isoformat(),
            )

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
            self._tell_streams()
            await asyncio.sleep(TICK_SECONDS)


def web_application(simulator: Simulator) -> web.Application:
    """The aiohttp application of one simulator: the streams and, for everything else, the REST API."""
    shell = Shell(simulator)
    app = web.Application(client_max_size=LARGEST_BODY_BYTES)
    app.router.add_get(STREAM_PATH, shell.websockets.trade_updates)
    app.router.add_get(DATA_STREAM_PATH, shell.websockets.market_data)
    app.router.add_route("*", "/{path:.*}", shell.answer)
    app.cleanup_ctx.append(shell.tick_while_serving)
    app.on_shutdown.append(shell.websockets.close_all)
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


def _log_request(method: str, path: str, answer: Answer) -> None:
    """Writes are worth a line, reads only when somebody looks closely."""
    write = log.info if method != "GET" else log.debug
    write("request", method=method, path=path[:200], status=answer.response.status if answer.response else "none")
