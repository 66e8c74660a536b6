"""backtrader: bars from a feed of rows, its own averages, orders made and filled at the open ("cheat on open").

Without that, an order is sized at the close before, and one for all the cash is refused whenever the open is higher.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from work import Engine, Found, Work, measure

HAIR: Final = 1e-12
"""Less than all the cash by this share: an order that is a rounding above it would be refused."""


def load() -> Engine:
    """Imports backtrader."""
    import backtrader as bt

    class Rows(bt.feed.DataBase):
        params = (("rows", None),)

        def start(self) -> None:
            super().start()
            self._rows = iter(self.p.rows)

        def _load(self) -> bool:
            row = next(self._rows, None)
            if row is None:
                return False
            lines = self.lines
            lines.datetime[0], lines.open[0], lines.high[0], lines.low[0], lines.close[0] = row
            lines.volume[0] = 1e9
            lines.openinterest[0] = 0.0
            return True

    class Crossover(bt.Strategy):
        params = (("fast", 20), ("slow", 50), ("slippage", 0.0))

        def __init__(self) -> None:
            self.quick = bt.ind.SMA(self.data.close, period=self.p.fast)
            self.slower = bt.ind.SMA(self.data.close, period=self.p.slow)
            self.wanted = False
            self.fills: list[tuple[int, float]] = []
            self.dropped: list[str] = []

        def next_open(self) -> None:
            if self.wanted and not self.position:
                price = self.data.open[0] * (1 + self.p.slippage)
                self.buy(size=self.broker.getcash() / price * (1 - HAIR))
            elif not self.wanted and self.position:
                self.close()

        def next(self) -> None:
            self.wanted = len(self) > self.p.slow and self.quick[0] > self.slower[0]

        def notify_order(self, order: Any) -> None:
            if order.status == order.Completed:
                self.fills.append((len(self) - 1, order.executed.size))
            elif order.status in (order.Margin, order.Rejected, order.Canceled, order.Expired):
                self.dropped.append(f"bar {len(self) - 1}: {order.getstatusname()}")

    class Cerebro:
        def prepare(self, work: Work) -> Any:
            began = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
            times = [bt.date2num(began + timedelta(microseconds=one // 1000)) for one in work.time.tolist()]
            prices = [getattr(work, name) for name in ("open", "high", "low", "close")]
            return work, [
                list(zip(times, *(one[:, column].tolist() for one in prices), strict=True))
                for column in range(work.close.shape[1])
            ]

        def run(self, prepared: Any) -> Any:
            work, rows = prepared
            found = []
            for column, fast, slow in work.lanes:
                cerebro = bt.Cerebro(cheat_on_open=True, stdstats=False)
                cerebro.adddata(Rows(rows=rows[column], timeframe=bt.TimeFrame.Minutes))
                cerebro.addstrategy(Crossover, fast=fast, slow=slow, slippage=work.slippage)
                cerebro.broker.setcash(work.capital)
                cerebro.broker.set_slippage_perc(work.slippage, slip_open=True, slip_match=True, slip_out=True)
                (strategy,) = cerebro.run()
                found.append((strategy.fills, strategy.dropped, cerebro.broker.getvalue()))
            return found

        def tell(self, ran: Any) -> Found:
            fills = [(number, bar, size) for number, (made, _, _) in enumerate(ran) for bar, size in made]
            return Found(fills, [value for _, _, value in ran], [one for _, dropped, _ in ran for one in dropped])

    return Cerebro()


if __name__ == "__main__":
    measure(load)
