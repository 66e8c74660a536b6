"""A file stops the bot where there is no Kubernetes."""

from pathlib import Path

import pytest

from tradingbot_runtime.control.file import FileControl
from tradingbot_runtime.control.port import ControlPlaneLost
from tradingbot_runtime.core.events import ControlPlaneSeen, KillSeen, PauseSeen


def test_a_file_that_is_not_there_asks_for_nothing(tmp_path: Path) -> None:
    assert FileControl(tmp_path / "none.yaml").read() == [PauseSeen(False), ControlPlaneSeen()]


@pytest.mark.parametrize(
    ("text", "reason"), [("kill: now", "now"), ('{"kill": ""}', ""), ("kill:", ""), ("kill: false", "")]
)
def test_a_kill_with_any_value_is_seen_once(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "control.yaml"
    path.write_text(text)
    control = FileControl(path)
    assert KillSeen(reason, "File") in control.read()
    assert control.read() == [ControlPlaneSeen()]


def test_a_pause_comes_and_goes(tmp_path: Path) -> None:
    path = tmp_path / "control.yaml"
    control = FileControl(path)
    control.read()
    path.write_text("paused: true")
    assert PauseSeen(True) in control.read()
    path.write_text("paused: false")
    assert PauseSeen(False) in control.read()


@pytest.mark.parametrize("text", ["[", "just words", "- a list", "\x00"])
def test_a_file_that_cannot_be_read_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "control.yaml"
    path.write_text(text)
    (event,) = FileControl(path).read()
    assert isinstance(event, ControlPlaneLost)


@pytest.mark.parametrize("text", ["kill", "kill {it", "- kill: now"])
def test_a_kill_written_in_a_hurry_kills(tmp_path: Path, text: str) -> None:
    path = tmp_path / "control.yaml"
    path.write_text(text)
    assert isinstance(FileControl(path).read()[0], KillSeen)


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
