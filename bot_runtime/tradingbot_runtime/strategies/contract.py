"""What a strategy is. Import this to write your own; find it by the entry point `tradingbot.strategies`."""

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar, cast

import pandas as pd
from pydantic import BaseModel, ConfigDict

from tradingbot_runtime.strategies.handling import EVERY_BAR, Handling


class Parameters(BaseModel):
    """A strategy's parameters: unknown ones are refused, so that a typo never passes for a default."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    of_handling: ClassVar[frozenset[str]] = frozenset()
    """Fields that `Strategy.handling` is made of. A validation draws no others for them: they trade the targets, and
    do not choose them."""


P = TypeVar("P", bound=Parameters)


class Strategy(Generic[P]):
    """A pure function of bars. Holds its parameters and nothing else, so a restart loses nothing."""

    name: ClassVar[str]
    """What `spec.strategy.name` says."""
    parameters_model: ClassVar[type[Parameters]]
    """The model that `spec.strategy.parameters` must satisfy."""

    def __init__(self, parameters: P) -> None:
        self.parameters = parameters

    @property
    def lookback(self) -> int:
        """How many closed bars the last row of `targets` depends on."""
        raise NotImplementedError

    @property
    def handling(self) -> Handling:
        """How the targets are carried out: brackets, or a mix that is rebalanced as a whole."""
        return EVERY_BAR

    @property
    def needed_symbols(self) -> frozenset[str]:
        """Symbols that the parameters name: a bot without one of them is refused. None named: any symbols will do."""
        return frozenset()

    def targets(self, bars: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Target weights, one row a bar (index as the bars'), one column a symbol.

        A weight is a share of the capital in [-1, 1]; rows sum to at most 1 in absolute value; NaN means no opinion, as
        long as there are not enough bars yet: leave the position as it is. Row t may depend on bars up to and including
        t only. The order of the symbols means nothing, and the bars are not to be changed. `tradingbot check-strategy`
        tries all of this.
        """
        raise NotImplementedError

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> "Strategy[Any]":
        """The strategy with parameters checked by its own model. Raises pydantic.ValidationError."""
        return cls(cast(P, cls.parameters_model.model_validate(dict(parameters))))
