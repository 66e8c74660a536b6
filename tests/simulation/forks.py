"""Deaths without a replay: at each chosen point the world is forked, and the copy's process dies there.

The copy goes on from a copy of the volume as SIGKILL leaves it, write-ahead log included, while the original runs
on. Must never let a copy come back into the test that made it.
"""

import gc
import json
import os
import shutil
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from simulation.world import Points, World

AT_ONCE = max(2, os.cpu_count() or 1)
"""Copies that run beside each other."""
TORN = "during commit"


class Gone(BaseException):
    """A copy has told how it ended."""


@dataclass
class Forks:
    """The deaths of one run: where they are, and what became of each."""

    directory: Path
    chosen: Callable[[int, str], bool]
    """Whether the process dies at the point of that number and name."""
    deaths: Counter[str] = field(default_factory=Counter)
    """How many died where, by name."""
    failures: list[str] = field(default_factory=list)
    name: str = ""
    """Where the process of this copy died; empty in the original."""
    number: int = 0
    world: World | None = None
    _running: dict[int, str] = field(default_factory=dict)

    @property
    def is_copy(self) -> bool:
        """Whether this is a copy in which the process has died."""
        return bool(self.name)

    def points(self) -> Points:
        """The points of a world at which `die` is asked."""
        points = Points()

        def dies_at(number: int) -> bool:
            return not self.is_copy and self._die(number, points.passed[number])

        points.dies_at = dies_at
        return points

    def _die(self, number: int, name: str) -> bool:
        if self.world is None or not self.chosen(number, name):
            return False
        grew = self.world.database.log_grew
        if name == "after commit" and grew[1] > grew[0] and self._copy(number, TORN):
            return True
        return self._copy(number, name)

    def _copy(self, number: int, name: str) -> bool:
        assert self.world is not None
        while len(self._running) >= AT_ONCE:
            self._bury_one()
        volume = self.directory / f"{number}-{name.replace(' ', '-').replace('/', '-')}"
        shutil.copytree(self.world.volume, volume)
        if name == TORN:
            _tear(volume, self.world)
        process = os.fork()
        if process:
            self.deaths[_kind(name)] += 1
            self._running[process] = f"{name} (point {number})"
            return False
        self.name, self.number = name, number
        self.world.die_on(volume)
        return True

    def told(self, failure: str = "") -> None:
        """Ends a copy; never returns in one. Nothing happens in the original."""
        if not self.is_copy:
            return
        assert self.world is not None
        status = 1 if failure else 0
        if failure:
            self.world.volume.with_suffix(".failed").write_text(json.dumps(failure))
        else:
            shutil.rmtree(self.world.volume, ignore_errors=True)
        os._exit(status)

    def run(self, history: Callable[[], None]) -> None:
        """Runs what the deaths belong to; then waits for every copy. In a copy this never returns."""
        gc.freeze()  # so that a copy shares the memory it only reads
        try:
            history()
        except BaseException:
            self.told(traceback.format_exc(limit=-6))
            raise
        self.told()
        while self._running:
            self._bury_one()

    def _bury_one(self) -> None:
        process, status = os.wait()
        where = self._running.pop(process, "")
        if status:
            said = ""
            for path in self.directory.glob("*.failed"):
                if f"{path.stem.split('-')[0]})" == where.rpartition(" ")[2]:
                    with suppress(OSError):
                        said = json.loads(path.read_text())
            self.failures.append(f"died {where}: {said or status}")


def _tear(volume: Path, world: World) -> None:
    """The commit was under way: half of what it added to the log reached the disk."""
    before, after = world.database.log_grew
    log = next(volume.glob("*/state.db-wal"))
    os.truncate(log, before + (after - before) // 2)


def _kind(name: str) -> str:
    """A point's name without ids."""
    words = name.split("/")
    return "/".join([*words[:2], "{id}"] if len(words) > 2 and not words[1].startswith("account") else words)
