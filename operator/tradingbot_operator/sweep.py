"""Lists everything we care about and repairs what the watches missed: at the start whole, later by version only.

A watch may have died silently, and a deletion that happened while the operator was down has no event.
Must never take an object for gone that may have been made after the list was taken.
"""

from collections.abc import Sequence

import structlog

from tradingbot_operator.cluster.connection import Connection, NotFoundError
from tradingbot_operator.cluster.resources import LABELLED_KINDS, OWN_KINDS, RESOURCES
from tradingbot_operator.metrics import LAST_SWEEP, OBJECTS, SWEEP_REPAIRS, SWEEPS
from tradingbot_operator.observer import Observer
from tradingbot_operator.plan.names import MANAGED_BY_LABEL, MANAGER
from tradingbot_operator.plan.objects import ObjectKey, name_of, namespace_of, resource_version, uid_of
from tradingbot_operator.store import Store

LABEL_SELECTOR = f"{MANAGED_BY_LABEL}={MANAGER}"
_LOG = structlog.get_logger(__name__)


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

    async def load(self) -> None:
        """Takes in everything, children first, so that no bot is looked at before its children are known."""
        for kind in (*LABELLED_KINDS, *reversed(OWN_KINDS)):
            for namespace in self._namespaces:
                listed = await self._connection.list(
                    RESOURCES[kind], namespace=namespace, label_selector=selector_of(kind)
                )
                for item in listed:
                    self._observer.seen(kind, item)
            OBJECTS.labels(kind=kind).set(len(self._store.keys(kind)))

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

    async def _sweep(self, kind: str, namespace: str | None) -> int:
        known = {
            key: uid_of(raw)
            for key in self._store.keys(kind)
            if namespace in (None, key.namespace) and (raw := self._store.get(key)) is not None
        }
        listed = await self._connection.list(
            RESOURCES[kind],
            namespace=namespace,
            label_selector=selector_of(kind),
            metadata_only=True,
        )
        versions = {ObjectKey(kind, namespace_of(item), name_of(item)): resource_version(item) for item in listed}
        repaired = sum(self._observer.gone(key, uid) for key, uid in known.items() if key not in versions)
        for key, version in versions.items():
            raw = self._store.get(key)
            if raw is None or resource_version(raw) != version:
                repaired += await self._read(key)
        return repaired

    async def _read(self, key: ObjectKey) -> bool:
        try:
            raw = await self._connection.get(RESOURCES[key.kind], key.namespace, key.name)
        except NotFoundError:
            return False
        return self._observer.seen(key.kind, raw)
