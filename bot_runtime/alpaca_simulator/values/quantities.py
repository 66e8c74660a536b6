"""Decimals in and out: how money, prices and share quantities are read and printed.

Never let a binary float touch a balance: prices travel as whole cents or as Decimal.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal

ZERO = Decimal(0)
CENT = Decimal("0.01")
HUNDRED = Decimal(100)
#: Alpaca prints average prices and ratios with at most this many decimals.
RATIO_STEP = Decimal("0.000000001")
QUANTITY_DECIMALS = 9

_PLAIN_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)
#: Decimal arithmetic is exact up to its 28 digits: more are never taken in.
_DIGITS_AT_MOST = 28


def dollars(cents: int) -> Decimal:
    """The exact Decimal of a whole number of cents."""
    return Decimal(cents).scaleb(-2)


def cents_at_most(price: Decimal) -> int:
    """The largest whole number of cents that is not above `price` (dollars)."""
    return int((price * HUNDRED).to_integral_value(rounding=ROUND_FLOOR))


def cents_at_least(price: Decimal) -> int:
    """The smallest whole number of cents that is not below `price` (dollars)."""
    return int((price * HUNDRED).to_integral_value(rounding=ROUND_CEILING))


def rounded(value: Decimal) -> Decimal:
    """`value` to Alpaca's nine decimals, for averages and ratios that do not come out even."""
    return value.quantize(RATIO_STEP, rounding=ROUND_HALF_UP)


def decimal_text(value: Decimal) -> str:
    """`value` as Alpaca prints it: no exponent, no trailing zeros, never `-0`."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def places(value: Decimal) -> int:
    """How many decimals `value` really needs (trailing zeros do not count)."""
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def read_decimal(raw: object) -> Decimal | None:
    """A finite Decimal from a JSON number or string of reasonable size; None when it is neither.

    JSON numbers arrive as Decimal already (the body is parsed so); bool is not a number here.
    """
    if isinstance(raw, str):
        text = raw.strip()
        return read_decimal(Decimal(text)) if _PLAIN_NUMBER.fullmatch(text) else None
    if not isinstance(raw, Decimal) or not raw.is_finite():
        return None
    if raw == 0:
        return ZERO
    # By exponent: even comparing 1e999999999 overflows.
    reasonable = -40 < raw.adjusted() < 15 and len(raw.as_tuple().digits) <= _DIGITS_AT_MOST
    return raw if reasonable else None
