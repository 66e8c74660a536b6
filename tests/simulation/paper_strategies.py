"""Strategies for the promotion runs: dull ones, of which the market alone makes a good bot or a bad one."""

from collections.abc import Mapping
from typing import Annotated

import pandas as pd
from pydantic import Field

from tradingbot_runtime.strategies.contract import Parameters, Strategy

Share = Annotated[float, Field(gt=0, le=1)]


class TiltingParameters(Parameters):
    """Parameters of `tilting`: shares of the capital."""

    heavy: Share = 0.45
    light: Share = 0.4


class Tilting(Strategy[TiltingParameters]):
    """Holds every symbol, a little more on every second day: it trades daily, and earns what the market does."""

    name = "tilting"
    parameters_model = TiltingParameters

    @property
    def lookback(self) -> int:
        """The day is all it looks at."""
        return 2

    def targets(self, bars: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Heavy on days with an odd number, light on the others."""
        index = next(iter(bars.values())).index
        weights = [self.parameters.heavy if day.toordinal() % 2 else self.parameters.light for day in index]
        return pd.DataFrame(dict.fromkeys(bars, weights), index=index) / len(bars)


class Holding(Strategy[TiltingParameters]):
    """Buys once and holds: whatever it earns, it has earned with one decision."""

    name = "holding"
    parameters_model = TiltingParameters

    @property
    def lookback(self) -> int:
        """One bar is enough."""
        return 2

    def targets(self, bars: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Always heavy."""
        index = next(iter(bars.values())).index
        return pd.DataFrame(dict.fromkeys(bars, self.parameters.heavy), index=index) / len(bars)
