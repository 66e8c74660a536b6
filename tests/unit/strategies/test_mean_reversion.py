"""Mean reversion: bought far below the average, sold near it, left alone between."""

import math

import pytest

from builders import bars
from tradingbot_runtime.strategies import registry
from tradingbot_runtime.strategies.mean_reversion import MeanReversion

EASY = {"lookback": 5, "entry_z": 1.5, "exit_z": 0.5, "max_weight": 0.3}


def last(prices: list[float], **changes: object) -> float:
    targets = MeanReversion.from_parameters({**EASY, **changes}).targets(bars({"A": prices}))
    return float(targets["A"].iloc[-1])


def test_what_closes_far_below_its_average_is_bought() -> None:
    # Mean 9.6, squares 4 x 0.4^2 + 1.6^2 = 3.2, deviation sqrt(0.8), z = -1.6 / 0.894 = -1.789.
    assert last([10, 10, 10, 10, 8]) == 0.3


def test_what_is_back_near_its_average_is_sold() -> None:
    # Mean 9.6, distance 0.4 above it.
    assert last([10, 10, 10, 8, 10]) == 0.0


def test_between_exit_and_entry_what_is_held_stays() -> None:
    # Mean 10, squares 1 + 1 + 0 + 0 + 0 ... of 9, 11, 10, 11, 9: deviation 1, z = -1.
    assert math.isnan(last([9, 11, 10, 11, 9]))


def test_the_same_distance_is_bought_where_less_is_asked_for() -> None:
    assert last([9, 11, 10, 11, 9], entry_z=0.9) == 0.3


def test_below_zero_the_exit_waits_until_the_price_is_above_the_average() -> None:
    assert math.isnan(last([9, 11, 10, 11, 10], exit_z=-0.5))
    assert last([9, 11, 10, 9, 11], exit_z=-0.5) == 0.0


def test_before_the_lookback_is_full_there_is_no_opinion() -> None:
    assert math.isnan(last([10, 10, 10, 8]))
    assert MeanReversion.from_parameters(EASY).lookback == 5


def test_a_price_that_stands_still_is_no_reason_to_buy() -> None:
    assert last([0.1] * 5) == 0.0


def test_equal_parts_when_there_are_many() -> None:
    fallen = {f"S{number}": [10.0, 10, 10, 10, 8] for number in range(10)}
    row = MeanReversion.from_parameters(EASY).targets(bars(fallen)).iloc[-1]
    assert row.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"lookback": 4}, "parameters.lookback: Input should be greater than or equal to 5"),
        ({"entry_z": 0}, "parameters.entry_z"),
        ({"max_weight": 1.1}, "parameters.max_weight"),
        ({"exit_z": 2.5}, "parameters.exit_z: .*not less than entry_z 2: what was bought would be sold at once"),
    ],
)
def test_a_bad_parameter_is_named_with_the_reason(parameters: dict[str, object], words: str) -> None:
    with pytest.raises(registry.InvalidStrategyParameters, match=words):
        registry.load("mean-reversion", parameters)
