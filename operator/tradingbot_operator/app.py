"""The operator as a process: kopf's watches feed the observer, workers empty the queue, a sweep repairs the rest.

The only module that knows kopf, used as a shell: login, watches, signals. Handlers only put into the store and
enqueue; nothing here decides. Must never let kopf write to an object: no change handlers, no finalizers, no Events.
"""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final

import kopf
import structlog
from kubernetes.aio.client.configuration import Configuration

from tradingbot_operator.cluster.connection import (
    ApiError,
    Connection,
    authorization,
    load_configuration,
)
from tradingbot_operator.cluster.events import EventRecorder
from tradingbot_operator.cluster.reports import ReportBook, ReportPoller
from tradingbot_operator.cluster.resources import RESOURCES
from tradingbot_operator.metrics import BOTS, QUEUE_DUE, QUEUE_LENGTH
from tradingbot_operator.observer import Observer
from tradingbot_operator.plan import PlanSettings
from tradingbot_operator.plan.conditions import previous_condition
from tradingbot_operator.plan.objects import ObjectKey, text
from tradingbot_operator.plan.symbols import account_of
from tradingbot_operator.probes import serving
from tradingbot_operator.queue import WorkQueue
from tradingbot_operator.reconcile import Reconciler
from tradingbot_operator.settings import Settings
from tradingbot_operator.snapshots import report_targets
from tradingbot_operator.store import ACCOUNT, BOT, Store
from tradingbot_operator.sweep import Sweeper, selector_of

_LOG = structlog.get_logger(__name__)

# A watch ends by itself after 10 s and goes on where it was; one that is silently dead is noticed within 15 s.
WATCH_SECONDS: Final = 10
WATCH_LIMIT_SECONDS: Final = 15
_START_RETRY_SECONDS: Final = 2.0
_SWEEPS_TO_A_FULL_LOOK: Final = 20
_STALLED_SECONDS: Final = 300.0
"""Without an attempt to sweep for this long, the process has stalled and is better restarted."""


class Operator:
    """Everything one operator process is made of."""

    def __init__(self, settings: Settings, configuration: Configuration) -> None:
        loop = asyncio.get_running_loop()
        self._settings = settings
        self._configuration = configuration
        self._connection = Connection(configuration)
        self._store = Store()
        self._queue: WorkQueue[ObjectKey] = WorkQueue(clock=loop.time)
        self._book = ReportBook()
        self._reconciler = Reconciler(
            self._store,
            self._queue,
            self._book,
            self._connection,
            EventRecorder(self._connection, settings.instance),
            PlanSettings(runtime_image=settings.runtime_image),
            _now,
        )
        self._observer = Observer(self._store, self._queue, self._reconciler.forget)
        self._sweeper = Sweeper(self._connection, self._store, self._observer, settings.namespaces)
        self._poller = ReportPoller(
            self._book,
            lambda: report_targets(self._store),
            self._report_changed,
            _now,
            interval_seconds=settings.report_poll_seconds,
            port=settings.report_port,
        )
        self._ready = False
        self._last_attempt = loop.time()

    async def run(self) -> None:
        """Runs until a signal, or until a part of it fails."""
        settings = self._settings
        try:
            async with serving(
                settings.listen,
                probe_port=settings.probe_port,
                metrics_port=settings.metrics_port,
                healthy=self._health,
                ready=self._readiness,
                collect=self._collect,
            ):
                await self._load()
                await self._run_until_stopped()
        finally:
            await self._connection.close()

    async def _load(self) -> None:
        while True:
            try:
                await self._sweeper.load()
                break
            except ApiError as error:
                self._last_attempt = asyncio.get_running_loop().time()
                _LOG.warning("cannot list yet, trying again", error=error.message, code=error.code)
                await asyncio.sleep(_START_RETRY_SECONDS)
        self._ready = True
        _LOG.info("loaded", objects=len(self._store), bots=len(self._store.keys(BOT)))

    async def _run_until_stopped(self) -> None:
        parts = [
            asyncio.create_task(self._poller.run(), name="reports"),
            asyncio.create_task(self._resync(), name="resync"),
            *(
                asyncio.create_task(self._reconciler.work(), name=f"worker {number}")
                for number in range(self._settings.workers)
            ),
        ]
        watches = asyncio.create_task(self._watch(), name="watches")
        try:
            done, _ = await asyncio.wait([*parts, watches], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task is not watches:
                    _LOG.error("a part of the operator has ended", part=task.get_name())
                task.result()
        finally:
            for task in (*parts, watches):
                task.cancel()
            await asyncio.gather(*parts, watches, return_exceptions=True)

    async def _watch(self) -> None:
        namespaces = self._settings.namespaces
        await kopf.operator(
            registry=self._registry(),
            settings=_kopf_settings(),
            standalone=True,
            # Peering is off; without a name of ours kopf would look up a user, and a container's uid has none.
            identity="tradingbot-operator",  # type: ignore[arg-type]  # a NewType of str that kopf does not export
            clusterwide=namespaces is None,
            namespaces=namespaces or (),
        )

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(self._login)
        for kind, resource in RESOURCES.items():
            self._register(registry, kind, resource.group, resource.version, resource.plural)
        return registry

    def _register(self, registry: kopf.OperatorRegistry, kind: str, group: str, version: str, plural: str) -> None:
        async def handle(event: kopf.RawEvent, **_: Any) -> None:
            self._observer.watched(kind, event["type"], dict(event["object"]))

        kopf.on.event(group, version, plural, registry=registry, id=f"watch-{plural}")(handle)

    async def _login(self, **_: Any) -> kopf.ConnectionInfo:
        # Read anew each time: a ServiceAccount's token is replaced every hour.
        return await _connection_info(await load_configuration())

    async def _resync(self) -> None:
        sweeps = 0
        while True:
            await asyncio.sleep(self._settings.resync_seconds)
            self._last_attempt = asyncio.get_running_loop().time()
            sweeps += 1
            try:
                repaired = await self._sweeper.sweep()
            except ApiError as error:
                _LOG.warning("sweep failed", error=error.message, code=error.code)
                continue
            if repaired:
                _LOG.info("sweep repaired what no event told", objects=repaired)
            if sweeps % _SWEEPS_TO_A_FULL_LOOK == 0:
                self._look_at_everything()

    def _look_at_everything(self) -> None:
        # Spread over one resync, so that it never shows as a peak.
        keys = [*self._store.keys(BOT), *self._store.keys(ACCOUNT)]
        for number, key in enumerate(keys):
            self._queue.add(key, after_seconds=self._settings.resync_seconds * number / len(keys))

    def _report_changed(self, bot: ObjectKey) -> None:
        raw = self._store.get(bot)
        self._queue.add(bot)
        if raw is not None:
            self._queue.add(ObjectKey(ACCOUNT, bot.namespace, account_of(raw)))

    def _health(self) -> str | None:
        silent = asyncio.get_running_loop().time() - self._last_attempt
        return f"no sweep was tried for {silent:.0f} s" if silent > _STALLED_SECONDS else None

    def _readiness(self) -> str | None:
        return None if self._ready else "the first list is not complete"

    def _collect(self) -> None:
        QUEUE_LENGTH.set(len(self._queue))
        QUEUE_DUE.set(self._queue.due)
        BOTS.clear()
        states: Counter[tuple[str, str]] = Counter()
        for key in self._store.keys(BOT):
            raw = self._store.get(key) or {}
            condition = previous_condition(raw, "Ready")
            reason = condition.reason if condition is not None else "Unknown"
            states[text(raw, "status", "effectiveMode") or "paper", reason] += 1
        for (mode, reason), count in states.items():
            BOTS.labels(mode=mode, reason=reason).set(count)


async def run(settings: Settings) -> None:
    """Runs the operator until SIGTERM or SIGINT."""
    configuration = await load_configuration()
    _LOG.info("starting", api_server=configuration.host, namespaces=settings.namespaces or "all")
    await Operator(settings, configuration).run()


def _now() -> datetime:
    return datetime.now(UTC)


def _kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    # What there is to watch is known; we wait for our kinds before kopf starts, and need no leave to list CRDs.
    settings.scanning.disabled = True
    settings.watching.server_timeout = WATCH_SECONDS
    settings.watching.client_timeout = WATCH_LIMIT_SECONDS
    settings.watching.inactivity_timeout = WATCH_LIMIT_SECONDS
    settings.networking.request_timeout = WATCH_LIMIT_SECONDS
    settings.process.ultimate_exiting_timeout = 20
    for kind, resource in RESOURCES.items():
        if selector := selector_of(kind):
            settings.watching.label_selectors[resource.group, resource.version, resource.plural] = selector
    return settings


async def _connection_info(configuration: Configuration) -> kopf.ConnectionInfo:
    header = await authorization(configuration)
    scheme, _, token = header.rpartition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        scheme=scheme or None,
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
    )
