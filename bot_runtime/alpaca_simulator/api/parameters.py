"""Query parameters of the trading API, read one by one.

What cannot be read is refused with the parameter's name.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from uuid import UUID

from alpaca_simulator.api.messages import Request
from alpaca_simulator.exchange import refusals
from alpaca_simulator.values.instants import read_date, read_instant
from alpaca_simulator.values.quantities import places, read_decimal

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


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


def word_parameter(request: Request, name: str, words: set[str], *, otherwise: str) -> str:
    """One of `words` in `name`, `otherwise` when it is left out; raises Refusal."""
    raw = request.parameters.get(name) or otherwise
    if raw not in words:
        raise refusals.unprocessable(f"invalid {name}: {raw[:40]}")
    return raw


def flag_parameter(request: Request, name: str) -> bool:
    """Whether `name` says true, in any case; left out is false. Raises Refusal for another word."""
    raw = request.parameters.get(name, "").lower()
    if raw not in {"", "true", "false", "0", "1"}:
        raise refusals.unprocessable(f"invalid {name}: must be true or false")
    return raw in {"true", "1"}


def uuid_parameter(request: Request, name: str) -> UUID | None:
    """The UUID in `name`, None when it is left out; raises Refusal."""
    raw = request.parameters.get(name)
    return read_uuid(raw, name) if raw else None


def read_uuid(text: str, name: str) -> UUID:
    """`text` as a UUID with its dashes; raises Refusal with the parameter's name."""
    if not _UUID.fullmatch(text):
        raise refusals.bad_parameter(f"{name} is not a valid UUID")
    return UUID(text)
