"""What the engine decides on a close is what a bot's allocator decides on the same close."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tradingbot_research.engine import backtest
from tradingbot_research.market import Bars
from tradingbot_research.result import Obstacle
from tradingbot_research.rules import Costs, Rules
from tradingbot_research.sweep import targets_of
from tradingbot_runtime.core.allocator import Execution, allocate
from tradingbot_runtime.core.portfolio import Holding, Portfolio
from tradingbot_runtime.core.values import Side
from tradingbot_runtime.strategies.evaluation import weights_of
from tradingbot_runtime.strategies.momentum import Momentum
from unit.research.candidates import market_of_moods

PERCENT = Decimal("1")
WEIGHTS = st.integers(0, 300_000).map(lambda number: number / 1_000_000)
CENTS = st.integers(5_000, 15_000).map(lambda number: number / 100)


def test_targets_are_those_of_a_bot_that_sees_only_its_window() -> None:
    bars = market_of_moods(4, days=200)
    momentum = Momentum.from_parameters({"lookback": 7, "max_weight": 0.333})
    whole = targets_of(momentum, bars)
    for stop in range(momentum.lookback, 200, 9):
        window = bars.between(stop - momentum.lookback, stop).frames()
        assert list(weights_of(momentum, window).values()) == [Decimal(str(one)) for one in whole[stop - 1]]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    prices=st.lists(CENTS, min_size=3, max_size=12), data=st.data(), capital=st.sampled_from([1_000, 25_000, 333_333])
)
def test_shares_are_those_of_the_allocator(prices: list[float], data: st.DataObject, capital: int) -> None:
    weights = data.draw(st.lists(WEIGHTS, min_size=len(prices), max_size=len(prices)))
    close = np.array(prices)[:, None]
    time = (np.datetime64("2020-01-01", "D") + np.arange(len(prices))).astype("datetime64[ns]")
    bars = Bars(("A",), time, close, close, close, close, np.full(close.shape, 1e12))
    rules = Rules(capital=capital, costs=Costs.none(), maximum_volume=1, long_only=True)
    found = backtest(bars, np.array(weights), rules)
    assume(all(one.obstacle is not Obstacle.NO_CASH for one in found.unfilled))  # the allocator does not ask for money
    held = Decimal(0)
    for bar in range(len(prices) - 1):
        (wanted,) = wanted_by_a_bot(weights[bar], prices[bar], held, capital)
        held += wanted
        assert found.positions[bar + 1, 0] == float(held), bar


def wanted_by_a_bot(weight: float, price: float, held: Decimal, capital: int) -> list[Decimal]:
    allocation = allocate(
        {"A": Decimal(str(round(weight, 6)))},
        {"A": Decimal(str(round(price, 4)))},
        Portfolio({"A": Holding(held, Decimal(1))} if held else {}),
        {},
        Decimal(capital),
        Execution(use_market_orders=True, limit_offset_bps=0, min_trade_percent=PERCENT),
    )
    signed = [one.qty if one.side is Side.BUY else -one.qty for one in allocation.intents]
    return signed or [Decimal(0)]
