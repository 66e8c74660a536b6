"""Strategies to be judged: one that is luck, one that has an edge, and some that cheat. And the markets for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field

from tradingbot_research.market import Bars
from tradingbot_research.rules import Rules
from tradingbot_runtime.strategies.contract import Parameters, Strategy

RULES = Rules(share_step=0, rebalance_band=None)


class DiceParameters(Parameters):
    number: Annotated[int, Field(ge=1, le=1_000_000)] = 1


class OfOneBar(Strategy[DiceParameters]):
    """Looks at the last bar alone."""

    parameters_model = DiceParameters

    @property
    def lookback(self) -> int:
        return 1


class Dice(OfOneBar):
    """In or out for ten days at a time, by dice: pure, causal, and worth nothing."""

    name = "dice"

    def targets(self, bars: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        rng = np.random.default_rng(self.parameters.number)
        index = next(iter(bars.values())).index
        thrown = rng.integers(0, 2, (2000, len(bars))).astype(float) / len(bars)
        return pd.DataFrame(np.repeat(thrown, 10, axis=0)[: len(index)], index=index, columns=list(bars))


class Foresight(OfOneBar):
    """Holds what will have risen tomorrow."""

    name = "foresight"

    def targets(self, bars: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        closes = pd.DataFrame({symbol: frame["close"] for symbol, frame in bars.items()})
        return (closes.shift(-1) > closes).astype(float) / len(bars)


class Moody(OfOneBar):
    """Says something else each time it is asked."""

    name = "moody"
    asked = 0

    def targets(self, bars: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        Moody.asked += 1
        index = next(iter(bars.values())).index
        return pd.DataFrame(float(Moody.asked % 2), index=index, columns=list(bars))


class Broken(OfOneBar):
    """Raises."""

    name = "broken"

    def targets(self, bars: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        raise KeyError("sma")


def market_of_moods(seed: int, days: int = 2000, symbols: int = 2, mood: float = 0.004) -> Bars:
    """Prices that for some 50 days at a time drift up or down by `mood` a day, below a noise of 1 %."""
    rng = np.random.default_rng(seed)
    up = np.cumsum(rng.random((days, symbols)) < 1 / 50, axis=0) % 2 * 2.0 - 1
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (days, symbols)) + mood * up, axis=0))
    return bars_around(close, rng)


def market_of_noise(seed: int, days: int = 1000, symbols: int = 1) -> Bars:
    """Prices that remember nothing, without a drift."""
    rng = np.random.default_rng(seed)
    return bars_around(100 * np.exp(np.cumsum(rng.normal(0, 0.01, (days, symbols)), axis=0)), rng)


def bars_around(close: np.ndarray[Any, np.dtype[np.float64]], rng: np.random.Generator) -> Bars:
    opened = np.vstack([close[:1], close[:-1]]) * (1 + rng.normal(0, 0.001, close.shape))
    high, low = np.maximum(opened, close) * 1.003, np.minimum(opened, close) * 0.997
    time = np.datetime64("2012-01-02", "D") + np.arange(len(close))
    names = tuple(f"S{number:02}" for number in range(close.shape[1]))
    return Bars(names, time.astype("datetime64[ns]"), opened, high, low, close, np.full(close.shape, 1e7))
