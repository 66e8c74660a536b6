"""The breaker and the intraday pauses: what trips them, what ends them, and who may."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import OPEN
from tradingbot_api import RiskLimits
from tradingbot_runtime.core.risk import Limits, RiskLedger

CAPITAL = Decimal(10_000)
LIMITS = Limits.of(RiskLimits())
MONDAY, TUESDAY = "2026-03-02", "2026-03-03"


def seen(ledger: RiskLedger, session: str, profit: object, minutes: float = 0) -> RiskLedger:
    return ledger.observe(session, Decimal(str(profit)), CAPITAL, LIMITS, at(minutes))


def at(minutes: float) -> datetime:
    return OPEN + timedelta(minutes=minutes)


def test_the_daily_loss_trips_for_the_session_and_the_gap_overnight_counts() -> None:
    gapped = seen(seen(RiskLedger(), MONDAY, 100), TUESDAY, -200)
    assert gapped.tripped == "DailyLossLimit"
    assert seen(gapped, "2026-03-04", -200).tripped is None


def test_the_drawdown_trips_until_a_person_resets_it() -> None:
    down = seen(seen(RiskLedger(), MONDAY, 2000), TUESDAY, 500)
    assert down.tripped == "DrawdownLimit"
    assert seen(down, "2026-03-09", 5000).tripped == "DrawdownLimit"


@pytest.mark.parametrize(
    ("lost", "until"),
    [(299, None), (300, 15), (499, 15), (500, 60), (699, 60)],
)
def test_a_loss_from_the_sessions_peak_pauses_for_as_long_as_it_is_deep(lost: int, until: int | None) -> None:
    ledger = seen(seen(RiskLedger(), MONDAY, 1000), MONDAY, 1000 - lost)
    assert (ledger.pause_in_force(at(0)) is not None) == (until is not None)
    if until is not None:
        assert ledger.pause_in_force(at(until - 1))
        assert ledger.pause_in_force(at(until)) is None


def test_the_deepest_pause_lasts_until_the_session_ends() -> None:
    ledger = seen(seen(RiskLedger(), MONDAY, 1000), MONDAY, 300)
    assert ledger.pause_in_force(at(389))
    assert seen(ledger, TUESDAY, 300, 1440).pause_in_force(at(1440)) is None


def test_a_pause_is_taken_once_a_session() -> None:
    ledger = seen(seen(RiskLedger(), MONDAY, 0), MONDAY, -290)
    ledger = seen(ledger, MONDAY, -310)
    after = seen(ledger, MONDAY, -320, 20)
    assert after.pause_in_force(at(20)) is None
    assert seen(after, MONDAY, -505, 21).pause_in_force(at(22))


def test_a_reset_waits_for_the_cool_down_and_counts_losses_from_there() -> None:
    tripped = seen(seen(RiskLedger(), MONDAY, 0), MONDAY, -1600, 10)
    assert tripped.tripped == "DrawdownLimit"
    assert "cool-down" in (tripped.why_not_reset("looked into it", LIMITS, at(39)) or "")
    assert tripped.why_not_reset("looked into it", LIMITS, at(40)) is None
    reset = tripped.reset("looked into it")
    assert reset.tripped is None
    assert seen(reset, MONDAY, -1601, 41).tripped is None
    assert "before" in (seen(reset, MONDAY, -3300, 41).why_not_reset("looked into it", LIMITS, at(999)) or "")


def test_nothing_is_reset_where_nothing_is_open() -> None:
    assert RiskLedger().why_not_reset("why not", LIMITS, at(0)) == "no breaker is open"


def test_an_older_checkpoint_is_read() -> None:
    document = (
        '{"session": "2026-03-02", "session_start_profit": "5", "peak_profit": "7", "last_profit": "6",'
        ' "drawdown_tripped": true, "daily_loss_tripped": false}'
    )
    ledger = RiskLedger.from_json(document)
    assert (ledger.tripped, ledger.session_peak_profit, ledger.pauses_taken) == ("DrawdownLimit", 5, 0)


@given(
    profits=st.lists(st.tuples(st.sampled_from([MONDAY, TUESDAY]), st.integers(-3000, 3000)), max_size=30),
)
def test_the_ledger_survives_a_restart_at_any_moment(profits: list[tuple[str, int]]) -> None:
    ledger = RiskLedger()
    for minute, (session, profit) in enumerate(sorted(profits, key=lambda one: one[0])):
        ledger = seen(ledger, session, profit, minute)
        recovered = RiskLedger.from_json(ledger.to_json())
        assert recovered == ledger
        assert recovered.last_profit == ledger.last_profit


@given(profits=st.lists(st.integers(-3000, 3000), min_size=1, max_size=30))
def test_only_a_person_or_a_new_session_ends_a_trip(profits: list[int]) -> None:
    ledger, tripped = RiskLedger(), False
    for minute, profit in enumerate(profits):
        ledger = seen(ledger, MONDAY, profit, minute)
        assert not tripped or ledger.tripped is not None
        tripped = ledger.tripped is not None
