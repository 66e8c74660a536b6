"""From a closed session of a pod to a PromotionEvidence, on a real API server with its own Job controller: once each,
also where the operator is killed on the way, and never of what somebody put in between.
"""

import asyncio
import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from api_server import Json, Refused, eventually
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import load_kube_config
from operator_process import OperatorProcess
from world import FakeRuntime, World

from tradingbot_api import RuntimeReport
from tradingbot_operator.cluster.connection import Connection
from tradingbot_operator.cluster.crd_versions import CrdVersions
from tradingbot_operator.cluster.events import EventRecorder
from tradingbot_operator.cluster.policies import PolicyReader
from tradingbot_operator.cluster.reports import ReportBook
from tradingbot_operator.observer import Observer
from tradingbot_operator.plan import PlanSettings, ReportAnswer
from tradingbot_operator.plan.objects import ObjectKey
from tradingbot_operator.queue import WorkQueue
from tradingbot_operator.reconcile import Reconciler
from tradingbot_operator.store import Store
from tradingbot_operator.sweep import Sweeper

IMAGE = "sha256:" + "a" * 64
PRODUCER = "tradingbots.dev/producer"


@pytest.fixture
def bot(world: World) -> str:
    """A paper bot whose live account is a simulator, too, at a gate that no preflight can pass for."""
    world.account()
    world.account("real", environment="live", credentialsSecretRef={"name": "live-keys"})
    world.gate()
    name = world.bot("momentum", accounts={"paper": "sim", "live": "real"}, gateRef={"name": "standard"})
    world.wait_for_children(name)
    return name


def run(world: World, bot: str) -> FakeRuntime:
    """The bot's pod runs an image that the kubelet names; what it closes from here on is of the present subject."""
    runtime = world.run(bot)
    running = {"ready": True, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
    world.set_container(bot, phase="Running", imageID=f"docker.io/library/runtime@{IMAGE}", **running)
    eventually(lambda: subject(world, bot)["image"].endswith(IMAGE), "the subject names the image", 90)
    return runtime


def subject(world: World, bot: str) -> Json:
    found: Json = world.get("TradingBot", bot)["status"]["promotion"]["subject"]
    return found


def close(world: World, bot: str, runtime: FakeRuntime, count: int, **changes: Any) -> list[str]:
    """The bot closes so many sessions; their dates."""
    since = datetime.fromisoformat(subject(world, bot)["since"])
    uid = world.get("TradingBot", bot)["metadata"]["uid"]
    closed = []
    for number in range(count):
        day = (datetime.now(UTC) - timedelta(days=count - number)).date().isoformat()
        report = {
            "session": day,
            "namespace": world.namespace,
            "name": bot,
            "uid": uid,
            "mode": "paper",
            "account": "sim",
            "opensAt": f"{day}T14:30:00Z",
            "closesAt": f"{day}T21:00:00Z",
            "beganAt": (since + timedelta(seconds=1)).isoformat(),
            "coveragePercent": "100",
            "closedNormally": True,
            "starts": 1,
            "orders": 2,
            "filledOrders": 2,
            "fills": 2,
            "rejectedOrders": 0,
            "refusedOrders": 0,
            "pnl": "1.50",
            "returnPercent": "0.015",
            "shadowReturnPercent": "0.015",
            "turnover": "500",
            "slippageBps": "2",
            "fillRatePercent": "99",
            "reconciliations": {"clean": 9},
            "operations": 10,
            "operationalErrors": 0,
            "incidents": 0,
            "killed": False,
            **changes,
        }
        closed.append({"report": report, "digest": f"{day}-{count}", "journalSequence": 9, "journalHash": "c" * 64})
    runtime.sessions = {"sessions": closed}
    assert runtime.report is not None
    runtime.report = {**runtime.report, "lastSession": {"session": day, "digest": f"{day}-{count}"}}
    return [one["report"]["session"] for one in closed]


def made(world: World, kind: str) -> list[Json]:
    return world.api.list(kind, world.namespace, labelSelector=PRODUCER)


def the_job(world: World) -> Json:
    (job,) = eventually(lambda: made(world, "Job"), "there is a Job", 90)
    return job


def audits(world: World, bot: str, job: Json, result: str = "Match") -> Json:
    arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
    days = [arguments[at + 1] for at, word in enumerate(arguments) if word == "--session"]
    uid = world.get("TradingBot", bot)["metadata"]["uid"]
    return {"uid": uid, "mode": "paper", "audits": [{"session": day, "result": result} for day in days]}


def evidence(world: World) -> list[Json]:
    return world.api.list("PromotionEvidence", world.namespace)


def recorded(world: World) -> list[tuple[str, str]]:
    sessions = (one["spec"]["session"] for one in evidence(world))
    return sorted((one["report"]["session"], one["audit"]["result"]) for one in sessions)


def wait_until_done(world: World, days: list[str], result: str = "Match") -> None:
    eventually(lambda: [day for day, said in recorded(world) if said == result] == days, "each session's evidence", 180)
    eventually(lambda: not made(world, "Job") and not made(world, "ConfigMap"), "nothing is left of its making", 90)


def test_closed_sessions_become_evidence_once(world: World, bot: str, operator: OperatorProcess) -> None:
    runtime = run(world, bot)
    before = operator.metric("evidence_total", type="Session", result="Match")
    days = close(world, bot, runtime, 3)
    job = the_job(world)
    pod = world.end_job(job["metadata"]["name"], audits(world, bot, job))
    assert pod["spec"]["automountServiceAccountToken"] is False
    wait_until_done(world, days)
    status = eventually(
        lambda: (it := world.get("TradingBot", bot)["status"])["promotion"]["sessions"] == 3 and it, "3"
    )
    one = evidence(world)[0]
    assert one["spec"]["subjectDigest"] == status["subjectDigest"]
    assert one["spec"]["podUID"] == world.get("Pod", f"{bot}-bot-0")["metadata"]["uid"]
    assert one["spec"]["image"].endswith(IMAGE)
    assert one["metadata"]["ownerReferences"][0]["uid"] == world.get("TradingBot", bot)["metadata"]["uid"]
    # The same operator may still have to do with the end of another test's namespace.
    eventually(lambda: operator.wait_until_calm() == operator.wait_until_calm(), "nothing more is written", 180)
    assert len(evidence(world)) == 3
    assert operator.metric("evidence_total", type="Session", result="Match") == before + 3
    days = close(world, bot, runtime, 4)
    job = the_job(world)
    assert job["spec"]["template"]["spec"]["containers"][0]["args"].count("--session") == 1
    world.end_job(job["metadata"]["name"], audits(world, bot, job, "Mismatch"), exit_code=1)
    eventually(lambda: len(evidence(world)) == 4, "the fourth")
    assert [said for _, said in recorded(world)].count("Mismatch") == 1


def test_a_producers_pod_is_not_taken_for_the_bots(world: World, bot: str) -> None:
    runtime = run(world, bot)
    close(world, bot, runtime, 1)
    job = the_job(world)
    world.end_job(job["metadata"]["name"], "", exit_code=137)
    # The bot's own pod still reports: what ended beside it is nobody's crash but the audit's.
    eventually(
        lambda: world.get("Job", job["metadata"]["name"])["status"].get("conditions"), "the Job controller saw its end"
    )
    assert runtime.report is not None
    runtime.report = {**runtime.report, "filledOrders": 99, "tradingState": "Reducing", "reason": "Test"}
    world.wait_for_condition(bot, "Ready", "True")
    eventually(lambda: world.get("TradingBot", bot)["status"].get("filledOrders") == 99, "its report is read")
    assert recorded(world) == []


def test_wherever_the_operator_is_killed_the_end_is_the_same(world: World, bot: str, operator: OperatorProcess) -> None:
    runtime = run(world, bot)
    days = close(world, bot, runtime, 2)
    eventually(lambda: made(world, "ConfigMap"), "there is a ConfigMap", 90)
    operator.kill()
    (config_map,) = made(world, "ConfigMap")
    # As if it had died before the Job, whether it did or not.
    for job in made(world, "Job"):
        world.api.delete("Job", job["metadata"]["name"], world.namespace)
    eventually(lambda: not made(world, "Job"), "no Job")
    operator.start()
    job = the_job(world)
    operator.kill()
    assert job["metadata"]["name"] == config_map["metadata"]["name"]
    assert [one["metadata"]["uid"] for one in made(world, "ConfigMap")] == [config_map["metadata"]["uid"]]
    world.end_job(job["metadata"]["name"], audits(world, bot, job))
    operator.start()
    # Longer than the minute for which a Job that does not look as it was made is left unread.
    eventually(lambda: evidence(world), "the first evidence", 180)
    operator.kill()
    names = {one["metadata"]["name"] for one in evidence(world)}
    operator.start()
    wait_until_done(world, days)
    assert names <= {one["metadata"]["name"] for one in evidence(world)}
    assert len(evidence(world)) == 2


def test_another_ConfigMap_of_that_name_voids_the_audit(world: World, bot: str, operator: OperatorProcess) -> None:
    runtime = run(world, bot)
    days = close(world, bot, runtime, 1)
    job = the_job(world)
    operator.stop()
    name = job["metadata"]["name"]
    (config_map,) = made(world, "ConfigMap")
    with pytest.raises(Refused, match=r"immutable|operator alone"):
        world.api.patch("ConfigMap", name, {"data": {"sessions.json": "{}"}}, world.namespace)
    forged = copy.deepcopy(config_map)
    forged["data"]["sessions.json"] = forged["data"]["sessions.json"].replace("1.50", "1500")
    forged["metadata"] = {
        key: value
        for key, value in forged["metadata"].items()
        if key not in ("uid", "resourceVersion", "managedFields")
    }
    world.api.delete("ConfigMap", name, world.namespace)
    world.smuggle({"apiVersion": "v1", "kind": "ConfigMap", **forged})
    world.end_job(name, audits(world, bot, job))
    operator.start()
    # Longer than what keeps a webhook that changes every Job from being a race with it.
    uid = job["metadata"]["uid"]
    eventually(lambda: uid not in {one["metadata"]["uid"] for one in made(world, "Job")}, "the Job goes", 180)
    assert recorded(world) == []
    again = the_job(world)
    world.end_job(again["metadata"]["name"], audits(world, bot, again))
    wait_until_done(world, days)


def test_sessions_of_another_bot_are_not_even_audited(world: World, bot: str, operator: OperatorProcess) -> None:
    runtime = run(world, bot)
    before = operator.metric("session_answers_total", result="ForeignReport")
    close(world, bot, runtime, 1, uid="11111111-1111-1111-1111-111111111111")
    eventually(lambda: operator.metric("session_answers_total", result="ForeignReport") > before, "the answer came", 90)
    operator.wait_until_calm()
    assert made(world, "Job") == [] and evidence(world) == []


def test_what_makes_evidence_goes_with_the_bot(world: World, bot: str) -> None:
    runtime = run(world, bot)
    close(world, bot, runtime, 1)
    job = the_job(world)
    world.end_job(job["metadata"]["name"], audits(world, bot, job))
    eventually(lambda: evidence(world), "evidence", 90)
    world.api.patch(
        "TradingBot", bot, {"metadata": {"annotations": {"tradingbots.dev/skip-cancel-on-delete": ""}}}, world.namespace
    )
    world.api.delete("TradingBot", bot, world.namespace)
    eventually(lambda: not evidence(world), "the evidence goes with its bot", 120)
    eventually(lambda: not made(world, "Job") and not made(world, "ConfigMap"), "and so does the rest", 120)


# -------------------------------------------------------------------- grants

UNASKED = (
    "validationArtifacts",
    "requiredDrills",
    "backtestSharpe",
    "backtestMaxDrawdown",
    "walkForwardEfficiency",
    "overfitRatio",
    "statisticalSignificance",
    "paperProfit",
)


@pytest.fixture
def promising(world: World, bot: str) -> str:
    """A bot whose gate says GO: two sessions and a preflight are all it asks for."""
    few = {name: {"minimum": 1} for name in ("paperSessions", "paperTrades", "cleanReconciliationSessions")}
    checks = few | {name: {"kind": "NotApplicable"} for name in UNASKED}
    world.gate(checks=checks, approvals={"separationOfDuties": False})
    runtime = run(world, bot)
    close(world, bot, runtime, 2)
    job = the_job(world)
    world.end_job(job["metadata"]["name"], audits(world, bot, job))

    def preflight() -> Json | None:
        jobs = [one for one in made(world, "Job") if one["metadata"]["labels"][PRODUCER] == "preflight"]
        return jobs[0] if jobs else None

    job = eventually(preflight, "a preflight", 90)
    assert "tradingbots.dev/live" in job["spec"]["template"]["metadata"]["labels"]
    uid = world.get("TradingBot", bot)["metadata"]["uid"]
    world.end_job(
        job["metadata"]["name"], {"uid": uid, "account": "real", "checks": [{"name": "Keys", "passed": True}]}
    )
    eventually(lambda: world.get("TradingBot", bot)["status"]["promotion"]["verdict"] == "GO", "GO", 90)
    return bot


def approve(world: World, bot: str, by: str = "ann") -> str:
    raw = world.get("TradingBot", bot)
    spec = {
        "action": "Promote",
        "botRef": {"name": bot, "uid": raw["metadata"]["uid"]},
        "gate": "standard",
        "subjectDigest": raw["status"]["subjectDigest"],
        "verdict": "GO",
        "approver": by,
        "reason": "looked at it",
    }
    document = {"apiVersion": "tradingbots.dev/v1alpha1", "kind": "Approval", "metadata": {"name": by}, "spec": spec}
    with world.api.as_user(by, "system:masters", "system:authenticated") as person:
        person.create(document, world.namespace)
    return by


async def look_with_old_eyes(kubeconfig: Path, world: World, bot: str, runtime: FakeRuntime, between: Any) -> None:
    """One look at the bot by an operator whose watches stand still since before `between`."""
    configuration = Configuration()
    await load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    connection = Connection(configuration)
    store, book, key = Store(), ReportBook(), ObjectKey("TradingBot", world.namespace, bot)
    queue: WorkQueue[ObjectKey] = WorkQueue(asyncio.get_running_loop().time)
    observer = Observer(store, queue)
    policies = PolicyReader(connection, lambda: None)
    reconciler = Reconciler(
        store,
        queue,
        book,
        connection,
        EventRecorder(connection, "test"),
        PlanSettings("tradingbot-runtime:test"),
        lambda: datetime.now(UTC),
        CrdVersions(connection),
        observer,
        policies,
    )
    try:
        await policies.read()
        await Sweeper(connection, store, observer, [world.namespace]).load()
        pod = world.get("Pod", f"{bot}-bot-0")["metadata"]["uid"]
        book.record(pod, ReportAnswer(RuntimeReport.model_validate(runtime.report), datetime.now(UTC)))
        while (seen := queue.pop()) is not None:
            queue.done(seen)
        await asyncio.to_thread(between)
        turn = asyncio.Event()
        turn.set()
        queue.add(key)
        work = asyncio.create_task(reconciler.work(turn))
        async with asyncio.timeout(60):
            while queue.due or queue.working:  # noqa: ASYNC110 - the queue has no event for being idle
                await asyncio.sleep(0.05)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    finally:
        await connection.close()


def test_a_grant_is_given_only_on_what_the_api_server_holds(
    world: World, promising: str, operator: OperatorProcess, operator_kubeconfig: Path
) -> None:
    bot, runtime = promising, world.runtimes[-1]
    approval = approve(world, bot)
    eventually(lambda: world.get("TradingBot", bot)["status"]["promotion"].get("approvals"), "the approval stands", 90)
    operator.stop()
    world.api.patch("TradingBot", bot, {"spec": {"mode": "live"}}, world.namespace)

    def withdrawn() -> None:
        world.api.delete("Approval", approval, world.namespace)

    asyncio.run(look_with_old_eyes(operator_kubeconfig, world, bot, runtime, withdrawn))
    status = world.get("TradingBot", bot)["status"]
    assert "grant" not in status
    again = approve(world, bot, "bea")
    asyncio.run(look_with_old_eyes(operator_kubeconfig, world, bot, runtime, lambda: None))
    grant = world.get("TradingBot", bot)["status"]["grant"]
    assert (grant["epoch"], grant["subjectDigest"]) == (1, status["subjectDigest"])
    assert [one["approver"] for one in grant["approvals"]] == [again]
    operator.start()
    template = lambda: world.child(bot)["spec"]["template"]["metadata"]  # noqa: E731 - read again and again
    eventually(lambda: "tradingbots.dev/live" in template()["labels"], "the live StatefulSet", 90)
    assert template()["annotations"]["tradingbots.dev/account"] == "real"
