"""Ours: targets as an array, which is what a Strategy gives, and `backtest` on them. Bars are made in each run."""

from __future__ import annotations

from typing import Any

from work import Engine, Found, Work, measure


def load() -> Engine:
    """Imports our engine."""
    import numpy as np

    from tradingbot_research.engine import backtest
    from tradingbot_research.market import Bars
    from tradingbot_research.rules import Costs, Rules, SizeAt, Sizing

    def crossover(closes: Any, fast: int, slow: int) -> Any:
        """1 where the fast average is above the slow one, else 0; no opinion on the first bars."""
        sums = np.cumsum(closes)
        found = np.empty(len(closes))
        found[:slow] = np.nan
        quick = sums[slow:] - sums[slow - fast : len(sums) - fast]
        slower = sums[slow:] - sums[: len(sums) - slow]
        slower *= fast / slow
        np.greater(quick, slower, out=found[slow:])
        return found

    class Ours:
        def prepare(self, work: Work) -> Work:
            return work

        def run(self, work: Work) -> Any:
            rules = Rules(
                capital=work.capital,
                costs=Costs(0.0, 0.0, 0.0, 0.0, slippage_bps=work.slippage * 10_000),
                sizing=Sizing.EQUITY,
                size_at=SizeAt.FILL,
                share_step=0.0,
                minimum_trade=0.0,
                rebalance_band=None,
                maximum_volume=1.0,
            )
            time = work.time.view("datetime64[ns]")
            volume = np.full((len(time), 1), 1e15)
            found = []
            for column in range(work.close.shape[1]):
                prices = {
                    name: getattr(work, name)[:, column : column + 1] for name in ("open", "high", "low", "close")
                }
                bars = Bars((f"S{column}",), time, **prices, volume=volume)
                for fast, slow in work.pairs:
                    result = backtest(bars, crossover(bars.close[:, 0], fast, slow), rules)
                    found.append((result, result.equity))
            return found

        def tell(self, ran: Any) -> Found:
            fills = [
                (number, bar, shares)
                for number, (result, _) in enumerate(ran)
                for bar, shares in zip(result.fills.bar.tolist(), result.fills.shares.tolist(), strict=True)
            ]
            dropped = [
                f"bar {one.bar}: {one.obstacle}"
                for result, _ in ran
                for one in result.unfilled
                if one.bar < len(result.bars) - 1
            ]
            return Found(fills, [float(equity[-1]) for _, equity in ran], dropped)

    return Ours()


if __name__ == "__main__":
    measure(load)
