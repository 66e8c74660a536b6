"""What a person asks of a bot reaches its control file whole; for a bot in Kubernetes the kubectl line is printed."""

import shlex
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from tradingbot_runtime.cli import app
from tradingbot_runtime.control.editing import ControlFileError, edit
from tradingbot_runtime.control.file import FileControl
from tradingbot_runtime.core import events as seen

COMMANDS: dict[str, tuple[list[str], dict[str, Any] | str]] = {
    # command -> its arguments, and the field it writes
    "run-now": ([], "run-now"),
    "pause": (["--reason", "earnings"], "paused"),
    "kill": (["--reason", "wrong symbols"], "kill"),
    "acknowledge": (["incident-1"], "acknowledge-incident"),
    "accept-positions": (["--reason", "mine"], "accept-positions"),
    "reset-breaker": (["--reason", "checked"], "reset-breaker"),
}


def run(command: str, *options: str) -> Result:
    return CliRunner().invoke(app, [command, *options])


def written(path: Path) -> dict[str, Any]:
    body = yaml.safe_load(path.read_text())
    assert isinstance(body, dict)
    return body


def heard(path: Path) -> list[seen.Event]:
    """What a running bot makes of the file, once it has read it twice."""
    control = FileControl(path)
    events = [*control.read(), *control.read()]
    return [event for event in events if not isinstance(event, seen.ControlPlaneSeen)]  # type: ignore[misc]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_writes_its_field_and_keeps_the_others(tmp_path: Path, command: str) -> None:
    path = tmp_path / "control.yaml"
    path.write_text("paused: true\nmine: {a: [1, 2]}\n")
    arguments, field = COMMANDS[command]
    result = run(command, *arguments, "--control", f"file:{path}")
    assert result.exit_code == 0, result.output
    body = written(path)
    assert str(field) in body
    assert body["mine"] == {"a": [1, 2]} and body["paused"] is True
    assert body["last-change"]["command"] == command
    assert [one.name for one in tmp_path.iterdir()] == ["control.yaml"]


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("run-now", seen.EvaluationAsked),
        ("pause", seen.PauseSeen),
        ("kill", seen.KillSeen),
        ("acknowledge", seen.IncidentAcknowledged),
        ("accept-positions", seen.PositionsAccepted),
        ("reset-breaker", seen.BreakerResetAsked),
    ],
)
def test_a_running_bot_hears_what_was_written(tmp_path: Path, command: str, kind: type[Any]) -> None:
    path = tmp_path / "control.yaml"
    assert run(command, *COMMANDS[command][0], "--control", f"file:{path}").exit_code == 0
    assert [event for event in heard(path) if isinstance(event, kind)]


def test_each_request_is_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "control.yaml"
    for command in ("run-now", "reset-breaker", "accept-positions"):
        values = []
        for _ in range(3):
            assert run(command, *COMMANDS[command][0], "--control", f"file:{path}").exit_code == 0
            values.append(written(path)[command])
        assert len(set(values)) == 3


def test_resume_takes_the_pause_out_and_leaves_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "control.yaml"
    path.write_text("paused: true\nkill: enough\n")
    assert run("resume", "--control", f"file:{path}").exit_code == 0
    body = written(path)
    assert "paused" not in body and body["kill"] == "enough"


@pytest.mark.parametrize("text", ["a: [", "- a list", "just words", "\x00", "x: 1\n" * 20_000])
def test_a_file_that_cannot_be_read_is_left_as_it_is_but_by_a_kill(tmp_path: Path, text: str) -> None:
    path = tmp_path / "control.yaml"
    path.write_text(text)
    refused = run("pause", "--control", f"file:{path}")
    assert refused.exit_code == 1
    assert "it is as it was" in refused.stderr
    assert path.read_text() == text
    assert run("kill", "--reason", "enough", "--control", f"file:{path}").exit_code == 0
    assert [event for event in heard(path) if isinstance(event, seen.KillSeen)]


def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    result = run("run-now", "--control", f"file:{tmp_path}/nowhere/control.yaml")
    assert result.exit_code == 1
    assert "No such file or directory" in result.stderr


def test_edits_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "control.yaml"

    def one(number: int) -> None:
        edit(path, lambda body: body | {f"field-{number}": number})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(40)))
    assert written(path) == {f"field-{number}": number for number in range(40)}


def test_a_link_stays_a_link_and_its_mode_stays(tmp_path: Path) -> None:
    target, link = tmp_path / "real.yaml", tmp_path / "control.yaml"
    target.write_text("{}")
    target.chmod(0o640)
    link.symlink_to(target)
    assert run("pause", "--control", f"file:{link}").exit_code == 0
    assert link.is_symlink()
    assert written(target)["paused"] is True
    assert target.stat().st_mode & 0o777 == 0o640


@given(text=st.text(max_size=60), reason=st.text(min_size=1, max_size=300))
@settings(max_examples=60)
def test_any_reason_over_any_file_is_a_kill(tmp_path_factory: pytest.TempPathFactory, text: str, reason: str) -> None:
    path = tmp_path_factory.mktemp("any") / "control.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    edit(path, lambda body: body | {"kill": " ".join(reason.split())}, whatever_it_holds=True)
    kills = [event for event in heard(path) if isinstance(event, seen.KillSeen)]
    assert len(kills) == 1


def test_a_change_that_fails_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "control.yaml"
    path.write_text("paused: true\n")

    def refuse(body: dict[str, Any]) -> dict[str, Any]:
        raise ControlFileError("no")

    with pytest.raises(ControlFileError):
        edit(path, refuse)
    assert path.read_text() == "paused: true\n"


@pytest.mark.parametrize(
    ("command", "arguments", "annotation"),
    [
        ("pause", ["--reason", "it's earnings"], "tradingbots.dev/pause=it's earnings"),
        ("resume", [], "tradingbots.dev/pause-"),
        ("kill", ["--reason", "enough"], "tradingbots.dev/kill=enough"),
        ("acknowledge", ["incident-1"], "tradingbots.dev/acknowledge-incident=incident-1"),
        ("run-now", [], "tradingbots.dev/run-now=20"),
        ("reset-breaker", ["--reason", "checked"], "tradingbots.dev/reset-breaker=20"),
        ("accept-positions", ["--reason", "mine"], "tradingbots.dev/accept-positions=20"),
    ],
)
def test_for_kubernetes_the_kubectl_line_is_printed(command: str, arguments: list[str], annotation: str) -> None:
    result = run(command, *arguments, "--bot", "demo/momentum")
    assert result.exit_code == 0, result.output
    words = shlex.split(result.stdout)
    assert words[:4] == ["kubectl", "annotate", "tradingbot", "momentum"]
    assert words[4].startswith(annotation)
    assert words[5:] == ["--overwrite", "--namespace", "demo"]


@pytest.mark.parametrize("command", [*COMMANDS, "resume"])
def test_one_bot_must_be_named(command: str, tmp_path: Path) -> None:
    arguments = COMMANDS.get(command, ([], ""))[0]
    for options in (
        [],
        ["--bot", "x", "--control", f"file:{tmp_path}/c"],
        ["--control", "c.yaml"],
        ["--control", "file:"],
    ):
        assert run(command, *arguments, *options).exit_code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [*COMMANDS, "resume"])
def test_help_says_what_the_exit_codes_mean(command: str) -> None:
    text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
    for words in ("--control", "--bot", "Exit codes: 0", "Try it:"):
        assert words in text
