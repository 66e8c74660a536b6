"""Decimals in and out of JSON."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaca_simulator.api.messages import Request
from alpaca_simulator.values.quantities import (
    cents_at_least,
    cents_at_most,
    decimal_text,
    dollars,
    places,
    read_decimal,
)

quantities = st.decimals(Decimal("-1e9"), Decimal("1e9"), places=9)


def through_json(text: str) -> object:
    return Request("POST", "/", body=f'{{"qty": {text}}}'.encode()).json_object()["qty"]


@given(quantities)
def test_what_is_printed_is_read_back_exactly(value: Decimal) -> None:
    text = decimal_text(value)
    assert read_decimal(text) == value
    assert read_decimal(through_json(text)) == value
    assert not text.endswith(".")
    assert "E" not in text


@given(st.floats(0.0001, 1e9))
def test_a_float_that_a_client_sends_keeps_the_digits_it_was_written_with(value: float) -> None:
    assert read_decimal(through_json(json.dumps(value))) == Decimal(json.dumps(value))


@pytest.mark.parametrize(("value", "text"), [("10.0", "10"), ("1E+2", "100"), ("-0", "0"), ("0.10", "0.1")])
def test_numbers_are_printed_as_alpaca_does(value: str, text: str) -> None:
    assert decimal_text(Decimal(value)) == text


@pytest.mark.parametrize("text", ["", " ", "1,000", "0x10", "1e3", "NaN", "Infinity", "\u0661", "1_0", "1" * 21, "--1"])
def test_text_that_is_no_plain_number_is_none(text: str) -> None:
    assert read_decimal(text) is None


@pytest.mark.parametrize("text", ["1e400", "1e-400", "1e999999999", "1" * 60, "true", "null", "[]"])
def test_json_that_is_no_reasonable_number_is_none(text: str) -> None:
    assert read_decimal(through_json(text)) is None


@given(st.decimals(Decimal("0.0001"), Decimal("1e6"), places=4))
def test_cents_bound_a_price_from_both_sides(price: Decimal) -> None:
    below, above = cents_at_most(price), cents_at_least(price)
    assert dollars(below) <= price <= dollars(above)
    assert above - below == (places(price) > 2)
