"""A strategy asked in a process of its own: nothing kept in this one reaches it, and names have another hash there.

Only starts Python again with this module, and reads its answer within a time limit; the strategy's code runs there as
it does here. Must never be given a strategy that it cannot find again by the name of its module.
"""

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib import import_module
from typing import Any, Final

import numpy as np

from tradingbot_research.market import FIELDS, Bars, Floats
from tradingbot_research.sweep import StrategyBroke, targets_of
from tradingbot_runtime.strategies.contract import Strategy

LIMIT_SECONDS: Final = 300.0
_BROKE: Final = 3
"""Exit code of a process in which the strategy raised an error."""


class NotFoundAgain(ValueError):
    """Another process could not import this strategy."""


@dataclass(frozen=True)
class Apart:
    """How the other process differs from this one."""

    hash_seed: int
    """Its PYTHONHASHSEED."""
    clock: datetime | None = None
    """What its clock shows at the beginning; None: the true time."""


@dataclass(frozen=True)
class _Asked:
    module: str
    name: str
    parameters: Mapping[str, Any]
    clock: str | None
    markets: Sequence[Sequence[str]]


def begin(strategy: Strategy[Any], markets: Sequence[Bars], apart: Apart) -> "Running":
    """Starts the other process. Raises NotFoundAgain."""
    kind = type(strategy)
    if "<" in kind.__qualname__ or kind.__module__ == "__main__":
        raise NotFoundAgain(f"{kind.__qualname__} is not a class of a module: another process cannot find it")
    clock = apart.clock.isoformat() if apart.clock else None
    parameters = strategy.parameters.model_dump(mode="json")
    asked = _Asked(kind.__module__, kind.__qualname__, parameters, clock, [bars.symbols for bars in markets])
    arrays = {}
    for number, bars in enumerate(markets):
        arrays[f"time{number}"] = bars.time.astype("datetime64[ns]").astype(np.int64)
        arrays.update({f"{name}{number}": getattr(bars, name) for name in FIELDS})
    given = io.BytesIO()
    np.savez(given, allow_pickle=False, **arrays)
    environment = {**os.environ, "PYTHONHASHSEED": str(apart.hash_seed)}
    environment["PYTHONPATH"] = os.pathsep.join(one for one in sys.path if one)
    process = subprocess.Popen(  # noqa: S603 (our own module, by the Python that runs; no shell reads it)
        [sys.executable, "-m", __name__, json.dumps(asdict(asked))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    return Running(strategy, process, given.getvalue(), len(markets))


@dataclass(frozen=True)
class Running:
    """A process that was started."""

    strategy: Strategy[Any]
    process: "subprocess.Popen[bytes]"
    given: bytes
    count: int

    def answer(self) -> list[Floats]:
        """Its targets for each market, rounded. Raises StrategyBroke."""
        who = f"{self.strategy.name} in a process of its own"
        try:
            out, err = self.process.communicate(self.given, timeout=LIMIT_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise StrategyBroke(f"{who}: no answer within {LIMIT_SECONDS:g} s") from error
        finally:
            self.process.kill()
            self.process.wait()
        if self.process.returncode:
            last = err.decode(errors="replace").strip().rsplit("\n", 1)[-1][-500:]
            raise StrategyBroke(f"{who}: {last or f'it ended with {self.process.returncode}'}")
        with np.load(io.BytesIO(out), allow_pickle=False) as found:
            return [found[f"targets{number}"] for number in range(self.count)]


def main() -> int:
    """In the other process: bars from stdin, targets to stdout. What the strategy prints goes to stderr."""
    asked = _Asked(**json.loads(sys.argv[1]))
    with np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False) as read:
        given = dict(read)
    out, sys.stdout = sys.stdout.buffer, sys.stderr
    if asked.clock is not None:
        from tradingbot_research.other_clock import set_clock

        set_clock(datetime.fromisoformat(asked.clock))
    found: Any = import_module(asked.module)
    for name in asked.name.split("."):
        found = getattr(found, name)
    strategy: Strategy[Any] = found.from_parameters(asked.parameters)
    targets = {}
    for number, symbols in enumerate(asked.markets):
        fields = {name: given[f"{name}{number}"] for name in FIELDS}
        bars = Bars(tuple(symbols), given[f"time{number}"].astype("datetime64[ns]"), **fields)
        try:
            targets[f"targets{number}"] = targets_of(strategy, bars)
        except StrategyBroke as error:
            print(str(error), file=sys.stderr)
            return _BROKE
    answer = io.BytesIO()
    np.savez(answer, allow_pickle=False, **targets)
    out.write(answer.getvalue())
    out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
