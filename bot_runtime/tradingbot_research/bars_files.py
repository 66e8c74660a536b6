"""Bars from CSV and Parquet files, and what bars from anywhere have to be before anybody believes a backtest of them.

Must never repair: bars with a defect are refused, with the symbol and the check that they fail.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from tradingbot_api import Timeframe
from tradingbot_research.doubts import Adjustment, doubts_of
from tradingbot_research.market import FIELDS, Bars, Floats
from tradingbot_runtime.core.quality import BAR_MINUTES, defect

if TYPE_CHECKING:
    import pandas as pd

TIME_COLUMNS: Final = ("timestamp", "time", "datetime", "date")
SUFFIXES: Final = (".csv", ".csv.gz", ".parquet")
MOST_BYTES: Final = 4 * 1024**3
MOST_FILES: Final = 1000
ADJUSTED_CLOSES: Final = ("adj close", "adj_close", "adjclose", "adjusted close", "adjusted_close")


class BarsUnusable(ValueError):
    """The bars cannot be read, or have a defect; the message names file, symbol and defect."""


@dataclass(frozen=True)
class BarsRead:
    """Bars without a defect, and what a person should know of them."""

    bars: Bars
    warnings: tuple[str, ...]
    files: tuple[str, ...]
    """Names of the files they came from, or of the source."""


def read_bars(path: Path, symbols: Sequence[str] | None = None) -> BarsRead:
    """Bars from a file, or from a folder with a file for each symbol, such as AAPL.csv or AAPL.parquet.

    Columns: timestamp (or time, datetime, date), open, high, low, close, volume, and symbol where a file holds several;
    the case does not matter, others are ignored. Times without a zone are UTC. Without a column `symbol` a file is of
    the symbol that it is named after, or of the only one asked for. A column of adjusted closes, such as Adj Close, is
    only compared with the closes. Raises BarsUnusable.
    """
    files = _files(path, symbols)
    frames: dict[str, pd.DataFrame] = {}
    adjustments = []
    for file in files:
        only = symbols[0] if symbols is not None and len(symbols) == 1 and len(files) == 1 else _stem(file)
        read, adjustment = _frames(file, only)
        adjustments.append(adjustment)
        for symbol, frame in read.items():
            if symbols is None or symbol in symbols:
                if symbol in frames:
                    raise BarsUnusable(f"{file.name}: {symbol} is in another file, too")
                frames[symbol] = frame
    # Of several files the one that most is to be feared of.
    worst = next(one for one in (Adjustment.RAW, Adjustment.UNKNOWN, Adjustment.ALL) if one in adjustments)
    return checked(frames, symbols, str(path), tuple(file.name for file in files), worst)


def checked(
    frames: "Mapping[str, pd.DataFrame]",
    symbols: Sequence[str] | None,
    where: str,
    files: tuple[str, ...],
    adjustment: Adjustment,
) -> BarsRead:
    """Bars by symbol, where all are there and none has a defect: whatever is judged has passed here, file or broker.

    Raises BarsUnusable, which names `where`.
    """
    missing = [symbol for symbol in symbols or () if symbol not in frames]
    if missing:
        raise BarsUnusable(f"{where}: no bars of {', '.join(missing)}")
    if not frames:
        raise BarsUnusable(f"{where}: no bars")
    defects = [f"{symbol}: {found}" for symbol, frame in frames.items() if (found := defect(frame)) is not None]
    if defects:
        raise BarsUnusable(f"{where}: {'; '.join(defects[:20])}: mend the data, nothing is guessed")
    ordered = symbols if symbols is not None else sorted(frames)
    bars = Bars.of_frames({symbol: frames[symbol] for symbol in ordered})
    return BarsRead(bars, tuple(doubts_of(bars, adjustment)), files)


def check_spacing(bars: Bars, timeframe: Timeframe) -> None:
    """Refuses bars that are usually not as far apart as the timeframe says. Raises BarsUnusable."""
    if len(bars) < 3:
        return
    apart = float(np.median(np.diff(bars.time)) / np.timedelta64(1, "m"))
    minutes = BAR_MINUTES.get(timeframe)
    fits = apart == minutes if minutes is not None else apart >= 20 * 60
    if not fits:
        raise BarsUnusable(f"bars are {apart:g} minutes apart, and the timeframe is {timeframe.value}: name theirs")


def _files(path: Path, symbols: Sequence[str] | None) -> list[Path]:
    if path.is_file():
        found = [path]
    elif path.is_dir():
        found = sorted(one for one in path.iterdir() if one.name.endswith(SUFFIXES))
        if symbols is not None:
            found = [one for one in found if _stem(one) in symbols]
        if not found or len(found) > MOST_FILES:
            raise BarsUnusable(f"{path}: {len(found)} files such as AAPL.csv or AAPL.parquet, from 1 to {MOST_FILES}")
    else:
        raise BarsUnusable(f"{path}: there is no such file or folder")
    size = sum(one.stat().st_size for one in found)
    if size > MOST_BYTES:
        raise BarsUnusable(f"{path}: {size} bytes, at most {MOST_BYTES} are read")
    return found


def _stem(file: Path) -> str:
    return file.name.split(".csv")[0].removesuffix(".parquet").upper()


def _frames(file: Path, symbol: str) -> "tuple[dict[str, pd.DataFrame], Adjustment]":
    import pandas as pd

    if not file.name.endswith(SUFFIXES):
        raise BarsUnusable(f"{file.name}: write {', '.join(SUFFIXES)}")
    try:
        table = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)
    except Exception as error:
        # Each of the two has its own dozen of errors, some without a common ancestor.
        raise BarsUnusable(f"{file.name} cannot be read: {' '.join(str(error).split())[:300]}") from error
    if table.index.name is not None or isinstance(table.index, pd.DatetimeIndex | pd.MultiIndex):
        table.index.names = [name or "timestamp" for name in table.index.names]
        table = table.reset_index()
    table.columns = pd.Index([str(column).strip().lower() for column in table.columns])
    time = next((column for column in TIME_COLUMNS if column in table.columns), None)
    missing = [name for name in FIELDS if name not in table.columns]
    if time is None or missing:
        wanted = ", ".join([*([] if time else ["timestamp"]), *missing])
        raise BarsUnusable(f"{file.name}: missing_columns: {wanted}; it has: {', '.join(table.columns)}")
    form = None if file.suffix == ".parquet" else "ISO8601"
    try:
        times = pd.to_datetime(table[time], utc=True, format=form)
    except (ValueError, TypeError) as error:
        wrong = table[time][pd.to_datetime(table[time], utc=True, format=form, errors="coerce").isna()]
        raise BarsUnusable(
            f"{file.name}: {time} {', '.join(repr(str(one)[:40]) for one in wrong.head(1))}, {len(wrong)} in all: write"
            " times as 2026-03-02 or 2026-03-02T14:30:00Z: whether 3/2 is in March or in February is not guessed"
        ) from error
    try:
        # "coerce" would make a defect of some other name of it.
        values = table[list(FIELDS)].apply(pd.to_numeric).astype(float)
    except (ValueError, TypeError) as error:
        raise BarsUnusable(f"{file.name}: {' '.join(str(error).split())[:300]}") from error
    if bool(times.isna().any()):
        raise BarsUnusable(f"{file.name}: {int(times.isna().sum())} rows have no {time}")
    values.index = pd.DatetimeIndex(times)
    adjustment = _adjustment(table, values["close"].to_numpy())
    if "symbol" not in table.columns:
        return {symbol: values}, adjustment
    symbols = table["symbol"].astype(str).to_numpy()
    return {str(name): frame for name, frame in values.groupby(symbols)}, adjustment


def _adjustment(table: "pd.DataFrame", closes: Floats) -> Adjustment:
    """What the file says of itself, by a column of adjusted closes if it has one."""
    import pandas as pd

    column = next((name for name in ADJUSTED_CLOSES if name in table.columns), None)
    if column is None:
        return Adjustment.UNKNOWN
    adjusted = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=float)
    # Files round prices to a cent or to six digits.
    return Adjustment.ALL if bool(np.isclose(adjusted, closes, rtol=1e-4, atol=0.0101).all()) else Adjustment.RAW
