"""A bare compiled loop over the bars: the floor. Knows nothing but this one strategy."""

from __future__ import annotations

from typing import Any

from work import Engine, Found, Work, measure


def load() -> Engine:
    """Imports numba, and compiles nothing yet; what it compiled before is in its cache."""
    import numpy as np
    from numba import njit

    @njit(cache=True)
    def lane(opens, closes, fast, slow, capital, slippage):  # type: ignore[no-untyped-def] # pragma: no cover
        bars = len(closes)
        at, amount, equity = np.empty(bars, np.int64), np.empty(bars), np.empty(bars)
        quick = slower = 0.0
        cash, shares, count, wanted = capital, 0.0, 0, False
        for bar in range(bars):
            if wanted != (shares > 0):
                if wanted:
                    shares = cash / (opens[bar] * (1 + slippage))
                    cash, amount[count] = 0.0, shares
                else:
                    cash, amount[count], shares = cash + shares * opens[bar] * (1 - slippage), -shares, 0.0
                at[count] = bar
                count += 1
            quick += closes[bar] - (closes[bar - fast] if bar >= fast else 0.0)
            slower += closes[bar] - (closes[bar - slow] if bar >= slow else 0.0)
            wanted = bar >= slow and quick / fast > slower / slow
            equity[bar] = cash + shares * closes[bar]
        return at[:count].copy(), amount[:count].copy(), equity

    class Loop:
        def prepare(self, work: Work) -> Work:
            return work

        def run(self, work: Work) -> Any:
            columns = [
                (np.ascontiguousarray(work.open[:, one]), np.ascontiguousarray(work.close[:, one]))
                for one in range(work.close.shape[1])
            ]
            return [
                lane(*columns[column], fast, slow, work.capital, work.slippage) for column, fast, slow in work.lanes
            ]

        def tell(self, ran: Any) -> Found:
            fills = [
                (number, bar, shares)
                for number, (at, amount, _) in enumerate(ran)
                for bar, shares in zip(at.tolist(), amount.tolist(), strict=True)
            ]
            return Found(fills, [float(equity[-1]) for _, _, equity in ran])

    return Loop()


if __name__ == "__main__":
    measure(load)
