"""Bars and target weights in, fills and equity out: one deterministic function, with costs.

A target that is decided on a bar's close is filled at the next bar's open. Must never use a price before its time, and
never leave out silently what it could not do: that is in `Result.unfilled`.
"""

import numpy as np

from tradingbot_research.at_once import applies, run_at_once
from tradingbot_research.market import Bars, Floats
from tradingbot_research.result import Result
from tradingbot_research.rules import Rules
from tradingbot_research.stepping import Stepping


def backtest(bars: Bars, targets: Floats, rules: Rules | None = None) -> Result:
    """Runs the targets (bars x symbols, weights as a Strategy gives them; NaN keeps what is held) over the bars.

    Decisions: at each close, target shares are weight x base / close, rounded towards zero to `share_step`; an order is
    made where the target is new, or where what is held is further from it than `rebalance_band`, unless the trade is
    below `minimum_trade`. Fills: at the next open, moved against the order by half spread and slippage; what makes
    positions smaller comes first, then the rest as far as the money goes; all positions together are never worth more
    than the equity. Exits: see `exits`; after one, a symbol stays flat until its target was 0 or on the other side.

    Raises ValueError where the targets do not fit the bars, are infinite, or ask for more than the whole in one symbol.
    """
    rules = rules or Rules()
    targets = np.asarray(targets, dtype=np.float64)
    if targets.ndim == 1:
        targets = targets[:, None]
    if targets.shape != (len(bars), len(bars.symbols)):
        raise ValueError(f"targets: shape {targets.shape}, but bars x symbols is {bars.close.shape}")
    least, most = np.fmin.reduce(targets, axis=None), np.fmax.reduce(targets, axis=None)
    if least < -1 - 1e-9 or most > 1 + 1e-9:
        raise ValueError(f"targets: from {least:g} to {most:g}, but a weight is a share of the capital in [-1, 1]")
    if applies(bars, rules):
        found = run_at_once(bars, targets, rules)
        if found is not None:
            return found
    return Stepping(bars, targets, rules).run()
