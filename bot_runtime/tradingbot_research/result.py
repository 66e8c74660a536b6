"""What a backtest found: every fill, every order that came to nothing, and what the account was worth at each close."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tradingbot_research.market import Bars, Floats, Whole


class Cause(IntEnum):
    """Why a fill came about."""

    TARGET = 0
    STOP_LOSS = 1
    TAKE_PROFIT = 2
    TRAILING_STOP = 3


class Obstacle(StrEnum):
    """Why something that was wanted was not done."""

    NO_CASH = "no_cash"
    """The money did not suffice for all of it."""
    NO_VOLUME = "no_volume"
    """Nothing was traded in the bar in which it was to be filled; it is tried again at the next."""
    THIN_VOLUME = "thin_volume"
    """The bar's volume did not suffice for all of it; the rest is tried again at the next."""
    BELOW_MINIMUM = "below_minimum"
    """A new target that is too near to what is held for a trade of the least size."""
    BELOW_ONE_STEP = "below_one_step"
    """A target above zero that is less than the smallest part of a share."""
    NO_SHORT = "no_short"
    """A target below zero where only long positions are allowed."""
    END_OF_DATA = "end_of_data"
    """Decided on the last close: there is no open to fill it at."""


@dataclass(frozen=True)
class Unfilled:
    """Something that was wanted and not done."""

    bar: int
    """Where it was seen first."""
    symbol: str
    shares: float
    """How many were wanted and not traded the last time, negative for a sale."""
    obstacle: Obstacle
    times: int = 1
    """Bars in which it happened again before a fill of the symbol, this one counted."""


@dataclass(frozen=True)
class Fills:
    """Fills in the order in which they happened: one array entry each."""

    bar: Whole
    symbol: Whole
    """Column of the bars."""
    shares: Floats
    """Negative for a sale."""
    price: Floats
    """With spread and slippage in it."""
    commission: Floats
    cause: NDArray[np.int8]
    position: Floats
    """Shares of the symbol held after it."""
    cash: Floats
    """Cash after it."""
    entry: Floats
    """Average price of what was held before it; of the fill itself where that is a new position."""

    def __len__(self) -> int:
        return len(self.bar)

    @classmethod
    def of(cls, rows: Sequence[tuple[float, ...]]) -> "Fills":
        """From rows in the order of the fields."""
        columns = list(zip(*rows, strict=True)) if rows else [()] * 9
        whole = [np.array(columns[place], dtype=np.int64) for place in (0, 1)]
        floats = [np.array(columns[place], dtype=np.float64) for place in (2, 3, 4, 6, 7, 8)]
        cause = np.array(columns[5], dtype=np.int8)
        return cls(whole[0], whole[1], floats[0], floats[1], floats[2], cause, floats[3], floats[4], floats[5])

    @property
    def profit(self) -> Floats:
        """What each fill made against the average entry price, before commission; zero where it opens or adds."""
        before = self.position - self.shares
        closes = np.where(before * self.shares < 0, np.minimum(np.abs(self.shares), np.abs(before)), 0.0)
        return closes * np.sign(before) * (self.price - self.entry)


@dataclass(frozen=True)
class Result:
    """One backtest. Arrays are views of what happened; nothing is rounded."""

    bars: Bars
    capital: float
    fills: Fills
    unfilled: tuple[Unfilled, ...]

    @cached_property
    def positions(self) -> Floats:
        """Shares held at each close: bars x symbols."""
        bars, fills, symbols = len(self.bars), self.fills, len(self.bars.symbols)
        if symbols == 1:
            return _from_there_on(bars, 0.0, fills.bar, fills.position)[:, None]
        held = np.empty((bars, symbols))
        for column in range(symbols):
            of_symbol = fills.symbol == column
            held[:, column] = _from_there_on(bars, 0.0, fills.bar[of_symbol], fills.position[of_symbol])
        return held

    @cached_property
    def cash(self) -> Floats:
        """Cash at each close."""
        return _from_there_on(len(self.bars), self.capital, self.fills.bar, self.fills.cash)

    @cached_property
    def equity(self) -> Floats:
        """Cash and positions at each close, in account currency."""
        found: Floats
        if self.positions.shape[1] == 1:
            found = self.positions[:, 0] * self.bars.marks[:, 0]
        else:
            found = np.einsum("ij,ij->i", self.positions, self.bars.marks)
        found += self.cash
        return found

    @cached_property
    def returns(self) -> Floats:
        """Return of each bar on the equity at the close before; of the first, on the capital."""
        before = np.concatenate(([self.capital], self.equity[:-1]))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(before > 0, self.equity / before - 1, 0.0)

    @cached_property
    def exposures(self) -> Floats:
        """Value of each position as a share of the equity, at each close: bars x symbols."""
        with np.errstate(divide="ignore", invalid="ignore"):
            found = self.positions * self.bars.marks / self.equity[:, None]
        return np.where(np.isfinite(found), found, 0.0)

    @property
    def traded_value(self) -> float:
        """Value of all fills, in account currency."""
        return float(np.abs(self.fills.shares) @ self.fills.price)


def _from_there_on(length: int, before: float, bars: Whole, values: Floats) -> Floats:
    """`before`, then from each of these bars on its value, up to the next; of several in one bar the last counts."""
    if len(bars) < 64:
        found = np.full(length, before, dtype=np.float64)
        for bar, value in zip(bars.tolist(), values.tolist(), strict=True):
            found[bar:] = value
        return found
    edges = np.concatenate(([0], bars, [length]))
    return np.repeat(np.concatenate(([before], values)), edges[1:] - edges[:-1])
