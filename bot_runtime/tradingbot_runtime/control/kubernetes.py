"""Watches the bot's own TradingBot and BrokerAccount at the API server, without the operator's help.

Reads two objects by name and writes nothing. A watch that died silently is noticed within 30 s: it is never longer.
"""

import asyncio
import json
import random
import ssl
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import aiohttp

from tradingbot_api import GROUP, VERSION, BotIdentity, GrantRef
from tradingbot_runtime.backoff import Backoff
from tradingbot_runtime.control.observed import Manifest, Observed, is_an_object, words_of
from tradingbot_runtime.control.port import ControlEvent, ControlPlaneFailed, ControlPlaneLost
from tradingbot_runtime.core.events import ControlPlaneSeen

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
LIST_SECONDS: Final = 5.0
WATCH_SECONDS: Final = 30.0
LONGEST_WAIT_SECONDS: Final = 2.0
MAX_LINE_BYTES: Final = 4 * 1024 * 1024
MAX_EVENTS_WAITING: Final = 1000

BOTS: Final = "tradingbots"
ACCOUNTS: Final = "brokeraccounts"


class NotInCluster(ValueError):
    """There is no API server to talk to; the message says what to do."""


@dataclass(frozen=True)
class ApiServer:
    """Where the API server is and how to talk to it; the token is read anew for every request, for it rotates."""

    url: str
    token_path: Path | None = None
    ca_path: Path | None = None

    @classmethod
    def in_cluster(cls, environment: Mapping[str, str], directory: Path = SERVICE_ACCOUNT) -> "ApiServer":
        """The API server of the pod this process runs in. Raises NotInCluster."""
        host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            raise NotInCluster(
                "--control kubernetes needs a pod (KUBERNETES_SERVICE_HOST is not set):"
                " outside of one use --control file:PATH or --control none"
            )
        host = f"[{host}]" if ":" in host else host
        return cls(f"https://{host}:{port}", directory / "token", directory / "ca.crt")

    def headers(self) -> dict[str, str]:
        """The authorization of one request."""
        if self.token_path is None:
            return {}
        return {"Authorization": f"Bearer {self.token_path.read_text().strip()}"}

    def tls(self) -> ssl.SSLContext | bool:
        """What the server's certificate must be signed by."""
        return ssl.create_default_context(cafile=str(self.ca_path)) if self.ca_path else True


class _Gone(Exception):
    """The watch's resource version is too old: list again."""


class KubernetesControl:
    """The control plane of a bot in a pod."""

    watched = True

    def __init__(
        self,
        server: ApiServer,
        bot: BotIdentity,
        account: str,
        *,
        rng: random.Random,
        grant: GrantRef | None = None,
        watch_seconds: float = WATCH_SECONDS,
        list_seconds: float = LIST_SECONDS,
    ) -> None:
        """`grant`: what a live bot was started under, to be looked for in its TradingBot; None on paper."""
        self._server = server
        self._bot = bot
        self._account = account
        self._rng = rng
        self._watch_seconds = watch_seconds
        self._list_seconds = list_seconds
        self._observed = Observed(grant)
        self._fresh: set[str] = set()

    async def events(self) -> AsyncGenerator[ControlEvent, None]:
        """Everything seen on either object, as it is seen. Raises ControlPlaneFailed when one is no longer followed."""
        queue: asyncio.Queue[ControlEvent] = asyncio.Queue(MAX_EVENTS_WAITING)
        connector = aiohttp.TCPConnector(ssl=self._server.tls())
        async with aiohttp.ClientSession(connector=connector, read_bufsize=MAX_LINE_BYTES) as session:
            tasks = [
                asyncio.create_task(self._follow(session, queue, BOTS, self._bot.name)),
                asyncio.create_task(self._follow(session, queue, ACCOUNTS, self._account)),
            ]
            try:
                while True:
                    yield await _next(queue, tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(
        self, session: aiohttp.ClientSession, queue: asyncio.Queue[ControlEvent], plural: str, name: str
    ) -> None:
        backoff = Backoff(self._rng, first_seconds=0.1, max_seconds=LONGEST_WAIT_SECONDS)
        while True:
            began = time.monotonic()
            try:
                version = await self._list(session, queue, plural, name)
                await self._watch(session, queue, plural, name, version)
            except _Gone:
                pass
            except Exception as error:
                # Whatever it was, a kill may come after it: nothing may end this loop.
                # The end of a watch is ours to set; a list that takes too long is a failure.
                said = "no answer" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
                await queue.put(ControlPlaneLost(words_of(f"{plural}/{name}: {said}")))
            if time.monotonic() - began > self._watch_seconds / 2:
                backoff.reset()
            else:
                await asyncio.sleep(backoff.next_seconds())

    async def _list(
        self, session: aiohttp.ClientSession, queue: asyncio.Queue[ControlEvent], plural: str, name: str
    ) -> str:
        async with (
            asyncio.timeout(self._list_seconds),
            session.get(self._url(plural), params=_selector(name), headers=self._server.headers()) as response,
        ):
            body = await _json(response)
        items, metadata = body.get("items"), body.get("metadata")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise ValueError("the API server's answer is no list of objects")
        await self._see(queue, plural, items[0] if items else None)
        return str(metadata.get("resourceVersion") or "") if isinstance(metadata, dict) else ""

    async def _watch(
        self,
        session: aiohttp.ClientSession,
        queue: asyncio.Queue[ControlEvent],
        plural: str,
        name: str,
        version: str,
    ) -> None:
        params = _selector(name) | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(max(1, round(self._watch_seconds))),
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._list_seconds)
        try:
            # Our own clock ends it: a server, or a proxy, that has died keeps no promise about timeoutSeconds.
            async with (
                asyncio.timeout(self._watch_seconds),
                session.get(
                    self._url(plural), params=params, headers=self._server.headers(), timeout=timeout
                ) as response,
            ):
                if response.status == HTTPStatus.GONE:
                    raise _Gone
                if response.status != HTTPStatus.OK:
                    await _json(response)
                async for line in response.content:
                    await self._see_event(queue, plural, json.loads(line))
        except TimeoutError:
            return

    async def _see_event(self, queue: asyncio.Queue[ControlEvent], plural: str, event: object) -> None:
        kind, manifest = (event.get("type"), event.get("object")) if isinstance(event, dict) else (None, None)
        match kind:
            case "ADDED" | "MODIFIED" if isinstance(manifest, dict):
                await self._see(queue, plural, manifest)
            case "DELETED" if isinstance(manifest, dict):
                await self._see(queue, plural, None)
            case "BOOKMARK":
                return
            case "ERROR" if isinstance(manifest, dict) and manifest.get("code") == HTTPStatus.GONE:
                raise _Gone
            case _:
                raise ValueError(f"the watch says what cannot be read: {json.dumps(event)[:300]}")

    async def _see(self, queue: asyncio.Queue[ControlEvent], plural: str, manifest: Manifest | None) -> None:
        events: list[ControlEvent] = []
        if plural == BOTS:
            gone = manifest is None
            events = self._observed.deleted() if gone else self._observed.bot(manifest or {}, self._bot.uid)
        elif manifest is not None:
            events = self._observed.account(manifest)
        if manifest is not None and not is_an_object(manifest):
            for event in events:
                await queue.put(event)
            raise ValueError("the API server's object has no uid")
        self._fresh.add(plural)
        if self._fresh == {BOTS, ACCOUNTS}:
            # A kill may be on either: only when both were read since is it known that there is none.
            self._fresh.clear()
            events = [*events, ControlPlaneSeen()]
        for event in events:
            await queue.put(event)

    def _url(self, plural: str) -> str:
        return f"{self._server.url}/apis/{GROUP}/{VERSION}/namespaces/{self._bot.namespace}/{plural}"


async def _next(queue: asyncio.Queue[ControlEvent], followers: Sequence["asyncio.Task[None]"]) -> ControlEvent:
    """The next event. Raises ControlPlaneFailed once a follower has ended and all that it saw was told."""
    waiting = asyncio.ensure_future(queue.get())
    try:
        await asyncio.wait((waiting, *followers), return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            return waiting.result()
        ended = next(follower for follower in followers if follower.done())
        error = None if ended.cancelled() else ended.exception()
        raise ControlPlaneFailed(words_of(f"no longer followed: {error!r}")) from error
    finally:
        waiting.cancel()


def _selector(name: str) -> dict[str, str]:
    # RBAC by resourceNames allows a list or watch only with exactly this selector.
    return {"fieldSelector": f"metadata.name={name}"}


async def _json(response: aiohttp.ClientResponse) -> dict[str, Any]:
    if response.status == HTTPStatus.GONE:
        raise _Gone
    if response.status != HTTPStatus.OK:
        text = (await response.text())[:300]
        raise ValueError(f"the API server answered {response.status}: {' '.join(text.split())}")
    body = json.loads(await response.text())
    if not isinstance(body, dict):
        raise ValueError("the API server's answer is not an object")
    return body
