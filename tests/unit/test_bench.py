"""The benches' bookkeeping: ratios, spread, the table and the file. What is fast is no test's business."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

with warnings.catch_warnings():
    # alpaca-py 0.44 imports the websockets library's deprecated client.
    warnings.simplefilter("ignore", DeprecationWarning)
    import alpaca.trading  # noqa: F401

from bench import __main__ as program
from bench.harness import Bench, Measurement, Scale, in_turns, table
from bench.kill_books import Ended, Told, ending_of
from bench.kill_fleet import Bot, Place, symbol_of
from bench.kill_switch import Killed, milliseconds


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


def told(at: float, event: str, order_id: str, symbol: str = "KAA", left: str | None = None) -> Told:
    return Told(at, event, order_id, symbol, None if left is None else Decimal(left))


def ended(*updates: Told) -> Ended | None:
    return ending_of(updates, frozenset({"one", "two"}), frozenset({"KAA", "KAB"}), since=10.0)


CANCELLED = (told(11, "canceled", "one"), told(12, "canceled", "two", "KAB"))
FLAT = (told(13, "fill", "x", left="0"), told(15, "fill", "y", "KAB", "0"))


def test_a_kill_has_ended_with_the_last_cancel_and_the_last_share() -> None:
    assert ended(*CANCELLED, *FLAT) == Ended(12, 15)
    assert ended(*FLAT, told(11, "canceled", "one"), told(17, "canceled", "two")) == Ended(17, 17)


def test_a_kill_has_not_ended_while_the_broker_has_not_told_of_everything() -> None:
    assert ended(*CANCELLED, FLAT[0]) is None
    assert ended(CANCELLED[0], *FLAT) is None
    assert ended(*CANCELLED, FLAT[0], told(14, "partial_fill", "y", "KAB", "3")) is None


def test_what_was_flat_before_the_kill_or_is_bought_again_after_it_is_not_flat() -> None:
    assert ended(*CANCELLED, told(9, "fill", "x", left="0"), FLAT[1]) is None
    assert ended(*CANCELLED, *FLAT, told(16, "fill", "z", left="10")) is None


def test_others_orders_and_symbols_say_nothing_of_a_kill() -> None:
    others = (told(20, "canceled", "three"), told(21, "fill", "w", "KAC", "5"))
    assert ended(*CANCELLED, *FLAT, *others) == Ended(12, 15)


def test_a_kill_is_counted_from_the_annotation_to_each_word() -> None:
    found = milliseconds(1_772_463_600.0, Ended(1_772_463_600.1, 1_772_463_600.25), "2026-03-02T15:00:00.500Z")
    assert [round(one) for one in (found.cancelled, found.flat, found.reported)] == [100, 250, 500]
    assert isinstance(found, Killed)


def test_no_two_bots_of_an_account_share_a_symbol_and_no_two_bots_an_address() -> None:
    places = [Place("n", name, number) for number, name in enumerate(("lonely", "crowd"))]
    bots = [Bot(place, index, 80) for place in places for index in range(100)]
    for place in places:
        symbols = [symbol for bot in bots if bot.place is place for symbol in bot.symbols]
        assert len(set(symbols)) == len(symbols) == 200
    assert len({address for bot in bots for address in (bot.address, bot.seen_at)}) == 400
    assert symbol_of(0) == "KAA"
