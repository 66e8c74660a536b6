"""A kill on a real API server: recorded once with who and when, in force until somebody with the right releases it, and
carried out by a Job where no pod answers; also where the operator is killed at any write of it.
"""

import copy
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from api_server import ApiServer, Json, Refused, eventually, path_of
from fault_proxy import KILLS, Faults, Write, WriteFault
from fault_scenario import Cast, Outcome, Theatre
from fenced_objects import refusal
from nursery import Nursery
from operator_process import OperatorProcess
from promotion_documents import bind, document, release
from world import FakeRuntime, World

KILL = "tradingbots.dev/kill"
SEEN = {"epoch": 1, "reason": "fat finger", "observedAt": "2026-01-01T00:00:02Z"}
CANCELLED = SEEN | {"ordersCancelledAt": "2026-01-01T00:00:03Z", "openOrders": 0, "openPositions": 0}


@pytest.fixture
def bot(world: World) -> str:
    """A paper bot that trades."""
    world.account()
    name = world.bot("momentum")
    world.wait_for_children(name)
    return name


@pytest.fixture
def rita(world: World) -> Iterator[ApiServer]:
    """Who may release kills there."""
    bind(world.api, world.namespace, "tradingbots-releaser", "rita")
    with world.api.as_user("rita") as identity:
        eventually(lambda: identity.list("Approval", world.namespace) == [], "rita's role counts")
        yield identity


def annotate(world: World, value: str | None = "fat finger", kind: str = "TradingBot", name: str = "momentum") -> None:
    """As kubectl annotate does it; None takes it off."""
    body = {"metadata": {"annotations": {KILL: value}}}
    world.api.patch(kind, name, body, world.namespace, fieldManager="kubectl-annotate")


def tell(runtime: FakeRuntime, **kill: Any) -> None:
    """What the bot says of its kill from here on."""
    assert runtime.report is not None
    runtime.report = {**runtime.report, "tradingState": "Halted", "kill": kill}


def killed(world: World, bot: str) -> FakeRuntime:
    """The bot trades, is killed, and its orders are gone."""
    runtime = world.run(bot)
    world.wait_for_condition(bot, "Ready", "True")
    annotate(world)
    tell(runtime, **CANCELLED)
    world.wait_for_condition(bot, "Killed", "True", "OrdersCancelled")
    return runtime


def records(world: World) -> list[Json]:
    return world.api.list("KillRecord", world.namespace)


def record(world: World, name: str = "momentum-1") -> Json:
    return world.get("KillRecord", name)


def config(world: World, bot: str) -> Json:
    found: Json = yaml.safe_load(world.child(bot, "ConfigMap")["data"]["bot.yaml"])
    return found


def approve(identity: ApiServer, world: World, bot: str, name: str = "over", who: str = "rita", epoch: int = 1) -> Json:
    uid = world.get("TradingBot", bot)["metadata"]["uid"]
    reference = {"name": bot, "uid": uid}
    return identity.create(release(who, name=name, botRef=reference, killEpoch=epoch), world.namespace)


def wait_until_killed_says(world: World, bot: str, words: str) -> None:
    eventually(lambda: words in world.condition(bot, "Killed")["message"], f"Killed says: {words}")


# ---------------------------------------------------------------- what is recorded


def test_a_kill_is_recorded_with_who_wrote_it_and_each_step(world: World, bot: str, operator: OperatorProcess) -> None:
    counted = operator.metric("kills_total", scope="TradingBot", mode="paper")
    runtime = world.run(bot)
    world.wait_for_condition(bot, "Ready", "True")
    before = datetime.now(UTC).replace(microsecond=0)
    annotate(world)
    made = eventually(lambda: record(world), "there is a record")
    spec = made["spec"]
    assert (spec["epoch"], spec["scope"], spec["reason"], spec["mode"]) == (1, "TradingBot", "fat finger", "paper")
    assert spec["requestedBy"] == "kubectl-annotate"
    assert before <= datetime.fromisoformat(spec["requestedAt"]) <= datetime.fromisoformat(spec["observedAt"])
    assert "ownerReferences" not in made["metadata"]
    tell(runtime, **SEEN)
    eventually(lambda: record(world)["status"]["acknowledgedAt"] == SEEN["observedAt"], "the bot has seen it")
    tell(runtime, **CANCELLED)
    world.wait_for_condition(bot, "Killed", "True", "OrdersCancelled")
    status = record(world)["status"]
    assert (status["ordersCancelledAt"], status["confirmedBy"]) == (CANCELLED["ordersCancelledAt"], "Bot")
    kill = world.get("TradingBot", bot)["status"]["kill"]
    assert (kill["epoch"], kill["ordersCancelledAt"]) == (1, CANCELLED["ordersCancelledAt"])
    assert operator.metric("kills_total", scope="TradingBot", mode="paper") == counted + 1
    operator.wait_until_calm()
    assert len(records(world)) == 1


def test_an_accounts_kill_is_one_record_for_each_bot_on_it(world: World, bot: str) -> None:
    world.bot("value", symbols=["NVDA"])
    world.account("other")
    world.bot("spared", account="other", symbols=["TSLA"])
    annotate(world, "all of it", "BrokerAccount", "sim")
    eventually(lambda: {one["metadata"]["name"] for one in records(world)} == {"momentum-1", "value-1"}, "two records")
    for one in records(world):
        said = (one["spec"]["scope"], one["spec"]["account"], one["spec"]["reason"], one["spec"]["requestedBy"])
        assert said == ("BrokerAccount", "sim", "all of it", "kubectl-annotate")
    world.wait_for_condition("spared", "Killed", "False", "NoKill")


def test_a_spec_that_cannot_be_read_or_runs_on_nothing_is_killed_all_the_same(world: World) -> None:
    world.bot("lost", account="nowhere", paused=True, gateRef={"name": "nowhere"})
    annotate(world, "", name="lost")
    made = eventually(lambda: record(world, "lost-1"), "there is a record")
    assert made["spec"].get("reason", "") == ""
    world.wait_for_condition("lost", "Killed", "True", "KillRequested")


# ---------------------------------------------------------------- what does not end it


def test_neither_the_annotations_end_nor_a_replace_ends_it(world: World, bot: str, operator: OperatorProcess) -> None:
    killed(world, bot)
    pod = world.get("Pod", f"{bot}-bot-0")["metadata"]["uid"]
    annotate(world, None)
    wait_until_killed_says(world, bot, "the annotation is gone")
    found = world.get("TradingBot", bot)
    fresh = {"metadata": {"name": bot}, "spec": found["spec"]}
    world.api.replace({**{key: found[key] for key in ("apiVersion", "kind")}, **fresh}, world.namespace)
    operator.wait_until_calm()
    world.wait_for_condition(bot, "Killed", "True", "OrdersCancelled")
    operator.stop()
    operator.start()
    operator.wait_until_calm()
    world.wait_for_condition(bot, "Killed", "True", "OrdersCancelled")
    assert len(records(world)) == 1
    # The pod that knows is left alone all the time.
    assert world.get("Pod", f"{bot}-bot-0")["metadata"]["uid"] == pod


def test_a_bot_that_is_deleted_and_made_anew_is_born_killed(world: World, bot: str, rita: ApiServer) -> None:
    killed(world, bot)
    approved = release("rita", botRef={"name": bot, "uid": world.get("TradingBot", bot)["metadata"]["uid"]})
    world.api.delete("TradingBot", bot, world.namespace)
    eventually(lambda: not world.api.exists("TradingBot", bot, world.namespace), "it is gone", 120)
    assert record(world)["status"].get("releasedAt") is None
    world.bot(bot)
    world.wait_for_condition(bot, "Killed", "True", "OrdersCancelled")
    uid = world.get("TradingBot", bot)["metadata"]["uid"]
    # That of the former bot may still be going away.
    told = eventually(lambda: (it := config(world, bot))["bot"]["uid"] == uid and it, "it has a config of its own")
    assert told["epoch"] == 0
    assert told["killed"] == {"epoch": 1, "reason": "fat finger"}
    assert world.get("TradingBot", bot)["status"]["kill"]["epoch"] == 1
    # An approval of the former bot is none of this one.
    rita.create(approved, world.namespace)
    wait_until_killed_says(world, bot, "of another bot of this name")
    approve(rita, world, bot, "mine")
    world.wait_for_condition(bot, "Killed", "False", "Released")
    eventually(lambda: config(world, bot).get("epoch") == 1 and "killed" not in config(world, bot), "it may trade")


def test_a_record_that_is_lost_is_written_again_with_its_number(world: World, bot: str) -> None:
    killed(world, bot)
    annotate(world, None)
    first = record(world)["metadata"]["uid"]
    with world.api.as_user("system:serviceaccount:tradingbot-system:tradingbot-operator", "system:masters") as operator:
        operator.delete("KillRecord", "momentum-1", world.namespace)
    again = eventually(lambda: (it := record(world))["metadata"]["uid"] != first and it, "it is back")
    assert (again["spec"]["epoch"], again["spec"]["reason"]) == (1, "fat finger")
    status = eventually(lambda: record(world).get("status"), "with what was confirmed")
    assert status["ordersCancelledAt"] == CANCELLED["ordersCancelledAt"]
    world.wait_for_condition(bot, "Killed", "True", "OrdersCancelled")


# ---------------------------------------------------------------- its end


def test_somebody_with_the_right_releases_it_once(
    world: World, bot: str, rita: ApiServer, operator: OperatorProcess
) -> None:
    killed(world, bot)
    approve(rita, world, bot, "other-kill", epoch=2)
    wait_until_killed_says(world, bot, "of kill 2, and kill 1 is in force")
    approve(rita, world, bot)
    wait_until_killed_says(world, bot, f"once the annotation {KILL} is taken off TradingBot momentum")
    assert "epoch" not in config(world, bot) or config(world, bot)["epoch"] == 0
    pod = world.get("Pod", f"{bot}-bot-0")["metadata"]["uid"]
    annotate(world, None)
    world.wait_for_condition(bot, "Killed", "False", "Released")
    done = record(world)["status"]
    assert done["releasedBy"]["approver"] == "rita" and done["releasedBy"]["name"] == "over"
    assert done["ordersCancelledAt"] == CANCELLED["ordersCancelledAt"]
    eventually(lambda: config(world, bot)["epoch"] == 1, "its config counts it")
    eventually(lambda: world.get("Pod", f"{bot}-bot-0")["metadata"]["uid"] != pod, "it starts anew", 120)
    assert "kill" not in world.get("TradingBot", bot)["status"]
    operator.wait_until_calm()
    assert [one["metadata"]["name"] for one in records(world)] == ["momentum-1"]
    # The next kill is another one, and what was said of the first says nothing of it.
    annotate(world, "again")
    eventually(lambda: record(world, "momentum-2"), "the second record")
    wait_until_killed_says(world, bot, "kill 2 is in force")
    operator.wait_until_calm()
    assert "releasedAt" not in record(world, "momentum-2").get("status", {})
    told = eventually(lambda: config(world, bot).get("killed") and config(world, bot), "its next pod is told")
    assert (told["epoch"], told["killed"]["epoch"]) == (1, 2)


def test_a_word_that_was_given_before_it_was_asked_for_again_ends_nothing(
    world: World, bot: str, rita: ApiServer
) -> None:
    killed(world, bot)
    approve(rita, world, bot)
    # Approvals are of whole seconds: one of the same second may have been given after.
    given = datetime.now(UTC)
    eventually(lambda: datetime.now(UTC) - given > timedelta(seconds=1.1), "a second has passed")
    annotate(world, "leak", "BrokerAccount", "sim")
    annotate(world, None)
    again = eventually(lambda: record(world)["status"].get("requestedAgain"), "it is written down")
    assert (again["scope"], again["name"], again["reason"]) == ("BrokerAccount", "sim", "leak")
    annotate(world, None, "BrokerAccount", "sim")
    wait_until_killed_says(world, bot, "older than the kill that BrokerAccount sim asked for")
    approve(rita, world, bot, "knowing-both")
    world.wait_for_condition(bot, "Killed", "False", "Released")
    assert record(world)["status"]["releasedBy"]["name"] == "knowing-both"


def test_nobody_without_the_right_releases_it(world: World, bot: str) -> None:
    uid = world.get("TradingBot", bot)["metadata"]["uid"]
    for role in ("edit", "admin", "tradingbots-approver", "tradingbots-duty"):
        who = f"{role}-only"
        bind(world.api, world.namespace, role, who)
        with world.api.as_user(who) as identity:
            eventually(lambda identity=identity: identity.list("TradingBot", world.namespace), "the role counts")
            with pytest.raises(Refused) as refused:
                identity.create(release(who, botRef={"name": bot, "uid": uid}), world.namespace)
            assert refused.value.code == 403
    bind(world.api, world.namespace, "tradingbots-releaser", "robot", kind="ServiceAccount")
    robot = f"system:serviceaccount:{world.namespace}:robot"
    with world.api.as_service_account(world.namespace, "robot") as identity:
        eventually(lambda: identity.list("Approval", world.namespace) == [], "its role counts")
        said = refusal(lambda: identity.create(release(robot, botRef={"name": bot, "uid": uid}), world.namespace))
        assert said is not None and "a ServiceAccount or another program cannot" in said


# ---------------------------------------------------------------- its fence


def test_nobody_but_the_operator_writes_or_removes_a_record(world: World, bot: str) -> None:
    killed(world, bot)
    api, namespace = world.api, world.namespace
    forged = document("KillRecord", "momentum-2", {**record(world)["spec"], "epoch": 2})
    over = {"status": {"releasedAt": "2026-01-01T00:00:00Z"}}
    for who in ("system:admin", "system:serviceaccount:kube-system:generic-garbage-collector"):
        with api.as_user(who, "system:masters") as somebody:
            assert "recorded by the operator alone" in (refusal(lambda: somebody.create(forged, namespace)) or "")
            said = refusal(lambda: somebody.patch("KillRecord", "momentum-1", over, namespace, "status"))
            assert "the status is written by the operator alone" in (said or "")
            for act in (
                lambda: somebody.delete("KillRecord", "momentum-1", namespace),
                lambda: somebody.request("DELETE", path_of("KillRecord", namespace)),
            ):
                assert "is the latch of a kill" in (refusal(act) or "")
            changed = {"spec": {"onKill": "Flatten"}}
            with pytest.raises(Refused) as refused:
                somebody.patch("KillRecord", "momentum-1", changed, namespace)
            assert refused.value.code in (403, 422)
    # What leaves it as it is may be written. An owner that is gone does not take it along.
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "11111111-2222-3333-4444-555555555555"}
    metadata = {"annotations": {"note": "x"}, "labels": None, "ownerReferences": [owner]}
    api.patch("KillRecord", "momentum-1", {"metadata": metadata}, namespace)
    annotate(world, None)
    wait_until_killed_says(world, bot, "the annotation is gone")
    assert record(world)["spec"]["epoch"] == 1


def test_a_namespace_with_records_ends_also_where_they_go_before_their_bot(
    world: World, bot: str, operator: OperatorProcess
) -> None:
    killed(world, bot)
    operator.stop()
    world.api.delete("Namespace", world.namespace)
    eventually(lambda: not records(world), "the records are gone", 120)
    assert world.api.exists("TradingBot", bot, world.namespace)
    operator.start()
    eventually(lambda: not world.api.exists("Namespace", world.namespace), "the namespace is gone", 240)


# ---------------------------------------------------------------- where no pod answers


def test_a_job_carries_it_out_where_no_pod_answers(world: World, bot: str, operator: OperatorProcess) -> None:
    world.wait_for_pod(bot)
    annotate(world)
    seen = datetime.fromisoformat(eventually(lambda: record(world), "there is a record")["spec"]["observedAt"])
    job = eventually(lambda: world.get("Job", "momentum-flatten-1-1"), "there is a Job")
    waited = datetime.fromisoformat(job["metadata"]["creationTimestamp"]) - seen.replace(microsecond=0)
    # At the end of the pod's twenty seconds, and not of twenty more.
    assert 20 <= waited.total_seconds() < 40
    assert job["metadata"]["labels"]["tradingbots.dev/producer"] == "flatten"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["args"][0] == "flatten"
    *keys, digest = container["env"]
    assert [one["valueFrom"]["secretKeyRef"]["name"] for one in keys] == ["keys", "keys"]
    assert (digest["name"], digest["value"][:7]) == ("TRADINGBOT_CONFIG_DIGEST", "sha256:")
    assert world.api.exists("NetworkPolicy", "momentum-flatten-1-1", world.namespace)
    wait_until_killed_says(world, bot, "the bot's pod does not answer; flatten Job 1")
    # The first comes to nothing, the second confirms.
    world.end_job("momentum-flatten-1-1", "OOMKilled", exit_code=137)
    eventually(lambda: world.get("Job", "momentum-flatten-1-2"), "there is another")
    uid = world.get("TradingBot", bot)["metadata"]["uid"]
    pod = world.end_job("momentum-flatten-1-2", words(uid))
    assert pod["spec"]["automountServiceAccountToken"] is False
    world.wait_for_condition(bot, "Killed", "True", "OrdersCancelled")
    status = record(world)["status"]
    assert (status["confirmedBy"], status["attempts"]) == ("FlattenJob", 2)
    assert status["ordersCancelledAt"] == world.get("TradingBot", bot)["status"]["kill"]["ordersCancelledAt"]
    left = lambda: world.api.list("Job", world.namespace)  # noqa: E731 - read again and again
    eventually(lambda: not left(), "the Jobs have served")
    operator.wait_until_calm()
    assert left() == []
    assert operator.metric("kill_step_seconds_count", step="ordersCancelled", by="FlattenJob") >= 1


def words(uid: str) -> str:
    """What a flatten Job leaves that the broker has confirmed everything to."""
    at = "2026-01-01T00:00:04Z"
    said = {"uid": uid, "mode": "paper", "flatten": False, "confirmed": True, "reason": "Confirmed", "startedAt": at}
    return json.dumps(said | {"endedAt": at, "ordersCancelledAt": at, "openOrders": 0})


def test_a_new_operator_makes_no_job_beside_a_pod_that_is_at_it(
    world: World, bot: str, operator: OperatorProcess
) -> None:
    runtime = world.run(bot)
    world.wait_for_condition(bot, "Ready", "True")
    annotate(world)
    tell(runtime, **SEEN, message="waits for the broker")
    eventually(lambda: record(world)["status"].get("acknowledgedAt"), "the bot has seen it")
    pod = world.get("Pod", f"{bot}-bot-0")["metadata"]["uid"]
    seen = datetime.fromisoformat(record(world)["spec"]["observedAt"])
    operator.kill()
    eventually(lambda: (datetime.now(UTC) - seen).total_seconds() > 22, "its twenty seconds are over")
    operator.start()
    operator.wait_until_calm()
    assert world.api.list("Job", world.namespace) == []
    assert world.get("Pod", f"{bot}-bot-0")["metadata"]["uid"] == pod
    wait_until_killed_says(world, bot, "waits for the broker")


# ---------------------------------------------------------------- an operator that dies on the way


class KilledAndReleased(Cast):
    """A bot that trades, is killed, and trades again once Rita says so."""

    def __init__(self, world: World, is_armed: threading.Event) -> None:
        super().__init__(world)
        self._is_armed = is_armed

    def play(self) -> None:
        """From nothing to the end; faults count from the kill on."""
        world, api = self.world, self.world.api
        world.account("sim")
        world.bot("momentum")
        world.wait_for_children("momentum")
        bind(api, world.namespace, "tradingbots-releaser", "rita")
        runtime = world.run("momentum")
        self._wait("momentum", "Ready", "True", "Trading")
        # Its account's last write is not to die in place of the kill's first.
        self._wait("sim", "Connected", "True", of="BrokerAccount")
        trading = copy.deepcopy(runtime.report)
        self._is_armed.set()
        annotate(world)
        tell(runtime, **SEEN)
        self._wait("momentum", "Killed", "True", "KillRequested")
        tell(runtime, **CANCELLED)
        self._wait("momentum", "Killed", "True", "OrdersCancelled")
        annotate(world, None)
        with api.as_user("rita") as rita:
            self._eventually(lambda: approve(rita, world, "momentum"), "rita approves")
        pod = world.get("Pod", "momentum-bot-0")["metadata"]["uid"]
        self._wait("momentum", "Killed", "False", "Released")
        self._eventually(lambda: world.get("Pod", "momentum-bot-0")["metadata"]["uid"] != pod, "it starts anew")
        runtime.report = trading
        world.run_again("momentum", runtime)
        self._wait("momentum", "Ready", "True", "Trading")


@pytest.fixture(scope="module")
def stage(
    api: ApiServer, operator: OperatorProcess, operator_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Theatre, threading.Event]]:
    # It looks after all namespaces, so it would be a second writer.
    operator.stop()
    nursery, is_armed = Nursery(), threading.Event()
    folder = tmp_path_factory.mktemp("kills")
    yield Theatre(api, operator_kubeconfig, folder, nursery, lambda world: KilledAndReleased(world, is_armed)), is_armed
    nursery.close()
    operator.start()


@pytest.fixture(scope="module")
def reference(stage: tuple[Theatre, threading.Event]) -> Outcome:
    theatre, is_armed = stage
    is_armed.clear()
    return theatre.run("no faults", Faults())


@pytest.mark.parametrize("fault", KILLS, ids=lambda fault: fault.name)
def test_wherever_the_operator_is_killed_there_is_one_record_and_one_release(
    fault: WriteFault, stage: tuple[Theatre, threading.Event], reference: Outcome
) -> None:
    theatre, is_armed = stage
    is_armed.clear()

    def strikes(write: Write) -> bool:
        return is_armed.is_set() and not write.is_event

    outcome = theatre.run(fault, Faults(fault, strikes), reference.state)
    struck = {(write.verb, write.target) for write in outcome.record.struck}
    assert ("POST", "killrecords/momentum-1") in struck
    assert any(target == "killrecords/momentum-1/status" for _, target in struck)
    assert any(target == "tradingbots/momentum/status" for _, target in struck)
    assert outcome.record.created() == reference.record.created()
    assert "Traceback" not in outcome.log
    kept = [name for name in outcome.state if name.startswith("KillRecord ")]
    assert kept == ["KillRecord momentum-1"]
    told = yaml.safe_load(outcome.state["ConfigMap momentum-bot"]["data"]["bot.yaml"])
    assert (told["epoch"], told.get("killed")) == (1, None)
