"""Time-series momentum, long only: hold what has risen over the lookback, in equal parts.

Source of the idea: Moskowitz, Ooi, Pedersen, "Time series momentum", Journal of Financial Economics 104 (2012).
"""

from collections.abc import Mapping
from typing import Annotated

import pandas as pd
from pydantic import Field

from tradingbot_runtime.strategies.contract import Parameters, Strategy


class MomentumParameters(Parameters):
    """Parameters of `momentum`."""

    lookback: Annotated[int, Field(ge=2, le=500)] = 20
    """Bars over which the return is measured."""
    threshold_percent: Annotated[float, Field(ge=0, le=100)] = 0.0
    """The return a symbol must exceed to be held, in percent."""
    max_weight: Annotated[float, Field(gt=0, le=1)] = 0.2
    """The most of the capital in one symbol, as a share."""


class Momentum(Strategy[MomentumParameters]):
    """weight_t = min(max_weight, 1 / n) if close_t / close_(t - lookback) - 1 > threshold, else 0; n symbols."""

    name = "momentum"
    parameters_model = MomentumParameters

    @property
    def lookback(self) -> int:
        """The bars of the return, and the one it starts from."""
        return self.parameters.lookback + 1

    def targets(self, bars: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Weights for every bar; NaN until the lookback is full."""
        closes = pd.DataFrame({symbol: frame["close"] for symbol, frame in bars.items()})
        change = closes / closes.shift(self.parameters.lookback) - 1
        weight = min(self.parameters.max_weight, 1 / max(len(bars), 1))
        return (change > self.parameters.threshold_percent / 100).astype(float).mul(weight).where(change.notna())
