"""Whatever is late, lost, paused or wrong about the time: never do two replicas believe that they may write."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tradingbot_operator.cluster.connection import WRITE_TIMEOUT_SECONDS
from tradingbot_operator.leadership import LONGEST_DURATION_SECONDS, Leadership, LeaseRecord, LeaseTimes, Step

TIMES = LeaseTimes()
REPLICAS = st.integers(0, 2)
GAPS = st.sampled_from([0.5, 2.0, 5.9, 6.1, 11.9, 12.1])


def a_record(holder: str = "other", version: str = "1", duration_seconds: float = 12) -> LeaseRecord:
    return LeaseRecord(holder, version, duration_seconds)


@dataclass
class Replica:
    leadership: Leadership
    clock_offset: float
    reading: tuple[LeaseRecord | None] | None = None
    writing: tuple[LeaseRecord, str | None, float] | None = None
    """What it asks for, the version that has to be there, and when it began to ask."""
    answer: tuple[LeaseRecord, float] | None = None

    @property
    def has_seen_none(self) -> bool:
        """Whether its last look found no Lease, or an answer that says so, or a Lease it makes, is on its way."""
        looked = self.leadership.next_step(float("inf")) is Step.CREATE
        is_making_one = self.writing is not None and self.writing[1] is None
        return looked or is_making_one or self.reading == (None,)


class LeaseMachine(RuleBasedStateMachine):
    """Three replicas whose requests and answers take any time, and one API server that checks versions."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 1000.0
        self.stored: LeaseRecord | None = None
        self.version = 0
        self.replicas: list[Replica] = []

    @initialize(offsets=st.tuples(*[st.sampled_from([-500.0, 0.0, 3600.0])] * 3))
    def replicas_with_clocks_of_their_own(self, offsets: tuple[float, ...]) -> None:
        self.replicas = [Replica(Leadership(f"r{n}", TIMES), offset) for n, offset in enumerate(offsets)]

    def now(self, replica: Replica) -> float:
        return self.time + replica.clock_offset

    @rule(seconds=GAPS)
    def time_passes(self, seconds: float) -> None:
        self.time += seconds

    @rule(number=REPLICAS)
    def asks(self, number: int) -> None:
        self.replicas[number].reading = (self.stored,)

    @rule(number=REPLICAS)
    def is_told(self, number: int) -> None:
        replica = self.replicas[number]
        if replica.reading is not None:
            replica.leadership.observed(replica.reading[0], self.now(replica))
            replica.reading = None

    @rule(number=REPLICAS)
    def looks(self, number: int) -> None:
        self.asks(number)
        self.is_told(number)

    @rule(number=REPLICAS)
    def begins_to_write(self, number: int) -> None:
        replica = self.replicas[number]
        if replica.leadership.next_step(self.now(replica)) is Step.WAIT:
            return
        seen = replica.leadership.record
        wanted = LeaseRecord(replica.leadership.identity, "", TIMES.duration_seconds)
        replica.writing = (wanted, seen.version if seen is not None else None, self.now(replica))

    @rule(number=REPLICAS)
    def write_arrives(self, number: int) -> None:
        replica = self.replicas[number]
        if replica.writing is None:
            return
        wanted, expected, sent_at = replica.writing
        replica.writing = None
        if expected == (self.stored.version if self.stored is not None else None):
            self.version += 1
            self.stored = replace(wanted, version=str(self.version))
            replica.answer = (self.stored, sent_at)

    @rule(number=REPLICAS)
    def answer_arrives(self, number: int) -> None:
        replica = self.replicas[number]
        if replica.answer is not None:
            record, sent_at = replica.answer
            replica.answer = None
            replica.leadership.held(record, sent_at)

    @rule(number=REPLICAS)
    def renews_or_takes_without_delay(self, number: int) -> None:
        self.begins_to_write(number)
        self.write_arrives(number)
        self.answer_arrives(number)

    @rule(number=REPLICAS, seconds=GAPS)
    def looks_and_acts_after_a_while(self, number: int, seconds: float) -> None:
        self.looks(number)
        self.time_passes(seconds)
        self.renews_or_takes_without_delay(number)

    @rule(number=REPLICAS)
    def lets_go(self, number: int) -> None:
        replica = self.replicas[number]
        if self.stored is None or self.stored.holder != replica.leadership.identity:
            return
        # As the keeper does: its own requests have ended, one way or the other, before it lets go.
        replica.writing = replica.answer = None
        replica.leadership.given_up()
        self.version += 1
        self.stored = LeaseRecord("", str(self.version), 1)

    # Made and deleted again between the look of a replica and its own making one: nothing can tell it.
    @precondition(lambda self: not any(replica.has_seen_none for replica in self.replicas))
    @rule()
    def the_lease_is_deleted(self) -> None:
        self.stored = None

    @invariant()
    def at_most_one_may_write(self) -> None:
        writers = [r.leadership.identity for r in self.replicas if r.leadership.may_write(self.now(r))]
        assert len(writers) <= 1, writers


TestLease = LeaseMachine.TestCase
TestLease.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)


def test_where_there_is_no_lease_a_replica_waits_as_long_as_one_that_was_deleted_might_have_lasted() -> None:
    leadership = Leadership("me", TIMES)
    leadership.observed(None, 5.0)
    assert leadership.next_step(16.9) is Step.WAIT
    assert leadership.next_step(17.0) is Step.CREATE
    leadership.held(a_record("me"), sent_at=17.0)
    assert leadership.may_write(22.9) and not leadership.may_write(23.0)


def test_a_standby_counts_from_what_it_saw_and_not_from_the_times_in_the_record() -> None:
    leadership = Leadership("me", TIMES)
    leadership.observed(a_record(), 100.0)
    leadership.observed(a_record(), 111.9)
    assert leadership.next_step(111.9) is Step.WAIT
    assert leadership.next_step(112.0) is Step.TAKE
    leadership.observed(a_record(version="2"), 112.0)
    assert leadership.next_step(123.9) is Step.WAIT


def test_a_released_lease_is_taken_at_once() -> None:
    leadership = Leadership("me", TIMES)
    leadership.observed(a_record(holder=""), 1.0)
    assert leadership.next_step(1.0) is Step.TAKE


def test_a_longer_promise_is_kept_but_not_for_ever() -> None:
    leadership = Leadership("me", TIMES)
    leadership.observed(a_record(duration_seconds=30), 0.0)
    assert leadership.next_step(29.0) is Step.WAIT and leadership.next_step(30.0) is Step.TAKE
    leadership.observed(a_record(version="2", duration_seconds=1e9), 0.0)
    assert leadership.next_step(LONGEST_DURATION_SECONDS) is Step.TAKE


def test_a_renewal_counts_from_when_it_was_sent() -> None:
    leadership = Leadership("me", TIMES)
    leadership.held(a_record("me"), sent_at=0.0)
    assert not leadership.may_write(6.5)
    leadership.held(a_record("me", "2"), sent_at=1.0)
    assert leadership.may_write(6.5)


def test_a_clock_that_went_back_is_no_leave_to_write() -> None:
    leadership = Leadership("me", TIMES)
    leadership.held(a_record("me"), sent_at=10.0)
    assert not leadership.may_write(9.0)


def test_a_standby_looks_the_moment_the_lease_runs_out() -> None:
    leadership = Leadership("me", TIMES)
    assert leadership.seconds_to_next_look(0.0) == TIMES.look_seconds
    leadership.observed(a_record(), 0.0)
    assert leadership.seconds_to_next_look(1.0) == TIMES.look_seconds
    assert leadership.seconds_to_next_look(11.75) == 0.25
    leadership.held(a_record("me"), 12.0)
    assert leadership.seconds_to_next_look(12.0) == TIMES.renew_seconds


def test_a_write_has_ended_before_another_replica_may_begin() -> None:
    assert TIMES.write_limit_seconds > WRITE_TIMEOUT_SECONDS


@pytest.mark.parametrize("changes", [{"renew_deadline_seconds": 12.0}, {"renew_seconds": 5.0}])
def test_times_that_leave_no_room_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="well before its deadline"):
        LeaseTimes(**changes)
