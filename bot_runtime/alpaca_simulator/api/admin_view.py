"""What the page for a person shows, as one JSON document.

Only reads. Whatever may be many is cut, and how many there are is said.
"""

from __future__ import annotations

import heapq
from itertools import islice
from typing import Protocol

from alpaca_simulator.api.faults_api import injected_json, rule_in_force_json
from alpaca_simulator.api.rate_limits import RateLimits
from alpaca_simulator.api.rendering import Json, account_json, clock_json, order_json, position_json, positions_in_order
from alpaca_simulator.exchange.accounts import Account
from alpaca_simulator.exchange.activities import Activity, ActivityType
from alpaca_simulator.exchange.exchange import Exchange
from alpaca_simulator.faults.director import Director
from alpaca_simulator.faults.seams import Faults
from alpaca_simulator.market.clock import MarketClock
from alpaca_simulator.values.instants import epoch_floor, utc_text
from alpaca_simulator.values.quantities import decimal_text

ACCOUNTS_SHOWN = 20
ORDERS_SHOWN = 50
POSITIONS_SHOWN = 50
FILLS_SHOWN = 30
LOG_LINES_SHOWN = 30
STREAMS_SHOWN = 50
#: Fills are looked for among this many of an account's newest activities.
_ACTIVITIES_LOOKED_AT = 200

_ORDER_FIELDS = (
    "id",
    "client_order_id",
    "symbol",
    "side",
    "type",
    "qty",
    "notional",
    "filled_qty",
    "limit_price",
    "stop_price",
    "time_in_force",
    "status",
    "submitted_at",
)
_POSITION_FIELDS = ("symbol", "side", "qty", "avg_entry_price", "current_price", "market_value", "unrealized_pl")


class Connections(Protocol):
    """Who knows which streams are open."""

    def told(self) -> list[Json]:
        """Each open connection as JSON, oldest first."""


class AdminView:
    """Looks at one simulator."""

    def __init__(
        self, exchange: Exchange, clock: MarketClock, faults: Faults, director: Director, rate_limits: RateLimits
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self._faults = faults
        self._director = director
        self._rate_limits = rate_limits
        #: Set by whoever serves the streams.
        self.connections: Connections | None = None

    def clock_json(self) -> Json:
        """The market's time and whether it is open."""
        now = self._exchange.now
        return {"mode": self._clock.mode, "now": utc_text(now), **clock_json(self._exchange.calendar, now)}

    def told(self, accounts: list[Account]) -> Json:
        """Everything on the page, of the first of `accounts`."""
        exchange, book = self._exchange, self._faults.book
        shown = accounts[:ACCOUNTS_SHOWN]
        streams = [] if self.connections is None else self.connections.told()
        return {
            "seed": exchange.market.seed,
            "clock": self.clock_json(),
            "account_count": len(exchange.accounts),
            "accounts": [self._account(account) for account in shown],
            "fills": _newest_fills(shown),
            "halts": self._halts(),
            "faults": [rule_in_force_json(entry) for entry in book.in_force()],
            "injected": book.injected_ever,
            "injected_log": [injected_json(one) for one in list(book.log())[-LOG_LINES_SHOWN:]],
            "scenario": self._director.told(),
            "stream_count": len(streams),
            "streams": streams[-STREAMS_SHOWN:],
            "updates_held_back": self._faults.updates.held_back,
            "trade_updates_dropped": exchange.updates_dropped,
        }

    def _account(self, account: Account) -> Json:
        exchange, limit = self._exchange, self._rate_limits.requests_per_minute
        full = account_json(exchange, account)
        orders = [
            _part(order_json(order), _ORDER_FIELDS)
            for order in islice(reversed(account.open_orders.values()), ORDERS_SHOWN)
        ]
        held = positions_in_order(account)
        return {
            "id": full["id"],
            "name": account.terms.name,
            "kind": account.terms.kind,
            "key_id": account.terms.key_id,
            "equity": full["equity"],
            "last_equity": full["last_equity"],
            "cash": full["cash"],
            "buying_power": full["buying_power"],
            "orders": account.orders_ever,
            "open_order_count": len(account.open_orders),
            "open_orders": orders,
            "position_count": len(held),
            "positions": [
                _part(position_json(exchange, account, one), _POSITION_FIELDS) for one in held[:POSITIONS_SHOWN]
            ],
            "rate_limit": {
                "per_minute": limit,
                "trading": self._rate_limits.used(account.account_id, "trading"),
                "data": self._rate_limits.used(account.account_id, "data"),
            },
        }

    def _halts(self) -> list[Json]:
        epoch = epoch_floor(self._exchange.now) + 1
        return [
            {"symbol": halt.symbol, "code": halt.code, "reason": halt.reason}
            for halt in self._exchange.halts.listed()
            if halt.covers(epoch)
        ]


def _newest_fills(accounts: list[Account]) -> list[Json]:
    """The newest fills of all `accounts`, newest first."""
    found: list[tuple[Account, Activity]] = [
        (account, one)
        for account in accounts
        for one in islice(reversed(account.activities), _ACTIVITIES_LOOKED_AT)
        if one.activity_type is ActivityType.FILL
    ]
    newest = heapq.nlargest(FILLS_SHOWN, found, key=lambda pair: (pair[1].at, pair[1].number))
    return [
        {
            "time": utc_text(one.at),
            "account": account.terms.name,
            "symbol": one.symbol,
            "side": one.side,
            "qty": decimal_text(abs(one.quantity)),
            "price": None if one.price is None else decimal_text(one.price),
            "order_id": None if one.order_id is None else str(one.order_id),
        }
        for account, one in newest
    ]


def _part(whole: Json, names: tuple[str, ...]) -> Json:
    return {name: whole.get(name) for name in names}
