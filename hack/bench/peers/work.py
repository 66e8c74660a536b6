"""The work that every engine gets, and how one process measures its own engine on it.

Runs in the environments of the peers: must import nothing but the standard library, and numpy once the engine is there.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class Work:
    """Bars, and the rules by which all engines trade them.

    Each lane, one symbol with one pair of windows, is a backtest of its own with its own capital. From bar `slow` on,
    counted from 0, it wants to be all in while the average of the last `fast` closes is above that of the last `slow`,
    and flat else, also where they are equal. A change is filled at the next open, moved against it by `slippage`, in
    any part of a share; what is bought costs all the cash that there is at the fill. Nothing closes the last position.
    """

    open: Any
    """Prices: float64, bars x symbols, in account currency with six decimals."""
    high: Any
    low: Any
    close: Any
    time: Any
    """Beginning of each bar, int64, nanoseconds since 1970."""
    bar_seconds: int
    pairs: tuple[tuple[int, int], ...]
    """Fast and slow window, in bars."""
    capital: float
    slippage: float
    """As a share of the price."""

    @property
    def lanes(self) -> tuple[tuple[int, int, int], ...]:
        """Column, fast window and slow window of each."""
        return tuple((column, *pair) for column in range(self.close.shape[1]) for pair in self.pairs)

    @property
    def bars(self) -> int:
        """Bars of all lanes together."""
        return len(self.close) * len(self.lanes)

    def write(self, folder: Path) -> None:
        """As one file a column, which `read` maps."""
        import numpy as np

        for name in (*PRICES, "time"):
            np.save(folder / f"{name}.npy", getattr(self, name))
        rules = {name: getattr(self, name) for name in ("bar_seconds", "pairs", "capital", "slippage")}
        (folder / "rules.json").write_text(json.dumps(rules), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Work:
        """What `write` wrote."""
        import numpy as np

        rules = json.loads((folder / "rules.json").read_text(encoding="utf-8"))
        rules["pairs"] = tuple((fast, slow) for fast, slow in rules["pairs"])
        return cls(**{name: np.load(folder / f"{name}.npy") for name in (*PRICES, "time")}, **rules)


Fill = tuple[int, int, float]
"""Lane, bar, and shares: negative for a sale."""


@dataclass(frozen=True)
class Found:
    """What an engine says that it did."""

    fills: Sequence[Fill]
    equity: Sequence[float]
    """Each lane's at the last close, in account currency."""
    dropped: Sequence[str] = ()
    """Orders that the engine refused, in its own words."""


class Engine(Protocol):
    """One engine. Only `run` is timed."""

    def prepare(self, work: Work) -> Any:
        """The bars in the engine's own form."""

    def run(self, prepared: Any) -> Any:
        """All lanes, from the closes to fills and equity."""

    def tell(self, ran: Any) -> Found:
        """What `run` gave, in ours."""


def measure(load: Callable[[], Engine]) -> None:
    """Plays the work of the command line and prints one line of JSON; `load` imports the engine.

    Seconds are the processor's, of all threads together, so that neither other programs nor a second core change them.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("repeats", type=int)
    asked = parser.parse_args()
    seconds: list[float] = []
    began = time.process_time()
    engine = load()
    import_seconds = time.process_time() - began
    import numpy as np

    work = Work.read(asked.work)
    prepared = engine.prepare(work)
    ran: Any = None
    for _ in range(1 + asked.repeats):
        ran = None  # or two results would be in memory at once
        gc.collect()
        began = time.process_time()
        ran = engine.run(prepared)
        seconds.append(time.process_time() - began)
    mib = _peak_mib()
    found = engine.tell(ran)
    lane, bar, shares = (np.array(column) for column in zip(*sorted(found.fills), strict=True))
    np.savez(asked.output, lane=lane, bar=bar, shares=shares, equity=np.array(found.equity))
    measured = {"import_seconds": import_seconds, "seconds": seconds, "mib": mib, "dropped": list(found.dropped)[:10]}
    print(json.dumps(measured), file=sys.stdout, flush=True)


def _peak_mib() -> float:
    """The most memory that this program had. What getrusage says includes the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(r"VmHWM:\s+(\d+)", status)
    return int(found[1]) / 1024 if found else float("nan")
