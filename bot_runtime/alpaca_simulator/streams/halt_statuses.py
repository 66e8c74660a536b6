"""Trading statuses and price bands, as the tape tells them: halts, resumptions, limit up and limit down.

The same halts and the same minutes always give the same messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from alpaca_simulator.api.data_rendering import tape_of
from alpaca_simulator.market.assets import Asset
from alpaca_simulator.market.halts import Halt
from alpaca_simulator.market.price_source import MinuteBars
from alpaca_simulator.streams.market_data_codec import Message
from alpaca_simulator.values.instants import from_epoch

#: A band is this far from its reference price, and moves when the reference has moved by a percent.
BAND_PERCENT = 5
REFERENCE_MINUTES = 5


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A symbol that stopped (`H`) or began again (`T`) to trade, at a second of the Unix epoch."""

    epoch: int
    code: str
    halt: Halt


class StatusesTold:
    """Which halts and resumptions one client was already told of, or came too late for."""

    def __init__(self, halts: Iterable[Halt], until: int) -> None:
        self._told: set[tuple[str, int, str]] = set()
        self.due(halts, until)

    def due(self, halts: Iterable[Halt], until: int) -> list[StatusChange]:
        """What is new at second `until` of the Unix epoch, in the order of time."""
        found = []
        for halt in halts:
            # A halt called just now begins in a second that was told already: what counts is that it is new.
            for epoch, code in ((halt.since, "H"), (halt.until, "T")):
                if epoch is None or epoch > until or (halt.symbol, halt.since, code) in self._told:
                    continue
                self._told.add((halt.symbol, halt.since, code))
                found.append(StatusChange(epoch, code, halt))
        return sorted(found, key=lambda one: one.epoch)


def status_message(change: StatusChange, tape: str) -> Message:
    """The trading status that tells of a change."""
    halted = change.code == "H"
    return {
        "T": "s",
        "S": change.halt.symbol,
        "sc": change.code,
        "sm": "Trading Halt" if halted else "Trading Resumption",
        "rc": change.halt.code if halted else "",
        "rm": change.halt.reason if halted else "",
        "t": from_epoch(change.epoch),
        "z": tape,
    }


def price_bands(asset: Asset, minutes: MinuteBars) -> Iterator[tuple[int, Message]]:
    """Every band of a session's regular hours with the second it is told: one at the open, then as prices move."""
    told: int | None = None
    for minute in range(len(minutes.open)):
        closes = minutes.close[max(0, minute - REFERENCE_MINUTES) : minute]
        reference = sum(closes) // len(closes) if closes else minutes.open[0]
        if told is not None and abs(reference - told) * 100 < told:
            continue
        told = reference
        epoch = minutes.start_epoch + 60 * minute
        yield (
            epoch,
            {
                "T": "l",
                "S": asset.symbol,
                "u": _part(reference, 100 + BAND_PERCENT),
                "d": _part(reference, 100 - BAND_PERCENT),
                "i": "B",
                "t": from_epoch(epoch),
                "z": tape_of(asset),
            },
        )


def _part(cents: int, percent: int) -> float:
    dollars = Decimal(cents * percent).scaleb(-4)
    return float(dollars.quantize(Decimal("0.01"), rounding=ROUND_HALF_EVEN))
