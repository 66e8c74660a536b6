"""One symbol of an account belongs to one bot: the eldest that asks, and only once no other pod trades it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradingbot_operator.plan.symbols import Claim, claim_of, owned_by_elders, owners
from unit.operator.world import a_bot, a_live_account, a_pod, a_stateful_set, child, condition, kinds, plan, said


def replicas(planned: Any) -> int:
    count: int = child(planned, "StatefulSet")["spec"]["replicas"]
    return count


def test_the_eldest_keeps_a_symbol_and_the_other_holds_no_pod() -> None:
    elder, younger = a_bot("elder", age_minutes=60), a_bot("younger", age_minutes=5)
    planned = plan(younger, rivals=(elder,))
    assert said(planned, "SymbolConflict") == ("True", "SymbolOwnedByOther")
    assert "elder" in condition(planned, "SymbolConflict")["message"]
    assert "AAPL, MSFT" in condition(planned, "SymbolConflict")["message"]
    assert said(planned) == ("False", "SymbolConflict")
    assert replicas(planned) == 0
    kept = plan(elder, rivals=(younger,))
    assert said(kept, "SymbolConflict") == ("False", "NoConflict")
    assert replicas(kept) == 1


def test_a_conflict_stops_a_pod_even_where_no_manifest_can_be_made() -> None:
    rivals = (a_bot("elder", age_minutes=90),)
    assert plan(account=None, rivals=rivals).stop != ()
    assert plan(a_bot(timeframe="2Min"), rivals=rivals).stop != ()
    assert plan(a_bot(timeframe="2Min"), account=a_live_account("sim")).stop != ()


def test_a_bot_whose_symbols_another_pod_still_trades_waits() -> None:
    leaver = a_pod("leaver", symbols=["MSFT"])
    planned = plan(account_pods=(leaver,), children={}, pods=())
    assert said(planned, "SymbolConflict") == ("False", "WaitingForSymbols")
    assert said(planned) == ("False", "WaitingForSymbols")
    assert "MSFT (bot leaver)" in condition(planned)["message"]
    assert replicas(planned) == 0


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_trades_nothing(phase: str) -> None:
    assert replicas(plan(account_pods=(a_pod("leaver", phase=phase),), children={}, pods=())) == 1


def test_a_running_bot_takes_a_new_symbol_only_once_it_is_free() -> None:
    running = {"StatefulSet": a_stateful_set(symbols=["AAPL"])}
    leaver = a_pod("leaver", symbols=["MSFT"])
    waiting = plan(children=running, account_pods=(leaver,))
    assert "StatefulSet" not in kinds(waiting) and "ConfigMap" not in kinds(waiting)
    assert waiting.stop == ()
    assert said(waiting, "SymbolConflict") == ("False", "WaitingForSymbols")
    free = plan(children=running, account_pods=())
    assert replicas(free) == 1 and "ConfigMap" in kinds(free)


def test_a_running_bot_is_never_scaled_down_for_symbols_it_trades() -> None:
    intruder = a_pod("intruder", symbols=["AAPL"])
    assert replicas(plan(account_pods=(intruder, a_pod()))) == 1


claims = st.lists(
    st.builds(
        Claim,
        bot=st.sampled_from(["a", "b", "c", "d"]),
        uid=st.uuids().map(str),
        created_at=st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", "2026-01-02T00:00:00Z"]),
        symbols=st.frozensets(st.sampled_from(["AAPL", "MSFT", "NVDA"]), max_size=3),
    ),
    max_size=6,
    unique_by=lambda claim: claim.uid,
)


@given(claims, st.randoms())
def test_ownership_does_not_depend_on_the_order_of_seeing(found: list[Claim], random: Any) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)
    assert owners(found) == owners(shuffled)


@given(claims)
def test_every_symbol_has_exactly_one_owner_and_only_its_owner_is_free_of_conflict_about_it(found: list[Claim]) -> None:
    for symbol in {symbol for claim in found for symbol in claim.symbols}:
        free = [
            claim
            for claim in found
            if symbol in claim.symbols
            and not any(
                symbol in overlap.symbols for overlap in owned_by_elders(claim, [c for c in found if c is not claim])
            )
        ]
        assert len(free) == 1
        assert owners(found)[symbol] == free[0].bot


def test_a_claim_is_read_from_any_stored_spec() -> None:
    assert claim_of({"spec": {"symbols": ["AAPL", 7, "AAPL"]}}).symbols == frozenset({"AAPL"})
    assert claim_of({"spec": None}).symbols == frozenset()
