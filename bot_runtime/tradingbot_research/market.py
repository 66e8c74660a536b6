"""Bars of several symbols on one time axis. Holds values; reads nothing and repairs nothing."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]

FIELDS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class Bars:
    """Prices in account currency and volumes in shares: arrays of bars x symbols. NaN: the symbol has no such bar."""

    symbols: tuple[str, ...]
    time: NDArray[np.datetime64]
    """Beginning of each bar, UTC, strictly ascending."""
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def __post_init__(self) -> None:
        shape = (len(self.time), len(self.symbols))
        for name in FIELDS:
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name}: shape {getattr(self, name).shape}, but bars x symbols is {shape}")
        if not shape[0] or not shape[1]:
            raise ValueError("there are no bars: a backtest needs at least one bar of one symbol")
        if len(set(self.symbols)) != len(self.symbols):
            raise ValueError("a symbol is there twice")
        if shape[0] > 1 and not bool((self.time[1:] > self.time[:-1]).all()):
            raise ValueError("time does not ascend: sort the bars, and drop doubles")

    def __len__(self) -> int:
        return len(self.time)

    @classmethod
    def of_frames(cls, frames: "Mapping[str, pd.DataFrame]") -> "Bars":
        """From one DataFrame a symbol (columns open, high, low, close, volume), on the union of their times."""
        import pandas as pd

        if not frames:
            raise ValueError("there are no bars: a backtest needs at least one bar of one symbol")
        index = next(iter(frames.values())).index
        for frame in frames.values():
            if not frame.index.equals(index):
                index = index.union(frame.index)
        wide = {
            name: np.column_stack([frame[name].reindex(index).to_numpy(dtype=np.float64) for frame in frames.values()])
            for name in FIELDS
        }
        times = pd.DatetimeIndex(index)
        times = times if times.tz is None else times.tz_convert("UTC").tz_localize(None)
        return cls(symbols=tuple(frames), time=times.to_numpy(dtype="datetime64[ns]"), **wide)

    def frames(self) -> "dict[str, pd.DataFrame]":
        """One DataFrame a symbol, as strategies get them; its index is UTC. Bars that are not there are left out."""
        import pandas as pd

        index = pd.DatetimeIndex(self.time, tz="UTC")
        found = {}
        for column, symbol in enumerate(self.symbols):
            frame = pd.DataFrame({name: getattr(self, name)[:, column] for name in FIELDS}, index=index)
            there = np.isfinite(self.close[:, column])
            found[symbol] = frame if bool(there.all()) else frame[there]
        return found

    def between(self, start: int, stop: int) -> "Bars":
        """The bars of one stretch: views, not copies."""
        return Bars(self.symbols, self.time[start:stop], **{name: getattr(self, name)[start:stop] for name in FIELDS})

    def only(self, symbols: Sequence[str]) -> "Bars":
        """Some of the symbols. Raises KeyError for one that is not there."""
        columns = [self.symbols.index(symbol) if symbol in self.symbols else -1 for symbol in symbols]
        if -1 in columns:
            raise KeyError(f"no bars of {symbols[columns.index(-1)]}; there are: {', '.join(self.symbols)}")
        picked: dict[str, Any] = {name: getattr(self, name)[:, columns] for name in FIELDS}
        return Bars(tuple(symbols), self.time, **picked)

    @cached_property
    def tradable(self) -> Flags:
        """Where something was traded at all: there is an open, and volume above zero."""
        return np.isfinite(self.open) & (self.volume > 0)

    @cached_property
    def marks(self) -> Floats:
        """The last close known at each bar; zero before a symbol's first, when nothing can be held yet."""
        with np.errstate(invalid="ignore", over="ignore"):
            # The sum is finite only where each of them is, and takes a fifth of the time of asking each.
            if math.isfinite(self.close.sum()):
                return self.close
        rows = np.where(np.isfinite(self.close), np.arange(len(self))[:, None], -1)
        last = np.maximum.accumulate(rows, axis=0)
        found = np.take_along_axis(self.close, np.maximum(last, 0), axis=0)
        return np.where(last >= 0, found, 0.0)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over symbols, times and every price and volume: the same bars have the same, on any machine."""
        digest = hashlib.sha256("\n".join(self.symbols).encode())
        digest.update(self.time.astype("datetime64[ns]").astype("<i8").tobytes())
        for name in FIELDS:
            digest.update(np.ascontiguousarray(getattr(self, name), dtype="<f8").tobytes())
        return digest.hexdigest()
