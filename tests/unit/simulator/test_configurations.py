"""`/v2/account/configurations`: what can be set, what is refused, and what a setting does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from unit.simulator.floor import LIVE, Answer, Floor

DEFAULTS = {
    "dtbp_check": "entry",
    "fractional_trading": True,
    "max_margin_multiplier": "4",
    "max_options_trading_level": 0,
    "no_shorting": False,
    "pdt_check": "entry",
    "ptp_no_exception_entry": False,
    "suspend_trade": False,
    "trade_confirm_email": "all",
    "disable_overnight_trading": False,
}


def set_to(floor: Floor, **fields: Any) -> Answer:
    return floor.send("PATCH", "/v2/account/configurations", json.dumps(fields).encode())


def configurations(floor: Floor) -> Any:
    return floor.get("/v2/account/configurations").body


def test_an_account_begins_with_alpacas_defaults() -> None:
    assert configurations(Floor()) == DEFAULTS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dtbp_check", "both"),
        ("pdt_check", "exit"),
        ("trade_confirm_email", "none"),
        ("suspend_trade", True),
        ("no_shorting", True),
        ("fractional_trading", False),
        ("ptp_no_exception_entry", True),
        ("disable_overnight_trading", True),
        ("max_margin_multiplier", "1"),
        ("max_margin_multiplier", "2"),
    ],
)
def test_each_setting_can_be_changed_and_the_others_stay(name: str, value: object) -> None:
    floor = Floor()
    answer = set_to(floor, **{name: value})
    assert answer.status == 200
    assert answer.body == configurations(floor) == {**DEFAULTS, name: value}


def test_what_was_read_can_be_sent_back_with_its_nulls() -> None:
    floor = Floor()
    assert set_to(floor, **{**DEFAULTS, "dtbp_check": None, "max_options_trading_level": None}).body == DEFAULTS


def test_numbers_are_as_good_as_texts_and_unknown_settings_are_passed_over() -> None:
    assert set_to(Floor(), max_margin_multiplier=2, something_else="x").body["max_margin_multiplier"] == "2"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dtbp_check", "never"),
        ("pdt_check", True),
        ("trade_confirm_email", "ALL"),
        ("suspend_trade", "true"),
        ("no_shorting", 1),
        ("fractional_trading", []),
        ("max_margin_multiplier", "3"),
        ("max_margin_multiplier", "4.5"),
        ("max_margin_multiplier", {}),
        ("max_options_trading_level", 1),
        ("max_options_trading_level", False),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name_and_nothing_changes(name: str, value: object) -> None:
    floor = Floor()
    refused = (
        set_to(floor, suspend_trade=True, **{name: value})
        if name != "suspend_trade"
        else set_to(floor, **{name: value})
    )
    assert (refused.status, refused.code) == (422, 40010001)
    assert name in refused.message
    assert configurations(floor) == DEFAULTS


def test_a_body_that_is_no_object_is_refused() -> None:
    assert Floor().send("PATCH", "/v2/account/configurations", b"[]").status == 400


def test_accounts_are_configured_one_by_one() -> None:
    floor = Floor()
    set_to(floor, suspend_trade=True)
    floor.keys = LIVE
    assert configurations(floor) == DEFAULTS


def test_a_suspended_account_can_place_no_order_until_it_is_set_free() -> None:
    floor = Floor()
    set_to(floor, suspend_trade=True)
    assert floor.buy("SPY", 1).status == 403
    assert floor.account()["trade_suspended_by_user"] is True
    set_to(floor, suspend_trade=False)
    assert floor.buy("SPY", 1).status == 200


def test_without_fractional_trading_only_whole_shares_can_be_bought() -> None:
    floor = Floor()
    set_to(floor, fractional_trading=False)
    assert floor.buy("SPY", "0.5").status >= 400
    assert floor.buy("SPY", "1").status == 200
