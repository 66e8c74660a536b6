"""The folder that a validation leaves: what went in, what came out, and the hash of each file.

The same inputs leave the same bytes: nothing here knows the time, the machine or the user. Must never overwrite another
result, nor leave half a folder under its final name.
"""

import hashlib
import importlib.metadata
import inspect
import json
import os
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import tradingbot_research
import tradingbot_runtime.strategies
from tradingbot_api import Artifact
from tradingbot_runtime.strategies.contract import Strategy

if TYPE_CHECKING:
    from tradingbot_research.market import Bars

MANIFEST: Final = "manifest.json"
LIBRARIES: Final = ("numpy", "pandas", "pyarrow", "pydantic", "tradingbot-operator")


class NotReproduced(Exception):
    """The folder of the same inputs is there, and holds something else."""


@dataclass(frozen=True)
class Inputs:
    """All that a result depends on."""

    strategy: str
    parameters: Mapping[str, Any]
    timeframe: str
    rules: object
    plan: object
    data: Mapping[str, Any]
    code_digest: str
    versions: Mapping[str, str]

    @classmethod
    def of(
        cls,
        strategy: Strategy[Any],
        bars: "Bars",
        timeframe: str,
        rules: object,
        plan: object,
        files: Sequence[str] = (),
    ) -> "Inputs":
        """Inputs with the fingerprint of the bars, the digest of the code and the versions of what runs it."""
        return cls(
            strategy=strategy.name,
            parameters=strategy.parameters.model_dump(mode="json"),
            timeframe=timeframe,
            rules=rules,
            plan=plan,
            data={
                "fingerprint": bars.fingerprint,
                "symbols": list(bars.symbols),
                "bars": len(bars),
                "first": str(bars.time[0]),
                "last": str(bars.time[-1]),
                "files": list(files),
            },
            code_digest=code_digest(strategy),
            versions={
                "python": platform.python_version(),
                **{one: importlib.metadata.version(one) for one in LIBRARIES},
            },
        )

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        found: dict[str, Any] = plain(self)
        return found

    @property
    def digest(self) -> str:
        """sha256 over all of it."""
        return hashlib.sha256(canonical(self.document())).hexdigest()

    @property
    def parameters_digest(self) -> str:
        """sha256 over strategy, parameters, symbols and timeframe."""
        document = {
            "strategy": {"name": self.strategy, "parameters": plain(self.parameters)},
            "symbols": sorted(self.data["symbols"]),
            "timeframe": self.timeframe,
        }
        return hashlib.sha256(canonical(document)).hexdigest()


@dataclass(frozen=True)
class Written:
    """A folder that was written, read again, and found to be what was written."""

    folder: Path
    digest: str
    """sha256 of the manifest, which names the hash of each other file."""
    artifacts: tuple[Artifact, ...]


def plain(value: object) -> Any:
    """A value as what JSON knows. Raises TypeError for what it cannot hold."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, Decimal):
        return str(value)
    if hasattr(value, "item"):
        return value.item()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def canonical(document: object) -> bytes:
    """JSON with sorted keys and without spaces; NaN is refused."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def code_digest(strategy: Strategy[Any]) -> str:
    """sha256 over the sources that a result comes from: this package, built-in strategies, the strategy's own."""
    files: list[Path] = []
    for package in (tradingbot_research, tradingbot_runtime.strategies):
        files += Path(str(package.__file__)).parent.glob("*.py")
    found = {f"{one.parent.name}/{one.name}": one.read_bytes() for one in files}
    own = inspect.getsourcefile(type(strategy))
    if own is not None and Path(own).exists():
        found[f"strategy/{Path(own).name}"] = Path(own).read_bytes()
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(f"{name}\0{len(found[name])}\0".encode() + found[name])
    return digest.hexdigest()


def write_folder(
    parent: Path, inputs: Inputs, results: Mapping[str, Any], files: Mapping[str, Callable[[Path], None]]
) -> Written:
    """Writes `parent`/STRATEGY-DIGEST: the files, each by its function, and the manifest with their hashes.

    Written aside and renamed, so that it is there in whole or not at all. A folder that is there already, of the same
    inputs, must hold the same. Raises NotReproduced, OSError.
    """
    folder = parent / f"{inputs.strategy}-{inputs.digest[:12]}"
    aside = parent / f".{folder.name}.{os.getpid()}"
    parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        for name, write in files.items():
            write(aside / name)
        listed = [{"name": name, "sha256": sha256_of(aside / name)} for name in sorted(files)]
        manifest = {
            "kind": "ValidationArtifact",
            "inputs": inputs.document(),
            "results": plain(results),
            "files": listed,
        }
        (aside / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True, allow_nan=False) + "\n")
        _sync(aside)
        digest = sha256_of(aside / MANIFEST)
        if folder.exists():
            if not (folder / MANIFEST).exists() or sha256_of(folder / MANIFEST) != digest:
                raise NotReproduced(f"{folder} is of the same inputs and holds another result: move it away and look")
        else:
            aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    artifacts = [Artifact(name=one["name"], sha256=one["sha256"]) for one in listed]
    return Written(folder, digest, (Artifact(name=MANIFEST, sha256=digest), *artifacts))


def verified(written: Written) -> bool:
    """Reads every file again, and says whether each has its hash."""
    return all(
        (written.folder / one.name).is_file() and sha256_of(written.folder / one.name) == one.sha256
        for one in written.artifacts
    )


def sha256_of(path: Path) -> str:
    """sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
