"""Strategies that break the contract, each in one way, as people do; and one that keeps it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime
from functools import cache

import numpy as np
import pandas as pd

from tradingbot_runtime.strategies.contract import Parameters, Strategy

Frames = Mapping[str, pd.DataFrame]


class NoParameters(Parameters):
    pass


class Honest(Strategy[NoParameters]):
    """Holds what is above the close of two bars before."""

    name = "honest"
    parameters_model = NoParameters

    @property
    def lookback(self) -> int:
        return 3

    def targets(self, bars: Frames) -> pd.DataFrame:
        closes = closes_of(bars)
        before = closes.shift(2)
        return (closes > before).astype(float).div(len(bars)).where(before.notna() & closes.notna())


def closes_of(bars: Frames) -> pd.DataFrame:
    return pd.DataFrame({symbol: frame["close"] for symbol, frame in bars.items()})


class Tomorrow(Honest):
    """Looks at the next bar."""

    def targets(self, bars: Frames) -> pd.DataFrame:
        closes = closes_of(bars)
        return (closes.shift(-1) > closes).astype(float) / len(bars)


class WholeSample(Honest):
    """Measures by the average of all bars there are: no shift(-1) anywhere, and still the future."""

    def targets(self, bars: Frames) -> pd.DataFrame:
        closes = closes_of(bars)
        return (closes < closes.mean()).astype(float).div(len(bars)).where(closes.notna())


class Filled(Honest):
    """Fills holes with the price that comes after them."""

    def targets(self, bars: Frames) -> pd.DataFrame:
        closes = closes_of(bars).bfill()
        return (closes > closes.shift(2)).astype(float) / len(bars)


class InOrOut(Honest):
    """Remembers from asking to asking whether it is in."""

    def __init__(self, parameters: NoParameters) -> None:
        super().__init__(parameters)
        self.is_in = False

    def targets(self, bars: Frames) -> pd.DataFrame:
        closes = closes_of(bars)
        first = closes.iloc[:, 0].to_numpy()
        rows = []
        for now, before in zip(first, np.roll(first, 1), strict=True):
            self.is_in = now > before * 1.005 or (self.is_in and now > before * 0.995)
            rows.append(float(self.is_in))
        return pd.DataFrame(np.tile(np.array(rows)[:, None] / len(bars), len(bars)), closes.index, closes.columns)


class OfTheClass(Honest):
    """Remembers in its class the highest price that any instance was ever given."""

    highest = 0.0

    def targets(self, bars: Frames) -> pd.DataFrame:
        closes = closes_of(bars)
        OfTheClass.highest = max(OfTheClass.highest, float(closes.max().max()))
        return (closes < OfTheClass.highest / 3).astype(float).div(len(bars)).where(closes.notna())


class Forgetful(Honest):
    """Says that three bars are enough, and needs all of them: its average never ends."""

    def targets(self, bars: Frames) -> pd.DataFrame:
        closes = closes_of(bars)
        average = closes.ewm(span=40).mean()
        return (closes > average).astype(float).div(len(bars)).where(closes.notna())


class Dice(Honest):
    """Throws dice that nobody has seeded."""

    def targets(self, bars: Frames) -> pd.DataFrame:
        closes = closes_of(bars)
        return pd.DataFrame(np.random.default_rng().random(closes.shape), closes.index, closes.columns) / len(bars)


@cache
def luck() -> float:
    return random.random()


class DiceOnce(Honest):
    """Throws dice when it is first asked in a process, and stays with them."""

    def targets(self, bars: Frames) -> pd.DataFrame:
        return super().targets(bars) * luck()


class Hashed(Honest):
    """Takes the symbol whose name has the lowest hash: another one in each process."""

    def targets(self, bars: Frames) -> pd.DataFrame:
        found = super().targets(bars)
        chosen = min(bars, key=hash)
        return found.assign(**{symbol: 0.0 for symbol in bars if symbol != chosen})


class FirstCome(Honest):
    """Takes the symbol that comes first, whatever it is."""

    def targets(self, bars: Frames) -> pd.DataFrame:
        found = super().targets(bars)
        return found.assign(**dict.fromkeys(list(bars)[1:], 0.0))


class OfTheClock(Honest):
    """Is careful until a day of this world, not of the bars'."""

    def targets(self, bars: Frames) -> pd.DataFrame:
        return super().targets(bars) * (0.5 if datetime.now() < datetime(2035, 1, 1) else 1)  # noqa: DTZ001, DTZ005


class OfToday(Honest):
    """Knows a year, by pandas' clock."""

    def targets(self, bars: Frames) -> pd.DataFrame:
        return super().targets(bars) * (1 if pd.Timestamp.now(tz="UTC").year > 2010 else 0)


class Silent(Honest):
    """Divides nothing by nothing."""

    def targets(self, bars: Frames) -> pd.DataFrame:
        return closes_of(bars) * 0.0 / 0.0


class Infinite(Honest):
    """Weighs by the move, and divides by it; what is too much it cuts, and forgets the moves of nothing."""

    def targets(self, bars: Frames) -> pd.DataFrame:
        closes = closes_of(bars)
        weights = 0.001 / (closes / closes.shift(1) - 1).abs()
        return weights.where(np.isinf(weights), weights.clip(upper=1 / len(bars)))


class Greedy(Honest):
    """Wants everything of each."""

    def targets(self, bars: Frames) -> pd.DataFrame:
        return super().targets(bars) * len(bars)


class Levered(Honest):
    """Wants twice the capital of one."""

    def targets(self, bars: Frames) -> pd.DataFrame:
        return super().targets(bars) * len(bars) * 2


class OfStrangers(Honest):
    """Has a target for a symbol that it was given no bars of."""

    def targets(self, bars: Frames) -> pd.DataFrame:
        return super().targets(bars).assign(GME=0.1)


class Dropping(Honest):
    """Leaves out the rows it has nothing to say of: the last row is then another bar's."""

    def targets(self, bars: Frames) -> pd.DataFrame:
        return super().targets(bars).dropna()


class Raising(Honest):
    """Asks for a column that is not there."""

    def targets(self, bars: Frames) -> pd.DataFrame:
        return pd.DataFrame({symbol: frame["vwap"] for symbol, frame in bars.items()})


class RaisingOnFew(Honest):
    """Works on a whole history, and not on what a bot has."""

    def targets(self, bars: Frames) -> pd.DataFrame:
        if max(len(frame) for frame in bars.values()) == self.lookback:
            raise IndexError("single positional indexer is out-of-bounds")
        return super().targets(bars)


class Writing(Honest):
    """Writes into the bars that it is given."""

    def targets(self, bars: Frames) -> pd.DataFrame:
        found = super().targets(bars)
        for frame in bars.values():
            frame["close"] = frame["close"].round(1)
        return found


class Constant(Honest):
    """Never changes its mind."""

    def targets(self, bars: Frames) -> pd.DataFrame:
        closes = closes_of(bars)
        return pd.DataFrame(1 / len(bars), closes.index, closes.columns)
