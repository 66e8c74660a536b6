"""Whatever goes wrong on the way, the end is the same, and nothing was made twice.

A run without faults says which writes there are. Then each of them is struck: many in one run here, and each by each
fault in a run of its own with TRADINGBOT_FAULTS_EVERYWHERE=1.
"""

import os
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from api_server import ApiServer
from fault_proxy import KILLS, Faults, ReadFault, Write, WriteFault
from fault_scenario import Outcome, Theatre
from nursery import Nursery
from operator_process import OperatorProcess

EVERYWHERE = bool(os.environ.get("TRADINGBOT_FAULTS_EVERYWHERE"))
_AT_ONCE = 6
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


Runs = dict[WriteFault | ReadFault, list[Future[Outcome]]]


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, theatre: Theatre, reference: Outcome) -> Iterator[Runs]:
    """Every run that a selected test needs, some at the same time."""
    asked = [item.callspec.params["fault"] for item in request.session.items if _has_a_fault(item)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        # The slowest first.
        yield {
            fault: [pool.submit(theatre.run, *plan, reference.state) for plan in plans_for(fault, reference)]
            for fault in sorted(asked, key=lambda fault: fault is not WriteFault.HANG)
        }


def _has_a_fault(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and item.path == Path(__file__) and hasattr(item, "callspec")


def plans_for(fault: WriteFault | ReadFault, reference: Outcome) -> list[tuple[str, Faults]]:
    """How the writes are spread over runs: a write that fails makes the next try of its bot wait twice as long."""
    if isinstance(fault, ReadFault):
        return [(fault, Faults(read=fault))]
    if EVERYWHERE or fault is WriteFault.HANG:
        return [alone(fault, write) for write in writes_for(fault, reference)]
    if fault in KILLS:
        return [(fault, Faults(fault))]
    parts = [_ALIKE.index(fault)] if fault in _ALIKE else range(4)
    return [
        (f"{fault}, part {part}", Faults(fault, lambda write, part=part: _draw(write) % 4 == part)) for part in parts
    ]


def writes_for(fault: WriteFault, reference: Outcome) -> list[Write]:
    """The writes of the reference run that a fault has to strike."""
    writes = reference.record.writes()
    if EVERYWHERE:
        return writes
    if fault is WriteFault.HANG:
        return sorted(writes, key=_draw)[:3]
    return [write for write in writes if fault not in _ALIKE or _draw(write) % 4 == _ALIKE.index(fault)]


def alone(fault: WriteFault, write: Write) -> tuple[str, Faults]:
    """A run with nothing but this."""
    return f"{fault}: {write}", Faults(fault, lambda other: other == write)


def _draw(write: Write) -> int:
    return zlib.crc32(str(write).encode())


@pytest.mark.parametrize("fault", list(WriteFault), ids=lambda fault: fault.name)
def test_a_write_that_goes_wrong_changes_nothing_of_the_end(
    fault: WriteFault, runs: Runs, reference: Outcome, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = [future.result() for future in runs[fault]]
    wanted = set(writes_for(fault, reference))
    struck = {write for outcome in outcomes for write in outcome.record.struck}
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
    outcomes = [future.result() for future in runs[fault]]
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
