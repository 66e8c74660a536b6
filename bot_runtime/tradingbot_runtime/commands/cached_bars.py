"""Bars of one broker by way of a cache: what is kept is compared with the broker at its edges, and only the rest asked.

Gives what the broker alone would have given, or asks it for all; what it does not see for OLDEST_WHOLE is a single old
bar that the broker has corrected. Must never keep a bar of a day that is not over, nor let a broken cache stop a
command: it says so, and does without.
"""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from tradingbot_research.bars_cache import BarsCache, CacheUnusable, Damaged, Kept, Series, Span, in_nanoseconds
from tradingbot_runtime.broker.bars import BAR_LENGTHS, NEW_YORK, BarLength, local_date, windows

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

OVERLAP: Final = 50
"""Newest bars that are kept and asked for once more. A split changes every bar before it, and so these."""
OLDEST: Final = 5
"""Of bars shorter than a day also the oldest: the newest fifty may all be younger than a split that came late."""
OLDEST_WHOLE: Final = timedelta(days=30)
"""Old bars that a broker corrects one by one are seen at no edge: after so long all are read anew."""

Ask = Callable[[str, int, datetime], Awaitable["pd.DataFrame | None"]]
"""Symbol, count, moment: the last so many bars that ended at or before the moment; None where there are none."""


@dataclass
class Spared:
    """What the cache was worth."""

    symbols: int = 0
    """Of which something was taken from it."""
    bars: int = 0
    """That were not asked for."""


class CachedBars:
    """Of one source, feed, adjustment and timeframe, at one moment of the broker's clock."""

    def __init__(self, cache: BarsCache, like: Series, ask: Ask, now: datetime, said: Callable[[str], None]) -> None:
        """`like`: the series but for its symbol; `said` is told in words of whatever was not as it should be."""
        self._cache: BarsCache | None = cache
        self._like, self._ask, self._now, self._said = like, ask, now, said
        self._length: BarLength = BAR_LENGTHS[like.timeframe]
        self.spared = Spared()

    async def last(self, symbol: str, count: int) -> "pd.DataFrame | None":
        """The last `count` bars of a symbol that have ended; None where there are none. Raises BrokerError."""
        kept = self._kept(symbol)
        if kept is not None:
            found = await self._extended(symbol, kept, count)
            if found is not None:
                return found
        return await self._whole(symbol, count)

    def close(self) -> None:
        """Makes room, and says what went."""
        removed = self._unless_unusable(lambda cache: cache.trim())
        if removed:
            self._said(f"cache: full, and removed what was used longest ago: {', '.join(removed[:20])}")

    def _kept(self, symbol: str) -> Kept | None:
        series = self._series(symbol)
        try:
            kept = self._unless_unusable(lambda cache: cache.load(series))
        except Damaged as error:
            self._said(f"cache: {symbol}: {error}: all of it is asked anew")
            return None
        if kept is None:
            return None
        if kept.manifest.complete_to > self._now:
            self._said(f"cache: {symbol}: the broker's clock is behind what is kept: all of it is asked anew")
            return None
        if self._now - kept.manifest.whole_at > OLDEST_WHOLE:
            self._said(
                f"cache: {symbol}: last read in whole {kept.manifest.whole_at:%Y-%m-%d}: all of it is asked anew"
            )
            return None
        return kept

    async def _extended(self, symbol: str, kept: Kept, count: int) -> "pd.DataFrame | None":
        """What is kept and what came after it; None where the two do not fit or do not suffice."""
        import pandas as pd

        frame, manifest = kept.frame, kept.manifest
        newest = frame.index[-1].to_pydatetime()
        most_new = math.ceil((self._now - newest) / self._length.duration) + 1
        reach = windows(self._length, count, self._now)[-1]
        if OVERLAP + most_new >= count or (len(frame) + most_new < count and manifest.covered_from > reach):
            return None
        fresh = await self._asked(symbol, OVERLAP + most_new, self._now)
        if fresh is None or not continues(frame, fresh) or not await self._has_same_oldest(symbol, frame):
            self._said(
                f"cache: {symbol}: what is kept differs from what the broker says now, as after a split or a"
                " correction: all of it is asked anew"
            )
            return None
        before = frame[frame.index < fresh.index[0]]
        joined = pd.concat([before, fresh])
        within: pd.DataFrame = joined[joined.index >= reach].tail(count)
        if len(within) < count and manifest.covered_from > reach:
            return None
        if joined.index[-1] > frame.index[-1]:
            self._keep(symbol, joined, manifest.covered_from, manifest.whole_at)
        self.spared.symbols += 1
        self.spared.bars += int(within.index.isin(before.index).sum())
        return within

    async def _has_same_oldest(self, symbol: str, frame: "pd.DataFrame") -> bool:
        if self._length.is_daily:
            return True
        oldest = frame.head(OLDEST)
        ended = oldest.index[-1].to_pydatetime() + self._length.duration
        asked = await self._asked(symbol, len(oldest), ended)
        return asked is not None and asked.equals(oldest)

    async def _asked(self, symbol: str, count: int, before: datetime) -> "pd.DataFrame | None":
        found = await self._ask(symbol, count, before)
        return None if found is None or not len(found) else in_nanoseconds(found)

    async def _whole(self, symbol: str, count: int) -> "pd.DataFrame | None":
        found = await self._asked(symbol, count, self._now)
        if found is None:
            return None
        reach = windows(self._length, count, self._now)[-1]
        self._keep(symbol, found, found.index[0].to_pydatetime() if len(found) >= count else reach, self._now)
        return found

    def _keep(self, symbol: str, frame: "pd.DataFrame", covered_from: datetime, whole_at: datetime) -> None:
        # A trade that is reported late changes a bar hours after its end: the day's own are asked for every time.
        today = datetime.combine(local_date(self._now), time(), NEW_YORK).astimezone(UTC)
        over = frame[frame.index < today]
        span = Span(covered_from.astimezone(UTC), today, self._now, whole_at)
        self._unless_unusable(lambda cache: cache.store(self._series(symbol), over, span))

    def _series(self, symbol: str) -> Series:
        return replace(self._like, symbol=symbol)

    def _unless_unusable(self, use: Callable[[BarsCache], T]) -> T | None:
        if self._cache is None:
            return None
        try:
            return use(self._cache)
        except CacheUnusable as error:
            self._said(f"cache: {error}: going on without it")
            self._cache = None
            return None


def continues(kept: "pd.DataFrame", fresh: "pd.DataFrame") -> bool:
    """Whether bars go on where those that are kept end: OVERLAP of them, or all there are, are in both and equal."""
    again = kept[kept.index >= fresh.index[0]]
    return len(again) >= min(OVERLAP, len(kept)) and again.equals(fresh[fresh.index <= kept.index[-1]])
