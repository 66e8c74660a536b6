"""Momentum with brackets: momentum's targets, and exits that the backtest takes at their prices."""

from decimal import Decimal

import numpy as np
import pytest

from builders import bars
from tradingbot_research.engine import backtest
from tradingbot_research.handled import rules_of
from tradingbot_research.market import Bars
from tradingbot_research.result import Cause, Result
from tradingbot_research.rules import Costs, Rules
from tradingbot_research.sweep import targets_of
from tradingbot_runtime.strategies import registry
from tradingbot_runtime.strategies.handling import Bracket, Handling
from tradingbot_runtime.strategies.momentum import Momentum
from tradingbot_runtime.strategies.momentum_brackets import MomentumBrackets

EASY = {"lookback": 2, "max_weight": 0.5, "stop_loss_percent": 5, "take_profit_percent": 10}


def run(closes: list[float]) -> Result:
    """A backtest on bars that open at the last close, without costs."""
    close = np.array(closes)[:, None]
    opened = np.vstack([close[:1], close[:-1]])
    time = (np.datetime64("2020-01-01", "D") + np.arange(len(closes))).astype("datetime64[ns]")
    market = Bars(
        ("A",), time, opened, np.maximum(opened, close), np.minimum(opened, close), close, np.full(close.shape, 1e9)
    )
    strategy = MomentumBrackets.from_parameters(EASY)
    rules = rules_of(strategy, Rules(capital=10_000, costs=Costs.none()))
    return backtest(market, targets_of(strategy, market), rules)


def test_the_targets_are_those_of_momentum() -> None:
    frames = bars({"A": [1.0, 2, 3, 2, 1], "B": [3.0, 2, 1, 2, 3]})
    plain = Momentum.from_parameters({"lookback": 2, "max_weight": 0.5})
    assert MomentumBrackets.from_parameters(EASY).targets(frames).equals(plain.targets(frames))
    assert MomentumBrackets.from_parameters(EASY).lookback == plain.lookback


def test_the_bracket_is_told_in_shares_of_the_entry() -> None:
    handling = MomentumBrackets.from_parameters({"stop_loss_percent": 2.5, "take_profit_percent": 7}).handling
    assert handling == Handling(bracket=Bracket(Decimal("0.025"), Decimal("0.07")))


def test_a_fall_below_the_stop_is_sold_there_and_stays_sold() -> None:
    # Bought at 104 at bar 3; the stop is at 98.8, and a day that closes at 90 passes it.
    found = run([100, 102, 104, 106, 90, 108, 112, 116])
    assert found.fills.cause.tolist() == [Cause.TARGET, Cause.STOP_LOSS, Cause.TARGET]
    assert found.fills.price.tolist() == pytest.approx([104, 98.8, 108])
    # Bar 4 asked for 0 (90 < 104), bar 5 rose above 106: only that is a new wish.
    assert found.fills.bar.tolist() == [3, 4, 6]


def test_while_momentum_goes_on_an_exit_is_no_reason_to_enter_again() -> None:
    # Bought at 104; at 114.4 the profit is taken; it rises on, and nothing more happens.
    found = run([100, 102, 104, 110, 120, 130, 140, 150])
    assert found.fills.cause.tolist() == [Cause.TARGET, Cause.TAKE_PROFIT]
    assert found.fills.price.tolist() == pytest.approx([104, 114.4])


def test_what_is_held_is_neither_made_larger_nor_smaller() -> None:
    found = run([100, 102, 104, 105, 106, 107, 108, 109, 110, 111])
    assert len(found.fills.bar) == 1


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"stop_loss_percent": 0}, "parameters.stop_loss_percent"),
        ({"stop_loss_percent": 51}, "parameters.stop_loss_percent"),
        ({"take_profit_percent": 0}, "parameters.take_profit_percent"),
        ({"trailing_stop_percent": 5}, "parameters.trailing_stop_percent: Extra inputs"),
        ({"lookback": 1}, "parameters.lookback"),
    ],
)
def test_a_bad_parameter_is_named_with_the_reason(parameters: dict[str, object], words: str) -> None:
    with pytest.raises(registry.InvalidStrategyParameters, match=words):
        registry.load("momentum-brackets", parameters)
