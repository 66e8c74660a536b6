"""What one client of the market data stream listens to: symbols by channel, `*` for every one.

Only values: a change gives a new set of subscriptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

CHANNELS = ("trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds")
WILDCARD = "*"
#: Who listens to a symbol's trades is told of their corrections and cancels too.
_WITH_TRADES = ("corrections", "cancelErrors")


@dataclass(frozen=True)
class Subscriptions:
    """The symbols of each channel, in the order they were asked for."""

    by_channel: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(self.by_channel.values())

    @property
    def size(self) -> int:
        """How many symbols of channels there are in all."""
        return sum(len(symbols) for symbols in self.by_channel.values())

    def symbols(self, channel: str) -> frozenset[str]:
        """The symbols listened to in `channel`, the wildcard among them."""
        return frozenset(self.by_channel.get(channel, ()))

    def wants(self, channel: str, symbol: str) -> bool:
        """Whether messages of that channel about `symbol` are to be sent."""
        symbols = self.symbols(channel)
        return symbol in symbols or WILDCARD in symbols

    def with_more(self, more: Mapping[str, list[str]]) -> Subscriptions:
        """These and `more`."""
        return Subscriptions(
            {
                channel: tuple(dict.fromkeys((*self.by_channel.get(channel, ()), *more.get(channel, ()))))
                for channel in CHANNELS
            }
        )

    def without(self, less: Mapping[str, list[str]]) -> Subscriptions:
        """These but for `less`; the wildcard only takes away the wildcard."""
        return Subscriptions(
            {
                channel: tuple(one for one in self.by_channel.get(channel, ()) if one not in set(less.get(channel, ())))
                for channel in CHANNELS
            }
        )

    def message(self) -> dict[str, object]:
        """The message that tells a client all it listens to."""
        listed: dict[str, object] = {channel: list(self.by_channel.get(channel, ())) for channel in CHANNELS}
        trades = list(self.by_channel.get("trades", ()))
        return {"T": "subscription", **listed, **dict.fromkeys(_WITH_TRADES, trades)}
