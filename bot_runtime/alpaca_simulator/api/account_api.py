"""`/v2/account` and what lies below it: configurations, activities, portfolio history.

Reads a request, asks the account's books, renders the answer.
"""

from __future__ import annotations

from alpaca_simulator.api.messages import Request, Response, json_response
from alpaca_simulator.api.rendering import (
    account_json,
)
from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.accounts import Account
from alpaca_simulator.exchange.exchange import Exchange


class AccountApi:
    """Answers `/v2/account` and everything below it for one exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def answer(self, account: Account, request: Request) -> Response:
        """Answer a request of `account`; raises Refusal."""
        match (request.method, request.segments[1:]):
            case ("GET", ("account",)):
                return json_response(200, account_json(self._exchange, account))
            case (_, ("account", "configurations" | "activities" | "portfolio" as part, *_)):
                raise refusals.not_implemented(f"the account {part} API")
        raise refusals.not_found("endpoint not found.")
