"""Markets made from a seed: prices, holes in them, and targets to try on them."""

from __future__ import annotations

import numpy as np

from tradingbot_research.market import Bars, Floats


def a_market(
    bars: int,
    symbols: int = 1,
    *,
    seed: int = 1,
    step: float = 0.01,
    drift: float = 0.0,
    holes: float = 0.0,
    volume: float = 1e6,
    unit: str = "D",
) -> Bars:
    """A random walk of so many bars x symbols; `holes`: the share of bars that are not there, or without volume."""
    rng = np.random.default_rng(seed)
    shape = (bars, symbols)
    close = 100 * np.exp(np.cumsum(rng.normal(drift, step, shape), axis=0))
    opened = np.vstack([close[:1], close[:-1]]) * (1 + rng.normal(0, step / 3, shape))
    high = np.maximum(opened, close) * (1 + np.abs(rng.normal(0, step / 2, shape)))
    low = np.minimum(opened, close) * (1 - np.abs(rng.normal(0, step / 2, shape)))
    volumes = np.full(shape, volume) * rng.uniform(0.5, 1.5, shape)
    if holes:
        missing = rng.random(shape) < holes / 2
        for prices in (opened, high, low, close, volumes):
            prices[missing] = np.nan
        volumes[rng.random(shape) < holes / 2] = 0.0
    time = np.datetime64("2015-01-02", "D") + np.arange(bars).astype(f"timedelta64[{unit}]")
    names = tuple(f"S{number:02}" for number in range(symbols))
    return Bars(names, time.astype("datetime64[ns]"), opened, high, low, close, volumes)


def targets_for(bars: Bars, *, seed: int, every: int = 5, values: tuple[float, ...] = (0.0, 0.5, 1.0)) -> Floats:
    """Weights drawn from `values` that stay for a while; rows sum to at most 1 in absolute value."""
    rng = np.random.default_rng(seed)
    shape = bars.close.shape
    drawn = rng.choice(values, shape) / shape[1]
    keep = rng.random(shape) >= 1 / every
    for row in range(1, shape[0]):
        drawn[row] = np.where(keep[row], drawn[row - 1], drawn[row])
    drawn[rng.random(shape) < 0.05] = np.nan
    return drawn


def crossover(close: Floats, fast: int, slow: int) -> Floats:
    """1 where the fast moving average is above the slow one, else 0; 0 until there is one."""
    sums = np.concatenate(([0.0], np.cumsum(close)))
    above = (sums[slow:] - sums[slow - fast : -fast]) / fast > (sums[slow:] - sums[:-slow]) / slow
    weights = np.zeros(len(close))
    weights[slow - 1 :] = above
    return weights[:, None]
