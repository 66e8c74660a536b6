"""How our models read and write: camelCase in YAML, unknown fields refused, values frozen."""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel


class ApiModel(BaseModel):
    """A frozen document part with camelCase names; an unknown field is an error, never silently kept."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )


class ObservedModel(ApiModel):
    """A part of a document that another version of a program may have written: unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore")


def cel(rule: str, message: str) -> dict[str, JsonValue]:
    """One entry of `x-kubernetes-validations`; the message says what to do."""
    return {"rule": rule, "message": message}


def _decimal_from_string(value: object) -> object:
    # A float in YAML (capital: 0.1) has lost the digits the user wrote before we see it: refuse it.
    if isinstance(value, float):
        raise ValueError('write the number as a string, in quotes: "0.1"')
    return value


def _plain(value: Decimal) -> str:
    return format(value, "f")


_DECIMAL = (BeforeValidator(_decimal_from_string), PlainSerializer(_plain, return_type=str))


def _decimal_schema(pattern: str, *rules: dict[str, JsonValue]) -> WithJsonSchema:
    schema: dict[str, Any] = {"type": "string", "pattern": pattern, "maxLength": 24}
    if rules:
        schema["x-kubernetes-validations"] = list(rules)
    return WithJsonSchema(schema)


_MOST_DIGITS = 12
_NINE_PLACES = Decimal("1e-9")


def _writable(value: Decimal) -> Decimal:
    # As text 1E+999999999 is a gigabyte: a program that reads what another says must refuse it before it is written.
    if not value:
        return Decimal(0) if value.adjusted() > _MOST_DIGITS else value
    if value.adjusted() >= _MOST_DIGITS:
        raise ValueError(f"at most {_MOST_DIGITS} digits before the point")
    exponent = value.as_tuple().exponent
    return value.quantize(_NINE_PLACES) if isinstance(exponent, int) and exponent < -9 else value


Amount = Annotated[Decimal, AfterValidator(_writable), *_DECIMAL, _decimal_schema(r"^-?[0-9]{1,12}(\.[0-9]{1,9})?$")]
"""Money or a quantity that may be negative; a string in YAML, e.g. "-12.50"."""

PositiveAmount = Annotated[
    Decimal,
    Field(gt=0, max_digits=21, decimal_places=9),
    *_DECIMAL,
    _decimal_schema(
        r"^[0-9]{1,12}(\.[0-9]{1,9})?$",
        cel("double(self) > 0.0", 'must be greater than 0: write an amount such as "10000"'),
    ),
]
"""Money above zero; a string in YAML, e.g. "10000"."""


def _above_zero(up_to: int, example: str) -> tuple[object, ...]:
    schema = _decimal_schema(
        r"^[0-9]{1,3}(\.[0-9]{1,4})?$",
        cel(f"double(self) > 0.0 && double(self) <= {up_to}.0", f"must be above 0 and at most {up_to}, e.g. {example}"),
    )
    return (Field(gt=0, le=up_to), *_DECIMAL, schema)


Percent = Annotated[Decimal, *_above_zero(up_to=100, example='"2.5" for 2.5 %')]
"""A percentage above 0 and at most 100; a string in YAML, e.g. "2.5" for 2.5 %."""

LeveragePercent = Annotated[Decimal, *_above_zero(up_to=400, example='"150" for one and a half times the equity')]
"""A percentage that may exceed 100 by borrowing; a string in YAML, e.g. "150"."""

ZeroOrPercent = Annotated[
    Decimal,
    Field(ge=0, le=100),
    *_DECIMAL,
    _decimal_schema(
        r"^[0-9]{1,3}(\.[0-9]{1,4})?$",
        cel("double(self) <= 100.0", 'must be from 0 to 100, e.g. "2.5" for 2.5 %'),
    ),
]
"""A percentage from 0 to 100; a string in YAML, e.g. "2.5" for 2.5 %."""

Ratio = Annotated[Decimal, *_above_zero(up_to=100, example='"1.5"')]
"""A number without a unit above 0 and at most 100; a string in YAML, e.g. "1.5"."""

Probability = Annotated[
    Decimal,
    Field(gt=0, le=1),
    *_DECIMAL,
    _decimal_schema(
        r"^[01](\.[0-9]{1,6})?$",
        cel("double(self) > 0.0 && double(self) <= 1.0", 'must be above 0 and at most 1, e.g. "0.05"'),
    ),
]
"""A probability above 0 and at most 1; a string in YAML, e.g. "0.05"."""

Span = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,3}(m|h|d)$", max_length=5)]
"""A length of time: 90m, 24h, 30d."""

Symbol = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{0,9}(\.[A-Z]{1,2})?$", max_length=12)]
"""A ticker as the broker writes it: AAPL, BRK.B."""

ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", min_length=1, max_length=63)]
"""A Kubernetes object's name (RFC 1123 label)."""

QuantityString = Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,3})?(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$", max_length=16)]
"""A Kubernetes quantity of storage: 1Gi, 500Mi."""
