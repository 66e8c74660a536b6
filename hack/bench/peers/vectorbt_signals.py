"""vectorbt: averages and signals as arrays, a portfolio from them; all lanes are columns of one call."""

from __future__ import annotations

import os
from typing import Any

from work import Engine, Found, Work, measure


def load() -> Engine:
    """Imports vectorbt with the engine that VECTORBT_ENGINE names: numba or rust."""
    import numpy as np
    import pandas as pd
    import vectorbt as vbt

    vbt.settings["engine"] = os.environ["VECTORBT_ENGINE"]

    class Signals:
        def prepare(self, work: Work) -> Any:
            # One with a time zone is made into objects, at many times the cost.
            index = pd.DatetimeIndex(work.time)
            return work, pd.DataFrame(work.open, index=index), pd.DataFrame(work.close, index=index)

        def run(self, prepared: Any) -> Any:
            work, opens, closes = prepared
            windows = [[pair[place] for pair in work.pairs] for place in (0, 1)]
            quick, slower = (vbt.MA.run(closes, window=one, run_unique=True).ma.to_numpy() for one in windows)
            above = (quick > slower).reshape(len(closes), -1)
            if closes.shape[1] > 1 and len(work.pairs) > 1:
                raise ValueError("many symbols with many pairs: their columns come in another order")
            for number, (_, _, slow) in enumerate(work.lanes):
                above[:slow, number] = False
            # What is decided on one close is filled at the next open.
            wanted = np.zeros_like(above)
            wanted[1:] = above[:-1]
            portfolio = vbt.Portfolio.from_signals(
                closes,
                wanted,
                ~wanted,
                price=opens,
                slippage=work.slippage,
                init_cash=work.capital,
                freq=pd.Timedelta(seconds=work.bar_seconds),
            )
            return portfolio.orders.values, portfolio.value()

        def tell(self, ran: Any) -> Found:
            orders, value = ran
            fills = [
                (int(one["col"]), int(one["idx"]), float(one["size"]) * (1 - 2 * int(one["side"]))) for one in orders
            ]
            return Found(fills, value.to_numpy().reshape(len(value), -1)[-1].tolist())

    return Signals()


if __name__ == "__main__":
    measure(load)
