"""What an error of alpaca-py, requests or a body means for the bot. The one place that tells "no" from "who knows".

An order is only rejected when the broker itself said so in words we can read, and only "not taken" when it is certain
that no order was looked at; all else leaves it in doubt. docs/broker-faults.md has the table.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import requests
from alpaca.common.exceptions import APIError
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from tradingbot_runtime.broker.lanes import LaneTimeout
from tradingbot_runtime.broker.port import (
    BrokerError,
    BrokerUnavailable,
    OrderInDoubt,
    OrderNotTaken,
    OrderRejected,
    Unauthorized,
)
from tradingbot_runtime.broker.rate_headers import RateHeaders, rate_headers

_DUPLICATE_ID = 40010001
_NOT_FOUND = 40410000
_TOO_MANY_REQUESTS = 42910000
_FINAL = frozenset({400, 403, 404, 413, 422})
_MAX_MESSAGE_LENGTH = 300


@dataclass(frozen=True)
class Answer:
    """An error as the broker answered it; `code` is None where the body has none."""

    status: int
    code: int | None
    message: str
    is_readable: bool
    """Whether the body is JSON with a message: the broker's own word, not that of a proxy before it."""
    rate: RateHeaders


def answer_of(error: APIError) -> Answer:
    """The answer inside alpaca-py's error, whose own `code` fails on bodies without one."""
    text = str(error)
    status = error.status_code or 0
    headers: Mapping[str, str] = error.response.headers if error.response is not None else {}
    rate = rate_headers(headers)
    try:
        body: object = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict) or "message" not in body:
        return Answer(status, None, short(text), is_readable=False, rate=rate)
    code = body.get("code")
    return Answer(
        status,
        code if isinstance(code, int) else None,
        short(str(body["message"])),
        is_readable=True,
        rate=rate,
    )


def of_call(error: Exception, doing: str) -> BrokerError:
    """What a failed read, cancel or close means."""
    if isinstance(error, BrokerError):
        return error
    if not isinstance(error, APIError):
        may_pass = not isinstance(error, requests.exceptions.TooManyRedirects)
        return BrokerUnavailable(f"{doing}: {_described(error)}", may_pass=may_pass)
    answer = answer_of(error)
    said = f"{doing}: {answer.status} {answer.message}"
    if answer.status == 401:
        return unauthorized(said)
    if answer.status in _FINAL and answer.is_readable:
        return OrderRejected(said, status=answer.status)
    may_pass = answer.status in {408, 429} or answer.status >= 500
    return BrokerUnavailable(said, may_pass=may_pass, after_seconds=answer.rate.retry_after_seconds or 0.0)


def of_write(error: Exception, doing: str) -> BrokerError:
    """What a failed submit or replace means for the new order: refused for good, not taken, or in doubt.

    A 422 for a doubled id says that the order is there already. A 429 counts as not taken only where the counting is
    known to be the broker's own, which it does before it looks at an order: its error code, or its rate limit headers.
    A bare 429 may come from anything on the way, perhaps after the order has passed: asking by client_order_id costs
    one read, a wrong guess an order that nobody watches.
    """
    if isinstance(error, BrokerError):
        return error
    if never_left(error):
        return OrderNotTaken(f"{doing}: {_described(error)}")
    if not isinstance(error, APIError):
        return OrderInDoubt(f"{doing}: {_described(error)}")
    answer = answer_of(error)
    said = f"{doing}: {answer.status} {answer.message}"
    if answer.status == 401:
        return unauthorized(said)
    if answer.status == 429 and (answer.code == _TOO_MANY_REQUESTS or answer.rate.limit is not None):
        return OrderNotTaken(said)
    doubled = answer.code == _DUPLICATE_ID and "client_order_id" in answer.message
    if answer.status in _FINAL and answer.is_readable and not doubled:
        return OrderRejected(said, status=answer.status)
    return OrderInDoubt(said)


def never_left(error: BaseException) -> bool:
    """Whether it is certain that not one byte of the request was sent: no thread took it, or no connection was made."""
    if isinstance(error, LaneTimeout):
        return not error.started
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return True
    reasons = (NewConnectionError, NameResolutionError, ConnectTimeoutError)
    return isinstance(error, requests.exceptions.ConnectionError) and any(
        isinstance(cause, reasons) for cause in _causes(error)
    )


def is_not_found(error: APIError) -> bool:
    """Whether the broker itself says that there is no such thing; a proxy's 404 page says nothing."""
    answer = answer_of(error)
    return answer.status == 404 and answer.is_readable and answer.code in {None, _NOT_FOUND}


def is_final(error: APIError, status: int) -> bool:
    """Whether the broker itself answered with this status."""
    answer = answer_of(error)
    return answer.status == status and answer.is_readable


def unauthorized(said: str) -> Unauthorized:
    """The broker refuses the keys."""
    return Unauthorized(
        f"{said}: the broker refuses the keys; check APCA_API_KEY_ID and APCA_API_SECRET_KEY in the account's"
        " Secret, and that they are of this environment"
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What requests and urllib3 wrapped, which they put into arguments and attributes as well as into contexts."""
    waiting: list[object] = [error]
    for _ in range(20):
        if not waiting:
            return
        cause = waiting.pop()
        if isinstance(cause, BaseException):
            yield cause
            waiting += [*cause.args, getattr(cause, "reason", None), cause.__cause__]


def _described(error: Exception) -> str:
    if isinstance(error, LaneTimeout):
        return str(error)
    return short(f"{type(error).__name__}: {error}")


def short(text: str) -> str:
    """Words of somebody else's on one line, bounded, that can be written anywhere."""
    # A lone surrogate from a JSON escape could not be written to the journal.
    clean = " ".join(text.encode("utf-8", "replace").decode().split())
    return clean if len(clean) <= _MAX_MESSAGE_LENGTH else f"{clean[:_MAX_MESSAGE_LENGTH]}…"
