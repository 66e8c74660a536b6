"""A file stops the bot where there is no Kubernetes: at once, and nothing it does for a moment sets the bot going."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradingbot_runtime.control.file import FileControl
from tradingbot_runtime.control.observed import MAX_REQUEST_LENGTH
from tradingbot_runtime.control.port import ControlEvent, ControlPlaneLost
from tradingbot_runtime.core.events import BreakerResetAsked, ControlPlaneSeen, EvaluationAsked, KillSeen, PauseSeen


def control_of(tmp_path: Path, text: str | None = None) -> tuple[FileControl, Path]:
    path = tmp_path / "control.yaml"
    if text is not None:
        path.write_text(text)
    return FileControl(path), path


def settled(control: FileControl) -> list[ControlEvent]:
    """What is said of a file that has not changed for two readings."""
    return [*control.read(), *control.read()]


def test_a_file_that_is_not_there_asks_for_nothing_once_it_was_missing_twice(tmp_path: Path) -> None:
    control, _ = control_of(tmp_path)
    assert control.read() == []
    assert control.read() == [PauseSeen(False), ControlPlaneSeen()]
    assert control.read() == [ControlPlaneSeen()]


@pytest.mark.parametrize(
    ("text", "reason"), [("kill: now", "now"), ('{"kill": ""}', ""), ("kill:", ""), ("kill: false", "")]
)
def test_a_kill_with_any_value_is_seen_at_once_and_once(tmp_path: Path, text: str, reason: str) -> None:
    control, _ = control_of(tmp_path, text)
    assert control.read() == [KillSeen(reason, "File")]
    assert control.read() == [PauseSeen(False), ControlPlaneSeen()]


def test_a_pause_comes_at_once_and_goes_when_that_was_read_twice(tmp_path: Path) -> None:
    control, path = control_of(tmp_path)
    settled(control)
    path.write_text("paused: true")
    assert control.read() == [PauseSeen(True)]
    path.write_text("paused: false")
    assert control.read() == []
    assert control.read() == [PauseSeen(False), ControlPlaneSeen()]


@pytest.mark.parametrize("moment", ["", "paused", "paused: tru", "pau", "{", "kil: x"])
def test_a_paused_file_that_is_half_written_or_away_for_a_moment_lifts_no_pause(tmp_path: Path, moment: str) -> None:
    control, path = control_of(tmp_path, "paused: true")
    assert PauseSeen(True) in settled(control)
    said: list[ControlEvent] = []
    for _ in range(3):
        for vanish in (False, True):
            path.unlink() if vanish else path.write_text(moment)
            said += control.read()
            path.write_text("paused: true")
            said += control.read()
    assert PauseSeen(False) not in said
    assert ControlPlaneSeen() not in said
    assert settled(control)[-1] == ControlPlaneSeen()
    path.unlink()
    assert settled(control) == [PauseSeen(False), ControlPlaneSeen()]


def test_a_file_that_cannot_be_read_in_between_counts_as_no_reading(tmp_path: Path) -> None:
    control, path = control_of(tmp_path, "paused: true")
    settled(control)
    path.unlink()
    assert control.read() == []
    path.mkdir()
    assert isinstance(control.read()[0], ControlPlaneLost)
    path.rmdir()
    assert control.read() == []


def test_a_request_that_is_written_slowly_is_asked_once_and_whole(tmp_path: Path) -> None:
    control, path = control_of(tmp_path)
    settled(control)
    said: list[ControlEvent] = []
    whole = "run-now: monday\nreset-breaker: the feed was wrong\n"
    for length in range(1, len(whole) + 1):
        path.write_text(whole[:length])
        said += control.read()
    said += control.read()
    asked = [event for event in said if isinstance(event, EvaluationAsked | BreakerResetAsked)]
    assert asked == [BreakerResetAsked("the feed was wrong"), EvaluationAsked("monday")]


def test_a_kill_is_seen_in_a_file_that_never_stands_still(tmp_path: Path) -> None:
    control, path = control_of(tmp_path, "paused: true")
    settled(control)
    path.write_text("paused: true\nkill: now")
    assert KillSeen("now", "File") in control.read()


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "just words",
        "- a list",
        "\x00",
        "!!timestamp x: 1",
        "!!float '': 1",
        "[" * 500,
        "a: 2026-99-99",
        "? [1]\n",
    ],
)
def test_a_file_that_cannot_be_read_is_said(tmp_path: Path, text: str) -> None:
    control, _ = control_of(tmp_path, text)
    (event,) = control.read()
    assert isinstance(event, ControlPlaneLost)


@pytest.mark.parametrize(
    "text", ["kill", "kill {it", "- kill: now", "kill: !!timestamp x", "kill: \x00", "[" * 500 + "kill"]
)
def test_a_kill_written_in_a_hurry_kills(tmp_path: Path, text: str) -> None:
    control, _ = control_of(tmp_path, text)
    assert isinstance(control.read()[0], KillSeen)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('kill: "stop \\ud800"', "stop ?"),
        ('kill: "a\\x1b[31m\\nb\\u202e"', "a?[31m b?"),
        ("kill: 2026-11-21", "2026-11-21"),
        ("kill: 7", "7"),
        ("kill: [a, b]", "(list)"),
        ("kill: 0b" + "1" * 40_000, "(int)"),
        ("kill: " + "x" * 60_000, "x" * MAX_REQUEST_LENGTH),
    ],
)
def test_a_kills_reason_can_always_be_written_down(tmp_path: Path, text: str, reason: str) -> None:
    control, _ = control_of(tmp_path, text)
    assert control.read() == [KillSeen(reason, "File")]


def test_a_file_of_lists_within_lists_is_not_written_out(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    control, _ = control_of(tmp_path, "\n".join([*lines, "kill: *a29"]))
    assert control.read() == [KillSeen("(list)", "File")]


def writable(event: ControlEvent) -> bool:
    words = [value for value in vars(event).values() if isinstance(value, str)]
    return all(len(word.encode()) <= 4 * MAX_REQUEST_LENGTH and word.isprintable() for word in words)


TEXTS: list[Callable[[object], str]] = [
    lambda value: json.dumps({"kill": value, "paused": value, "run-now": value}),
    lambda value: f"kill: {value}",
    str,
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(TEXTS), VALUES), max_size=4))
def test_whatever_a_file_held_before_a_kill_is_seen_and_every_word_can_be_kept(
    tmp_path_factory: pytest.TempPathFactory, story: list[tuple[Callable[[object], str], object]]
) -> None:
    control, path = control_of(tmp_path_factory.mktemp("control"))
    for text_of, value in story:
        path.write_text(text_of(value), "utf-8", "surrogatepass")
        for event in [*control.read(), *control.read()]:
            assert writable(event)
    path.write_text('kill: "the last \\udfff word"')
    assert KillSeen("the last ? word", "File") in control.read()


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    (event,) = FileControl(tmp_path).read()
    assert isinstance(event, ControlPlaneLost)


async def test_the_file_is_read_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / "control.yaml"
    seen = []
    async for event in FileControl(path, poll_seconds=0.001).events():
        seen.append(event)
        path.write_text("kill: late")
        if isinstance(event, KillSeen):
            break
    assert seen[-1] == KillSeen("late", "File")
