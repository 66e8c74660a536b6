"""The kinds of fault of the streams: of keys, of trade updates on their way, and of sockets.

A fault of an update happens once to that update; a fault of a socket to each connection by itself.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from alpaca_simulator.exchange.lifecycle import Event
from alpaca_simulator.faults.rules import AccountName, ClientOrderIdPrefix, Match, Rule, Seconds, Strict, Symbol

StreamName = Literal["trade_updates", "market_data"]
Moment = Literal["now", "listening", "message"]


class KeyMatch(Match):
    """Where a key is no longer accepted; a field left out matches everything."""

    place: Literal["rest", "trade_updates", "market_data"] | None = Field(
        default=None, description="the REST API or the authentication of one of the streams"
    )


class ExpiredKeys(Rule):
    """Right keys are refused as wrong ones are: 401 of the REST API, `unauthorized` of the streams.

    Give `since` and `until` for keys that expire in mid-day. Streams that are open stay open.
    """

    example: ClassVar[dict[str, Any]] = {
        "kind": "expired_keys",
        "match": {"account": "paper"},
        "since": "2026-03-02T17:00:00Z",
        "until": "2026-03-02T17:30:00Z",
    }
    kind: Literal["expired_keys"]
    match: KeyMatch = KeyMatch()


class UpdateMatch(Match):
    """Which trade updates a fault is for; a field left out matches everything."""

    events: tuple[Event, ...] = Field(default=(), max_length=len(Event), description="such as fill and partial_fill")
    symbol: Symbol | None = None
    client_order_id_prefix: ClientOrderIdPrefix | None = None


class UpdateRule(Rule):
    """A fault of a trade update between the exchange and whoever listens: of several the first added strikes."""

    match: UpdateMatch = UpdateMatch()


class DuplicateUpdate(UpdateRule):
    """The same update is sent `copies` times more, with the same execution id."""

    example: ClassVar[dict[str, Any]] = {"kind": "duplicate_update", "match": {"events": ["fill"]}, "copies": 2}
    kind: Literal["duplicate_update"]
    copies: int = Field(default=1, ge=1, le=10)


class ReorderUpdate(UpdateRule):
    """The update lets up to `window` later ones of its account go first; it waits at most `seconds` for them.

    Seconds are of market time on a stepped clock and of the machine's otherwise.
    """

    example: ClassVar[dict[str, Any]] = {
        "kind": "reorder_update",
        "match": {"events": ["new"], "account": "paper"},
        "window": 2,
    }
    kind: Literal["reorder_update"]
    window: int = Field(default=1, ge=1, le=100)
    seconds: Seconds = 60.0


class DelayUpdate(UpdateRule):
    """The update comes late by `seconds`: of market time on a stepped clock, of the machine's otherwise."""

    example: ClassVar[dict[str, Any]] = {"kind": "delay_update", "seconds": 30, "match": {"symbol": "SPY"}}
    kind: Literal["delay_update"]
    seconds: Seconds


class LoseUpdate(UpdateRule):
    """The update is never sent."""

    example: ClassVar[dict[str, Any]] = {
        "kind": "lose_update",
        "match": {"events": ["fill", "canceled"]},
        "probability": 0.1,
    }
    kind: Literal["lose_update"]


class ConnectMatch(Strict):
    """Which stream a fault is for; without one it is for both."""

    stream: StreamName | None = Field(default=None, description="trade_updates is /stream, market_data is /v2/{feed}")


class SocketMatch(ConnectMatch):
    """Which connections a fault is for; a field left out matches everything."""

    account: AccountName | None = Field(default=None, description="the name of the account that authenticated")


class MomentRule(Rule):
    """A fault of an open connection.

    `when` says what is an opportunity: `now` any moment, `listening` when a client has authenticated and
    listens or subscribes (with a count: a storm of drops), `message` each frame about to be sent.
    """

    match: SocketMatch = SocketMatch()
    when: Moment = "now"


class DropSocket(MomentRule):
    """The connection ends: with a reset, or with a close frame of `close_code`; the message at hand is lost."""

    example: ClassVar[dict[str, Any]] = {
        "kind": "drop_socket",
        "when": "listening",
        "count": 5,
        "match": {"stream": "trade_updates", "account": "paper"},
    }
    kind: Literal["drop_socket"]
    close_code: int | None = Field(default=None, ge=1000, le=4999, description="without one the connection is reset")


class MuteSocket(MomentRule):
    """The connection stays open and nothing comes any more; what would have been sent is lost.

    It ends after `seconds` (of market time on a stepped clock, of the machine's otherwise), when the rule
    is removed, or never.
    """

    example: ClassVar[dict[str, Any]] = {
        "kind": "mute_socket",
        "when": "now",
        "answers_pings": False,
        "match": {"stream": "trade_updates"},
        "count": 1,
    }
    kind: Literal["mute_socket"]
    seconds: Seconds | None = None
    answers_pings: bool = True


class GarbageFrame(MomentRule):
    """A frame that nobody can understand is sent; with `instead` the message at hand is lost for it."""

    example: ClassVar[dict[str, Any]] = {"kind": "garbage_frame", "when": "message", "every": 3, "content": "cut_off"}
    kind: Literal["garbage_frame"]
    content: Literal["noise", "cut_off", "wrong_shape", "empty"] = Field(
        default="noise", description="random bytes, half of a message, a list of numbers, or nothing"
    )
    instead: bool = False


class ErrorFrame(MomentRule):
    """The market data stream sends an error of its own kind, such as 406 connection limit exceeded.

    The trade-update stream has no error codes: there it is an `error` message.
    """

    example: ClassVar[dict[str, Any]] = {
        "kind": "error_frame",
        "when": "listening",
        "code": 406,
        "message": "connection limit exceeded",
        "match": {"stream": "market_data"},
        "count": 1,
    }
    kind: Literal["error_frame"]
    code: int = Field(default=500, ge=400, le=599)
    message: str = Field(default="internal error", max_length=200)
    closes: bool = Field(default=True, description="whether the connection ends after it")


class RefuseConnection(Rule):
    """The upgrade to a websocket is answered with `status`, or with a reset where it is null."""

    example: ClassVar[dict[str, Any]] = {"kind": "refuse_connection", "status": 503, "count": 4}
    kind: Literal["refuse_connection"]
    match: ConnectMatch = ConnectMatch()
    status: int | None = Field(default=503, ge=400, le=599)


StreamKind = (
    ExpiredKeys
    | DuplicateUpdate
    | ReorderUpdate
    | DelayUpdate
    | LoseUpdate
    | DropSocket
    | MuteSocket
    | GarbageFrame
    | ErrorFrame
    | RefuseConnection
)
