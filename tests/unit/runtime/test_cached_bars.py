"""With a cache the bars are those that the broker alone would have given, whatever it did to its past in between."""

from __future__ import annotations

import asyncio
import fcntl
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradingbot_research.bars_cache import BarsCache, Series
from tradingbot_runtime.broker.bars import BAR_LENGTHS, NEW_YORK, ended, local_date, regular_close, windows
from tradingbot_runtime.commands.cached_bars import OLDEST_WHOLE, OVERLAP, CachedBars

NOON = datetime(2026, 3, 2, 17, tzinfo=UTC)


def prices(times: pd.DatetimeIndex, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.01, len(times)))), 2)
    opened = np.round(close * (1 + rng.normal(0, 0.003, len(times))), 2)
    high, low = np.maximum(opened, close) + 0.5, np.minimum(opened, close) - 0.5
    columns = {
        "open": opened,
        "high": high,
        "low": low,
        "close": close,
        "volume": rng.integers(1, 9, len(times)) * 100.0,
    }
    return pd.DataFrame(columns, index=times)


def daily() -> pd.DataFrame:
    days = pd.bdate_range("2024-01-02", "2026-12-31", tz=NEW_YORK)
    return prices(pd.DatetimeIndex(days.tz_convert("UTC").as_unit("us")), seed=1)


def hourly() -> pd.DataFrame:
    hours = pd.date_range("2026-01-02", "2026-06-30", freq="1h", tz=NEW_YORK)
    open_then = (hours.hour >= 9) & (hours.hour < 16) & (hours.day_of_week < 5)
    return prices(pd.DatetimeIndex(hours[open_then].tz_convert("UTC").as_unit("us")), seed=2)


@dataclass
class Exchange:
    """A broker's history of one symbol, all of it, past and future; it tells what has ended."""

    history: pd.DataFrame
    timeframe: str = "1Day"
    now: datetime = NOON
    asked: list[int] = field(default_factory=list)

    async def bars(self, symbol: str, count: int, before: datetime) -> pd.DataFrame | None:
        """As the bot's own adapter asks: a narrow window, then wider ones while bars are missing."""
        self.asked.append(count)
        length, found = BAR_LENGTHS[self.timeframe], self.history.iloc[:0]
        for start in windows(length, count, before):
            within = self.history[(self.history.index >= start) & (self.history.index <= before)]
            found = ended(within, length, before, regular_close(local_date(before)))
            if len(found) >= count:
                break
        return found.tail(count) if len(found) else None

    def split(self, ex_date: datetime, ratio: float = 2.0) -> None:
        before = self.history.index < ex_date
        for name in ("open", "high", "low", "close"):
            self.history.loc[before, name] /= ratio
        self.history.loc[before, "volume"] *= ratio

    def correct(self, back: int) -> None:
        """The bar that began so many bars before now gets another volume, as after a trade that was reported late."""
        place = int(self.history.index.searchsorted(pd.Timestamp(self.now))) - 1 - back
        self.history.iloc[place, 4] += 100.0

    def pass_time(self, **time: float) -> None:
        self.now += timedelta(**time)


@dataclass
class Desk:
    """Somebody who validates again and again, with one cache."""

    exchange: Exchange
    folder: Path
    said: list[str] = field(default_factory=list)

    def read(self, count: int, symbol: str = "AAPL") -> pd.DataFrame | None:
        """By way of the cache; what the broker was asked for is in the exchange's list, from its beginning."""
        self.exchange.asked.clear()
        self.said.clear()
        like = Series("simulator", "iex", "split", self.exchange.timeframe, "")
        cache = BarsCache(self.folder, wait_seconds=0.05)
        cached = CachedBars(cache, like, self.exchange.bars, self.exchange.now, self.said.append)
        found = asyncio.run(cached.last(symbol, count))
        cached.close()
        return found

    def assert_same(self, count: int) -> None:
        found = self.read(count)
        alone = asyncio.run(self.exchange.bars("AAPL", count, self.exchange.now))
        assert (found is None) == (alone is None)
        if found is not None and alone is not None:
            pd.testing.assert_frame_equal(
                found, alone.set_axis(found.index, axis=0), check_exact=True, check_freq=False
            )
            assert found.index.tolist() == alone.index.tolist()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(Exchange(daily()), tmp_path)


def test_the_second_time_only_what_is_new_and_an_overlap_is_asked_for(desk: Desk) -> None:
    desk.assert_same(400)
    desk.exchange.pass_time(days=1)
    desk.assert_same(400)
    desk.read(400)
    assert desk.exchange.asked == [OVERLAP + 2 + 1]  # from the bar of two days ago, which was over at midnight
    assert desk.said == []


def test_the_day_that_is_not_over_is_never_kept(desk: Desk) -> None:
    desk.exchange.now = datetime(2026, 3, 2, 23, tzinfo=UTC)  # the session is over, and late trades still come in
    desk.read(400)
    kept = BarsCache(desk.folder).load(Series("simulator", "iex", "split", "1Day", "AAPL"))
    assert kept is not None
    assert kept.frame.index[-1] < pd.Timestamp("2026-03-02", tz=NEW_YORK)
    desk.exchange.correct(0)
    desk.assert_same(400)
    assert desk.said == []


def test_a_split_makes_all_of_it_be_asked_anew(desk: Desk) -> None:
    desk.read(400)
    desk.exchange.pass_time(days=2)
    desk.exchange.split(desk.exchange.now)
    desk.assert_same(400)
    assert ["as after a split" in one for one in desk.said] == [True]
    desk.assert_same(400)
    assert desk.said == []


def test_a_correction_of_a_bar_that_was_kept_is_taken_over(desk: Desk) -> None:
    desk.read(400)
    desk.exchange.correct(OVERLAP - 2)
    desk.assert_same(400)
    assert desk.said


def test_a_split_that_comes_late_is_seen_at_the_oldest_bars(tmp_path: Path) -> None:
    desk = Desk(Exchange(hourly(), "1Hour"), tmp_path)
    desk.read(250)
    desk.exchange.split(desk.exchange.now - timedelta(days=21))  # more than the overlap ago
    desk.assert_same(250)
    assert desk.said


def test_more_bars_than_are_kept_are_all_asked_for(desk: Desk) -> None:
    desk.read(100)
    desk.assert_same(400)
    desk.read(100)
    assert max(desk.exchange.asked) < 100
    desk.read(400)
    assert max(desk.exchange.asked) < 100


def test_after_a_month_all_is_asked_anew(desk: Desk) -> None:
    desk.read(400)
    desk.exchange.correct(200)  # at no edge
    desk.exchange.pass_time(days=OLDEST_WHOLE.days + 1)
    desk.assert_same(400)
    assert "last read in whole 2026-03-02" in desk.said[0]


def test_a_clock_that_goes_back_gets_no_bar_of_its_future(desk: Desk) -> None:
    desk.read(400)
    desk.exchange.pass_time(days=-40)
    desk.assert_same(400)
    assert "clock is behind" in desk.said[0]


def test_a_damaged_file_is_asked_for_again_and_said(desk: Desk) -> None:
    desk.read(400)
    (file,) = desk.folder.rglob("*.parquet")
    file.write_bytes(file.read_bytes()[:-7])
    desk.assert_same(400)
    assert "bytes instead of" in desk.said[0]
    desk.assert_same(400)
    assert desk.said == []


def test_a_cache_that_is_held_is_gone_without(desk: Desk) -> None:
    desk.read(400)
    with (desk.folder / "lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        desk.assert_same(400)
        desk.read(400)
        assert ["going on without it" in one for one in desk.said] == [True]


def test_a_symbol_without_bars_is_none(desk: Desk) -> None:
    desk.exchange.history = desk.exchange.history.iloc[:0]
    assert desk.read(400) is None


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.sampled_from([30, 60, 90, 200, 500, 1500])),
        st.tuples(st.just("pass"), st.integers(1, 15 * 24)),
        st.tuples(st.just("split"), st.integers(0, 40)),
        st.tuples(st.just("correct"), st.integers(0, 20)),
        st.tuples(st.just("damage"), st.integers(0, 1000)),
    ),
    min_size=2,
    max_size=10,
)


@settings(max_examples=25, deadline=None)
@given(timeframe=st.sampled_from(["1Day", "1Hour"]), begins=st.integers(0, 500), steps=STEPS)
def test_with_a_cache_is_as_without(timeframe: str, begins: int, steps: list[tuple[str, int]]) -> None:
    history = daily() if timeframe == "1Day" else hourly()
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Exchange(history.iloc[begins:].copy(), timeframe), Path(folder))
        for step, number in steps:
            if step == "read":
                desk.assert_same(number)
            elif step == "pass":
                desk.exchange.pass_time(hours=number)
            elif step == "split":
                desk.exchange.split(desk.exchange.now - timedelta(days=number))
            elif step == "correct":
                desk.exchange.correct(number)
            else:
                for file in Path(folder).rglob("*.parquet"):
                    file.write_bytes(file.read_bytes()[:number])
        desk.assert_same(200)
