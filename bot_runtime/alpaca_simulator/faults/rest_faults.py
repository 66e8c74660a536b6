"""The seam at the REST API: which faults meet a request, and what they make of its answer.

Asked once a request, before the exchange sees it; never waits and never touches the exchange.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from alpaca_simulator.api.messages import Response, json_bytes, json_response, refusal_response
from alpaca_simulator.exchange.refusals import Refusal
from alpaca_simulator.faults import data_kinds, rest_kinds
from alpaca_simulator.faults.book import FaultBook
from alpaca_simulator.faults.delivery import AT_ONCE, Answer, Delivery

#: When a 429 that was injected says the count begins anew.
_WINDOW_SECONDS = 60

_HTML = b"<html>\r\n<head><title>%d</title></head>\r\n<body><center><h1>%d</h1></center></body>\r\n</html>\r\n"


@dataclass(frozen=True)
class Subject:
    """What is known of a request when faults are matched."""

    method: str
    segments: tuple[str, ...]
    account: str | None = None
    symbols: frozenset[str] = frozenset()
    client_order_ids: tuple[str, ...] = ()

    def fits(self, match: rest_kinds.RestMatch) -> bool:
        """Whether the request is one of those meant."""
        return (
            match.account in {None, self.account}
            and (match.symbol is None or match.symbol in self.symbols)
            and (
                match.client_order_id_prefix is None
                or any(one.startswith(match.client_order_id_prefix) for one in self.client_order_ids)
            )
            and match.fits_route(self.method, self.segments)
        )


@dataclass(frozen=True)
class Struck:
    """The faults that meet one request: how it ends, and how its answer travels."""

    outcome: rest_kinds.Outcome | None = None
    delivery: Delivery = AT_ONCE
    #: The Unix epoch second of the clock that counts requests.
    epoch: int = 0

    @property
    def reaches_exchange(self) -> bool:
        """Whether the exchange is to do what the request asks for."""
        if isinstance(self.outcome, rest_kinds.Hang):
            return self.outcome.reaches_exchange
        return not isinstance(self.outcome, rest_kinds.BeforeExchange)

    def instead(self) -> Answer:
        """The answer to a request that the exchange never sees."""
        return self.after(Response(503))

    def after(self, response: Response) -> Answer:
        """What becomes of the true `response`."""
        match self.outcome:
            case None:
                return Answer(response, self.delivery)
            case rest_kinds.ResetBefore() | rest_kinds.ResetAfter():
                return Answer(None, replace(self.delivery, reset=True))
            case rest_kinds.Hang(at_most_seconds=seconds):
                return Answer(None, replace(self.delivery, reset=True, silent_seconds=seconds))
            case rest_kinds.TruncatedJson(fraction=fraction, honest_length=honest):
                kept = int(len(response.body) * fraction)
                if honest:
                    return Answer(replace(response, body=response.body[:kept]), self.delivery)
                return Answer(response, replace(self.delivery, cut_after_bytes=kept))
        return Answer(self._spoilt(response), self.delivery)

    def _spoilt(self, response: Response) -> Response:
        match self.outcome:
            case rest_kinds.Status(status=status, code=code, message=message):
                return refusal_response(Refusal(status, code, message))
            case rest_kinds.RateLimited() as limited:
                return self._rate_limited(limited)
            case rest_kinds.HtmlError(status=status):
                body = _HTML % (status, status)
                return Response(status, body, {"Content-Type": "text/html"})
            case rest_kinds.TimeoutAfter(status=status):
                return json_response(status, {"message": "gateway timeout"})
            case rest_kinds.EmptyBody():
                return replace(response, body=b"")
            case data_kinds.BadColumns() as bad:
                return replace(response, body=_without_columns(response.body, bad))
        raise AssertionError(f"no such outcome: {self.outcome}")

    def _rate_limited(self, limited: rest_kinds.RateLimited) -> Response:
        response = json_response(429, {"code": 42910000, "message": "rate limit exceeded"})
        headers = dict(response.headers)
        wait = limited.retry_after_seconds
        if limited.headers:
            reset = self.epoch + (_WINDOW_SECONDS if wait is None else wait)
            headers |= {"X-Ratelimit-Limit": "200", "X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": str(reset)}
        if wait is not None:
            headers["Retry-After"] = str(wait)
        return replace(response, headers=headers)


UNHARMED = Struck()


class RestFaults:
    """Asks the book about each request; `seconds` is the Unix time of the clock that counts requests."""

    def __init__(self, book: FaultBook, seconds: Callable[[], float]) -> None:
        self._book = book
        self._seconds = seconds

    @property
    def is_idle(self) -> bool:
        """Whether no request can meet a fault, so that nobody need say what it is about."""
        return not self._book.of(rest_kinds.RestRule)

    def meet(self, subject: Subject, now: datetime) -> Struck:
        """The faults that meet the request at market time `now`; each is noted."""
        outcome: rest_kinds.Outcome | None = None
        delay, slowest = 0.0, None
        for entry in self._book.of(rest_kinds.RestRule):
            rule = entry.rule
            if not subject.fits(rule.match) or not self._book.strikes(entry, now):
                continue
            if isinstance(rule, rest_kinds.Outcome):
                if outcome is not None:
                    continue
                outcome = rule
            elif isinstance(rule, rest_kinds.Latency):
                delay += rule.seconds
            elif isinstance(rule, rest_kinds.SlowBytes):
                slowest = min(slowest or rule.bytes_per_second, rule.bytes_per_second)
            self._book.note(entry, now, f"{subject.method} /{'/'.join(subject.segments)}", subject.account)
        return Struck(outcome, Delivery(delay_seconds=delay, bytes_per_second=slowest), int(self._seconds()))


def _without_columns(body: bytes, bad: data_kinds.BadColumns) -> bytes:
    def spoil(value: object) -> object:
        if isinstance(value, list):
            return [spoil(one) for one in value]
        if not isinstance(value, dict):
            return value
        if "t" not in value:
            return {name: spoil(one) for name, one in value.items()}
        if bad.how == "missing":
            return {name: one for name, one in value.items() if name not in bad.columns}
        return {name: None if name in bad.columns else one for name, one in value.items()}

    try:
        return json_bytes(spoil(json.loads(body)))
    except (ValueError, RecursionError):
        return body
