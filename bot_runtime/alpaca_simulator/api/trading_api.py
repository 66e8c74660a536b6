"""The trading API v2: which part of it answers a request.

Only routes; each part has a module of its own.
"""

from __future__ import annotations

from alpaca_simulator.api.account_api import AccountApi
from alpaca_simulator.api.messages import Request, Response
from alpaca_simulator.api.orders_api import OrdersApi
from alpaca_simulator.api.positions_api import PositionsApi
from alpaca_simulator.api.reference_api import ReferenceApi
from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.accounts import Account
from alpaca_simulator.exchange.exchange import Exchange

_NOT_IMPLEMENTED = {
    "watchlists": "the watchlists API",
    "watchlists:by_name": "the watchlists API",
    "options": "the options API",
    "wallets": "the crypto wallets API",
    "perpetuals": "the perpetuals API",
    "tokenization": "the tokenization API",
}


class TradingApi:
    """Answers requests below `/v2` for one exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._orders = OrdersApi(exchange)
        self._positions = PositionsApi(exchange, self._orders)
        self._reference = ReferenceApi(exchange)
        self._account = AccountApi(exchange)

    def answer(self, account: Account, request: Request) -> Response:
        """Answer a request of `account`; raises Refusal. The path starts with `v2`."""
        match request.segments[1:]:
            case ("account", *_):
                return self._account.answer(account, request)
            case ("clock" | "calendar" | "assets" | "corporate_actions", *_):
                return self._reference.answer(request)
            case ("orders" | "orders:by_client_order_id", *_):
                return self._orders.answer(account, request)
            case ("positions", *_):
                return self._positions.answer(account, request)
            case (str(first), *_) if first in _NOT_IMPLEMENTED:
                raise refusals.not_implemented(_NOT_IMPLEMENTED[first])
        raise refusals.not_found("endpoint not found.")
