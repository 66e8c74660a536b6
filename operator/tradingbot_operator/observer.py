"""Takes in what the watches and sweeps see: into the store, and whoever is affected into the queue. Decides nothing."""

from collections.abc import Callable

from tradingbot_operator.metrics import WATCH_EVENTS
from tradingbot_operator.plan.objects import ObjectKey, Raw, name_of, namespace_of, uid_of
from tradingbot_operator.queue import WorkQueue
from tradingbot_operator.routing import PATIENCE_SECONDS, affected
from tradingbot_operator.store import Store


class Observer:
    """The only way into the store for what others changed."""

    def __init__(
        self, store: Store, queue: WorkQueue[ObjectKey], forget: Callable[[ObjectKey], None] | None = None
    ) -> None:
        self._store = store
        self._queue = queue
        self._forget = forget

    def watched(self, kind: str, event: str | None, raw: Raw) -> None:
        """An event of a watch; `event` is None for an object of its first list."""
        WATCH_EVENTS.labels(kind=kind).inc()
        if event == "DELETED":
            self.gone(ObjectKey(kind, namespace_of(raw), name_of(raw)), uid_of(raw))
        else:
            self.seen(kind, raw)

    def seen(self, kind: str, raw: Raw) -> bool:
        """An object is as given; False where that is no news."""
        key = ObjectKey(kind, namespace_of(raw), name_of(raw))
        before = self._store.get(key)
        if not self._store.put(kind, raw):
            return False
        self._enqueue(kind, before, self._store.get(key))
        return True

    def gone(self, key: ObjectKey, uid: str | None = None) -> bool:
        """An object is no more; False where it was not known."""
        before = self._store.remove(key, uid)
        if before is None:
            return False
        if self._forget is not None:
            self._forget(key)
        self._enqueue(key.kind, before, None)
        return True

    def _enqueue(self, kind: str, before: Raw | None, after: Raw | None) -> None:
        for look in affected(self._store, kind, before, after):
            self._queue.add(look, after_seconds=PATIENCE_SECONDS.get(look.kind, 0.0))
