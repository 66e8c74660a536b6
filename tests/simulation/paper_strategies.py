"""Strategies for the promotion runs: dull ones, of which the market alone makes a good bot or a bad one."""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
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


class GuessingParameters(Parameters):
    """Parameters of `guessing`."""

    number: Annotated[int, Field(ge=1, le=1_000_000)] = 1


class Guessing(Strategy[GuessingParameters]):
    """In or out of each symbol for a week at a time, by dice: whoever tries many numbers finds one that looks good."""

    name = "guessing"
    parameters_model = GuessingParameters

    @property
    def lookback(self) -> int:
        """The day is all it looks at."""
        return 2

    def targets(self, bars: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Thrown anew for each symbol and each week, and always the same for the same week."""
        index = next(iter(bars.values())).index
        weeks = np.array([day.toordinal() // 7 for day in index])
        each, names = np.unique(weeks), sorted(bars)
        thrown = [np.random.default_rng([self.parameters.number, week]).integers(0, 2, len(names)) for week in each]
        shares = 0.9 * np.array(thrown)[np.searchsorted(each, weeks)] / len(names)
        return pd.DataFrame(shares, index=index, columns=names)[list(bars)]


class Foreseeing(Strategy[GuessingParameters]):
    """Holds what will have risen on the next day, as far as it is given one: in a backtest it cannot lose."""

    name = "foreseeing"
    parameters_model = GuessingParameters

    @property
    def lookback(self) -> int:
        """The day is all that it says it looks at."""
        return 2

    def targets(self, bars: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """In where the next close is higher; the last day has none."""
        closes = pd.DataFrame({symbol: frame["close"] for symbol, frame in bars.items()})
        return 0.9 * (closes.shift(-1) > closes).astype(float) / len(bars)
