"""Keeps the state of a running simulator: each change recorded before it is made, snapshots now and then.

Whoever handles requests calls it under the same lock that guards the exchange.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from alpaca_simulator.api.messages import Request
from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.rules import FillGate
from alpaca_simulator.state.directory import StateDirectory, StateWriteError
from alpaca_simulator.state.fill_decisions import RecordedGate
from alpaca_simulator.state.records import Entry, FillDecision, Header, Record, Snapshot

#: Parts of the admin API that are not recorded: market time is in every record, and what faults do to
#: the books is recorded as it happens.
_NOT_OF_THE_BOOKS = frozenset({"clock", "faults", "scenario"})


class StateJournal:
    """Writes what happens to one state directory.

    `present` gives the exchange's state as JSON holds it and its market time; `number` is that of the
    last record. A log over `snapshot_bytes` is replaced by a snapshot.
    """

    def __init__(
        self,
        directory: StateDirectory,
        header: Header,
        number: int,
        present: Callable[[], tuple[Any, datetime]],
        *,
        snapshot_bytes: int,
    ) -> None:
        self._directory = directory
        self._header = header
        self._number = number
        self._present = present
        self._snapshot_bytes = snapshot_bytes
        self._snapshot_number = number
        self._shown: datetime | None = None
        self._logged: datetime | None = None
        self._gate: RecordedGate | None = None

    def record(self, at: datetime, account: str | None, request: Request) -> None:
        """Put a request that may change the state on disk before it is handled.

        Raises Refusal (503) when that fails: then it must not be handled.
        """
        if account is None and request.segments[1:2] and request.segments[1] in _NOT_OF_THE_BOOKS:
            return
        try:
            if self._directory.log_bytes > self._snapshot_bytes:
                self.write_snapshot()
            self._append(
                Record(self._number + 1, at, account, request.method, request.path, request.query, request.body)
            )
        except StateWriteError as error:
            raise _unavailable(error) from error

    def recorded(self, gate: FillGate) -> FillGate:
        """`gate` with its decisions put on disk before they take effect."""
        self._gate = RecordedGate(gate, self._decide)
        return self._gate

    def _decide(self, at: datetime, order_id: UUID, fills: int, allowed: Decimal | None) -> None:
        try:
            self._append(FillDecision(self._number + 1, at, order_id, fills, allowed))
        except StateWriteError as error:
            raise _unavailable(error) from error

    def _append(self, entry: Entry) -> None:
        self._directory.append(entry)
        self._number += 1
        self._logged = entry.at

    def show(self, at: datetime, *, something_happened: bool) -> None:
        """Note the market time an answer or an update is about to show; raises Refusal (503) when that fails.

        A restart never goes back behind it. When `something_happened` since, it is on disk before it is told.
        """
        # Whatever happens up to the time of the last entry follows from the log.
        durably = something_happened and (self._logged is None or at > self._logged)
        if at == self._shown and not durably:
            return
        try:
            self._directory.show(at, durably=durably)
        except StateWriteError as error:
            raise _unavailable(error) from error
        self._shown = at

    def write_snapshot(self) -> None:
        """Replace the log by a snapshot of the present state; raises StateWriteError."""
        state, at = self._present()
        self._directory.write_snapshot(Snapshot(self._header, self._number, at, state))
        # A state that is itself large is not written again for every few records.
        self._snapshot_bytes = max(self._snapshot_bytes, self._directory.snapshot_bytes)
        self._snapshot_number = self._number
        if self._gate is not None:
            self._gate.forget()

    def close(self) -> None:
        """Leave a snapshot for a quick start, and let go of the directory; raises StateWriteError."""
        try:
            if self._number > self._snapshot_number:
                self.write_snapshot()
        finally:
            self._directory.close()


def _unavailable(error: StateWriteError) -> refusals.Refusal:
    return refusals.Refusal(503, 50310000, f"nothing was done: the state cannot be written ({error})")
