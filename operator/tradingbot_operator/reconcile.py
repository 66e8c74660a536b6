"""One look at one object: gather a snapshot, plan, carry the plan out, remember what the API server answered.

Never two at a time for one object (the queue sees to it). A conflict is never overwritten: what is there now is read,
and decided on anew. Must never decide anything: `plan` does.
"""

import asyncio
import itertools
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

import structlog

from tradingbot_api.group import BOT_LABEL
from tradingbot_operator.cluster.apply import Applier
from tradingbot_operator.cluster.connection import (
    ApiError,
    ConflictError,
    Connection,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from tradingbot_operator.cluster.crd_versions import CrdsTooNewError, CrdVersions
from tradingbot_operator.cluster.events import EventRecorder
from tradingbot_operator.cluster.evidence import create_once
from tradingbot_operator.cluster.kill_records import count_steps, with_requester
from tradingbot_operator.cluster.lifecycle import grow_claim, remove_orphan, uid_now, write_finalizers
from tradingbot_operator.cluster.policies import PolicyReader
from tradingbot_operator.cluster.reports import ReportBook
from tradingbot_operator.cluster.resources import RESOURCES
from tradingbot_operator.cluster.statuses import write_status
from tradingbot_operator.cluster.write_gate import NotLeadingError, writing
from tradingbot_operator.metrics import KILLS, RECONCILE_SECONDS, RECONCILES
from tradingbot_operator.observer import Observer
from tradingbot_operator.plan import (
    EventNote,
    Plan,
    PlanSettings,
    Refusal,
    plan_account,
    plan_bot,
    plan_gate,
    status_write,
)
from tradingbot_operator.plan.children import Child
from tradingbot_operator.plan.conditions import timestamp
from tradingbot_operator.plan.deletion import finalizers
from tradingbot_operator.plan.names import MANAGER
from tradingbot_operator.plan.objects import ObjectKey, Raw, mapping, name_of, namespace_of, text, uid_of
from tradingbot_operator.plan.orphans import orphans
from tradingbot_operator.plan.snapshot import gate_of
from tradingbot_operator.plan.status import Document, without_figures
from tradingbot_operator.plan.symbols import account_of, accounts_of, live_account_of, symbols_of
from tradingbot_operator.plan.validating import RunWrite, without_bot
from tradingbot_operator.queue import WorkQueue
from tradingbot_operator.routing import is_urgent
from tradingbot_operator.snapshots import account_snapshot, bot_snapshot, gate_snapshot
from tradingbot_operator.store import ACCOUNT, APPROVAL, ATTESTATION, BOT, CLAIM, EVIDENCE, GATE, KILL, RUN, Store

_LOG = structlog.get_logger(__name__)
_UNREADABLE: Final = frozenset({"InvalidSpec", "AccountInvalid"})
_REFUSED_EVIDENCE_SECONDS: Final = 30.0
_EVIDENCE_RETRY_SECONDS: Final = 2.0
_RIVALS_READ: Final = 50
"""Before a grant. Two live bots on one symbol of one account are sorted out by the next look in any case."""


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
        crds: CrdVersions,
        observer: Observer,
        policies: PolicyReader,
    ) -> None:
        self._store = store
        self._queue = queue
        self._book = book
        self._connection = connection
        self._recorder = recorder
        self._settings = settings
        self._now = now
        self._crds = crds
        self._observer = observer
        self._policies = policies
        self._applier = Applier(connection)
        # A look's id is unique among all replicas and restarts; it is in the log and in the API server's audit log.
        process = secrets.token_hex(4)
        self._looks = (f"{process}-{number}" for number in itertools.count(1))
        self._refusals: dict[ObjectKey, tuple[Refusal, ...]] = {}

    def forget(self, key: ObjectKey) -> None:
        """An object is gone."""
        self._applier.forget(key)
        self._refusals.pop(key, None)

    async def work(self, turn: asyncio.Event, *, urgent_only: bool = False) -> None:
        """Takes keys from the queue while it is this replica's `turn`, until cancelled."""
        while True:
            await turn.wait()
            key = await self._queue.get(urgent_only=urgent_only)
            try:
                if turn.is_set():
                    with self._naming(key), writing(urgent=is_urgent(self._store, key)):
                        await self._look(key)
                else:
                    self._queue.add(key)
            finally:
                self._queue.done(key)

    @contextmanager
    def _naming(self, key: ObjectKey) -> Iterator[None]:
        """Every line that is logged inside, by whatever part, says which look at which object it belongs to."""
        what = "bot" if key.kind == BOT else "object"
        name = f"{key.namespace}/{key.name}" if key.kind == BOT else str(key)
        with structlog.contextvars.bound_contextvars(**{what: name, "reconcile": next(self._looks)}):
            yield

    async def _look(self, key: ObjectKey) -> None:
        started = time.monotonic()
        result = "done"
        try:
            if await self._reconcile(key):
                self._queue.succeeded(key)
            else:
                result = "refused"
                _LOG.info("a part of it was refused, trying again", wait=self._queue.retry(key))
        except ConflictError as error:
            result = "conflict"
            _LOG.info("changed meanwhile, looking again", wait=self._queue.retry(key), error=error.message)
        except UnavailableError as error:
            result = "unavailable"
            wait = self._queue.retry(key, at_least_seconds=error.retry_after_seconds or 0.0)
            _LOG.warning("API server unavailable, trying again", wait=wait, error=error.message)
        except NotFoundError as error:
            result = "gone"
            _LOG.info("not there any more", wait=self._queue.retry(key), error=error.message)
        except ApiError as error:
            result = "refused"
            _LOG.warning("API server refused", wait=self._queue.retry(key), error=error.message)
        except NotLeadingError as error:
            result = "fenced"
            _LOG.warning("not written", wait=self._queue.retry(key), error=str(error))
        except CrdsTooNewError:
            result = "error"
            raise
        except Exception:
            # One object that nobody foresaw must not stop the others: it is logged, counted and tried again.
            result = "error"
            _LOG.exception("could not reconcile", wait=self._queue.retry(key))
        finally:
            RECONCILES.labels(kind=key.kind, result=result).inc()
            RECONCILE_SECONDS.labels(kind=key.kind).observe(time.monotonic() - started)

    async def _reconcile(self, key: ObjectKey) -> bool:
        """One look; whether the API server accepted every part of the plan."""
        raw = self._store.get(key)
        if raw is None:
            self.forget(key)
            if key.kind == BOT:
                await self._remove(key, orphans(self._children(key), None))
                runs = [run for one in self._store.runs_of(key) if (run := self._store.get(one)) is not None]
                await self._tell_of_runs(without_bot(runs, self._now()))
            return True
        plan = self._plan(key, raw)
        if _cannot_read(plan):
            # Before anybody is told that a spec is wrong: it may be of a release that this one does not know.
            await self._crds.check()
        if plan.release:
            await self._kill(key, plan)
            await self._release(key, raw, plan)
            return True
        refused = await self._carry_out(key, raw, plan)
        raw = self._store.get(key) or raw
        if refused != self._refusals.get(key, ()):
            # What the API server said belongs into the status, so the status is planned again with it.
            self._refusals[key] = refused
            plan = self._plan(key, raw)
        await self._tell(key, raw, plan)
        # Last, so that nothing that goes wrong with evidence ever keeps a grant from being taken back.
        if await self._make_evidence(key, raw, plan):
            # What was written is evidence, or will be: the next look says so, and there may be more to do.
            self._queue.add(key)
        await self._tell_of_runs(plan.runs)
        return not refused

    def _plan(self, key: ObjectKey, raw: Raw) -> Plan:
        now = self._now()
        if key.kind == ACCOUNT:
            return plan_account(account_snapshot(self._store, self._book, key, raw, now=now))
        if key.kind == GATE:
            return plan_gate(gate_snapshot(self._store, key, raw, now=now))
        return plan_bot(
            bot_snapshot(
                self._store,
                self._book,
                key,
                raw,
                now=now,
                settings=self._settings,
                refusals=self._refusals.get(key, ()),
                policies=self._policies.verdict,
            )
        )

    async def _carry_out(self, key: ObjectKey, raw: Raw, plan: Plan) -> tuple[Refusal, ...]:
        refusals = list(await self._kill(key, plan))
        if plan.hold:
            try:
                with self._observer.writing(key):
                    self._store.put(key.kind, await self._write_finalizers(key, raw, held=True))
            except RefusedError as error:
                # Nothing that could trade is made for a bot that could vanish from under it.
                return (*refusals, Refusal(f"our finalizer on {key}", error.message[:1024]))
        await self._remove(key, plan.remove)
        for stateful_set in plan.stop:
            self._store.put("StatefulSet", await self._applier.stop(stateful_set))
        if plan.grow is not None:
            try:
                self._store.put(CLAIM, await grow_claim(self._connection, plan.grow))
            except RefusedError as error:
                refusals.append(Refusal(plan.grow.target, error.message[:1024]))
        for child in plan.apply:
            try:
                await self._apply(key, child)
            except RefusedError as error:
                refusals.append(Refusal(f"{child.kind} {child.name}", error.message[:1024]))
        return tuple(refusals)

    async def _kill(self, key: ObjectKey, plan: Plan) -> tuple[Refusal, ...]:
        """Writes the record of a kill and makes the Job that carries it out. The bot does not wait for either."""
        refusals: list[Refusal] = []
        try:
            await self._record_kill(key, plan)
        except (RefusedError, NotFoundError) as error:
            if plan.kill is not None and plan.kill.releases:
                # As long as no record says that it is over, the bot is not told so.
                raise
            # Also where its namespace is about to go: a deleted bot does not wait for what cannot be written any more.
            refusals.append(Refusal("the KillRecord", error.message[:1024]))
        for manifest in plan.flatten:
            made = ObjectKey(text(manifest, "kind"), key.namespace, name_of(manifest))
            try:
                with self._observer.writing(made):
                    self._store.put(made.kind, await create_once(self._connection, manifest))
            except (RefusedError, NotFoundError, ConflictError) as error:
                if isinstance(error, ConflictError):
                    # Something else has its name, or a webhook changed it: nothing else of the bot waits for that.
                    await self._read_again(made)
                refusals.append(Refusal(str(made), error.message[:1024]))
                break
        return tuple(refusals)

    async def _record_kill(self, key: ObjectKey, plan: Plan) -> None:
        write = plan.kill
        if write is None:
            return
        if write.releases:
            await self._confirm_release(key)
        record = write.record
        if write.create is not None:
            made = ObjectKey(KILL, key.namespace, name_of(write.create))
            manifest = await with_requester(self._connection, key.namespace, write)
            try:
                with self._observer.writing(made):
                    record = await self._connection.create(RESOURCES[KILL], key.namespace, manifest, manager=MANAGER)
                    self._store.put(KILL, record)
            except ConflictError:
                await self._read_again(made)
                raise
            KILLS.labels(scope=text(manifest, "spec", "scope"), mode=text(manifest, "spec", "mode")).inc()
        if record is not None and write.status:
            await self._put_status(ObjectKey(KILL, key.namespace, name_of(record)), record, write.status)
            count_steps(record, write.status)

    async def _confirm_release(self, key: ObjectKey) -> None:
        """The same decision on what the API server holds at this moment. Raises ConflictError where it is another."""
        _, again = await self._decide_again(key)
        if again.kill is None or not again.kill.releases:
            raise ConflictError(f"what the release of a kill of {key} rests on has changed")

    async def _write_finalizers(self, key: ObjectKey, raw: Raw, *, held: bool) -> Raw:
        try:
            return await write_finalizers(self._connection, raw, finalizers(raw, held=held))
        except ConflictError:
            await self._read_again(key)
            raise

    async def _release(self, key: ObjectKey, raw: Raw, plan: Plan) -> None:
        now = self._now()
        account = self._store.get(ObjectKey(ACCOUNT, key.namespace, account_of(raw)))
        # Told first: afterwards there may be no bot to tell it about.
        for note in plan.events:
            _LOG.log(logging.WARNING if note.warning else logging.INFO, "a deleted bot leaves", message=note.message)
            await self._recorder.tell(key.kind, raw, note, now)
        for note in plan.account_events if account is not None else ():
            await self._recorder.tell(ACCOUNT, account or {}, note, now)
        # Not put into the store: the bot may be gone by now, and the watch, or the next sweep, says so.
        await self._write_finalizers(key, raw, held=False)

    async def _remove(self, key: ObjectKey, children: tuple[Raw, ...]) -> None:
        if not children:
            return
        known = self._store.get(key)
        if await uid_now(self._connection, key) != (uid_of(known) if known is not None else ""):
            # The store is behind: what looks like an orphan may be the child of a bot that it does not know.
            await self._read_again(key)
            raise ConflictError(f"{key} is not what was seen")
        for child in children:
            _LOG.info("removing what a bot left behind", kind=child.get("kind"), name=name_of(child))
            await remove_orphan(self._connection, child)

    def _children(self, key: ObjectKey) -> tuple[Raw, ...]:
        return tuple(raw for child in self._store.children(key) if (raw := self._store.get(child)) is not None)

    async def _apply(self, key: ObjectKey, child: Child) -> None:
        child_key = ObjectKey(child.kind, key.namespace, child.name)
        try:
            with self._observer.writing(child_key):
                applied = await self._applier.apply(child, self._store.get(child_key))
                if applied.written:
                    self._store.put(child.kind, applied.raw)
        except ConflictError:
            # Perhaps an object that nobody had seen: whose it is has to be decided before anything is written.
            await self._read_again(child_key)
            raise

    async def _make_evidence(self, key: ObjectKey, raw: Raw, plan: Plan) -> bool:
        """Writes evidence and what makes more of it; True where something is there now that was not."""
        written = False
        for manifest in (*plan.record, *plan.produce):
            made = ObjectKey(text(manifest, "kind"), namespace_of(manifest), name_of(manifest))
            try:
                with self._observer.writing(made):
                    self._store.put(made.kind, await create_once(self._connection, manifest))
                written = True
            except (RefusedError, ConflictError, UnavailableError) as error:
                # The bot trades on: that it cannot be promoted for now is no reason to call it broken.
                wait = _REFUSED_EVIDENCE_SECONDS if isinstance(error, RefusedError) else _EVIDENCE_RETRY_SECONDS
                _LOG.warning("evidence not written", object=str(made), error=error.message, wait=wait)
                self._queue.add(key, after_seconds=wait)
                if isinstance(error, RefusedError):
                    await self._tell_of_refused_evidence(key, raw, error)
                if made.kind != EVIDENCE:
                    break  # a Job needs the ConfigMap before it; evidence needs nothing
        for one in plan.discard:
            _LOG.info("removing what has served", kind=one.get("kind"), name=name_of(one))
            await remove_orphan(self._connection, one)
            # Known at once: what was taken away must not be taken for what is to be made anew under its name.
            self._observer.gone(ObjectKey(text(one, "kind"), key.namespace, name_of(one)), uid_of(one))
        return written

    async def _tell_of_runs(self, writes: tuple[RunWrite, ...]) -> None:
        """Writes what was seen of ValidationRuns; one that is gone meanwhile needs no word."""
        for write in writes:
            key = ObjectKey(RUN, namespace_of(write.run), name_of(write.run))
            try:
                await self._put_status(key, write.run, dict(write.status))
            except NotFoundError:
                self._observer.gone(key, uid_of(write.run))

    async def _tell_of_refused_evidence(self, key: ObjectKey, raw: Raw, error: RefusedError) -> None:
        message = f"the API server refused what makes evidence: {error.message}"
        note = EventNote("EvidenceRefused", message, warning=True, transition=f"EvidenceRefused {error.message}")
        await self._recorder.tell(key.kind, raw, note, self._now())

    async def _confirm(self, key: ObjectKey, plan: Plan) -> tuple[Raw, Plan]:
        """The same decision on what the API server holds at this moment. Raises ConflictError where it is another."""
        raw, again = await self._decide_again(key)
        if not again.confirm or _granted(again) != _granted(plan):
            raise ConflictError(f"what a grant of {key} rests on has changed")
        return raw, again

    async def _decide_again(self, key: ObjectKey) -> tuple[Raw, Plan]:
        """A plan on what the API server holds at this moment. Raises ConflictError where the object is gone."""
        await self._read_all_again(key)
        raw = self._store.get(key)
        if raw is None:
            raise ConflictError(f"{key} is gone")
        return raw, self._plan(key, raw)

    async def _read_all_again(self, key: ObjectKey) -> None:
        """Everything that a grant rests on, as the API server has it now: no watch may be behind in this."""
        await self._policies.read()
        await self._read_again(key)
        raw = self._store.get(key) or {}
        live = live_account_of(raw)
        around = [ObjectKey(ACCOUNT, key.namespace, name) for name in accounts_of(raw)]
        if gate := gate_of(raw):
            around.append(ObjectKey(GATE, key.namespace, gate))
        rivals = self._store.bots_wanting_live(key.namespace, live, symbols_of(raw))
        for other in (*around, *[rival for rival in rivals if rival != key][:_RIVALS_READ]):
            await self._read_again(other)
        selector = f"{BOT_LABEL}={key.name}"
        await self._list_again(EVIDENCE, key.namespace, self._store.evidence_about(key), selector)
        await self._list_again(APPROVAL, key.namespace, self._store.approvals_of(key))
        await self._list_again(ATTESTATION, key.namespace, self._store.attestations_to(key.namespace, gate))

    async def _list_again(self, kind: str, namespace: str, known: list[ObjectKey], label_selector: str = "") -> None:
        listed: set[ObjectKey] = set()
        resource = RESOURCES[kind]
        async for _, items in self._connection.pages(resource, namespace=namespace, label_selector=label_selector):
            for item in items:
                listed.add(ObjectKey(kind, namespace, name_of(item)))
                self._observer.seen(kind, item)
        for missing in known:
            if missing not in listed:
                await self._read_again(missing)

    async def _tell(self, key: ObjectKey, raw: Raw, plan: Plan) -> None:
        if plan.status is None:
            return
        now = self._now()
        if plan.confirm:
            raw, plan = await self._confirm(key, plan)
        write = status_write(raw, plan.status or {}, timestamp(now))
        if write.now and not await self._write_status(key, raw, plan):
            return
        for wait in (write.again_after_seconds, plan.again_after_seconds):
            if wait is not None:
                self._queue.add(key, after_seconds=wait)
        if write.now:
            for note in plan.events:
                await self._recorder.tell(key.kind, raw, note, now)

    async def _write_status(self, key: ObjectKey, raw: Raw, plan: Plan) -> bool:
        status = plan.status or {}
        try:
            await self._put_status(key, raw, status)
        except RefusedError as error:
            bare = without_figures(status)
            if bare == status:
                raise
            # What a bot says of itself must never keep what the operator decided about it from being written.
            _LOG.warning("status refused, writing it without the bot's figures", error=error.message)
            await self._put_status(key, raw, bare)
        except NotFoundError:
            # It was deleted meanwhile; its event, or the next sweep, says so.
            return False
        return True

    async def _put_status(self, key: ObjectKey, raw: Raw, status: Document) -> None:
        try:
            with self._observer.writing(key):
                self._store.put(key.kind, await write_status(self._connection, key.kind, raw, status))
        except ConflictError:
            await self._read_again(key)
            raise

    async def _read_again(self, key: ObjectKey) -> None:
        # A watch may be behind, or dead: without this the next look would decide on the same old sight of it.
        try:
            self._observer.seen(key.kind, await self._connection.get(RESOURCES[key.kind], key.namespace, key.name))
        except NotFoundError:
            self._observer.gone(key)


def _granted(plan: Plan) -> dict[str, object]:
    """What a plan grants, but for the time at which it does."""
    grant = mapping(plan.status or {}, "grant")
    return {name: value for name, value in grant.items() if not name.endswith(("At", "Since"))}


def _cannot_read(plan: Plan) -> bool:
    conditions = (plan.status or {}).get("conditions", ())
    return any(condition.get("reason") in _UNREADABLE for condition in conditions)
