"""What a command is given: a config file, the broker's keys, an address. Raises WrongConfig that says what to write."""

import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from tradingbot_runtime.commands.endings import WrongConfig

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

    from tradingbot_api import RuntimeConfig
    from tradingbot_runtime.strategies.contract import Strategy

    Document = TypeVar("Document", bound=BaseModel)

MAX_CONFIG_BYTES: Final = 1024 * 1024
CONFIG_DIGEST_VARIABLE: Final = "TRADINGBOT_CONFIG_DIGEST"
"""As in tradingbot_api.group, which takes too long to import for a --help."""
CONFIG_AWAITED_SECONDS: Final = 90.0
"""A kubelet brings a changed ConfigMap to a pod within a minute or so."""
CONFIG_LOOKED_AT_EVERY_SECONDS: Final = 0.5

Config = Annotated[Path, typer.Option(help="The bot's config, a RuntimeConfig in YAML.", dir_okay=False)]


@dataclass(frozen=True)
class Keys:
    """The broker's keys. Never shown."""

    key_id: str = field(repr=False)
    secret_key: str = field(repr=False)


@dataclass(frozen=True)
class Address:
    """Where to listen."""

    host: str
    port: int


def read_config(path: Path) -> "RuntimeConfig":
    """The config in a YAML file. Raises WrongConfig with every field that is wrong."""
    from tradingbot_api import RuntimeConfig

    return read_document(path, RuntimeConfig)


def read_document(path: Path, model: "type[Document]") -> "Document":
    """A YAML file as a model of the config, or of a part of it. Raises WrongConfig."""
    from pydantic import ValidationError

    document = mapping_in(_as_made(path), path, "RuntimeConfig: write fields such as `bot:` and `symbols:`")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise WrongConfig("InvalidConfig", f"{path}: {wrong_fields(error)}") from error


def mapping_in(text: bytes, path: Path, kind: str) -> dict[str, Any]:
    """The fields of a YAML file. `kind`: what it should hold, in words. Raises WrongConfig."""
    import yaml

    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise WrongConfig("InvalidYAML", f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise WrongConfig("InvalidConfig", f"{path} holds no {kind}")
    return document


def _as_made(path: Path) -> bytes:
    """The file, once it is the one that the environment names. Where it names one, the operator made it, and a pod may
    see the one before for a moment; any other is somebody else's, and could name another broker.
    """
    wanted, deadline = os.environ.get(CONFIG_DIGEST_VARIABLE), time.monotonic() + CONFIG_AWAITED_SECONDS
    while True:
        text = bytes_of(path)
        if not wanted or f"sha256:{hashlib.sha256(text).hexdigest()}" == wanted:
            return text
        if time.monotonic() >= deadline:
            raise WrongConfig(
                "ConfigNotAsMade",
                f"{path} is not the config that the operator made ({wanted}): look who wrote the ConfigMap, and"
                " delete it; the operator makes it anew",
            )
        time.sleep(CONFIG_LOOKED_AT_EVERY_SECONDS)


def bytes_of(path: Path) -> bytes:
    """A file that is no larger than a config may be. Raises WrongConfig."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise WrongConfig("ConfigUnreadable", f"{path} cannot be read: {error.strerror}") from error
    if len(text) > MAX_CONFIG_BYTES:
        raise WrongConfig("ConfigUnreadable", f"{path} is larger than {MAX_CONFIG_BYTES} bytes")
    return text


def load_strategy(config: "RuntimeConfig") -> "Strategy[Any]":
    """The config's strategy. Raises WrongConfig."""
    from tradingbot_runtime.strategies.registry import load

    with strategy_refusals():
        return load(config.strategy.name, config.strategy.parameters, config.symbols)


@contextmanager
def strategy_refusals() -> Iterator[None]:
    """What making a strategy raises of its name or its parameters is WrongConfig."""
    from tradingbot_runtime.strategies.registry import InvalidStrategyParameters, UnknownStrategy

    try:
        yield
    except (UnknownStrategy, InvalidStrategyParameters) as error:
        raise WrongConfig(type(error).__name__, str(error)) from error


def keys_in(environment: Mapping[str, str]) -> Keys:
    """The broker's keys from the environment. Raises WrongConfig."""
    names = ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY")
    keys = [environment.get(name, "").strip() for name in names]
    missing = [name for name, key in zip(names, keys, strict=True) if not key]
    if missing:
        raise WrongConfig(
            "MissingCredentials",
            f"{' and '.join(missing)} not set: put both keys into the account's Secret, or into the environment",
        )
    return Keys(keys[0], keys[1])


def address_of(text: str) -> Address:
    """HOST:PORT. Raises WrongConfig."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise WrongConfig("InvalidOptions", f"--listen {text}: write HOST:PORT, such as 127.0.0.1:8080")
    return Address(host.strip("[]"), int(port))


def wrong_fields(error: "ValidationError") -> str:
    """Every field that is wrong, and why, in one line."""
    return "; ".join(each_wrong_field(error))


def each_wrong_field(error: "ValidationError") -> list[str]:
    """FIELD: WHY of every field that is wrong."""
    return [
        f"{'.'.join(str(part) for part in problem['loc']) or 'config'}: {problem['msg']}"
        for problem in error.errors(include_url=False)
    ]
