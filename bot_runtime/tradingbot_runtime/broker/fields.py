"""Single fields of Alpaca's JSON: what is missing or no number is a ValueError that names it, never a guess."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

Json = Mapping[str, Any]


def object_of(raw: object, what: str) -> Json:
    """A JSON object. Raises ValueError."""
    if not isinstance(raw, Mapping):
        raise ValueError(f"the broker's answer is not {what}")
    return raw


def list_of(raw: object) -> list[object]:
    """A JSON list. Raises ValueError."""
    if not isinstance(raw, list):
        raise ValueError("the broker's answer is not a list")
    return raw


def decimal_of(body: Json, field: str, default: Decimal | None = None) -> Decimal:
    """A number, sent as text or as such. Raises ValueError when it is none, or missing without a default."""
    value = body.get(field)
    if value is None or value == "":
        if default is None:
            raise ValueError(f"the broker's answer has no {field}")
        return default
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise ValueError(f"{field} is not a number: {value!r}") from error
    if not number.is_finite():
        raise ValueError(f"{field} is not a number: {value!r}")
    return number


def optional_decimal(body: Json, field: str) -> Decimal | None:
    """A number, or None where there is none. Raises ValueError when it is something else."""
    return None if body.get(field) in (None, "") else decimal_of(body, field)


def text_of(body: Json, field: str) -> str:
    """Text that is there. Raises ValueError."""
    value = body.get(field)
    if not isinstance(value, str) or not value:
        raise ValueError(f"the broker's answer has no {field}")
    return value


def id_of(body: Json, field: str) -> str:
    """An id of Alpaca's, a UUID in its usual form: it becomes a part of addresses. Raises ValueError."""
    try:
        return str(UUID(text_of(body, field)))
    except ValueError as error:
        raise ValueError(f"{field} is no id: {body.get(field)!r}") from error


def moment_of(body: Json, field: str) -> datetime:
    """An ISO 8601 moment in UTC; nanoseconds are cut to microseconds. Raises ValueError."""
    return utc(datetime.fromisoformat(text_of(body, field)))


def utc(at: datetime) -> datetime:
    """The same moment in UTC; one without a zone is UTC."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
