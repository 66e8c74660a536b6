"""backtesting.py: a Strategy of its own for each lane, in parts of a share.

Its spread is only paid on entries, so that slippage is given as a commission on both sides: the same money.
"""

from __future__ import annotations

import warnings
from typing import Any, Final

from work import Engine, Fill, Found, Work, measure

UNIT: Final = 1e-9
"""The smallest part of a share."""


def load() -> Engine:
    """Imports backtesting.py."""
    import pandas as pd
    from backtesting import Strategy
    from backtesting.lib import FractionalBacktest

    def average(closes: Any, window: int) -> Any:
        return pd.Series(closes).rolling(window).mean()

    class Crossover(Strategy):
        fast = 20
        slow = 50

        def init(self) -> None:
            self.quick = self.I(average, self.data.Close, self.fast)
            self.slower = self.I(average, self.data.Close, self.slow)

        def next(self) -> None:
            if self.quick[-1] > self.slower[-1]:
                if not self.position:
                    self.buy()
            elif self.position:
                self.position.close()

    class Strategies:
        def prepare(self, work: Work) -> Any:
            index = pd.DatetimeIndex(work.time)
            frames = []
            for column in range(work.close.shape[1]):
                prices = {name.title(): getattr(work, name)[:, column] for name in ("open", "high", "low", "close")}
                frames.append(pd.DataFrame({**prices, "Volume": 1e9}, index=index))
            return work, frames

        def run(self, prepared: Any) -> Any:
            work, frames = prepared
            found = []
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                for column, fast, slow in work.lanes:
                    test = FractionalBacktest(
                        frames[column],
                        Crossover,
                        cash=work.capital,
                        commission=lambda size, price: abs(size) * price * work.slippage,
                        fractional_unit=UNIT,
                    )
                    found.append(test.run(fast=fast, slow=slow))
            return found, [str(one.message) for one in told if "cancel" in str(one.message).lower()]

        def tell(self, ran: Any) -> Found:
            runs, dropped = ran
            fills: list[Fill] = []
            for number, one in enumerate(runs):
                strategy = one["_strategy"]
                for trade in (*strategy.closed_trades, *strategy.trades):
                    fills.append((number, int(trade.entry_bar), trade.size * UNIT))
                    if trade.exit_bar is not None:
                        fills.append((number, int(trade.exit_bar), -trade.size * UNIT))
            return Found(fills, [float(one["Equity Final [$]"]) for one in runs], dropped)

    return Strategies()


if __name__ == "__main__":
    measure(load)
