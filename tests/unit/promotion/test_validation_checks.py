"""What a gate makes of a validation: a strategy that knows the future passes nothing, and luck is told from skill."""

from typing import Any

import pytest

from tradingbot_api import CheckState, PromotionGateSpec
from tradingbot_operator.promotion.evaluate import evaluate
from tradingbot_operator.promotion.findings import Finding
from tradingbot_operator.promotion.ledger import Evidence
from unit.promotion.cases import GATE, NOW, a_gate, a_subject, a_validation, facts

VALIDATED = (
    "ValidationArtifacts",
    "BacktestSharpe",
    "BacktestMaxDrawdown",
    "WalkForwardEfficiency",
    "OverfitRatio",
    "StatisticalSignificance",
)


def findings(gate: PromotionGateSpec = GATE, **changes: Any) -> dict[str, Finding]:
    """What the checks of a validation find where it differs so from a good one."""
    validation = a_validation(a_subject(gate), **changes)
    found = evaluate(facts(gate, evidence=[validation]), NOW)
    return {check.name: check.finding for check in found.checklist if check.name in VALIDATED}


def test_a_good_validation_passes_each_check() -> None:
    assert {one.state for one in findings().values()} == {CheckState.PASS}


def test_a_strategy_that_knows_the_future_passes_none_whatever_it_shows() -> None:
    found = findings(causal=False, sharpe="9", tStatistic="20", permutationP="0.0005", deflatedSharpe="1")
    assert {(one.state, one.observed) for one in found.values()} == {(CheckState.FAIL, "look-ahead")}
    assert all("bars that come later" in one.message for one in found.values())


def test_a_validation_that_does_not_count_is_not_told_as_one_that_is_missing() -> None:
    found = evaluate(facts(GATE, evidence=[a_foreign_validation()]), NOW)
    messages = {check.name: check.finding.message for check in found.checklist}
    assert all("1 do not count, the last (validation): from a simulator" in messages[name] for name in VALIDATED)
    assert "do not count" not in messages["PaperSessions"]


def a_foreign_validation() -> Evidence:
    good = a_validation(a_subject(GATE))
    spec = good.spec.model_copy(update={"provider": "simulator"})
    return Evidence("validation", spec, good.observed_at)


@pytest.mark.parametrize(("deflated", "state"), [("0.9499", CheckState.FAIL), ("0.95", CheckState.PASS)])
def test_the_best_of_many_trials_has_to_be_better_than_luck(deflated: str, state: CheckState) -> None:
    found = findings(deflatedSharpe=deflated)
    assert found.pop("StatisticalSignificance").state is state
    assert {one.state for one in found.values()} == {CheckState.PASS}


def test_a_gate_may_ask_for_more_than_its_default() -> None:
    stricter = a_gate(checks={"statisticalSignificance": {"minimumDeflatedSharpe": "0.99"}})
    assert findings(stricter, deflatedSharpe="0.98")["StatisticalSignificance"].state is CheckState.FAIL
    assert findings(stricter, deflatedSharpe="0.99")["StatisticalSignificance"].state is CheckState.PASS
