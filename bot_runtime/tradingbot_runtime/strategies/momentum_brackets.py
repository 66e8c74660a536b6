"""Momentum whose positions are guarded: each entry carries a stop-loss and a take-profit that wait at the broker.

Sources: Han, Zhou, Zhu, "Taming momentum crashes: a simple stop-loss strategy" (2016); Kaminski, Lo, "When do stop-loss
rules stop losses?", Journal of Financial Markets 18 (2014). Of the signal: see `momentum`.
"""

from decimal import Decimal
from typing import Annotated, ClassVar

from pydantic import Field

from tradingbot_runtime.strategies.handling import Bracket, Handling
from tradingbot_runtime.strategies.momentum import Momentum, MomentumParameters

_HUNDRED = Decimal(100)


class MomentumBracketsParameters(MomentumParameters):
    """Parameters of `momentum-brackets`: those of `momentum`, and the distances of the exits."""

    of_handling: ClassVar[frozenset[str]] = frozenset({"stop_loss_percent", "take_profit_percent"})

    stop_loss_percent: Annotated[Decimal, Field(ge=Decimal("0.1"), le=50)] = Decimal(10)
    """A position is sold when its price has fallen so far below the close that it was bought on, in percent."""
    take_profit_percent: Annotated[Decimal, Field(ge=Decimal("0.1"), le=1000)] = Decimal(20)
    """A position is sold when its price has risen so far above the close that it was bought on, in percent."""


class MomentumBrackets(Momentum):
    """The targets of `momentum`. After an exit the symbol stays flat until its target was 0 once."""

    name = "momentum-brackets"
    parameters_model = MomentumBracketsParameters
    parameters: MomentumBracketsParameters

    @property
    def handling(self) -> Handling:
        """A bracket around each entry."""
        return Handling(
            bracket=Bracket(
                stop_loss=self.parameters.stop_loss_percent / _HUNDRED,
                take_profit=self.parameters.take_profit_percent / _HUNDRED,
            )
        )
