"""The mirrors beside the state: which lines go where, how far they grow, and that a failure stops nothing."""

import json
from pathlib import Path

import pytest

from builders import at
from tradingbot_runtime.core.commands import Journal
from tradingbot_runtime.ops import mirror
from tradingbot_runtime.ops.mirror import Mirror


def lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_line_goes_where_it_belongs(tmp_path: Path) -> None:
    entries = [
        Journal("slo_breach", {"name": "broker_unreachable"}),
        Journal("incident_resolved", {"incident": "1"}),
        Journal("order", {"state": "filled"}),
        Journal("session_progress"),
    ]
    Mirror(tmp_path).write(entries, at(1))
    assert [line["kind"] for line in lines(tmp_path / "slo_events.jsonl")] == ["slo_breach"]
    assert [line["kind"] for line in lines(tmp_path / "incident_events.jsonl")] == ["slo_breach", "incident_resolved"]
    assert [line["kind"] for line in lines(tmp_path / "audit.jsonl")] == ["slo_breach", "incident_resolved", "order"]
    assert lines(tmp_path / "audit.jsonl")[2]["state"] == "filled"
    assert lines(tmp_path / "audit.jsonl")[0]["at"] == "2026-11-21T09:00:01+00:00"


def test_a_file_grows_so_far_and_then_a_new_one_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "LARGEST_FILE_BYTES", 400)
    writer = Mirror(tmp_path)
    for number in range(60):
        writer.write([Journal("order", {"number": str(number)})], at(number))
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["audit.jsonl", *(f"audit.jsonl.{age}" for age in range(1, 5))]
    assert all(path.stat().st_size <= 400 for path in tmp_path.iterdir())
    assert lines(tmp_path / "audit.jsonl")[-1]["number"] == "59"


def test_a_mirror_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    Mirror(tmp_path / "gone").write([Journal("order", {})], at())
