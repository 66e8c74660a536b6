"""What one look does about a kill: its record, its Job, what the bot is told, and its end."""

from datetime import timedelta
from typing import Any

import pytest
import yaml

from tradingbot_api import KillRecordSpec, KillRecordStatus, RuntimeConfig
from tradingbot_api.group import CANCEL_FINALIZER
from tradingbot_operator.plan import Plan, ReportAnswer, ReportFailure, ReportPending
from tradingbot_operator.plan.children import KillNotice
from tradingbot_operator.plan.conditions import false
from tradingbot_operator.plan.killing import RECORDS_KEPT, Killing, killing
from tradingbot_operator.plan.objects import Raw, annotation, mapping, name_of
from unit.operator.candidate import Candidate, a_gate
from unit.operator.kill_world import (
    AN_HOUR_AGO,
    CANCELLED,
    DONE,
    FLAT,
    IN_FORCE,
    KILL,
    RELEASED,
    SEEN,
    a_flatten_report,
    a_job,
    a_job_pod,
    a_killed_bot,
    a_record,
    a_release,
    a_workload,
)
from unit.operator.world import NOW, a_bot, a_pod, a_report, a_snapshot, an_account, child, condition, plan, said, stamp

JUST_NOW = stamp(NOW - timedelta(seconds=5))
KNOWS = {"kill": CANCELLED | {"epoch": 1}}
IN_CONFIG = {"epoch": 1, "reason": "reason 1"}


def look(bot: Raw | None = None, *, is_live: bool = False, conflicts: Any = (), **around: Any) -> Killing:
    """A look at the kills of a bot that reports and was told nothing of any."""
    snapshot = a_snapshot(bot, **({"policies": IN_FORCE} | around))
    return killing(snapshot, snapshot.account, is_live=is_live, conflicts=conflicts)


def answer(seconds_ago: float = 1, **changes: Any) -> ReportAnswer:
    return ReportAnswer(a_report(**changes), NOW - timedelta(seconds=seconds_ago))


def config_of(planned: Plan) -> RuntimeConfig:
    return RuntimeConfig.model_validate(yaml.safe_load(child(planned, "ConfigMap")["data"]["bot.yaml"]))


def carried_out(planned: Plan, bot: Raw | None = None) -> dict[str, Raw]:
    """The children as the plan has made them."""
    observed = {one.kind: {**one.manifest, "kind": one.kind} for one in planned.apply}
    return {kind: _stored(raw) for kind, raw in observed.items()}


def _stored(raw: Any) -> Raw:
    metadata = {"uid": f"uid-of-{raw['kind']}", "resourceVersion": "1", "creationTimestamp": stamp(NOW)}
    return {**raw, "metadata": {**metadata, **raw["metadata"]}}


# ---------------------------------------------------------------- the record


def test_a_new_kill_is_recorded_with_where_its_author_can_be_read() -> None:
    found = look(a_killed_bot())
    assert found.write is not None and found.write.create is not None
    KillRecordSpec.model_validate(found.write.create["spec"])
    assert (found.write.annotated, found.write.annotated_name) == ("TradingBot", "momentum")
    account = look(account=an_account(annotations={KILL: "x"})).write
    assert account is not None
    assert (account.annotated, account.annotated_name) == ("BrokerAccount", "sim")
    latched = look(reported=answer(kill=SEEN | {"epoch": 1, "scope": "File"})).write
    assert latched is not None and latched.create is not None
    assert (latched.annotated, latched.annotated_name) == ("", "")


def test_what_the_bot_says_is_written_once() -> None:
    found = look(a_killed_bot(), kill_records=(a_record(),), reported=answer(**KNOWS))
    assert found.write is not None and found.write.create is None
    KillRecordStatus.model_validate(found.write.status)
    assert found.write.status["ordersCancelledAt"] == CANCELLED["ordersCancelledAt"]
    stored = (a_record(status=found.write.status),)
    assert look(a_killed_bot(), kill_records=stored, reported=answer(**KNOWS)).write is None


def test_a_bot_without_a_kill_has_nothing_to_write() -> None:
    found = look()
    assert (found.write, found.notes, found.goes_on, found.again_after_seconds) == (None, (), False, None)
    assert found.notice == KillNotice(0)


def test_only_the_last_released_kills_are_kept_and_none_that_is_in_force() -> None:
    old = tuple(a_record(epoch, status=DONE | RELEASED) for epoch in range(1, RECORDS_KEPT + 4))
    assert [name_of(one) for one in look(kill_records=old).discard] == ["momentum-1", "momentum-2", "momentum-3"]
    assert look(kill_records=old[:RECORDS_KEPT]).discard == ()
    held = (a_record(1, status=DONE), *old[1:])
    assert look(kill_records=held).discard == ()


# ---------------------------------------------------------------- who carries it out


def test_a_job_that_was_made_counts_in_the_record() -> None:
    found = look(a_killed_bot(), kill_records=(a_record(),), reported=silent(), children=a_workload())
    assert found.write is not None
    assert found.write.status["attempts"] == 1
    assert found.waits_for == "the bot's pod does not answer; flatten Job 1"
    assert found.goes_on
    again = look(
        kill_records=(a_record(status={"attempts": 2}),),
        reported=silent(),
        children=a_workload(),
        flattening=(a_job(),),
    )
    assert (again.write, again.waits_for) == (None, "the bot's pod does not answer; flatten Job 2")


def silent() -> ReportFailure:
    return ReportFailure("NotReporting", "timeout", NOW)


def test_a_jobs_last_words_are_in_the_record_and_in_what_is_said() -> None:
    job = a_job()
    words = a_flatten_report(confirmed=False, reason="TimedOut", message="500", ordersCancelledAt=None)
    pod = a_job_pod(job, words.model_dump_json(by_alias=True), seconds_ago=1, exit_code=1)
    found = look(kill_records=(a_record(),), reported=silent(), children=a_workload(), flattening=(job, pod))
    assert found.write is not None
    assert found.write.status["message"] == "TimedOut: 500"
    assert found.waits_for.endswith("flatten Job 1: TimedOut: 500")


def test_a_job_that_has_confirmed_everything_ends_the_waiting() -> None:
    job = a_job()
    pod = a_job_pod(job, a_flatten_report().model_dump_json(by_alias=True))
    found = look(kill_records=(a_record(),), reported=silent(), children=a_workload(), flattening=(job, pod))
    assert found.write is not None
    assert (found.write.status["confirmedBy"], found.goes_on) == ("FlattenJob", False)
    assert [name_of(one) for one in found.flatten.discard] == ["momentum-flatten-1-1"]
    assert found.latch.kill is not None and found.latch.kill.is_done


def test_where_nobody_can_carry_it_out_it_says_so_and_does_not_claim_to_go_on() -> None:
    found = look(kill_records=(a_record(),), reported=silent(), children={})
    assert "there is nothing that the bot ran with" in found.waits_for
    assert not found.goes_on


# ---------------------------------------------------------------- what the bot is told


@pytest.mark.parametrize(
    ("seconds", "status", "reported", "insists"),
    [
        (5, None, answer(), False),
        (20, None, answer(), True),
        (3600, None, silent(), True),
        (5, None, silent(), False),
        (3600, DONE, silent(), False),
        (3600, DONE, answer(**KNOWS), False),
        (3600, DONE, answer(), True),
        (3600, DONE, answer(seconds_ago=21), False),
        (3600, None, answer(seconds_ago=5, kill=SEEN | {"epoch": 1}), False),
        (3600, DONE, answer(kill=SEEN | {"epoch": 7}), True),
    ],
    ids=[
        "it has not answered yet",
        "it denies it after its time",
        "it never answers",
        "it may still answer",
        "it knew, and is silent",
        "it knows",
        "it has forgotten",
        "it denied it too long ago",
        "it knows and has done nothing yet",
        "it speaks of another",
    ],
)
def test_a_pod_that_sees_the_annotation_is_told_only_when_it_did_not(
    seconds: float, status: Any, reported: Any, insists: bool
) -> None:
    record = a_record(status=status, observedAt=stamp(NOW - timedelta(seconds=seconds)))
    found = look(a_killed_bot(), kill_records=(record,), reported=reported)
    assert found.notice.insist is insists
    assert found.notice.killed is not None
    assert (found.notice.epoch, found.notice.killed.epoch, found.notice.killed.reason) == (0, 1, "reason 1")


def test_without_the_annotation_a_pod_that_does_not_know_is_told_at_once() -> None:
    record = a_record(observedAt=JUST_NOW)
    assert look(kill_records=(record,)).notice.insist
    assert look(kill_records=(record,), reported=silent()).notice.insist
    assert not look(kill_records=(record,), reported=answer(**KNOWS)).notice.insist


def test_the_end_of_a_pods_time_is_looked_at() -> None:
    found = look(a_killed_bot(), kill_records=(a_record(observedAt=JUST_NOW),))
    assert found.again_after_seconds == 15
    over = look(a_killed_bot(), kill_records=(a_record(),), children={})
    assert over.notice.insist and over.again_after_seconds is None


@pytest.mark.parametrize("bot", [a_killed_bot(), a_bot()], ids=["annotated", "not annotated"])
@pytest.mark.parametrize("status", [None, {"acknowledgedAt": "x"}, DONE])
def test_a_new_operator_restarts_no_pod_and_starts_no_job(bot: Raw, status: Any) -> None:
    found = look(bot, kill_records=(a_record(status=status),), reported=ReportPending(), children=a_workload())
    assert not found.notice.insist
    assert found.flatten.make == ()


def test_a_pod_that_nobody_can_ask_starts_with_a_config_that_says_so() -> None:
    for pods in ((), (a_pod(phase="Pending"),)):
        found = look(kill_records=(a_record(),), reported=ReportPending(), pods=pods)
        assert found.notice.insist


# ---------------------------------------------------------------- the config, as the plan writes it


def test_a_kill_does_not_restart_the_pod_that_carries_it_out() -> None:
    before = plan()
    children = carried_out(before)
    killed = plan(a_killed_bot(), children=children)
    assert child(killed, "StatefulSet") == child(before, "StatefulSet")
    assert child(killed, "ConfigMap") == child(before, "ConfigMap")
    later = plan(a_killed_bot(), children=children, kill_records=(a_record(),), reported=answer(**KNOWS))
    assert child(later, "StatefulSet") == child(before, "StatefulSet")


def test_a_pod_that_did_not_see_it_is_restarted_once_and_left_alone_then() -> None:
    children = carried_out(plan())
    record = a_record()
    told = plan(a_killed_bot(), children=children, kill_records=(record,))
    config = config_of(told)
    assert config.killed is not None and config.killed.model_dump() == IN_CONFIG
    assert child(told, "StatefulSet") != child(plan(), "StatefulSet")
    for reported in (answer(), answer(**KNOWS), silent(), ReportPending()):
        for bot in (a_killed_bot(), a_bot()):
            record = a_record(status=DONE)
            again = plan(bot, children=carried_out(told), kill_records=(record,), reported=reported)
            assert child(again, "StatefulSet") == child(told, "StatefulSet")


def test_another_change_of_the_config_tells_the_pod_on_the_way() -> None:
    children = carried_out(plan())
    records = (a_record(status=DONE),)
    changed = plan(a_killed_bot(capital="5000"), children=children, kill_records=records, reported=answer(**KNOWS))
    config = config_of(changed)
    assert config.killed is not None and config.killed.epoch == 1


def test_a_bot_of_a_killed_name_is_born_killed() -> None:
    former = a_record(3, uid="uid-of-the-former", status=DONE, mode="live")
    born = plan(a_bot(uid="uid-of-another"), children={}, pods=(), kill_records=(former,), reported=ReportPending())
    config = config_of(born)
    assert (config.epoch, config.killed and config.killed.epoch) == (2, 3)
    assert said(born, "Killed") == ("True", "OrdersCancelled")
    assert said(born) == ("False", "Killed")
    assert (born.status or {})["kill"]["epoch"] == 3
    assert born.kill is None


def test_after_the_release_the_config_counts_it_and_the_pod_starts_anew() -> None:
    children = carried_out(plan())
    records = (a_record(status=DONE | RELEASED),)
    found = plan(children=children, kill_records=records, reported=answer(**KNOWS))
    config = config_of(found)
    assert (config.epoch, config.killed) == (1, None)
    assert child(found, "StatefulSet") != child(plan(), "StatefulSet")
    assert said(found, "Killed") == ("False", "Released")
    assert "kill 1 was released by rita" in condition(found, "Killed")["message"]
    assert "kill" not in (found.status or {})


def test_the_number_of_kills_is_part_of_what_is_approved() -> None:
    def digest(*records: Raw) -> str:
        bot = Candidate(gate=a_gate(), changes={"kill_records": records})
        bot.settle()
        return bot.digest

    never = digest()
    in_force, over = digest(a_record(status=DONE)), digest(a_record(status=DONE | RELEASED))
    of_a_former_bot = digest(a_record(uid="uid-of-the-former", status=DONE | RELEASED))
    twice = digest(a_record(1, status=DONE | RELEASED), a_record(2, status=DONE | RELEASED))
    assert never != over
    assert in_force == over == of_a_former_bot
    assert twice not in (never, over)


# ---------------------------------------------------------------- its end


def test_a_release_is_written_said_once_and_looked_at_again() -> None:
    found = look(kill_records=(a_record(status=DONE),), approvals=(a_release(),))
    assert found.write is not None and found.write.create is None
    assert found.write.status["releasedAt"] == "2026-11-21T12:00:00Z"
    assert found.write.status["releasedBy"] == {"name": "over", "uid": "uid-of-over", "approver": "rita"}
    assert found.write.status["ordersCancelledAt"] == DONE["ordersCancelledAt"]
    assert found.notice == KillNotice(1)
    assert [(note.reason, note.warning) for note in found.notes] == [("KillReleased", False)]
    assert found.again_after_seconds == 1.0
    stored = a_record(status=found.write.status)
    after = look(kill_records=(stored,), approvals=(a_release(),))
    assert (after.write, after.notes, after.latch.kill) == (None, (), None)


OF_THE_ACCOUNT = a_record(scope="BrokerAccount", account="sim", reason="", status=DONE)
CONFIRMED_BY_A_JOB = {"ordersCancelledAt": DONE["ordersCancelledAt"], "confirmedBy": "FlattenJob"}


@pytest.mark.parametrize(
    ("world", "words"),
    [
        (
            {"bot": a_killed_bot(), "kill_records": (a_record(reason="leak", status=DONE),)},
            "the annotation tradingbots.dev/kill is taken off TradingBot momentum",
        ),
        (
            {"account": an_account(annotations={KILL: ""}), "kill_records": (OF_THE_ACCOUNT,)},
            "is taken off BrokerAccount sim",
        ),
        ({"live_account": an_account("real", annotations={KILL: ""})}, "is taken off BrokerAccount real"),
        ({"is_live": True}, "the bot has left live trading"),
        ({"kill_records": (a_record(status=CONFIRMED_BY_A_JOB),)}, "the bot's pod, which runs, has said"),
        ({"policies": false("PolicyEnforced", "PolicyMissing", "one is gone")}, "in force (PolicyMissing)"),
    ],
)
def test_nothing_ends_while_anything_is_in_the_way(world: dict[str, Any], words: str) -> None:
    bot = world.pop("bot", None)
    found = look(bot, **({"kill_records": (a_record(status=DONE),), "approvals": (a_release(),)} | world))
    assert words in found.release_waits_for
    assert found.latch.kill is not None
    assert found.write is None
    assert found.notice.killed is not None


def test_a_kill_asked_for_again_is_written_down_and_a_release_that_knew_nothing_of_it_is_void() -> None:
    records = (a_record(reason="leak", status=DONE),)
    account = an_account(annotations={KILL: "all"})
    again = look(account=account, kill_records=records, approvals=(a_release(),))
    assert again.write is not None and again.write.status["requestedAgain"]["name"] == "sim"
    stored = (a_record(reason="leak", status=again.write.status),)
    assert (
        "older than the kill that BrokerAccount sim asked for"
        in look(kill_records=stored, approvals=(a_release(),)).release_waits_for
    )
    knowing = look(kill_records=stored, approvals=(a_release(minutes_ago=0),))
    assert knowing.write is not None and knowing.write.releases


def test_what_a_release_waits_for_is_in_the_condition() -> None:
    record = a_record(reason="leak", status=DONE)
    waits = plan(a_killed_bot(), kill_records=(record,), approvals=(a_release(),), policies=IN_FORCE)
    assert "Approval over releases it once the annotation" in condition(waits, "Killed")["message"]
    unasked = plan(kill_records=(a_record(status=DONE),))
    assert "an Approval (ReleaseKill, killEpoch 1) releases it" in condition(unasked, "Killed")["message"]
    void = plan(kill_records=(a_record(status=DONE),), approvals=(a_release(2),))
    assert "of kill 2, and kill 1 is in force" in condition(void, "Killed")["message"]


def test_a_former_one_in_force_keeps_a_bot_killed_after_the_last_was_released() -> None:
    records = (a_record(1, status=DONE), a_record(2, status=DONE))
    assert look(kill_records=records).notice.epoch == 0
    first = look(kill_records=records, approvals=(a_release(2),))
    assert first.notice.epoch == 0
    assert first.write is not None and first.write.record == records[1]
    stored = (records[0], a_record(2, status=first.write.status))
    assert look(kill_records=stored, approvals=(a_release(2),)).latch.kill is not None


def test_a_kill_while_the_bot_is_released_is_another_one() -> None:
    records = (a_record(status=DONE | RELEASED),)
    found = look(a_killed_bot("again"), kill_records=records, approvals=(a_release(),), reported=answer(**KNOWS))
    assert found.write is not None and found.write.create is not None
    assert found.write.create["metadata"]["name"] == "momentum-2"
    assert (found.notice.epoch, found.notice.killed and found.notice.killed.epoch) == (1, 2)


# ---------------------------------------------------------------- whatever else is wrong


@pytest.mark.parametrize(
    "wrong",
    [{"timeframe": "2Min"}, {"capital": "lots"}, {"paused": True}, {"gateRef": {"name": "nowhere"}}],
    ids=["unreadable", "nonsense", "paused", "no gate"],
)
def test_no_spec_keeps_a_kill_from_being_recorded_and_carried_out(wrong: dict[str, Any]) -> None:
    bot = a_killed_bot(**wrong)
    assert plan(bot).kill is not None
    record = (a_record(),)
    late = plan(bot, kill_records=record, reported=silent(), children=a_workload(bot), account=None)
    assert [one["kind"] for one in late.flatten] == ["NetworkPolicy", "Job"]


def test_a_bot_that_is_being_deleted_is_still_killed_and_flattened() -> None:
    bot = a_killed_bot()
    bot["metadata"].update(  # type: ignore[attr-defined]
        deletionTimestamp=stamp(NOW - timedelta(minutes=1)), finalizers=[CANCEL_FINALIZER]
    )
    assert plan(bot).kill is not None
    late = plan(bot, kill_records=(a_record(),), reported=silent(), children=a_workload(bot))
    assert [one["kind"] for one in late.flatten] == ["NetworkPolicy", "Job"]


def test_a_kill_on_either_annotation_is_seen_as_one_kill() -> None:
    bot = a_killed_bot("mine")
    found = look(bot, account=an_account(annotations={KILL: "all"}), kill_records=(a_record(reason="mine"),))
    assert (found.latch.highest, found.write) == (1, None)
    assert annotation(bot, KILL) == "mine"
    assert mapping(bot, "spec")


def test_a_live_bots_kill_is_of_its_live_account_and_only_that_one_confirms_it() -> None:
    bot = Candidate().granted()
    bot.settle()
    assert bot.is_live_pod
    bot.annotate(KILL, "leak").look()
    assert bot.plan.kill is not None and bot.plan.kill.create is not None
    assert bot.plan.kill.create["spec"]["mode"] == "live"
    assert bot.status.grant is None
    record = a_record(mode="live", observedAt=stamp(bot.now))
    bot.changes = {"kill_records": (record,)}
    bot.report = {"kill": CANCELLED | {"epoch": 1}}
    bot.later(seconds=1).look()
    assert bot.plan.kill is not None
    assert bot.plan.kill.status["ordersCancelledAt"] == CANCELLED["ordersCancelledAt"]
    stored = a_record(mode="live", observedAt=record["spec"]["observedAt"], status=bot.plan.kill.status)
    bot.changes = {"kill_records": (stored,)}
    bot.settle()
    # Back on paper, where nothing is open: that is no news of the live account.
    assert not bot.is_live_pod
    bot.report = {"kill": SEEN | {"epoch": 1, "openOrders": 5}}
    bot.later(seconds=1).look()
    assert (bot.plan.kill, bot.said("Killed")) == (None, ("True", "OrdersCancelled"))


def test_flat_is_said_once_the_broker_has() -> None:
    record = a_record(onKill="Flatten")
    found = plan(a_killed_bot(), kill_records=(record,), reported=answer(kill=FLAT | {"epoch": 1}))
    assert said(found, "Killed") == ("True", "Flat")


def test_what_a_killed_bot_waits_for_is_in_its_status() -> None:
    queued = CANCELLED | {"epoch": 1, "message": "closings are queued for the open at 14:30"}
    found = plan(a_killed_bot(), kill_records=(a_record(onKill="Flatten"),), reported=answer(kill=queued))
    assert "queued for the open at 14:30" in condition(found, "Killed")["message"]
    assert (found.status or {})["kill"]["message"] == "closings are queued for the open at 14:30"


def test_a_kill_before_any_live_pod_has_run_is_one_on_paper_because_nobody_could_confirm_it_elsewhere() -> None:
    bot = Candidate().granted()
    assert bot.said("LiveAuthorized")[1] == "Granted"
    bot.annotate(KILL, "leak").look()
    assert bot.plan.kill is not None and bot.plan.kill.create is not None
    assert bot.plan.kill.create["spec"]["mode"] == "paper"


def test_a_deletion_waits_for_the_job_that_carries_the_kill_out() -> None:
    bot = a_killed_bot(status={"reportedAt": AN_HOUR_AGO, "openOrders": 3})
    bot["metadata"].update(  # type: ignore[attr-defined]
        deletionTimestamp=stamp(NOW - timedelta(minutes=1)), finalizers=[CANCEL_FINALIZER]
    )
    stopped = a_workload(bot)
    stopped["StatefulSet"]["spec"]["replicas"] = 0
    world: dict[str, Any] = {"kill_records": (a_record(),), "reported": silent(), "pods": ()}
    assert not plan(bot, children=stopped, **world).release
    late = {"deletionTimestamp": stamp(NOW - timedelta(minutes=6))}
    bot["metadata"].update(late)  # type: ignore[attr-defined]
    assert plan(bot, children=stopped, **world).release
