"""Backtests beside other engines: the same bars, the same rules, the same trades, each in a process of its own.

Must never time an engine whose trades are not those of the plain loop, nor leave one out without saying so.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from bench.backtest_work import DAY_SECONDS, compare, drawn, reference
from bench.environments import NotInstallable, python_of
from bench.harness import Bench, Measurement, Scale
from bench.peers.work import Found, Work

PROGRAMS: Final = Path(__file__).resolve().parent / "peers"
DEADLINE_SECONDS: Final = 900.0
#: One thread: the figures are those of one core.
_ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS"), "1"
)


class NotAllMeasured(Exception):
    """An engine could not be installed here; the others were measured."""


@dataclass(frozen=True)
class Peer:
    """One engine: its program, the environment that it runs in (empty: this one), and how often a run is repeated."""

    name: str
    program: str
    environment: str = ""
    #: Compiled ones are measured again in the same process; one whose run takes half a minute is not.
    repeats: bool = True
    variables: tuple[tuple[str, str], ...] = ()


OURS: Final = Peer("ours", "tradingbot_engine")
PEERS: Final = (
    Peer("a bare numba loop", "numba_loop", "numba"),
    Peer("vectorbt (rust)", "vectorbt_signals", "vectorbt", variables=(("VECTORBT_ENGINE", "rust"),)),
    Peer("vectorbt (numba)", "vectorbt_signals", "vectorbt", variables=(("VECTORBT_ENGINE", "numba"),)),
    Peer("backtesting.py", "backtesting_strategy", "backtesting", repeats=False),
    Peer("nautilus_trader", "nautilus_strategy", "nautilus", repeats=False),
    Peer("backtrader", "backtrader_cerebro", "backtrader", repeats=False),
)
PAIRS: Final = tuple((fast, slow) for fast in range(5, 55, 5) for slow in range(60, 260, 20))


def works() -> Iterator[tuple[str, Work]]:
    """Each work with its name."""
    yield "a million minutes", drawn(1_000_000)
    yield "20 symbols, 10,000 days", drawn(10_000, symbols=20, bar_seconds=DAY_SECONDS, volatility=1e-2)
    yield "100 pairs, 10,000 days", drawn(10_000, pairs=PAIRS, bar_seconds=DAY_SECONDS, volatility=1e-2)
    yield "100,000 minutes with an edge", drawn(100_000, edge=1e-4)


@dataclass(frozen=True)
class Run:
    """What one process measured. Seconds are the processor's."""

    import_seconds: float
    seconds: tuple[float, ...]
    """The first run of the process, then those that were repeated."""
    mib: float

    @property
    def warm(self) -> float:
        """A run that compiles nothing any more; the only one where it was not repeated."""
        return statistics.median(self.seconds[1:] or self.seconds)


def played(peer: Peer, python: Path, folder: Path, expected: Found, repeats: int) -> Run:
    """Plays the work in `folder` in a process of its own. Raises AnotherTrade, or RuntimeError where it fails."""
    output = folder / "found.npz"
    output.unlink(missing_ok=True)
    program = PROGRAMS / f"{peer.program}.py"
    command = [*map(str, (python, program, folder, output)), str(repeats if peer.repeats else 0)]
    environment = {**os.environ, **_ONE_THREAD, **dict(peer.variables)}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=DEADLINE_SECONDS
    )
    if done.returncode:
        raise RuntimeError(f"{peer.name} failed: {done.stderr[-2000:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    with np.load(output) as arrays:
        columns = (arrays[name].tolist() for name in ("lane", "bar", "shares"))
        found = Found(list(zip(*columns, strict=True)), arrays["equity"].tolist(), told["dropped"])
    compare(peer.name, found, expected)
    return Run(told["import_seconds"], tuple(told["seconds"]), told["mib"])


def run(scale: Scale) -> Iterator[Measurement]:
    """Bars a second of one core, seconds, MiB; ours beside each other one. Ends in an error where one is missing."""
    pythons: dict[Peer, Path] = {}
    missing: list[str] = []
    for peer in PEERS:
        try:
            pythons[peer] = python_of(peer.environment)
        except NotInstallable as error:
            missing.append(f"{peer.name}: {error}")
            print(f"    NOT MEASURED: {missing[-1]}", flush=True)
    for name, work in works():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            work.write(folder)
            yield from _beside(name, work.bars, folder, reference(work), pythons, scale)
    if missing:
        raise NotAllMeasured("; ".join(missing))


def _beside(
    name: str, bars: int, folder: Path, expected: Found, pythons: Mapping[Peer, Path], scale: Scale
) -> Iterator[Measurement]:
    """All engines on one work: first each once, to see that they trade the same, then in turns."""
    here = Path(sys.executable)
    processes = max(1, scale.repeats // 2)
    once: dict[Peer, Run] = {}
    for peer, python in {OURS: here, **pythons}.items():
        once[peer] = played(peer, python, folder, expected, 0)
        seconds = once[peer].seconds[0]
        print(f"    {name}: {peer.name} makes the same {len(expected.fills):,} fills, {seconds:.3g} s", flush=True)
    for peer, python in pythons.items():
        # One that compiles nothing and takes up to a minute has been measured by now.
        theirs = [] if peer.repeats else [once[peer]]
        ours = []
        for _ in range(processes if peer.repeats else 1):
            if peer.repeats:
                theirs.append(played(peer, python, folder, expected, scale.repeats))
            ours.append(played(OURS, here, folder, expected, scale.repeats))
        figures: tuple[tuple[str, str, Callable[[Run], float]], ...] = (
            ("warm", "bars/s", lambda one: bars / one.warm),
            ("first run of a process", "s", lambda one: one.seconds[0]),
            ("import", "s", lambda one: one.import_seconds),
            ("memory", "MiB at most", lambda one: one.mib),
        )
        for what, unit, figure in figures:
            samples = tuple(figure(one) for one in ours)
            yield Measurement(f"{name}: {what}", unit, samples, peer.name, tuple(figure(one) for one in theirs))


BENCH = Bench("backtest-peers", "backtests beside other engines", 600, run)
