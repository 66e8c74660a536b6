"""The market data stream of one connection, `/v2/{feed}`: frames in, frames out, time from outside.

No sockets and no clock: whoever has one feeds it what arrives and the market's time, and sends what
it returns. Nothing is replayed, and nothing that has not happened yet is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from alpaca_simulator.exchange.accounts import Account
from alpaca_simulator.streams.halt_statuses import StatusesTold
from alpaca_simulator.streams.market_data_codec import Codec, Frame, Message
from alpaca_simulator.streams.market_data_feed import MarketDataFeed
from alpaca_simulator.streams.subscriptions import CHANNELS, Subscriptions
from alpaca_simulator.values.instants import epoch_floor

FEEDS = ("iex", "sip", "delayed_sip", "test")
#: A client that has not proved who it is by then is told so and sent away, machine seconds.
AUTHENTICATION_SECONDS = 10.0
LARGEST_FRAME_BYTES = 1024 * 1024
MESSAGES_A_FRAME = 500
SYMBOLS_A_CONNECTION = 10_000
LONGEST_SYMBOL = 32

_DELAY = {"delayed_sip": timedelta(minutes=15)}
#: Channels that other streams of Alpaca have.
_ELSEWHERE = frozenset({"news", "orderbooks"})
_ERRORS = {
    400: "invalid syntax",
    401: "not authenticated",
    402: "auth failed",
    403: "already authenticated",
    404: "auth timeout",
    405: "symbol limit exceeded",
    406: "connection limit exceeded",
    407: "slow client",
    409: "insufficient subscription",
    410: "invalid subscribe action for this feed",
    500: "internal error",
}


@dataclass(frozen=True, slots=True)
class DataPlan:
    """What a key may have of the stream: feeds, symbols with trades or quotes at once, connections to a feed.

    `symbols` None is no limit; the defaults are Alpaca's free plan.
    """

    feeds: frozenset[str] = frozenset({"iex", "delayed_sip", "test"})
    symbols: int | None = 30
    connections: int = 1


#: Alpaca's paid plan: every feed and symbol, still one connection.
UNLIMITED_PLAN = DataPlan(feeds=frozenset(FEEDS), symbols=None)


class MarketDataStreams:
    """Every connection to the stream: who may have one, and what feeds it."""

    def __init__(
        self,
        feed: MarketDataFeed,
        account_for: Callable[[str | None, str | None], Account | None],
        plan: DataPlan | None = None,
    ) -> None:
        self.feed = feed
        self.plan = plan or DataPlan()
        self.account_for = account_for
        self._connected: dict[tuple[UUID, str], int] = {}

    def connect(
        self, feed: str, codec: Codec, key_id: str | None = None, secret_key: str | None = None
    ) -> tuple[MarketDataConnection, list[Frame]]:
        """A new connection to `feed` and its first frames; keys from its headers authenticate it at once."""
        connection = MarketDataConnection(self, feed, codec)
        frames = [codec.frame([{"T": "success", "msg": "connected"}])]
        if key_id is not None:
            frames += connection.authenticate(key_id, secret_key)
        return connection, frames

    def admit(self, account: Account, feed: str) -> bool:
        """Count one more connection of `account` to `feed`; False when its plan allows no more."""
        place = (account.account_id, feed)
        if self._connected.get(place, 0) >= self.plan.connections:
            return False
        self._connected[place] = self._connected.get(place, 0) + 1
        return True

    def leave(self, account: Account, feed: str) -> None:
        """Count one connection less."""
        place = (account.account_id, feed)
        self._connected[place] -= 1
        if not self._connected[place]:
            del self._connected[place]


class MarketDataConnection:
    """What one client of the stream has proved and subscribed to."""

    def __init__(self, streams: MarketDataStreams, feed: str, codec: Codec) -> None:
        self.feed = feed
        self.account: Account | None = None
        #: Set when the client is to be sent away once it has been sent what is due.
        self.is_ending = False
        self._streams = streams
        self._codec = codec
        self._wanted = Subscriptions()
        self._told_until = self._feed_time(streams.feed.now)
        self._statuses = StatusesTold(streams.feed.halts, self._told_until)

    @property
    def is_authenticated(self) -> bool:
        """Whether the client has proved who it is."""
        return self.account is not None

    @property
    def is_listening(self) -> bool:
        """Whether the client has subscribed to anything."""
        return bool(self._wanted)

    def receive(self, frame: Frame) -> list[Frame]:
        """The frames that answer a client's frame."""
        message = self._codec.message(frame)
        if message is None:
            return self._error(400)
        match message.get("action"):
            case "auth":
                return self.authenticate(message.get("key"), message.get("secret"))
            case "subscribe" | "unsubscribe" if self.account is None:
                return self._error(401)
            case "subscribe":
                return self._subscribe(message)
            case "unsubscribe":
                return self._unsubscribe(message)
        return self._error(400)

    def authenticate(self, key_id: object, secret_key: object) -> list[Frame]:
        """Check a key and its secret, the plan's feeds and its connections; the frames that answer."""
        if self.account is not None:
            return self._error(403)
        if not isinstance(key_id, str) or not isinstance(secret_key, str):
            return self._error(402)
        account = self._streams.account_for(key_id, secret_key)
        if account is None:
            return self._error(402)
        if self.feed not in self._streams.plan.feeds:
            return self._error(409, ending=True)
        if not self._streams.admit(account, self.feed):
            return self._error(406, ending=True)
        self.account = account
        return [self._codec.frame([{"T": "success", "msg": "authenticated"}])]

    def advance(self, now: datetime) -> list[Frame]:
        """The frames for what happened since the last call, up to market time `now`."""
        until = self._feed_time(now)
        after, self._told_until = self._told_until, max(until, self._told_until)
        statuses = self._statuses.due(self._streams.feed.halts, until)
        messages = [
            self._streams.feed.status(change)
            for change in statuses
            if self._wanted.wants("statuses", change.halt.symbol)
        ]
        if until > after and self._wanted:
            messages += self._streams.feed.messages(self.feed, self._wanted, after, until)
        return [self._codec.frame(part) for part in _cut(messages)]

    def time_out(self) -> list[Frame]:
        """The last frames of a client that did not authenticate in time."""
        return self._error(404, ending=True)

    def fall_behind(self) -> list[Frame]:
        """The last frames of a client that reads too slowly."""
        return self._error(407, ending=True)

    def fail(self) -> list[Frame]:
        """The frames that tell of a fault of the server."""
        return self._error(500)

    def error(self, code: int, message: str) -> list[Frame]:
        """The frames that tell of an error of the server in words of its own."""
        return [self._codec.frame([{"T": "error", "code": code, "msg": message}])]

    def close(self) -> None:
        """The connection is gone: make room for another one. Safe to call twice."""
        if self.account is not None:
            self._streams.leave(self.account, self.feed)
            self.account = None
        self._wanted = Subscriptions()

    def _subscribe(self, message: dict[str, object]) -> list[Frame]:
        asked = _channels(message)
        if asked is None:
            return self._error(400)
        if _ELSEWHERE & message.keys():
            return self._error(410)
        wanted = self._wanted.with_more(asked)
        if self._over_limit(wanted):
            return self._error(405)
        if not self._wanted:
            self._told_until = max(self._told_until, self._feed_time(self._streams.feed.now))
        self._wanted = wanted
        return [self._codec.frame([self._wanted.message()])]

    def _unsubscribe(self, message: dict[str, object]) -> list[Frame]:
        asked = _channels(message)
        if asked is None:
            return self._error(400)
        self._wanted = self._wanted.without(asked)
        return [self._codec.frame([self._wanted.message()])]

    def _over_limit(self, wanted: Subscriptions) -> bool:
        limit = self._streams.plan.symbols
        priced = wanted.symbols("trades") | wanted.symbols("quotes")
        if wanted.size > SYMBOLS_A_CONNECTION:
            return True
        return limit is not None and self.feed != "test" and ("*" in priced or len(priced) > limit)

    def _feed_time(self, now: datetime) -> int:
        """The epoch second that the feed has come to at market time `now`."""
        return epoch_floor(now - _DELAY.get(self.feed, timedelta()))

    def _error(self, code: int, *, ending: bool = False) -> list[Frame]:
        self.is_ending = self.is_ending or ending
        return [self._codec.frame([{"T": "error", "code": code, "msg": _ERRORS[code]}])]


def _channels(message: dict[str, object]) -> dict[str, list[str]] | None:
    """The symbols of each channel named, None when there is no channel or one is no list of symbols."""
    found: dict[str, list[str]] = {}
    for name in (*CHANNELS, "corrections", "cancelErrors", *_ELSEWHERE):
        raw = message.get(name)
        if raw is None:
            continue
        if not isinstance(raw, list) or not all(_is_symbol(one) for one in raw):
            return None
        found[name] = raw
    return {name: symbols for name, symbols in found.items() if name in CHANNELS} if found else None


def _is_symbol(raw: object) -> bool:
    return isinstance(raw, str) and 0 < len(raw) <= LONGEST_SYMBOL and raw.isascii() and raw.isprintable()


def _cut(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    for start in range(0, len(messages), MESSAGES_A_FRAME):
        yield messages[start : start + MESSAGES_A_FRAME]
