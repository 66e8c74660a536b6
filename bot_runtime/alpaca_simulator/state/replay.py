"""Puts a simulator back where its state directory says it was: a snapshot, then request by request.

Nothing is written here. Requests are handled as they were, at the market times they were handled at,
without any fault: what a fault kept from the exchange was never recorded.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from alpaca_simulator.config import FaultsConfig, SimulatorConfig
from alpaca_simulator.exchange.exchange import Exchange, ExchangeState
from alpaca_simulator.market.clock import SteppedClock
from alpaca_simulator.simulator import Simulator, build_simulator
from alpaca_simulator.state.directory import Stored
from alpaca_simulator.state.fill_decisions import ReplayedGate
from alpaca_simulator.state.records import FillDecision, Header, Record, StateError

_STATE: TypeAdapter[ExchangeState] = TypeAdapter(ExchangeState)


@dataclass(frozen=True, slots=True)
class Replayed:
    """A simulator at the end of its log: `number` is that of the last record, `torn_bytes` what was cut off."""

    simulator: Simulator
    number: int
    records: int
    torn_bytes: int

    @property
    def at(self) -> datetime:
        """The market time it has come to."""
        return self.simulator.exchange.now


def state_json(exchange: Exchange) -> Any:
    """The whole state of an exchange as parsed JSON."""
    return _STATE.dump_python(exchange.state(), mode="json")


def restore_json(exchange: Exchange, state: Any) -> None:
    """Put an exchange that was just built into the state that `state_json` gave; raises StateError."""
    try:
        exchange.restore(_STATE.validate_json(json.dumps(state)))
    except ValueError as error:
        raise StateError(f"the snapshot is none of this simulator's: use the one that wrote it ({error})") from error


def state_digest(exchange: Exchange) -> str:
    """A digest that is the same for two exchanges exactly when their states are."""
    text = json.dumps(state_json(exchange), separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def replayed(config: SimulatorConfig, stored: Stored, header: Header) -> Replayed:
    """The simulator of `config` with everything done that `stored` has recorded; raises StateError."""
    simulator = build_simulator(_quiet(config, header))
    number = 0
    if stored.snapshot is not None:
        restore_json(simulator.exchange, stored.snapshot.state)
        number = stored.snapshot.number
    entries = stored.entries
    simulator.exchange.fill_gate = ReplayedGate(one for one in entries if isinstance(one, FillDecision))
    for entry in entries:
        if isinstance(entry, Record):
            _handle_again(simulator, entry)
        number = entry.number
    for at in (stored.shown, entries[-1].at if entries else None):
        if at is not None:
            _advance(simulator, at)
    return Replayed(simulator, number, len(entries), stored.log.torn_bytes if stored.log else 0)


def _quiet(config: SimulatorConfig, header: Header) -> SimulatorConfig:
    """The same simulator from its first moment on, moved by the replay alone, without limits on how often to ask."""
    changes: dict[str, Any] = {
        "clock": config.clock.model_copy(update={"mode": "stepped", "start": header.start}),
        "limits": config.limits.model_copy(update={"requests_per_minute": 0}),
        "state": None,
        # What a scenario did to the books was recorded as it happened.
        "faults": FaultsConfig(),
    }
    return config.model_copy(update=changes)


def _handle_again(simulator: Simulator, record: Record) -> None:
    _advance(simulator, record.at)
    request = record.request(_keys(simulator, record))
    # A request that once ended in a fault of the simulator left what it left then: so it does now.
    with contextlib.suppress(Exception):
        simulator.rest.handle(request)
    simulator.rest.take_updates()


def _advance(simulator: Simulator, at: datetime) -> None:
    clock = simulator.clock
    assert isinstance(clock, SteppedClock)  # noqa: S101  (built so above)
    clock.step_to(max(at, simulator.exchange.now, clock.now()))
    simulator.rest.catch_up()
    simulator.rest.take_updates()


def _keys(simulator: Simulator, record: Record) -> dict[str, str]:
    """The headers that make a request the account's."""
    if record.account is None:
        return {}
    for account in simulator.exchange.accounts.values():
        if account.terms.name == record.account:
            return {"APCA-API-KEY-ID": account.terms.key_id, "APCA-API-SECRET-KEY": account.terms.secret_key}
    raise StateError(f"record {record.number} is of account {record.account}, which is not configured")
