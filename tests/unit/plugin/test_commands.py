"""The command line as a whole: help, options that make no sense, completion, log lines, and waiting."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from kubectl_tradingbot.cli import app
from kubectl_tradingbot.completion import SCRIPTS, Shell, commands_of, offers
from kubectl_tradingbot.errors import RefusedError, UnreachableError, UsageError
from kubectl_tradingbot.kubectl import ACCOUNTS, BOTS, EVIDENCE, Scope
from kubectl_tradingbot.log_lines import pretty
from kubectl_tradingbot.waiting import StoppedWaitingError, wait

ROOT = Path(__file__).parents[3]
COMMANDS = commands_of(app)
PAGE = (ROOT / "docs/kubectl-tradingbot.md").read_text(encoding="utf-8")
NAMES = {BOTS: ["momentum", "mean"], ACCOUNTS: ["sim"], EVIDENCE: ["e-1"], "namespaces": ["demo"]}


def names(resource: str, scope: Scope) -> list[str]:
    return [] if scope.namespace == "empty" else NAMES[resource]


def offered(*words: str) -> list[str]:
    return offers(COMMANDS, words, names)


# ---------------------------------------------------------------------- help


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself_and_is_documented(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert shown.exit_code == 0
    assert COMMANDS[command].help.strip()
    assert f"kubectl tradingbot {command}" in PAGE


def test_the_page_names_every_option() -> None:
    missing = {
        option
        for command in COMMANDS.values()
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--") and f"`{option}" not in PAGE
    }
    assert missing == set()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["kill"], "say what to kill"),
        (["kill", "momentum", "--all"], "say what to kill"),
        (["kill", "momentum", "-A"], "goes with --all"),
        (["kill", "--all", "-A", "-n", "demo"], "give either --namespace or --all-namespaces"),
        (["status", "momentum", "-A"], "one bot is in one namespace"),
    ],
)
def test_options_that_make_no_sense_do_nothing(arguments: list[str], said: str) -> None:
    ended = CliRunner().invoke(app, arguments, env={"PATH": ""})
    assert isinstance(ended.exception, UsageError)
    assert said in str(ended.exception)


@pytest.mark.parametrize("name", ["--all", "-A", "a b", "UPPER", "x/y", ""])
def test_what_is_no_name_never_reaches_kubectl(name: str) -> None:
    ended = CliRunner().invoke(app, ["kill", "--yes", "--", name], env={"PATH": ""})
    assert ended.exit_code == 2
    assert isinstance(ended.exception, SystemExit)


def test_an_error_is_one_line_and_a_code() -> None:
    environment = {**os.environ, "PATH": "/nowhere"}
    done = subprocess.run(
        [sys.executable, "-m", "kubectl_tradingbot", "status"], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stdout) == (7, "")
    assert done.stderr == "kubectl tradingbot: there is no kubectl on PATH: install it, or put it there\n"


# ---------------------------------------------------------------- completion


def test_commands_come_first_and_hidden_ones_never() -> None:
    assert "kill" in offered("")
    assert offered("e") == ["evidence"]
    assert "complete" not in offered("c")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("status", "m"), ["mean", "momentum"]),
        (("kill", "--reason", "m", "mo"), ["momentum"]),
        (("evidence", "momentum", ""), ["e-1"]),
        (("kill", "--account", ""), ["sim"]),
        (("status", "-n", "d"), ["demo"]),
        (("status", "-n", "empty", ""), []),
        (("status", "--namespace=empty", ""), []),
        (("status", "-o", "j"), ["json"]),
        (("kill", "--yes", "mo"), ["momentum"]),
        (("kill", "--ye"), ["--yes"]),
        (("kill", "--reason", ""), []),
        (("completion", "b"), ["bash"]),
        (("completion", "bash", ""), []),
        (("nonsense", ""), []),
    ],
)
def test_what_may_come_next_is_offered(words: tuple[str, ...], found: list[str]) -> None:
    assert offered(*words) == found


@pytest.mark.parametrize("shell", list(Shell))
def test_each_shell_gets_a_script(shell: Shell) -> None:
    assert CliRunner().invoke(app, ["completion", shell.value]).output == SCRIPTS[shell]


def test_bash_completes_with_its_script(tmp_path: Path) -> None:
    program = tmp_path / "kubectl-tradingbot"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m kubectl_tradingbot "$@"\n')
    program.chmod(0o755)
    asked = 'COMP_WORDS=(kubectl-tradingbot re); COMP_CWORD=1; _kubectl_tradingbot; echo "${COMPREPLY[@]}"'
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", SCRIPTS[Shell.BASH] + asked], capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["release", "report", "resume"], done.stderr


# ---------------------------------------------------------------------- logs


def test_a_log_line_is_time_level_event_and_the_rest() -> None:
    line = {"timestamp": "T", "level": "warning", "event": "order_late", "bot": "m", "namespace": "d", "qty": "1"}
    assert pretty(json.dumps({**line, "why": "two words"})).plain == 'T WARNING  order_late  qty=1  why="two words"'


def test_a_log_line_that_is_none_is_shown_as_it_is_without_its_tricks() -> None:
    assert pretty("Killed\n").plain == "Killed"
    assert pretty("[1, 2]\n").plain == "[1, 2]"
    assert "\x1b" not in pretty(json.dumps({"event": "a\x1b[2Jb"})).plain
    assert "\x1b" not in pretty("a\x1b[2J").plain
    trace = pretty(json.dumps({"event": "broke", "exception": "Traceback\n  boom"})).plain
    assert trace.splitlines()[1:] == ["    Traceback", "      boom"]


def run_with(folder: Path, script: str, *arguments: str) -> Result:
    """The program, with a kubectl that runs this script."""
    program = folder / "kubectl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return CliRunner().invoke(app, arguments, env={"PATH": f"{folder}:{os.environ['PATH']}"})


def logs_of(folder: Path, script: str, *options: str) -> Result:
    return run_with(folder, script, "logs", "momentum", "-n", "demo", *options)


def test_the_log_of_the_bots_pod_is_asked_for_and_made_readable(tmp_path: Path) -> None:
    line = '{"timestamp": "T", "level": "info", "event": "ready"}'
    done = logs_of(tmp_path, f"echo \"$@\" >&2; echo '{line}'; exit 0", "--tail", "5", "-p")
    assert (done.exit_code, done.stdout) == (0, "T INFO     ready\n")
    raw = logs_of(tmp_path, f"echo '{line}'; echo \"$@\"", "--raw", "-f", "--since=5m")
    asked = "logs momentum-bot-0 --container=bot --tail=200 --follow --since=5m --namespace=demo"
    assert raw.stdout.splitlines() == [line, asked]


def test_a_reader_that_has_had_enough_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "kubectl").write_text('#!/bin/sh\nyes \'{"event": "x"}\'\n')
    (tmp_path / "kubectl").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PROGRAM": sys.executable}
    for option in ("", "--raw"):
        script = f'"$PROGRAM" -m kubectl_tradingbot logs momentum {option} | head -1'
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, timeout=60)
        assert done.stdout.count("\n") == 1
        assert done.stderr == ""


# ---------------------------------------------------------------------- kill


def test_a_kill_of_everything_is_one_call_and_nothing_is_read_before_it(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    script = (
        f'printf "%s|" "$@" >> {calls}; echo >> {calls}; echo one/a; echo two/b; echo "Error: c is gone" >&2; exit 1'
    )
    done = run_with(tmp_path, script, "kill", "--all", "-A", "--yes", "--no-wait", "--reason", "a = b, it's over-")
    (call,) = calls.read_text().splitlines()
    start = "annotate|tradingbots.tradingbots.dev|--all|tradingbots.dev/kill=a = b, it's over-|--overwrite|"
    assert call.startswith(start)
    assert "|--all-namespaces|" in call
    assert "two/b: the kill annotation is written" in done.stdout
    # Some were killed and one could not be: both are said.
    assert isinstance(done.exception, RefusedError)
    assert "c is gone" in done.stderr


# ------------------------------------------------------------------- waiting


@pytest.fixture(autouse=True)
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubectl_tradingbot.waiting.POLL_SECONDS", 0.0)


def test_an_api_server_that_is_away_for_a_moment_is_waited_for() -> None:
    answers = iter([UnreachableError("away"), (False, "not yet"), (True, "")])

    def look() -> tuple[bool, str]:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert wait(look, Console(quiet=True), seconds=5, asked="")


def test_waiting_ends_with_its_time() -> None:
    assert not wait(lambda: (False, "not yet"), Console(quiet=True), seconds=0.01, asked="")


def test_who_stops_waiting_is_told_that_it_goes_on() -> None:
    def look() -> tuple[bool, str]:
        raise KeyboardInterrupt

    with pytest.raises(StoppedWaitingError, match="the kill goes on"):
        wait(look, Console(quiet=True), seconds=5, asked="the kill goes on")
