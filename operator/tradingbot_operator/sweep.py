"""Lists everything we care about, follows what changes, and repairs what the watches missed.

At the start lists are whole, later by version only. A watch may have died silently, and a deletion that happened while
the operator was down has no event.
Must never take an object for gone that may have been made after the list was taken.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from tradingbot_operator.cluster.connection import ApiError, Connection, NotFoundError
from tradingbot_operator.cluster.resources import LABELLED_KINDS, OWN_KINDS, RESOURCES
from tradingbot_operator.cluster.watch import GapError, Watch
from tradingbot_operator.metrics import LAST_SWEEP, OBJECTS, SWEEP_REPAIRS, SWEEPS
from tradingbot_operator.observer import Observer
from tradingbot_operator.plan.names import MANAGED_BY_LABEL, MANAGER
from tradingbot_operator.plan.objects import ObjectKey
from tradingbot_operator.store import Store

LABEL_SELECTOR = f"{MANAGED_BY_LABEL}={MANAGER}"
_LOG = structlog.get_logger(__name__)
_RETRY_SECONDS: Final = 1.0


def selector_of(kind: str) -> str:
    """Which objects of a kind are ours to see."""
    return "" if kind in OWN_KINDS else LABEL_SELECTOR


class Sweeper:
    """Compares the API server's lists with the store, one kind and namespace after the other."""

    def __init__(
        self,
        connection: Connection,
        store: Store,
        observer: Observer,
        namespaces: Sequence[str] | None,
    ) -> None:
        self._connection = connection
        self._store = store
        self._observer = observer
        self._namespaces: Sequence[str | None] = [None] if namespaces is None else namespaces
        # Of the last list of each kind and namespace: a watch from there on misses nothing.
        self._versions: dict[tuple[str, str | None], str] = {}

    async def load(self) -> None:
        """Takes in everything, children first, so that no bot is looked at before its children are known."""
        for kind in (*LABELLED_KINDS, *reversed(OWN_KINDS)):
            for namespace in self._namespaces:
                await self._load(kind, namespace)
            OBJECTS.labels(kind=kind).set(len(self._store.keys(kind)))

    async def follow(self, kind: str) -> None:
        """Takes in every change of a kind since it was loaded, for ever."""
        await asyncio.gather(*(self._follow(kind, namespace) for namespace in self._namespaces))

    async def sweep(self) -> int:
        """Repairs what no event told; returns how many objects that were."""
        repaired = 0
        for kind in (*LABELLED_KINDS, *OWN_KINDS):
            count = 0
            for namespace in self._namespaces:
                count += await self._sweep(kind, namespace)
            OBJECTS.labels(kind=kind).set(len(self._store.keys(kind)))
            if count:
                SWEEP_REPAIRS.labels(kind=kind).inc(count)
            repaired += count
        SWEEPS.inc()
        LAST_SWEEP.set_to_current_time()
        return repaired

    async def _load(self, kind: str, namespace: str | None) -> None:
        pages = self._connection.pages(RESOURCES[kind], namespace=namespace, label_selector=selector_of(kind))
        async for version, items in pages:
            self._versions[kind, namespace] = version
            for item in items:
                self._observer.seen(kind, item)

    async def _follow(self, kind: str, namespace: str | None) -> None:
        watch = self._watch(kind, namespace)
        while True:
            try:
                async for event in watch.events():
                    self._observer.watched(kind, event["type"], event["object"])
            except GapError as error:
                _LOG.info("listing anew", kind=kind, error=error.message, code=error.code)
                watch = await self._after_gap(kind, namespace)
            except ApiError as error:
                _LOG.info("watch interrupted", kind=kind, error=error.message, code=error.code)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _after_gap(self, kind: str, namespace: str | None) -> Watch:
        while True:
            try:
                await self._sweep(kind, namespace)
                return self._watch(kind, namespace)
            except ApiError as error:
                _LOG.warning("cannot list, trying again", kind=kind, error=error.message, code=error.code)
                await asyncio.sleep(_RETRY_SECONDS)

    def _watch(self, kind: str, namespace: str | None) -> Watch:
        return Watch(
            self._connection,
            RESOURCES[kind],
            namespace=namespace,
            label_selector=selector_of(kind),
            version=self._versions[kind, namespace],
        )

    async def _sweep(self, kind: str, namespace: str | None) -> int:
        known = {key: uid for key, uid in self._store.uids(kind).items() if namespace in (None, key.namespace)}
        versions: dict[ObjectKey, str] = {}
        pages = self._connection.versions(RESOURCES[kind], namespace=namespace, label_selector=selector_of(kind))
        async for page in pages:
            self._versions[kind, namespace] = page.version
            versions.update((ObjectKey(kind, one.namespace, one.name), one.version) for one in page.items)
        repaired = sum(self._observer.gone(key, uid) for key, uid in known.items() if key not in versions)
        for key, version in versions.items():
            if self._store.version(key) != version:
                repaired += await self._read(key)
        return repaired

    async def _read(self, key: ObjectKey) -> bool:
        try:
            raw = await self._connection.get(RESOURCES[key.kind], key.namespace, key.name)
        except NotFoundError:
            return False
        return self._observer.seen(key.kind, raw)
