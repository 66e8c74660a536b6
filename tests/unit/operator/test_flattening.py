"""Where no pod answers, one Job at a time carries a kill out, made from what the bot last ran with."""

from datetime import timedelta
from typing import Any

import pytest

from tradingbot_operator.plan import ReportAnswer, ReportFailure, ReportPending
from tradingbot_operator.plan.flattening import Flattening, flattening, last_words
from tradingbot_operator.plan.objects import Raw, name_of
from tradingbot_operator.plan.symbols import Overlap
from unit.operator.kill_world import (
    DONE,
    SEEN,
    a_flatten_report,
    a_job,
    a_job_network_policy,
    a_job_pod,
    a_record,
    a_workload,
    in_force,
    latch,
)
from unit.operator.world import IMAGE, NOW, a_bot, a_pod, a_report, a_snapshot, stamp

SILENT = ReportFailure("NotReporting", "timeout", NOW - timedelta(seconds=1))
KNOWS = {"kill": SEEN | {"epoch": 1}}


def silent_for(seconds: float) -> ReportFailure:
    """The pod knew of the kill, and has not answered for so long."""
    last = ReportAnswer(a_report(**KNOWS), NOW - timedelta(seconds=seconds))
    return ReportFailure("NotReporting", "timeout", NOW, last)


def look(*, seen: float = 60, status: Any = None, conflicts: Any = (), jobs: Any = (), **around: Any) -> Flattening:
    """A look at a bot that was killed `seen` seconds ago and does not answer; `jobs` are there already."""
    record = a_record(observedAt=stamp(NOW - timedelta(seconds=seen)), status=status, onKill="Flatten")
    world: dict[str, Any] = {"reported": SILENT, "children": a_workload(), "flattening": tuple(jobs), **around}
    snapshot = a_snapshot(**world)
    return flattening(snapshot, in_force(latch(records=[record])), conflicts)


def made(found: Flattening, kind: str = "Job") -> Raw:
    """The one of its kind that is to be made."""
    (one,) = [manifest for manifest in found.make if manifest["kind"] == kind]
    return one


def pod_of(found: Flattening) -> Any:
    return made(found)["spec"]["template"]["spec"]


def names(objects: Any) -> list[str]:
    return [f"{one['kind']} {name_of(one)}" for one in objects]


# ---------------------------------------------------------------- when


def test_no_kill_and_a_kill_that_is_done_need_none() -> None:
    snapshot = a_snapshot(children=a_workload(), reported=SILENT)
    assert flattening(snapshot, None, ()).make == ()
    done = look(status=DONE | {"flatAt": "2026-11-21T11:00:03Z"})
    assert (done.make, done.problem, done.again_after_seconds) == ((), "", None)


def test_attempts_stay_counted_once_the_kill_is_done() -> None:
    assert look(status=DONE | {"flatAt": "x", "attempts": 2}).attempts == 2
    assert look(status=DONE | {"flatAt": "x"}, jobs=[a_job(attempt=3)]).attempts == 3


def test_a_pod_has_twenty_seconds() -> None:
    early = look(seen=15)
    assert (early.make, early.attempts, early.again_after_seconds) == ((), 0, 5.0)
    late = look(seen=20)
    assert names(late.make) == ["NetworkPolicy momentum-flatten-1-1", "Job momentum-flatten-1-1"]
    assert late.attempts == 1


def test_it_is_asked_again_at_least_half_a_second_later() -> None:
    assert look(seen=3600, reported=silent_for(19.9)).again_after_seconds == 0.5


@pytest.mark.parametrize("seconds", [0, 10, 19.5])
def test_none_while_a_pod_answers_that_it_is_killed(seconds: float) -> None:
    found = look(seen=3600, reported=ReportAnswer(a_report(**KNOWS), NOW - timedelta(seconds=seconds)))
    assert (found.make, found.again_after_seconds) == ((), max(20 - seconds, 0.5))
    assert look(seen=3600, reported=silent_for(seconds)).make == ()


def test_one_once_the_pod_has_said_nothing_for_twenty_seconds() -> None:
    assert names(look(seen=3600, reported=silent_for(20)).make)[-1] == "Job momentum-flatten-1-1"


@pytest.mark.parametrize("kill", [None, SEEN | {"epoch": 9}], ids=["no kill", "another"])
def test_a_pod_that_does_not_know_of_the_kill_is_helped(kill: Any) -> None:
    assert look(reported=ReportAnswer(a_report(kill=kill), NOW)).make


@pytest.mark.parametrize(("killed", "makes_one"), [(59, False), (61, True)])
def test_a_pod_that_answers_and_cannot_reach_the_broker_is_helped_after_a_minute(killed: int, makes_one: bool) -> None:
    powerless = ReportAnswer(a_report(**KNOWS, brokerConnected=False), NOW)
    assert bool(look(seen=killed, reported=powerless).make) is makes_one
    well = ReportAnswer(a_report(**KNOWS, brokerConnected=True), NOW)
    assert not look(seen=killed, reported=well).make


def test_a_new_operator_asks_the_pod_before_it_makes_one() -> None:
    asked = look(seen=3600, reported=ReportPending())
    assert (asked.make, asked.again_after_seconds) == ((), None)


@pytest.mark.parametrize("pods", [(), (a_pod(phase="Pending"),), (a_pod(podIP=""),)])
def test_a_pod_that_cannot_be_asked_is_not_waited_for(pods: Any) -> None:
    assert look(seen=3600, reported=ReportPending(), pods=pods).make


# ---------------------------------------------------------------- one after the other


def test_one_at_a_time() -> None:
    running = look(jobs=[a_job(seconds_ago=30)])
    assert (running.make, running.discard, running.attempts, running.again_after_seconds) == ((), (), 1, None)


def test_one_that_nobody_saw_end_is_lost_after_eight_minutes() -> None:
    assert look(seen=3600, jobs=[a_job(seconds_ago=479)]).make == ()
    again = look(seen=3600, jobs=[a_job(seconds_ago=480)])
    assert names(again.make)[-1] == "Job momentum-flatten-1-2"


def test_the_look_that_makes_one_comes_back_once_it_would_be_lost() -> None:
    assert look().again_after_seconds == 480


@pytest.mark.parametrize(("attempt", "wait"), [(1, 5), (2, 10), (3, 20), (6, 160), (7, 300), (60, 300)])
def test_each_that_failed_is_waited_for_twice_as_long(attempt: int, wait: int) -> None:
    job = a_job(attempt=attempt, seconds_ago=400)
    words = a_flatten_report(confirmed=False, reason="TimedOut", ordersCancelledAt=None).model_dump_json(by_alias=True)
    early = look(seen=9000, jobs=[job, a_job_pod(job, words, seconds_ago=wait - 1, exit_code=1)])
    assert (early.make, early.again_after_seconds, early.attempts) == ((), 1.0, attempt)
    late = look(seen=9000, jobs=[job, a_job_pod(job, words, seconds_ago=wait, exit_code=1)])
    assert names(late.make)[-1] == f"Job momentum-flatten-1-{attempt + 1}"


def test_a_job_whose_pod_is_gone_has_ended_too() -> None:
    failed = {"type": "Failed", "status": "True", "message": "DeadlineExceeded", "lastTransitionTime": stamp(NOW)}
    found = look(seen=9000, jobs=[a_job(conditions=[failed])])
    assert (found.make, found.again_after_seconds) == ((), 5.0)


def test_attempts_are_counted_over_jobs_that_somebody_took_away() -> None:
    assert names(look(status={"attempts": 4}).make)[-1] == "Job momentum-flatten-1-5"
    assert look(status={"attempts": 4}, jobs=[a_job(attempt=2)]).attempts == 4


def test_another_try_waits_for_a_pod_that_woke_up() -> None:
    job = a_job(seconds_ago=400)
    jobs = [job, a_job_pod(job, "", seconds_ago=300, exit_code=1)]
    answer = ReportAnswer(a_report(**KNOWS), NOW - timedelta(seconds=2))
    assert look(seen=9000, jobs=jobs, reported=answer).make == ()
    assert look(seen=9000, jobs=jobs).make


# ---------------------------------------------------------------- what is left of former ones


def test_former_attempts_go_and_the_last_stays_until_the_kill_is_done() -> None:
    former = [a_job(attempt=1), a_job_network_policy(1, 1)]
    last = [a_job(attempt=2), a_job_network_policy(1, 2)]
    found = look(jobs=[*former, *last])
    assert names(found.discard) == ["Job momentum-flatten-1-1", "NetworkPolicy momentum-flatten-1-1"]
    done = look(status=DONE | {"flatAt": "x"}, jobs=[*former, *last])
    assert len(done.discard) == 4
    assert len(flattening(a_snapshot(flattening=(*former, *last)), None, ()).discard) == 4


def test_jobs_of_former_kills_go() -> None:
    record = a_record(2, observedAt=stamp(NOW))
    snapshot = a_snapshot(children=a_workload(), flattening=(a_job(1, 1),))
    assert names(flattening(snapshot, in_force(latch(records=[record])), ()).discard) == ["Job momentum-flatten-1-1"]


def test_what_is_not_ours_and_what_goes_already_is_left_alone() -> None:
    going = a_job(attempt=1)
    going["metadata"]["deletionTimestamp"] = stamp(NOW)  # type: ignore[index]
    foreign = a_job(attempt=3, uid="uid-of-another")
    pod = a_job_pod(a_job(attempt=1), "")
    assert look(jobs=[going, foreign, pod, a_job(attempt=2)]).discard == ()


def test_a_network_policy_that_was_made_before_the_operator_died_is_kept_for_its_job() -> None:
    found = look(jobs=[a_job_network_policy(1, 1)])
    assert names(found.make) == ["NetworkPolicy momentum-flatten-1-1", "Job momentum-flatten-1-1"]
    assert found.discard == ()


# ---------------------------------------------------------------- what one said


def test_the_last_words_of_each_kill_are_those_of_its_last_attempt() -> None:
    first, second, other = a_job(1, 1), a_job(1, 2), a_job(2, 1)
    jobs = (second, first, other)
    words = [a_flatten_report(message=text).model_dump_json(by_alias=True) for text in ("first", "second", "other")]
    pods = tuple(a_job_pod(job, said) for job, said in zip((first, second, other), words, strict=True))
    found = last_words(a_snapshot(flattening=(*jobs, *pods)))
    assert {epoch: report.message for epoch, report in found.items()} == {1: "second", 2: "other"}


@pytest.mark.parametrize("words", ["", "Killed", "{}", '{"uid": "uid-of-momentum", "confirmed": true}'])
def test_a_job_that_did_not_say_so_has_confirmed_nothing(words: str) -> None:
    job = a_job()
    assert last_words(a_snapshot(flattening=(job, a_job_pod(job, words)))) == {}
    assert last_words(a_snapshot(flattening=(job,))) == {}


def test_a_job_of_another_bot_of_the_name_says_nothing() -> None:
    job = a_job(uid="uid-of-the-former")
    words = a_flatten_report().model_dump_json(by_alias=True)
    assert last_words(a_snapshot(flattening=(job, a_job_pod(job, words)))) == {}


# ---------------------------------------------------------------- what is made


def test_it_has_the_bots_keys_and_place_and_the_operators_image() -> None:
    placed: dict[str, Any] = {
        "nodeSelector": {"zone": "a"},
        "tolerations": [{"key": "bots"}],
        "affinity": {"nodeAffinity": {}},
        "imagePullSecrets": [{"name": "pull"}],
    }
    found = look(children=a_workload(**placed))
    pod = pod_of(found)
    (container,) = pod["containers"]
    assert container["image"] == IMAGE
    assert [one["name"] for one in container["env"]] == ["APCA_API_KEY_ID", "APCA_API_SECRET_KEY"]
    assert all(one["valueFrom"]["secretKeyRef"]["name"] == "keys" for one in container["env"])
    assert {name: pod[name] for name in placed} == placed
    assert (pod["restartPolicy"], pod["automountServiceAccountToken"]) == ("Never", False)
    assert container["args"][:3] == ["flatten", "--config", "/etc/tradingbot/bot.yaml"]
    assert {"name": "momentum-bot"} in [volume.get("configMap") for volume in pod["volumes"]]


def test_it_is_marked_as_what_it_is_for_policies_and_people() -> None:
    job = made(look())
    assert job["metadata"]["labels"]["tradingbots.dev/producer"] == "flatten"
    assert job["metadata"]["ownerReferences"][0]["uid"] == "uid-of-momentum"
    template = job["spec"]["template"]["metadata"]
    assert template["annotations"]["tradingbots.dev/kill-epoch"] == "1"
    assert template["annotations"]["tradingbots.dev/attempt"] == "1"
    for labels in (job["metadata"]["labels"], template["labels"]):
        assert "tradingbots.dev/live" not in labels
    assert (job["spec"]["backoffLimit"], job["spec"]["activeDeadlineSeconds"]) == (0, 360)


def test_live_keys_make_a_live_job() -> None:
    job = made(look(children=a_workload(live=True)))
    for labels in (job["metadata"]["labels"], job["spec"]["template"]["metadata"]["labels"]):
        assert labels["tradingbots.dev/live"] == "true"
    env = job["spec"]["template"]["spec"]["containers"][0]["env"]
    assert env[0]["valueFrom"]["secretKeyRef"]["name"] == "live-keys"


def test_it_reaches_what_the_bot_may_and_nobody_reaches_it() -> None:
    policy = made(look(), "NetworkPolicy")
    assert policy["spec"] == {
        "podSelector": {"matchLabels": {"batch.kubernetes.io/job-name": "momentum-flatten-1-1"}},
        "ingress": [],
        "egress": [{}],
    }
    bare = a_workload()
    del bare["NetworkPolicy"]
    assert names(look(children=bare).make) == ["Job momentum-flatten-1-1"]


@pytest.mark.parametrize(
    ("symbols", "closes"), [({"MSFT"}, False), ({"AAPL", "TSLA"}, False), ({"TSLA"}, True), (set(), True)]
)
def test_positions_that_are_another_bots_are_left_alone(symbols: set[str], closes: bool) -> None:
    conflicts = (Overlap("elder", tuple(symbols)),) if symbols else ()
    arguments = pod_of(look(conflicts=conflicts))["containers"][0]["args"]
    assert arguments[-1] == ("--positions" if closes else "--no-positions")


def test_positions_are_kept_where_the_kill_was_to_keep_them_whatever_the_spec_says_since() -> None:
    record = a_record(onKill="CancelOrders")
    snapshot = a_snapshot(a_bot(onKill="Flatten"), children=a_workload(), reported=SILENT)
    found = flattening(snapshot, in_force(latch(records=[record])), ())
    assert pod_of(found)["containers"][0]["args"][-1] == "--no-positions"


def without_keys() -> dict[str, Raw]:
    children = a_workload()
    template: Any = children["StatefulSet"]["spec"]["template"]
    template["spec"]["containers"][0]["env"].pop(0)
    return children


def of_somebody_else() -> dict[str, Raw]:
    return a_workload(a_bot(uid="uid-of-another"))


@pytest.mark.parametrize(
    ("children", "words"),
    [
        ({}, "there is nothing that the bot ran with"),
        ({"StatefulSet": a_workload()["StatefulSet"]}, "there is nothing that the bot ran with"),
        (of_somebody_else(), "there is nothing that the bot ran with"),
        (without_keys(), "names no keys"),
    ],
    ids=["nothing", "no config", "somebody else's", "no keys"],
)
def test_where_none_can_be_made_it_says_so_and_where_to_look(children: Any, words: str) -> None:
    found = look(children=children)
    assert found.make == ()
    assert words in found.problem
    assert "look at the broker" in found.problem
    assert found.attempts == 0


def test_an_unreadable_config_is_no_obstacle() -> None:
    bot = a_bot(timeframe="2Min", capital="lots")
    record = a_record(observedAt=stamp(NOW - timedelta(minutes=1)))
    snapshot = a_snapshot(bot, children=a_workload(bot), reported=SILENT, account=None)
    assert flattening(snapshot, in_force(latch(bot, records=[record])), ()).make
