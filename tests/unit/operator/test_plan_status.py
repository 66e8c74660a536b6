"""Figures come from the report, states are written at once, and nothing is written that says nothing new."""

import copy
from datetime import timedelta
from typing import Any

import pytest

from tradingbot_operator.plan import AccountSnapshot, ReportFailure, ReportPending, plan_account, status_write
from tradingbot_operator.plan.objects import Raw
from unit.operator.world import (
    IMAGE,
    NOW,
    a_bot,
    a_snapshot,
    an_account,
    an_order,
    answered,
    plan,
    said,
    stamp,
)


def status(**changes: Any) -> dict[str, Any]:
    found = plan(**changes).status
    assert found is not None
    return found


def test_figures_are_those_of_the_report() -> None:
    written = status()
    assert written["account"] == {"equity": "10100.50", "cash": "5000", "dayPnl": "100.5"}
    assert written["tradingState"] == "Active"
    assert (written["openOrders"], written["filledOrders"]) == (1, 7)
    assert [order["clientOrderId"] for order in written["recentOrders"]] == [f"order-{n}" for n in range(5)]
    assert written["positions"][0]["symbol"] == "AAPL"
    assert written["lastReconciliation"]["result"] == "Clean"
    assert written["reportedAt"] == stamp(NOW - timedelta(seconds=1))
    assert (written["effectiveMode"], written["image"], written["observedGeneration"]) == ("paper", IMAGE, 3)


def test_without_an_answer_the_stored_figures_stay() -> None:
    before = status()
    for reported in (ReportPending(), ReportFailure("NotReporting", "x", NOW)):
        kept = plan(a_bot(status=before), reported=reported, account=None).status or {}
        assert kept["account"] == before["account"]
        assert kept["reportedAt"] == before["reportedAt"]


def test_the_image_of_an_unreadable_spec_is_the_last_known() -> None:
    assert plan(a_bot(timeframe="2Min", status={"image": "old:1"})).status["image"] == "old:1"  # type: ignore[index]
    assert "image" not in (plan(a_bot(timeframe="2Min")).status or {})


def written(changes: dict[str, Any], *, seconds_ago: float) -> tuple[Raw, dict[str, Any]]:
    """A bot whose status was written some time ago, and what is wanted now."""
    before = status()
    before["reportedAt"] = stamp(NOW - timedelta(seconds=seconds_ago))
    wanted = copy.deepcopy(before)
    for path, value in changes.items():
        node: Any = wanted
        *parents, last = path.split(".")
        for part in parents:
            node = node[int(part)] if part.isdigit() else node[part]
        node[last] = value
    return a_bot(status=before), wanted


@pytest.mark.parametrize(
    ("change", "value", "kind"),
    [
        ("reportedAt", stamp(NOW), "nothing"),
        ("lastReconciliation.at", "2026-11-21T12:00:00Z", "nothing"),
        ("account.equity", "1", "figure"),
        ("filledOrders", 8, "figure"),
        ("recentOrders", [an_order(9)], "figure"),
        ("lastReconciliation.result", "Mismatch", "figure"),
        ("conditions.0.message", "other words", "figure"),
        ("tradingState", "Halted", "state"),
        ("conditions.0.status", "False", "state"),
        ("conditions.0.reason", "Other", "state"),
        ("observedGeneration", 4, "state"),
        ("kill", {"observedAt": "t"}, "state"),
    ],
)
def test_states_are_written_at_once_figures_every_15_seconds_and_times_never(
    change: str, value: Any, kind: str
) -> None:
    raw, wanted = written({change: value}, seconds_ago=5)
    soon = status_write(raw, wanted, stamp(NOW))
    assert soon.now is (kind == "state")
    assert (soon.again_after_seconds == 10) is (kind == "figure")
    raw, wanted = written({change: value}, seconds_ago=15)
    assert status_write(raw, wanted, stamp(NOW)).now is (kind != "nothing")


def test_a_clock_that_is_behind_is_no_busy_loop() -> None:
    raw, wanted = written({"filledOrders": 9}, seconds_ago=-3600)
    assert status_write(raw, wanted, stamp(NOW)).again_after_seconds == 15


def test_the_first_status_is_written() -> None:
    assert status_write(a_bot(), status(), stamp(NOW)).now


def test_the_same_snapshot_wants_no_second_write() -> None:
    assert not status_write(a_bot(status=status()), status(), stamp(NOW)).now


def test_a_snapshot_without_children_has_none() -> None:
    assert a_snapshot(children=None).child("StatefulSet") is None


# The account.


def account_plan(**changes: Any) -> Any:
    fields: dict[str, Any] = {"account": an_account(), "now": NOW, "bots": (a_bot(),)}
    return plan_account(AccountSnapshot(**(fields | changes)))


def test_an_account_says_who_uses_it_and_who_owns_what() -> None:
    elder = a_bot("elder", symbols=["AAPL"], age_minutes=90)
    other = a_bot("other", accounts={"paper": "elsewhere", "live": "sim"}, symbols=["TSLA"])
    written = account_plan(bots=(a_bot(), elder, other)).status
    assert written["bots"] == ["elder", "momentum", "other"]
    assert written["symbols"] == [{"symbol": "AAPL", "bot": "elder"}, {"symbol": "MSFT", "bot": "momentum"}]


@pytest.mark.parametrize(
    ("world", "expected"),
    [
        ({}, ("Unknown", "NoReport")),
        ({"reports": {"momentum": answered()}}, ("True", "Connected")),
        ({"reports": {"momentum": answered(brokerConnected=False)}}, ("False", "BrokerUnreachable")),
        (
            {"reports": {"a": answered(brokerConnected=False), "b": answered()}},
            ("True", "Connected"),
        ),
        ({"reports": {"momentum": answered(seconds_ago=61)}}, ("Unknown", "NoReport")),
        ({"account": an_account(provider="bank")}, ("Unknown", "InvalidSpec")),
        ({"pending": True}, ("Unknown", "NoReport")),
    ],
)
def test_connected_is_what_a_bot_last_reported(world: dict[str, Any], expected: tuple[str, str]) -> None:
    assert said(account_plan(**world), "Connected") == expected


def test_until_the_bots_were_asked_the_stored_answer_holds() -> None:
    before = account_plan(reports={"momentum": answered()}).status
    kept = account_plan(account={**an_account(), "status": before}, pending=True)
    assert said(kept, "Connected") == ("True", "Connected")


@pytest.mark.parametrize(("value", "words"), [("halt", 'killed: "halt"'), ("", "killed")])
def test_a_killed_account_says_so(value: str, words: str) -> None:
    killed = account_plan(account=an_account(annotations={"tradingbots.dev/kill": value}))
    assert said(killed, "Killed") == ("True", "KillRequested")
    assert killed.status["conditions"][1]["message"].endswith(words)
    assert said(account_plan(), "Killed") == ("False", "NoKill")


def test_an_account_that_is_being_deleted_gets_no_status() -> None:
    account = an_account()
    assert account_plan(account={**account, "metadata": {"deletionTimestamp": stamp(NOW)}}).status is None
