"""Pairs: the cheap one of two is held, the dear one never sold short."""

import math

import numpy as np
import pytest

from builders import bars
from tradingbot_runtime.strategies import registry
from tradingbot_runtime.strategies.pairs import Pairs

EASY = {"first": "KO", "second": "PEP", "lookback": 10, "entry_z": 2.0, "exit_z": 0.5, "weight": 0.4}
LEVEL = [10.0, 10.1, 9.9, 10.0, 10.1, 9.9, 10.0, 10.1, 9.9]


def last(first: float, second: float = 10.0, **changes: object) -> dict[str, float]:
    frames = bars({"KO": [*LEVEL, first], "PEP": [*([10.0] * 9), second]})
    row = Pairs.from_parameters({**EASY, **changes}).targets(frames).iloc[-1]
    return {str(symbol): float(weight) for symbol, weight in row.items()}


def test_the_one_that_has_become_cheap_is_held_and_the_other_is_not() -> None:
    # Ratio 0.9 after nine about 1: mean 0.99, squares 6 x 0.01^2 about 1 and 0.1 of the last: z about -2.7.
    assert last(9.0) == {"KO": 0.4, "PEP": 0.0}


def test_on_the_other_side_it_is_the_other_one() -> None:
    assert last(11.0) == {"KO": 0.0, "PEP": 0.4}


def test_near_the_average_neither_is_held() -> None:
    assert last(10.0) == {"KO": 0.0, "PEP": 0.0}


def test_between_exit_and_entry_the_cheap_one_stays_as_it_is() -> None:
    row = last(9.9)  # z about -1.1
    assert math.isnan(row["KO"])
    assert row["PEP"] == 0.0


def test_no_weight_is_ever_below_zero_nor_are_both_held() -> None:
    rng = np.random.default_rng(3)
    walk = 10 * np.exp(np.cumsum(rng.normal(0, 0.02, (400, 2)), axis=0))
    found = Pairs.from_parameters(EASY).targets(bars({"KO": walk[:, 0].tolist(), "PEP": walk[:, 1].tolist()}))
    assert float(found.min().min()) == 0.0
    assert bool((found.fillna(0).sum(axis=1) <= 0.4).all())
    assert bool((found["KO"] > 0).any())
    assert bool((found["PEP"] > 0).any())


def test_other_symbols_are_not_held() -> None:
    frames = bars({"KO": [*LEVEL, 9.0], "PEP": [10.0] * 10, "VTI": [1.0] * 10})
    assert Pairs.from_parameters(EASY).targets(frames)["VTI"].tolist() == [0.0] * 10


def test_where_one_has_no_bars_nothing_is_said_of_the_other() -> None:
    found = Pairs.from_parameters(EASY).targets(bars({"KO": [*LEVEL, 9.0]}))
    assert list(found.columns) == ["KO"]
    assert found["KO"].isna().all()


def test_before_the_lookback_is_full_there_is_no_opinion() -> None:
    frames = bars({"KO": LEVEL, "PEP": [10.0] * 9})
    assert Pairs.from_parameters(EASY).targets(frames).isna().all().all()
    assert Pairs.from_parameters(EASY).lookback == 10


def test_a_bot_without_both_symbols_is_refused() -> None:
    assert registry.load("pairs", EASY, ["PEP", "KO"]).name == "pairs"
    with pytest.raises(registry.InvalidStrategyParameters, match=r"PEP named there, and not among spec\.symbols"):
        registry.load("pairs", EASY, ["KO", "PEPP"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"first": None}, "parameters.first"),
        ({"second": "KO"}, "parameters.second: .*a pair is of two symbols"),
        ({"second": "pep"}, "parameters.second"),
        ({"lookback": 9}, "parameters.lookback"),
        ({"exit_z": 2}, "parameters.exit_z: .*not between -entry_z and entry_z"),
        ({"exit_z": -2}, "parameters.exit_z"),
        ({"weight": 0}, "parameters.weight"),
    ],
)
def test_a_bad_parameter_is_named_with_the_reason(changes: dict[str, object], words: str) -> None:
    with pytest.raises(registry.InvalidStrategyParameters, match=words):
        registry.load("pairs", {**EASY, **changes})
