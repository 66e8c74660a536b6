"""A fixed mix of stocks, bonds, gold and commodities, brought back to its weights when it has drifted.

Source of the idea: Bridgewater Associates, "The All Weather story" (2012). Of the bands: Daryanani, "Opportunistic
rebalancing", Journal of Financial Planning 21 (2008). The default weights are this project's, and round.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, ClassVar

import pandas as pd
from pydantic import Field, field_validator

from tradingbot_runtime.strategies.contract import Parameters, Strategy
from tradingbot_runtime.strategies.handling import Handling, Rebalancing
from tradingbot_runtime.strategies.windows import closes_of

_HUNDRED = Decimal(100)
_Percent = Annotated[float, Field(gt=0, le=100)]


def _mix() -> dict[str, float]:
    return {"VTI": 40.0, "TLT": 30.0, "GLD": 20.0, "DBC": 10.0}


class AllWeatherParameters(Parameters):
    """Parameters of `all-weather`."""

    of_handling: ClassVar[frozenset[str]] = frozenset({"drift_percent", "days_apart", "min_trade"})

    weights_percent: Annotated[dict[str, _Percent], Field(min_length=1, max_length=50)] = Field(default_factory=_mix)
    """Each symbol's part of the capital, in percent; together at most 100. Other symbols of the bot are not held."""
    drift_percent: Annotated[Decimal, Field(ge=0, le=100)] = Decimal(10)
    """The mix is brought back when a part is more than so many percent of the capital from its own."""
    days_apart: Annotated[int, Field(ge=0, le=3650)] = 30
    """At least so many days lie between two rebalancings."""
    min_trade: Annotated[Decimal, Field(ge=0, le=1_000_000)] = Decimal(100)
    """Smaller trades are left out, in account currency; spec.execution.minTradePercent counts too."""

    @field_validator("weights_percent")
    @classmethod
    def _is_at_most_the_whole(cls, value: dict[str, float]) -> dict[str, float]:
        whole = sum(value.values())
        if whole > 100 + 1e-9:
            raise ValueError(f"the parts are {whole:g} percent together, more than 100")
        return value


class AllWeather(Strategy[AllWeatherParameters]):
    """weight_t = weights_percent / 100, at every bar."""

    name = "all-weather"
    parameters_model = AllWeatherParameters

    @property
    def lookback(self) -> int:
        """One bar: only whether there is a price."""
        return 1

    @property
    def needed_symbols(self) -> frozenset[str]:
        """All of the mix."""
        return frozenset(self.parameters.weights_percent)

    @property
    def handling(self) -> Handling:
        """Left alone within the band, then rebalanced as a whole, sells first."""
        return Handling(
            rebalancing=Rebalancing(
                band=self.parameters.drift_percent / _HUNDRED,
                every_days=self.parameters.days_apart,
                minimum_trade=self.parameters.min_trade,
            )
        )

    def targets(self, bars: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """The same weights for every bar; NaN where a symbol has none."""
        closes = closes_of(bars)
        weights = [self.parameters.weights_percent.get(str(symbol), 0.0) / 100 for symbol in closes.columns]
        constant = pd.DataFrame([weights] * len(closes), index=closes.index, columns=closes.columns, dtype=float)
        return constant.where(closes.notna())
