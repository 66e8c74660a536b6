"""Momentum and the registry: what is held, and what a user's mistake says."""

import math

import pytest

from builders import bars
from tradingbot_runtime.strategies import registry
from tradingbot_runtime.strategies.momentum import Momentum


def test_what_has_risen_is_held_and_the_rest_is_not() -> None:
    targets = Momentum.from_parameters({"lookback": 2}).targets(bars({"A": [1, 2, 3], "B": [3, 2, 1]}))
    assert targets.iloc[-1].to_dict() == {"A": 0.2, "B": 0.0}


def test_before_the_lookback_is_full_there_is_no_opinion() -> None:
    targets = Momentum.from_parameters({"lookback": 2}).targets(bars({"A": [1, 2, 3]}))
    assert math.isnan(targets["A"].iloc[1])


def test_later_bars_change_no_earlier_target() -> None:
    strategy = Momentum.from_parameters({"lookback": 3})
    prices = [5, 6, 4, 7, 8, 3, 9, 2, 10]
    whole = strategy.targets(bars({"A": prices}))
    for end in range(1, len(prices)):
        part = strategy.targets(bars({"A": prices[:end]}))
        assert part["A"].tolist()[-1] == pytest.approx(whole["A"].tolist()[end - 1], nan_ok=True)


def test_equal_parts_when_there_are_many() -> None:
    many = {f"S{n}": [1.0, 2.0, 3.0] for n in range(10)}
    row = Momentum.from_parameters({"lookback": 2}).targets(bars(many)).iloc[-1]
    assert row.sum() == pytest.approx(1.0)


def test_the_lookback_counts_the_bar_the_return_starts_from() -> None:
    assert Momentum.from_parameters({"lookback": 2}).lookback == 3


def test_a_strategy_is_found_by_name() -> None:
    assert isinstance(registry.load("momentum", {"lookback": 5}), Momentum)
    assert "momentum" in registry.names()


def test_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(registry.UnknownStrategy, match="momentum"):
        registry.load("momentun", {})


@pytest.mark.parametrize(
    ("parameters", "words"),
    [({"lookback": 1}, "parameters.lookback"), ({"lockback": 20}, "lockback"), ({"max_weight": "x"}, "max_weight")],
)
def test_a_bad_parameter_is_named(parameters: dict[str, object], words: str) -> None:
    with pytest.raises(registry.InvalidStrategyParameters, match=words):
        registry.load("momentum", parameters)
