"""The command line: what is wrong is said in words, with the exit code the operator reads."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from builders import UID, a_config, a_live_config, an_order, at
from tradingbot_api import EX_CONFIG, EX_STATE, TerminationMessage, group
from tradingbot_runtime import __version__
from tradingbot_runtime.cli import app
from tradingbot_runtime.commands import inputs, run
from tradingbot_runtime.commands.endings import WrongConfig
from tradingbot_runtime.core.commands import Journal, PutOrder
from tradingbot_runtime.state import Database, DirectoryLock, lock
from tradingbot_runtime.state.database import database_path

KEYS = {"APCA_API_KEY_ID": "PK", "APCA_API_SECRET_KEY": "secret"}
LIVE = json.loads(a_live_config().model_dump_json(by_alias=True, include={"mode", "grant", "broker"}))


class Shell:
    """A directory with a config and a termination log."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = directory / "bot.yaml"
        self.state = directory / "state"
        self.log = directory / "termination-log"
        self.write()

    def write(self, **changes: Any) -> None:
        document = json.loads(a_config().model_dump_json(by_alias=True))
        self.config.write_text(yaml.safe_dump(document | changes))

    def run(self, *options: str, keys: bool = True) -> Result:
        environment = {"TERMINATION_MESSAGE_PATH": str(self.log), "KUBERNETES_SERVICE_HOST": None}
        environment |= KEYS if keys else dict.fromkeys(KEYS)
        arguments = ["run", "--config", str(self.config), "--state", str(self.state), "--control", "none", *options]
        return CliRunner().invoke(app, arguments, env=environment)

    @property
    def last_words(self) -> TerminationMessage:
        return TerminationMessage.model_validate_json(self.log.read_text())


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_help_says_what_the_exit_codes_mean() -> None:
    text = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200"}).output
    for words in ("--config", "--state", "--control", "--listen", "APCA_API_KEY_ID", "78", "65"):
        assert words in text


def test_version() -> None:
    assert CliRunner().invoke(app, ["version"]).output.strip() == __version__


@pytest.mark.parametrize(
    ("changes", "reason", "said"),
    [
        ({"sybmols": ["AAPL"]}, "InvalidConfig", "sybmols: Extra inputs are not permitted"),
        ({"symbols": []}, "InvalidConfig", "symbols: List should have at least 1 item"),
        ({"capital": 0.5}, "InvalidConfig", "capital: "),
        ({"capital": "-1"}, "InvalidConfig", "capital: "),
        ({"broker": {"account": "paper"}}, "InvalidConfig", "broker.baseURL: Field required"),
        ({"strategy": {"name": "astrology"}}, "UnknownStrategy", "no strategy 'astrology' in this image"),
        (
            {"strategy": {"name": "momentum", "parameters": {"lookback": 1}}},
            "InvalidStrategyParameters",
            "spec.strategy.parameters.lookback",
        ),
        ({"mode": "live"}, "InvalidConfig", "grant: mode live needs one"),
        (LIVE, "LiveNotWatched", "set mode: paper"),
        ({"broker": LIVE["broker"]}, "WrongEnvironment", "broker.environment: live"),
    ],
)
def test_a_wrong_config_is_said_field_by_field(shell: Shell, changes: dict[str, Any], reason: str, said: str) -> None:
    shell.write(**changes)
    result = shell.run()
    assert result.exit_code == EX_CONFIG
    assert result.stderr.startswith(f"{reason}: ")
    assert said in result.stderr
    assert shell.last_words.reason == reason
    assert said in shell.last_words.message
    assert not shell.state.exists()


def _fields(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every field of a document, the ones with fields of their own too; not what a strategy's own model checks."""
    if path:
        yield path
    if isinstance(value, dict) and path != ("strategy", "parameters"):
        for name, inner in value.items():
            yield from _fields(inner, (*path, name))


EVERY_FIELD = sorted(_fields(json.loads(a_config().model_dump_json(by_alias=True))))


@pytest.mark.parametrize("path", EVERY_FIELD, ids=".".join)
def test_every_field_of_the_config_is_named_when_it_is_wrong(shell: Shell, path: tuple[str, ...]) -> None:
    document = json.loads(a_config().model_dump_json(by_alias=True))
    *outer, name = path
    inner = document
    for step in outer:
        inner = inner[step]
    inner[name] = [{"wrong": [None]}]
    shell.config.write_text(yaml.safe_dump(document))
    result = shell.run()
    assert (result.exit_code, shell.last_words.reason) == (EX_CONFIG, "InvalidConfig")
    assert ".".join(path) in shell.last_words.message
    assert not shell.state.exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [("a: [", "InvalidYAML"), ("", "InvalidConfig"), ("- a", "InvalidConfig"), ("\x00", "InvalidYAML")],
)
def test_a_config_that_is_no_config_is_said(shell: Shell, text: str, reason: str) -> None:
    shell.config.write_text(text)
    result = shell.run()
    assert (result.exit_code, shell.last_words.reason) == (EX_CONFIG, reason)


def test_a_config_that_is_not_there_is_said(shell: Shell) -> None:
    shell.config.unlink()
    assert (shell.run().exit_code, shell.last_words.reason) == (EX_CONFIG, "ConfigUnreadable")


def test_a_config_that_somebody_else_put_in_its_place_is_not_read(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert inputs.CONFIG_DIGEST_VARIABLE == group.CONFIG_DIGEST_VARIABLE
    made = shell.config.read_bytes()
    monkeypatch.setattr(inputs, "CONFIG_AWAITED_SECONDS", 0.0)
    monkeypatch.setenv(inputs.CONFIG_DIGEST_VARIABLE, f"sha256:{hashlib.sha256(made).hexdigest()}")
    shell.write(broker=LIVE["broker"] | {"baseURL": "http://mallory.example"})
    assert (shell.run().exit_code, shell.last_words.reason) == (EX_CONFIG, "ConfigNotAsMade")
    assert not shell.state.exists()
    shell.config.write_bytes(made)
    assert inputs.read_config(shell.config).bot.name == "momentum"


def test_a_config_that_is_late_is_waited_for(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    made = shell.config.read_bytes()
    monkeypatch.setenv(inputs.CONFIG_DIGEST_VARIABLE, f"sha256:{hashlib.sha256(made).hexdigest()}")
    shell.config.write_bytes(b"")
    monkeypatch.setattr(inputs.time, "sleep", lambda _: shell.config.write_bytes(made))
    assert inputs.read_config(shell.config).bot.name == "momentum"


def test_missing_keys_are_said_by_name_and_never_shown(shell: Shell) -> None:
    result = shell.run(keys=False)
    assert result.exit_code == EX_CONFIG
    assert shell.last_words.reason == "MissingCredentials"
    assert "APCA_API_KEY_ID and APCA_API_SECRET_KEY" in shell.last_words.message


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--control", "kubernetes"], "needs a pod"),
        (["--control", "file:"], "write kubernetes, file:PATH"),
        (["--control", "carrier-pigeon"], "write kubernetes, file:PATH"),
        (["--listen", "8080"], "write HOST:PORT"),
        (["--listen", "localhost:99999"], "write HOST:PORT"),
    ],
)
def test_wrong_options_are_said(shell: Shell, options: list[str], said: str) -> None:
    result = shell.run(*options)
    assert result.exit_code == EX_CONFIG
    assert said in shell.last_words.message


def a_state(shell: Shell, uid: str = UID) -> None:
    database = Database.open(shell.state, uid, "paper")
    database.commit([Journal("order_decided", {}, (PutOrder(an_order()),))], at())
    database.close()


def damage(shell: Shell) -> None:
    connection = sqlite3.connect(database_path(shell.state, "paper"))
    connection.execute("UPDATE orders SET qty = '1000'")
    connection.commit()
    connection.close()


def test_a_state_of_another_bot_ends_it(shell: Shell) -> None:
    a_state(shell, "somebody-else")
    assert (shell.run().exit_code, shell.last_words.reason) == (EX_STATE, "StateOfAnotherBot")


def test_a_corrupt_state_ends_it(shell: Shell) -> None:
    a_state(shell)
    damage(shell)
    result = shell.run()
    assert (result.exit_code, shell.last_words.reason) == (EX_STATE, "StateCorrupt")
    assert "tradingbot state verify" in result.stderr


def test_a_locked_state_ends_it(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        lock.DirectoryLock.__init__,
        "__kwdefaults__",
        {
            **(lock.DirectoryLock.__init__.__kwdefaults__ or {}),
            "wait_seconds": 0.0,
        },
    )
    with DirectoryLock(shell.state, {"holder": "momentum-0", "pid": "7", "since": "today"}):
        assert (shell.run().exit_code, shell.last_words.reason) == (EX_STATE, "StateLocked")
    assert "momentum-0" in shell.last_words.message


def test_last_words_that_cannot_be_written_do_not_hide_the_error(shell: Shell) -> None:
    shell.log.mkdir()
    result = shell.run(keys=False)
    assert result.exit_code == EX_CONFIG
    assert "MissingCredentials" in result.stderr


def test_check_config_says_what_would_run(shell: Shell) -> None:
    result = CliRunner().invoke(app, ["check-config", "--config", str(shell.config)])
    assert result.exit_code == 0
    assert "bot demo/momentum runs momentum on AAPL, MSFT (5Min bars, 3 of them)" in result.output
    shell.write(symbols=[])
    result = CliRunner().invoke(app, ["check-config", "--config", str(shell.config)])
    assert result.exit_code == EX_CONFIG
    assert not shell.log.exists()


def test_state_verify_says_what_is_there(shell: Shell) -> None:
    a_state(shell)
    verify = ["state", "verify", "--state", str(shell.state), "--mode", "paper"]
    result = CliRunner().invoke(app, verify)
    assert result.exit_code == 0
    assert "verifies" in result.output
    assert "1 journal lines, 1 orders, 0 fills" in result.output
    damage(shell)
    result = CliRunner().invoke(app, verify)
    assert result.exit_code == EX_STATE
    assert "qty is '1000', the journal says '10'" in result.stderr


def test_state_verify_says_when_there_is_none(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["state", "verify", "--state", str(tmp_path), "--mode", "paper"])
    assert result.exit_code == EX_STATE
    assert "there is no state" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_live_bot_is_refused_wherever_nobody_could_kill_it(shell: Shell) -> None:
    shell.write(**LIVE)
    for control in ("none", f"file:{shell.directory / 'control.yaml'}", "auto"):
        result = shell.run("--control", control)
        assert (result.exit_code, shell.last_words.reason) == (EX_CONFIG, "LiveNotWatched"), result.stderr
        assert not shell.state.exists()


def test_a_live_bot_in_a_pod_passes_every_check_of_its_start(shell: Shell) -> None:
    shell.write(**LIVE)
    pod = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", **KEYS}
    start = run._Start.checked(shell.config, shell.state, "auto", "127.0.0.1:0", None, pod)
    assert (start.control, start.config.grant) == ("kubernetes", a_live_config().grant)


def test_a_live_bot_on_a_paper_account_is_refused(shell: Shell) -> None:
    shell.write(**(LIVE | {"broker": LIVE["broker"] | {"environment": "paper"}}))
    pod = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", **KEYS}
    with pytest.raises(WrongConfig, match=r"mode: live, but broker\.environment: paper"):
        run._Start.checked(shell.config, shell.state, "kubernetes", "127.0.0.1:0", None, pod)
