"""Two operators and one Lease on a real API server: one writes, the other takes over, and never do both write."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from api_server import ApiServer, Json, Refused, eventually
from operator_process import OperatorProcess
from tcp_proxy import proxying
from world import CHILDREN, World

LEASE = "tradingbot-operator"
SYSTEM = "tradingbot-system"
FAILOVER_SECONDS = 30.0
"""The Lease's 12 s, a look each second, the children, and a machine that does other work."""
ORDERLY_SECONDS = 10.0
"""Sooner than a Lease runs out."""
SILENT_WATCH_SECONDS = 15.0

Start = Callable[..., OperatorProcess]


@pytest.fixture
def start(
    api: ApiServer, namespace: str, operator: OperatorProcess, operator_kubeconfig: Path, tmp_path: Path
) -> Iterator[Start]:
    """Starts replicas for the test's own namespace; the operator of all the other tests stands aside."""
    operator.stop()
    if api.exists("Lease", LEASE, SYSTEM):
        api.delete("Lease", LEASE, SYSTEM)
    made: list[OperatorProcess] = []

    def start(
        name: str, kubeconfig: Path | None = None, lease: str | None = LEASE, **options: float
    ) -> OperatorProcess:
        log = tmp_path / f"{name}.log"
        process = OperatorProcess(kubeconfig or operator_kubeconfig, log, namespace=namespace, lease=lease, **options)
        made.append(process)
        process.start()
        return process

    yield start
    for process in made:
        if process.is_running:
            process.wake()
            process.kill()
        print(f"{process.log.name}:\n{process.log.read_text()}")


@pytest.fixture
def deserted(api: ApiServer, namespace: str, start: Start) -> Iterator[World]:
    """A world without any operator but those that the test starts."""
    world = World(api, namespace)
    world.account()
    yield world
    world.close()


def leads(process: OperatorProcess) -> OperatorProcess:
    eventually(lambda: process.is_leading, "it leads")
    return process


def uids(world: World, *bots: str) -> dict[tuple[str, str], str]:
    return {(bot, kind): world.child(bot, kind)["metadata"]["uid"] for bot in bots for kind in CHILDREN}


def log_of(process: OperatorProcess) -> list[Json]:
    return [json.loads(line) for line in process.log.read_text().splitlines()]


def the_lease(api: ApiServer) -> Json:
    spec: Json = api.get("Lease", LEASE, SYSTEM)["spec"]
    return spec


def test_a_standby_takes_over_from_a_leader_that_dies_and_from_one_that_stops(
    api: ApiServer, deserted: World, start: Start
) -> None:
    world = deserted
    first, second = leads(start("first")), start("second")
    assert first.readiness() == "ok"
    # It is ready before it has read who leads.
    eventually(lambda: second.readiness().startswith("ok: standby, tradingbot-operator_"), "it stands by")
    world.wait_for_children(world.bot("before", symbols=["AAPL"]))
    first.wait_until_calm(sweeps=1)
    children = uids(world, "before")
    assert not second.is_leading and second.writes() == 0

    first.kill()
    died = time.monotonic()
    world.wait_for_children(world.bot("orphan", symbols=["MSFT"]))
    print(f"the first write of the standby came {time.monotonic() - died:.1f} s after SIGKILL of the leader")
    assert time.monotonic() - died < FAILOVER_SECONDS
    assert second.is_leading and the_lease(api)["leaseTransitions"] == 1

    third = start("third")
    assert second.stop() == 0
    stopped = time.monotonic()
    world.wait_for_children(world.bot("heir", symbols=["NVDA"]))
    print(f"the first write of the standby came {time.monotonic() - stopped:.1f} s after an orderly stop")
    assert time.monotonic() - stopped < ORDERLY_SECONDS
    assert third.is_leading
    third.wait_until_calm(sweeps=1)
    assert uids(world, "before") == children
    assert {item["metadata"]["name"] for item in api.list("StatefulSet", world.namespace)} == {
        f"{bot}-bot" for bot in ("before", "orphan", "heir")
    }


def test_a_leader_that_wakes_up_after_another_took_over_writes_nothing(
    api: ApiServer, deserted: World, start: Start, operator_kubeconfig: Path, tmp_path: Path
) -> None:
    world = deserted
    with proxying(api) as proxy:
        sleeper = leads(start("sleeper", proxy.kubeconfig(operator_kubeconfig, tmp_path / "kubeconfig")))
        successor = start("successor")
        world.wait_for_children(world.bot("early", symbols=["AAPL"]))
        sleeper.wait_until_calm(sweeps=1)

        # It stands still in the middle of its work: every worker has written, and waits for the answer.
        proxy.hold_answers()
        with ThreadPoolExecutor(12) as together:
            # Within the five seconds after which it would wait for its first answer no more.
            bots = list(together.map(lambda n: world.bot(f"bot-{n}", symbols=[f"SYM{n}"]), range(12)))
        eventually(lambda: proxy.held >= 8, "every worker waits for an answer")
        sleeper.pause()
        proxy.let_answers_go()
        eventually(lambda: successor.is_leading, "the other replica leads")
        for bot in bots:
            world.wait_for_children(bot)
        successor.wait_until_calm(sweeps=1)
        children = uids(world, "early", *bots)
        made = the_lease(api)["leaseTransitions"]

        woke = time.monotonic()
        sleeper.wake()
        api.delete("ConfigMap", "early-bot", world.namespace)
        world.bot("late", symbols=["LATE"])
        eventually(lambda: sleeper.readiness().startswith("ok: standby"), "it stands by")
        swept = sleeper.metric("sweeps_total")
        world.wait_for_children("late")
        eventually(lambda: sleeper.metric("sweeps_total") >= swept + 2, "it has seen everything")
        print(f"writes that the fence kept back: {sleeper.metric('writes_fenced_total'):.0f}")
        assert sleeper.metric("writes_fenced_total") > 0
        assert proxy.writes(since=woke) == []
        kept_back = [line for line in log_of(sleeper) if line["event"] == "not written"]
        assert all(world.namespace in line.get("bot", line.get("object", "")) for line in kept_back)
        assert len({line["reconcile"] for line in kept_back}) == len(kept_back)
        assert successor.is_leading and the_lease(api)["leaseTransitions"] == made
        successor.wait_until_calm(sweeps=1)
        now = uids(world, "early", *bots)
        assert {key for key in now if now[key] != children[key]} == {("early", "ConfigMap")}
        assert len(api.list("StatefulSet", world.namespace)) == len(bots) + 2


def test_a_watch_that_is_silently_dead_is_noticed_without_a_sweep(
    api: ApiServer, deserted: World, start: Start, operator_kubeconfig: Path, tmp_path: Path
) -> None:
    with proxying(api) as proxy:
        kubeconfig = proxy.kubeconfig(operator_kubeconfig, tmp_path / "kubeconfig")
        start("operator", kubeconfig, None, resync_seconds=600)
        deserted.wait_for_children(deserted.bot("before", symbols=["AAPL"]))
        assert proxy.mute_watches() > 0
        muted = time.monotonic()
        deserted.bot("unheard", symbols=["MSFT"])
        api.delete("ConfigMap", "before-bot", deserted.namespace)
        eventually(lambda: deserted.child("unheard"), "the bot's StatefulSet")
        eventually(lambda: deserted.child("before", "ConfigMap"), "a new ConfigMap")
        seconds = time.monotonic() - muted
        print(f"silent watches were noticed, and children made, after {seconds:.1f} s")
        # The children themselves take a moment; a second limit would be too long, and a sweep is far away.
        assert seconds < 2 * SILENT_WATCH_SECONDS


def test_the_operator_may_keep_no_other_lease(api: ApiServer) -> None:
    other: Json = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "other"},
        "spec": {"holderIdentity": "somebody"},
    }
    if not api.exists("Lease", "other", SYSTEM):
        api.create(other, SYSTEM)
    with api.as_service_account(SYSTEM, "tradingbot-operator") as identity:
        for attempt in (
            lambda: identity.get("Lease", "other", SYSTEM),
            lambda: identity.replace(other, SYSTEM),
            lambda: identity.delete("Lease", "other", SYSTEM),
            lambda: identity.create(other, "default"),
        ):
            with pytest.raises(Refused) as refusal:
                attempt()
            assert refusal.value.code == 403
