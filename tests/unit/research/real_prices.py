"""Real daily prices that a package on every developer's machine brings along: the S&P 500 and the Nasdaq Composite.

From the data of arch, 1999 to 2018, as Yahoo had them. Read from where they are installed, without importing it.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import pandas as pd

INDICES = ("SP500", "NASDAQ")


def shipped(index: str) -> Path:
    """The file as it came."""
    found = importlib.util.find_spec("arch")
    assert found is not None
    assert found.origin is not None
    name = index.lower()
    return Path(found.origin).parent / "data" / name / f"{name}.csv.gz"


@cache
def prices(index: str) -> pd.DataFrame:
    """Open, High, Low, Close, Adj Close, Volume by date."""
    table = pd.read_csv(shipped(index))
    return table.set_index(pd.to_datetime(table.pop("Date"), format="%m/%d/%Y"))


def write(folder: Path, *indices: str) -> Path:
    """A folder with a CSV file for each, with dates that leave no doubt."""
    folder.mkdir()
    for index in indices:
        prices(index).to_csv(folder / f"{index}.csv")
    return folder
