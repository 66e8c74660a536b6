"""Bars from files: read as they are, refused where they have a defect, with a word on what is doubtful."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tradingbot_research.bars_files import BarsUnusable, read_bars
from tradingbot_research.doubts import doubts_of
from tradingbot_research.market import FIELDS
from unit.research.markets import a_market

BARS = a_market(50, 2, seed=9)


def long_table() -> pd.DataFrame:
    parts = [frame.assign(symbol=symbol) for symbol, frame in BARS.frames().items()]
    return pd.concat(parts).rename_axis("timestamp").reset_index()


def assert_read(found: object) -> None:
    for name in ("open", "high", "low", "close", "volume"):
        np.testing.assert_allclose(getattr(found, name), getattr(BARS, name), rtol=1e-12)
    np.testing.assert_array_equal(found.time, BARS.time)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["bars.csv", "bars.csv.gz", "bars.parquet"])
def test_a_file_with_several_symbols(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("parquet"):
        long_table().to_parquet(path)
    else:
        long_table().to_csv(path, index=False)
    assert_read(read_bars(path).bars)


def test_a_folder_with_a_file_for_each_symbol(tmp_path: Path) -> None:
    for symbol, frame in BARS.frames().items():
        frame.rename_axis("Date").rename(columns=str.title).to_csv(tmp_path / f"{symbol}.csv")
    found = read_bars(tmp_path)
    assert_read(found.bars)
    assert found.files == ("S00.csv", "S01.csv")
    assert read_bars(tmp_path, ["S01"]).bars.symbols == ("S01",)


def test_parquet_with_its_index(tmp_path: Path) -> None:
    BARS.frames()["S00"].to_parquet(tmp_path / "prices.parquet")
    assert read_bars(tmp_path / "prices.parquet", ["S00"]).bars.symbols == ("S00",)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda table: table.drop(columns="volume"), "missing_columns: volume"),
        (lambda table: table.drop(columns="timestamp"), "missing_columns: timestamp"),
        (lambda table: pd.concat([table, table.iloc[[3]]]), "duplicate_timestamps|non_monotonic_index"),
        (lambda table: table.iloc[::-1], "non_monotonic_index"),
        (lambda table: table.assign(close=table["close"].where(table.index != 4)), "S00: null_values"),
        (lambda table: table.assign(low=table["low"].where(table.index != 4, -1.0)), "S00: non_positive_prices"),
        (lambda table: table.assign(high=table["high"].where(table.index != 4, 1.0)), "S00: invalid_ohlc_bounds"),
        (lambda table: table.assign(volume=table["volume"].where(table.index != 4, -5.0)), "S00: negative_volume"),
        (lambda table: table.assign(close="much"), "much"),
        (
            lambda table: table.assign(timestamp=table["timestamp"].astype(str).where(table.index != 4, "noon")),
            "'noon', 1",
        ),
    ],
)
def test_a_defect_is_refused_by_name(tmp_path: Path, spoil: object, words: str) -> None:
    spoil(long_table()).to_csv(tmp_path / "bars.csv", index=False)  # type: ignore[operator]
    with pytest.raises(BarsUnusable, match=words):
        read_bars(tmp_path / "bars.csv")


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BarsUnusable, match="no such file"):
        read_bars(tmp_path / "none.csv")
    long_table().to_csv(tmp_path / "bars.csv", index=False)
    with pytest.raises(BarsUnusable, match="no bars of TSLA"):
        read_bars(tmp_path / "bars.csv", ["S00", "TSLA"])
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(BarsUnusable, match="cannot be read"):
        read_bars(tmp_path / "text.parquet")


def test_a_split_that_nobody_adjusted_is_warned_of(tmp_path: Path) -> None:
    table = long_table()
    half = (table["symbol"] == "S00") & (table.index >= 25)
    for name in ("open", "high", "low", "close"):
        table[name] = table[name].where(~half, table[name] / 2)
    table.loc[60, "volume"] = 0
    table.drop(index=70).to_csv(tmp_path / "bars.csv", index=False)
    jump, hole, empty, weekend, adjustment, survivorship = read_bars(tmp_path / "bars.csv").warnings
    assert "S00: 1 moves of more than 30% in one bar" in jump
    assert "Some have the ratio of a split: 2 for 1 on 2015-01-27" in jump
    assert "S01: 1 of 50 bars are not there" in hole
    assert "S01: 1 bars without volume" in empty
    assert weekend.startswith("14 days are Saturdays and Sundays")
    assert "Adjustment: nothing says whether" in adjustment
    assert "Survivorship: all 2 symbols are there to the last bar" in survivorship


@pytest.mark.parametrize(("factor", "looks"), [(1.5, "3 for 2"), (20, "20 for 1"), (0.1, "1 for 10"), (1.8, "")])
def test_only_the_ratio_of_a_split_looks_like_one(factor: float, looks: str) -> None:
    after = np.arange(len(BARS)) >= 30
    prices = {name: getattr(BARS, name) / np.where(after, factor, 1.0)[:, None] for name in FIELDS[:4]}
    found = " ".join(doubts_of(replace(BARS, **prices)))
    assert "2 for 1" not in found.replace("20 for 1", "")
    assert (f"Some have the ratio of a split: {looks} on 2015-02-01" if looks else "1 moves of more than 30%") in found
    assert bool(looks) == ("ratio of a split" in found)


@pytest.mark.parametrize(
    ("adjusted", "words"),
    [
        (lambda close: close * 0.93, "Adjustment: prices are raw"),
        (lambda close: close, "Adjustment: prices are adjusted for splits and dividends"),
    ],
    ids=["raw", "adjusted"],
)
def test_a_column_of_adjusted_closes_says_what_the_prices_are(tmp_path: Path, adjusted: object, words: str) -> None:
    table = long_table().assign(**{"Adj Close": adjusted(long_table()["close"])})  # type: ignore[operator]
    table.to_csv(tmp_path / "bars.csv", index=False)
    read = read_bars(tmp_path / "bars.csv")
    assert any(one.startswith(words) for one in read.warnings)
    assert_read(read.bars)


def test_symbols_that_come_later_or_go_earlier_are_named(tmp_path: Path) -> None:
    table = long_table()
    first, second = table["symbol"] == "S00", table["symbol"] == "S01"
    gone = first & (table["timestamp"] > table["timestamp"].iloc[39])
    table[~(gone | (second & (table["timestamp"] < table["timestamp"].iloc[5])))].to_csv(
        tmp_path / "b.csv", index=False
    )
    words = " ".join(read_bars(tmp_path / "b.csv").warnings)
    assert "S00: ends on 2015-02-10, 10 bars before the last" in words
    assert "S01: begins on 2015-01-07, 5 bars after the first" in words
    assert "Survivorship: 1 of 2 symbols end before the last bar (S00)" in words
    assert "are not there" not in words
