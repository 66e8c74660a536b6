"""Bars on disk come back as they were kept or not at all, whatever happened to the files or who else was there."""

from __future__ import annotations

import fcntl
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tradingbot_research.bars_cache import BarsCache, CacheUnusable, Damaged, Series, Span, usual_folder
from unit.research.markets import a_market

FRAME = a_market(60, seed=4).frames()["S00"]
AAPL = Series("simulator http://127.0.0.1:8080", "iex", "split", "1Day", "AAPL")
NOW = datetime(2015, 4, 1, tzinfo=UTC)
SPAN = Span(NOW - timedelta(days=90), NOW, NOW, NOW)


class Ticks:
    """A clock that is a second later each time."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def kept_in(folder: Path, *symbols: str, frame: pd.DataFrame = FRAME, **options: object) -> BarsCache:
    cache = BarsCache(folder, used_at=Ticks(), **options)  # type: ignore[arg-type]
    for symbol in symbols or ("AAPL",):
        assert cache.store(replace(AAPL, symbol=symbol), frame, SPAN)
    return cache


def files_in(folder: Path, ending: str) -> list[Path]:
    return sorted(folder.rglob(f"*{ending}"))


def test_what_is_kept_comes_back_bit_for_bit(tmp_path: Path) -> None:
    found = kept_in(tmp_path).load(AAPL)
    assert found is not None
    pd.testing.assert_frame_equal(found.frame, FRAME, check_exact=True, check_freq=False)
    assert (found.manifest.bars, found.manifest.complete_to, found.manifest.whole_at) == (60, NOW, NOW)


@pytest.mark.parametrize(
    "other",
    [{"feed": "sip"}, {"adjustment": "all"}, {"timeframe": "1Hour"}, {"symbol": "AAP"}, {"source": "alpaca https://d"}],
    ids=lambda other: next(iter(other)),
)
def test_other_bars_are_others(tmp_path: Path, other: dict[str, str]) -> None:
    assert kept_in(tmp_path).load(replace(AAPL, **other)) is None


@given(name=st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12))
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    place = Series(name, name, name, name, name).place
    assert not place.is_absolute()
    assert len(place.parts) == 5
    assert not {"..", "."} & set(place.parts)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_byte_that_changed_or_is_gone_is_seen(tmp_path: Path, data: st.DataObject) -> None:
    cache = kept_in(tmp_path)
    path = data.draw(st.sampled_from([*files_in(tmp_path, ".parquet"), *files_in(tmp_path, ".json")]))
    content = path.read_bytes()
    place = data.draw(st.integers(0, len(content) - 2))
    if data.draw(st.booleans(), label="truncated"):
        path.write_bytes(content[:place])
    else:
        changed = content[place] ^ data.draw(st.integers(1, 255))
        path.write_bytes(content[:place] + bytes([changed]) + content[place + 1 :])
    with pytest.raises(Damaged):
        cache.load(AAPL)
    assert [bool(wrong) for _, wrong in cache.verify()] == [True]


def test_a_file_that_is_gone_is_seen(tmp_path: Path) -> None:
    cache = kept_in(tmp_path)
    (file,) = files_in(tmp_path, ".parquet")
    file.unlink()
    with pytest.raises(Damaged, match="gone"):
        cache.load(AAPL)


def test_the_manifest_of_another_series_is_not_believed(tmp_path: Path) -> None:
    cache = kept_in(tmp_path, "AAPL", "MSFT")
    mine, other = files_in(tmp_path, ".json")
    mine.write_bytes(other.read_bytes())
    with pytest.raises(Damaged, match="another series"):
        cache.load(AAPL)


def test_bars_with_a_defect_are_not_kept(tmp_path: Path) -> None:
    cache = BarsCache(tmp_path)
    assert not cache.store(AAPL, FRAME.assign(low=-1.0), SPAN)
    assert not cache.store(AAPL, FRAME.iloc[:0], SPAN)
    assert cache.load(AAPL) is None


def test_a_newer_series_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    cache = kept_in(tmp_path)
    assert cache.store(AAPL, FRAME * 2, SPAN)
    found = cache.load(AAPL)
    assert found is not None
    assert found.frame["close"].iloc[0] == 2 * FRAME["close"].iloc[0]
    assert len(files_in(tmp_path, ".parquet")) == 1


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    cache = kept_in(tmp_path, "A", "B", "C")
    assert cache.load(replace(AAPL, symbol="A")) is not None
    size = files_in(tmp_path, ".parquet")[0].stat().st_size
    assert BarsCache(tmp_path, most_bytes=3 * size).trim() == []
    assert BarsCache(tmp_path, most_bytes=2 * size).trim() == ["B"]
    assert [path.stem for path in files_in(tmp_path, ".json")] == ["A", "C"]
    assert len(files_in(tmp_path, ".parquet")) == 2


def test_what_a_killed_process_left_is_swept_up(tmp_path: Path) -> None:
    cache = kept_in(tmp_path)
    (file,), (manifest,) = files_in(tmp_path, ".parquet"), files_in(tmp_path, ".json")
    file.with_name("AAPL.0123456789ab.parquet").write_bytes(b"named by nobody")
    manifest.with_name(f"{manifest.name}.77.tmp").write_bytes(b"half a manif")
    cache.trim()
    assert files_in(tmp_path, ".parquet") == [file]
    assert files_in(tmp_path, ".tmp") == []
    assert cache.load(AAPL) is not None


def test_clearing_takes_nothing_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "savings.parquet").write_text("mine")
    assert kept_in(tmp_path, "A", "B").clear() == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["CACHEDIR.TAG", "lock", "savings.parquet"]
    assert BarsCache(tmp_path).clear() == 0


def test_who_finds_it_held_goes_without_it(tmp_path: Path) -> None:
    cache = kept_in(tmp_path, wait_seconds=0.1)
    with (tmp_path / "lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(CacheUnusable, match="another process has held it"):
            cache.load(AAPL)
    assert cache.load(AAPL) is not None


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(CacheUnusable, match="file"):
        BarsCache(tmp_path / "file" / "cache").load(AAPL)


def test_many_at_once_never_see_half_of_anything(tmp_path: Path) -> None:
    frames = [FRAME * factor for factor in (1, 2, 3)]
    wrong: list[object] = []

    def work(mine: pd.DataFrame) -> None:
        cache = BarsCache(tmp_path)
        for _ in range(10):
            try:
                cache.store(AAPL, mine, SPAN)
                found = cache.load(AAPL)
                cache.trim()
            except Exception as error:
                wrong.append(error)
                return
            if found is None or not any(found.frame.equals(one) for one in frames):
                wrong.append(found)

    # Each opens the lock by itself, which the kernel tells apart as it does processes.
    threads = [threading.Thread(target=work, args=(frame,)) for frame in frames]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []
    assert len(files_in(tmp_path, ".parquet")) == 1


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"XDG_CACHE_HOME": "/caches", "HOME": "/h"}, "/caches/tradingbot"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/tradingbot"),
        ({"HOME": "/h"}, "/h/.cache/tradingbot"),
        ({}, None),
        ({"HOME": "/h", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, None),
    ],
    ids=["told", "a relative one is ignored", "usual", "nobody's", "in a pod"],
)
def test_a_cache_is_where_caches_belong_and_in_a_pod_nowhere(environment: dict[str, str], folder: str | None) -> None:
    assert usual_folder(environment) == (None if folder is None else Path(folder))
