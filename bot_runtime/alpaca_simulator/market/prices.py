"""The market: prices and volumes of every symbol at every minute, as a function of a seed.

Nothing here depends on when or in what order it is asked. Draws are hashes of (seed, symbol,
session), and the arithmetic keeps to + - * / and square roots, which every machine rounds alike.
"""

from __future__ import annotations

import hashlib
import math
import struct
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Generic, TypeVar

from alpaca_simulator.market.assets import Asset
from alpaca_simulator.market.calendar import Session, TradingCalendar
from alpaca_simulator.values.instants import epoch_floor, from_epoch

SESSIONS_A_YEAR = 252
#: No simulated price goes below this, so that one cent stays a small step.
LOWEST_CENTS = 200

# The share of a day's spread of returns that happens overnight, and the pull back to the
# reference price a session: half of a deviation is gone after about a year.
_GAP_SHARE = 0.45
_PULL = 0.003
_TREND_SHARE = 0.12
_FAT_TAIL_ODDS = 655  # of 65536: one session in a hundred
_FAT_TAIL_FACTOR = 2.5
_LARGEST_MOVE = 0.2

_DAY_DRAWS = 20
_MINUTE_DRAWS = 8
_TURN_DRAWS = 3
_DRAW_RANGE = 65536
# A sum of four draws has this mean and standard deviation, and is close to normal.
_SUM_MEAN = 2.0 * (_DRAW_RANGE - 1)
_SUM_DEVIATION = 37837.0

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class DayBar:
    """One session of one symbol: prices in cents, volume in shares, spread of the NBBO in cents."""

    open: int
    high: int
    low: int
    close: int
    volume: int
    trades: int
    spread: int


@dataclass(frozen=True, slots=True)
class MinuteBars:
    """Every minute of one session of one symbol, in columns: prices in cents, volume in shares."""

    session: Session
    spread: int
    open: Sequence[int]
    high: Sequence[int]
    low: Sequence[int]
    close: Sequence[int]
    volume: Sequence[int]
    trades: Sequence[int]


@dataclass(frozen=True, slots=True)
class Quote:
    """The NBBO at one second: prices in cents, sizes in shares."""

    at: datetime
    bid: int
    ask: int
    last: int
    bid_size: int
    ask_size: int


class Market:
    """Seeded prices of any symbol in any session of the calendar, made when they are asked for."""

    def __init__(
        self,
        seed: int,
        calendar: TradingCalendar,
        *,
        sessions_cached: int = 512,
        walks_cached: int = 256,
    ) -> None:
        self.seed = seed
        self.calendar = calendar
        self._minutes: _Cache[tuple[Asset, int], MinuteBars] = _Cache(sessions_cached)
        self._walks: _Cache[Asset, _DailyWalk] = _Cache(walks_cached)

    def day(self, asset: Asset, session: Session) -> DayBar:
        """The whole session as one bar; its minutes agree with it."""
        walk = self._walks.get(asset, lambda: _DailyWalk(self.seed, asset, self.calendar))
        return walk.day(session.number)

    def minutes(self, asset: Asset, session: Session) -> MinuteBars:
        """The session's minute bars, the ones that are still to come included: callers cut at their time."""
        return self._minutes.get(
            (asset, session.number),
            lambda: _minutes_within(self.seed, asset, session, self.day(asset, session)),
        )

    def quote(self, asset: Asset, at: datetime) -> Quote:
        """The NBBO of the last whole second at or before `at`; after a close, the one it closed with.

        It always lies within the minute bar of that second. Raises OutsideCalendarError before the
        first session.
        """
        self.calendar.require(at)
        session = self.calendar.last_opened(at)
        assert session is not None  # noqa: S101  (require() has just said so)
        return self.quote_in(asset, session, min(epoch_floor(at), session.close_epoch - 1))

    def quote_in(self, asset: Asset, session: Session, epoch: int) -> Quote:
        """The NBBO of one second (Unix epoch) of `session`, which has to contain it."""
        bars = self.minutes(asset, session)
        minute, second = divmod(epoch - session.open_epoch, 60)
        last = _price_within_minute(bars, minute, second)
        if epoch == session.close_epoch - 1:
            last = bars.close[minute]
        low, high, spread = bars.low[minute], bars.high[minute], bars.spread
        bid = min(max(last - spread // 2, low), high - spread)
        return Quote(
            at=from_epoch(epoch),
            bid=bid,
            ask=bid + spread,
            last=last,
            bid_size=100 * (1 + (minute * 7 + second * 13) % 9),
            ask_size=100 * (1 + (minute * 11 + second * 5) % 9),
        )

    def first_quote(
        self,
        asset: Asset,
        session: Session,
        seconds: range,
        *,
        ask_at_most: int | None,
        bid_at_least: int | None,
    ) -> Quote | None:
        """The first NBBO in `seconds` (Unix epoch, inside `session`) that meets the limits, in cents.

        With neither limit the first one of all. None when there is none.
        """
        bars = self.minutes(asset, session)
        epoch = seconds.start
        while epoch < seconds.stop:
            minute = (epoch - session.open_epoch) // 60
            following = session.open_epoch + 60 * (minute + 1)
            out_of_reach = (ask_at_most is not None and bars.low[minute] + bars.spread > ask_at_most) or (
                bid_at_least is not None and bars.high[minute] - bars.spread < bid_at_least
            )
            if not out_of_reach:
                for second in range(epoch, min(following, seconds.stop)):
                    quote = self.quote_in(asset, session, second)
                    if (ask_at_most is None or quote.ask <= ask_at_most) and (
                        bid_at_least is None or quote.bid >= bid_at_least
                    ):
                        return quote
            epoch = following
        return None


class _Cache(Generic[Key, Value]):
    """The most recently used values, at most `size` of them."""

    def __init__(self, size: int) -> None:
        self._size = max(1, size)
        self._held: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        value = self._held[key] = make()
        if len(self._held) > self._size:
            self._held.popitem(last=False)
        return value


class _DailyWalk:
    """One symbol's sessions in order: a walk with overnight gaps, monthly trends and a weak pull home."""

    def __init__(self, seed: int, asset: Asset, calendar: TradingCalendar) -> None:
        self._seed = seed
        self._asset = asset
        self._sessions = calendar.sessions
        self._days: list[DayBar] = []

    def day(self, number: int) -> DayBar:
        while len(self._days) <= number:
            before = self._days[-1].close if self._days else self._asset.reference_cents
            self._days.append(self._next(self._sessions[len(self._days)], before))
        return self._days[number]

    def _next(self, session: Session, close_before: int) -> DayBar:
        draws = _draws(_DAY_DRAWS, self._seed, self._asset.symbol, session.day.isoformat(), "day")
        month = _draws(4, self._seed, self._asset.symbol, f"{session.day:%Y-%m}", "trend")
        deviation = self._asset.yearly_volatility / (math.sqrt(SESSIONS_A_YEAR))
        tail = _FAT_TAIL_FACTOR if draws[16] < _FAT_TAIL_ODDS else 1.0
        reference = self._asset.reference_cents
        pull = _PULL * (reference - close_before) / reference
        gap = _bounded(deviation * _GAP_SHARE * _normal(draws, 0) * tail + pull)
        move = _bounded(deviation * (0.9 * _normal(draws, 4) * tail + _TREND_SHARE * _normal(month, 0)))
        opening = max(LOWEST_CENTS, round(close_before * (1.0 + gap)))
        closing = max(LOWEST_CENTS, round(opening * (1.0 + move)))
        spread = 1 + opening // 10_000
        high = max(opening, closing) + round(opening * deviation * 0.6 * draws[8] / _DRAW_RANGE)
        low = min(opening, closing) - round(opening * deviation * 0.6 * draws[9] / _DRAW_RANGE)
        # Room for a quote in the narrowest session, and for the path to move in it.
        high = max(high, max(opening, closing) + 4 * spread)
        low = min(low, min(opening, closing) - 4 * spread)
        liveliness = 0.6 + 0.6 * draws[10] / _DRAW_RANGE + 10.0 * abs(move)
        volume = max(10_000, int(self._asset.daily_volume * liveliness * session.minutes / 390))
        return DayBar(opening, high, low, closing, volume, max(session.minutes, volume // 120), spread)


def _minutes_within(seed: int, asset: Asset, session: Session, day: DayBar) -> MinuteBars:
    """Minutes that start, turn and end where the day's bar says, and add up to its volume."""
    count = session.minutes
    key = (seed, asset.symbol, session.day.isoformat())
    draws = _draws(count * _MINUTE_DRAWS, *key, "minutes")
    path = _path(day, count, draws, _draws(_TURN_DRAWS, *key, "turns"))
    opens, closes = path[:-1], path[1:]
    highs, lows = array("q"), array("q")
    for minute in range(count):
        reach = 1 + (draws[minute * _MINUTE_DRAWS + 4] * 2 * day.spread) // _DRAW_RANGE
        high = min(day.high, max(opens[minute], closes[minute]) + reach)
        low = max(day.low, min(opens[minute], closes[minute]) - reach)
        # A bar narrower than the spread could not hold a quote: widen it, upwards where there is room.
        missing = max(0, day.spread - (high - low))
        raised = min(missing, day.high - high)
        highs.append(high + raised)
        lows.append(low - (missing - raised))
    weights = [_volume_weight(minute, count, draws[minute * _MINUTE_DRAWS + 5]) for minute in range(count)]
    return MinuteBars(
        session,
        day.spread,
        opens,
        highs,
        lows,
        closes,
        array("q", _shared_out(day.volume, weights)),
        array("q", _shared_out(day.trades, weights)),
    )


def _path(day: DayBar, count: int, draws: Sequence[int], turns: Sequence[int]) -> array[int]:
    """The price at each minute's start and at the close: bridges from open over both extremes to close."""
    first = 1 + turns[0] * (count - 2) // _DRAW_RANGE
    second = 1 + turns[1] * (count - 2) // _DRAW_RANGE
    if first == second:
        second = first + 1 if first < count - 1 else first - 1
    high_first = turns[2] < _DRAW_RANGE // 2
    early, late = (day.high, day.low) if high_first else (day.low, day.high)
    corners = [(0, day.open), (min(first, second), early), (max(first, second), late), (count, day.close)]
    step = 0.8 * (day.high - day.low) / (1.6 * math.sqrt(count))
    path = array("q", [day.open])
    for (begin, price), (end, target) in pairwise(corners):
        path.extend(_bridge(day, price, target, step, draws[begin * _MINUTE_DRAWS : end * _MINUTE_DRAWS]))
    return path


def _bridge(day: DayBar, price: int, target: int, step: float, draws: Sequence[int]) -> Iterator[int]:
    """Prices after `price` that end exactly at `target`, kept inside the day's range by folding."""
    length = len(draws) // _MINUTE_DRAWS
    noise, total = [], 0.0
    for minute in range(length):
        total += step * _normal(draws, minute * _MINUTE_DRAWS)
        noise.append(total)
    for minute in range(1, length):
        share = minute / length
        raw = round(price + (target - price) * share + noise[minute - 1] - total * share)
        folded = 2 * day.high - raw if raw > day.high else 2 * day.low - raw if raw < day.low else raw
        yield min(day.high, max(day.low, folded))
    yield target


def _price_within_minute(bars: MinuteBars, minute: int, second: int) -> int:
    """The price `second` seconds into the minute: from open over low and high to close, 20 s each."""
    opening, closing = bars.open[minute], bars.close[minute]
    low, high = bars.low[minute], bars.high[minute]
    corners = (opening, low, high, closing) if closing >= opening else (opening, high, low, closing)
    leg, within = divmod(second, 20)
    return corners[leg] + (corners[leg + 1] - corners[leg]) * within // 20


def _volume_weight(minute: int, count: int, draw: int) -> int:
    """More at the open and the close than at noon, with some noise."""
    from_noon = 2.0 * minute / (count - 1) - 1.0
    return int(1000.0 * (1.0 + 3.0 * from_noon * from_noon) * (0.5 + draw / _DRAW_RANGE))


def _shared_out(total: int, weights: Sequence[int]) -> Iterator[int]:
    """`total` in whole parts by weight that add up to exactly `total`."""
    whole, running, given = sum(weights), 0, 0
    for weight in weights:
        running += weight
        reached = total * running // whole
        yield reached - given
        given = reached


def _draws(count: int, *key: object) -> Sequence[int]:
    """`count` whole numbers from 0 to 65535 that depend on `key` alone."""
    text = "\x1f".join(str(part) for part in key)
    return struct.unpack(f"<{count}H", hashlib.shake_128(text.encode()).digest(2 * count))


def _normal(draws: Sequence[int], first: int) -> float:
    """A nearly normal number (mean 0, deviation 1, within 3.5) from four draws."""
    total = draws[first] + draws[first + 1] + draws[first + 2] + draws[first + 3]
    return (total - _SUM_MEAN) / _SUM_DEVIATION


def _bounded(move: float) -> float:
    return min(_LARGEST_MOVE, max(-_LARGEST_MOVE, move))
