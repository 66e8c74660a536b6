"""Takes in what the watches and sweeps see: into the store, and whoever is affected into the queue. Decides nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from tradingbot_api import KILL_ANNOTATION
from tradingbot_operator.metrics import WATCH_EVENTS
from tradingbot_operator.plan.objects import ObjectKey, Raw, annotation, name_of, namespace_of, uid_of
from tradingbot_operator.queue import WorkQueue
from tradingbot_operator.routing import affected, patience_seconds
from tradingbot_operator.store import Store

_HELD: Final = 16
"""Events of one object; those beyond are taken in at once."""


class Observer:
    """The only way into the store for what others changed."""

    def __init__(
        self, store: Store, queue: WorkQueue[ObjectKey], forget: Callable[[ObjectKey], None] | None = None
    ) -> None:
        self._store = store
        self._queue = queue
        self._forget = forget
        self._held: dict[ObjectKey, list[tuple[str | None, Raw]]] = {}

    @contextmanager
    def writing(self, key: ObjectKey) -> Iterator[None]:
        """What the watches tell of an object while we write it waits until we know what came of the write.

        Mostly it tells of that very write, which is no news by then: a look for each bot that is made.
        """
        if key in self._held:
            yield
            return
        self._held[key] = []
        try:
            yield
        finally:
            for event, raw in self._held.pop(key):
                self._take_in(key, event, raw)

    def watched(self, kind: str, event: str | None, raw: Raw) -> None:
        """An event of a watch; `event` is None for an object of its first list."""
        WATCH_EVENTS.labels(kind=kind).inc()
        key = ObjectKey(kind, namespace_of(raw), name_of(raw))
        held = self._held.get(key)
        # A kill waits for nothing.
        if held is not None and len(held) < _HELD and annotation(raw, KILL_ANNOTATION) is None:
            held.append((event, raw))
        else:
            self._take_in(key, event, raw)

    def _take_in(self, key: ObjectKey, event: str | None, raw: Raw) -> None:
        if event == "DELETED":
            self.gone(key, uid_of(raw))
        else:
            self.seen(key.kind, raw)

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
            self._queue.add(look, after_seconds=patience_seconds(look, kind))
