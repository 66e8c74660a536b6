"""How a strategy's targets are carried out: what depends on what is held, and so is the allocator's and not its own.

Told once, from the parameters, and kept to by the bot and by the backtest alike. Holds values; decides nothing.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final


@dataclass(frozen=True)
class Bracket:
    """Exits that wait at the broker from the entry on, as shares of the close that it was decided on (0.05 is 5 %);
    None: there is none.

    A position with a bracket is entered once and closed, never made larger or smaller. After an exit the symbol stays
    flat until its target was 0 once.
    """

    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None

    def __post_init__(self) -> None:
        if self.stop_loss is None and self.take_profit is None:
            raise ValueError("a bracket needs stop_loss or take_profit")
        if self.stop_loss is not None and not 0 < self.stop_loss < 1:
            raise ValueError(f"stop_loss: {self.stop_loss} is not between 0 and 1")
        if self.take_profit is not None and not self.take_profit > 0:
            raise ValueError(f"take_profit: {self.take_profit} is not above 0")


@dataclass(frozen=True)
class Rebalancing:
    """A mix that is left alone until one of its parts has drifted; then all of it is brought back together.

    Sells are filled before buys are sent.
    """

    band: Decimal
    """How far a part may be from its target, as a share of the capital."""
    every_days: int
    """Days that have to lie between two such decisions, by the dates of their bars (UTC)."""
    minimum_trade: Decimal
    """Smaller trades are left out, in account currency; a full exit never is."""

    def __post_init__(self) -> None:
        if self.band < 0 or self.every_days < 0 or self.minimum_trade < 0:
            raise ValueError("band, every_days, minimum_trade: not below 0")


@dataclass(frozen=True)
class Handling:
    """All of it. The default: what is held is brought to the target at every bar."""

    bracket: Bracket | None = None
    rebalancing: Rebalancing | None = None

    def __post_init__(self) -> None:
        if self.bracket is not None and self.rebalancing is not None:
            raise ValueError("a position with a bracket is never resized, so it cannot be rebalanced: give one of both")


EVERY_BAR: Final = Handling()
"""What is held is brought to the target at every bar, as far as the smallest trade allows."""
