"""Days: what bars of any length are summed up to, so that a figure means the same for minutes and for days."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradingbot_research.market import Floats, Whole
from tradingbot_research.result import Result

_WHOLE_DAY: Final = np.timedelta64(20, "h")
NEW_YORK: Final = "America/New_York"


@dataclass(frozen=True)
class Days:
    """The exchange's days that some bars cover, in order."""

    date: NDArray[np.datetime64]
    first: Whole
    """Each day's first bar."""
    last: Whole
    """Each day's last bar."""

    def __len__(self) -> int:
        return len(self.date)

    @classmethod
    def of(cls, time: NDArray[np.datetime64]) -> "Days":
        """Days in New York; bars that are a day long are a day each, whatever hour they are stamped with."""
        bars = len(time)
        if bars < 2 or bool((np.diff(time) >= _WHOLE_DAY).all()):
            every = np.arange(bars)
            return cls(time.astype("datetime64[D]"), every, every)
        import pandas as pd

        local = pd.DatetimeIndex(time, tz="UTC").tz_convert(NEW_YORK).tz_localize(None)
        dates = local.to_numpy().astype("datetime64[D]")
        first = np.flatnonzero(np.concatenate(([True], dates[1:] != dates[:-1])))
        return cls(dates[first], first, np.append(first[1:], bars) - 1)

    def returns(self, result: Result) -> Floats:
        """Return of each day: from the equity at the close of the day before, of the first from the capital."""
        equity = result.equity[self.last]
        before = np.concatenate(([result.capital], equity[:-1]))
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Floats = np.where(before > 0, equity / before - 1, 0.0)
        return found

    @property
    def years(self) -> float:
        """From the first day to the last, in years of 365.25 days; at least one day."""
        if not len(self.date):
            return 0.0
        return (int((self.date[-1] - self.date[0]).astype("timedelta64[D]").astype(np.int64)) + 1) / 365.25
