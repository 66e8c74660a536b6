"""What the runtime needs of a broker, and how a broker can fail. Holds no protocol."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import pandas as pd

from tradingbot_runtime.core.events import StreamConnected, TradeUpdate
from tradingbot_runtime.core.orders import Order
from tradingbot_runtime.core.values import BrokerFigures, BrokerOrder, BrokerPosition, MarketClock


class BrokerError(Exception):
    """A call to the broker failed; the message says what to do."""


class OrderRejected(BrokerError):
    """The broker refused for good (400, 403, 404, 422): asking again will not help."""


class Unauthorized(BrokerError):
    """The broker refuses the keys (401)."""


class BrokerUnavailable(BrokerError):
    """No usable answer (timeout, connection lost, 429, 5xx): a read or a cancel may be tried again."""


class OrderInDoubt(BrokerError):
    """An order was sent and no usable answer came: ask by client_order_id, never send again."""


class Broker(Protocol):
    """A broker. Every call has a timeout; times are UTC; money is Decimal."""

    async def clock(self) -> MarketClock:
        """The market's clock."""
        ...

    async def figures(self) -> BrokerFigures:
        """The account's money."""
        ...

    async def positions(self) -> tuple[BrokerPosition, ...]:
        """All positions of the account."""
        ...

    async def open_orders(self) -> tuple[BrokerOrder, ...]:
        """All open orders of the account, whoever placed them."""
        ...

    async def orders_since(self, after: datetime | None, prefix: str) -> tuple[BrokerOrder, ...]:
        """Orders in any state created after a moment of market time, whose client_order_id begins with `prefix`."""
        ...

    async def order(self, client_order_id: str) -> BrokerOrder | None:
        """One order by our id; None when the broker knows no such order."""
        ...

    async def submit(self, order: Order) -> BrokerOrder:
        """Sends an order once. Raises OrderRejected, Unauthorized or OrderInDoubt."""
        ...

    async def cancel(self, broker_id: str) -> None:
        """Asks to cancel; already closed is no error."""
        ...

    async def close_position(self, symbol: str, qty: str) -> None:
        """Closes at most qty shares of what is held; nothing held is no error."""
        ...

    async def bars(
        self, symbols: Sequence[str], timeframe: str, count: int, before: datetime
    ) -> Mapping[str, pd.DataFrame]:
        """Per symbol the last `count` bars that ended at or before a moment of market time, oldest first."""
        ...

    def trade_updates(self) -> AsyncGenerator[StreamConnected | TradeUpdate, None]:
        """One StreamConnected once updates flow, then trade updates.

        Ends with BrokerUnavailable when the socket is lost or mute, with Unauthorized when the keys are refused.
        """
        ...
