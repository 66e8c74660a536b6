"""A kill is shown whatever else is wrong, and never called done before the broker said so."""

from typing import Any

import pytest

from tradingbot_operator.plan import ReportFailure, ReportPending
from tradingbot_operator.plan.conditions import timestamp
from unit.operator.world import NOW, a_bot, an_account, answered, condition, kinds, plan, said

KILL = {"tradingbots.dev/kill": "earnings leak"}
SEEN = {"reason": "earnings leak", "scope": "TradingBot", "observedAt": "2026-11-21T11:58:00Z"}
CANCELLED = SEEN | {"ordersCancelledAt": "2026-11-21T11:58:01Z", "openOrders": 0, "openPositions": 2}
FLAT = CANCELLED | {"flatAt": "2026-11-21T11:58:03Z", "openPositions": 0}


@pytest.mark.parametrize("value", ["now", "", "false", "0"])
def test_any_value_kills(value: str) -> None:
    planned = plan(a_bot(annotations={"tradingbots.dev/kill": value}))
    assert said(planned, "Killed") == ("True", "KillRequested")
    assert said(planned) == ("False", "Killed")


def test_no_annotation_and_no_latch_is_no_kill() -> None:
    assert said(plan(), "Killed") == ("False", "NoKill")
    assert plan().status is not None and "kill" not in (plan().status or {})


def test_an_account_kills_all_its_bots() -> None:
    planned = plan(account=an_account(annotations=KILL))
    assert said(planned, "Killed") == ("True", "KillRequested")
    assert 'BrokerAccount sim: "earnings leak"' in condition(planned, "Killed")["message"]


@pytest.mark.parametrize(
    ("kill", "reason", "words"),
    [
        (None, "KillRequested", "waiting for the bot to confirm"),
        (SEEN, "KillRequested", "stopped opening exposure at 2026-11-21T11:58:00Z"),
        (SEEN | {"openOrders": 3}, "KillRequested", "3 orders are still open"),
        (CANCELLED, "OrdersCancelled", "2 positions are held"),
        (FLAT, "Flat", "positions closed, confirmed by the broker at 2026-11-21T11:58:03Z"),
    ],
)
def test_progress_is_what_the_broker_confirmed(kill: Any, reason: str, words: str) -> None:
    planned = plan(a_bot(annotations=KILL), reported=answered(kill=kill, tradingState="Halted"))
    assert said(planned, "Killed") == ("True", reason)
    assert words in condition(planned, "Killed")["message"]
    assert "earnings leak" in condition(planned, "Killed")["message"]
    stored = (planned.status or {})["kill"]
    assert (stored["epoch"], stored["observedAt"]) == (1, SEEN["observedAt"] if kill else timestamp(NOW))


def test_the_latch_outlives_the_annotation() -> None:
    planned = plan(reported=answered(kill=CANCELLED))
    assert said(planned, "Killed") == ("True", "OrdersCancelled")
    assert "the annotation is gone" in condition(planned, "Killed")["message"]


def test_no_bot_ends_a_kill() -> None:
    killed = plan(a_bot(annotations=KILL), reported=answered(kill=CANCELLED)).status
    silent = plan(a_bot(status=killed), reported=ReportPending())
    assert said(silent, "Killed") == ("True", "OrdersCancelled")
    assert (silent.status or {})["kill"] == (killed or {})["kill"]
    assert said(plan(a_bot(status=killed), pods=()), "Killed") == ("True", "OrdersCancelled")
    stale = plan(a_bot(status=killed), reported=answered(seconds_ago=300, kill=None))
    assert said(stale, "Killed") == ("True", "OrdersCancelled")
    forgetful = plan(a_bot(status=killed), reported=answered(kill=None))
    assert said(forgetful, "Killed") == ("True", "OrdersCancelled")


@pytest.mark.parametrize(
    ("world", "cause"),
    [
        ({"account": None}, "AccountNotFound"),
        ({"pods": ()}, "Starting"),
        ({"reported": ReportFailure("NotReporting", "timeout", NOW)}, "NotReporting"),
    ],
)
def test_a_kill_that_nobody_confirms_says_why(world: dict[str, Any], cause: str) -> None:
    planned = plan(a_bot(annotations=KILL), **world)
    assert said(planned, "Killed") == ("True", "KillRequested")
    assert "nobody has confirmed it" in condition(planned, "Killed")["message"]
    assert said(planned) == ("False", "Killed")
    assert cause in condition(planned)["message"]


def test_a_kill_shows_on_a_spec_that_cannot_be_read() -> None:
    planned = plan(a_bot(timeframe="2Min", annotations=KILL), reported=answered(kill=CANCELLED))
    assert said(planned, "Killed") == ("True", "OrdersCancelled")
    assert said(planned) == ("False", "Killed")
    assert "InvalidSpec" in condition(planned)["message"]


def test_a_killed_bot_keeps_its_pod_because_the_pod_carries_the_kill_out() -> None:
    planned = plan(a_bot(annotations=KILL))
    assert "StatefulSet" in kinds(planned)
    assert planned.stop == ()
    (sets,) = (entry.manifest for entry in planned.apply if entry.kind == "StatefulSet")
    assert sets["spec"]["replicas"] == 1


def test_a_kill_is_told_once_and_as_a_warning() -> None:
    before = plan().status
    planned = plan(a_bot(annotations=KILL, status=before))
    assert ("Killed", True) in [(note.reason, note.warning) for note in planned.events]
    assert plan(a_bot(annotations=KILL, status=planned.status)).events == ()
