"""Bars: only those that have ended, oldest first, at most as many as asked for."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest
import requests

from alpaca_simulator.in_process import InProcessAdapter
from alpaca_simulator.simulator import stepped
from builders import a_config
from tradingbot_runtime.broker.alpaca import AlpacaBroker
from tradingbot_runtime.broker.bars import BAR_LENGTHS, COLUMNS, ended, frame_of, regular_close, windows
from tradingbot_runtime.broker.connection import Credentials
from tradingbot_runtime.broker.lanes import InlineLane

MONDAY_NOON = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)
HALF_DAY = datetime(2026, 11, 27, tzinfo=UTC)  # the Friday after Thanksgiving: closes at 13:00


class Venue:
    def __init__(self, now: datetime) -> None:
        self.now = now
        self.simulator = stepped(now, seed=3)
        self.asked: list[dict[str, list[str]]] = []
        venue = self

        class Listening(InProcessAdapter):
            def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
                if "/bars" in (request.url or ""):
                    venue.asked.append(parse_qs(urlsplit(request.url or "").query))
                return super().send(request, *args, **kwargs)

        def session() -> requests.Session:
            made = requests.Session()
            made.mount("http://", Listening(self.simulator.rest))
            return made

        self.broker = AlpacaBroker(
            a_config().broker,
            Credentials("PKDEMOPAPER", "demo-paper-secret"),
            prefix="tb-",
            rng=random.Random(1),
            session=session,
            lane=lambda name, threads: InlineLane(),
        )

    async def bars(self, timeframe: str, count: int, *symbols: str) -> dict[str, pd.DataFrame]:
        return dict(await self.broker.bars(symbols or ("AAPL",), timeframe, count, self.now))


@pytest.mark.parametrize("timeframe", list(BAR_LENGTHS))
async def test_the_last_bars_have_all_ended(timeframe: str) -> None:
    venue = Venue(MONDAY_NOON + timedelta(minutes=7))
    frames = await venue.bars(timeframe, 30, "AAPL", "MSFT")
    assert set(frames) == {"AAPL", "MSFT"}
    for frame in frames.values():
        assert list(frame.columns) == list(COLUMNS)
        assert len(frame) == 30
        assert frame.index.is_monotonic_increasing
        assert str(frame.index.dtype).endswith("UTC]")
        assert {str(kind) for kind in frame.dtypes} == {"float64"}
        if timeframe != "1Day":
            assert frame.index[-1] + BAR_LENGTHS[timeframe].duration <= pd.Timestamp(venue.now)


async def test_enough_bars_are_found_over_a_long_weekend() -> None:
    # Tuesday after Presidents' Day, one minute after the open: the bars are of Friday.
    venue = Venue(datetime(2026, 2, 17, 14, 31, tzinfo=UTC))
    frame = (await venue.bars("5Min", 20))["AAPL"]
    assert len(frame) == 20
    assert {stamp.date().isoformat() for stamp in frame.index} == {"2026-02-13"}


async def test_in_mid_session_one_narrow_question_is_enough() -> None:
    venue = Venue(MONDAY_NOON)
    await venue.bars("5Min", 20)
    assert len(venue.asked) == 1
    assert venue.asked[0]["feed"] == ["iex"]
    assert venue.asked[0]["adjustment"] == ["split"]


async def test_a_days_bar_counts_once_its_session_has_closed() -> None:
    for hour, newest in ((20, "2026-02-27"), (21, "2026-03-02")):  # New York: 15:00 and 16:00
        venue = Venue(datetime(2026, 3, 2, hour, 0, tzinfo=UTC))
        frame = (await venue.bars("1Day", 3))["AAPL"]
        assert frame.index[-1].date().isoformat() == newest


async def test_half_days_close_when_the_broker_says() -> None:
    running = frame_of([bar("2026-11-25"), bar("2026-11-27")])
    length = BAR_LENGTHS["1Day"]
    half_past_one = HALF_DAY.replace(hour=18, minute=30)
    assert len(ended(running, length, half_past_one, HALF_DAY.replace(hour=18))) == 2
    assert len(ended(running, length, half_past_one, regular_close(HALF_DAY.date()))) == 1
    venue = Venue(half_past_one)
    frame = (await venue.bars("1Day", 2))["AAPL"]
    assert frame.index[-1].date().isoformat() == "2026-11-27"


async def test_a_symbol_nobody_knows_is_absent() -> None:
    venue = Venue(MONDAY_NOON)
    assert set(await venue.bars("5Min", 5, "AAPL", "ZZZZ")) <= {"AAPL"}


def bar(day: str) -> dict[str, Any]:
    return {"t": f"{day}T05:00:00Z", "o": 1, "h": 1, "l": 1, "c": 1, "v": 1}


def test_what_is_wrong_with_bars_is_kept_for_the_core_to_judge() -> None:
    frame = frame_of([bar("2026-03-03"), bar("2026-03-02"), bar("2026-03-02") | {"c": None}])
    assert not frame.index.is_monotonic_increasing
    assert frame.index.has_duplicates
    assert frame["close"].isna().tolist() == [False, False, True]


@pytest.mark.parametrize("timeframe", list(BAR_LENGTHS))
@pytest.mark.parametrize("count", [1, 20, 500])
def test_windows_grow(timeframe: str, count: int) -> None:
    starts = windows(BAR_LENGTHS[timeframe], count, MONDAY_NOON)
    assert list(starts) == sorted(starts, reverse=True)
    assert MONDAY_NOON - starts[-1] >= BAR_LENGTHS[timeframe].duration * count
