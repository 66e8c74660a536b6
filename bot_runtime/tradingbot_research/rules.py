"""What a backtest assumes: costs, sizes, when to rebalance, exits. Nothing here is free unless somebody asks for it."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

BASIS_POINT: Final = 1e-4


@dataclass(frozen=True)
class Costs:
    """What each fill costs. The defaults are those of a liquid US share at a cheap broker, rounded up."""

    commission_bps: float = 0.5
    """Commission and fees, in basis points of the value."""
    commission_per_share: float = 0.0
    """Commission for each share, in account currency."""
    minimum_commission: float = 0.0
    """The least that one fill's commission is, in account currency."""
    half_spread_bps: float = 1.0
    """From the middle of the market to the side that is hit, in basis points."""
    slippage_bps: float = 3.0
    """What the price moves away beyond that, in basis points."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and 0 <= value < 10_000):
                raise ValueError(f"{name}: {value} is not from 0 to 10,000")

    @classmethod
    def none(cls) -> "Costs":
        """No costs at all. Nobody trades like this: for tests and comparisons."""
        return cls(0.0, 0.0, 0.0, 0.0, 0.0)

    @property
    def price_share(self) -> float:
        """How far a fill is from the market's price, as a share of it: half spread and slippage."""
        return (self.half_spread_bps + self.slippage_bps) * BASIS_POINT

    def commission(self, shares: float, price: float) -> float:
        """Commission of a fill, in account currency."""
        wanted = abs(shares) * (price * self.commission_bps * BASIS_POINT + self.commission_per_share)
        return max(wanted, self.minimum_commission)

    def affordable(self, money: float, price: float) -> float:
        """The most shares whose price and commission together are within `money`."""
        shares = money / (price * (1 + self.commission_bps * BASIS_POINT) + self.commission_per_share)
        if self.minimum_commission > shares * (price * self.commission_bps * BASIS_POINT + self.commission_per_share):
            shares = (money - self.minimum_commission) / price
        return max(shares, 0.0)


@dataclass(frozen=True)
class Exits:
    """Exits that wait at the broker, as shares of the entry price (0.05 is 5 %); None: there is none."""

    stop_loss: float | None = None
    """Distance of the stop."""
    take_profit: float | None = None
    """Distance of the limit that takes the profit."""
    trailing_stop: float | None = None
    """Distance of a stop that follows the best price since the entry."""
    price_places: int | None = None
    """Decimals of the prices of stop and take-profit, as a broker takes them; None: any price."""

    def __post_init__(self) -> None:
        for name in ("stop_loss", "take_profit", "trailing_stop"):
            value = getattr(self, name)
            if value is not None and not 0 < value < (math.inf if name == "take_profit" else 1):
                raise ValueError(f"{name}: {value} is no share of the entry price such as 0.05")

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return not self.stop_loss is self.take_profit is self.trailing_stop is None


class Sizing(StrEnum):
    """What a weight is a share of."""

    CAPITAL = "capital"
    """The capital at the start, as the bot's allocator has it: gains are not reinvested."""
    EQUITY = "equity"
    """What cash and positions are worth at the time: gains are reinvested."""


class SizeAt(StrEnum):
    """When shares are counted."""

    DECISION = "decision"
    """At the close that the decision is made on, as an order must be."""
    FILL = "fill"
    """At the price of the fill, with its costs: nobody can, but other engines do."""


@dataclass(frozen=True)
class Rules:
    """How targets become trades. The defaults are those of a bot with the defaults of its `spec.execution`."""

    capital: float = 100_000.0
    """What there is at the start, in account currency."""
    costs: Costs = Costs()
    exits: Exits = Exits()
    sizing: Sizing = Sizing.CAPITAL
    size_at: SizeAt = SizeAt.DECISION
    share_step: float = 1.0
    """Smallest part of a share that is traded; 1: whole shares, 0: any part."""
    minimum_trade: float = 0.01
    """Trades smaller than this share of the base (see Sizing) are left out; a full exit never is."""
    rebalance_band: float | None = 0.0
    """While a target stays as it is, a position is left alone as long as it is within so much of it, as a share of
    the base. 0: it is brought back whenever minimum_trade allows, as a bot does; None: never."""
    rebalance_together: bool = False
    """Whether, as soon as one position is beyond the band, all are brought back to their targets."""
    rebalance_days: int = 0
    """With rebalance_together: at least so many days, by the dates of the bars, from one decision to the next."""
    exits_from_decision: bool = False
    """Whether stops and take-profits are measured from the close that the entry was decided on, as those of an order
    that carries its exits have to be, and not from the price that it got."""
    resizes: bool = True
    """Whether a position follows a new target on its own side; else it is kept as it is until it is closed."""
    long_only: bool = True
    """Whether a target below zero means zero."""
    maximum_volume: float = 0.1
    """The most of a bar's volume that is filled at its open, as a share."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.capital) and self.capital > 0):
            raise ValueError(f"capital: {self.capital} is not above 0")
        if not (math.isfinite(self.share_step) and self.share_step >= 0):
            raise ValueError(f"share_step: {self.share_step} is not 0 or above")
        if not 0 <= self.minimum_trade < 1:
            raise ValueError(f"minimum_trade: {self.minimum_trade} is not from 0 to 1")
        if self.rebalance_band is not None and not 0 <= self.rebalance_band < math.inf:
            raise ValueError(f"rebalance_band: {self.rebalance_band} is not 0 or above")
        if self.rebalance_days < 0:
            raise ValueError(f"rebalance_days: {self.rebalance_days} is not 0 or above")
        if self.rebalance_together and self.rebalance_band is None:
            raise ValueError("rebalance_together: there is no rebalance_band to be beyond of")
        if not 0 < self.maximum_volume <= 1:
            raise ValueError(f"maximum_volume: {self.maximum_volume} is not above 0 and at most 1")

    def whole(self, shares: float) -> float:
        """Shares towards zero to a multiple of the step."""
        if not self.share_step:
            return shares
        # 30 / 0.1 is 299.99999999999994: a hair below a whole step is that step.
        return math.trunc(shares / self.share_step * (1 + 1e-12)) * self.share_step
