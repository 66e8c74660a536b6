"""Whether bars and quotes can be trusted. A bad symbol is left out with a reason before it stops the others.

Pure checks of values: nothing here reads, sends or remembers anything.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from tradingbot_api import DataQualitySpec, Timeframe
from tradingbot_runtime.core.values import BrokerQuote, MarketSession

COLUMNS: Final = ("open", "high", "low", "close", "volume")
NEW_YORK: Final = ZoneInfo("America/New_York")
BAR_MINUTES: Final = {Timeframe.MIN_1: 1, Timeframe.MIN_5: 5, Timeframe.MIN_15: 15, Timeframe.HOUR_1: 60}


@dataclass(frozen=True)
class Observed:
    """What came of one cycle: bars by symbol, and what their age is judged by. All times are market time."""

    frames: Mapping[str, pd.DataFrame]
    at: datetime
    market_open: bool
    sessions: Sequence[MarketSession] = ()
    """Sessions of the exchange around `at`, ascending; empty: the age of bars is not judged."""
    quotes: Mapping[str, BrokerQuote] | None = None
    """The latest quotes; None: quotes are not judged."""


@dataclass(frozen=True)
class Verdict:
    """Per good symbol its last close and its bars, and per bad symbol the check it fails and what was seen."""

    prices: Mapping[str, Decimal] = field(default_factory=dict)
    frames: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    bad: Mapping[str, str] = field(default_factory=dict)
    doubtful: frozenset[str] = frozenset()
    """Bad symbols whose bars are whole and whose price may be true: they are evaluated, and only exits pass."""

    def bad_percent(self) -> Decimal:
        """How many of all symbols are bad, in percent."""
        total = len(self.prices.keys() | self.bad.keys())
        return Decimal(100 * len(self.bad)) / total if total else Decimal(0)


def judge(observed: Observed, symbols: frozenset[str], timeframe: Timeframe, spec: DataQualitySpec) -> Verdict:
    """Judges every symbol of the bot."""
    prices: dict[str, Decimal] = {}
    frames: dict[str, pd.DataFrame] = {}
    bad: dict[str, str] = {}
    doubtful: set[str] = set()
    for symbol in sorted(symbols):
        frame = observed.frames.get(symbol)
        problem = _unusable(frame, observed, timeframe, spec)
        if problem is None and frame is not None:
            problem = _jump(frame, spec.max_price_jump_percent)
            problem = problem or _quote_defect(symbol, observed, spec.max_quote_age_seconds)
            if problem is not None:
                doubtful.add(symbol)
        if problem is not None:
            bad[symbol] = problem
        if frame is not None and (problem is None or symbol in doubtful):
            prices[symbol] = Decimal(str(round(float(frame["close"].iloc[-1]), 4)))
            frames[symbol] = frame
    return Verdict(prices, frames, bad, frozenset(doubtful))


def _unusable(
    frame: pd.DataFrame | None, observed: Observed, timeframe: Timeframe, spec: DataQualitySpec
) -> str | None:
    if frame is None or frame.empty:
        return "no_data"
    return defect(frame) or _staleness(frame, observed, timeframe, spec.max_stale_bars)


def defect(frame: pd.DataFrame) -> str | None:
    """The first defect of one symbol's bars in themselves, or None."""
    return next((name for name, is_broken in _DEFECTS if is_broken(frame)), None)


def _prices(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[["open", "high", "low", "close"]]


def _misses_columns(frame: pd.DataFrame) -> bool:
    return any(column not in frame.columns for column in COLUMNS)


def _has_nulls(frame: pd.DataFrame) -> bool:
    return not bool(np.isfinite(frame[list(COLUMNS)].to_numpy(dtype=float)).all())


def _is_outside_its_bounds(frame: pd.DataFrame) -> bool:
    prices = _prices(frame)
    return bool(((prices.max(axis=1) > frame["high"]) | (prices.min(axis=1) < frame["low"])).any())


_DEFECTS: Final[tuple[tuple[str, Callable[[pd.DataFrame], bool]], ...]] = (
    # In this order: a later check may rely on what an earlier one has established.
    ("missing_columns", _misses_columns),
    ("duplicate_timestamps", lambda frame: bool(frame.index.has_duplicates)),
    ("non_monotonic_index", lambda frame: not frame.index.is_monotonic_increasing),
    ("null_values", _has_nulls),
    ("non_positive_prices", lambda frame: bool((_prices(frame) <= 0).to_numpy().any())),
    ("negative_volume", lambda frame: bool((frame["volume"] < 0).any())),
    ("invalid_ohlc_bounds", _is_outside_its_bounds),
)


def _staleness(frame: pd.DataFrame, observed: Observed, timeframe: Timeframe, most: int) -> str | None:
    newest: datetime = frame.index[-1].to_pydatetime()
    minutes = BAR_MINUTES.get(timeframe)
    if minutes is None:
        missed = sessions_missed(newest, observed.at, observed.sessions)
        allowed = 0  # a daily bar is there once its session is over, or the data has stopped
    else:
        missed = bars_missed(newest, observed.at, observed.sessions, timedelta(minutes=minutes))
        allowed = most
    if missed <= allowed:
        return None
    return f"stale_data: {missed} bars are missing since {newest.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def sessions_missed(newest: datetime, at: datetime, sessions: Sequence[MarketSession]) -> int:
    """Sessions that closed at or before `at` and are younger than the newest daily bar; a long weekend has none."""
    day = newest.astimezone(NEW_YORK).date()
    return sum(1 for session in sessions if session.day > day and session.closes_at <= at)


def bars_missed(newest: datetime, at: datetime, sessions: Sequence[MarketSession], length: timedelta) -> int:
    """Bars that ended at or before `at`, within sessions, and began after the newest one did."""
    missed = 0
    for session in sessions:
        # Bars are cut on a grid that counts from midnight in New York: one may begin before the open.
        midnight = datetime.combine(session.day, time(), NEW_YORK)
        first = midnight + (session.opens_at - midnight) // length * length
        begins = max(first, newest + length)
        ended = min(at, session.closes_at)
        if begins < session.closes_at and begins + length <= ended:
            missed += (ended - begins) // length
    return missed


def _jump(frame: pd.DataFrame, most_percent: Decimal) -> str | None:
    if len(frame) < 2:
        return None
    before, last = float(frame["close"].iloc[-2]), float(frame["close"].iloc[-1])
    percent = abs(last - before) / before * 100
    if percent <= float(most_percent):
        return None
    return f"price_jump: {before:g} to {last:g} is {percent:.1f} % in one bar"


def _quote_defect(symbol: str, observed: Observed, most_seconds: int) -> str | None:
    if observed.quotes is None or not observed.market_open:
        return None
    quote = observed.quotes.get(symbol)
    if quote is None:
        return "stale_quote: there is none"
    if quote.bid <= 0 or quote.ask <= 0 or quote.ask < quote.bid:
        return f"stale_quote: bid {quote.bid} and ask {quote.ask} are no market"
    age = observed.at - quote.at
    if age <= timedelta(seconds=most_seconds):
        return None
    return f"stale_quote: {age.total_seconds():.0f} s old"
