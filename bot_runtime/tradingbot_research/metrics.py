"""The figures of one backtest, and the backtest that any other is compared with. Pure."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from tradingbot_research.days import Days
from tradingbot_research.engine import backtest
from tradingbot_research.market import Bars
from tradingbot_research.result import Result
from tradingbot_research.rules import Rules
from tradingbot_research.statistics import (
    annual_return,
    annual_volatility,
    max_drawdown,
    sharpe_ratio,
    turnover,
)

LEAST_VOLUME_SHARE: Final = 0.01


@dataclass(frozen=True)
class Metrics:
    """Figures of one backtest, after costs; ratios are annual, shares are of 1."""

    days: int
    total_return: float
    annual_return: float
    annual_volatility: float
    sharpe: float
    max_drawdown: float
    turnover: float
    """Bought and sold in a year, over the mean equity."""
    fills: int
    closed: int
    """Fills that closed something."""
    won: int
    """Of these, with a profit before commission."""
    costs: float
    """Commission, in account currency; spread and slippage are in the prices."""
    capacity: float
    """Capital at which 19 of 20 fills would be within 1 % of their bar's volume, in account currency."""


def metrics_of(result: Result, days: Days) -> Metrics:
    """The figures of a backtest."""
    returns, fills = days.returns(result), result.fills
    profits = fills.profit
    before = fills.position - fills.shares
    closing = before * fills.shares < 0
    volumes = result.bars.volume[fills.bar, fills.symbol]
    shares_of_volume = np.abs(fills.shares) / np.maximum(volumes, 1.0)
    busy = float(np.quantile(shares_of_volume, 0.95)) if len(fills) else 0.0
    end = float(result.equity[-1])
    return Metrics(
        days=len(days),
        total_return=end / result.capital - 1,
        annual_return=annual_return(returns),
        annual_volatility=annual_volatility(returns),
        sharpe=sharpe_ratio(returns),
        max_drawdown=max_drawdown(result.equity, result.capital),
        turnover=turnover(result.traded_value, result.equity, days.years),
        fills=len(fills),
        closed=int(closing.sum()),
        won=int((profits[closing] > 0).sum()),
        costs=float(fills.commission.sum()),
        capacity=result.capital * LEAST_VOLUME_SHARE / busy if busy else 0.0,
    )


def hold_everything(bars: Bars, rules: Rules) -> Result:
    """Equal parts of everything, bought as soon as there are bars of it, and kept: what a strategy is compared with."""
    keep = Rules(capital=rules.capital, costs=rules.costs, rebalance_band=None, maximum_volume=1.0)
    return backtest(bars, np.full(bars.close.shape, 0.99 / len(bars.symbols)), keep)
