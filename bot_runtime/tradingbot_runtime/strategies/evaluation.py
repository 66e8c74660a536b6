"""What a strategy's answer means: the last row of its targets as weights. Runs a user's own code; decides nothing."""

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pandas as pd

from tradingbot_runtime.strategies.contract import Strategy


class StrategyFailed(Exception):
    """The strategy raised an error; the message names it."""


def weights_of(strategy: Strategy[Any], frames: Mapping[str, pd.DataFrame]) -> dict[str, Decimal]:
    """Shares of the capital by symbol, six decimals; a symbol without a finite weight is absent.

    `frames` holds the last closed bars of each symbol, oldest first. Raises StrategyFailed.
    """
    if not frames:
        return {}
    try:
        row = strategy.targets(frames).iloc[-1]
        weights = {str(symbol): float(weight) for symbol, weight in row.items()}
    except Exception as error:
        # Somebody else's code: whatever it raises is an answer.
        raise StrategyFailed(f"{type(error).__name__}: {error}") from error
    return {symbol: Decimal(str(round(weight, 6))) for symbol, weight in weights.items() if math.isfinite(weight)}
