"""The bot's one port: /healthz, /readyz, /metrics, /status and /sessions. Nothing here can change the bot."""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from tradingbot_api import ClosedSessions, RuntimeReport
from tradingbot_runtime.ops.metrics import CONTENT_TYPE, Metrics

STALE_AFTER_SECONDS = 15.0
"""A loop that has handled nothing for so long, though it ticks five times a second, is stuck."""


SESSIONS_SHOWN = 100
MOST_SESSIONS_SHOWN = 400


class CannotListen(ValueError):
    """The address cannot be listened on; the message says what to do."""


@dataclass(frozen=True)
class Views:
    """What the pages show, asked for at every request."""

    report: Callable[[], RuntimeReport]
    heartbeat_age_seconds: Callable[[], float]
    metrics: Metrics
    sessions: Callable[[int], ClosedSessions] = lambda limit: ClosedSessions()
    """The last closed sessions, at most so many, oldest first."""


class StatusServer:
    """Serves the pages on one address."""

    def __init__(self, host: str, port: int, views: Views) -> None:
        self._host, self._port = host, port
        self._views = views
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port that is listened on, also when 0 asked for a free one."""
        addresses = self._runner.addresses if self._runner else ()
        return int(addresses[0][1]) if addresses else self._port

    async def start(self) -> None:
        """Begins to listen. Raises CannotListen."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/status", self._status)
        app.router.add_get("/sessions", self._sessions)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.5)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self.close()
            raise CannotListen(
                f"--listen: cannot listen on {self._host}:{self._port} ({error.strerror}): choose a free port"
            ) from error

    async def close(self) -> None:
        """Stops listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _healthz(self, request: web.Request) -> web.Response:
        age = self._views.heartbeat_age_seconds()
        alive = age < STALE_AFTER_SECONDS
        return web.json_response({"alive": alive, "heartbeatAgeSeconds": round(age, 3)}, status=200 if alive else 503)

    async def _readyz(self, request: web.Request) -> web.Response:
        report = self._views.report()
        body = {"ready": report.ready, "reason": report.reason, "message": report.message}
        return web.json_response(body, status=200 if report.ready else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(
            body=self._views.metrics.rendered(self._views.report()), headers={"Content-Type": CONTENT_TYPE}
        )

    async def _status(self, request: web.Request) -> web.Response:
        text = self._views.report().model_dump_json(by_alias=True, exclude_none=True)
        return web.Response(text=text, content_type="application/json")

    async def _sessions(self, request: web.Request) -> web.Response:
        """`?limit=N`: the last N closed sessions, 100 without it, 400 at most."""
        text = request.query.get("limit", str(SESSIONS_SHOWN))
        if not text.isdecimal() or not 1 <= int(text[:4]) <= MOST_SESSIONS_SHOWN or len(text) > 4:
            return web.json_response({"error": f"limit: a number from 1 to {MOST_SESSIONS_SHOWN}"}, status=400)
        body = self._views.sessions(int(text)).model_dump_json(by_alias=True, exclude_none=True)
        return web.Response(text=body, content_type="application/json")
