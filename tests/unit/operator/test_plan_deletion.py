"""A deleted bot stays until the broker confirmed what onDelete asks, and never for good."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradingbot_api.group import CANCEL_FINALIZER, SKIP_CANCEL_ANNOTATION
from tradingbot_operator.plan import Plan, ReportFailure, ReportPending
from tradingbot_operator.plan.deletion import DELETION_LIMIT, finalizers
from tradingbot_operator.plan.objects import Raw
from unit.operator.world import (
    NOW,
    a_bot,
    a_container,
    a_pod,
    a_stateful_set,
    an_account,
    an_order,
    answered,
    child,
    condition,
    kinds,
    plan,
    said,
    stamp,
)

CANCELLED = "2026-11-21T11:59:30Z"
REPORTED = {"reportedAt": "2026-11-21T11:58:00Z", "openOrders": 1, "effectiveMode": "paper"}
OPEN_ORDER = an_order(1) | {"status": "accepted"}


def a_deleted_bot(*, seconds_ago: float = 10, status: Any = None, held: bool = True, **spec: Any) -> Raw:
    bot = dict(a_bot(status=REPORTED if status is None else status, **spec))
    deletion = {"deletionTimestamp": stamp(NOW - timedelta(seconds=seconds_ago))}
    return bot | {"metadata": {**bot["metadata"], **deletion, "finalizers": [CANCEL_FINALIZER] if held else []}}


def a_deletion(on_delete: str = "CancelOrders", **steps: Any) -> dict[str, Any]:
    return {"onDelete": on_delete, "observedAt": "2026-11-21T11:59:00Z", **steps}


def deletion(bot: Raw | None = None, *, report: Any = None, **changes: Any) -> Plan:
    """The plan for a deleted bot whose pod answers with `report`'s changes."""
    around = {"reported": answered(**(report or {}))} | changes
    return plan(bot if bot is not None else a_deleted_bot(), **around)


def waits_for(planned: Plan) -> str:
    assert not planned.release
    assert said(planned, "Deleting")[0] == "True"
    return said(planned, "Deleting")[1]


def released(planned: Plan) -> list[tuple[str, bool]]:
    """The Events of a bot that is let go, and whether each is a warning."""
    assert planned.release
    assert (planned.apply, planned.stop, planned.status) == ((), (), None)
    return [(note.reason, note.warning) for note in planned.events]


# ---------------------------------------------------------------- the finalizer


def test_a_bot_is_held_before_it_gets_what_could_trade() -> None:
    assert plan(children={}, pods=(), account_pods=()).hold
    assert plan().hold


def test_a_bot_that_is_held_is_not_held_again() -> None:
    bot = dict(a_bot())
    assert not plan(bot | {"metadata": {**bot["metadata"], "finalizers": ["other", CANCEL_FINALIZER]}}).hold


def test_a_bot_without_anything_that_trades_is_not_held() -> None:
    assert not plan(account=None, children={}, pods=(), account_pods=()).hold


def test_finalizers_of_others_are_left_alone() -> None:
    bot = {"metadata": {"finalizers": ["foregroundDeletion", CANCEL_FINALIZER, "other"]}}
    assert finalizers(bot, held=False) == ["foregroundDeletion", "other"]
    assert finalizers(bot, held=True) == ["foregroundDeletion", "other", CANCEL_FINALIZER]


def test_a_deleted_bot_that_is_not_held_is_nobodys_business() -> None:
    assert deletion(a_deleted_bot(held=False)) == Plan()


# ---------------------------------------------------------------- confirmed


def test_cancelled_orders_let_the_bot_go() -> None:
    assert waits_for(deletion(report={"deletion": a_deletion()})) == "WaitingForCancel"
    confirmed = deletion(report={"deletion": a_deletion(ordersCancelledAt=CANCELLED)})
    assert released(confirmed) == []


def test_flatten_waits_until_the_broker_holds_nothing() -> None:
    bot = a_deleted_bot(onDelete="Flatten")
    cancelled = a_deletion("Flatten", ordersCancelledAt=CANCELLED)
    waiting = deletion(bot, report={"openOrders": 0, "deletion": cancelled, "marketOpen": False})
    assert waits_for(waiting) == "WaitingForFlat"
    assert "the market is closed" in condition(waiting, "Deleting")["message"]
    assert released(deletion(bot, report={"deletion": cancelled | {"flatAt": CANCELLED}})) == []


def test_a_bot_that_runs_with_another_on_delete_gets_the_new_config_first() -> None:
    planned = deletion(
        a_deleted_bot(onDelete="Flatten"),
        report={"deletion": a_deletion(ordersCancelledAt=CANCELLED)},
        children={"StatefulSet": a_stateful_set(), "ConfigMap": a_stateful_set()},
    )
    assert waits_for(planned) == "WaitingForRestart"
    assert "onDelete: Flatten" in child(planned, "ConfigMap")["data"]["bot.yaml"]
    assert child(planned, "StatefulSet")["spec"]["replicas"] == 1


def test_keep_goes_at_once_and_says_what_stays() -> None:
    planned = deletion(a_deleted_bot(onDelete="Keep"), report={"recentOrders": [OPEN_ORDER]})
    assert released(planned) == [("OrdersKept", False)]
    assert "1 open order: order-1 (buy 10 AAPL); held: AAPL 10" in planned.events[0].message
    assert planned.account_events == ()


def test_keep_does_not_cut_a_kill_short() -> None:
    bot = a_deleted_bot(onDelete="Keep", annotations={"tradingbots.dev/kill": "stop"})
    kill = {"reason": "stop", "observedAt": "2026-11-21T11:50:00Z"}
    assert waits_for(deletion(bot, report={"kill": kill, "deletion": a_deletion("Keep")})) == "WaitingForCancel"
    assert released(deletion(bot, report={"kill": kill | {"ordersCancelledAt": CANCELLED}})) == []


def test_a_killed_bot_goes_once_its_kill_is_confirmed_also_where_its_pod_is_gone() -> None:
    kill = {"reason": "", "scope": "TradingBot", "observedAt": "2026-11-21T11:50:00Z", "ordersCancelledAt": CANCELLED}
    conditions = [{"type": "Killed", "status": "True", "reason": "OrdersCancelled", "message": ""}]
    bot = a_deleted_bot(status=REPORTED | {"kill": kill, "conditions": conditions})
    assert released(deletion(bot, pods=(), reported=ReportPending())) == []


def test_a_killed_bot_that_is_to_be_flat_waits_for_that() -> None:
    bot = a_deleted_bot(onKill="Flatten", annotations={"tradingbots.dev/kill": ""})
    kill = {"reason": "", "observedAt": "2026-11-21T11:50:00Z", "ordersCancelledAt": CANCELLED}
    cancelled = a_deletion(ordersCancelledAt=CANCELLED)
    assert waits_for(deletion(bot, report={"openOrders": 0, "kill": kill, "deletion": cancelled})) == "WaitingForFlat"
    assert said(deletion(bot, report={"kill": kill}), "Ready") == ("False", "Killed")
    assert released(deletion(bot, report={"kill": kill | {"flatAt": CANCELLED}})) == []


# ---------------------------------------------------------------- in the way


@pytest.mark.parametrize(
    ("around", "reason"),
    [
        ({"report": {"brokerConnected": False}}, "BrokerUnreachable"),
        ({"report": {}}, "WaitingForBot"),
        ({"pods": (), "reported": ReportPending()}, "PodNotRunning"),
        (
            {
                "pods": (a_pod(container=a_container(waiting={"reason": "ImagePullBackOff", "message": "no"})),),
                "reported": ReportPending(),
            },
            "PodNotRunning",
        ),
        ({"reported": ReportFailure("NotReporting", "connection refused", NOW)}, "NotReporting"),
        ({"reported": ReportPending()}, "NotReporting"),
    ],
)
def test_what_a_deletion_waits_for_is_a_condition_with_the_way_out(around: Any, reason: str) -> None:
    planned = deletion(**around)
    assert waits_for(planned) == reason
    message = condition(planned, "Deleting")["message"]
    assert f"kubectl annotate bot momentum -n demo {SKIP_CANCEL_ANNOTATION}=yes" in message
    assert "let go at 2026-11-21T12:04:50Z at the latest" in message
    assert said(planned)[1] == "Deleting"
    assert planned.again_after_seconds == (DELETION_LIMIT - timedelta(seconds=10)).total_seconds()


@pytest.mark.parametrize(("reason", "warning"), [("BrokerUnreachable", True), ("WaitingForCancel", False)])
def test_what_a_deletion_waits_for_is_told_once(reason: str, warning: bool) -> None:
    report = {"brokerConnected": reason != "BrokerUnreachable", "deletion": a_deletion()}
    planned = deletion(report=report)
    (note,) = [note for note in planned.events if note.reason == reason]
    assert note.warning is warning
    assert planned.status is not None
    again = deletion(a_deleted_bot(status=planned.status), report=report)
    assert again.events == ()
    assert again.status == planned.status


def test_while_it_waits_what_is_there_is_kept_and_nothing_is_made() -> None:
    assert kinds(deletion()) == ["StatefulSet"]
    going = dict(a_stateful_set())
    going["metadata"] = {**going["metadata"], "deletionTimestamp": stamp(NOW)}
    assert kinds(deletion(children={"StatefulSet": going})) == []
    assert kinds(deletion(account=None)) == []
    assert kinds(deletion(a_deleted_bot(timeframe="2Min"))) == []


# ---------------------------------------------------------------- let go


def test_the_annotation_lets_it_go_at_once_and_says_what_is_left() -> None:
    bot = a_deleted_bot(annotations={SKIP_CANCEL_ANNOTATION: ""})
    planned = deletion(bot, report={"recentOrders": [OPEN_ORDER], "openOrders": 1})
    assert released(planned) == [("CancelSkipped", True)]
    (note,) = planned.account_events
    assert note.message.startswith("bot momentum: ") and "order-1 (buy 10 AAPL)" in note.message


def test_after_five_minutes_it_goes_whatever_was_confirmed() -> None:
    planned = deletion(a_deleted_bot(seconds_ago=300), report={"brokerConnected": False})
    assert released(planned) == [("NotCancelled", True)]
    message = planned.account_events[0].message
    assert "not confirmed within 5 min (BrokerUnreachable" in message
    assert "1 open order" in message and "AAPL 10" in message


def test_an_unreadable_time_of_deletion_holds_nothing() -> None:
    bot = dict(a_deleted_bot())
    bot["metadata"] = {**bot["metadata"], "deletionTimestamp": "yesterday"}
    assert released(deletion(bot)) == [("NotCancelled", True)]


@pytest.mark.parametrize("phase", ["none", "Failed"])
@pytest.mark.parametrize("stateful_set", ["none", "going", "stopped"])
def test_where_no_pod_will_come_it_goes_at_once_and_warns_of_open_orders(phase: str, stateful_set: str) -> None:
    going = dict(a_stateful_set())
    going["metadata"] = {**going["metadata"], "deletionTimestamp": stamp(NOW)}
    sets: dict[str, Any] = {"none": {}, "going": {"StatefulSet": going}}
    children = sets.get(stateful_set, {"StatefulSet": a_stateful_set(replicas=0)})
    pods = () if phase == "none" else (a_pod(phase=phase),)
    bot = a_deleted_bot(status=REPORTED | {"openOrders": 7, "recentOrders": [OPEN_ORDER]})
    planned = deletion(bot, children=children, pods=pods, reported=ReportPending())
    assert released(planned) == [("NotCancelled", True)]
    assert "7 open orders: order-1" in planned.account_events[0].message
    calm = a_deleted_bot(status=REPORTED | {"openOrders": 0})
    planned = deletion(calm, children=children, pods=pods, reported=ReportPending())
    assert released(planned) == [("NotCancelled", False)]
    assert "nothing was open or held" in planned.events[0].message


def test_positions_are_left_behind_only_where_they_were_to_be_closed() -> None:
    status = REPORTED | {"openOrders": 0, "positions": [{"symbol": "AAPL", "qty": "10"}]}
    around: Any = {"children": {}, "pods": (), "reported": ReportPending()}
    assert released(deletion(a_deleted_bot(status=status), **around)) == [("NotCancelled", False)]
    flatten = deletion(a_deleted_bot(status=status, onDelete="Flatten"), **around)
    assert released(flatten) == [("NotCancelled", True)]
    assert "no open orders; held: AAPL 10" in flatten.events[0].message


def test_long_lists_are_cut() -> None:
    held = [{"symbol": f"S{number}", "qty": "1", "averageEntryPrice": "1"} for number in range(8)]
    planned = deletion(a_deleted_bot(onDelete="Keep"), report={"positions": held})
    assert "held: S0 1, S1 1, S2 1, S3 1, S4 1 and 3 more" in planned.events[0].message


@pytest.mark.parametrize(
    "pods",
    [
        (),
        (a_pod(phase="Pending", containerStatuses=[]),),
        (a_pod(container=a_container(waiting={"reason": "ErrImagePull"})),),
        (a_pod(container=a_container(waiting={"reason": "CrashLoopBackOff"}, last={"exitCode": 78})),),
        (a_pod(container=a_container(waiting={"reason": "CrashLoopBackOff"}, last={"exitCode": 127})),),
    ],
    ids=["no pod", "pending", "no image", "wrong config", "no program"],
)
def test_a_bot_that_never_traded_goes_at_once(pods: Any) -> None:
    planned = deletion(a_deleted_bot(status={}), pods=pods, reported=ReportPending())
    assert released(planned) == []


@pytest.mark.parametrize(
    ("status", "pods"),
    [
        ({}, (a_pod(),)),
        ({}, (a_pod(container=a_container(waiting={"reason": "CrashLoopBackOff"}, last={"exitCode": 1})),)),
        ({"conditions": [{"type": "Ready", "status": "False", "reason": "NotReporting"}]}, ()),
        (REPORTED, ()),
    ],
    ids=["runs", "has crashed", "ran and could not be asked", "has reported"],
)
def test_a_bot_that_may_have_traded_is_waited_for(status: Any, pods: Any) -> None:
    assert waits_for(deletion(a_deleted_bot(status=status), pods=pods, reported=ReportPending())) in (
        "PodNotRunning",
        "NotReporting",
    )


def test_a_bot_that_never_reported_and_is_let_go_says_that_nobody_knows() -> None:
    planned = deletion(a_deleted_bot(status={}, seconds_ago=900), reported=ReportPending())
    assert released(planned) == [("NotCancelled", True)]
    assert "never reported" in planned.events[0].message
    hopeless = deletion(
        a_deleted_bot(status={"conditions": [{"type": "Ready", "status": "False", "reason": "NotReporting"}]}),
        children={},
        pods=(),
        reported=ReportPending(),
    )
    assert released(hopeless) == [("NotCancelled", True)]


REPORTS = st.one_of(
    st.just(ReportPending()),
    st.just(ReportFailure("NotReporting", "no", NOW)),
    st.builds(
        lambda connected, orders, on_delete, killed: answered(
            brokerConnected=connected,
            openOrders=orders,
            deletion=a_deletion(on_delete) if on_delete else None,
            kill={"reason": "", "observedAt": "2026-11-21T11:50:00Z"} if killed else None,
        ),
        st.booleans(),
        st.integers(0, 2),
        st.sampled_from(["", "CancelOrders", "Flatten", "Keep"]),
        st.booleans(),
    ),
)


@given(
    seconds_ago=st.floats(300, 1e6),
    on_delete=st.sampled_from(["CancelOrders", "Flatten", "Keep", "Unheard"]),
    reported=REPORTS,
    account=st.sampled_from([None, an_account()]),
    pods=st.sampled_from([(), (a_pod(),), (a_pod(deleting=True),), (a_pod(phase="Pending"),)]),
)
def test_nothing_holds_a_bot_for_good(seconds_ago: float, on_delete: str, **around: Any) -> None:
    assert deletion(a_deleted_bot(seconds_ago=seconds_ago, onDelete=on_delete), **around).release
