"""What an error of alpaca-py, requests or a body means for the bot. The one place that tells "no" from "who knows".

An order is only rejected when the broker itself said so in words we can read; all else leaves it in doubt.
"""

import json
from dataclasses import dataclass

from alpaca.common.exceptions import APIError

from tradingbot_runtime.broker.lanes import LaneTimeout
from tradingbot_runtime.broker.port import (
    BrokerError,
    BrokerUnavailable,
    OrderInDoubt,
    OrderRejected,
    Unauthorized,
)

_DUPLICATE_ID = 40010001
_NOT_FOUND = 40410000
_FINAL = frozenset({400, 403, 404, 422})
_MAX_MESSAGE_LENGTH = 300


@dataclass(frozen=True)
class Answer:
    """An error as the broker answered it; `code` is None where the body has none."""

    status: int
    code: int | None
    message: str
    is_readable: bool
    """Whether the body is JSON with a message: the broker's own word, not that of a proxy before it."""


def answer_of(error: APIError) -> Answer:
    """The answer inside alpaca-py's error, whose own `code` fails on bodies without one."""
    body: object = None
    text = str(error)
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    status = error.status_code or 0
    if not isinstance(body, dict) or "message" not in body:
        return Answer(status, None, _short(text), is_readable=False)
    code = body.get("code")
    return Answer(
        status,
        code if isinstance(code, int) else None,
        _short(str(body["message"])),
        is_readable=True,
    )


def of_call(error: Exception, doing: str) -> BrokerError:
    """What a failed read, cancel or close means."""
    if isinstance(error, BrokerError):
        return error
    if not isinstance(error, APIError):
        return BrokerUnavailable(f"{doing}: {_described(error)}")
    answer = answer_of(error)
    said = f"{doing}: {answer.status} {answer.message}"
    if answer.status == 401:
        return unauthorized(said)
    if answer.status in _FINAL and answer.is_readable:
        return OrderRejected(said)
    return BrokerUnavailable(said)


def of_submit(error: Exception, client_order_id: str) -> BrokerError:
    """What a failed submit means for the order: refused for good, or in doubt.

    A 429 most likely refuses, but whoever counts requests may stand behind whoever takes orders, and no body says
    which: asking by client_order_id costs one read, a second order costs money. A 422 for a doubled id says that
    the order is there already.
    """
    if isinstance(error, BrokerError):
        return error
    if not isinstance(error, APIError):
        return OrderInDoubt(f"submit {client_order_id}: {_described(error)}")
    answer = answer_of(error)
    said = f"submit {client_order_id}: {answer.status} {answer.message}"
    if answer.status == 401:
        return unauthorized(said)
    doubled = answer.code == _DUPLICATE_ID and "client_order_id" in answer.message
    if answer.status in _FINAL and answer.is_readable and not doubled:
        return OrderRejected(said)
    return OrderInDoubt(said)


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


def _described(error: Exception) -> str:
    if isinstance(error, LaneTimeout):
        return str(error)
    return _short(f"{type(error).__name__}: {error}")


def _short(text: str) -> str:
    # A lone surrogate from a JSON escape could not be written to the journal.
    clean = " ".join(text.encode("utf-8", "replace").decode().split())
    return clean if len(clean) <= _MAX_MESSAGE_LENGTH else f"{clean[:_MAX_MESSAGE_LENGTH]}…"
