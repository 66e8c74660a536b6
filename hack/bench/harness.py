"""What a bench is and what it finds: samples of ours and of something bare, taken in turns.

Knows nothing of what is measured, and never judges a time.
"""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Scale:
    """How much to measure: `repeats` samples of each figure; `full` for what takes minutes; how long a calm lasts."""

    repeats: int = 5
    full: bool = False
    steady_seconds: float = 600.0


@dataclass(frozen=True)
class Measurement:
    """One figure: samples of ours in `unit`, and samples in the same unit of what stands `beside` it.

    `beside` is empty when nothing comparable exists; then there is no ratio.
    """

    what: str
    unit: str
    samples: tuple[float, ...]
    beside: str = ""
    beside_samples: tuple[float, ...] = ()

    @property
    def median(self) -> float:
        """The middle of our samples."""
        return statistics.median(self.samples)

    @property
    def ratio(self) -> float | None:
        """Ours divided by the bare one, sample by sample, the middle of it."""
        if not self.beside_samples:
            return None
        pairs = zip(self.samples, self.beside_samples, strict=True)
        return statistics.median(ours / bare for ours, bare in pairs if bare)

    def as_json(self) -> dict[str, Any]:
        """Every sample, so that somebody else can judge the spread."""
        return {
            "what": self.what,
            "unit": self.unit,
            "median": self.median,
            "samples": self.samples,
            "beside": self.beside or None,
            "beside_samples": self.beside_samples,
            "ratio": self.ratio,
        }


@dataclass(frozen=True)
class Bench:
    """Something to measure; `run` gives its figures as they come, and may raise what it likes."""

    name: str
    title: str
    usual_seconds: float
    run: Callable[[Scale], Iterator[Measurement]]
    #: What `--full` adds, in words; empty when it adds nothing.
    full_adds: str = ""


def in_turns(
    scale: Scale, what: str, unit: str, ours: Callable[[], float], beside: str, bare: Callable[[], float]
) -> Measurement:
    """Sample ours and the bare one in turns, so that a busy moment of the machine meets both."""
    samples, beside_samples = [], []
    for _ in range(scale.repeats):
        beside_samples.append(bare())
        samples.append(ours())
    return Measurement(what, unit, tuple(samples), beside, tuple(beside_samples))


def machine() -> dict[str, Any]:
    """What a reader needs to know of the machine, and nothing that names it."""
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def table(found: Sequence[tuple[Bench, Sequence[Measurement]]]) -> str:
    """The figures a bench at a time: median, spread, what stands beside it, and the ratio."""
    lines = [f"{'':<52} {'median':>12} {'spread':>23} {'beside':>12}  ratio"]
    for bench, measurements in found:
        lines.append(f"{bench.name}: {bench.title}")
        lines += [_row(one) for one in measurements]
    return "\n".join(lines)


def _row(one: Measurement) -> str:
    spread = f"{_number(min(one.samples))} to {_number(max(one.samples))}"
    row = f"  {f'{one.what}, {one.unit}':<50} {_number(one.median):>12} {spread:>23}"
    if one.ratio is None:
        return row
    return f"{row} {_number(statistics.median(one.beside_samples)):>12}  {one.ratio:.3g} x {one.beside}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
