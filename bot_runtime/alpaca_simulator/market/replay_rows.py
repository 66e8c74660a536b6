"""Reads prices from CSV and Parquet files, and refuses them whole when any row is bad.

Every bad row is named by file, row, field and reason before anything trades on it. Prices are raw:
as they were paid on the day, in dollars.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from alpaca_simulator.market.calendar import TradingCalendar
from alpaca_simulator.market.price_source import MOST_SHARES_A_DAY
from alpaca_simulator.values.instants import NEW_YORK

if TYPE_CHECKING:
    import pandas as pd

ReplayTimeframe = Literal["1Day", "1Min"]
Whole = NDArray[np.int64]
Marked = NDArray[np.bool_]

LARGEST_BYTES = 2 * 1024**3
PROBLEMS_SHOWN = 20
HIGHEST_CENTS = 10**9

_NAMES = {
    "time": ("timestamp", "time", "datetime", "date", "t"),
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c"),
    "volume": ("volume", "v"),
    "symbol": ("symbol", "ticker", "s"),
}
_PRICES = ("open", "high", "low", "close")
_SYMBOL = re.compile(r"[A-Z][A-Z0-9.]{0,9}", re.ASCII)
_SUFFIXES = {".csv", ".parquet"}


class ReplayError(ValueError):
    """The files cannot be replayed; the message names what to change."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong; a CSV file's header is row 1, a Parquet file's first row is row 1."""

    file: str
    row: int
    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}, row {self.row}, {self.field}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Rows:
    """One symbol's rows in order of time: prices in cents, volume in shares.

    `times` are numbers of sessions for daily rows, the minute's first second (Unix epoch) for others.
    """

    times: Whole
    open: Whole
    high: Whole
    low: Whole
    close: Whole
    volume: Whole


def read_replay(
    path: Path, timeframe: ReplayTimeframe, calendar: TradingCalendar, rows_at_most: int
) -> dict[str, Rows]:
    """The rows of every symbol in a file or in a directory's files; raises ReplayError."""
    files = _files(path)
    problems: list[Problem] = []
    parts: dict[str, list[NDArray[np.int64]]] = {}
    count = 0
    for file in files:
        frame = _frame(file)
        count += len(frame)
        if count > rows_at_most:
            raise ReplayError(f"{path}: more than {rows_at_most} rows")
        checked = _Checked(file, frame, timeframe, calendar)
        problems += checked.problems
        if not problems:
            for symbol, table in checked.tables():
                parts.setdefault(symbol, []).append(table)
    if not problems:
        problems = list(_twice_across_files(path, parts))
    if problems:
        shown = "\n  ".join(str(one) for one in problems[:PROBLEMS_SHOWN])
        more = len(problems) - PROBLEMS_SHOWN
        raise ReplayError(f"bad rows:\n  {shown}" + (f"\n  and {more} more" if more > 0 else ""))
    rows = {symbol: _rows(np.concatenate(tables)) for symbol, tables in sorted(parts.items())}
    if not rows:
        raise ReplayError(f"{path}: there are no rows with any volume")
    return rows


def merged(parts: list[Rows]) -> Rows:
    """Rows of one asset under several symbols as one; raises ReplayError when they overlap."""
    table = np.concatenate([np.column_stack(_columns(part)) for part in parts])
    if len(np.unique(table[:, 0])) != len(table):
        raise ReplayError("a renamed symbol has rows of the same time under its old and its new name")
    return _rows(table)


def _columns(rows: Rows) -> tuple[Whole, ...]:
    return (rows.times, rows.open, rows.high, rows.low, rows.close, rows.volume)


def _rows(table: Whole) -> Rows:
    ordered = table[np.argsort(table[:, 0], kind="stable")]
    return Rows(*(np.ascontiguousarray(ordered[:, column]) for column in range(6)))


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(one for one in path.iterdir() if one.suffix.lower() in _SUFFIXES and one.is_file())
    else:
        found = [path] if path.suffix.lower() in _SUFFIXES and path.is_file() else []
    if not found:
        raise ReplayError(f"{path}: no .csv or .parquet file")
    size = sum(one.stat().st_size for one in found)
    if size > LARGEST_BYTES:
        raise ReplayError(f"{path}: {size} bytes, at most {LARGEST_BYTES} are read")
    return found


def _frame(file: Path) -> pd.DataFrame:
    """A file's columns under this module's names: text from CSV, whatever it holds from Parquet."""
    import pandas as pd

    try:
        if file.suffix.lower() == ".csv":
            frame = pd.read_csv(file, dtype=str, na_filter=False, skip_blank_lines=False, index_col=False)
        else:
            frame = pd.read_parquet(file).reset_index()
    except ImportError as error:
        raise ReplayError(
            f"{file}: Parquet needs pyarrow; install it with the extra `research` "
            "(pip install 'tradingbot-operator[research]'), or write the file as CSV"
        ) from error
    except (ValueError, OSError) as error:
        raise ReplayError(f"{file}: {error}") from error
    given = {str(column).strip().lower(): column for column in frame.columns}
    names = {name: given[alias] for name, aliases in _NAMES.items() for alias in reversed(aliases) if alias in given}
    missing = [name for name in _NAMES if name not in names and name != "symbol"]
    if missing:
        raise ReplayError("\n".join(str(Problem(file.name, 1, name, "no such column")) for name in missing))
    return frame[list(names.values())].set_axis(list(names), axis=1)


class _Checked:
    """A file's rows, and everything that is wrong with them."""

    def __init__(self, file: Path, frame: pd.DataFrame, timeframe: ReplayTimeframe, calendar: TradingCalendar) -> None:
        self._file = file
        self._first_row = 2 if file.suffix.lower() == ".csv" else 1
        self.problems: list[Problem] = []
        text = frame.astype(str).apply(lambda column: column.str.strip())
        filled = (text != "").any(axis=1).to_numpy(dtype=bool)
        self._index = np.flatnonzero(filled)
        self._symbols = self._read_symbols(text[filled] if "symbol" in text else None)
        self._columns: dict[str, Whole] = {}
        for name in _PRICES:
            self._columns[name] = self._read_price(text[filled][name], name)
        self._columns["volume"] = self._read_volume(text[filled]["volume"])
        self._check_prices_agree()
        self._times = self._read_times(text[filled]["time"], timeframe, calendar)
        self._check_once()
        self.problems.sort(key=lambda one: one.row)

    def tables(self) -> Iterator[tuple[str, Whole]]:
        """Each symbol's rows that have any volume, as columns side by side."""
        table = np.column_stack([self._times, *(self._columns[name] for name in (*_PRICES, "volume"))])
        for symbol in sorted(set(self._symbols)):
            mine = (self._symbols == symbol) & (self._columns["volume"] > 0)
            if mine.any():
                yield symbol, table[mine]

    def _refuse(self, bad: Marked, field: str, reason: str) -> None:
        for position in np.flatnonzero(bad):
            row = int(self._index[position]) + self._first_row
            self.problems.append(Problem(self._file.name, row, field, reason))

    def _read_symbols(self, text: pd.DataFrame | None) -> NDArray[np.object_]:
        if text is None:
            symbol = self._file.stem.upper()
            if not _SYMBOL.fullmatch(symbol):
                raise ReplayError(f"{self._file}: without a column `symbol` the file's name has to be one")
            return np.full(len(self._index), symbol, dtype=object)
        symbols = text["symbol"].str.upper().to_numpy(dtype=object)
        known = {symbol: _SYMBOL.fullmatch(symbol) is not None for symbol in set(symbols)}
        self._refuse(np.array([not known[symbol] for symbol in symbols], dtype=bool), "symbol", "not a symbol")
        return symbols

    def _read_number(self, text: pd.Series[str], field: str) -> tuple[NDArray[np.float64], Marked]:
        """The numbers, and which of them are none (already refused)."""
        import pandas as pd

        numbers = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64)
        missing = (text == "").to_numpy(dtype=bool)
        wrong = ~np.isfinite(numbers)
        self._refuse(missing, field, "missing")
        self._refuse(wrong & ~missing, field, "not a number")
        return np.where(wrong, 1.0, numbers), wrong

    def _read_price(self, text: pd.Series[str], field: str) -> Whole:
        numbers, wrong = self._read_number(text, field)
        # Halves go up: files often hold prices with more than two decimals.
        cents = np.floor(np.clip(numbers, -1.0, HIGHEST_CENTS) * 100 + 0.5)
        self._refuse(~wrong & (cents < 1), field, "a price has to be at least one cent")
        self._refuse(~wrong & (cents > HIGHEST_CENTS), field, f"a price can be at most {HIGHEST_CENTS // 100} dollars")
        return cents.astype(np.int64)

    def _read_volume(self, text: pd.Series[str]) -> Whole:
        numbers, wrong = self._read_number(text, "volume")
        self._refuse(~wrong & (numbers < 0), "volume", "below zero")
        self._refuse(~wrong & (numbers != np.floor(numbers)), "volume", "not a whole number of shares")
        self._refuse(~wrong & (numbers > MOST_SHARES_A_DAY), "volume", f"more than {MOST_SHARES_A_DAY} shares")
        return np.clip(numbers, 0, MOST_SHARES_A_DAY).astype(np.int64)

    def _check_prices_agree(self) -> None:
        opening, high, low, close = (self._columns[name] for name in _PRICES)
        self._refuse(high < np.maximum(opening, close), "high", "below the open or the close")
        self._refuse(low > np.minimum(opening, close), "low", "above the open or the close")

    def _read_times(self, text: pd.Series[str], timeframe: ReplayTimeframe, calendar: TradingCalendar) -> Whole:
        import pandas as pd

        # A number would be taken for nanoseconds since 1970.
        texts = text.where(~text.str.fullmatch(r"[0-9.]*"), "")
        stamps = pd.to_datetime(texts, format="ISO8601", utc=True, errors="coerce")
        missing = stamps.isna().to_numpy(dtype=bool)
        self._refuse(missing, "time", "not a date or an RFC 3339 time")
        stamps = stamps.fillna(pd.Timestamp(calendar.sessions[0].opens_at))
        local = stamps.dt.tz_convert(NEW_YORK)
        if timeframe == "1Day":
            # Midnight UTC is how a bare date is often written; any other time is one of New York's day.
            dated = (stamps.dt.normalize() == stamps).to_numpy(dtype=bool)
            days = np.where(dated, stamps.dt.date.to_numpy(), local.dt.date.to_numpy())
        else:
            days = local.dt.date.to_numpy()
        numbers = {session.day: session.number for session in calendar.sessions}
        sessions = np.array([numbers.get(day, -1) for day in days], dtype=np.int64)
        closed = sessions < 0
        self._refuse(closed & ~missing, "time", "the exchange is closed that day, or it is before 2016 or after 2035")
        if timeframe == "1Day":
            return sessions
        seconds = (stamps - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(seconds=1)
        epochs: Whole = seconds.to_numpy(dtype=np.int64).astype(np.int64)
        uneven = (epochs % 60 != 0) | (stamps.dt.floor("s") != stamps).to_numpy(dtype=bool)
        self._refuse(uneven & ~missing, "time", "not the start of a minute")
        begins = np.array([session.pre_market_epoch for session in calendar.sessions], dtype=np.int64)
        ends = np.array([session.after_hours_epoch for session in calendar.sessions], dtype=np.int64)
        outside = (epochs < begins[sessions]) | (epochs >= ends[sessions])
        self._refuse(outside & ~missing & ~closed, "time", "outside trading hours and extended hours")
        return epochs

    def _check_once(self) -> None:
        import pandas as pd

        refused = {problem.row for problem in self.problems}
        rows = self._index + self._first_row
        keys = pd.DataFrame({"symbol": self._symbols, "time": self._times})
        again = keys.duplicated().to_numpy(dtype=bool) & ~np.isin(rows, list(refused))
        self._refuse(again, "time", "there is a row for that time already")


def _twice_across_files(path: Path, parts: dict[str, list[Whole]]) -> Iterator[Problem]:
    for symbol, tables in parts.items():
        times = np.concatenate([table[:, 0] for table in tables])
        if len(np.unique(times)) != len(times):
            yield Problem(path.name, 0, "time", f"several files have rows of {symbol} for the same time")
