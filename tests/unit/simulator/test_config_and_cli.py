"""Configuration files and the command line: what is understood, and how mistakes are named."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from alpaca_simulator import cli
from alpaca_simulator.config import ConfigError, SimulatorConfig, parse_config, read_config
from alpaca_simulator.simulator import Simulator, build_simulator

RUN = CliRunner()


def account(name: str, **more: object) -> dict[str, object]:
    return {"name": name, "key_id": f"PK{name}", "secret_key": "secret", **more}


def test_the_default_has_a_paper_and_a_live_account_of_100000_dollars() -> None:
    accounts = build_simulator(SimulatorConfig()).exchange.accounts.values()
    assert [(a.terms.name, a.terms.kind, a.cash) for a in accounts] == [
        ("paper", "paper", Decimal(100_000)),
        ("live", "live", Decimal(100_000)),
    ]


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_a_file_says_everything(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"simulator.{suffix}"
    path.write_text(
        '{"seed": 7, "clock": {"mode": "stepped", "start": "2026-03-04T10:00:00-05:00"},'
        ' "accounts": [{"name": "a", "key_id": "PKA", "secret_key": "s", "cash": "5.25"}],'
        ' "assets": [{"symbol": "ACME", "price": 50}]}'
    )
    simulator = build_simulator(read_config(path))
    assert simulator.clock.now().isoformat() == "2026-03-04T15:00:00+00:00"
    assert [a.cash for a in simulator.exchange.accounts.values()] == [Decimal("5.25")]
    acme = simulator.exchange.catalogue.find("ACME")
    assert acme is not None
    assert acme.reference_cents == 5000
    assert simulator.exchange.catalogue.find("SPY") is not None


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"sed": 1}, "sed: Extra inputs are not permitted"),
        ({"clock": {"mode": "warp"}}, "clock.mode"),
        ({"clock": {"start": "2026-03-02T09:25:00"}}, "clock.start: Value error, needs an offset"),
        ({"accounts": []}, "accounts"),
        ({"accounts": [account("a"), account("a")]}, "account name used twice: a"),
        ({"accounts": [account("a"), account("b", key_id="PKa")]}, "key_id used twice: PKa"),
        ({"accounts": [account("a", cash="-1")]}, "accounts.0.cash"),
        ({"assets": [{"symbol": "lower"}]}, "assets.0.symbol"),
        ([], "file: Input should be a valid dictionary"),
    ],
)
def test_a_mistake_is_named_with_its_place(content: object, complaint: str) -> None:
    with pytest.raises(ConfigError, match=f"here: .*{complaint.replace('.', chr(92) + '.')}"):
        parse_config(content, "here")


def test_a_complaint_never_repeats_a_secret() -> None:
    with pytest.raises(ConfigError) as complaint:
        parse_config({"accounts": [account("a", secret_key="hush" * 100)]}, "here")
    assert "hush" not in str(complaint.value)


def test_a_file_that_is_missing_or_no_yaml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="absent"):
        read_config(tmp_path / "absent")
    (tmp_path / "broken").write_text("a: [")
    with pytest.raises(ConfigError, match="broken"):
        read_config(tmp_path / "broken")


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    assert read_config(tmp_path / "empty") == SimulatorConfig()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Simulator]:
    """The simulators that `serve` would have served."""
    simulators: list[Simulator] = []

    async def only_note(simulator: Simulator, host: str, port: int) -> None:
        simulators.append(simulator)

    monkeypatch.setattr(cli, "_serve_until_signal", only_note)
    monkeypatch.setattr(cli, "_set_up_logging", lambda level, form: None)
    return simulators


def test_flags_win_over_the_file_and_leave_the_rest_of_it(served: list[Simulator], tmp_path: Path) -> None:
    path = tmp_path / "simulator.yaml"
    path.write_text(
        "seed: 7\nclock: {mode: stepped, start: 2026-03-04T10:00:00-05:00}\npartial_fill_probability: 0.5\n"
    )
    done = RUN.invoke(
        cli.app,
        ["serve", "--config", str(path), "--seed", "8", "--account", "a:live:AKA:s:12.50", "--clock", "scaled",
         "--session-seconds", "5", "--no-skip-closed", "--minutes-after-close", "90"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    config = served[0].config
    assert (config.seed, config.partial_fill_probability) == (8, 0.5)
    assert (config.clock.mode, config.clock.speed, config.clock.skip_closed) == ("scaled", 4680, False)
    assert config.clock.minutes_after_close == 90
    assert config.clock.start.isoformat() == "2026-03-04T15:00:00+00:00"
    assert [(a.name, a.kind, a.cash) for a in config.accounts] == [("a", "live", Decimal("12.50"))]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--speed", "5", "--session-seconds", "5"], "give one"),
        (["--session-seconds", "0"], "must be above 0"),
        (["--account", "just-a-name"], "expected NAME:paper|live"),
        (["--start", "tomorrow"], "clock.start"),
        (["--start", "1999-01-04T12:00:00Z"], "is not between"),
        (["--config", "/nowhere/at/all"], "/nowhere/at/all"),
    ],
)
def test_a_wrong_flag_is_explained_in_one_line(served: list[Simulator], arguments: list[str], complaint: str) -> None:
    done = RUN.invoke(cli.app, ["serve", *arguments])
    assert done.exit_code == 2
    assert complaint in done.stderr
    assert done.stderr.startswith("alpaca-simulator: ")
    assert served == []


def test_the_help_names_the_demo_keys_and_how_to_connect() -> None:
    text = RUN.invoke(cli.app, ["serve", "--help"]).output
    for word in ("PKDEMOPAPER", "demo-paper-secret", "AKDEMOLIVE", "url_override", "/admin/clock/step"):
        assert word in text


def test_the_config_command_prints_everything_but_secrets() -> None:
    done = RUN.invoke(cli.app, ["config"])
    printed = yaml.safe_load(done.output)
    assert printed["clock"]["mode"] == "scaled"
    assert [one["secret_key"] for one in printed["accounts"]] == ["**********", "**********"]


def test_the_config_command_finds_mistakes(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("sed: 1")
    done = RUN.invoke(cli.app, ["config", str(tmp_path / "bad.yaml")])
    assert done.exit_code == 2
    assert "sed: Extra inputs" in done.stderr
