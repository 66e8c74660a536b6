"""Requests and responses as values, and how a request's parts are read.

No sockets: whoever has one turns its bytes into a Request and a Response into its bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from urllib.parse import parse_qsl, unquote

from alpaca_simulator.exchange import refusals

#: An order is a few hundred bytes; nothing this API takes is near this.
LARGEST_BODY_BYTES = 64 * 1024


@dataclass(frozen=True)
class Request:
    """An HTTP request: `path` as it was sent (percent-encoded, without query), `query` without its `?`.

    Header names may have any case.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @cached_property
    def segments(self) -> tuple[str, ...]:
        """The decoded parts of the path between its slashes."""
        return tuple(unquote(part) for part in self.path.strip("/").split("/"))

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The query's parameters; of a repeated one the last counts."""
        return dict(parse_qsl(self.query, keep_blank_values=True, errors="replace"))

    def header(self, name: str) -> str | None:
        """The header of that name in any case."""
        wanted = name.lower()
        return next((value for key, value in self.headers.items() if key.lower() == wanted), None)

    def json_object(self) -> dict[str, object]:
        """The body as a JSON object, numbers as Decimal; raises Refusal when it is none."""
        if len(self.body) > LARGEST_BODY_BYTES:
            raise refusals.too_large(LARGEST_BODY_BYTES)
        try:
            parsed = json.loads(self.body, parse_float=Decimal, parse_int=Decimal, parse_constant=_no_such_number)
        except (ValueError, ArithmeticError, RecursionError) as error:
            raise refusals.bad_body() from error
        if not isinstance(parsed, dict):
            raise refusals.bad_body()
        return parsed


@dataclass(frozen=True)
class Response:
    """An HTTP response."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def json_response(status: int, body: object) -> Response:
    """A response with a JSON body."""
    return Response(status, json_bytes(body), {"Content-Type": "application/json; charset=UTF-8"})


def refusal_response(refusal: refusals.Refusal) -> Response:
    """The response that a refusal stands for."""
    return json_response(refusal.status, refusal.body())


def json_bytes(body: object) -> bytes:
    """Compact JSON; the same value always gives the same bytes."""
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()


def _no_such_number(text: str) -> Decimal:
    raise ValueError(f"{text} is not a number in JSON")
