"""Seeded prices: the same from every direction, and bars that agree with one another."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import quote as percent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_simulator.market.assets import DEFAULT_CATALOGUE, Asset
from alpaca_simulator.market.calendar import Session, new_york_stock_exchange
from alpaca_simulator.market.prices import Market
from alpaca_simulator.market.seeded_prices import SeededPrices
from alpaca_simulator.market.timeframes import read_timeframe
from unit.simulator.floor import MONDAY_BEFORE_OPEN, MONDAY_CLOSE, MONDAY_NOON, Floor

NYSE = new_york_stock_exchange()
MARKET = Market(1, NYSE)
SESSIONS = NYSE.between(date(2024, 1, 1), date(2026, 12, 31))
CRASH_TEST = Asset("CRASH", "all over the place", "NYSE", 500, 2.0, 10_000)

assets = st.sampled_from([*DEFAULT_CATALOGUE, CRASH_TEST])
sessions = st.sampled_from(SESSIONS)


@settings(max_examples=60, deadline=None)
@given(assets, sessions)
def test_minutes_add_up_to_their_day(asset: Asset, session: Session) -> None:
    day, minutes = MARKET.day(asset, session), MARKET.minutes(asset, session)
    assert len(minutes.open) == session.minutes
    assert (minutes.open[0], minutes.close[-1]) == (day.open, day.close)
    assert (max(minutes.high), min(minutes.low)) == (day.high, day.low)
    assert (sum(minutes.volume), sum(minutes.trades)) == (day.volume, day.trades)
    assert sum(minutes.turnover) == day.turnover


@settings(max_examples=60, deadline=None)
@given(assets, sessions)
def test_every_minute_holds_its_open_and_close_and_starts_where_the_last_one_ended(
    asset: Asset, session: Session
) -> None:
    bars = MARKET.minutes(asset, session)
    for opening, high, low, closing in zip(bars.open, bars.high, bars.low, bars.close, strict=True):
        assert 0 < low <= min(opening, closing) <= max(opening, closing) <= high
    assert list(bars.open[1:]) == list(bars.close[:-1])


@settings(max_examples=100, deadline=None)
@given(assets, sessions, st.integers(0, 23_399))
def test_every_quote_lies_in_its_minute_with_bid_under_ask(asset: Asset, session: Session, second: int) -> None:
    epoch = session.open_epoch + min(second, session.minutes * 60 - 1)
    bars, quote = MARKET.minutes(asset, session), MARKET.quote_in(asset, session, epoch)
    minute = (epoch - session.open_epoch) // 60
    assert bars.low[minute] <= quote.bid < quote.ask <= bars.high[minute]
    assert bars.low[minute] <= quote.last <= bars.high[minute]


@settings(max_examples=40, deadline=None)
@given(assets, sessions, st.integers(0, 20_000), st.integers(1, 3_000), st.integers(-300, 300), st.booleans())
def test_the_first_crossing_quote_is_found_as_if_every_second_were_looked_at(
    asset: Asset, session: Session, first: int, length: int, offset: int, buying: bool
) -> None:
    start = session.open_epoch + min(first, session.minutes * 60 - 1)
    seconds = range(start, min(start + length, session.close_epoch))
    limit = MARKET.quote_in(asset, session, start).bid + offset
    found = MARKET.first_quote(
        asset,
        session,
        seconds,
        ask_at_most=limit if buying else None,
        bid_at_least=None if buying else limit,
    )
    every = (MARKET.quote_in(asset, session, epoch) for epoch in seconds)
    assert found == next((q for q in every if (q.ask <= limit if buying else q.bid >= limit)), None)


def test_the_order_of_asking_does_not_change_the_market() -> None:
    wanted = [(asset, session) for asset in list(DEFAULT_CATALOGUE)[:6] for session in SESSIONS[:6]]
    forward, shuffled = Market(5, NYSE), Market(5, NYSE, sessions_cached=2, walks_cached=2)
    expected = {(a.symbol, s.number): forward.minutes(a, s) for a, s in wanted}
    random.Random(3).shuffle(wanted)
    assert all(shuffled.minutes(a, s) == expected[a.symbol, s.number] for a, s in wanted)


def test_another_seed_is_another_market() -> None:
    asset, session = next(iter(DEFAULT_CATALOGUE)), SESSIONS[0]
    assert Market(1, NYSE).day(asset, session) != Market(2, NYSE).day(asset, session)


def test_the_caches_stay_within_their_bounds() -> None:
    market = Market(1, NYSE, sessions_cached=3, walks_cached=2)
    for asset in DEFAULT_CATALOGUE:
        market.minutes(asset, SESSIONS[0])
    assert market.sessions_held == 3
    assert isinstance(market.source, SeededPrices)
    assert market.source.walks_held == 2


def test_years_of_prices_stay_in_a_believable_range() -> None:
    for asset in DEFAULT_CATALOGUE:
        closes = [MARKET.day(asset, session).close for session in NYSE.sessions]
        assert asset.reference_cents / 12 < min(closes)
        assert max(closes) < asset.reference_cents * 12


def test_trading_is_livelier_at_the_open_and_the_close_than_at_noon() -> None:
    spy = DEFAULT_CATALOGUE.find("SPY")
    assert spy is not None
    volume = MARKET.minutes(spy, SESSIONS[0]).volume
    assert sum(volume[:30]) > 1.5 * sum(volume[180:210])
    assert sum(volume[-30:]) > 1.5 * sum(volume[180:210])


def test_the_prices_of_seed_one_never_change() -> None:
    """Pinned, because everybody's recorded runs depend on it."""
    aapl = DEFAULT_CATALOGUE.find("AAPL")
    session = NYSE.on(date(2026, 3, 2))
    assert aapl is not None
    assert session is not None
    bars = Market(1, NYSE).minutes(aapl, session)
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume, bars.trades)
    text = repr([list(column) for column in columns])
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == PINNED


PINNED = "ba758edf1102607b"


def test_a_bar_is_not_shown_before_it_is_over() -> None:
    floor = Floor(MONDAY_NOON + timedelta(seconds=59))
    bars = floor.get("/v2/stocks/bars", symbols="SPY", timeframe="1Min").body["bars"]["SPY"]
    assert bars[0]["t"] == "2026-03-02T14:30:00Z"
    assert bars[-1]["t"] == "2026-03-02T16:59:00Z"
    floor.step(1)
    latest = floor.get("/v2/stocks/bars/latest", symbols="SPY").body["bars"]["SPY"]
    assert latest["t"] == "2026-03-02T17:00:00Z"


def test_before_the_open_today_has_no_bars_and_the_latest_is_of_friday() -> None:
    floor = Floor(MONDAY_BEFORE_OPEN)
    assert floor.get("/v2/stocks/bars", symbols="SPY", timeframe="1Min").body["bars"] == {}
    latest = floor.get("/v2/stocks/bars/latest", symbols="SPY").body["bars"]["SPY"]
    assert latest["t"] == "2026-02-27T20:59:00Z"


def test_todays_daily_bar_grows_until_the_close() -> None:
    floor = Floor(MONDAY_NOON)
    query = {"symbols": "SPY", "timeframe": "1Day"}
    at_noon = floor.get("/v2/stocks/bars", **query).body["bars"]["SPY"][0]
    floor.step_until("close")
    at_close = floor.get("/v2/stocks/bars", **query).body["bars"]["SPY"][0]
    assert at_noon["t"] == at_close["t"] == "2026-03-02T05:00:00Z"
    assert at_noon["v"] < at_close["v"]
    assert at_noon["h"] <= at_close["h"]


@pytest.mark.parametrize("timeframe", ["1Min", "5Min", "7Min", "1Hour", "4Hour", "1Day", "1Week", "1Month"])
def test_every_timeframe_covers_the_same_trading(timeframe: str) -> None:
    floor = Floor(MONDAY_CLOSE)
    query = {"symbols": "AAPL", "start": "2026-02-01", "end": "2026-03-03", "limit": 10_000}
    minutes = floor.get("/v2/stocks/bars", timeframe="1Min", **query).body["bars"]["AAPL"]
    bars = floor.get("/v2/stocks/bars", timeframe=timeframe, **query).body["bars"]["AAPL"]
    assert sum(bar["v"] for bar in bars) == sum(bar["v"] for bar in minutes)
    assert max(bar["h"] for bar in bars) == max(bar["h"] for bar in minutes)
    assert min(bar["l"] for bar in bars) == min(bar["l"] for bar in minutes)
    assert bars[-1]["c"] == minutes[-1]["c"]
    assert [bar["t"] for bar in bars] == sorted({bar["t"] for bar in bars})
    assert all(bar["l"] <= bar["vw"] <= bar["h"] for bar in bars)


def test_hourly_bars_start_on_the_hour() -> None:
    floor = Floor(MONDAY_CLOSE)
    bars = floor.get("/v2/stocks/bars", symbols="AAPL", timeframe="1Hour").body["bars"]["AAPL"]
    assert [bar["t"][11:16] for bar in bars] == [f"{hour}:00" for hour in range(14, 21)]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 400), st.sampled_from(["asc", "desc"]), st.sampled_from(["1Min", "30Min", "1Day"]))
def test_pages_put_together_are_the_whole(limit: int, sort: str, timeframe: str) -> None:
    floor = Floor(MONDAY_NOON)
    query = {"symbols": "SPY,AAPL,NOSUCH", "timeframe": timeframe, "start": "2026-02-27", "sort": sort}
    if timeframe == "1Min":
        limit += 100
    whole = floor.get("/v2/stocks/bars", limit=10_000, **query).body
    assert whole["next_page_token"] is None
    collected: dict[str, list[object]] = {}
    token: str | None = ""
    while token is not None:
        page = floor.get("/v2/stocks/bars", limit=limit, page_token=token, **query).body
        assert sum(len(bars) for bars in page["bars"].values()) <= limit
        for symbol, bars in page["bars"].items():
            collected.setdefault(symbol, []).extend(bars)
        token = page["next_page_token"]
    assert collected == whole["bars"]


def test_descending_bars_are_the_ascending_ones_reversed() -> None:
    floor = Floor(MONDAY_NOON)
    query = {"symbols": "SPY", "timeframe": "15Min", "start": "2026-02-20", "limit": 10_000}
    rising = floor.get("/v2/stocks/bars", sort="asc", **query).body["bars"]["SPY"]
    falling = floor.get("/v2/stocks/bars", sort="desc", **query).body["bars"]["SPY"]
    assert falling == rising[::-1]


def test_a_year_of_days_for_five_symbols_comes_without_making_their_minutes() -> None:
    floor = Floor(MONDAY_NOON)
    query = {"timeframe": "1Day", "start": "2025-03-01", "end": "2026-02-28", "limit": 10_000}
    answer = floor.get("/v2/stocks/bars", symbols="SPY,TLT,GLD,DBC,AAPL", **query)
    assert {len(bars) for bars in answer.body["bars"].values()} == {250}
    assert floor.market.sessions_held == 0


@pytest.mark.parametrize("text", ["", "1", "Min", "0Min", "60Min", "24Hour", "2Day", "2Week", "5Month", "1min", "٣Min"])
def test_other_timeframes_are_refused(text: str) -> None:
    assert read_timeframe(text) is None
    answer = Floor().get("/v2/stocks/bars", symbols="SPY", timeframe=percent(text))
    assert answer.status == 400


def test_at_the_close_the_last_trade_is_the_days_close() -> None:
    floor = Floor(MONDAY_CLOSE - timedelta(microseconds=1))
    quote = floor.get("/v2/stocks/quotes/latest", symbols="SPY").body["quotes"]["SPY"]
    trade = floor.get("/v2/stocks/trades/latest", symbols="SPY").body["trades"]["SPY"]
    floor.step(1)
    bar = floor.get("/v2/stocks/bars", symbols="SPY", timeframe="1Day").body["bars"]["SPY"][0]
    assert quote["t"] == trade["t"] == "2026-03-02T20:59:59Z"
    assert quote["bp"] <= trade["p"] <= quote["ap"]
    assert trade["p"] == bar["c"]


DIGEST_PROGRAM = """
import hashlib, sys
from datetime import UTC, datetime
from unit.simulator.floor import Floor
floor = Floor(datetime(2026, 3, 2, 14, 25, tzinfo=UTC), seed=11, partial_fill_probability=0.4)
digest = hashlib.sha256()
def note(answer):
    digest.update(answer.raw.body)
    digest.update(repr(sorted(answer.raw.headers.items())).encode())
note(floor.buy("SPY", 30)); note(floor.buy("AAPL", 17, limit="195")); note(floor.step_until("open"))
for minute in range(40):
    note(floor.step(60)); note(floor.sell("SPY", 1)); note(floor.get("/v2/account"))
    note(floor.get("/v2/orders", status="all")); note(floor.get("/v2/positions"))
note(floor.delete("/v2/positions", cancel_orders="true")); note(floor.step_until("close"))
note(floor.get("/v2/stocks/bars", symbols="SPY,AAPL", timeframe="1Min", limit=500))
for update in floor.updates():
    digest.update(repr(update).encode())
print(digest.hexdigest())
"""


def test_the_same_seed_and_requests_give_the_same_bytes_in_every_process() -> None:
    tests = Path(__file__).parents[2]
    digests = []
    for hash_seed in ("0", "4711"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(tests), "TZ": "Asia/Tokyo"}
        done = subprocess.run(
            [sys.executable, "-c", DIGEST_PROGRAM], env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        digests.append(done.stdout)
    assert digests[0] == digests[1]
    assert len(digests[0].strip()) == 64


def test_a_time_without_offset_in_a_query_counts_as_utc() -> None:
    floor = Floor(MONDAY_NOON)
    query = {"symbols": "SPY", "timeframe": "1Min", "limit": 1}
    first = floor.get("/v2/stocks/bars", start=datetime(2026, 3, 2, 15).isoformat(), **query)  # noqa: DTZ001
    other = floor.get("/v2/stocks/bars", start=datetime(2026, 3, 2, 15, tzinfo=UTC).isoformat(), **query)
    assert first.body == other.body
    assert first.body["bars"]["SPY"][0]["t"] == "2026-03-02T15:00:00Z"
