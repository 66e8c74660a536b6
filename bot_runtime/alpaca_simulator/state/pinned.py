"""Which part of a configuration a state belongs to, and what differs when it is another.

Keys may be changed and the clock run differently between two runs; what decides about the books may not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from alpaca_simulator.config import SimulatorConfig
from alpaca_simulator.state.records import Header, StateError

_DIFFERENCES_SHOWN = 5
_FREE = {"clock", "state", "market_data_stream", "faults"}
_FREE_LIMITS = {"sockets", "updates_per_socket", "requests_per_minute"}
_FREE_KEYS = {"key_id", "secret_key"}


def pinned(config: SimulatorConfig) -> dict[str, Any]:
    """The part of `config` that a state belongs to, as JSON holds it; keys and secrets are not in it."""
    return config.model_dump(mode="json", exclude=_free())


def pinned_config(header: Header) -> SimulatorConfig:
    """The configuration a state was made with, with stand-ins for what it does not hold; raises StateError."""
    stored = dict(header.config)
    stored["accounts"] = [
        {**account, "key_id": f"replay-{number}", "secret_key": "replay"}
        for number, account in enumerate(stored.get("accounts", ()))
    ]
    try:
        return SimulatorConfig.model_validate(stored)
    except ValidationError as error:
        raise StateError("the state was made by a simulator with other settings: use the one that wrote it") from error


def prices_digest(config: SimulatorConfig) -> str | None:
    """A digest of the files that prices are replayed from, None when the seed makes them; raises StateError."""
    if config.market.replay is None:
        return None
    path, digest = config.market.replay.path, hashlib.sha256()
    try:
        for one in sorted(path.iterdir()) if path.is_dir() else [path]:
            if one.is_file():
                digest.update(one.name.encode() + hashlib.sha256(one.read_bytes()).digest())
    except OSError as error:
        raise StateError(f"{path}: {error.strerror or error}") from error
    return digest.hexdigest()


def require_same(header: Header, config: SimulatorConfig) -> None:
    """Raise StateError with what differs unless the state of `header` was made with this seed and configuration."""
    # As values: 100000 and 100000.00 are the same cash.
    before = dict(_flat("", pinned_config(header).model_dump(exclude=_free())))
    now = dict(_flat("", config.model_dump(exclude=_free())))
    differences = [
        f"{name}: {before.get(name, 'nothing')} there, {now.get(name, 'nothing')} here"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]
    if header.prices != prices_digest(config):
        differences.append("market.replay: the files with prices are not the same")
    if not differences:
        return
    shown = "; ".join(differences[:_DIFFERENCES_SHOWN])
    more = f"; and {len(differences) - _DIFFERENCES_SHOWN} more" if len(differences) > _DIFFERENCES_SHOWN else ""
    raise StateError(
        f"the state was made with another configuration ({shown}{more}): "
        "start with that one, or choose another directory"
    )


def _free() -> dict[str, Any]:
    """What may differ between two runs, as pydantic excludes it."""
    free: dict[str, Any] = dict.fromkeys(_FREE & SimulatorConfig.model_fields.keys(), True)
    return free | {"limits": _FREE_LIMITS, "accounts": {"__all__": _FREE_KEYS}}


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Every leaf of a dumped model with its dotted path."""
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _flat(f"{name}.{key}" if name else str(key), part)
    elif isinstance(value, list | tuple) and value:
        for index, part in enumerate(value):
            yield from _flat(f"{name}.{index}", part)
    else:
        yield name, value
