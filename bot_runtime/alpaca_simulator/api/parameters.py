"""Query parameters of the trading API, read one by one.

What cannot be read is refused with the parameter's name.
"""

from __future__ import annotations

from datetime import date, datetime

from alpaca_simulator.api.messages import Request
from alpaca_simulator.exchange import refusals
from alpaca_simulator.values.instants import read_date, read_instant
from alpaca_simulator.values.quantities import places, read_decimal


def instant_parameter(request: Request, name: str) -> datetime | None:
    """The RFC 3339 time in `name`, None when it is left out; raises Refusal."""
    raw = request.parameters.get(name)
    if not raw:
        return None
    instant = read_instant(raw)
    if instant is None:
        raise refusals.unprocessable(f"invalid {name}: not an RFC 3339 time")
    return instant


def date_parameter(request: Request, name: str) -> date | None:
    """The date in `name`, None when it is left out; raises Refusal."""
    raw = request.parameters.get(name)
    if not raw:
        return None
    day = read_date(raw)
    if day is None:
        raise refusals.unprocessable(f"invalid {name}: not a date")
    return day


def whole_parameter(request: Request, name: str, *, otherwise: int, at_most: int) -> int:
    """The whole number from 1 to `at_most` in `name`, `otherwise` when it is left out; raises Refusal."""
    raw = request.parameters.get(name)
    if not raw:
        return otherwise
    number = read_decimal(raw)
    if number is None or not 1 <= number <= at_most or places(number) > 0:
        raise refusals.unprocessable(f"{name} must be from 1 to {at_most}")
    return int(number)
