"""What happens inside a minute: where the price stands at each second, and which trades there are.

The price goes from the open over both extremes to the close, and trades are printed along that way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from alpaca_simulator.market.price_source import MinuteBars
from alpaca_simulator.values.instants import from_epoch

#: The legs from open to extreme to extreme to close, in seconds; the close is reached at the last second.
_LEG_SECONDS = (20, 20, 19)
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Quote:
    """The NBBO at one second: prices in cents, sizes in shares; `last` is the price of the last trade."""

    at: datetime
    bid: int
    ask: int
    last: int
    bid_size: int
    ask_size: int


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade: price in cents, size in shares (a part of one in a minute of few shares).

    `number` counts the trades of a minute from 0.
    """

    at: datetime
    price: int
    size: int | float
    number: int

    @property
    def identity(self) -> int:
        """A number no other trade of the symbol has."""
        return int(self.at.timestamp()) // 60 * 1_000_000 + self.number


def quote_within(bars: MinuteBars, epoch: int) -> Quote:
    """The NBBO of one second (Unix epoch): inside the minute's bar, as far as the bar has room for it."""
    minute, second = divmod(epoch - bars.start_epoch, 60)
    opening, closing, low, high = bars.open[minute], bars.close[minute], bars.low[minute], bars.high[minute]
    leg, within = divmod(second, 20)
    rising = closing >= opening
    if leg == 0:
        start, stop, seconds = opening, low if rising else high, 20
    elif leg == 1:
        start, stop, seconds = (low, high, 20) if rising else (high, low, 20)
    else:
        start, stop, seconds = high if rising else low, closing, 19
    middle = start + (stop - start) * within // seconds
    trades, spread = bars.trades[minute], bars.spread
    if trades:
        # As many trades as have been printed on this leg by now.
        steps = (trades - 1 + 2 - leg) // 3
        last = start + (stop - start) * (within * steps // seconds) // steps if steps else middle
        spread = min(spread, high - low)
        bid = min(max(middle - spread // 2, low), high - spread)
    else:
        last, bid = opening, max(1, opening - spread // 2)
    return Quote(
        from_epoch(epoch),
        bid,
        bid + spread,
        last,
        100 * (1 + (minute * 7 + second * 13) % 9),
        100 * (1 + (minute * 11 + second * 5) % 9),
    )


def trades_within(bars: MinuteBars, minute: int) -> Sequence[Trade]:
    """The minute's trades in order: the open first, both extremes, the close last, its shares in all."""
    count = bars.trades[minute]
    if not count:
        return ()
    start = from_epoch(bars.start_epoch + 60 * minute)
    path = _prices_on_the_way(bars, minute, count)
    sizes = _sizes(bars.volume[minute], count, minute)
    return [
        Trade(start + timedelta(microseconds=microseconds), price, size, number)
        for number, ((microseconds, price), size) in enumerate(zip(path, sizes, strict=True))
    ]


def _prices_on_the_way(bars: MinuteBars, minute: int, count: int) -> Iterator[tuple[int, int]]:
    """When (microseconds into the minute) and at which price each of `count` trades is printed."""
    opening, closing = bars.open[minute], bars.close[minute]
    low, high = bars.low[minute], bars.high[minute]
    corners = (opening, low, high, closing) if closing >= opening else (opening, high, low, closing)
    begin = 0
    for leg, seconds in enumerate(_LEG_SECONDS):
        steps, start, stop = (count - 1 + 2 - leg) // 3, corners[leg], corners[leg + 1]
        for step in range(steps):
            yield begin + seconds * _MICROSECONDS * step // steps, start + (stop - start) * step // steps
        begin += seconds * _MICROSECONDS
    yield begin, closing


def _sizes(volume: int, count: int, minute: int) -> Iterator[int | float]:
    """`count` sizes that add up to `volume`, none of them nothing."""
    if volume < count:
        yield from [volume / count] * count
        return
    weights = [1 + (minute * 7 + number * 13) % 9 for number in range(count)]
    whole, running, given = sum(weights), 0, 0
    for weight in weights:
        running += weight
        reached = (volume - count) * running // whole
        yield 1 + reached - given
        given = reached
