"""Markets from a seed to try a strategy on: calm, wild, standing still, and with bars that are not there.

They are made to show faults, not to resemble any market; nobody should measure a profit on them.
"""

from collections.abc import Collection, Sequence
from typing import Final

import numpy as np

from tradingbot_research.market import Bars, Flags, Floats

SYMBOLS: Final = ("VTI", "TLT", "GLD", "DBC")
MOST_BARS: Final = 4_000
_FIRST_DAY: Final = np.datetime64("2019-01-02", "D")


def symbols_with(needed: Collection[str]) -> tuple[str, ...]:
    """The needed symbols, and others beside them up to four."""
    others = [symbol for symbol in SYMBOLS if symbol not in needed]
    return (*sorted(needed), *others[: max(0, len(SYMBOLS) - len(needed))])


def trial_markets(seed: int, lookback: int, symbols: Sequence[str] = SYMBOLS) -> dict[str, Bars]:
    """Daily bars by the name of the market, the same for the same seed; three lookbacks of them and some more."""
    bars = min(200 + 3 * lookback, MOST_BARS)
    return {
        name: make(np.random.default_rng([seed, number]), bars, tuple(symbols))
        for number, (name, make) in enumerate((("calm", _calm), ("wild", _wild), ("still", _still), ("holes", _holes)))
    }


def _calm(rng: np.random.Generator, bars: int, symbols: tuple[str, ...]) -> Bars:
    """Some 1 % a day, with moods of forty days."""
    shape = (bars, len(symbols))
    mood = np.cumsum(rng.random(shape) < 1 / 40, axis=0) % 2 * 2.0 - 1
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, shape) + 0.003 * mood, axis=0))
    return _around(close, rng, symbols)


def _wild(rng: np.random.Generator, bars: int, symbols: tuple[str, ...]) -> Bars:
    """Crashes, gaps, and prices from cents to tens of thousands."""
    shape = (bars, len(symbols))
    steps = rng.normal(0, 0.04, shape) + (rng.random(shape) < 0.02) * rng.normal(0, 0.4, shape)
    beginning = np.geomspace(0.5, 20_000, len(symbols)) if len(symbols) > 1 else np.array([50.0])
    close = beginning * np.exp(np.clip(np.cumsum(steps, axis=0), -3, 3))
    return _around(close, rng, symbols)


def _still(rng: np.random.Generator, bars: int, symbols: tuple[str, ...]) -> Bars:
    """Prices in cents that stand still for weeks, and several that are equal: what divides by a spread divides by 0."""
    shape = (bars, len(symbols))
    moves = rng.random(shape) < 1 / 15
    moves[bars // 3 : bars // 2] = False  # long enough for most lookbacks
    close = np.round(20.1 * np.exp(np.cumsum(moves * rng.normal(0, 0.02, shape), axis=0)), 2)
    close[:, -1] = close[:, 0]
    return Bars(symbols, _days(bars), close, close, close, close, np.full(shape, 1e5))


def _holes(rng: np.random.Generator, bars: int, symbols: tuple[str, ...]) -> Bars:
    """As calm, but one symbol begins late, and each misses a few bars or trades nothing in them."""
    found = _calm(rng, bars, symbols)
    shape = found.close.shape
    missing: Flags = rng.random(shape) < 0.02
    missing[: bars // 4, -1] = True
    missing[missing.all(axis=1), 0] = False  # a bar that nobody has is none
    fields = {name: np.where(missing, np.nan, getattr(found, name)) for name in ("open", "high", "low", "close")}
    volume = np.where(missing, np.nan, np.where(rng.random(shape) < 0.02, 0.0, found.volume))
    return Bars(symbols, found.time, volume=volume, **fields)


def _around(close: Floats, rng: np.random.Generator, symbols: tuple[str, ...]) -> Bars:
    close = np.round(close, 4)
    opened = np.round(np.vstack([close[:1], close[:-1]]) * (1 + rng.normal(0, 0.002, close.shape)), 4)
    high = np.round(np.maximum(opened, close) * 1.003, 4)
    low = np.maximum(np.round(np.minimum(opened, close) * 0.997, 4), 0.0001)
    volume = rng.integers(10**4, 10**6, close.shape).astype(np.float64)
    return Bars(symbols, _days(len(close)), opened, high, low, close, volume)


def _days(bars: int) -> "np.ndarray[tuple[int], np.dtype[np.datetime64]]":
    return np.busday_offset(_FIRST_DAY, np.arange(bars), roll="forward").astype("datetime64[ns]")
