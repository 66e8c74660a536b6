"""Several strategies at once, each with its part of the capital: their targets are added up.

Source of the idea: Bates, Granger, "The combination of forecasts", Operational Research Quarterly 20 (1969); that equal
parts are hard to beat: DeMiguel, Garlappi, Uppal, "Optimal versus naive diversification", Review of Financial Studies
22 (2009).
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator

from tradingbot_runtime.strategies import registry
from tradingbot_runtime.strategies.contract import Parameters, Strategy
from tradingbot_runtime.strategies.handling import EVERY_BAR
from tradingbot_runtime.strategies.windows import Floats, closes_of


class Member(BaseModel):
    """One of the strategies."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
    """Its name, as in spec.strategy.name."""
    share: Annotated[float, Field(gt=0, le=1)]
    """Its part of the capital."""
    parameters: Annotated[dict[str, Any], Field(max_length=64)] = Field(default_factory=dict)
    """Its own parameters."""


class EnsembleParameters(Parameters):
    """Parameters of `ensemble`."""

    members: Annotated[tuple[Member, ...], Field(min_length=1, max_length=10)]
    """The strategies, each with a part of the capital; the parts are at most 1 together. There is no default."""
    memory: Annotated[int, Field(ge=0, le=500)] = 60
    """Where a member has no opinion (what is held stays), its last target of so many bars before counts, else 0."""

    @field_validator("members")
    @classmethod
    def _fit_together(cls, members: tuple[Member, ...]) -> tuple[Member, ...]:
        whole = sum(member.share for member in members)
        if whole > 1 + 1e-9:
            raise ValueError(f"the shares are {whole:g} together, more than 1")
        for number, member in enumerate(members):
            if member.name == Ensemble.name:
                raise ValueError(f"{number}.name: an ensemble of ensembles is refused: name their members here")
            try:
                found = registry.load(member.name, member.parameters)
            except (registry.UnknownStrategy, registry.InvalidStrategyParameters) as error:
                raise ValueError(f"{number}: {member.name}: {error}") from error
            if found.handling != EVERY_BAR:
                raise ValueError(
                    f"{number}.name: {member.name} has brackets or bands of its own, and positions of several members"
                    " cannot be told apart: run it as a bot of its own"
                )
        return members


class Ensemble(Strategy[EnsembleParameters]):
    """weight_t = sum of share_i x target_(i,t) over the members i."""

    name = "ensemble"
    parameters_model = EnsembleParameters

    @cached_property
    def _members(self) -> list[tuple[float, Strategy[Any]]]:
        return [(one.share, registry.load(one.name, one.parameters)) for one in self.parameters.members]

    @property
    def lookback(self) -> int:
        """The longest of the members', and the bars before it that a member may still remember a target of."""
        return max(member.lookback for _, member in self._members) + self.parameters.memory

    @property
    def needed_symbols(self) -> frozenset[str]:
        """All that any member names."""
        return frozenset().union(*(member.needed_symbols for _, member in self._members))

    def targets(self, bars: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Weights for every bar; NaN until the lookback is full, and where a symbol has no bar."""
        closes = closes_of(bars)
        total: Floats = np.zeros(closes.shape)
        for share, member in self._members:
            found = member.targets(bars).reindex(index=closes.index, columns=closes.columns)
            total = total + share * _remembered(found.to_numpy(dtype=np.float64), self.parameters.memory)
        total[: self.lookback - 1] = np.nan
        return pd.DataFrame(total, index=closes.index, columns=closes.columns).where(closes.notna())


def _remembered(targets: Floats, bars: int) -> Floats:
    """Targets with the last one of at most so many bars before in the place of NaN, and 0 where there is none."""
    rows = np.where(np.isfinite(targets), np.arange(len(targets), dtype=np.float64)[:, None], np.nan)
    last = np.fmax.accumulate(rows, axis=0)
    known = np.arange(len(targets))[:, None] - last <= bars
    picked = np.take_along_axis(targets, np.where(known, last, 0).astype(np.int64), axis=0)
    return np.where(known, picked, 0.0)
