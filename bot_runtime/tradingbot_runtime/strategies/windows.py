"""Sums, means and deviations over the last bars, each from its window alone.

A running sum, as pandas keeps one, carries rounding from all bars before: a backtest and a bot that sees only its
window would differ in the last digit. Here each row is added up in an order that only the window's length decides.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def closes_of(bars: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Closes, one column a symbol, on the union of the bars' times; NaN where a symbol has no bar."""
    return pd.DataFrame({symbol: frame["close"] for symbol, frame in bars.items()}, dtype=np.float64)


def lagged(values: Floats, bars: int) -> Floats:
    """The values of so many bars before; NaN where there were none."""
    if not bars:
        return values
    found = np.full_like(values, np.nan)
    found[bars:] = values[: max(len(values) - bars, 0)]
    return found


def window_sums(values: Floats, length: int) -> Floats:
    """Sums of the last `length` rows; NaN until there are so many, and where one of them is NaN.

    Sums of 1, 2, 4, ... rows are put together by the binary digits of the length: one row at a time, whatever came
    before.
    """
    block, size, offset = values, 1, 0
    total: Floats | None = None
    while True:
        if length & size:
            part = lagged(block, offset)
            total = part if total is None else total + part
            offset += size
        if size * 2 > length:
            break
        block = block + lagged(block, size)
        size *= 2
    assert total is not None  # a length above 0 has a binary digit  # noqa: S101
    return total


def entered(cheapness: Floats, entry: float, leave: float, weight: float) -> Floats:
    """The weight from `entry` on, 0 below `leave`, and NaN between both: no opinion, so that what is held stays."""
    return np.where(cheapness >= entry, weight, np.where(cheapness < leave, 0.0, np.nan))


def window_z_scores(values: Floats, length: int) -> Floats:
    """(value - mean) / standard deviation of the last `length` rows, this one included; the sample's, n - 1.

    0 where the values do not differ but for rounding. NaN until the window is full.
    """
    mean = window_sums(values, length) / length
    squares = np.zeros_like(values)
    for bars in range(length):
        squares += (lagged(values, bars) - mean) ** 2
    deviation = np.sqrt(squares / (length - 1))
    still = deviation <= 1e-9 * np.abs(mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(still, 0.0, (values - mean) / deviation)
