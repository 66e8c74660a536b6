"""The operator as a process: watches feed the observer, workers empty the queue, a sweep repairs the rest.

The only module that knows kopf, used as a shell: login, signals, the watches of what there is little of. Handlers only
put into the store and enqueue; nothing here decides. A replica that stands by loads and watches like the one that
leads, and works on nothing.
Must never let kopf write to an object: no change handlers, no finalizers, no Events.
"""

import asyncio
import contextlib
from collections.abc import Iterable
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
from tradingbot_operator.cluster.crd_versions import CrdsTooNewError, CrdVersions
from tradingbot_operator.cluster.events import EventRecorder
from tradingbot_operator.cluster.lease import LeaseKeeper
from tradingbot_operator.cluster.policies import PolicyReader
from tradingbot_operator.cluster.reports import ReportBook, ReportPoller, Target
from tradingbot_operator.cluster.resources import LOOKED_AT, RESOURCES
from tradingbot_operator.cluster.watch import WATCH_LIMIT_SECONDS, WATCH_SECONDS
from tradingbot_operator.cluster.write_gate import WriteGate
from tradingbot_operator.figures import collect
from tradingbot_operator.leadership import Leadership, LeaseTimes
from tradingbot_operator.memory import give_back, set_aside
from tradingbot_operator.metrics import LEADER
from tradingbot_operator.observer import Observer
from tradingbot_operator.plan import PlanSettings
from tradingbot_operator.plan.objects import ObjectKey
from tradingbot_operator.plan.symbols import account_of
from tradingbot_operator.probes import Answer, serving
from tradingbot_operator.queue import WorkQueue
from tradingbot_operator.reconcile import Reconciler
from tradingbot_operator.routing import is_urgent, patience_seconds
from tradingbot_operator.settings import Settings
from tradingbot_operator.snapshots import ReportTargets
from tradingbot_operator.store import ACCOUNT, BOT, Store
from tradingbot_operator.sweep import Sweeper

_LOG = structlog.get_logger(__name__)

KOPF_KINDS: Final = tuple(kind for kind in LOOKED_AT if kind != BOT)
"""What there is little of: kopf copies an object of an event several times and keeps a record of it for good."""
_START_RETRY_SECONDS: Final = 2.0
_SWEEPS_TO_A_FULL_LOOK: Final = 10
_STALLED_SECONDS: Final = 300.0
"""Without an attempt to sweep for this long, the process has stalled and is better restarted."""
_LEASE_STALLED_SECONDS: Final = 60.0
_LAST_LOOKS_SECONDS: Final = 5.0
"""How long a stopping operator waits for the looks that were begun."""


class Operator:
    """Everything one operator process is made of."""

    def __init__(self, settings: Settings, configuration: Configuration) -> None:
        loop = asyncio.get_running_loop()
        self._settings = settings
        self._configuration = configuration
        times = LeaseTimes()
        limit = times.request_seconds
        self._lease_connection = Connection(configuration, read_timeout_seconds=limit, write_timeout_seconds=limit)
        self._lease: LeaseKeeper | None = None
        if settings.election is not None:
            self._lease = LeaseKeeper(
                self._lease_connection,
                Leadership(settings.election.identity, times),
                namespace=settings.election.namespace,
                name=settings.election.name,
            )
        self._turn = asyncio.Event()
        gate = WriteGate(writes_per_second=settings.writes_per_second, clock=loop.time, may_write=lambda: self._leading)
        self._connection = Connection(configuration, gate)
        self._crds = CrdVersions(self._connection)
        self._store = Store()
        self._queue: WorkQueue[ObjectKey] = WorkQueue(loop.time, lambda key: is_urgent(self._store, key))
        self._book = ReportBook()
        self._observer = Observer(self._store, self._queue, lambda key: self._reconciler.forget(key))
        self._policies = PolicyReader(self._connection, self._look_at_bots)
        self._reconciler = Reconciler(
            self._store,
            self._queue,
            self._book,
            self._connection,
            EventRecorder(self._connection, settings.instance),
            PlanSettings(settings.runtime_image, settings.operator_namespace, settings.litestream),
            _now,
            self._crds,
            self._observer,
            self._policies,
        )
        self._sweeper = Sweeper(self._connection, self._store, self._observer, settings.namespaces)
        self._targets = ReportTargets(self._store)
        self._poller = ReportPoller(
            self._book,
            self._bots_to_ask,
            self._report_changed,
            _now,
            interval_seconds=settings.report_poll_seconds,
            port=settings.report_port,
        )
        self._loaded = False
        self._last_attempt = loop.time()

    @property
    def _leading(self) -> bool:
        return self._lease is None or self._lease.leading

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
            await self._lease_connection.close()

    async def _load(self) -> None:
        while True:
            try:
                await self._crds.check()
                await self._policies.read()
                await self._sweeper.load()
                set_aside()
                give_back()
                break
            except ApiError as error:
                self._last_attempt = asyncio.get_running_loop().time()
                _LOG.warning("cannot list yet, trying again", error=error.message, code=error.code)
                await asyncio.sleep(_START_RETRY_SECONDS)
        self._loaded = True
        _LOG.info("loaded", objects=len(self._store), bots=len(self._store.keys(BOT)))

    async def _run_until_stopped(self) -> None:
        parts = [
            asyncio.create_task(self._take_turns(), name="turns"),
            asyncio.create_task(self._poller.run(), name="reports"),
            asyncio.create_task(self._resync(), name="resync"),
            *(
                asyncio.create_task(self._sweeper.follow(kind), name=f"watch of {kind}")
                for kind in RESOURCES
                if kind not in KOPF_KINDS
            ),
            asyncio.create_task(self._policies.run(self._settings.resync_seconds), name="policies"),
            *(
                asyncio.create_task(self._reconciler.work(self._turn), name=f"worker {number}")
                for number in range(self._settings.workers)
            ),
            # One that nothing else can keep busy.
            asyncio.create_task(self._reconciler.work(self._turn, urgent_only=True), name="worker for kills"),
        ]
        lease = [asyncio.create_task(self._lease.run(), name="lease")] if self._lease is not None else []
        watches = asyncio.create_task(self._watch(), name="watches")
        try:
            done, _ = await asyncio.wait([*parts, *lease, watches], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task is not watches:
                    _LOG.error("a part of the operator has ended", part=task.get_name())
                task.result()
        finally:
            is_calm = await self._end_looks()
            for task in (*parts, *lease, watches):
                task.cancel()
            await asyncio.gather(*parts, *lease, watches, return_exceptions=True)
            if self._lease is not None and is_calm:
                await self._lease.release()

    async def _take_turns(self) -> None:
        """Works while this replica leads. Begins no task: a stopping kopf would cancel those begun after it."""
        while True:
            if self._lease is not None:
                await self._lease.wait_until(leading=True)
            for kind in LOOKED_AT:
                for key in self._store.keys(kind):
                    self._queue.add(key)
            self._turn.set()
            if self._lease is None:
                await asyncio.Event().wait()
            else:
                await self._lease.wait_until(leading=False)
            self._turn.clear()

    def _bots_to_ask(self) -> Iterable[Target]:
        # Without targets the poller also forgets what the bots said: it is too old once this replica leads again.
        return self._targets() if self._leading else ()

    async def _end_looks(self) -> bool:
        """Begins no new look and waits for those that were begun; False where one did not end in time."""
        self._turn.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_LOOKS_SECONDS):
                while self._queue.working:  # noqa: ASYNC110 - the queue has no event for being idle
                    await asyncio.sleep(0.02)
        return not self._queue.working

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
        for kind in KOPF_KINDS:
            resource = RESOURCES[kind]
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
                await self._crds.check()
                repaired = await self._sweeper.sweep()
            except ApiError as error:
                _LOG.warning("sweep failed", error=error.message, code=error.code)
                continue
            finally:
                give_back()
            if repaired:
                _LOG.info("sweep repaired what no event told", objects=repaired)
            if sweeps % _SWEEPS_TO_A_FULL_LOOK == 0:
                self._look_at_everything()

    def _look_at_everything(self) -> None:
        # Spread over one resync, so that it never shows as a peak.
        keys = [key for kind in LOOKED_AT for key in self._store.keys(kind)]
        for number, key in enumerate(keys):
            self._queue.add(key, after_seconds=self._settings.resync_seconds * number / len(keys))

    def _look_at_bots(self) -> None:
        for key in self._store.keys(BOT):
            self._queue.add(key)

    def _report_changed(self, bot: ObjectKey) -> None:
        raw = self._store.get(bot)
        self._queue.add(bot)
        if raw is not None:
            account = ObjectKey(ACCOUNT, bot.namespace, account_of(raw))
            self._queue.add(account, after_seconds=patience_seconds(account, BOT))

    def _health(self) -> Answer:
        silent = asyncio.get_running_loop().time() - self._last_attempt
        if silent > _STALLED_SECONDS:
            return Answer(False, f"no sweep was tried for {silent:.0f} s")
        if self._loaded and self._lease is not None and self._lease.silent_seconds > _LEASE_STALLED_SECONDS:
            return Answer(False, f"the lease was not tried for {self._lease.silent_seconds:.0f} s")
        return Answer(True)

    def _readiness(self) -> Answer:
        if not self._loaded:
            return Answer(False, "the first list is not complete")
        if self._leading:
            return Answer(True)
        # Ready all the same: a rollout goes on, and nothing is sent to one replica rather than another.
        holder = self._lease.holder if self._lease is not None else ""
        return Answer(True, f"ok: standby, {holder or 'nobody'} leads")

    def _collect(self) -> None:
        LEADER.set(self._leading)
        collect(self._store, self._queue, _now())


async def run(settings: Settings) -> None:
    """Runs the operator until SIGTERM or SIGINT."""
    configuration = await load_configuration()
    _LOG.info("starting", api_server=configuration.host, namespaces=settings.namespaces or "all")
    try:
        await Operator(settings, configuration).run()
    except CrdsTooNewError as error:
        _LOG.error("refusing to run against newer CRDs", error=str(error))
        raise


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
