"""What of a TradingBot counts as a grant: all of it as it must be, nothing odd ever; a kill is seen all the same."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import SUBJECT
from tradingbot_api import KILL_ANNOTATION, GrantRef
from tradingbot_runtime.control.observed import MAX_REQUEST_LENGTH, Observed, grant_in
from tradingbot_runtime.core.events import BotDeleted, GrantSeen, KillSeen, PauseSeen

REF = GrantRef(subject_digest=SUBJECT, epoch=3)
GRANT = {"subjectDigest": SUBJECT, "epoch": 3}


def a_bot(mode: Any = "live", grant: Any = GRANT, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"uid": "uid-1", **metadata}, "spec": {"mode": mode}, "status": {"grant": grant}}


@pytest.mark.parametrize(
    ("cap", "most"), [(None, None), ("1000", Decimal(1000)), ("0.5", Decimal("0.5")), ("50000.25", Decimal("50000.25"))]
)
def test_a_grant_with_all_its_fields_is_one(cap: str | None, most: Decimal | None) -> None:
    grant = {**GRANT, "maxCapital": cap, "stage": 1, "gate": "standard", "grantedAt": "2026-11-21T09:00:00Z"}
    assert grant_in(a_bot(grant=grant), REF) == GrantSeen(granted=True, max_capital=most)


@pytest.mark.parametrize(
    ("mode", "grant", "why"),
    [
        ("paper", GRANT, "spec.mode is paper"),
        (None, GRANT, "spec.mode is absent"),
        (["live"], GRANT, "spec.mode is (list)"),
        ("Live", GRANT, "spec.mode is Live"),
        ("live", None, "status.grant is absent"),
        ("live", {}, "status.grant is absent"),
        ("live", "yes", "status.grant is absent"),
        ("live", [GRANT], "status.grant is absent"),
        ("live", {**GRANT, "subjectDigest": "6" * 64}, "another subject"),
        ("live", {**GRANT, "subjectDigest": None}, "another subject"),
        ("live", {**GRANT, "subjectDigest": [SUBJECT]}, "another subject"),
        ("live", {"epoch": 3}, "another subject"),
        ("live", {**GRANT, "epoch": 2}, "epoch 2, not 3"),
        ("live", {**GRANT, "epoch": 4}, "epoch 4, not 3"),
        ("live", {**GRANT, "epoch": "3"}, "epoch 3, not 3"),
        ("live", {**GRANT, "epoch": 3.0}, "epoch 3.0, not 3"),
        ("live", {**GRANT, "epoch": True}, "epoch True, not 3"),
        ("live", {"subjectDigest": SUBJECT}, "epoch (none), not 3"),
        ("live", {**GRANT, "maxCapital": 1000}, "maxCapital is no amount: 1000"),
        ("live", {**GRANT, "maxCapital": "0"}, "maxCapital is no amount"),
        ("live", {**GRANT, "maxCapital": "-5"}, "maxCapital is no amount"),
        ("live", {**GRANT, "maxCapital": "1e9"}, "maxCapital is no amount"),
        ("live", {**GRANT, "maxCapital": "NaN"}, "maxCapital is no amount"),
        ("live", {**GRANT, "maxCapital": "Infinity"}, "maxCapital is no amount"),
        ("live", {**GRANT, "maxCapital": "1" * 40}, "maxCapital is no amount"),
        ("live", {**GRANT, "maxCapital": "१०००"}, "maxCapital is no amount"),
        ("live", {**GRANT, "maxCapital": "1000\n"}, "maxCapital is no amount"),
        ("live", {**GRANT, "maxCapital": False}, "maxCapital is no amount"),
    ],
)
def test_anything_odd_is_no_grant_and_says_why(mode: Any, grant: Any, why: str) -> None:
    seen = grant_in(a_bot(mode, grant), REF)
    assert (seen.granted, seen.max_capital) == (False, None)
    assert why in seen.why


@pytest.mark.parametrize("one", [{}, {"spec": None}, {"spec": [], "status": 7}, {"spec": {"mode": "live"}}])
def test_a_bot_without_these_fields_grants_nothing(one: dict[str, Any]) -> None:
    assert not grant_in(one, REF).granted


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.just(SUBJECT) | st.just(3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=6,
)
GRANTS = VALUES | st.fixed_dictionaries(
    {}, optional={"subjectDigest": VALUES, "epoch": VALUES, "maxCapital": VALUES | st.text("0123456789.e-", max_size=5)}
)
MODES = VALUES | st.just("live")


@given(MODES, GRANTS)
def test_whatever_stands_there_a_grant_is_only_what_says_all_of_it_and_a_kill_is_seen(mode: Any, grant: Any) -> None:
    manifest = a_bot(mode, grant, annotations={KILL_ANNOTATION: "stop"})
    events = Observed(REF).bot(manifest, "uid-1")
    assert events[0] == KillSeen("stop", "TradingBot")
    (seen,) = [event for event in events if isinstance(event, GrantSeen)]
    assert len(seen.why) <= MAX_REQUEST_LENGTH and seen.why.isprintable()
    if seen.granted:
        assert mode == "live" and grant["subjectDigest"] == SUBJECT and grant["epoch"] == 3
        assert seen.max_capital is None or (seen.max_capital > 0 and grant["maxCapital"] is not None)
    else:
        assert seen.why


def test_it_is_said_only_when_it_changes() -> None:
    observed = Observed(REF)
    assert observed.bot(a_bot(), "uid-1") == [GrantSeen(granted=True), PauseSeen(False)]
    assert observed.bot(a_bot(), "uid-1") == []
    capped = a_bot(grant={**GRANT, "maxCapital": "1000"})
    assert observed.bot(capped, "uid-1") == [GrantSeen(granted=True, max_capital=Decimal(1000))]
    assert observed.bot(capped, "uid-1") == []
    assert observed.bot(a_bot("paper"), "uid-1") == [GrantSeen(granted=False, why="spec.mode is paper")]
    assert observed.bot(a_bot("paper"), "uid-1") == []
    assert observed.bot(a_bot(), "uid-1") == [GrantSeen(granted=True)]


def test_on_paper_none_is_looked_for() -> None:
    assert Observed().bot(a_bot(), "uid-1") == [PauseSeen(False)]


def test_another_bot_of_the_same_name_grants_nothing() -> None:
    assert Observed(REF).bot(a_bot(uid="uid-2"), "uid-1") == [BotDeleted()]
    assert Observed(REF).bot(a_bot(uid=""), "uid-1") == []
