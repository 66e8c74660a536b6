"""The kinds of fault that a REST request can meet.

Those that come before the exchange leave no trace in it; those that come after have let it do its work.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from alpaca_simulator.faults.rules import ClientOrderIdPrefix, Match, Rule, Symbol

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "*")
_SEGMENT = re.compile(r"\{[a-z_]+\}|\*|[A-Za-z0-9_.:-]+")


def _route(text: str) -> str:
    method, space, path = text.partition(" ")
    if not space or method not in _METHODS:
        raise ValueError(f"begins with one of {', '.join(_METHODS)} and a space, such as POST /v2/orders")
    segments = path.removeprefix("/").removesuffix("/**").split("/")
    if not path.startswith("/") or (path != "/**" and not all(_SEGMENT.fullmatch(part) for part in segments)):
        raise ValueError("has a path such as /v2/orders/{order_id}, /v2/stocks/* or /v2/**")
    return text


class RestMatch(Match):
    """Which requests a fault is for; a field left out matches everything, several must all match."""

    route: Annotated[str, Field(max_length=200), AfterValidator(_route)] | None = Field(
        default=None,
        description="method (or *) and path; {anything} or * is one part of it, /** at the end is any rest",
    )
    symbol: Symbol | None = Field(default=None, description="of the order, the position or the data asked for")
    client_order_id_prefix: ClientOrderIdPrefix | None = Field(default=None, description="of the order concerned")

    def fits_route(self, method: str, segments: tuple[str, ...]) -> bool:
        """Whether a request of that method and decoded path is meant."""
        if self.route is None:
            return True
        wanted, _, template = self.route.partition(" ")
        if wanted not in {"*", method}:
            return False
        if template.endswith("/**"):
            template = template.removesuffix("/**")
            parts = tuple(template.strip("/").split("/")) if template else ()
            segments = segments[: len(parts)]
        else:
            parts = tuple(template.strip("/").split("/"))
        return len(parts) == len(segments) and all(map(_fits_segment, parts, segments))


class RestRule(Rule):
    """A fault of a REST request."""

    match: RestMatch = RestMatch()


class Latency(RestRule):
    """The answer comes late by `seconds` of the machine's time; the request itself arrived at once."""

    example: ClassVar[dict[str, Any]] = {
        "kind": "latency",
        "seconds": 2.5,
        "match": {"route": "GET /v2/account"},
        "probability": 0.2,
    }
    kind: Literal["latency"]
    seconds: float = Field(gt=0, le=600)


class SlowBytes(RestRule):
    """The answer trickles at `bytes_per_second`: a read timeout between two bytes does not notice."""

    example: ClassVar[dict[str, Any]] = {
        "kind": "slow_bytes",
        "bytes_per_second": 20,
        "match": {"route": "GET /v2/stocks/bars"},
    }
    kind: Literal["slow_bytes"]
    bytes_per_second: float = Field(ge=0.1, le=1_000_000)


class Outcome(RestRule):
    """A fault that decides how the request ends: of several that strike at once the first added does."""


class BeforeExchange(Outcome):
    """An outcome that the exchange never hears of."""


class AfterExchange(Outcome):
    """An outcome that only spoils the answer: the exchange has done what was asked."""


class Status(BeforeExchange):
    """An error answer in Alpaca's shape; without `code` the body has none, as some of Alpaca's have not."""

    example: ClassVar[dict[str, Any]] = {
        "kind": "status",
        "status": 503,
        "message": "service unavailable",
        "match": {"route": "POST /v2/orders", "symbol": "AAPL"},
        "count": 3,
        "skip": 1,
    }
    kind: Literal["status"]
    status: int = Field(ge=400, le=599)
    code: int | None = Field(default=None, ge=0, le=99_999_999)
    message: str = Field(default="injected fault", max_length=500)


class RateLimited(BeforeExchange):
    """429 as when too many requests were sent, with the rate limit's headers or without."""

    example: ClassVar[dict[str, Any]] = {"kind": "rate_limit", "retry_after_seconds": 3, "count": 5}
    kind: Literal["rate_limit"]
    headers: bool = Field(default=True, description="whether X-Ratelimit-* tell of it")
    retry_after_seconds: int | None = Field(default=None, ge=0, le=3_600, description="sends Retry-After")


class HtmlError(BeforeExchange):
    """An HTML page where JSON is expected, as a proxy in between sends it."""

    example: ClassVar[dict[str, Any]] = {"kind": "html_error", "status": 502, "count": 1}
    kind: Literal["html_error"]
    status: int = Field(default=502, ge=200, le=599)


class ResetBefore(BeforeExchange):
    """The connection is reset before the exchange saw the request."""

    example: ClassVar[dict[str, Any]] = {
        "kind": "reset_before",
        "match": {"route": "POST /v2/orders", "account": "paper"},
        "count": 1,
    }
    kind: Literal["reset_before"]


class Hang(Outcome):
    """Nothing is ever answered; after `at_most_seconds` of the machine's time the connection is reset."""

    example: ClassVar[dict[str, Any]] = {
        "kind": "hang",
        "match": {"route": "DELETE /v2/orders/{order_id}"},
        "reaches_exchange": True,
        "count": 1,
    }
    kind: Literal["hang"]
    reaches_exchange: bool = Field(default=False, description="whether the exchange does what was asked")
    at_most_seconds: float = Field(default=300, gt=0, le=3_600)


class ResetAfter(AfterExchange):
    """The exchange has done what was asked, and the client sees the connection reset."""

    example: ClassVar[dict[str, Any]] = {
        "kind": "reset_after",
        "match": {"route": "POST /v2/orders", "client_order_id_prefix": "bot-"},
        "count": 1,
    }
    kind: Literal["reset_after"]


class TimeoutAfter(AfterExchange):
    """The exchange has done what was asked, and a gateway answers 504 in its place."""

    example: ClassVar[dict[str, Any]] = {"kind": "timeout_after", "match": {"route": "POST /v2/orders"}, "count": 1}
    kind: Literal["timeout_after"]
    status: int = Field(default=504, ge=500, le=599)


class TruncatedJson(AfterExchange):
    """Only the first `fraction` of the body arrives.

    With `honest_length` the headers promise no more than that and the JSON is broken; without, the
    connection ends in the middle of the body.
    """

    example: ClassVar[dict[str, Any]] = {
        "kind": "truncated_json",
        "fraction": 0.5,
        "match": {"route": "GET /v2/positions"},
        "count": 2,
    }
    kind: Literal["truncated_json"]
    fraction: float = Field(default=0.5, ge=0, lt=1)
    honest_length: bool = True


class EmptyBody(AfterExchange):
    """The status is the right one and the body is empty."""

    example: ClassVar[dict[str, Any]] = {"kind": "empty_body", "match": {"route": "GET /v2/account"}, "count": 1}
    kind: Literal["empty_body"]


RestKind = (
    Latency
    | SlowBytes
    | Status
    | RateLimited
    | HtmlError
    | ResetBefore
    | Hang
    | ResetAfter
    | TimeoutAfter
    | TruncatedJson
    | EmptyBody
)


def _fits_segment(template: str, segment: str) -> bool:
    return template == "*" or (template.startswith("{") and segment != "") or template == segment
