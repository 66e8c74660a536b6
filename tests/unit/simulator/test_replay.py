"""Prices replayed from files: as the files say, and refused with row, field and reason where they cannot be."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_simulator.config import ConfigError
from alpaca_simulator.market.calendar import new_york_stock_exchange
from alpaca_simulator.market.prices import Hours
from unit.simulator.floor import MONDAY_CLOSE, MONDAY_NOON, Floor

NYSE = new_york_stock_exchange()
HEADER = "symbol,timestamp,open,high,low,close,volume"
DAYS = """symbol,timestamp,open,high,low,close,volume
ACME,2026-02-26,100.10,103.00,99.00,102.00,1200000
ACME,2026-02-27,102.50,104.25,101.75,103.33,900000
ACME,2026-03-02,103.00,103.50,100.00,100.50,1500000
ODD,2026-02-26,20,20.5,19.5,20.25,40000
ODD,2026-03-02,20.40,20.40,20.40,20.40,7
"""


def write(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return path


def replaying(path: Path, at: datetime = MONDAY_NOON, timeframe: str = "1Day", **config: Any) -> Floor:
    return Floor(at, market={"replay": {"path": path, "timeframe": timeframe}}, **config)


def bars(floor: Floor, symbol: str, **query: object) -> list[Any]:
    wanted = {"timeframe": "1Day", "start": "2026-02-20", "limit": 10_000, **query}
    return floor.get("/v2/stocks/bars", symbols=symbol, **wanted).body["bars"].get(symbol, [])


def shape(bar: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(bar[key] for key in "ohlcv")


def test_daily_rows_are_the_daily_bars(tmp_path: Path) -> None:
    floor = replaying(write(tmp_path, "prices.csv", DAYS), MONDAY_CLOSE)
    assert [(bar["t"][:10], *shape(bar)) for bar in bars(floor, "ACME")] == [
        ("2026-02-26", 100.1, 103.0, 99.0, 102.0, 1_200_000),
        ("2026-02-27", 102.5, 104.25, 101.75, 103.33, 900_000),
        ("2026-03-02", 103.0, 103.5, 100.0, 100.5, 1_500_000),
    ]


def test_minutes_made_inside_a_daily_row_add_up_to_it(tmp_path: Path) -> None:
    floor = replaying(write(tmp_path, "prices.csv", DAYS), MONDAY_CLOSE)
    for symbol in ("ACME", "ODD"):
        for day in bars(floor, symbol):
            minutes = bars(floor, symbol, timeframe="1Min", start=day["t"], end=f"{day['t'][:10]}T23:00:00Z")
            assert (minutes[0]["o"], minutes[-1]["c"]) == (day["o"], day["c"])
            assert max(bar["h"] for bar in minutes) == day["h"]
            assert min(bar["l"] for bar in minutes) == day["l"]
            assert sum(bar["v"] for bar in minutes) == day["v"]
            assert sum(bar["v"] * bar["vw"] for bar in minutes) / day["v"] == pytest.approx(day["vw"], abs=1e-5)


def test_a_day_without_a_row_is_a_day_without_trading(tmp_path: Path) -> None:
    friday = datetime(2026, 2, 27, 17, 0, tzinfo=UTC)
    floor = replaying(write(tmp_path, "prices.csv", DAYS), friday)
    assert [bar["t"][:10] for bar in bars(floor, "ODD")] == ["2026-02-26"]
    latest = floor.get("/v2/stocks/trades/latest", symbols="ODD,ACME").body["trades"]
    assert latest["ODD"]["t"].startswith("2026-02-27T00:59")
    assert latest["ACME"]["t"] == "2026-02-27T17:00:00Z"
    order = floor.buy("ODD", 5, tif="gtc")
    assert order.status == 200
    floor.step(3600)
    assert floor.status(order) in {"new", "accepted"}
    floor.step_until("open")
    floor.step(6 * 3600)
    assert floor.status(order) == "filled"


def test_before_its_first_row_nothing_is_told_of_a_symbol(tmp_path: Path) -> None:
    floor = replaying(write(tmp_path, "prices.csv", DAYS), datetime(2026, 2, 25, 17, 0, tzinfo=UTC))
    assert bars(floor, "ACME") == []
    assert floor.get("/v2/stocks/quotes/latest", symbols="ACME").body["quotes"] == {}
    assert floor.get("/v2/stocks/ACME/trades/latest").status == 404
    assert floor.get("/v2/stocks/snapshots", symbols="ACME").body["ACME"]["latestTrade"] is None


def test_only_what_is_in_the_files_is_listed(tmp_path: Path) -> None:
    floor = replaying(write(tmp_path, "prices.csv", DAYS))
    assert [asset["symbol"] for asset in floor.get("/v2/assets").body] == ["ACME", "ODD"]
    assert bars(floor, "SPY") == []


def test_fills_are_inside_the_replayed_bar(tmp_path: Path) -> None:
    floor = replaying(write(tmp_path, "prices.csv", DAYS)).holding("ACME", 10)
    price = float(floor.get("/v2/positions/ACME").body["avg_entry_price"])
    assert 100.0 <= price <= 103.5


def test_a_directory_has_a_file_for_each_symbol(tmp_path: Path) -> None:
    write(tmp_path, "ACME.csv", "Date,Open,High,Low,Close,Volume\n2026-03-02,10,11,9,10,5000\n")
    write(tmp_path, "zed.csv", "date,o,h,l,c,v\n2026-03-02,20,21,19,20,5000\n\n")
    write(tmp_path, "notes.txt", "not prices")
    floor = replaying(tmp_path, MONDAY_CLOSE)
    assert [shape(bars(floor, symbol)[0]) for symbol in ("ACME", "ZED")] == [
        (10, 11, 9, 10, 5000),
        (20, 21, 19, 20, 5000),
    ]


@pytest.mark.parametrize(
    "written",
    ["2026-03-02", "2026-03-02T05:00:00Z", "2026-03-02T00:00:00Z", "2026-03-02 00:00:00-05:00", "2026-03-02T00:00:00"],
)
def test_a_day_may_be_written_in_many_ways(tmp_path: Path, written: str) -> None:
    path = write(tmp_path, "prices.csv", f"{HEADER}\nACME,{written},10,11,9,10,5000\n")
    assert bars(replaying(path, MONDAY_CLOSE), "ACME")[0]["t"] == "2026-03-02T05:00:00Z"


def minute_rows() -> Iterable[str]:
    yield HEADER
    yield "ACME,2026-03-02T13:00:00Z,9.90,9.95,9.90,9.95,300"
    for minute in (0, 1, 2, 5):
        price = 10 + minute / 10
        yield f"ACME,2026-03-02T14:3{minute}:00Z,{price},{price + 0.05:.2f},{price - 0.05:.2f},{price},{1000 + minute}"
    yield "ACME,2026-03-02T20:59:00Z,11,11,11,11,50"


def test_minute_rows_are_the_minute_bars_and_the_day_is_their_sum(tmp_path: Path) -> None:
    path = write(tmp_path, "minutes.csv", "\n".join(minute_rows()))
    floor = replaying(path, MONDAY_CLOSE, "1Min")
    minutes = bars(floor, "ACME", timeframe="1Min")
    assert [bar["t"][11:16] for bar in minutes] == ["14:30", "14:31", "14:32", "14:35", "20:59"]
    assert shape(minutes[3]) == (10.5, 10.55, 10.45, 10.5, 1005)
    (day,) = bars(floor, "ACME")
    assert shape(day) == (10.0, 11.0, 9.95, 11.0, 1000 + 1001 + 1002 + 1005 + 50)
    joined = bars(floor, "ACME", timeframe="5Min")
    assert shape(joined[0]) == (10.0, 10.25, 9.95, 10.2, 3003)


def test_minute_rows_before_the_open_are_pre_market(tmp_path: Path) -> None:
    path = write(tmp_path, "minutes.csv", "\n".join(minute_rows()))
    floor = replaying(path, datetime(2026, 3, 2, 13, 30, tzinfo=UTC), "1Min")
    trade = floor.get("/v2/stocks/trades/latest", symbols="ACME").body["trades"]["ACME"]
    assert (trade["t"], trade["p"]) == ("2026-03-02T13:00:59Z", 9.95)
    quote = floor.get("/v2/stocks/quotes/latest", symbols="ACME").body["quotes"]["ACME"]
    assert quote["bp"] <= 9.95 <= quote["ap"]


def test_no_order_is_filled_in_a_minute_without_a_row(tmp_path: Path) -> None:
    path = write(tmp_path, "minutes.csv", "\n".join(minute_rows()))
    floor = replaying(path, datetime(2026, 3, 2, 14, 33, tzinfo=UTC), "1Min")
    order = floor.buy("ACME", 5)
    floor.step(110)
    assert floor.status(order) == "new"
    floor.step(20)
    filled = floor.get(f"/v2/orders/{order.body['id']}").body
    assert filled["filled_at"].startswith("2026-03-02T14:35:")
    assert 10.45 <= float(filled["filled_avg_price"]) <= 10.55


def test_a_split_in_the_rows_is_adjusted_as_the_configuration_says(tmp_path: Path) -> None:
    rows = ["ACME,2026-02-26,100,101,99,100,1000", "ACME,2026-02-27,25,25.5,24.5,25,4000"]
    split = {"type": "split", "symbol": "ACME", "ex_date": "2026-02-27", "new": "4"}
    path = write(tmp_path, "prices.csv", "\n".join([HEADER, *rows]))
    floor = replaying(path, corporate_actions=[split])
    assert [bar["c"] for bar in bars(floor, "ACME")] == [100.0, 25.0]
    assert [(bar["c"], bar["v"]) for bar in bars(floor, "ACME", adjustment="split")] == [(25.0, 4000), (25.0, 4000)]


def test_rows_of_the_old_and_the_new_symbol_are_one_history(tmp_path: Path) -> None:
    rows = ["OLDE,2026-02-26,100,101,99,100,1000", "NEWE,2026-02-27,101,102,100,101,1000"]
    change = {"type": "symbol_change", "symbol": "OLDE", "ex_date": "2026-02-27", "new_symbol": "NEWE"}
    path = write(tmp_path, "prices.csv", "\n".join([HEADER, *rows]))
    floor = replaying(path, corporate_actions=[change])
    assert [bar["c"] for bar in bars(floor, "NEWE")] == [100.0, 101.0]
    assert [bar["c"] for bar in bars(floor, "OLDE")] == [100.0]


def test_the_same_file_and_seed_give_the_same_bytes_and_another_seed_other_minutes(tmp_path: Path) -> None:
    path = write(tmp_path, "prices.csv", DAYS)
    query = {"symbols": "ACME,ODD", "timeframe": "1Min", "start": "2026-02-26", "limit": 10_000}
    first, again, other = (
        replaying(path, MONDAY_CLOSE, seed=seed).get("/v2/stocks/bars", **query).raw.body for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


GOOD = "ACME,2026-03-02,10,11,9,10,5000"


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        ("ACME,2026-03-02,,11,9,10,5000", "open", "missing"),
        ("ACME,2026-03-02,ten,11,9,10,5000", "open", "not a number"),
        ("ACME,2026-03-02,nan,11,9,10,5000", "open", "not a number"),
        ("ACME,2026-03-02,10,inf,9,10,5000", "high", "not a number"),
        ("ACME,2026-03-02,10,11,-9,10,5000", "low", "at least one cent"),
        ("ACME,2026-03-02,10,11,9,0,5000", "close", "at least one cent"),
        ("ACME,2026-03-02,10,99999999,9,10,5000", "high", "at most"),
        ("ACME,2026-03-02,10,10.5,9,10.75,5000", "high", "below the open or the close"),
        ("ACME,2026-03-02,10,11,10.25,10.5,5000", "low", "above the open or the close"),
        ("ACME,2026-03-02,10,11,9,10,-1", "volume", "below zero"),
        ("ACME,2026-03-02,10,11,9,10,1.5", "volume", "not a whole number"),
        ("ACME,2026-03-02,10,11,9,10,1e15", "volume", "more than"),
        ("ACME,2026-03-01,10,11,9,10,5000", "time", "closed that day"),
        ("ACME,1999-03-01,10,11,9,10,5000", "time", "closed that day"),
        ("ACME,02/03/2026,10,11,9,10,5000", "time", "not a date"),
        ("ACME,1772409600,10,11,9,10,5000", "time", "not a date"),
        ("ACME,,10,11,9,10,5000", "time", "not a date"),
        ("AC ME,2026-03-02,10,11,9,10,5000", "symbol", "not a symbol"),
        ("ACME,2026-02-27,10,11,9,10,5000", "time", "already"),
    ],
)
def test_a_bad_row_is_refused_with_file_row_field_and_reason(tmp_path: Path, row: str, field: str, reason: str) -> None:
    rows = [HEADER, GOOD.replace("03-02", "02-27"), row, GOOD.replace("ACME", "ZED")]
    path = write(tmp_path, "prices.csv", "\n".join(rows))
    with pytest.raises(ConfigError) as refusal:
        replaying(path)
    assert f"prices.csv, row 3, {field}: " in str(refusal.value)
    assert reason in str(refusal.value)


@pytest.mark.parametrize(
    ("time", "reason"),
    [
        ("2026-03-02T14:30:30Z", "not the start of a minute"),
        ("2026-03-02T14:30:00.5Z", "not the start of a minute"),
        ("2026-03-02T05:00:00Z", "outside trading hours"),
        ("2026-03-01T15:00:00Z", "closed that day"),
    ],
)
def test_a_bad_minute_is_refused(tmp_path: Path, time: str, reason: str) -> None:
    path = write(tmp_path, "minutes.csv", f"{HEADER}\nACME,{time},10,11,9,10,5000\n")
    with pytest.raises(ConfigError, match=reason):
        replaying(path, timeframe="1Min")


def test_every_bad_row_is_named_and_many_are_counted(tmp_path: Path) -> None:
    days = NYSE.between(date(2025, 1, 1), date(2025, 12, 31))[:30]
    rows = [f"ACME,{session.day},10,11,9,10,x" for session in days]
    path = write(tmp_path, "prices.csv", "\n".join([HEADER, *rows]))
    with pytest.raises(ConfigError, match="and 10 more") as refusal:
        replaying(path)
    assert [f"row {row}, volume" in str(refusal.value) for row in (2, 21, 22)] == [True, True, False]


def test_several_files_may_not_have_the_same_row(tmp_path: Path) -> None:
    write(tmp_path, "one.csv", f"{HEADER}\n{GOOD}\n")
    write(tmp_path, "two.csv", f"{HEADER}\n{GOOD}\n")
    with pytest.raises(ConfigError, match="several files have rows of ACME"):
        replaying(tmp_path)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda directory: directory / "missing.csv", "no .csv or .parquet file"),
        (lambda directory: directory, "no .csv or .parquet file"),
        (lambda directory: write(directory, "prices.csv", ""), "No columns"),
        (lambda directory: write(directory, "prices.csv", HEADER), "no rows"),
        (
            lambda directory: write(directory, "prices.csv", "symbol,date,open\nA,2026-03-02,1\n"),
            "high: no such column",
        ),
        (lambda directory: write(directory, "prices.csv", f"{HEADER}\n{GOOD}\n{GOOD},1,2\n"), "line 3"),
        (lambda directory: write(directory, "2026.csv", "date,o,h,l,c,v\n2026-03-02,1,1,1,1,1\n"), "file's name"),
    ],
)
def test_files_that_are_no_prices_are_refused(tmp_path: Path, make: Callable[[Path], Path], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        replaying(make(tmp_path))


def test_more_rows_than_are_allowed_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "prices.csv", DAYS)
    with pytest.raises(ConfigError, match="more than 4 rows"):
        Floor(MONDAY_NOON, market={"replay": {"path": path, "rows_at_most": 4}})


def test_without_pyarrow_parquet_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # what an import of a missing package finds
    path = write(tmp_path, "prices.parquet", "")
    with pytest.raises(ConfigError, match="extra `research`"):
        replaying(path)


def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    csv = write(tmp_path, "prices.csv", DAYS)
    frame = pd.read_csv(csv)
    parquet = tmp_path / "typed.parquet"
    frame.assign(timestamp=pd.to_datetime(frame["timestamp"], utc=True)).to_parquet(parquet)
    query = {"symbols": "ACME,ODD", "timeframe": "1Min", "start": "2026-02-26", "limit": 10_000}
    answers = [replaying(path, MONDAY_CLOSE).get("/v2/stocks/bars", **query).raw.body for path in (csv, parquet)]
    assert answers[0] == answers[1]


cents = st.integers(1, 5_000)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.one_of(st.integers(1, 20), st.integers(20, 300_000)))
def test_any_sound_daily_row_becomes_minutes_that_add_up_to_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, volume: int
) -> None:
    low = data.draw(cents)
    high = low + data.draw(st.integers(0, 300))
    opening, closing = data.draw(st.integers(low, high)), data.draw(st.integers(low, high))
    prices = ",".join(f"{price / 100:.2f}" for price in (opening, high, low, closing))
    path = write(tmp_path_factory.mktemp("replay"), "prices.csv", f"{HEADER}\nACME,2026-03-02,{prices},{volume}\n")
    floor = replaying(path)
    asset, session = floor.exchange.catalogue.listed("ACME"), NYSE.on(date(2026, 3, 2))
    assert asset is not None
    assert session is not None
    day, minutes = floor.market.day(asset, session), floor.market.minutes(asset, session)
    assert (day.open, day.high, day.low, day.close, day.volume) == (opening, high, low, closing, volume)
    assert (sum(minutes.volume), sum(minutes.trades)) == (volume, day.trades)
    assert sum(minutes.turnover) == day.turnover
    traded = [minute for minute, shares in enumerate(minutes.volume) if shares]
    if volume >= 4:
        assert (minutes.open[traded[0]], minutes.close[traded[-1]]) == (opening, closing)
        assert max(minutes.high[minute] for minute in traded) == high
        assert min(minutes.low[minute] for minute in traded) == low
    for minute in range(len(minutes.open)):
        least, most = minutes.low[minute], minutes.high[minute]
        assert low <= least <= minutes.open[minute] <= most <= high
        assert minutes.volume[minute] * least <= minutes.turnover[minute] <= minutes.volume[minute] * most
        assert (minutes.volume[minute] > 0) == (minutes.trades[minute] > 0)
    for hours in Hours:
        for second in list(hours.seconds(session))[:: 60 * 37]:
            quote = floor.market.quote_in(asset, session, second)
            assert 0 < quote.bid <= quote.ask


def test_a_long_replay_goes_on_day_after_day(tmp_path: Path) -> None:
    days = NYSE.between(date(2026, 1, 2), date(2026, 3, 31))
    rows = [
        f"ACME,{session.day},{50 + number},{52 + number},{49 + number},{51 + number},{10_000 + number}"
        for number, session in enumerate(days)
    ]
    floor = replaying(write(tmp_path, "prices.csv", "\n".join([HEADER, *rows])), MONDAY_NOON)
    floor.buy("ACME", 3)
    for _ in range(5):
        floor.step_until("close")
        newest = bars(floor, "ACME")[-1]
        assert shape(newest)[0] == 50 + [session.day.isoformat() for session in days].index(newest["t"][:10])
    assert floor.get("/v2/positions/ACME").body["qty"] == "3"
    assert floor.now > MONDAY_NOON + timedelta(days=3)
