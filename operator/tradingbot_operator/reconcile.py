"""One look at one object: gather a snapshot, plan, carry the plan out, remember what the API server answered.

Never two at a time for one object (the queue sees to it). Must never decide anything: `plan` does.
"""

import time
from collections.abc import Callable
from datetime import datetime

import structlog

from tradingbot_operator.cluster.apply import Applier
from tradingbot_operator.cluster.connection import (
    ApiError,
    ConflictError,
    Connection,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from tradingbot_operator.cluster.events import EventRecorder
from tradingbot_operator.cluster.reports import ReportBook
from tradingbot_operator.cluster.statuses import write_status
from tradingbot_operator.metrics import RECONCILE_SECONDS, RECONCILES
from tradingbot_operator.plan import Plan, PlanSettings, Refusal, plan_account, plan_bot, status_write
from tradingbot_operator.plan.children import Child
from tradingbot_operator.plan.conditions import timestamp
from tradingbot_operator.plan.objects import ObjectKey, Raw
from tradingbot_operator.queue import WorkQueue
from tradingbot_operator.snapshots import account_snapshot, bot_snapshot
from tradingbot_operator.store import BOT, Store

_LOG = structlog.get_logger(__name__)


class Reconciler:
    """Carries out plans. Its only memory of its own is which children the API server refused."""

    def __init__(
        self,
        store: Store,
        queue: WorkQueue[ObjectKey],
        book: ReportBook,
        connection: Connection,
        recorder: EventRecorder,
        settings: PlanSettings,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._queue = queue
        self._book = book
        self._connection = connection
        self._recorder = recorder
        self._settings = settings
        self._now = now
        self._applier = Applier(connection)
        self._refusals: dict[ObjectKey, tuple[Refusal, ...]] = {}

    def forget(self, key: ObjectKey) -> None:
        """An object is gone."""
        self._applier.forget(key)
        self._refusals.pop(key, None)

    async def work(self) -> None:
        """Takes keys from the queue until cancelled."""
        while True:
            key = await self._queue.get()
            try:
                await self._look(key)
            finally:
                self._queue.done(key)

    async def _look(self, key: ObjectKey) -> None:
        started = time.monotonic()
        log = _LOG.bind(kind=key.kind, namespace=key.namespace, name=key.name)
        result = "done"
        try:
            await self._reconcile(key)
            self._queue.succeeded(key)
        except ConflictError as error:
            result = "conflict"
            log.info("changed meanwhile, looking again", wait=self._queue.retry(key), error=error.message)
        except UnavailableError as error:
            result = "unavailable"
            wait = self._queue.retry(key)
            log.warning("API server unavailable, trying again", wait=wait, error=error.message)
        except NotFoundError as error:
            result = "gone"
            log.info("not there any more", wait=self._queue.retry(key), error=error.message)
        except ApiError as error:
            result = "refused"
            log.warning("API server refused", wait=self._queue.retry(key), error=error.message)
        except Exception:
            # One object that nobody foresaw must not stop the others: it is logged, counted and tried again.
            result = "error"
            log.exception("could not reconcile", wait=self._queue.retry(key))
        finally:
            RECONCILES.labels(kind=key.kind, result=result).inc()
            RECONCILE_SECONDS.labels(kind=key.kind).observe(time.monotonic() - started)

    async def _reconcile(self, key: ObjectKey) -> None:
        raw = self._store.get(key)
        if raw is None:
            self.forget(key)
            return
        plan = self._plan(key, raw)
        refused = await self._carry_out(key, plan)
        if refused != self._refusals.get(key, ()):
            # What the API server said belongs into the status, so the status is planned again with it.
            self._refusals[key] = refused
            plan = self._plan(key, raw)
        await self._tell(key, raw, plan)
        if refused:
            self._queue.retry(key)

    def _plan(self, key: ObjectKey, raw: Raw) -> Plan:
        now = self._now()
        if key.kind != BOT:
            return plan_account(account_snapshot(self._store, self._book, key, raw, now=now))
        refusals = self._refusals.get(key, ())
        return plan_bot(
            bot_snapshot(self._store, self._book, key, raw, now=now, settings=self._settings, refusals=refusals)
        )

    async def _carry_out(self, key: ObjectKey, plan: Plan) -> tuple[Refusal, ...]:
        for stateful_set in plan.stop:
            self._store.put("StatefulSet", await self._applier.stop(stateful_set))
        refusals: list[Refusal] = []
        for child in plan.apply:
            try:
                await self._apply(key, child)
            except RefusedError as error:
                refusals.append(Refusal(f"{child.kind} {child.name}", error.message[:1024]))
        return tuple(refusals)

    async def _apply(self, key: ObjectKey, child: Child) -> None:
        child_key = ObjectKey(child.kind, key.namespace, child.name)
        applied = await self._applier.apply(child, self._store.get(child_key))
        if applied.written or applied.unexpected:
            self._store.put(child.kind, applied.raw)
        if applied.unexpected:
            # Nobody had seen this object: whose it is has to be decided before anything is written.
            raise ConflictError(f"{child.kind} {child.name} is there without our label, or was just made")

    async def _tell(self, key: ObjectKey, raw: Raw, plan: Plan) -> None:
        if plan.status is None:
            return
        now = self._now()
        write = status_write(raw, plan.status, timestamp(now))
        if write.now and not await self._write_status(key, raw, plan):
            return
        for wait in (write.again_after_seconds, plan.again_after_seconds):
            if wait is not None:
                self._queue.add(key, after_seconds=wait)
        if write.now:
            for note in plan.events:
                await self._recorder.tell(key.kind, raw, note, now)

    async def _write_status(self, key: ObjectKey, raw: Raw, plan: Plan) -> bool:
        try:
            written = await write_status(self._connection, key.kind, raw, plan.status or {})
        except NotFoundError:
            # It was deleted meanwhile; its event, or the next sweep, says so.
            return False
        self._store.put(key.kind, written)
        return True
