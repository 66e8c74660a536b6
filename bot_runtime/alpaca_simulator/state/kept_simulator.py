"""A simulator whose state outlives its process: opened from its directory, written to it as it runs.

Without a state directory in the configuration it is a plain simulator that forgets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from alpaca_simulator.config import SimulatorConfig, StateConfig
from alpaca_simulator.simulator import MachineTime, Simulator, build_simulator
from alpaca_simulator.state.directory import StateDirectory, Stored
from alpaca_simulator.state.journal import StateJournal
from alpaca_simulator.state.pinned import pinned, pinned_config, prices_digest, require_same
from alpaca_simulator.state.records import Header, StateError
from alpaca_simulator.state.replay import Replayed, replayed, restore_json, state_json


@contextmanager
def kept_simulator(
    config: SimulatorConfig,
    machine: MachineTime | None = None,
    on_restored: Callable[[Replayed], None] = lambda replayed: None,
) -> Iterator[Simulator]:
    """The simulator as configured, with `state` set as it was when its directory was last used.

    `on_restored` is told what was found in the directory, if anything. Raises StateError when the
    directory is in use, corrupt, or of another seed, configuration or format.
    """
    if config.state is None:
        yield build_simulator(config, machine)
        return
    directory = StateDirectory(config.state.directory, fsync=config.state.fsync)
    try:
        simulator, journal, before = _opened(config, config.state, directory, machine)
    except BaseException:
        directory.close()
        raise
    if before is not None:
        on_restored(before)
    gate = simulator.exchange.fill_gate
    simulator.rest.journal = journal
    simulator.exchange.fill_gate = None if gate is None else journal.recorded(gate)
    try:
        yield simulator
    finally:
        simulator.rest.journal = None
        simulator.exchange.fill_gate = gate
        journal.close()


def verified(path: Path) -> tuple[Header, Replayed]:
    """Read and replay what a directory holds without changing anything; raises StateError."""
    directory = StateDirectory(path, read_only=True)
    try:
        stored = directory.read()
        if stored.header is None:
            raise StateError(f"{path} holds no state")
        config = pinned_config(stored.header)
        require_same(stored.header, config)
        return stored.header, replayed(config, stored, stored.header)
    finally:
        directory.close()


def _opened(
    config: SimulatorConfig, settings: StateConfig, directory: StateDirectory, machine: MachineTime | None
) -> tuple[Simulator, StateJournal, Replayed | None]:
    stored = directory.read()
    before = None
    if stored.header is None:
        simulator = build_simulator(config, machine)
        header = Header(config.seed, simulator.exchange.now, pinned(config), prices_digest(config))
        number = 0
        directory.begin(header)
    else:
        header = stored.header
        require_same(header, config)
        before = replayed(config, stored, header)
        simulator = _continued(config, before, header.start, machine)
        number = before.number
        _resume(directory, stored, replace(header, base=number))
    exchange = simulator.exchange
    journal = StateJournal(
        directory,
        header,
        number,
        lambda: (state_json(exchange), exchange.now),
        snapshot_bytes=settings.snapshot_bytes,
    )
    return simulator, journal, before


def _continued(config: SimulatorConfig, before: Replayed, began_at: datetime, machine: MachineTime | None) -> Simulator:
    """The configured simulator, with its clock, from where the replay ended."""
    clock = config.clock.model_copy(update={"start": before.at})
    simulator = build_simulator(config.model_copy(update={"clock": clock}), machine, scenario_start=began_at)
    restore_json(simulator.exchange, state_json(before.simulator.exchange))
    return simulator


def _resume(directory: StateDirectory, stored: Stored, header: Header) -> None:
    if stored.log is None:
        directory.begin(header)
    else:
        directory.resume(stored.log)
