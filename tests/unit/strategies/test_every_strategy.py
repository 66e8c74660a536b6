"""What every built-in strategy keeps to: no look-ahead, no memory, bounds, and one answer in backtest and in a bot."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tradingbot_api import TradingBotSpec
from tradingbot_research.at_once import applies, run_at_once
from tradingbot_research.causality import looks_ahead
from tradingbot_research.engine import backtest
from tradingbot_research.handled import rules_of
from tradingbot_research.market import Bars
from tradingbot_research.rules import Costs, Rules, SizeAt, Sizing
from tradingbot_research.stepping import Stepping
from tradingbot_research.sweep import StrategyBroke, neighbours, targets_of
from tradingbot_research.validate import Plan, validate
from tradingbot_runtime.cli import app
from tradingbot_runtime.strategies import registry
from tradingbot_runtime.strategies.contract import Strategy
from tradingbot_runtime.strategies.evaluation import weights_of
from unit.research.candidates import bars_around, market_of_moods
from unit.research.markets import a_market

EXAMPLES = Path(__file__).parents[3] / "examples/strategies"
MEMBERS = [
    {"name": "momentum", "share": 0.5, "parameters": {"lookback": 7}},
    {"name": "mean-reversion", "share": 0.5, "parameters": {"lookback": 6, "entry_z": 1.2}},
]
QUICK: dict[str, dict[str, Any]] = {
    "all-weather": {"weights_percent": {"S00": 50, "S01": 30}, "drift_percent": 2, "days_apart": 5},
    "ensemble": {"members": MEMBERS, "memory": 5},
    "mean-reversion": {"lookback": 9, "entry_z": 1.2},
    "momentum": {"lookback": 7},
    "momentum-brackets": {"lookback": 7, "stop_loss_percent": 3, "take_profit_percent": 5},
    "pairs": {"first": "S00", "second": "S01", "lookback": 12, "entry_z": 1.2},
}
"""Parameters with which each has something to say in a few hundred bars of S00 and S01."""
NAMES = sorted(QUICK)


def quick(name: str) -> Strategy[Any]:
    return registry.load(name, QUICK[name])


def test_these_are_all_that_are_built_in() -> None:
    assert {*NAMES} <= {*registry.names()}
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == {*NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_no_later_bar_changes_a_target_and_the_same_bars_give_the_same(name: str) -> None:
    bars = market_of_moods(5, days=300)
    strategy = quick(name)
    assert looks_ahead(strategy, bars, targets_of(strategy, bars)) == ""


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=5, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), holes=st.sampled_from([0.0, 0.1]))
def test_a_bot_that_sees_only_its_window_says_the_same_to_the_last_bit(name: str, seed: int, holes: float) -> None:
    bars = a_market(60, 2, seed=seed, step=0.02, holes=holes)
    strategy = quick(name)
    whole = targets_of(strategy, bars)
    for stop in range(strategy.lookback, 61, 6):
        there = np.isfinite(bars.close[stop - 1])
        if not bool(there.all()):
            continue  # a bot whose symbol has no last bar has stale data, and does not ask
        frames = {symbol: frame.iloc[-strategy.lookback :] for symbol, frame in bars.between(0, stop).frames().items()}
        said = weights_of(strategy, frames)
        expected = {
            symbol: Decimal(str(weight))
            for symbol, weight in zip(bars.symbols, whole[stop - 1], strict=True)
            if weight == weight
        }
        assert said == expected


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), step=st.sampled_from([0.001, 0.02, 0.2]))
def test_weights_are_shares_of_what_there_is_and_none_is_short(name: str, seed: int, step: float) -> None:
    weights = targets_of(quick(name), a_market(80, 2, seed=seed, step=step))
    assert float(np.nanmin(weights)) >= 0
    assert float(np.nansum(weights, axis=1).max()) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_a_row_before_the_lookback_is_full_says_nothing(name: str) -> None:
    strategy = quick(name)
    weights = targets_of(strategy, a_market(60, 2, seed=2))
    assert bool(np.isnan(weights[: strategy.lookback - 1]).all())
    assert bool(np.isfinite(weights[strategy.lookback - 1 :]).any())


@pytest.mark.parametrize("name", NAMES)
def test_a_bot_with_fewer_bars_than_the_lookback_is_told_nothing(name: str) -> None:
    strategy = quick(name)
    few = a_market(60, 2, seed=2).between(0, strategy.lookback).frames()
    short = {symbol: frame.iloc[1:] for symbol, frame in few.items()}
    assert weights_of(strategy, short if strategy.lookback > 1 else {}) == {}


REINVESTED = Rules(
    share_step=0, rebalance_band=None, sizing=Sizing.EQUITY, size_at=SizeAt.FILL, costs=Costs(), maximum_volume=1
)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("momentum", {"lookback": 5, "max_weight": 1.0}),
        ("mean-reversion", {"lookback": 6, "entry_z": 0.5, "exit_z": 0.4999999, "max_weight": 0.9}),
        ("ensemble", {"members": [{"name": "momentum", "share": 1, "parameters": {"max_weight": 1}}], "memory": 0}),
    ],
)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000))
def test_as_arrays_at_once_it_is_the_same_as_step_by_step(name: str, parameters: dict[str, Any], seed: int) -> None:
    bars = a_market(150, 1, seed=seed)
    targets = targets_of(registry.load(name, parameters), bars)
    assert applies(bars, REINVESTED)
    at_once = run_at_once(bars, targets, REINVESTED)
    assert at_once is not None
    stepped = Stepping(bars, targets, REINVESTED).run()
    assert at_once.fills.bar.tolist() == stepped.fills.bar.tolist()
    assert at_once.fills.shares == pytest.approx(stepped.fills.shares)
    assert at_once.equity == pytest.approx(stepped.equity)


def test_brackets_and_bands_are_never_taken_for_what_goes_at_once() -> None:
    one = a_market(50, 1)
    assert not applies(one, rules_of(quick("momentum-brackets"), REINVESTED))
    assert not applies(one, rules_of(quick("all-weather"), REINVESTED))


@pytest.mark.parametrize("name", NAMES)
def test_a_backtest_runs_end_to_end_and_a_second_time_the_same(name: str, tmp_path: Path) -> None:
    frames = market_of_moods(6, days=250).frames()
    path = tmp_path / "bars.csv"
    pd.concat([frame.assign(symbol=symbol) for symbol, frame in frames.items()]).rename_axis("timestamp").to_csv(path)
    settings_of = [f"--set={key}={json.dumps(value)}" for key, value in QUICK[name].items()]
    command = ["backtest", "--strategy", name, *settings_of, "--bars", str(path), "--json"]
    first, second = CliRunner().invoke(app, command), CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout)["fills"] > 0
    assert first.stdout == second.stdout


def test_symbols_that_there_are_no_bars_of_are_said(tmp_path: Path) -> None:
    path = tmp_path / "S00.csv"
    market_of_moods(6, days=250).frames()["S00"].rename_axis("timestamp").to_csv(path)
    pair = ["--set", "first=S00", "--set", "second=S01"]
    said = CliRunner().invoke(app, ["backtest", "--strategy", "pairs", *pair, "--bars", str(path)])
    assert said.exit_code == 78
    assert "S01" in said.stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_validation_draws_others_and_keeps_how_they_are_carried_out(name: str) -> None:
    strategy = quick(name)
    drawn = [type(strategy).from_parameters(one) for one in neighbours(strategy, 4, seed=1)]
    assert len(drawn) == 4
    assert all(one.parameters != strategy.parameters for one in drawn)
    assert {one.handling for one in drawn} == {strategy.handling}


def test_a_grid_over_brackets_is_refused_because_a_walk_forward_has_one() -> None:
    strategy = quick("momentum-brackets")
    others = [registry.load("momentum-brackets", {**QUICK["momentum-brackets"], "stop_loss_percent": 9})]
    with pytest.raises(StrategyBroke, match="stop_loss_percent, take_profit_percent are the same in all trials"):
        validate(strategy, market_of_moods(1, days=300), plan=Plan(trials=1), others=others)


def test_a_validation_backtests_with_the_brackets_of_the_strategy() -> None:
    strategy, bars = quick("momentum-brackets"), market_of_moods(1, days=300)
    found = validate(strategy, bars, plan=Plan(trials=1, permutations=100), processes=1)
    alone = backtest(bars, targets_of(strategy, bars), rules_of(strategy, Rules()))
    assert found.backtest.equity.tolist() == alone.equity.tolist()
    assert len({*found.backtest.fills.cause.tolist()}) == 3


@pytest.mark.parametrize("name", NAMES)
def test_the_example_is_a_bot_whose_strategy_loads(name: str) -> None:
    document = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
    spec = TradingBotSpec.model_validate(document["spec"])
    strategy = registry.load(spec.strategy.name, spec.strategy.parameters, spec.symbols)
    assert strategy.name == name
    # Its largest weight is one that the gateway lets through.
    prices = np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.02, (strategy.lookback + 200, 1)), axis=0))
    noise = np.random.default_rng(2).normal(0, 0.01, (len(prices), len(spec.symbols)))
    market = bars_around(100 * prices * np.exp(noise), np.random.default_rng(3))
    named = Bars(tuple(spec.symbols), market.time, market.open, market.high, market.low, market.close, market.volume)
    largest = float(np.nanmax(targets_of(strategy, named))) * 100
    assert 0 < largest <= float(spec.risk.max_position_percent)
