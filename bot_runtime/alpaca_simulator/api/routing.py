"""Which API a path belongs to, and what is said of those that Alpaca has and this simulator has not.

Only looks at paths; answering is the rest's.
"""

from __future__ import annotations

from enum import StrEnum

from alpaca_simulator.exchange import refusals

STREAM_PATH = "/stream"
DATA_STREAM_PATH = "/v2/{feed:iex|sip|delayed_sip|boats|overnight|otc|test}"
_DATA_STREAMS = frozenset({"iex", "sip", "delayed_sip", "boats", "overnight", "otc", "test"})

#: Below these Alpaca has an API that is not simulated; longer paths first.
_ELSEWHERE = (
    (("v1beta1", "corporate-actions"), "the corporate actions API"),
    (("v1beta1", "crypto-perps"), "the perpetuals API"),
    (("v1beta1", "fixed_income"), "the fixed income data API"),
    (("v1beta1", "forex"), "the forex API"),
    (("v1beta1", "indicative"), "the options data stream"),
    (("v1beta1", "logos"), "the logos API"),
    (("v1beta1", "news"), "the news API"),
    (("v1beta1", "opra"), "the options data stream"),
    (("v1beta1", "options"), "the options data API"),
    (("v1beta1", "screener"), "the screener API"),
    (("v1beta2", "crypto"), "the crypto data API"),
    (("v1beta3", "crypto"), "the crypto data API"),
    (("v1",), "the broker API"),
    (("v2beta1",), "the broker API"),
)


class Api(StrEnum):
    """The parts of the REST API."""

    ADMIN = "admin"
    TRADING = "trading"
    DATA = "data"
    STREAM = "stream"
    NOWHERE = "nowhere"


def api_of(segments: tuple[str, ...]) -> Api:
    """The API that answers a path of these decoded parts."""
    match segments:
        case ("healthz",) | ("admin", *_):
            return Api.ADMIN
        case ("stream",):
            return Api.STREAM
        case ("v2", str(feed)) if feed in _DATA_STREAMS:
            return Api.STREAM
        case ("v2", "stocks", *_) | ("v1", "corporate-actions", *_):
            return Api.DATA
        case ("v2", *_):
            return Api.TRADING
    return Api.NOWHERE


def nowhere(segments: tuple[str, ...]) -> refusals.Refusal:
    """What is said of a path that no API here answers: 501 where Alpaca has one, else 404."""
    for beginning, what in _ELSEWHERE:
        if segments[: len(beginning)] == beginning:
            return refusals.not_implemented(what)
    return refusals.not_found("endpoint not found.")


def no_websocket() -> refusals.Refusal:
    """What is said of a plain request where a stream is."""
    return refusals.Refusal(400, None, "websocket upgrade required")
