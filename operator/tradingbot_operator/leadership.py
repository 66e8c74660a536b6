"""Who of several replicas may write: the decisions about one Lease, from what was seen of it and when. Pure.

All times are seconds of the caller's own clock, which never goes back: the times inside the record are for people,
so clocks that differ between replicas change nothing. Must never call a lease held that was not renewed in time.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

LONGEST_DURATION_SECONDS: Final = 60.0
"""What a record asks for beyond this is not waited for."""


@dataclass(frozen=True)
class LeaseTimes:
    """How long a lease lasts, and how far its holder stays away from the end of it."""

    duration_seconds: float = 12.0
    """Without a change of the record for this long, another replica takes it."""
    renew_deadline_seconds: float = 6.0
    """The holder writes only while its last renewal was asked for less than this ago."""
    renew_seconds: float = 2.0
    look_seconds: float = 1.0
    """Between two looks of a replica that stands by."""
    request_seconds: float = 2.0
    """The longest that one request about the lease may take."""

    def __post_init__(self) -> None:
        if not self.renew_seconds + self.request_seconds < self.renew_deadline_seconds < self.duration_seconds:
            raise ValueError("a lease is renewed well before its deadline, and its deadline is before its end")

    @property
    def write_limit_seconds(self) -> float:
        """A write that was let through at the last moment must be over by now, before another replica begins."""
        return self.duration_seconds - self.renew_deadline_seconds


@dataclass(frozen=True)
class LeaseRecord:
    """The Lease as the API server has it."""

    holder: str
    version: str
    duration_seconds: float
    transitions: int = 0
    acquired_at: str = ""
    """As it stands in the record, for people."""


class Step(StrEnum):
    """What to do about the Lease now."""

    CREATE = "create"
    TAKE = "take"
    RENEW = "renew"
    WAIT = "wait"


class Leadership:
    """What one replica knows of the Lease, and what follows from it."""

    def __init__(self, identity: str, times: LeaseTimes) -> None:
        self.identity = identity
        self.times = times
        self.record: LeaseRecord | None = None
        self._changed_at: float | None = None
        self._renewed_at: float | None = None

    @property
    def holder(self) -> str:
        """Who holds the lease as far as this replica has seen; empty where nobody does."""
        return self.record.holder if self.record is not None else ""

    def observed(self, record: LeaseRecord | None, now: float) -> None:
        """The record was read; None where there is none. `now` is when the answer was there."""
        if record is None:
            if self.record is not None or self._changed_at is None:
                # Whoever held one that was deleted may still believe in it, as if it had been renewed just now;
                # a replica that has never seen one cannot know that there was none.
                self._changed_at = now
            self.record = None
            self._renewed_at = None
            return
        if self.record is None or (record.holder, record.version) != (self.record.holder, self.record.version):
            self._changed_at = now
        self.record = record
        if record.holder != self.identity:
            self._renewed_at = None

    def held(self, record: LeaseRecord, sent_at: float) -> None:
        """The API server took our record; `sent_at` is when the request was begun, not when it was answered."""
        self.record = record
        self._changed_at = sent_at
        self._renewed_at = sent_at

    def given_up(self) -> None:
        """This replica writes no more, whatever the record says."""
        self._renewed_at = None

    def may_write(self, now: float) -> bool:
        """Whether a write may be sent at this moment."""
        return self._renewed_at is not None and 0 <= now - self._renewed_at < self.times.renew_deadline_seconds

    def next_step(self, now: float) -> Step:
        """What to do about the Lease now."""
        if self.record is None:
            return Step.CREATE if self._has_run_out(now) else Step.WAIT
        if self.record.holder == self.identity:
            return Step.RENEW
        return Step.TAKE if not self.record.holder or self._has_run_out(now) else Step.WAIT

    def seconds_to_next_look(self, now: float) -> float:
        """How long to rest before the next step."""
        if self.record is not None and self.record.holder == self.identity:
            return self.times.renew_seconds
        if self._changed_at is None:
            return self.times.look_seconds
        return min(self.times.look_seconds, max(self._changed_at + self._duration() - now, 0.01))

    def _has_run_out(self, now: float) -> bool:
        return self._changed_at is not None and now - self._changed_at >= self._duration()

    def _duration(self) -> float:
        promised = self.record.duration_seconds if self.record is not None else 0.0
        return max(self.times.duration_seconds, min(promised, LONGEST_DURATION_SECONDS))
