"""Bars from files: read as they are, refused where they have a defect, with a word on what is doubtful."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tradingbot_research.bars_files import BarsUnusable, read_bars
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
    jump, hole, empty = read_bars(tmp_path / "bars.csv").warnings
    assert "S00: 1 moves of more than 30% in one bar" in jump
    assert "adjusted" in jump
    assert "S01: 1 of 50 bars are not there" in hole
    assert "S01: 1 bars without volume" in empty
