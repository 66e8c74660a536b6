"""nautilus_trader: a Strategy in its BacktestEngine. Each bar is two events, a quote at its open and itself at its end.

With bars alone an order is filled at the close that it was decided on. Slippage is given as the taker's fee on both
sides: the same money, to the smallest part of the account's currency.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, Final

from work import Engine, Found, Work, measure

PLACES: Final = 8
"""Decimals of a quantity."""


def load() -> Engine:
    """Imports what a backtest of nautilus_trader needs."""
    import pandas as pd
    from nautilus_trader.backtest.config import BacktestEngineConfig
    from nautilus_trader.backtest.engine import BacktestEngine
    from nautilus_trader.config import LoggingConfig
    from nautilus_trader.indicators import SimpleMovingAverage
    from nautilus_trader.model.currencies import Currency
    from nautilus_trader.model.data import BarType
    from nautilus_trader.model.enums import AccountType, CurrencyType, OmsType, OrderSide
    from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
    from nautilus_trader.model.instruments import CurrencyPair
    from nautilus_trader.model.objects import Money, Price, Quantity
    from nautilus_trader.persistence.wranglers import BarDataWrangler, QuoteTickDataWrangler
    from nautilus_trader.trading.strategy import Strategy

    venue = Venue("SIM")
    share = Currency("SHR", PLACES, 0, "SHR", CurrencyType.CRYPTO)
    money = Currency("ACC", 8, 0, "ACC", CurrencyType.CRYPTO)

    class Crossover(Strategy):
        def __init__(self, instrument: Any, bar_type: Any, fast: int, slow: int, slippage: float) -> None:
            super().__init__()
            self.instrument, self.bar_type, self.slow, self.slippage = instrument, bar_type, slow, slippage
            self.quick, self.slower = SimpleMovingAverage(fast), SimpleMovingAverage(slow)
            self.wanted, self.held, self.seen = False, None, 0
            self.fills: list[tuple[int, float]] = []
            self.dropped: list[str] = []

        def on_start(self) -> None:
            self.register_indicator_for_bars(self.bar_type, self.quick)
            self.register_indicator_for_bars(self.bar_type, self.slower)
            self.subscribe_bars(self.bar_type)
            self.subscribe_quote_ticks(self.instrument.id)

        def on_bar(self, bar: Any) -> None:
            self.seen += 1
            self.wanted = self.seen > self.slow and self.quick.value > self.slower.value

        def on_quote_tick(self, quote: Any) -> None:
            if self.wanted == (self.held is not None):
                return
            if self.wanted:
                cash = self.portfolio.account(venue).balance_free(money).as_double()
                parts = math.floor(cash / (quote.ask_price.as_double() * (1 + self.slippage)) * 10**PLACES) - 1
                quantity, side = Quantity(Decimal(parts).scaleb(-PLACES), PLACES), OrderSide.BUY
            else:
                quantity, side = self.held, OrderSide.SELL
            order = self.order_factory.market(self.instrument.id, side, quantity)
            self.submit_order(order)

        def on_order_filled(self, event: Any) -> None:
            buys = event.order_side == OrderSide.BUY
            self.held = event.last_qty if buys else None
            self.fills.append((self.seen, event.last_qty.as_double() * (1 if buys else -1)))

        def on_order_denied(self, event: Any) -> None:
            self.dropped.append(f"bar {self.seen}: denied: {event.reason}")

        def on_order_rejected(self, event: Any) -> None:
            self.dropped.append(f"bar {self.seen}: rejected: {event.reason}")

    def instrument_of(column: int, slippage: float) -> Any:
        name = f"S{column}/ACC"
        return CurrencyPair(
            instrument_id=InstrumentId(Symbol(name), venue),
            raw_symbol=Symbol(name),
            base_currency=share,
            quote_currency=money,
            price_precision=6,
            size_precision=PLACES,
            price_increment=Price(1e-6, 6),
            size_increment=Quantity(10**-PLACES, PLACES),
            ts_event=0,
            ts_init=0,
            maker_fee=Decimal(0),
            taker_fee=Decimal(str(slippage)),
        )

    class Strategies:
        def prepare(self, work: Work) -> Any:
            begins = pd.DatetimeIndex(work.time, tz="UTC")
            ends = begins + pd.Timedelta(seconds=work.bar_seconds) - pd.Timedelta(nanoseconds=1)
            symbols = []
            for column in range(work.close.shape[1]):
                instrument = instrument_of(column, work.slippage)
                bar_type = BarType.from_str(f"{instrument.id}-{work.bar_seconds // 60}-MINUTE-LAST-EXTERNAL")
                prices = {name: getattr(work, name)[:, column] for name in ("open", "high", "low", "close")}
                bars = BarDataWrangler(bar_type, instrument).process(pd.DataFrame(prices, index=ends))
                opens = {"bid_price": work.open[:, column], "ask_price": work.open[:, column]}
                quotes = QuoteTickDataWrangler(instrument).process(pd.DataFrame(opens, index=begins), 1e12)
                symbols.append((instrument, bar_type, [*quotes, *bars]))
            return work, symbols

        def run(self, prepared: Any) -> Any:
            work, symbols = prepared
            found = []
            for instrument, bar_type, data in symbols:
                engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
                engine.add_venue(
                    venue=venue,
                    oms_type=OmsType.NETTING,
                    account_type=AccountType.CASH,
                    starting_balances=[Money(work.capital, money)],
                    bar_execution=False,
                )
                engine.add_instrument(instrument)
                engine.add_data(data)
                for fast, slow in work.pairs:
                    strategy = Crossover(instrument, bar_type, fast, slow, work.slippage)
                    engine.add_strategy(strategy)
                    engine.run()
                    cash = engine.portfolio.account(venue).balance_total(money).as_double()
                    held = strategy.held.as_double() if strategy.held is not None else 0.0
                    found.append((strategy.fills, strategy.dropped, cash, held, data[-1].close.as_double()))
                    engine.reset()
                    engine.clear_strategies()
                engine.dispose()
            return found

        def tell(self, ran: Any) -> Found:
            fills = [(number, bar, size) for number, (made, *_) in enumerate(ran) for bar, size in made]
            equity = [cash + held * close for _, _, cash, held, close in ran]
            return Found(fills, equity, [one for _, dropped, *_ in ran for one in dropped])

    return Strategies()


if __name__ == "__main__":
    measure(load)
