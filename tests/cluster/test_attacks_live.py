"""The same attacks where the operator has to see through them: a bot that was promoted, or is about to be, for real.

Sessions, audits and the preflight are told as a kubelet and a runtime would tell them; all else is the operator's.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from api_server import ApiServer, Json, eventually
from fenced_objects import LIVE
from operator_process import OperatorProcess
from promotion_documents import approval, bind
from test_evidence import audits, close, made, run
from test_policies import BINDING, restore
from world import FakeRuntime, World

NOT_APPLICABLE = [
    "validationArtifacts",
    "requiredDrills",
    "backtestSharpe",
    "backtestMaxDrawdown",
    "walkForwardEfficiency",
    "overfitRatio",
    "statisticalSignificance",
    "executionQuality",
    "averageSlippage",
    "fillRate",
    "shadowDrift",
    "paperMaxDrawdown",
]
CHECKS: Json = {
    "paperSessions": {"minimum": 2},
    "paperTrades": {"minimum": 2},
    "cleanReconciliationSessions": {"minimum": 1},
    **{name: {"kind": "NotApplicable"} for name in NOT_APPLICABLE},
}
LIVE_ASKED: Json = {"spec": {"mode": "live"}}


@pytest.fixture
def alice(world: World) -> Iterator[ApiServer]:
    bind(world.api, world.namespace, "tradingbots-approver", "alice")
    with world.api.as_user("alice") as identity:
        eventually(lambda: identity.list("Approval", world.namespace) == [], "alice may approve")
        yield identity


@pytest.fixture
def bot(world: World) -> str:
    """A paper bot at a gate of two sessions; its live account is a simulator's, too."""
    world.account()
    world.account("real", environment="live", credentialsSecretRef={"name": "live-keys"})
    set_gate(world)
    return make_bot(world)


def set_gate(world: World, **checks: Any) -> None:
    world.gate(checks=CHECKS | checks, approvals={"separationOfDuties": False})


def make_bot(world: World) -> str:
    name = world.bot("momentum", accounts={"paper": "sim", "live": "real"}, gateRef={"name": "standard"})
    world.wait_for_children(name)
    return name


def promotion(world: World, bot: str) -> Json:
    found: Json = world.get("TradingBot", bot)["status"].get("promotion", {})
    return found


def wait_for_sessions(world: World, bot: str, count: int) -> None:
    eventually(lambda: promotion(world, bot).get("sessions") == count, f"{count} sessions count", 120)


def earn(world: World, bot: str) -> FakeRuntime:
    """The bot closes two good sessions, and its preflight passes: the verdict is GO."""
    runtime = run(world, bot)
    close(world, bot, runtime, 2)
    end(world, bot, "audit")
    wait_for_sessions(world, bot, 2)
    end(world, bot, "preflight")
    eventually(lambda: promotion(world, bot)["verdict"] == "GO", "the verdict is GO", 120)
    return runtime


def end(world: World, bot: str, kind: str) -> None:
    """A Job that makes evidence ends well."""

    def of_kind() -> list[Json]:
        return [job for job in made(world, "Job") if job["metadata"]["labels"]["tradingbots.dev/producer"] == kind]

    (job,) = eventually(of_kind, f"there is a Job: {kind}", 120)
    uid = world.get("TradingBot", bot)["metadata"]["uid"]
    preflight = {"uid": uid, "account": "real", "checks": [{"name": "Keys", "passed": True}]}
    world.end_job(job["metadata"]["name"], preflight if kind == "preflight" else audits(world, bot, job))


def go(world: World, bot: str, **changes: Any) -> Json:
    """Alice's approval of the bot as it is."""
    found = world.get("TradingBot", bot)
    reference = {"name": bot, "uid": found["metadata"]["uid"]}
    digest = found["status"]["promotion"]["subject"]["digest"]
    return approval("alice", **{"botRef": reference, "subjectDigest": digest, **changes})


def void(world: World, bot: str) -> dict[str, str]:
    return {entry["name"]: entry["reason"] for entry in promotion(world, bot).get("voidApprovals", [])}


def owners(world: World, bot: str) -> list[str]:
    """Who owns the bot's StatefulSet, and who its pod."""
    found = (world.child(bot), world.get("Pod", f"{bot}-bot-0"))
    return [one["metadata"]["ownerReferences"][0]["uid"] for one in found]


def assert_on_paper(world: World, bot: str) -> None:
    assert "grant" not in world.get("TradingBot", bot)["status"]
    assert LIVE not in world.child(bot)["spec"]["template"]["metadata"]["labels"]


def test_an_approval_of_another_digest_bot_or_gate_grants_nothing(
    world: World, bot: str, alice: ApiServer, operator: OperatorProcess
) -> None:
    earn(world, bot)
    world.api.patch("TradingBot", bot, LIVE_ASKED, world.namespace)
    world.wait_for_condition(bot, "LiveAuthorized", "False", "NotApproved", seconds=120)
    alice.create(go(world, bot, name="digest", subjectDigest="d" * 64), world.namespace)
    alice.create(go(world, bot, name="gate", gate="lenient"), world.namespace)
    alice.create(go(world, bot, name="verdict", verdict="REVIEW", reason="all"), world.namespace)
    eventually(lambda: void(world, bot).keys() >= {"digest", "gate", "verdict"}, "each is void, with its reason", 120)
    operator.wait_until_calm()
    assert "of another subject" in void(world, bot)["digest"]
    assert "of another gate" in void(world, bot)["gate"]
    assert_on_paper(world, bot)


def test_policies_that_vanish_take_a_live_bot_back_and_its_approval_is_used_up(
    world: World, bot: str, alice: ApiServer, operator: OperatorProcess
) -> None:
    earn(world, bot)
    alice.create(go(world, bot), world.namespace)
    world.api.patch("TradingBot", bot, LIVE_ASKED, world.namespace)
    grant = eventually(lambda: world.get("TradingBot", bot)["status"].get("grant"), "the grant", 120)
    assert (grant["epoch"], [one["approver"] for one in grant["approvals"]]) == (1, ["alice"])
    labels = lambda: world.child(bot)["spec"]["template"]["metadata"]["labels"]  # noqa: E731 - said once, in one line
    eventually(lambda: LIVE in labels(), "the StatefulSet is live", 120)
    try:
        world.api.delete(BINDING, "tradingbots-approvals")
        eventually(lambda: "grant" not in world.get("TradingBot", bot)["status"], "the grant is gone", 120)
        assert world.get("TradingBot", bot)["status"]["demotion"]["reason"] == "PolicyNotEnforced"
    finally:
        restore(world.api, BINDING, "tradingbots-approvals")
    world.wait_for_condition(bot, "PolicyEnforced", "True", "InPlace", seconds=120)
    # Nothing has changed but that the approval was used: it is good for one grant.
    eventually(lambda: "used" in void(world, bot).get("go", ""), "the approval is used up", 120)
    operator.wait_until_calm()
    assert "grant" not in world.get("TradingBot", bot)["status"]


@pytest.mark.parametrize("what", ["the gate", "the image behind the tag", "the capital"])
def test_a_change_after_the_evidence_begins_anew(
    world: World, bot: str, alice: ApiServer, operator: OperatorProcess, what: str
) -> None:
    earn(world, bot)
    alice.create(go(world, bot), world.namespace)
    if what == "the gate":
        set_gate(world, paperTrades={"minimum": 1})
    elif what == "the capital":
        world.api.patch("TradingBot", bot, {"spec": {"capital": "9999"}}, world.namespace)
    else:
        running = {"ready": True, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
        other = f"docker.io/library/runtime@sha256:{'e' * 64}"
        world.set_container(bot, phase="Running", imageID=other, **running)
    wait_for_sessions(world, bot, 0)
    world.api.patch("TradingBot", bot, LIVE_ASKED, world.namespace)
    world.wait_for_condition(bot, "LiveAuthorized", "False", seconds=120)
    eventually(lambda: "go" in void(world, bot), "the approval is void", 120)
    operator.wait_until_calm()
    assert promotion(world, bot)["verdict"] == "NO-GO"
    assert_on_paper(world, bot)


def test_a_bot_of_the_same_name_inherits_nothing(
    world: World, bot: str, alice: ApiServer, operator: OperatorProcess
) -> None:
    earn(world, bot)
    approved = go(world, bot)
    alice.create(approved, world.namespace)
    skip = {"metadata": {"annotations": {"tradingbots.dev/skip-cancel-on-delete": ""}}}
    world.api.patch("TradingBot", bot, skip, world.namespace)
    world.api.delete("TradingBot", bot, world.namespace, propagationPolicy="Orphan")
    eventually(lambda: not world.api.exists("TradingBot", bot, world.namespace), "the first is gone", 120)
    make_bot(world)
    # What the first has left behind is taken for its own by nobody, this test included.
    uid = world.get("TradingBot", bot)["metadata"]["uid"]
    eventually(lambda: [uid, world.child(bot)["metadata"]["uid"]] == owners(world, bot), "a pod of its own", 120)
    run(world, bot)
    world.api.patch("TradingBot", bot, LIVE_ASKED, world.namespace)
    world.wait_for_condition(bot, "LiveAuthorized", "False", seconds=120)
    operator.wait_until_calm()
    assert world.get("TradingBot", bot)["metadata"]["uid"] != approved["spec"]["botRef"]["uid"]
    assert promotion(world, bot)["sessions"] == 0
    assert_on_paper(world, bot)


def test_a_paper_account_does_not_pass_for_a_live_one(
    world: World, bot: str, alice: ApiServer, operator: OperatorProcess
) -> None:
    world.account("play")
    accounts = {"spec": {"mode": "live", "accounts": {"paper": "sim", "live": "play"}}}
    world.api.patch("TradingBot", bot, accounts, world.namespace)
    run(world, bot)
    world.wait_for_condition(bot, "LiveAuthorized", "False", seconds=120)
    operator.wait_until_calm()
    assert_on_paper(world, bot)
    # And the reverse: a live account under accounts.paper holds no pod.
    reverse = {"spec": {"accounts": {"paper": "real", "live": "play"}}}
    world.api.patch("TradingBot", bot, reverse, world.namespace)
    world.wait_for_condition(bot, "Ready", "False", "AccountMismatch", seconds=120)
