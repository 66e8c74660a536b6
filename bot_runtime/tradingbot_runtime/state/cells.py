"""Cells of a row: decimals and times are text, so that no digit is lost. Raises ValueError for anything else."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

Row = dict[str, str | int | None]
Cells = Mapping[str, str | int | None]


def time_text(at: datetime) -> str:
    """A time as text that sorts and reads back exactly, in UTC."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def optional_time_text(at: datetime | None) -> str | None:
    """The same, or None."""
    return None if at is None else time_text(at)


def optional_decimal_text(value: Decimal | None) -> str | None:
    """A decimal as text, or None."""
    return None if value is None else str(value)


def text(row: Cells, column: str) -> str:
    """A text."""
    return str(row[column])


def optional_text(row: Cells, column: str) -> str | None:
    """A text, or None."""
    return None if row[column] is None else text(row, column)


def decimal(row: Cells, column: str) -> Decimal:
    """A decimal."""
    try:
        return Decimal(text(row, column))
    except ArithmeticError as error:
        raise ValueError(f"{column} is not a number: {row[column]!r}") from error


def optional_decimal(row: Cells, column: str) -> Decimal | None:
    """A decimal, or None."""
    return None if row[column] is None else decimal(row, column)


def time(row: Cells, column: str) -> datetime:
    """A time, in UTC."""
    return datetime.fromisoformat(text(row, column))


def optional_time(row: Cells, column: str) -> datetime | None:
    """A time, or None."""
    return None if row[column] is None else time(row, column)


def integer(row: Cells, column: str) -> int:
    """A whole number."""
    return int(text(row, column))


def optional_integer(row: Cells, column: str) -> int | None:
    """A whole number, or None."""
    return None if row[column] is None else integer(row, column)
