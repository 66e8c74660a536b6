"""Trading halts: when a symbol does not trade though the market is open.

Known from the start (the configuration) or called while it runs (the admin API). While halted an
order waits; nothing is filled and no stop is triggered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Halt:
    """One halt of one symbol, in Unix epoch seconds; `until` None is open-ended.

    `code` and `reason` are the tape's, such as `T1` and `Halt News Pending`.
    """

    symbol: str
    since: int
    until: int | None
    code: str = "T1"
    reason: str = "Halt News Pending"

    def covers(self, epoch: int) -> bool:
        """Whether the symbol is halted in that second; it trades again at `until`."""
        return self.since <= epoch and (self.until is None or epoch < self.until)


class HaltBook:
    """Every halt of every symbol, oldest first."""

    def __init__(self, halts: Iterable[Halt] = ()) -> None:
        self._by_symbol: dict[str, list[Halt]] = {}
        for halt in halts:
            self.add(halt)

    def add(self, halt: Halt) -> None:
        """Take in a halt."""
        found = self._by_symbol.setdefault(halt.symbol, [])
        found.append(halt)
        found.sort(key=lambda one: one.since)

    def replace_all(self, halts: Iterable[Halt]) -> None:
        """Forget every halt and take in these."""
        self._by_symbol.clear()
        for halt in halts:
            self.add(halt)

    def resume(self, symbol: str, epoch: int) -> bool:
        """End the halt of `symbol` that covers `epoch` there; False when there is none."""
        halts = self._by_symbol.get(symbol, [])
        for index, halt in enumerate(halts):
            if halt.covers(epoch):
                halts[index] = replace(halt, until=epoch)
                return True
        return False

    def covering(self, symbol: str, epoch: int) -> Halt | None:
        """The halt that keeps `symbol` from trading in that second, None when it trades."""
        return next((halt for halt in self._by_symbol.get(symbol, ()) if halt.covers(epoch)), None)

    def trading_seconds(self, symbol: str, seconds: range) -> tuple[range, ...]:
        """The parts of `seconds` in which `symbol` trades, in order."""
        parts: tuple[range, ...] = (seconds,) if seconds else ()
        for halt in self._by_symbol.get(symbol, ()):
            until = seconds.stop if halt.until is None else halt.until
            parts = tuple(
                part
                for whole in parts
                for part in (
                    range(whole.start, min(whole.stop, max(whole.start, halt.since))),
                    range(max(whole.start, min(whole.stop, until)), whole.stop),
                )
                if part
            )
        return parts

    def listed(self) -> tuple[Halt, ...]:
        """Every halt, by symbol and time."""
        return tuple(halt for symbol in sorted(self._by_symbol) for halt in self._by_symbol[symbol])
