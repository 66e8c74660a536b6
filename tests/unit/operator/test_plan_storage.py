"""A volume grows with its spec where it can, and a bot runs on where it cannot."""

from typing import Any

import pytest

from tradingbot_operator.plan import Plan, Refusal
from tradingbot_operator.plan.objects import Raw
from unit.operator.world import a_bot, a_claim, condition, plan, said

REFUSED = Refusal("PersistentVolumeClaim state-momentum-bot-0", "the storageclass must support resize")


def a_volume(asked: str = "1Gi", has: str | None = None, **changes: Any) -> Raw:
    claim = dict(a_claim(**changes))
    claim["spec"] = {**claim["spec"], "resources": {"requests": {"storage": asked}}}
    claim["status"] = {**claim["status"], "capacity": {"storage": has or asked}}
    return claim


def grown(claim: Raw | None, size: str = "2Gi", **changes: Any) -> Plan:
    return plan(a_bot(storage={"size": size}), claim=claim, **changes)


def has_condition(planned: Plan) -> bool:
    assert planned.status is not None
    return any(entry["type"] == "StorageGrown" for entry in planned.status["conditions"])


def test_a_larger_size_is_asked_of_the_claim() -> None:
    planned = grown(a_volume())
    assert planned.grow is not None
    assert (planned.grow.size, planned.grow.target) == ("2Gi", "PersistentVolumeClaim state-momentum-bot-0")
    assert said(planned, "StorageGrown") == ("False", "Resizing")
    assert said(planned) == ("True", "Trading")


@pytest.mark.parametrize(
    "claim",
    [None, a_volume("2Gi"), a_volume("2048Mi"), a_volume("5Gi"), a_volume("odd")],
    ids=["none", "the same", "the same in other words", "larger", "unreadable"],
)
def test_nothing_is_asked_where_the_volume_is_large_enough(claim: Raw | None) -> None:
    planned = grown(claim)
    assert planned.grow is None
    assert not has_condition(planned)


def test_a_volume_that_is_being_made_larger_says_so_until_it_is() -> None:
    planned = grown(a_volume("2Gi", has="1Gi"))
    assert planned.grow is None
    assert said(planned, "StorageGrown") == ("False", "Resizing")
    assert [note.warning for note in planned.events if note.reason == "Resizing"] == [False]


def test_an_unbound_claim_grows_once_it_is_bound() -> None:
    planned = grown(a_volume(phase="Pending"))
    assert planned.grow is None
    assert said(planned, "StorageGrown") == ("False", "VolumeNotBound")
    assert not has_condition(grown(a_volume("2Gi", phase="Pending")))


def test_a_claim_that_goes_is_left_alone() -> None:
    claim = dict(a_volume())
    claim["metadata"] = {**claim["metadata"], "deletionTimestamp": "2026-11-21T12:00:00Z"}
    assert grown(claim).grow is None


def test_a_refused_growth_is_told_and_the_bot_runs_on() -> None:
    planned = grown(a_volume(), refusals=(REFUSED,))
    assert said(planned) == ("True", "Trading")
    assert said(planned, "StorageGrown") == ("False", "ResizeRefused")
    assert "the storageclass must support resize" in condition(planned, "StorageGrown")["message"]
    assert [note.warning for note in planned.events if note.reason == "ResizeRefused"] == [True]
    assert planned.grow is not None


def test_another_refusal_still_stands_in_the_way() -> None:
    planned = grown(a_volume(), refusals=(REFUSED, Refusal("StatefulSet momentum-bot", "no")))
    assert said(planned) == ("False", "ApplyRefused")
    assert "StatefulSet" in condition(planned)["message"]
    assert "storageclass" not in condition(planned)["message"]


def test_a_spec_that_cannot_be_read_grows_nothing() -> None:
    planned = plan(a_bot(timeframe="2Min", storage={"size": "2Gi"}), claim=a_volume())
    assert planned.grow is None
    assert not has_condition(planned)
