"""The same bars through the bot (core, journal, alpaca-py, simulator), event by event, and through the engine.

Targets are equal bit for bit, and so are the shares of every fill on every day. Prices of fills differ by what the
simulator's market moves between the open and its first second, and by its spread; the equity by what these add up to.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation.drawn_strategies import drawn_installed
from simulation.replayed_markets import on_sessions, replaying
from simulation.world import World, driven
from tradingbot_research.engine import backtest
from tradingbot_research.handled import rules_of
from tradingbot_research.market import Bars, Floats
from tradingbot_research.result import Cause, Result
from tradingbot_research.rules import Costs, Rules
from tradingbot_research.sweep import targets_of
from tradingbot_runtime.strategies.registry import load
from unit.research.candidates import market_of_moods

SYMBOLS = ("AAPL", "MSFT", "SPY")
CAPITAL = 50_000
CENTS_A_SHARE = 0.02
"""Half a spread of at most two cents below 200 dollars, and the cent that prices are rounded to."""
MOVE = {Cause.TARGET: 2e-4, Cause.TAKE_PROFIT: 2e-4, Cause.STOP_LOSS: 12e-4}
"""What the price moves, as a share, before an order is filled: within the first second of a session; and after a stop
was touched, from which on it is a market order of the next second."""

FREELY = {
    "maxPositionPercent": "100",
    "maxDailyLossPercent": "100",
    "maxDrawdownPercent": "100",
    "intradayPauses": [],
    "maxOrdersPerMinute": 200,
}
"""Limits that bind nowhere: the engine has none of them."""


class Watched(World):
    """Keeps what the strategy said to the bot, by the day of its session, and what the account was worth after each."""

    said: dict[date, list[Mapping[str, Decimal]]]
    equity: list[float]

    async def evaluate(self, frames: Mapping[str, pd.DataFrame]) -> Mapping[str, Decimal]:
        found = await super().evaluate(frames)
        self.said.setdefault(self.simulator.clock.now().date(), []).append(found)
        return found

    async def trade(self, sessions: int, closes: Floats) -> None:
        """So many sessions; the bot is asked at the second of each open."""
        await self.begin()
        for session in range(sessions):
            day = self.simulator.exchange.calendar.next_closing(self.simulator.clock.now())
            await self.step(day.opens_at - self.simulator.clock.now())
            for _ in range(4):
                await self.step(timedelta(seconds=1))
                await self.linger()
            await self.step(day.closes_at + timedelta(minutes=5) - self.simulator.clock.now())
            worth = sum(
                float(self.held.get(symbol, 0)) * close for symbol, close in zip(SYMBOLS, closes[session], strict=True)
            )
            self.equity.append(float(self.cash) + worth - 100_000 + CAPITAL)


def market(seed: int, days: int, to_come: int) -> Bars:
    """Bars in cents on the exchange's sessions, of the symbols."""
    bars = market_of_moods(seed, days=days, symbols=len(SYMBOLS))
    opened, close = np.round(bars.open, 2), np.round(bars.close, 2)
    high, low = (
        np.maximum(np.round(bars.high, 2), np.maximum(opened, close)),
        np.minimum(np.round(bars.low, 2), np.minimum(opened, close)),
    )
    made = Bars(SYMBOLS, bars.time, opened, high, low, close, bars.volume)
    return on_sessions(made, to_come)


def compared(directory: Path, strategy: dict[str, Any], *, seed: int, sessions: int = 15, days: int = 90) -> Result:
    """Runs both and compares them; what the engine found."""
    bars = market(seed, days, sessions)
    loaded = load(strategy["name"], strategy.get("parameters", {}))
    rules = Rules(capital=CAPITAL, costs=Costs.none(), maximum_volume=1)
    first = len(bars) - sessions - 1  # the close before the first session
    targets = targets_of(loaded, bars)[first:]
    found = backtest(bars.between(first, len(bars)), targets, rules_of(loaded, rules))
    world = Watched(
        directory / "state",
        simulator=replaying(directory, bars),
        symbols=list(SYMBOLS),
        timeframe="1Day",
        capital=str(CAPITAL),
        strategy=strategy,
        execution={"orderType": "market", "minTradePercent": "1"},
        risk=FREELY,
    )
    world.said, world.equity = {}, []
    try:
        driven(world.trade(sessions, bars.close[first + 1 :]))
        compare_targets(world, found, targets)
        compare_fills(world, found)
    finally:
        world.database.close()
    return found


def compare_targets(world: Watched, found: Result, targets: Floats) -> None:
    expected = [
        {symbol: weight for symbol, weight in zip(SYMBOLS, row, strict=True) if not math.isnan(weight)}
        for row in targets[:-1].tolist()
    ]
    said = [
        {symbol: float(weight) for symbol, weight in one.items()} for asked in world.said.values() for one in asked[:1]
    ]
    assert said == expected
    assert all(one == asked[0] for asked in world.said.values() for one in asked)  # a bar is asked again to no effect


def compare_fills(world: Watched, found: Result) -> None:
    days, fills = found.bars.time.astype("datetime64[D]").tolist(), found.fills
    columns = (fills.bar, fills.symbol, fills.shares, fills.price, fills.cause)
    expected = sorted(zip(*(column.tolist() for column in columns), strict=True))
    traded = sorted(
        (days.index(one.at.date()), SYMBOLS.index(one.symbol), float(one.signed_qty), float(one.price))
        for one in world.recovered().fills
    )
    assert [one[:3] for one in traded] == [one[:3] for one in expected]
    slack = np.zeros(len(days))
    for (bar, _, shares, price, cause), (*_, paid) in zip(expected, traded, strict=True):
        most = CENTS_A_SHARE + MOVE[Cause(cause)] * price
        assert abs(paid - price) <= most, (bar, Cause(cause), price, paid)
        slack[bar:] += abs(shares) * most
    away = np.abs(np.array(world.equity) - found.equity[1:])
    assert (away <= slack[1:] + 1e-6).all(), (away, slack)


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with drawn_installed(tmp_path_factory.mktemp("drawn")):
        yield


BUILT_IN: dict[str, dict[str, Any]] = {
    "momentum": {"lookback": 3, "max_weight": 0.25},
    "mean-reversion": {"lookback": 5, "entry_z": 0.8, "exit_z": 0.2, "max_weight": 0.3},
    "pairs": {"first": "AAPL", "second": "SPY", "lookback": 10, "entry_z": 0.4, "exit_z": 0.2},
    "all-weather": {
        "weights_percent": {"AAPL": 40, "MSFT": 30, "SPY": 20},
        "drift_percent": "0.5",
        "days_apart": 3,
        "min_trade": 20,
    },
    "ensemble": {
        "members": [
            {"name": "momentum", "share": 0.5, "parameters": {"lookback": 4}},
            {"name": "mean-reversion", "share": 0.4, "parameters": {"lookback": 5, "entry_z": 0.8, "exit_z": 0.2}},
        ],
        "memory": 10,
    },
    "momentum-brackets": {"lookback": 3, "max_weight": 0.25, "stop_loss_percent": "1.5", "take_profit_percent": "2"},
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_strategy_that_is_built_in_trades_as_in_its_backtest(tmp_path: Path, name: str) -> None:
    found = compared(tmp_path, {"name": name, "parameters": BUILT_IN[name]}, seed=3)
    assert len(found.fills) >= 3  # or nothing was compared


def test_no_built_in_strategy_is_left_out() -> None:
    built_in = entry_points(group="tradingbot.strategies")
    assert {one.name for one in built_in if one.value.startswith("tradingbot_runtime.")} == BUILT_IN.keys()


@settings(max_examples=8, deadline=None, derandomize=True)
@given(number=st.integers(0, 10_000), days=st.integers(1, 5), seed=st.integers(1, 50))
def test_any_targets_are_traded_as_in_their_backtest(number: int, days: int, seed: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        drawn = {"name": "drawn", "parameters": {"number": number, "days": days}}
        compared(Path(directory), drawn, seed=seed, sessions=8, days=20)


@settings(max_examples=5, deadline=None, derandomize=True)
@given(stop=st.integers(8, 40), take=st.integers(8, 40), seed=st.integers(1, 50))
def test_any_brackets_are_taken_as_in_their_backtest(stop: int, take: int, seed: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        exits = {"stop_loss_percent": str(stop / 10), "take_profit_percent": str(take / 10)}
        parameters = {**BUILT_IN["momentum-brackets"], **exits}
        compared(
            Path(directory), {"name": "momentum-brackets", "parameters": parameters}, seed=seed, sessions=8, days=20
        )
