"""Bars of a broker kept on disk: one Parquet file for each series, with a manifest that says what it holds.

Must never give what is not byte for byte what was kept, nor leave half a file under its final name. What is lost here
is only asked for again.
"""

import fcntl
import hashlib
import io
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal
from urllib.parse import quote

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from tradingbot_research.artifact import canonical
from tradingbot_research.market import FIELDS
from tradingbot_runtime.core.quality import defect

if TYPE_CHECKING:
    import pandas as pd

MOST_BYTES: Final = 4 * 1024**3
"""Of all series together; the one that was used longest ago goes first."""
MOST_BYTES_OF_ONE: Final = 512 * 1024**2
WAIT_SECONDS: Final = 10.0
TAG: Final = "CACHEDIR.TAG"
_TAGGED: Final = (
    "Signature: 8a477f597d28d172789f06886806bc55\n# Bars that can be asked for again: leave out of backups.\n"
)
_SERIES: Final = "bars-1"
_TIME: Final = "time"
_RETRY_SECONDS: Final = 0.05


class CacheUnusable(Exception):
    """The folder cannot be read, written or locked: go without it."""


class Damaged(Exception):
    """What is kept of a series is not what was written: ask for it again."""


@dataclass(frozen=True)
class Series:
    """What makes bars the same bars: who says so, of what, and how adjusted."""

    source: str
    """Broker and address of its market data."""
    feed: str
    adjustment: str
    timeframe: str
    symbol: str

    @property
    def place(self) -> Path:
        """Its manifest, within the cache; no part of it is a path of its own."""
        parts = [quote(part, safe="") for part in (self.source, self.feed, self.adjustment, self.timeframe)]
        folders = [f"_{part}" if part.startswith(".") else part for part in parts]
        return Path(*folders, f"{quote(self.symbol, safe='')}.json")


class Manifest(BaseModel):
    """What a file holds. All times are the broker's, UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    series: Series
    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.%~-]{1,200}\.[0-9a-f]{12}\.parquet$")]
    """Beside the manifest."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of the file."""
    size_bytes: Annotated[int, Field(ge=1, le=MOST_BYTES_OF_ONE)]
    bars: Annotated[int, Field(ge=1)]
    covered_from: AwareDatetime
    """The file has every bar that the broker had from here ..."""
    complete_to: AwareDatetime
    """... to here, without it."""
    asked_at: AwareDatetime
    """When the broker was last asked."""
    whole_at: AwareDatetime
    """When all of it was last read anew."""


@dataclass(frozen=True)
class Span:
    """Since when, until when and when asked: what a manifest says beside the bars."""

    covered_from: datetime
    complete_to: datetime
    asked_at: datetime
    whole_at: datetime


@dataclass(frozen=True)
class Kept:
    """A series as it was kept, its checksum found right."""

    manifest: Manifest
    frame: "pd.DataFrame"
    """Columns open, high, low, close, volume; the index is each bar's beginning, UTC, in nanoseconds."""


class BarsCache:
    """One folder. Several processes may use it at once: each look and each change is under one lock."""

    def __init__(
        self,
        folder: Path,
        *,
        most_bytes: int = MOST_BYTES,
        wait_seconds: float = WAIT_SECONDS,
        used_at: Callable[[], float] = time.time,
    ) -> None:
        """`used_at`: the machine's time, for nothing but which series was used longest ago."""
        self.folder = folder
        self._most_bytes, self._wait_seconds, self._used_at = most_bytes, wait_seconds, used_at

    def load(self, series: Series) -> Kept | None:
        """A series, or None where there is none. Raises Damaged, CacheUnusable."""
        path = self._root / series.place
        with self._locked():
            if not path.exists():
                return None
            manifest = _manifest(path)
            if manifest.series != series:
                raise Damaged("the manifest is of another series")
            frame = _frame(_verified(path, manifest), manifest)
            os.utime(path, (self._used_at(), self._used_at()))
        return Kept(manifest, frame)

    def store(self, series: Series, frame: "pd.DataFrame", span: Span) -> bool:
        """Keeps a series in place of what was kept of it; False where it has a defect, is empty or too large.

        The file is there before the manifest names it, and the one before it goes after. Raises CacheUnusable.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        frame = in_nanoseconds(frame)
        if not len(frame) or defect(frame) is not None:
            return False
        columns = {name: pa.array(frame[name].to_numpy(dtype=float)) for name in FIELDS}
        times = pa.array(frame.index.to_numpy(dtype="datetime64[ns]"), type=pa.timestamp("ns", tz="UTC"))
        buffer = io.BytesIO()
        pq.write_table(pa.table({_TIME: times, **columns}), buffer, compression="zstd", store_schema=False)
        content = buffer.getvalue()
        if len(content) > MOST_BYTES_OF_ONE:
            return False
        found = hashlib.sha256(content).hexdigest()
        path = self._root / series.place
        manifest = Manifest(
            series=series,
            file=f"{path.stem}.{found[:12]}.parquet",
            sha256=found,
            size_bytes=len(content),
            bars=len(frame),
            **asdict(span),
        )
        with self._locked():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            before = _named(path)
            _write(path.with_name(manifest.file), content)
            _write(path, canonical(_Sealed.of(manifest).model_dump(mode="json")) + b"\n")
            os.utime(path, (self._used_at(), self._used_at()))
            if before is not None and before != manifest.file:
                path.with_name(before).unlink(missing_ok=True)
        return True

    def trim(self) -> list[str]:
        """Removes what a killed process left, and series used longest ago until the rest fits; gives their symbols."""
        removed = []
        with self._locked():
            for path in self._root.rglob("*.tmp"):
                path.unlink(missing_ok=True)
            named = {path: path.with_name(name) for path in self._manifests() if (name := _named(path)) is not None}
            files = set(named.values())
            for path in self._root.rglob("*.parquet"):
                if path not in files:
                    path.unlink(missing_ok=True)
            by_use = sorted(named, key=lambda path: path.stat().st_mtime)
            sizes = {path: file.stat().st_size if file.exists() else 0 for path, file in named.items()}
            total = sum(sizes.values())
            for path in by_use[:-1]:
                if total <= self._most_bytes:
                    break
                path.unlink()
                named[path].unlink(missing_ok=True)
                total -= sizes[path]
                removed.append(path.stem)
        return removed

    def verify(self) -> Iterator[tuple[str, str]]:
        """Every series that is kept, and what is wrong with it; nothing: an empty word. Raises CacheUnusable."""
        with self._locked():
            for path in sorted(self._manifests()):
                name = str(path.relative_to(self._root).with_suffix(""))
                try:
                    manifest = _manifest(path)
                    _frame(_verified(path, manifest), manifest)
                except Damaged as error:
                    yield name, str(error)
                else:
                    yield name, ""

    def clear(self) -> int:
        """Removes every series, and nothing else that may lie in the folder; gives how many there were."""
        with self._locked():
            count = len(list(self._manifests()))
            if self._root.exists():
                shutil.rmtree(self._root)
        return count

    @property
    def _root(self) -> Path:
        return self.folder / _SERIES

    def _manifests(self) -> Iterator[Path]:
        return self._root.rglob("*.json")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._wait(descriptor)
                if not (self.folder / TAG).exists():
                    _write(self.folder / TAG, _TAGGED.encode())
                yield
            finally:
                os.close(descriptor)
        except OSError as error:
            raise CacheUnusable(f"{error.filename or self.folder}: {error.strerror}") from error

    def _wait(self, descriptor: int) -> None:
        deadline = time.monotonic() + self._wait_seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise CacheUnusable(
                        f"{self.folder}: another process has held it for {self._wait_seconds:g} s"
                    ) from None
                time.sleep(_RETRY_SECONDS)


def usual_folder(environment: Mapping[str, str]) -> Path | None:
    """Where a cache of this user belongs (XDG base directories); None in a pod, whose disk goes with it."""
    if "KUBERNETES_SERVICE_HOST" in environment:
        return None
    caches = environment.get("XDG_CACHE_HOME", "")
    if not caches.startswith("/"):  # the specification: a relative path is ignored
        home = environment.get("HOME", "")
        if not home.startswith("/"):
            return None
        caches = f"{home}/.cache"
    return Path(caches) / "tradingbot"


def in_nanoseconds(frame: "pd.DataFrame") -> "pd.DataFrame":
    """The same bars, their times in the one unit in which series are compared and kept."""
    import pandas as pd

    return frame.set_axis(pd.DatetimeIndex(frame.index).tz_convert("UTC").as_unit("ns").rename(None), axis=0)


class _Sealed(BaseModel):
    manifest: Manifest
    sha256: str

    @classmethod
    def of(cls, manifest: Manifest) -> "_Sealed":
        return cls(manifest=manifest, sha256=hashlib.sha256(canonical(manifest.model_dump(mode="json"))).hexdigest())


def _manifest(path: Path) -> Manifest:
    try:
        sealed = _Sealed.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        raise Damaged("its manifest cannot be read") from error
    if sealed != _Sealed.of(sealed.manifest):
        raise Damaged("its manifest's checksum differs")
    return sealed.manifest


def _named(path: Path) -> str | None:
    """The file that a manifest names; None where it cannot be believed, and it is then removed."""
    try:
        return _manifest(path).file
    except Damaged:
        path.unlink(missing_ok=True)
        return None


def _verified(path: Path, manifest: Manifest) -> bytes:
    file = path.with_name(manifest.file)
    try:
        if file.stat().st_size != manifest.size_bytes:
            raise Damaged(f"{file.stat().st_size} bytes instead of {manifest.size_bytes}")
        content = file.read_bytes()
    except FileNotFoundError as error:
        raise Damaged("its file is gone") from error
    if hashlib.sha256(content).hexdigest() != manifest.sha256:
        raise Damaged("the file's checksum differs")
    return content


def _frame(content: bytes, manifest: Manifest) -> "pd.DataFrame":
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(pa.BufferReader(content))
    index = pd.DatetimeIndex(table[_TIME].to_numpy(), tz="UTC").as_unit("ns")
    frame = pd.DataFrame({name: table[name].to_numpy() for name in FIELDS}, index=index)
    if len(frame) != manifest.bars or defect(frame) is not None:
        raise Damaged("it holds other bars than its manifest says")
    return frame


def _write(path: Path, content: bytes) -> None:
    """In whole or not at all, also when the machine loses its power."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
