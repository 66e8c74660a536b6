"""The benches' bookkeeping: ratios, spread, the table and the file. What is fast is no test's business."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

with warnings.catch_warnings():
    # alpaca-py 0.44 imports the websockets library's deprecated client.
    warnings.simplefilter("ignore", DeprecationWarning)
    import alpaca.trading  # noqa: F401

from bench import __main__ as program
from bench.harness import Bench, Measurement, Scale, in_turns, table


def counted(measured: list[str], name: str, value: float) -> float:
    measured.append(name)
    return value


def sound(scale: Scale) -> Iterator[Measurement]:
    yield in_turns(scale, "orders", "orders/s", lambda: 50.0, "a dict", lambda: 100.0)


def broken(_scale: Scale) -> Iterator[Measurement]:
    yield Measurement("before it broke", "s", (1.0,))
    raise RuntimeError("no such server")


@pytest.fixture
def benches(monkeypatch: pytest.MonkeyPatch) -> None:
    found = (
        Bench("sound", "one that runs", 1, sound, full_adds="an hour"),
        Bench("broken", "one that fails", 1, broken),
    )
    monkeypatch.setattr(program, "BENCHES", found)


def test_ours_and_the_bare_one_are_measured_in_turns() -> None:
    order: list[str] = []
    in_turns(Scale(2), "x", "s", lambda: counted(order, "ours", 1), "bare", lambda: counted(order, "bare", 1))
    assert order == ["bare", "ours", "bare", "ours"]


def test_a_ratio_is_the_middle_of_the_ratios_of_pairs() -> None:
    assert Measurement("x", "s", (1.0, 8.0, 30.0), "bare", (1.0, 4.0, 10.0)).ratio == 2.0
    assert Measurement("x", "s", (1.0,)).ratio is None


def test_the_table_says_what_stands_beside_each_figure() -> None:
    bench = Bench("sound", "one that runs", 1, sound)
    text = table([(bench, list(sound(Scale(3))))])
    assert "sound: one that runs" in text
    assert "0.5 x a dict" in text


@pytest.mark.usefixtures("benches")
def test_one_that_fails_is_named_and_keeps_nobody_from_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "bench.json"
    assert program.main(["--repeats", "2", "--output", str(output)]) == 1
    assert "did not run: broken" in capsys.readouterr().err
    written = json.loads(output.read_text())
    assert written["benches"]["sound"][0]["samples"] == [50.0, 50.0]
    assert [one["what"] for one in written["benches"]["broken"]] == ["before it broke"]
    assert written["machine"]["cores"] >= 1
    assert "node" not in written["machine"]


@pytest.mark.usefixtures("benches")
def test_one_can_be_asked_for_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--only", "sound"]) == 0
    assert "broken" not in capsys.readouterr().out


@pytest.mark.usefixtures("benches")
def test_the_list_says_what_there_is_and_how_long_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--list"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("sound")
    assert "--full adds an hour" in first
    assert second.startswith("broken")


def test_what_does_not_exist_cannot_be_asked_for() -> None:
    with pytest.raises(SystemExit):
        program.main(["--only", "nothing"])


def test_every_bench_has_a_name_of_its_own() -> None:
    names = [bench.name for bench in program.BENCHES]
    assert len(set(names)) == len(names)
