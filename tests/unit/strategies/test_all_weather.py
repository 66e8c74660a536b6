"""All-weather: one mix for every day, and how far it may drift."""

import math
from decimal import Decimal

import pytest

from builders import bars
from tradingbot_research.handled import rules_of
from tradingbot_research.rules import Rules
from tradingbot_runtime.strategies import registry
from tradingbot_runtime.strategies.all_weather import AllWeather
from tradingbot_runtime.strategies.handling import Rebalancing

MIX = {symbol: [100.0, 101.0, 99.0] for symbol in ("VTI", "TLT", "GLD", "DBC")}


def test_the_mix_is_the_same_at_every_bar() -> None:
    found = AllWeather.from_parameters({}).targets(bars(MIX))
    for row in range(3):
        assert found.iloc[row].to_dict() == {"VTI": 0.4, "TLT": 0.3, "GLD": 0.2, "DBC": 0.1}


def test_what_is_not_of_the_mix_is_not_held() -> None:
    found = AllWeather.from_parameters({"weights_percent": {"VTI": 60}}).targets(bars({"VTI": [1.0], "TSLA": [1.0]}))
    assert found.iloc[-1].to_dict() == {"VTI": 0.6, "TSLA": 0.0}


def test_a_symbol_without_a_bar_keeps_what_it_has() -> None:
    frames = bars(MIX)
    frames["GLD"] = frames["GLD"].iloc[:-1]
    row = AllWeather.from_parameters({}).targets(frames).iloc[-1]
    assert math.isnan(row["GLD"])
    assert row["VTI"] == 0.4


def test_it_needs_one_bar_and_every_symbol_of_the_mix() -> None:
    strategy = AllWeather.from_parameters({})
    assert strategy.lookback == 1
    with pytest.raises(registry.InvalidStrategyParameters, match="DBC, GLD named there"):
        registry.load("all-weather", {}, ["VTI", "TLT"])


def test_the_defaults_are_ten_points_thirty_days_and_a_hundred() -> None:
    strategy = AllWeather.from_parameters({})
    assert strategy.handling.rebalancing == Rebalancing(Decimal("0.1"), 30, Decimal(100))
    rules = rules_of(strategy, Rules(capital=5_000))
    assert (rules.rebalance_band, rules.rebalance_together, rules.rebalance_days) == (0.1, True, 30)
    assert rules.minimum_trade == 0.02
    assert rules_of(strategy, Rules(capital=50_000)).minimum_trade == 0.01  # that of the config is larger


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"weights_percent": {"VTI": 60, "TLT": 50}}, "parameters.weights_percent: .*110 percent together"),
        ({"weights_percent": {"VTI": 0}}, r"parameters.weights_percent\.VTI"),
        ({"weights_percent": {}}, "parameters.weights_percent"),
        ({"drift_percent": 101}, "parameters.drift_percent"),
        ({"days_apart": -1}, "parameters.days_apart"),
        ({"min_trade": -1}, "parameters.min_trade"),
    ],
)
def test_a_bad_parameter_is_named_with_the_reason(parameters: dict[str, object], words: str) -> None:
    with pytest.raises(registry.InvalidStrategyParameters, match=words):
        registry.load("all-weather", parameters)
