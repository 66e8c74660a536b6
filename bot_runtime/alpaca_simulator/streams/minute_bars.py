"""One minute of a session as the bar that the data API shows for it.

The whole session is not put together for it: a stream asks for one minute again and again.
"""

from __future__ import annotations

from alpaca_simulator.market.bars import Bar
from alpaca_simulator.market.price_source import MinuteBars
from alpaca_simulator.values.instants import from_epoch


def bar_of_minute(minutes: MinuteBars, epoch: int) -> Bar | None:
    """The bar of the minute that begins at `epoch`, None when it has no trades or is not among `minutes`."""
    if not minutes.start_epoch <= epoch < minutes.stop_epoch:
        return None
    minute = (epoch - minutes.start_epoch) // 60
    volume = minutes.volume[minute]
    if not volume:
        return None
    return Bar(
        from_epoch(epoch),
        minutes.open[minute] / 100,
        minutes.high[minute] / 100,
        minutes.low[minute] / 100,
        minutes.close[minute] / 100,
        volume,
        minutes.trades[minute],
        round(minutes.turnover[minute] / volume / 100, 6),
    )
