"""Every place that asks the book of faults, put together for one simulator.

The exchange's time and the clock that delays are measured in come in here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from alpaca_simulator.exchange.exchange import Exchange
from alpaca_simulator.exchange.orders import Order
from alpaca_simulator.faults.book import FaultBook
from alpaca_simulator.faults.fill_stalls import FillStalls
from alpaca_simulator.faults.key_faults import FaultyKeys, Keys, Place
from alpaca_simulator.faults.market_data import SpoiltMarketData
from alpaca_simulator.faults.rest_faults import RestFaults
from alpaca_simulator.faults.socket_faults import Refused, SocketFaults, refused
from alpaca_simulator.faults.stream_kinds import StreamName
from alpaca_simulator.faults.update_faults import UpdateFaults
from alpaca_simulator.market.within_minute import Quote


class Faults:
    """The seams of one simulator.

    `seconds` is Unix time: the market's where that is stepped (`in_market_time`), else the machine's.
    """

    def __init__(self, exchange: Exchange, seconds: Callable[[], float], *, in_market_time: bool) -> None:
        self._exchange = exchange
        self._seconds = seconds
        self.book = FaultBook(exchange.market.seed)
        self.rest = RestFaults(self.book, seconds)
        self.updates = UpdateFaults(self.book, seconds, self._name, in_market_time=in_market_time)
        self.market_data = SpoiltMarketData(self.book, self._now, self._quote_at)
        self.fills = FillStalls(self.book, self._owner)

    def keys(self, keys: Keys, place: Place) -> FaultyKeys:
        """`keys` as `place` accepts them."""
        return FaultyKeys(keys, self.book, place, self._now)

    def socket(self, stream: StreamName) -> SocketFaults:
        """The faults of a new connection."""
        return SocketFaults(self.book, stream, self._now, self._seconds)

    def refused(self, stream: StreamName) -> Refused | None:
        """Whether a new connection is refused, and how."""
        return refused(self.book, stream, self._now())

    def _now(self) -> datetime:
        return self._exchange.now

    def _quote_at(self, symbol: str, at: datetime) -> Quote | None:
        asset = self._exchange.catalogue.find(symbol)
        return None if asset is None else self._exchange.market.quote(asset, at)

    def _name(self, account_id: UUID) -> str:
        return self._exchange.accounts[account_id].terms.name

    def _owner(self, order: Order) -> str | None:
        owner = self._exchange.register.owners.get(order.number)
        return None if owner is None else owner.terms.name
