"""Every kind of fault there is: read from JSON, written back, and explained.

What cannot be read is refused with the field's name.
"""

from __future__ import annotations

import inspect
from typing import Annotated, Any, get_args

from pydantic import Field, TypeAdapter, ValidationError

from alpaca_simulator.faults.data_kinds import DataKind
from alpaca_simulator.faults.rest_kinds import RestKind
from alpaca_simulator.faults.rules import FaultError, Rule
from alpaca_simulator.faults.stream_kinds import StreamKind

#: What is wrong may quote what was sent, which may be long.
LONGEST_MESSAGE = 1_000

AnyRule = Annotated[RestKind | StreamKind | DataKind, Field(discriminator="kind")]

KINDS: dict[str, type[Rule]] = {
    get_args(kind.model_fields["kind"].annotation)[0]: kind
    for kind in (*get_args(RestKind), *get_args(StreamKind), *get_args(DataKind))
}

_RULE: TypeAdapter[Any] = TypeAdapter(AnyRule)


def read_rule(raw: bytes | str) -> Rule:
    """The rule in a JSON text; raises FaultError that names each field."""
    try:
        rule: Rule = _RULE.validate_json(raw)
    except ValidationError as error:
        raise FaultError(problems(error)) from error
    return rule


def rule_json(rule: Rule) -> dict[str, Any]:
    """The rule as it could be read again: kind first, what has its default left out."""
    written: dict[str, Any] = rule.model_dump(mode="json", exclude_defaults=True)
    return {"kind": written.pop("kind"), **written}


def explained() -> list[dict[str, Any]]:
    """Each kind with what it does, an example, and its fields as a JSON schema."""
    return [
        {
            "kind": name,
            "description": inspect.cleandoc(kind.__doc__ or ""),
            "example": kind.example,
            "schema": kind.model_json_schema(),
        }
        for name, kind in KINDS.items()
    ]


def problems(error: ValidationError, *, is_step: bool = False) -> str:
    """What is wrong, one part for each field, cut; `is_step` where a rule is only a part of what was read."""
    return "; ".join(
        f"{_field(problem['loc'], is_step=is_step)}: {problem['msg']}"
        for problem in error.errors(include_input=False, include_url=False)
    )[:LONGEST_MESSAGE]


def _field(location: tuple[int | str, ...], *, is_step: bool) -> str:
    """The field's path as it was written: the name of the kind is in pydantic's though it is no field."""
    kinds = {index + 1 for index, part in enumerate(location) if part in {"add", "do"}} if is_step else {0}
    return ".".join(str(part) for index, part in enumerate(location) if index not in kinds) or "body"
