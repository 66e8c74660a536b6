"""Quotes and trades: what happens within minutes, in extended hours and around halts, and never the future."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_simulator.market.assets import DEFAULT_CATALOGUE, Asset
from alpaca_simulator.market.bars import minute_bar
from alpaca_simulator.market.calendar import Session, new_york_stock_exchange
from alpaca_simulator.market.prices import Hours, Market
from unit.simulator.floor import MONDAY_BEFORE_OPEN, MONDAY_CLOSE, MONDAY_NOON, SATURDAY, Floor

NYSE = new_york_stock_exchange()
MARKET = Market(1, NYSE)
SESSIONS = NYSE.between(date(2024, 1, 1), date(2026, 12, 31))
TINY = Asset("TINY", "a few shares an hour", "NYSE", 700, 1.5, 10_000)

assets = st.sampled_from([*DEFAULT_CATALOGUE, TINY])
sessions = st.sampled_from(SESSIONS)
shares_of_day = st.floats(0, 1, exclude_max=True)


def moment(session: Session, share: float) -> int:
    """A second of the session or its extended hours."""
    length = session.after_hours_epoch - session.pre_market_epoch
    return session.pre_market_epoch + int(share * length)


def hours_of(session: Session, epoch: int) -> Hours:
    return next(hours for hours in Hours if epoch in hours.seconds(session))


@settings(max_examples=150, deadline=None)
@given(assets, sessions, shares_of_day)
def test_the_trades_of_a_minute_are_its_bar(asset: Asset, session: Session, share: float) -> None:
    epoch = moment(session, share)
    bars = MARKET.minutes(asset, session, hours_of(session, epoch))
    minute = (epoch - bars.start_epoch) // 60
    trades = MARKET.trades_of_minute(asset, session, epoch)
    assert len(trades) == bars.trades[minute]
    if not trades:
        assert bars.volume[minute] == 0
        return
    prices = [trade.price for trade in trades]
    assert (prices[0], prices[-1]) == (bars.open[minute], bars.close[minute])
    assert (max(prices), min(prices)) == (bars.high[minute], bars.low[minute])
    assert sum(trade.size for trade in trades) == pytest.approx(bars.volume[minute])
    assert all(trade.size > 0 for trade in trades)
    times = [trade.at for trade in trades]
    assert times == sorted(set(times))
    assert all(0 <= at.timestamp() - bars.start_epoch - 60 * minute < 60 for at in times)
    assert len({trade.identity for trade in trades}) == len(trades)


@settings(max_examples=100, deadline=None)
@given(assets, sessions, shares_of_day)
def test_the_last_price_of_a_quote_is_that_of_the_last_trade(asset: Asset, session: Session, share: float) -> None:
    epoch = moment(session, share)
    trades = MARKET.trades_of_minute(asset, session, epoch)
    printed = [trade.price for trade in trades if trade.at.timestamp() <= epoch]
    if printed:
        assert MARKET.quote_in(asset, session, epoch).last == printed[-1]


@settings(max_examples=100, deadline=None)
@given(assets, sessions, shares_of_day)
def test_a_quote_lies_in_its_minute_whenever_there_are_trades(asset: Asset, session: Session, share: float) -> None:
    epoch = moment(session, share)
    quote, bars = MARKET.quote_in(asset, session, epoch), MARKET.minutes(asset, session, hours_of(session, epoch))
    minute = (epoch - bars.start_epoch) // 60
    assert 0 < quote.bid < quote.ask
    if bars.volume[minute]:
        assert bars.low[minute] <= quote.bid < quote.ask <= bars.high[minute]


@settings(max_examples=60, deadline=None)
@given(assets, st.sampled_from(SESSIONS[:-1]))
def test_extended_hours_join_the_sessions_they_lie_between(asset: Asset, session: Session) -> None:
    following = NYSE.sessions[session.number + 1]
    evening, morning = (
        MARKET.minutes(asset, session, Hours.AFTER_HOURS),
        MARKET.minutes(asset, following, Hours.PRE_MARKET),
    )
    assert evening.open[0] == MARKET.day(asset, session).close
    assert morning.open[0] == evening.close[-1]
    assert morning.close[-1] == MARKET.day(asset, following).open
    for bars in (evening, morning):
        assert list(bars.open[1:]) == list(bars.close[:-1])
        assert 0 < sum(bars.volume) < MARKET.day(asset, session).volume
        assert bars.spread > MARKET.minutes(asset, session).spread


@settings(max_examples=40, deadline=None)
@given(assets, sessions, shares_of_day, st.integers(1, 4_000), st.integers(-200, 200), st.booleans())
def test_the_first_trade_beyond_a_price_is_found_as_if_every_second_were_looked_at(
    asset: Asset, session: Session, share: float, length: int, offset: int, rising: bool
) -> None:
    start = moment(session, share)
    seconds = range(start, min(start + length, session.after_hours_epoch))
    price = MARKET.quote_in(asset, session, start).last + offset
    at_least, at_most = (price, None) if rising else (None, price)
    found = MARKET.first_trade(asset, session, seconds, at_least=at_least, at_most=at_most)
    every = (
        MARKET.quote_in(asset, session, epoch) for epoch in seconds if MARKET.trades_of_minute(asset, session, epoch)
    )
    assert found == next((q for q in every if (q.last >= price if rising else q.last <= price)), None)


def test_a_session_of_trades_is_its_minute_bars() -> None:
    aapl, session = DEFAULT_CATALOGUE.listed("AAPL"), SESSIONS[7]
    assert aapl is not None
    trades = list(MARKET.trades(aapl, session.opens_at, session.closes_at - timedelta(microseconds=1)))
    day = MARKET.day(aapl, session)
    assert len(trades) == day.trades
    assert sum(trade.size for trade in trades) == day.volume
    assert (trades[0].price, trades[-1].price) == (day.open, day.close)


def test_there_is_one_quote_a_second_and_none_at_night() -> None:
    spy, session = DEFAULT_CATALOGUE.listed("SPY"), SESSIONS[3]
    assert spy is not None
    close = datetime.fromtimestamp(session.after_hours_epoch, tz=UTC)
    quotes = list(MARKET.quotes(spy, close - timedelta(seconds=90), close + timedelta(hours=2)))
    assert [int(quote.at.timestamp()) for quote in quotes] == list(
        range(session.after_hours_epoch - 90, session.after_hours_epoch)
    )


@pytest.mark.parametrize("what", ["quotes", "trades"])
@pytest.mark.parametrize("at", [MONDAY_BEFORE_OPEN, MONDAY_NOON, MONDAY_NOON + timedelta(seconds=33.5), MONDAY_CLOSE])
def test_no_tick_is_told_before_it_happens(what: str, at: datetime) -> None:
    floor = Floor(at)
    query = {"symbols": "SPY", "start": (at - timedelta(minutes=3)).isoformat(), "end": "2026-03-09", "limit": 10_000}
    ticks = floor.get(f"/v2/stocks/{what}", **query).body[what]["SPY"]
    newest = datetime.fromisoformat(ticks[-1]["t"])
    assert at - timedelta(seconds=60) < newest <= at
    latest = floor.get(f"/v2/stocks/{what}/latest", symbols="SPY").body[what]["SPY"]
    assert latest == ticks[-1]
    # What was told stays told when more time has passed.
    floor.step(45)
    assert floor.get(f"/v2/stocks/{what}", **query).body[what]["SPY"][: len(ticks)] == ticks


@pytest.mark.parametrize("what", ["quotes", "trades"])
@settings(max_examples=12, deadline=None)
@given(limit=st.integers(40, 700), sort=st.sampled_from(["asc", "desc"]))
def test_pages_of_ticks_put_together_are_the_whole(what: str, limit: int, sort: str) -> None:
    floor = Floor(MONDAY_NOON)
    query = {"symbols": "SPY,AAPL", "start": "2026-03-02T16:50:30.5Z", "sort": sort}
    whole = floor.get(f"/v2/stocks/{what}", limit=10_000, **query).body
    assert whole["next_page_token"] is None
    collected: dict[str, list[object]] = {}
    token: str | None = ""
    while token is not None:
        page = floor.get(f"/v2/stocks/{what}", limit=limit, page_token=token, **query).body
        for symbol, ticks in page[what].items():
            collected.setdefault(symbol, []).extend(ticks)
        token = page["next_page_token"]
    assert collected == whole[what]
    times = [tick["t"] for tick in whole[what]["SPY"]]
    assert len(times) == len(set(times)) > 60


def test_after_hours_prices_go_on_and_at_night_they_stand() -> None:
    floor = Floor(MONDAY_CLOSE + timedelta(hours=1))
    evening = floor.get("/v2/stocks/quotes/latest", symbols="SPY").body["quotes"]["SPY"]
    assert evening["t"] == "2026-03-02T22:00:00Z"
    floor.step(10 * 3600)
    night = floor.get("/v2/stocks/quotes/latest", symbols="SPY").body["quotes"]["SPY"]
    assert night["t"] == "2026-03-03T00:59:59Z"
    weekend = Floor(SATURDAY).get("/v2/stocks/trades/latest", symbols="SPY").body["trades"]["SPY"]
    assert weekend["t"].startswith("2026-03-07T00:")


def test_bars_cover_extended_hours_only_where_the_market_shows_them() -> None:
    query = {"symbols": "SPY", "timeframe": "1Hour"}
    usual = Floor(MONDAY_CLOSE + timedelta(hours=5)).get("/v2/stocks/bars", **query).body["bars"]["SPY"]
    floor = Floor(MONDAY_CLOSE + timedelta(hours=5), market={"extended_hours_bars": True})
    longer = floor.get("/v2/stocks/bars", **query).body["bars"]["SPY"]
    assert [bar["t"][11:13] for bar in usual] == [f"{hour}" for hour in range(14, 21)]
    assert [bar["t"][11:13] for bar in longer] == [f"{hour % 24:02d}" for hour in range(9, 25)]
    days = [
        one.get("/v2/stocks/bars", symbols="SPY", timeframe="1Day").body["bars"]["SPY"]
        for one in (floor, Floor(MONDAY_CLOSE + timedelta(hours=5)))
    ]
    assert days[0] == days[1]


HALT = {"symbol": "AAPL", "from": "2026-03-02T16:10:30Z", "until": "2026-03-02T16:40:00Z", "code": "T1"}


def halted_floor(at: datetime = MONDAY_NOON) -> Floor:
    return Floor(at, halts=[HALT])


def ask(floor: Floor, what: str, **query: object) -> list[Any]:
    body = floor.get(f"/v2/stocks/{what}", symbols="AAPL", limit=10_000, **query).body
    return body[what].get("AAPL", [])


@pytest.mark.parametrize("what", ["quotes", "trades"])
def test_nothing_is_told_of_a_halted_symbol(what: str) -> None:
    ticks = ask(halted_floor(), what, start="2026-03-02T16:09:00Z", end="2026-03-02T16:41:00Z")
    assert ticks
    assert not [tick for tick in ticks if "2026-03-02T16:10:30" <= tick["t"] < "2026-03-02T16:40:00"]
    latest = halted_floor(datetime(2026, 3, 2, 16, 20, tzinfo=UTC)).get(f"/v2/stocks/{what}/latest", symbols="AAPL")
    assert "2026-03-02T16:10:00Z" <= latest.body[what]["AAPL"]["t"] < "2026-03-02T16:10:30Z"


def test_a_halts_minutes_have_no_bars_and_the_day_adds_up_without_them() -> None:
    floor, free = halted_floor(MONDAY_CLOSE), Floor(MONDAY_CLOSE)
    minutes, unhalted = ask(floor, "bars", timeframe="1Min"), ask(free, "bars", timeframe="1Min")
    missing = {bar["t"] for bar in unhalted} - {bar["t"] for bar in minutes}
    assert missing == {f"2026-03-02T16:{minute}:00Z" for minute in range(11, 40)}
    (day,) = ask(floor, "bars", timeframe="1Day")
    assert day["v"] == sum(bar["v"] for bar in minutes) < ask(free, "bars", timeframe="1Day")[0]["v"]
    cut = next(bar for bar in minutes if bar["t"] == "2026-03-02T16:10:00Z")
    trades = ask(floor, "trades", start="2026-03-02T16:10:00Z", end="2026-03-02T16:10:59Z")
    assert (cut["o"], cut["c"], cut["n"]) == (trades[0]["p"], trades[-1]["p"], len(trades))
    assert cut["v"] == sum(trade["s"] for trade in trades)


def test_other_symbols_do_not_notice_a_halt() -> None:
    query = {"symbols": "MSFT", "timeframe": "1Min", "limit": 10_000}
    floors = halted_floor(), Floor(MONDAY_NOON)
    assert floors[0].get("/v2/stocks/bars", **query).body == floors[1].get("/v2/stocks/bars", **query).body


def test_a_minute_alone_is_the_bar_that_the_api_shows() -> None:
    floor = Floor(MONDAY_NOON)
    shown = ask(floor, "bars", timeframe="1Min")
    session = NYSE.on(date(2026, 3, 2))
    aapl = DEFAULT_CATALOGUE.listed("AAPL")
    assert session is not None
    assert aapl is not None
    bar = minute_bar(floor.market, aapl, session, session.open_epoch + 60)
    assert bar is not None
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == tuple(shown[1][key] for key in "ohlcv")
