"""`tradingbot check-strategy`: what breaks the contract is found, with the first bar that shows it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import Result
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tradingbot_research.asked_apart import Apart, NotFoundAgain
from tradingbot_research.market import Bars
from tradingbot_research.strategy_check import Checked, Property, TooFewBars, check_strategy
from tradingbot_research.sweep import rounded
from tradingbot_research.trial_markets import symbols_with, trial_markets
from tradingbot_runtime.cli import app
from tradingbot_runtime.strategies.contract import Strategy
from unit.research import cheats

ANOTHER_TIME = Apart(hash_seed=2, clock=datetime(2037, 6, 20, 15, 31, 42, tzinfo=UTC))
LONG_AGO = Apart(hash_seed=3, clock=datetime(2001, 1, 1, 3, 4, 5, tzinfo=UTC))
CHEATS = "unit.research.cheats"
SHOWN_BY = {cheats.Filled: ("holes",), cheats.Infinite: ("still",), cheats.OfTheClass: ("calm", "wild")}
"""Those that only another market gives away."""


def checked(kind: type[Strategy[Any]], *apart: Apart, markets: tuple[str, ...] = ("calm",)) -> Checked:
    found = trial_markets(1, 3)
    strategy = kind.from_parameters({})
    return check_strategy(strategy, {name: found[name] for name in markets}, tries=3, apart=apart)


def broken(found: Checked) -> dict[str, Property]:
    return {one.name: one for one in found.properties if not one.holds}


def test_an_honest_strategy_keeps_every_property() -> None:
    found = checked(cheats.Honest, ANOTHER_TIME, markets=("calm", "wild", "still", "holes"))
    assert found.passed, broken(found)
    assert [one.name for one in found.properties] == [
        "answers",
        "causality",
        "determinism",
        "no hidden state",
        "bounds",
        "live equals backtest",
    ]
    assert all(min(one.tried.values()) > 0 for one in found.properties if one.name != "bounds")
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        (cheats.Tomorrow, "causality", "when the bars after it are not there yet"),
        (cheats.WholeSample, "causality", "when the bars after it"),
        (cheats.Filled, "causality", "when the bars after it"),
        (cheats.InOrOut, "live equals backtest", "live, where it is given the last 3 bars"),
        (cheats.OfTheClass, "no hidden state", "of a new instance"),
        (cheats.Forgetful, "no hidden state", "lookback says that 3 bars are enough"),
        (cheats.Forgetful, "live equals backtest", "the last 3 bars"),
        (cheats.Dice, "determinism", "when asked again"),
        (cheats.FirstCome, "determinism", "in the order DBC, GLD, TLT, VTI"),
        (cheats.Silent, "bounds", "nothing (NaN) here and at every later bar, although its lookback of 3 bars is full"),
        (cheats.Infinite, "bounds", "inf is not finite"),
        (cheats.Greedy, "bounds", "1 and the weights of this bar sum to"),
        (cheats.Levered, "bounds", "2 is beyond the whole capital"),
        (cheats.OfStrangers, "answers", "targets for GME, which no bars were given of"),
        (cheats.Dropping, "answers", "rows that are not those of the"),
        (cheats.Raising, "answers", "KeyError: 'vwap'"),
        (cheats.RaisingOnFew, "live equals backtest", "IndexError: single positional indexer"),
        (cheats.Writing, "no hidden state", "it changes the bars that it was given"),
    ],
)
def test_what_breaks_the_contract_is_found(kind: type[Strategy[Any]], name: str, words: str) -> None:
    found = checked(kind, markets=SHOWN_BY.get(kind, ("calm",)))
    assert not found.passed
    failure = broken(found)[name].failure
    assert failure is not None
    assert words in failure.says


@pytest.mark.parametrize(
    ("kind", "apart", "words"),
    [
        (cheats.DiceOnce, Apart(1), "in a new process with PYTHONHASHSEED=1"),
        (cheats.OfTheClock, ANOTHER_TIME, "where it is 2037-06-20 15:31"),
        (cheats.OfToday, LONG_AGO, "where it is 2001-01-01 03:04"),
    ],
)
def test_chance_and_clock_are_found_by_asking_elsewhere(kind: type[Strategy[Any]], apart: Apart, words: str) -> None:
    found = checked(kind, apart)
    failure = broken(found)["determinism"].failure
    assert failure is not None
    assert words in failure.says


def test_names_have_another_hash_in_another_process() -> None:
    # With these two the lowest hash is that of two symbols: one of them at least is not this process's.
    found = checked(cheats.Hashed, Apart(1), Apart(2))
    failure = broken(found)["determinism"].failure
    assert failure is not None
    assert "PYTHONHASHSEED" in failure.says


def test_the_first_bar_that_differs_is_named_with_both_weights() -> None:
    found = checked(cheats.Tomorrow)
    failure = broken(found)["causality"].failure
    assert failure is not None
    assert failure.where is not None
    bars, where = found.markets["calm"], failure.where
    column = bars.symbols.index(where.symbol)
    rises = bars.close[where.bar + 1, column] > bars.close[where.bar, column]
    assert rises
    assert (where.expected, where.found, where.time) == (0.25, 0.0, bars.time[where.bar])


def test_a_strategy_that_never_changes_its_mind_passes_with_a_warning() -> None:
    found = checked(cheats.Constant)
    assert found.passed, broken(found)
    assert "its targets never change on these bars" in found.warnings[0]


def test_too_few_bars_prove_nothing() -> None:
    few = trial_markets(1, 3)["calm"].between(0, 20)
    with pytest.raises(TooFewBars, match="it takes 23"):
        check_strategy(cheats.Honest.from_parameters({}), {"few": few})


def test_a_class_that_no_other_process_can_import_is_refused() -> None:
    class Local(cheats.Honest):
        pass

    with pytest.raises(NotFoundAgain, match="not a class of a module"):
        checked(Local, Apart(1))


def test_markets_are_the_same_for_the_same_seed_and_hold_no_defect() -> None:
    from tradingbot_runtime.core.quality import defect

    once, again, others = (trial_markets(seed, 20) for seed in (1, 1, 2))
    assert [bars.fingerprint for bars in once.values()] == [bars.fingerprint for bars in again.values()]
    assert all(once[name].fingerprint != others[name].fingerprint for name in once)
    for bars in once.values():
        assert all(defect(frame) is None for frame in bars.frames().values())
    assert symbols_with({"KO", "PEP"}) == ("KO", "PEP", "VTI", "TLT")


@pytest.mark.parametrize("name", sorted(one.name for one in entry_points(group="tradingbot.strategies")))
def test_every_strategy_that_is_built_in_passes(name: str) -> None:
    (point,) = entry_points(group="tradingbot.strategies", name=name)
    strategy: Strategy[Any] = point.load().from_parameters(BUILT_IN.get(name, {}))
    markets = trial_markets(3, strategy.lookback, symbols_with(strategy.needed_symbols))
    found = check_strategy(strategy, markets, tries=3, apart=())
    assert found.passed, broken(found)


BUILT_IN: dict[str, dict[str, Any]] = {
    "momentum": {"max_weight": 1.0, "lookback": 7},
    "pairs": {"first": "KO", "second": "PEP", "lookback": 20, "entry_z": 1.0},
    "ensemble": {
        "members": [
            {"name": "momentum", "share": 0.5, "parameters": {"lookback": 10}},
            {"name": "mean-reversion", "share": 0.5, "parameters": {"lookback": 8}},
        ],
        "memory": 10,
    },
}


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.integers(-20_000_000, 20_000_000), min_size=1, max_size=50))
def test_weights_are_rounded_as_a_bot_rounds_them(tenths: list[int]) -> None:
    weights = np.array(tenths) / 20_000_000
    assert rounded(weights).tolist() == [round(weight, 6) for weight in weights.tolist()]


def test_a_weight_half_way_between_two_is_the_bots() -> None:
    weights = np.array([0.4882905, 0.0656995, np.nan, -0.2832035])
    assert not np.array_equal(np.round(weights, 6), rounded(weights), equal_nan=True)
    assert np.isnan(rounded(weights)[2])


# ------------------------------------------------------------------ the command


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["check-strategy", *[str(one) for one in arguments]])


def bars_file(path: Path, bars: Bars) -> Path:
    parts = [frame.assign(symbol=symbol) for symbol, frame in bars.frames().items()]
    pd.concat(parts).rename_axis("timestamp").to_csv(path)
    return path


def test_the_command_shows_what_was_tried(tmp_path: Path) -> None:
    path = bars_file(tmp_path / "bars.csv", trial_markets(1, 3)["calm"])
    result = run(f"{CHEATS}:Raising", "--bars", path)
    assert result.exit_code == 1
    assert "on bars.csv: 209 bars of DBC, GLD, TLT, VTI" in result.stdout
    assert "PROPERTY  RESULT  TRIED\nanswers   FAILED  nothing" in result.stdout
    assert "answers (a target for every bar, for no symbol but those given) does not hold" in result.stdout


def test_the_command_says_where_a_property_does_not_hold(tmp_path: Path) -> None:
    path = bars_file(tmp_path / "bars.csv", trial_markets(1, 3)["calm"].between(0, 60))
    result = run(f"{CHEATS}:Tomorrow", "--bars", path, "--tries", "2", "-o", "json")
    assert result.exit_code == 1, result.output
    document = json.loads(result.stdout)
    assert not document["passed"]
    (causality,) = [one for one in document["properties"] if one["name"] == "causality"]
    assert causality["failure"].keys() == {"market", "says", "bar", "symbol", "expected", "found"}
    assert (causality["failure"]["expected"], causality["failure"]["found"]) == (0.25, 0.0)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["momentun"], 78, "UnknownStrategy: "),
        (["momentum", "--set", "lookback=1"], 78, "parameters.lookback"),
        (["momentum", "--parameters", "lookback=1"], 78, "this is no JSON"),
        (["momentum", "--parameters", "[1]"], 78, "write an object"),
        (["momentum", "--symbols", "A,A"], 78, "each once"),
        (["no_such_module:Strategy"], 78, "ModuleNotFoundError"),
        ([f"{CHEATS}:Nobody"], 78, "AttributeError"),
        ([f"{CHEATS}:NoParameters"], 78, "is no Strategy"),
        (["momentum", "--bars", "nowhere.csv"], 65, "there is no such file"),
    ],
)
def test_what_is_wrong_is_said(arguments: list[str], code: int, words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert words in result.stderr


def test_too_few_bars_are_said(tmp_path: Path) -> None:
    path = bars_file(tmp_path / "bars.csv", trial_markets(1, 3)["calm"].between(0, 30))
    result = run("momentum", "--bars", path)
    assert result.exit_code == 65
    assert "with a lookback of 21 it takes 41" in result.stderr


def test_a_shell_completes_names() -> None:
    asked = {"_TRADINGBOT_COMPLETE": "complete_bash", "COMP_WORDS": "tradingbot check-strategy mom", "COMP_CWORD": "2"}
    program = Path(sys.executable).parent / "tradingbot"
    found = subprocess.run([program], env={**os.environ, **asked}, capture_output=True, text=True, timeout=60)
    assert "momentum" in found.stdout.split()
