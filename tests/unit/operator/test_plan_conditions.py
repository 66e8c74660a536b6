"""Why a bot is not ready: each cause by its name, with the words a person needs."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradingbot_operator.plan import BotSnapshot, Refusal, ReportFailure, ReportPending, plan_bot
from tradingbot_operator.plan.conditions import parse_timestamp
from tradingbot_operator.plan.pods import pod_cause
from unit.operator.world import (
    IMAGE,
    NOW,
    a_bot,
    a_claim,
    a_container,
    a_live_account,
    a_pod,
    a_snapshot,
    a_stateful_set,
    an_account,
    answered,
    condition,
    kinds,
    plan,
    said,
    stamp,
)

LAST_WORDS = json.dumps({"reason": "InvalidStrategyParameters", "message": "spec.strategy.parameters.lookback: > 1"})


def failing(container: Any, **status: Any) -> dict[str, Any]:
    return {"pods": (a_pod(container=container, **status),), "reported": ReportPending()}


def unscheduled(message: str = "") -> Any:
    conditions = [{"type": "PodScheduled", "status": "False", "message": message}] if message else []
    pod = a_pod(phase="Pending", podIP="", containerStatuses=[], conditions=conditions)
    return {**pod, "spec": {}}


CAUSES: list[tuple[str, str, dict[str, Any]]] = [
    ("AccountNotFound", "sim", {"account": None}),
    ("AccountMismatch", "environment is live", {"account": a_live_account("sim")}),
    ("AccountInvalid", "spec.provider", {"account": an_account(provider="bank")}),
    (
        "SecretNotFound",
        'secret "keys" not found',
        failing(a_container(waiting={"reason": "CreateContainerConfigError", "message": 'secret "keys" not found'})),
    ),
    (
        "SecretKeyMissing",
        "APCA_API_KEY_ID",
        failing(
            a_container(
                waiting={
                    "reason": "CreateContainerConfigError",
                    "message": "couldn't find key APCA_API_KEY_ID in Secret demo/keys",
                }
            )
        ),
    ),
    (
        "ContainerConfigError",
        "configmap",
        failing(a_container(waiting={"reason": "CreateContainerConfigError", "message": 'configmap "x" not found'})),
    ),
    *(
        ("ImagePullFailed", IMAGE, failing(a_container(waiting={"reason": reason})))
        for reason in ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName")
    ),
    (
        "InvalidStrategyParameters",
        "lookback",
        failing(
            a_container(
                waiting={"reason": "CrashLoopBackOff"}, restarts=3, last={"exitCode": 78, "message": LAST_WORDS}
            )
        ),
    ),
    (
        "InvalidStrategyParameters",
        "lookback",
        failing(a_container(terminated={"exitCode": 78, "message": LAST_WORDS})),
    ),
    (
        "InvalidStrategyParameters",
        "lookback",
        failing(a_container(running={}, restarts=1, last={"exitCode": 78, "message": LAST_WORDS})),
    ),
    (
        "CrashLooping",
        "exit code 137 (OOMKilled), 4 restarts",
        failing(
            a_container(
                waiting={"reason": "CrashLoopBackOff"}, restarts=4, last={"exitCode": 137, "reason": "OOMKilled"}
            )
        ),
    ),
    (
        "CrashLooping",
        "Traceback",
        failing(a_container(terminated={"exitCode": 1, "message": "Traceback: boom"})),
    ),
    ("Starting", "starting", failing(a_container(terminated={"exitCode": 0}))),
    ("Starting", "starting", failing(a_container(waiting={"reason": "ContainerCreating"}))),
    ("Starting", "starting", failing(a_container(), containerStatuses=[])),
    (
        "Starting",
        "starting",
        {
            "pods": (a_pod(container={**a_container(running={}), "started": False}),),
            "reported": ReportFailure("NotReporting", "connection refused", NOW),
        },
    ),
    ("Starting", "stopping", {"pods": (a_pod(deleting=True),)}),
    ("Starting", "to be created", {"pods": (), "children": {}}),
    ("Starting", "to be scheduled", {"pods": (unscheduled(),)}),
    ("Evicted", "disk", {"pods": (a_pod(phase="Failed", containerStatuses=[], reason="Evicted", message="disk"),)}),
    ("PodFailed", "failed", {"pods": (a_pod(phase="Failed", containerStatuses=[]),)}),
    ("Unschedulable", "0/3 nodes", {"pods": (unscheduled("0/3 nodes are available: Insufficient cpu"),)}),
    (
        "VolumePending",
        "StorageClass fast",
        {"pods": (unscheduled(),), "claim": a_claim(phase="Pending", storage_class="fast")},
    ),
    (
        "VolumePending",
        "unbound immediate PersistentVolumeClaims",
        {
            "pods": (unscheduled("pod has unbound immediate PersistentVolumeClaims"),),
            "claim": a_claim(phase="Pending"),
        },
    ),
    (
        "Unschedulable",
        "Insufficient cpu",
        {"pods": (unscheduled("0/1 nodes: Insufficient cpu"),), "claim": a_claim(phase="Pending")},
    ),
    ("Starting", "first report", {"reported": ReportPending()}),
    (
        "NotReporting",
        "connection refused",
        {"reported": ReportFailure("NotReporting", "connection refused", NOW)},
    ),
    (
        "NotReporting",
        "figures are from then",
        {"reported": ReportFailure("NotReporting", "timeout", NOW, answered(seconds_ago=61))},
    ),
    ("NotReporting", "figures are from then", {"reported": answered(seconds_ago=3600)}),
    (
        "ForeignReport",
        "ignored",
        {"reported": ReportFailure("ForeignReport", "it is ignored", NOW, answered(seconds_ago=5))},
    ),
    (
        "BrokerUnreachable",
        "no route",
        {"reported": answered(ready=False, reason="BrokerUnreachable", message="no route")},
    ),
    ("Starting", "not ready yet", {"reported": answered(ready=False)}),
    ("ApplyRefused", "quota", {"refusals": (Refusal("StatefulSet momentum-bot", "exceeded quota"),)}),
    (
        "NameTaken",
        "StatefulSet momentum-bot",
        {"children": {"StatefulSet": a_stateful_set(a_bot(uid="someone-else"))}},
    ),
]


@pytest.mark.parametrize(("reason", "words", "world"), CAUSES, ids=[f"{c[0]}-{n}" for n, c in enumerate(CAUSES)])
def test_what_is_in_the_way_is_named(reason: str, words: str, world: dict[str, Any]) -> None:
    planned = plan(**world)
    assert said(planned) == ("False", reason)
    assert words in condition(planned)["message"]


def test_a_bot_that_trades_is_ready() -> None:
    assert said(plan()) == ("True", "Trading")


def test_one_missed_question_is_no_news() -> None:
    missed = ReportFailure("NotReporting", "timeout", NOW, answered(seconds_ago=40))
    assert said(plan(reported=missed)) == ("True", "Trading")


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        ({"tradingState": "Reducing", "reason": "DailyLoss"}, "DailyLoss"),
        ({"tradingState": "Halted"}, "Halted"),
        ({"tradingState": "Active"}, "Trading"),
    ],
)
def test_a_ready_bot_says_what_it_does(report: dict[str, Any], reason: str) -> None:
    assert said(plan(reported=answered(**report))) == ("True", reason)


def test_no_pod_for_long_is_named() -> None:
    waiting = a_bot(
        status={
            "conditions": [
                {"type": "Ready", "status": "False", "lastTransitionTime": stamp(NOW - timedelta(seconds=40))}
            ]
        }
    )
    old = plan(waiting, pods=(), children={"StatefulSet": a_stateful_set(age_seconds=40)})
    assert said(old) == ("False", "PodNotCreated")
    assert old.again_after_seconds is not None
    new = plan(waiting, pods=(), children={"StatefulSet": a_stateful_set(age_seconds=5)})
    assert said(new) == ("False", "Starting")
    was_ready = plan(pods=(), children={"StatefulSet": a_stateful_set()})
    assert said(was_ready) == ("False", "Starting")


def test_a_missing_account_leaves_what_runs_alone_and_makes_nothing_new() -> None:
    planned = plan(account=None)
    assert "StatefulSet" not in kinds(planned) and "ConfigMap" not in kinds(planned)
    assert planned.stop == ()


def test_a_live_account_under_accounts_paper_stops_the_pod() -> None:
    planned = plan(account=a_live_account("sim"))
    assert "ConfigMap" not in kinds(planned)
    assert [raw["metadata"]["name"] for raw in planned.stop] == ["momentum-bot"]
    assert plan(account=a_live_account("sim"), children={"StatefulSet": a_stateful_set(replicas=0)}).stop == ()
    assert plan(account=a_live_account("sim"), children={}).stop == ()


def test_another_owners_pod_is_never_stopped() -> None:
    foreign = {"StatefulSet": a_stateful_set(a_bot(uid="someone-else"))}
    assert plan(account=a_live_account("sim"), children=foreign).stop == ()


def test_an_account_that_is_being_deleted_is_not_there() -> None:
    account = an_account()
    gone = {**account, "metadata": {**account["metadata"], "deletionTimestamp": stamp(NOW)}}
    assert said(plan(account=gone)) == ("False", "AccountNotFound")


def test_a_stored_spec_that_cannot_be_read_changes_nothing_that_runs() -> None:
    planned = plan(a_bot(timeframe="2Min", capital=1.5))
    assert said(planned) == ("False", "InvalidSpec")
    assert "timeframe" in condition(planned)["message"]
    assert (planned.apply, planned.stop) == ((), ())


def test_many_errors_are_cut_short() -> None:
    planned = plan(a_bot(timeframe="2Min", capital="x", onKill="x", onDelete="x", paused="x"))
    assert "and 2 more" in condition(planned)["message"]


@pytest.mark.parametrize(
    ("report", "status", "reason"),
    [
        ({}, "True", "Clean"),
        ({"lastReconciliation": None}, "Unknown", "NotYet"),
        (
            {"lastReconciliation": {"at": "t", "result": "Mismatch", "differences": ["AAPL: 10 here, 9 there"]}},
            "False",
            "Mismatch",
        ),
        ({"lastReconciliation": {"at": "t", "result": ""}}, "False", "Unknown"),
    ],
)
def test_reconciled_is_what_the_bot_last_found(report: dict[str, Any], status: str, reason: str) -> None:
    assert said(plan(reported=answered(**report)), "Reconciled") == (status, reason)


def test_reconciled_is_unknown_without_a_report() -> None:
    assert said(plan(reported=answered(seconds_ago=90)), "Reconciled") == ("Unknown", "NotReporting")


def test_until_a_pod_was_asked_the_stored_conditions_hold() -> None:
    before = plan().status
    planned = plan(a_bot(status=before), reported=ReportPending())
    assert planned.status == before
    assert planned.events == ()


def test_live_is_never_authorized_and_says_why() -> None:
    assert said(plan(), "LiveAuthorized") == ("False", "NotRequested")
    live = plan(a_bot(mode="live", gateRef={"name": "g"}, accounts={"paper": "sim", "live": "real"}))
    assert said(live, "LiveAuthorized") == ("False", "GateNotFound")
    assert "stays on paper" in condition(live, "LiveAuthorized")["message"]
    assert live.status is not None and live.status["effectiveMode"] == "paper"


def test_a_pause_is_said_where_it_was_asked_for() -> None:
    assert said(plan(), "Paused") == ("False", "NotPaused")
    in_spec = plan(a_bot(paused=True), reported=answered(paused=True))
    assert said(in_spec, "Paused") == ("True", "PausedInSpec")
    assert said(in_spec) == ("True", "Paused")
    by_annotation = plan(a_bot(annotations={"tradingbots.dev/pause": ""}))
    assert said(by_annotation, "Paused") == ("True", "PauseAnnotation")
    assert "waiting for the bot" in condition(by_annotation, "Paused")["message"]


def test_a_transition_time_is_kept_while_the_status_is_the_same() -> None:
    an_hour_ago = stamp(NOW - timedelta(hours=1))
    before = {"conditions": [{"type": "Ready", "status": "True", "reason": "x", "lastTransitionTime": an_hour_ago}]}
    assert condition(plan(a_bot(status=before)))["lastTransitionTime"] == an_hour_ago
    assert condition(plan(a_bot(status=before), account=None))["lastTransitionTime"] == stamp(NOW)
    assert condition(plan())["observedGeneration"] == 3


def test_a_message_is_never_longer_than_the_schema_allows() -> None:
    refusals = tuple(Refusal(f"Role r{number}", "x" * 900) for number in range(4))
    assert len(condition(plan(refusals=refusals))["message"]) == 2048


def test_events_tell_transitions_once() -> None:
    first = plan(reported=ReportPending(), pods=(), children={})
    # That what was just made is starting is no news.
    assert first.events == ()
    trading = plan(a_bot(status=first.status))
    assert [(note.reason, note.warning) for note in trading.events] == [("Trading", False)]
    assert plan(a_bot(status=trading.status)).events == ()
    starting = plan(a_bot(status=trading.status), reported=ReportPending(), pods=(), children={})
    assert [(note.reason, note.warning) for note in starting.events] == [("Starting", False)]
    gone = plan(a_bot(status=trading.status), account=None)
    assert ("AccountNotFound", True) in [(note.reason, note.warning) for note in gone.events]


def test_a_mismatch_with_the_broker_is_a_warning() -> None:
    mismatch = answered(lastReconciliation={"at": "t", "result": "Mismatch", "differences": ["AAPL"]})
    planned = plan(a_bot(status=plan().status), reported=mismatch)
    assert [(note.reason, note.warning) for note in planned.events] == [("ReconciledFalse", True)]


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["metadata", "name", "uid", "annotations", "labels", "conditions", "type", "status"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@given(spec=anything, status=anything, pod=anything, account=anything)
def test_no_stored_object_makes_it_raise(spec: Any, status: Any, pod: Any, account: Any) -> None:
    bot = {**a_bot(), "spec": spec, "status": status}
    snapshot: BotSnapshot = a_snapshot(
        bot,
        account={**an_account(), "spec": account},
        pods=({**a_pod(), "status": pod},),
        reported=ReportPending(),
    )
    planned = plan_bot(snapshot)
    assert planned.status is not None
    assert {entry["type"] for entry in planned.status["conditions"]} >= {"Ready", "Killed", "SymbolConflict"}


def test_another_bot_s_volume_is_named_with_what_to_do_about_it() -> None:
    words = json.dumps({"reason": "StateOfAnotherBot", "message": "the state is of bot x"})
    pod = a_pod(container=a_container(terminated={"exitCode": 65, "message": words}))
    claim = {"metadata": {"name": "state-momentum-bot-0"}, "status": {"phase": "Bound"}}
    cause = pod_cause(a_stateful_set(), pod, claim, waited=timedelta(0))
    assert cause is not None and cause.reason == "StateOfAnotherBot"
    assert "persistentvolumeclaim state-momentum-bot-0" in cause.message
    unseen = pod_cause(a_stateful_set(), pod, None, waited=timedelta(0))
    assert unseen is not None and "persistentvolumeclaim of this bot" in unseen.message


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2026-13-01", "", "soon"])
def test_a_time_that_no_clock_shows_is_no_time(text: str) -> None:
    assert parse_timestamp(text) is None
