"""Mean reversion, long only: buy what has fallen far below its own average, sell it when it is back.

Sources of the idea: Jegadeesh, "Evidence of predictable behavior of security returns", Journal of Finance 45 (1990);
Lehmann, "Fads, martingales, and market efficiency", Quarterly Journal of Economics 105 (1990). Of the bands: Bollinger,
"Bollinger on Bollinger Bands" (2001).
"""

from collections.abc import Mapping
from typing import Annotated

import pandas as pd
from pydantic import Field, ValidationInfo, field_validator

from tradingbot_runtime.strategies.contract import Parameters, Strategy
from tradingbot_runtime.strategies.windows import closes_of, entered, window_z_scores


class MeanReversionParameters(Parameters):
    """Parameters of `mean-reversion`."""

    lookback: Annotated[int, Field(ge=5, le=500)] = 20
    """Bars of the average and of the standard deviation, the last one included."""
    entry_z: Annotated[float, Field(gt=0, le=10)] = 2.0
    """A symbol is bought when it closes so many standard deviations below the average."""
    exit_z: Annotated[float, Field(ge=-10, le=10)] = 0.5
    """It is sold when it closes less than so many below the average; below 0: so many above it. Less than entry_z."""
    max_weight: Annotated[float, Field(gt=0, le=1)] = 0.2
    """The most of the capital in one symbol, as a share."""

    @field_validator("exit_z")
    @classmethod
    def _is_nearer_than_the_entry(cls, value: float, info: ValidationInfo) -> float:
        entry = info.data.get("entry_z")
        if entry is not None and value >= entry:
            raise ValueError(f"{value:g} is not less than entry_z {entry:g}: what was bought would be sold at once")
        return value


class MeanReversion(Strategy[MeanReversionParameters]):
    """z_t = (close_t - mean) / deviation over the lookback; weight_t = min(max_weight, 1 / n) if z_t <= -entry_z, 0 if
    z_t > -exit_z, and between both no opinion: what is held stays.
    """

    name = "mean-reversion"
    parameters_model = MeanReversionParameters

    @property
    def lookback(self) -> int:
        """The bars of the average."""
        return self.parameters.lookback

    def targets(self, bars: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Weights for every bar; NaN until the lookback is full, and between exit and entry."""
        closes = closes_of(bars)
        weight = min(self.parameters.max_weight, 1 / max(len(bars), 1))
        z = window_z_scores(closes.to_numpy(), self.parameters.lookback)
        found = entered(-z, self.parameters.entry_z, self.parameters.exit_z, weight)
        return pd.DataFrame(found, index=closes.index, columns=closes.columns)
