"""The ensemble: a weighted sum of its members, who may remember what they said."""

import math

import pytest

from builders import bars
from tradingbot_runtime.strategies import registry
from tradingbot_runtime.strategies.ensemble import Ensemble

MOMENTUM = {"name": "momentum", "share": 0.5, "parameters": {"lookback": 2, "max_weight": 0.4}}
REVERSION = {
    "name": "mean-reversion",
    "share": 0.25,
    "parameters": {"lookback": 5, "entry_z": 1.5, "exit_z": 0.5, "max_weight": 0.8},
}
RISING = [1.0, 2, 3, 4, 5, 6, 7, 8]
FALLEN = [10.0, 10, 10, 10, 8]


def last(prices: list[float], *members: dict[str, object], memory: int = 0) -> float:
    found = Ensemble.from_parameters({"members": members, "memory": memory}).targets(bars({"A": prices}))
    return float(found["A"].iloc[-1])


def test_targets_are_added_up_by_their_shares() -> None:
    # Momentum wants 0.4 of its half, mean reversion nothing: 0.2. Where both speak of a fall: 0.25 x 0.8.
    assert last(RISING, MOMENTUM, REVERSION) == pytest.approx(0.2)
    assert last(FALLEN, MOMENTUM, REVERSION) == pytest.approx(0.2)
    assert last(RISING, MOMENTUM, {**MOMENTUM, "share": 0.25}) == pytest.approx(0.3)


def test_a_member_without_an_opinion_is_taken_at_its_last_word() -> None:
    # The fall is at the last bar but one; then z is about -1, between exit and entry.
    prices = [10.0, 10, 10, 10, 8, 8.9]
    assert last(prices, REVERSION, memory=1) == pytest.approx(0.2)


def test_a_word_that_is_older_than_the_memory_counts_no_more() -> None:
    assert last([10.0, 10, 10, 10, 8, 8.9], REVERSION, memory=0) == 0.0


def test_nothing_is_said_until_the_slowest_is_ready_and_its_memory_full() -> None:
    strategy = Ensemble.from_parameters({"members": [MOMENTUM, REVERSION], "memory": 2})
    assert strategy.lookback == 7
    found = strategy.targets(bars({"A": RISING}))["A"]
    assert found.isna().tolist() == [True] * 6 + [False] * 2


def test_a_bar_that_is_not_there_is_no_opinion() -> None:
    frames = bars({"A": RISING, "B": RISING})
    frames["B"] = frames["B"].iloc[:-1]
    row = Ensemble.from_parameters({"members": [MOMENTUM], "memory": 0}).targets(frames).iloc[-1]
    assert math.isnan(row["B"])
    assert row["A"] > 0


def test_it_needs_the_symbols_that_its_members_name() -> None:
    pairs = {"name": "pairs", "share": 0.5, "parameters": {"first": "KO", "second": "PEP"}}
    assert Ensemble.from_parameters({"members": [MOMENTUM, pairs]}).needed_symbols == {"KO", "PEP"}


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([], "parameters.members"),
        ([MOMENTUM, {**REVERSION, "share": 0.6}], "shares are 1.1 together, more than 1"),
        ([{**MOMENTUM, "share": 0}], r"parameters.members\.0\.share"),
        ([{"name": "momentun", "share": 1}], "0: momentun: .*no strategy 'momentun'"),
        ([MOMENTUM, {**REVERSION, "parameters": {"lookback": 1}}], "1: mean-reversion: .*lookback"),
        ([{"name": "ensemble", "share": 1, "parameters": {"members": [MOMENTUM]}}], "an ensemble of ensembles"),
        ([{"name": "all-weather", "share": 1}], "all-weather has brackets or bands of its own"),
        ([{"name": "momentum-brackets", "share": 1}], "momentum-brackets has brackets or bands of its own"),
    ],
)
def test_a_bad_member_is_named_with_the_reason(members: list[object], words: str) -> None:
    with pytest.raises(registry.InvalidStrategyParameters, match=words):
        registry.load("ensemble", {"members": members})
