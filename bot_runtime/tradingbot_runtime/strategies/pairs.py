"""Pairs, long only: of two symbols that move together, hold the one that has become cheap against the other.

Source of the idea: Gatev, Goetzmann, Rouwenhorst, "Pairs trading: performance of a relative-value arbitrage rule",
Review of Financial Studies 19 (2006). They also sell the dear one short; a bot holds no short positions, so this is no
hedged trade: what is held rises and falls with the market.
"""

from collections.abc import Mapping
from typing import Annotated

import pandas as pd
from pydantic import Field, ValidationInfo, field_validator

from tradingbot_runtime.strategies.contract import Parameters, Strategy
from tradingbot_runtime.strategies.windows import closes_of, entered, window_z_scores

_Symbol = Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[A-Z][A-Z0-9./]*$")]


class PairsParameters(Parameters):
    """Parameters of `pairs`. Other symbols of the bot are not traded."""

    first: _Symbol
    """One symbol of the pair. There is no default: a pair has to be chosen."""
    second: _Symbol
    """The other one."""
    lookback: Annotated[int, Field(ge=10, le=500)] = 60
    """Bars over which the usual ratio of both prices is measured, the last one included."""
    entry_z: Annotated[float, Field(gt=0, le=10)] = 2.0
    """One is bought when the ratio is so many standard deviations from its average, to the side where it is cheap."""
    exit_z: Annotated[float, Field(ge=-10, le=10)] = 0.5
    """It is sold when the ratio is less than so many from its average on that side. Less than entry_z."""
    weight: Annotated[float, Field(gt=0, le=1)] = 0.4
    """The part of the capital in the one that is held, as a share."""

    @field_validator("second")
    @classmethod
    def _is_another(cls, value: str, info: ValidationInfo) -> str:
        if value == info.data.get("first"):
            raise ValueError(f"{value} is the first one too: a pair is of two symbols")
        return value

    @field_validator("exit_z")
    @classmethod
    def _is_nearer_than_the_entry(cls, value: float, info: ValidationInfo) -> float:
        entry = info.data.get("entry_z")
        if entry is not None and not -entry < value < entry:
            # Below -entry_z the other one would be bought while the first is still held.
            raise ValueError(f"{value:g} is not between -entry_z and entry_z, {-entry:g} and {entry:g}")
        return value


class Pairs(Strategy[PairsParameters]):
    """r_t = first_t / second_t; z_t = (r_t - mean) / deviation over the lookback. The first has the weight if z_t <=
    -entry_z and 0 if z_t > -exit_z, the second has it if z_t >= entry_z and 0 if z_t < exit_z; between, what is held
    stays.
    """

    name = "pairs"
    parameters_model = PairsParameters

    @property
    def lookback(self) -> int:
        """The bars of the average."""
        return self.parameters.lookback

    @property
    def needed_symbols(self) -> frozenset[str]:
        """Both of the pair."""
        return frozenset({self.parameters.first, self.parameters.second})

    def targets(self, bars: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Weights for every bar; NaN until the lookback is full, between exit and entry, and where one has no bar."""
        chosen = self.parameters
        closes = closes_of(bars)
        found = pd.DataFrame(0.0, index=closes.index, columns=closes.columns)
        pair = closes.reindex(columns=[chosen.first, chosen.second]).to_numpy()
        z = window_z_scores((pair[:, 0] / pair[:, 1])[:, None], chosen.lookback)[:, 0]
        for symbol, cheap in ((chosen.first, -z), (chosen.second, z)):
            if symbol in found.columns:
                found[symbol] = entered(cheap, chosen.entry_z, chosen.exit_z, chosen.weight)
        return found
