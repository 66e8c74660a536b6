"""Whatever goes wrong on the way, the end is the same, and nothing was made twice.

A run without faults says which writes there are. Then each of them is struck, many in one run, by one of the faults
that are alike to the operator and by each of the others; with TRADINGBOT_FAULTS_EVERYWHERE=1 each by each, a few in one
run, so that what a fault has broken is not mended by the next one.
"""

import os
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from api_server import ApiServer
from fault_proxy import KILLS, Faults, ReadFault, Write, WriteFault
from fault_scenario import Outcome, Theatre
from nursery import Nursery
from operator_process import OperatorProcess

EVERYWHERE = bool(os.environ.get("TRADINGBOT_FAULTS_EVERYWHERE"))
_AT_ONCE = 6
_PARTS_EVERYWHERE = 8
_ROUNDS = 4
"""Until every write of a part was struck: of two at the same moment one may be only the last words of the other."""
_ALIKE = (WriteFault.TOO_MANY_REQUESTS, WriteFault.INTERNAL_ERROR, WriteFault.UNAVAILABLE, WriteFault.RESET)
"""To the operator these are one: each write gets one of them here, and all of them everywhere."""


@pytest.fixture(scope="module")
def theatre(
    api: ApiServer, operator: OperatorProcess, operator_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Theatre]:
    # It looks after all namespaces, so it would be a second writer.
    operator.stop()
    nursery = Nursery()
    yield Theatre(api, operator_kubeconfig, tmp_path_factory.mktemp("faults"), nursery)
    nursery.close()
    operator.start()


@pytest.fixture(scope="module")
def reference(theatre: Theatre) -> Outcome:
    return theatre.run("no faults", Faults())


Runs = dict[WriteFault | ReadFault, list[Future[list[Outcome]]]]


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, theatre: Theatre, reference: Outcome) -> Iterator[Runs]:
    """Every run that a selected test needs, some at the same time."""
    asked = [item.callspec.params["fault"] for item in request.session.items if _has_a_fault(item)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        # The slowest first.
        submitted = {
            fault: [pool.submit(carry_out, plan, theatre, reference) for plan in plans_for(fault, reference)]
            for fault in sorted(asked, key=lambda fault: fault is not WriteFault.HANG)
        }
        yield submitted
    done = [future for futures in submitted.values() for future in futures if future.exception() is None]
    faults = sum(outcome.record.faults for future in done for outcome in future.result())
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(f"\n{faults} faults injected, {len(reference.record.writes())} writes without any")


def _has_a_fault(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and item.path == Path(__file__) and hasattr(item, "callspec")


@dataclass(frozen=True)
class Plan:
    """What one run strikes, and what has to have been struck when it is done."""

    name: str
    faults: Faults
    wanted: frozenset[Write] = frozenset()


def plans_for(fault: WriteFault | ReadFault, reference: Outcome) -> list[Plan]:
    """How the writes are spread over runs: a write that fails makes the next try of its bot wait twice as long."""
    if isinstance(fault, ReadFault):
        return [Plan(fault, Faults(read=fault))]
    if EVERYWHERE:
        return [part_of(fault, part, _PARTS_EVERYWHERE, reference) for part in range(_PARTS_EVERYWHERE)]
    if fault is WriteFault.HANG:
        return [alone(fault, write) for write in writes_for(fault, reference)]
    if fault in KILLS:
        return [Plan(fault, Faults(fault))]
    parts = [_ALIKE.index(fault)] if fault in _ALIKE else range(4)
    return [part_of(fault, part, 4, reference) for part in parts]


def part_of(fault: WriteFault, part: int, parts: int, reference: Outcome) -> Plan:
    """A share of all writes, also of those that a run without faults does not have."""

    def is_in(write: Write) -> bool:
        return _draw(write) % parts == part

    wanted = frozenset(write for write in writes_for(fault, reference) if is_in(write) and not write.is_status)
    return Plan(f"{fault}, part {part + 1} of {parts}", Faults(fault, is_in), wanted)


def alone(fault: WriteFault, write: Write) -> Plan:
    """A run with nothing but this."""
    return Plan(f"{fault}: {write}", Faults(fault, lambda other: other == write))


def carry_out(plan: Plan, theatre: Theatre, reference: Outcome) -> list[Outcome]:
    """A run, and with every write to be struck more of them, each for what the runs before it have missed."""
    outcomes = [theatre.run(plan.name, plan.faults, reference.state)]
    while EVERYWHERE and (left := plan.wanted - struck_in(outcomes)) and len(outcomes) < _ROUNDS:
        name = f"{plan.name}, round {len(outcomes) + 1}"
        outcomes.append(theatre.run(name, Faults(plan.faults.write, left.__contains__), reference.state))
    return outcomes


def struck_in(outcomes: list[Outcome]) -> set[Write]:
    """Every write that a fault has struck."""
    return {write for outcome in outcomes for write in outcome.record.struck}


def writes_for(fault: WriteFault, reference: Outcome) -> list[Write]:
    """The writes of the reference run that a fault has to strike."""
    writes = reference.record.writes()
    if EVERYWHERE:
        return writes
    if fault is WriteFault.HANG:
        return sorted(writes, key=_draw)[:3]
    return [write for write in writes if fault not in _ALIKE or _draw(write) % 4 == _ALIKE.index(fault)]


def _draw(write: Write) -> int:
    return zlib.crc32(str(write).encode())


@pytest.mark.parametrize("fault", list(WriteFault), ids=lambda fault: fault.name)
def test_a_write_that_goes_wrong_changes_nothing_of_the_end(
    fault: WriteFault, runs: Runs, reference: Outcome, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = [outcome for future in runs[fault] for outcome in future.result()]
    wanted = set(writes_for(fault, reference))
    struck = struck_in(outcomes)
    for outcome in outcomes:
        check_that_nothing_was_done_twice(outcome, reference)
    tell(capsys, fault, outcomes, f"{len(wanted & struck)} of {len(wanted)} writes of the reference run")
    missed = [write for write in wanted - struck if not write.is_status]
    # Of two writes at the same moment one is the operator's death, and the other only its last words.
    assert len(missed) <= (len(wanted) // 4 if fault in KILLS and not EVERYWHERE else 0), missed


@pytest.mark.parametrize("fault", list(ReadFault), ids=lambda fault: fault.name)
def test_watches_that_go_wrong_change_nothing_of_the_end(
    fault: ReadFault, runs: Runs, reference: Outcome, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = [outcome for future in runs[fault] for outcome in future.result()]
    for outcome in outcomes:
        assert outcome.record.reads_struck > 5
        check_that_nothing_was_done_twice(outcome, reference)
    tell(capsys, fault, outcomes, "watches, lists and events")


def check_that_nothing_was_done_twice(outcome: Outcome, reference: Outcome) -> None:
    assert outcome.record.created() == reference.record.created(), outcome.name
    assert outcome.record.deleted() == reference.record.deleted(), outcome.name
    assert {child: len(uids) for child, uids in outcome.uids.items()} == {
        child: len(uids) for child, uids in reference.uids.items()
    }, outcome.name
    assert "Traceback" not in outcome.log, f"{outcome.name}: {outcome.log[-4000:]}"


def tell(capsys: pytest.CaptureFixture[str], fault: WriteFault | ReadFault, outcomes: list[Outcome], of: str) -> None:
    faults = sum(outcome.record.faults for outcome in outcomes)
    seconds = max(outcome.seconds for outcome in outcomes)
    with capsys.disabled():
        print(f"\n{faults:4} faults: {fault} ({of}; {len(outcomes)} runs, the longest {seconds:.0f} s)", end=" ")
