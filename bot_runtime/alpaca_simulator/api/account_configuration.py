"""Reads a change of an account's settings field by field, and refuses what Alpaca would refuse.

Decides nothing about trading: what a setting forbids is the exchange's say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.configuration import AccountConfiguration
from alpaca_simulator.values.quantities import read_decimal

_MULTIPLIERS = (Decimal(1), Decimal(2), Decimal(4))
_CHECKS = ("both", "entry", "exit")


def changed_configuration(present: AccountConfiguration, fields: dict[str, object]) -> AccountConfiguration:
    """`present` with `fields` laid over it; null leaves a setting as it is. Raises Refusal for a bad value."""
    changes: dict[str, Any] = {}
    for name, raw in fields.items():
        if raw is None:
            continue
        if name == "max_options_trading_level":
            _no_options(raw)
        elif name in _READERS:
            changes[name] = _READERS[name](name, raw)
    return replace(present, **changes)


def _flag(name: str, raw: object) -> bool:
    if not isinstance(raw, bool):
        raise _invalid(name, raw, "true or false")
    return raw


def _one_of(*choices: str) -> Callable[[str, object], str]:
    def read(name: str, raw: object) -> str:
        if not isinstance(raw, str) or raw not in choices:
            raise _invalid(name, raw, " or ".join(choices))
        return raw

    return read


def _multiplier(name: str, raw: object) -> Decimal:
    number = read_decimal(raw)
    if number not in _MULTIPLIERS:
        raise _invalid(name, raw, "1, 2 or 4")
    return _MULTIPLIERS[_MULTIPLIERS.index(number)]


def _no_options(raw: object) -> None:
    if read_decimal(raw) != 0 or isinstance(raw, bool):
        raise _invalid("max_options_trading_level", raw, "0, as options are not traded here")


def _invalid(name: str, raw: object, expected: str) -> refusals.Refusal:
    return refusals.bad_parameter(f"invalid {name}: {str(raw)[:40]!r} is not {expected}")


_READERS: dict[str, Callable[[str, object], bool | str | Decimal]] = {
    "dtbp_check": _one_of(*_CHECKS),
    "pdt_check": _one_of(*_CHECKS),
    "trade_confirm_email": _one_of("all", "none"),
    "max_margin_multiplier": _multiplier,
    "suspend_trade": _flag,
    "no_shorting": _flag,
    "fractional_trading": _flag,
    "ptp_no_exception_entry": _flag,
    "disable_overnight_trading": _flag,
}
