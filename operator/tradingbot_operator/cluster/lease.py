"""Holds, or waits for, the Lease that says which replica may write. Decides nothing: `leadership` does.

Has a connection of its own, so that a thousand other requests cannot keep a renewal waiting. Must never count a
renewal from when it was answered: the clock is read before the request is begun.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from tradingbot_operator.cluster.connection import ApiError, ConflictError, Connection, NotFoundError
from tradingbot_operator.cluster.resources import LEASES
from tradingbot_operator.leadership import Leadership, LeaseRecord, Step
from tradingbot_operator.metrics import LEADER_CHANGES
from tradingbot_operator.plan.objects import mapping, number, resource_version, text

_LOG = structlog.get_logger(__name__)
_RELEASED_DURATION_SECONDS: Final = 1
_RETRY_SECONDS: Final = 0.25


def steady_seconds() -> float:
    """Seconds that never go back, and that also pass while the machine sleeps where the system counts that."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class LeaseKeeper:
    """One replica's hold on one Lease."""

    def __init__(
        self,
        connection: Connection,
        leadership: Leadership,
        *,
        namespace: str,
        name: str,
        clock: Callable[[], float] = steady_seconds,
    ) -> None:
        self._connection = connection
        self._leadership = leadership
        self._namespace = namespace
        self._name = name
        self._clock = clock
        self._looking = True
        self._was_leading = False
        self._turned = asyncio.Event()
        self.last_attempt = clock()

    @property
    def leading(self) -> bool:
        """Whether this replica may write at this moment."""
        return self._leadership.may_write(self._clock())

    @property
    def holder(self) -> str:
        """Who holds the Lease as last seen; empty where nobody does."""
        return self._leadership.holder

    @property
    def silent_seconds(self) -> float:
        """How long ago the Lease was last tried."""
        return self._clock() - self.last_attempt

    async def wait_until(self, leading: bool) -> None:
        """Returns when this replica leads, or no longer does."""
        while self.leading != leading:
            self._turned.clear()
            await self._turned.wait()

    async def run(self) -> None:
        """Keeps at it until cancelled."""
        while True:
            await self.attempt()
            rest = self._leadership.seconds_to_next_look(self._clock())
            await asyncio.sleep(min(rest, _RETRY_SECONDS) if self._looking else rest)

    async def attempt(self) -> None:
        """One step: look where that is needed, then take or renew where it is ours to do."""
        self.last_attempt = self._clock()
        try:
            if self._looking or self._leadership.next_step(self._clock()) is not Step.RENEW:
                self._leadership.observed(await self._read(), self._clock())
                self._looking = False
            await self._write(self._leadership.next_step(self._clock()))
        except (ConflictError, NotFoundError):
            # Somebody else was first, or it was deleted: what is there now is read at once in the next step.
            self._looking = True
        except ApiError as error:
            self._looking = True
            _LOG.warning("the lease could not be renewed or read", error=error.message, code=error.code)
        self._tell()

    async def release(self) -> None:
        """Lets go, so that another replica need not wait. Only after the last write has ended."""
        record = self._leadership.record
        was_held = record is not None and record.holder == self._leadership.identity
        self._leadership.given_up()
        self._tell()
        if not was_held:
            return
        try:
            # Read first: a renewal whose answer nobody waited for may have changed its version.
            record = await self._read()
            if record is not None and record.holder == self._leadership.identity:
                await self._connection.replace(LEASES, self._namespace, self._name, self._body(record, holder=""))
                _LOG.info("lease released")
        except ApiError as error:
            _LOG.warning("lease not released, it runs out by itself", error=error.message)

    async def _read(self) -> LeaseRecord | None:
        try:
            return _record(await self._connection.get(LEASES, self._namespace, self._name))
        except NotFoundError:
            return None

    async def _write(self, step: Step) -> None:
        if step is Step.WAIT:
            return
        record, sent_at = self._leadership.record, self._clock()
        body = self._body(record, holder=self._leadership.identity)
        if step is Step.CREATE:
            raw = await self._connection.create(LEASES, self._namespace, body)
        else:
            raw = await self._connection.replace(LEASES, self._namespace, self._name, body)
        self._leadership.held(_record(raw), sent_at)

    def _body(self, record: LeaseRecord | None, *, holder: str) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        is_same = record is not None and record.holder == holder
        metadata = {"name": self._name, "namespace": self._namespace}
        if record is not None:
            metadata["resourceVersion"] = record.version
        transitions = record.transitions if record is not None else 0
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": metadata,
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": (
                    int(self._leadership.times.duration_seconds) if holder else _RELEASED_DURATION_SECONDS
                ),
                "acquireTime": record.acquired_at if record is not None and is_same and record.acquired_at else now,
                "renewTime": now,
                "leaseTransitions": transitions + (1 if record is not None and holder and not is_same else 0),
            },
        }

    def _tell(self) -> None:
        leading = self.leading
        if leading != self._was_leading:
            self._was_leading = leading
            LEADER_CHANGES.labels(to="leader" if leading else "standby").inc()
            _LOG.info("this replica leads" if leading else "this replica stands by", holder=self.holder)
        self._turned.set()


def _record(raw: Mapping[str, Any]) -> LeaseRecord:
    spec = mapping(raw, "spec")
    return LeaseRecord(
        holder=text(spec, "holderIdentity"),
        version=resource_version(raw),
        duration_seconds=float(number(spec, "leaseDurationSeconds")),
        transitions=number(spec, "leaseTransitions"),
        acquired_at=text(spec, "acquireTime"),
    )
