"""The tutorial's kubectl blocks on a real API server with the operator: what they print is what the page shows.

Pods, sessions and the broker's word are told as a kubelet and a runtime would tell them, and two sessions do for
thirty; the e2e tier follows the page on real ones.
"""

import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from api_server import ApiServer, Json, eventually
from operator_process import OperatorProcess
from test_evidence import audits, close, made, run
from world import FakeRuntime, World

from cache_folder import cache_folder
from newcomers_shell import Shell
from tutorial_page import PAGE, Step, missing, steps

ROOT = Path(__file__).parents[2]
BOT = "momentum"
KILL = "tradingbots.dev/kill"
TWO_SESSIONS: Json = {
    "paperSessions": {"minimum": 2},
    "paperTrades": {"minimum": 2},
    "cleanReconciliationSessions": {"minimum": 1},
}


@pytest.fixture
def shell(kubeconfig: Path, tmp_path: Path) -> Iterator[Shell]:
    path = os.pathsep.join((str(Path(sys.executable).parent), str(cache_folder() / "bin"), os.environ["PATH"]))
    assert shutil.which("kubectl", path=path), "no kubectl: run `hack/cluster/cluster.sh build control-plane`"
    outer = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "FORCE_COLOR")}
    shell = Shell(ROOT, tmp_path, {**outer, "KUBECONFIG": str(kubeconfig), "PATH": path, "HOME": str(tmp_path)})
    yield shell
    shell.close()


@pytest.fixture
def tutorial(api: ApiServer, operator: OperatorProcess) -> Iterator[World]:
    """The namespace that the page makes."""
    operator.ensure_running()
    world = World(api, "tutorial")
    yield world
    world.close()
    if api.exists("Namespace", "tutorial"):
        api.delete("Namespace", "tutorial")


@contextmanager
def meanwhile(does: Callable[[], object]) -> Iterator[None]:
    """What others do while a block waits; what goes wrong there fails the test."""
    failures: list[BaseException] = []

    def act() -> None:
        try:
            does()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=act)
    thread.start()
    try:
        yield
    finally:
        thread.join()
        assert failures == []


def test_every_block_from_the_first_account_to_the_release_prints_what_is_shown(shell: Shell, tutorial: World) -> None:
    world = tutorial
    story = iter(
        step for step in steps(PAGE.read_text(encoding="utf-8")) if int(step.heading.split(".")[0]) in range(3, 12)
    )
    number = 0

    def type_next(chapter: int) -> None:
        nonlocal number
        number += 1
        step: Step = next(story)
        assert step.heading.startswith(f"{chapter}. "), step.heading
        said = shell.type(number, step)
        absent = missing(step.shown, said)
        assert absent is None, f"{step.name}: `{absent}` does not come:\n{said[-6000:]}"

    type_next(3)
    world.api.patch("PromotionGate", "demo", {"spec": {"checks": TWO_SESSIONS}}, world.namespace)

    with meanwhile(lambda: begins(world)):
        type_next(4)
    type_next(4)
    (runtime,) = world.runtimes

    type_next(5)
    type_next(5)

    with meanwhile(lambda: earns(world, runtime)):
        type_next(6)
    type_next(6)

    type_next(7)
    type_next(7)

    with meanwhile(lambda: goes_live(world, runtime)):
        type_next(8)

    with meanwhile(lambda: is_flat(world, runtime)):
        type_next(9)
    with meanwhile(lambda: goes_back(world, runtime)):
        type_next(9)
    type_next(10)
    with meanwhile(lambda: returns(world, runtime)):
        type_next(11)
    with meanwhile(lambda: restarted(world, runtime, live=False)):
        type_next(11)
    assert next(story, None) is None


def begins(world: World) -> None:
    eventually(lambda: world.api.exists("TradingBot", BOT, world.namespace), "the bot is there", 180)
    world.wait_for_children(BOT)
    run(world, BOT)


def earns(world: World, runtime: FakeRuntime) -> None:
    """Two sessions that the broker confirms, and the preflight."""
    close(world, BOT, runtime, 2, account="alpaca-paper")
    uid = world.get("TradingBot", BOT)["metadata"]["uid"]
    audit = job_of(world, "audit")
    world.end_job(audit["metadata"]["name"], audits(world, BOT, audit))
    passed = {"uid": uid, "account": "alpaca-live", "checks": [{"name": "Keys", "passed": True}]}
    world.end_job(job_of(world, "preflight")["metadata"]["name"], passed)


def job_of(world: World, kind: str) -> Json:
    def of_kind() -> list[Json]:
        return [job for job in made(world, "Job") if job["metadata"]["labels"]["tradingbots.dev/producer"] == kind]

    return eventually(of_kind, f"there is a Job: {kind}", 180)[0]


def restarted(world: World, runtime: FakeRuntime, *, live: bool, **report: object) -> None:
    """The pod of the other mode runs and reports."""

    def is_there() -> bool:
        pod = world.get("Pod", f"{BOT}-bot-0")
        labels, is_new = pod["metadata"]["labels"], "podIP" not in pod.get("status", {})
        return is_new and ("tradingbots.dev/live" in labels) is live

    eventually(is_there, f"a {'live' if live else 'paper'} pod", 180)
    assert runtime.report is not None
    runtime.report = {**runtime.report, "mode": "live" if live else "paper", **report}
    world.run_again(BOT, runtime)


def goes_live(world: World, runtime: FakeRuntime) -> None:
    status = eventually(lambda: (s := world.get("TradingBot", BOT)["status"]).get("grant") and s, "the grant", 180)
    grant = {"subjectDigest": status["grant"]["subjectDigest"], "epoch": status["grant"]["epoch"]}
    restarted(world, runtime, live=True, grant=grant)


def is_flat(world: World, runtime: FakeRuntime) -> None:
    """The bot sees the annotation and does what onKill asks."""
    eventually(lambda: KILL in world.get("TradingBot", BOT)["metadata"].get("annotations", {}), "the kill", 180)
    assert runtime.report is not None
    kill: Json = {"reason": "the tutorial is nearly over", "observedAt": "2026-01-01T00:00:02Z", "openOrders": 1}
    runtime.report |= {"tradingState": "Halted", "ready": False, "kill": kill}
    world.wait_for_condition(BOT, "Killed", "True", seconds=60)
    at = "2026-01-01T00:00:03Z"
    kill |= {"ordersCancelledAt": at, "flatAt": at, "openOrders": 0, "openPositions": 0}
    runtime.report |= {"kill": kill, "positions": [], "openOrders": 0}


def goes_back(world: World, runtime: FakeRuntime) -> None:
    restarted(world, runtime, live=False, grant=None)


def returns(world: World, runtime: FakeRuntime) -> None:
    """Released, it starts anew."""
    eventually(lambda: len(world.api.list("Approval", world.namespace)) == 2, "Rita's word", 180)
    assert runtime.report is not None
    report = {key: value for key, value in runtime.report.items() if key not in ("kill", "grant")}
    runtime.report = report | {"tradingState": "Active", "ready": True}
