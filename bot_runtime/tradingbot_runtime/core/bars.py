"""Whether bars can be trusted. A bad symbol is left out with a reason; it never stops the others."""

from collections.abc import Mapping
from decimal import Decimal

import pandas as pd

COLUMNS = ("open", "high", "low", "close", "volume")


def usable_closes(
    frames: Mapping[str, pd.DataFrame], symbols: frozenset[str]
) -> tuple[dict[str, tuple[Decimal, pd.DataFrame]], dict[str, str]]:
    """Per good symbol its last close and its bars, and per bad symbol why it is left out."""
    good: dict[str, tuple[Decimal, pd.DataFrame]] = {}
    bad: dict[str, str] = {}
    for symbol in sorted(symbols):
        frame = frames.get(symbol)
        problem = "no_data" if frame is None or frame.empty else defect(frame)
        if problem is not None or frame is None:
            bad[symbol] = problem or "no_data"
        else:
            good[symbol] = (Decimal(str(round(float(frame["close"].iloc[-1]), 4))), frame)
    return good, bad


def defect(frame: pd.DataFrame) -> str | None:
    """The first defect of one symbol's bars, or None."""
    if any(column not in frame.columns for column in COLUMNS):
        return "missing_columns"
    if frame.index.has_duplicates:
        return "duplicate_timestamps"
    if not frame.index.is_monotonic_increasing:
        return "non_monotonic_index"
    prices = frame[["open", "high", "low", "close"]]
    if bool(frame[list(COLUMNS)].isna().to_numpy().any()):
        return "null_values"
    if bool((prices <= 0).to_numpy().any()):
        return "non_positive_prices"
    if bool((frame["volume"] < 0).any()):
        return "negative_volume"
    outside = (prices.max(axis=1) > frame["high"]) | (prices.min(axis=1) < frame["low"])
    return "invalid_ohlc_bounds" if bool(outside.any()) else None
