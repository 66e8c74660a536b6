"""The market's part of a configuration: read strictly, printed so that it can be read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from alpaca_simulator import cli
from alpaca_simulator.config import ConfigError, parse_config
from alpaca_simulator.simulator import build_simulator
from unit.simulator.floor import MONDAY_NOON, Floor

FULL = """
assets:
  - {symbol: ACME, price: 40, sector: tools, market_loading: 0.2, sector_loading: 0.7, shortable: false,
     easy_to_borrow: false, maintenance_margin: 75, attributes: [ptp_no_exception]}
  - {symbol: GONE, price: 40, status: inactive}
market: {jumps_a_year: 4, extended_hours_bars: true}
corporate_actions:
  - {type: split, symbol: ACME, ex_date: 2026-03-04, new: 3, old: 2}
  - {type: dividend, symbol: ACME, ex_date: 2026-03-05, payable_date: 2026-03-12, rate: 0.25}
  - {type: symbol_change, symbol: ACME, ex_date: 2026-03-06, new_symbol: ACMX}
halts:
  - {symbol: AAPL, from: 2026-03-02T10:00:00-05:00, until: 2026-03-02T10:30:00-05:00}
  - {symbol: MSFT, since: 2026-03-02T10:00:00-05:00, code: H10, reason: SEC suspension}
"""


def test_a_configuration_prints_as_one_that_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "simulator.yaml"
    path.write_text(FULL)
    printed = CliRunner().invoke(cli.app, ["config", str(path)])
    assert printed.exit_code == 0, printed.output
    whole = yaml.safe_load(printed.output)
    for account in whole["accounts"]:
        account["secret_key"] = "x"
    again = parse_config(whole, "printed")
    once = parse_config(yaml.safe_load(FULL), "file")
    for part in ("assets", "market", "corporate_actions", "halts"):
        assert getattr(again, part) == getattr(once, part)
    assert build_simulator(again).exchange.halts.listed()[0].symbol == "AAPL"


def test_assets_are_listed_with_what_is_configured() -> None:
    content = yaml.safe_load(FULL)
    floor = Floor(MONDAY_NOON, assets=content["assets"])
    acme, gone = (floor.get(f"/v2/assets/{symbol}").body for symbol in ("ACME", "GONE"))
    assert acme["attributes"] == ["ptp_no_exception"]
    assert (acme["maintenance_margin_requirement"], acme["shortable"], acme["easy_to_borrow"]) == (75, False, False)
    assert (acme["status"], acme["tradable"]) == ("active", True)
    assert (gone["status"], gone["tradable"]) == ("inactive", False)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"assets": [{"symbol": "A", "market_loading": 0.8, "sector_loading": 0.8}]}, "more than 1"),
        ({"market": {"jumps": 3}}, "market.jumps"),
        ({"halts": [{"symbol": "SPY", "from": "2026-03-02T10:00:00"}]}, "offset"),
        (
            {"halts": [{"symbol": "SPY", "from": "2026-03-02T15:00:00Z", "until": "2026-03-02T15:00:00Z"}]},
            "until is not after from",
        ),
        ({"corporate_actions": [{"type": "gift", "symbol": "SPY", "ex_date": "2026-03-04"}]}, "corporate_actions.0"),
        (
            {"corporate_actions": [{"type": "split", "symbol": "SPY", "ex_date": "2026-03-04", "new": "0"}]},
            "corporate_actions.0.split.new",
        ),
        (
            {
                "corporate_actions": [
                    {
                        "type": "dividend",
                        "symbol": "SPY",
                        "ex_date": "2026-03-04",
                        "payable_date": "2026-03-03",
                        "rate": "1",
                    }
                ]
            },
            "payable_date is before ex_date",
        ),
        (
            {"corporate_actions": [{"type": "split", "symbol": "SPY", "ex_date": "2026-03-04", "new": "2"}] * 2},
            "used twice",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(content: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse_config(content, "file")


def test_a_halt_of_an_unknown_symbol_is_refused() -> None:
    with pytest.raises(ConfigError, match="halts: NOSUCH is not listed"):
        Floor(MONDAY_NOON, halts=[{"symbol": "NOSUCH", "from": "2026-03-02T15:00:00Z"}])


def test_serving_a_bad_replay_says_why_and_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cli, "_set_up_logging", lambda level, form: None)
    path = tmp_path / "prices.csv"
    path.write_text("symbol,date,open,high,low,close,volume\nACME,2026-03-02,1,2,3,4,5\n")
    ended = CliRunner().invoke(cli.app, ["serve", "--replay", str(path)])
    assert ended.exit_code == 2
    assert "prices.csv, row 2, high: below the open or the close" in ended.output
