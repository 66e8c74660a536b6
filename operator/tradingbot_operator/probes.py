"""Answers the kubelet (/healthz, /readyz) and Prometheus (/metrics). Must never ask the API server for an answer."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


@dataclass(frozen=True)
class Answer:
    """Whether all is well, and what to say of it."""

    well: bool
    words: str = "ok"


Check = Callable[[], Answer]


@asynccontextmanager
async def serving(
    host: str, *, probe_port: int, metrics_port: int, healthy: Check, ready: Check, collect: Callable[[], None]
) -> AsyncIterator[None]:
    """Serves both ports while the context is open."""
    probes = web.Application()
    probes.router.add_get("/healthz", _answer(healthy))
    probes.router.add_get("/readyz", _answer(ready))
    metrics = web.Application()
    metrics.router.add_get("/metrics", _metrics(collect))
    async with AsyncExitStack() as stack:
        for app, port in ((probes, probe_port), (metrics, metrics_port)):
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, host, port).start()
        yield


def _answer(check: Check) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(_: web.Request) -> web.Response:
        answer = check()
        return web.Response(text=answer.words, status=200 if answer.well else 503)

    return handler


def _metrics(collect: Callable[[], None]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(_: web.Request) -> web.Response:
        collect()
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return handler
