"""The models read what people write, refuse what would be misread, and write what they read."""

from decimal import Decimal
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tradingbot_api import AccountReport, RuntimeConfig, TradingBot, TradingBotSpec, TradingBotStatus
from tradingbot_api.broker_account import BrokerAccount
from tradingbot_api.model import Amount, Percent, PositiveAmount, Symbol

SPEC: dict[str, Any] = {
    "strategy": {"name": "momentum"},
    "symbols": ["AAPL"],
    "capital": "10000",
    "accounts": {"paper": "sim"},
}
CONFIG: dict[str, Any] = {
    "bot": {"name": "momentum"},
    "strategy": {"name": "momentum"},
    "symbols": ["AAPL"],
    "capital": "10000",
    "broker": {
        "account": "sim",
        "provider": "simulator",
        "environment": "paper",
        "baseURL": "http://sim:8080",
        "dataURL": "http://sim:8080",
    },
}


def test_defaults_are_safe() -> None:
    spec = TradingBotSpec.model_validate(SPEC)
    assert (spec.mode, spec.on_control_plane_loss, spec.storage.reclaim) == ("paper", "Reduce", "Retain")
    assert spec.risk.max_drawdown_percent == Decimal(15)


@pytest.mark.parametrize("value", [0.1, 10000.0])
def test_a_float_has_lost_digits_and_is_refused(value: float) -> None:
    with pytest.raises(ValidationError, match="in quotes"):
        TradingBotSpec.model_validate(SPEC | {"capital": value})


@pytest.mark.parametrize("change", [{"symbol": "AAPL"}, {"symbols": []}, {"symbols": ["aapl"]}, {"capital": "0"}])
def test_a_mistake_in_a_spec_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TradingBotSpec.model_validate(SPEC | change)


def test_what_another_release_wrote_into_a_status_is_ignored() -> None:
    status = TradingBotStatus.model_validate({"observedGeneration": 2, "novelty": {"score": 7}})
    assert status.observed_generation == 2


def test_whole_objects_are_read() -> None:
    bot = TradingBot.model_validate({"kind": "TradingBot", "metadata": {"name": "a"}, "spec": SPEC})
    assert bot.metadata["name"] == "a"
    account = {"provider": "alpaca", "environment": "paper", "credentialsSecretRef": {"name": "keys"}}
    assert BrokerAccount.model_validate({"spec": account}).spec.data_feed == "iex"


def test_a_solo_bot_has_a_uid_made_from_its_name() -> None:
    first, again = RuntimeConfig.model_validate(CONFIG), RuntimeConfig.model_validate(CONFIG)
    other = RuntimeConfig.model_validate(CONFIG | {"bot": {"name": "other"}})
    assert first.bot.uid == again.bot.uid != other.bot.uid
    assert (first.bot.namespace, first.epoch, first.mode) == ("local", 0, "paper")


amounts = st.decimals(min_value="0.000000001", max_value="99999999", places=9)


@given(amounts, st.decimals("0.0001", "100", places=4), st.lists(st.sampled_from(["AAPL", "BRK.B"]), min_size=1))
def test_a_config_survives_yaml(capital: Decimal, percent: Decimal, symbols: list[str]) -> None:
    document = CONFIG | {"capital": str(capital), "symbols": symbols}
    document["risk"] = {"maxPositionPercent": format(percent, "f")}
    config = RuntimeConfig.model_validate(document)
    written = yaml.safe_dump(config.model_dump(mode="json", by_alias=True, exclude_none=True))
    read = RuntimeConfig.model_validate(yaml.safe_load(written))
    assert read == config
    assert read.capital == capital


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**11), max_value=10**11, places=9))
def test_money_is_written_without_an_exponent_and_read_back_exactly(value: Decimal) -> None:
    adapter: TypeAdapter[Decimal] = TypeAdapter(Amount)
    written = adapter.dump_json(adapter.validate_python(str(value))).decode().strip('"')
    assert "E" not in written.upper()
    assert Decimal(written) == value


@pytest.mark.parametrize(("kind", "value"), [(Percent, "100.1"), (Percent, "0"), (PositiveAmount, "-1"), (Symbol, "a")])
def test_bounds_hold(kind: Any, value: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(value)


@pytest.mark.parametrize("figure", ["1E+30", "1E+999999999", "1234567890123", "-1E+12", "NaN"])
def test_a_figure_that_no_status_could_hold_is_refused_before_it_is_written_out(figure: str) -> None:
    with pytest.raises(ValidationError):
        AccountReport.model_validate({"equity": figure, "cash": "0", "dayPnl": "0"})


def test_a_figure_with_more_places_than_a_status_holds_is_rounded() -> None:
    report = AccountReport.model_validate({"equity": "1.12345678949", "cash": "0E+999999999", "dayPnl": "-5E-99999"})
    assert report.model_dump(mode="json", by_alias=True) == {
        "equity": "1.123456789",
        "cash": "0",
        "dayPnl": "-0.000000000",
    }
