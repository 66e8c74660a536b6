"""A recording made again on the command line: the same, or the first difference with both sides."""

from pathlib import Path

from typer.testing import CliRunner, Result

from tradingbot_runtime.cli import app
from unit.runtime.test_recording import a_day, recorded


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["replay", *arguments])


def test_what_is_the_same_is_said_with_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    commands = recorded(path, a_day())
    result = run(str(path))
    assert result.exit_code == 0, result.output
    assert f"{len(a_day())} events lead to the same {commands} commands, byte for byte" in result.output


def test_a_difference_is_shown_with_both_sides(tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    recorded(path, a_day())
    path.write_text(path.read_text().replace("target weight 0.2000", "a hunch"))
    result = run(str(path))
    assert result.exit_code == 1
    assert result.stderr.startswith("Differs: ")
    assert "a hunch" in result.stderr and "target weight 0.2000" in result.stderr


def test_what_is_no_recording_is_said(tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    recorded(path, a_day())
    whole = path.read_text()
    for text in ("", "not json\n", whole.replace('"machine"', '"engine"'), whole.replace('"config"', '"cfg"')):
        path.write_text(text)
        result = run(str(path))
        assert (result.exit_code, result.stderr.partition(":")[0]) == (65, "NotARecording"), text[:100]
    path.unlink()
    result = run(str(path))
    assert (result.exit_code, result.stderr.partition(":")[0]) == (65, "RecordingUnreadable")


def test_help_says_what_the_exit_codes_mean() -> None:
    text = CliRunner().invoke(app, ["replay", "--help"], env={"COLUMNS": "200"}).output
    for words in ("--record", "Exit codes: 0", "65"):
        assert words in text
