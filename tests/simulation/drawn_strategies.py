"""A strategy whose targets are drawn from a seed, for tests that want any targets at all and not good ones."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from tradingbot_runtime.strategies.contract import Parameters, Strategy


class DrawnParameters(Parameters):
    """Parameters of `drawn`."""

    number: Annotated[int, Field(ge=0, le=2**31)] = 0
    days: Annotated[int, Field(ge=1, le=20)] = 2
    """How many days a draw holds."""


class Drawn(Strategy[DrawnParameters]):
    """Any weight to the sixth decimal, nothing, or no opinion, for each symbol and each few days."""

    name = "drawn"
    parameters_model = DrawnParameters

    @property
    def lookback(self) -> int:
        """The day is all it looks at."""
        return 2

    def targets(self, bars: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Always the same for the same days and symbols; together at most 0.9."""
        index, names = next(iter(bars.values())).index, sorted(bars)
        drawn: dict[int, list[float]] = {}
        rows = []
        for day in index:
            part = day.toordinal() // self.parameters.days
            if part not in drawn:
                rng = np.random.default_rng([self.parameters.number, part])
                kinds, weights = rng.integers(0, 4, len(names)), rng.random(len(names)) * 0.9 / len(names)
                drawn[part] = [
                    float("nan") if kind == 0 else 0.0 if kind == 1 else float(weight)
                    for kind, weight in zip(kinds, weights, strict=True)
                ]
            rows.append(drawn[part])
        return pd.DataFrame(rows, index=index, columns=names)[list(bars)]


@contextmanager
def drawn_installed(directory: Path) -> Iterator[None]:
    """`drawn` is found as the strategy of an installed package is: by its entry point."""
    package = directory / "drawn_strategies-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: drawn-strategies\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[tradingbot.strategies]\ndrawn = simulation.drawn_strategies:Drawn\n")
    sys.path.insert(0, str(directory))
    try:
        yield
    finally:
        sys.path.remove(str(directory))
