"""`/v2/account` and what lies below it: configurations, activities, portfolio history.

Reads a request, asks the account's books, renders the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from alpaca_simulator.api.account_configuration import changed_configuration
from alpaca_simulator.api.account_rendering import activity_json, configuration_json, portfolio_history_json
from alpaca_simulator.api.activities_query import read_activity_query
from alpaca_simulator.api.equity_curve import Books, PortfolioHistory, cash_flows, history_points, worth_at
from alpaca_simulator.api.messages import Request, Response, json_response
from alpaca_simulator.api.portfolio_history import history_windows, read_history_query
from alpaca_simulator.api.rendering import account_json
from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.accounts import Account
from alpaca_simulator.exchange.exchange import Exchange
from alpaca_simulator.market.calendar import Session
from alpaca_simulator.values.quantities import dollars


class AccountApi:
    """Answers `/v2/account` and everything below it for one exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def answer(self, account: Account, request: Request) -> Response:
        """Answer a request of `account`; raises Refusal."""
        match (request.method, request.segments[1:]):
            case ("GET", ("account",)):
                return json_response(200, account_json(self._exchange, account))
            case ("GET", ("account", "configurations")):
                return json_response(200, configuration_json(account.configuration))
            case ("PATCH", ("account", "configurations")):
                return self._configure(account, request)
            case ("GET", ("account", "activities")):
                return _activities(account, request, None)
            case ("GET", ("account", "activities", kind)):
                return _activities(account, request, kind)
            case ("GET", ("account", "portfolio", "history")):
                return json_response(200, portfolio_history_json(self._history(account, request)))
        raise refusals.not_found("endpoint not found.")

    def _configure(self, account: Account, request: Request) -> Response:
        self._exchange.configure(account, changed_configuration(account.configuration, request.json_object()))
        return json_response(200, configuration_json(account.configuration))

    def _history(self, account: Account, request: Request) -> PortfolioHistory:
        exchange = self._exchange
        query = read_history_query(request, exchange.calendar, exchange.now)
        windows = [
            window
            for window in history_windows(query, exchange.calendar, exchange.now)
            if window.ends >= account.opened_at
        ]
        # A day's history starts from its first value, an intraday one from the close before it.
        before = None if query.is_daily or not windows else self._last_close(account, windows[0].begins)
        bases = {window.base for window in windows if window.base is not None and window.base >= account.opened_at}
        times = [window.ends for window in windows] + [*bases, *([before.closes_at] if before else [])]
        worth = worth_at(_books(account), dict(account.equity_history), times, self._price)
        known = [window for window in windows if window.ends in worth]
        base = Decimal(0) if not known else worth[known[0].ends]
        if before is not None and before.closes_at in worth:
            base = worth[before.closes_at]
        else:
            before = None
        return PortfolioHistory(
            points=history_points(known, worth, base),
            base_value=base,
            base_value_asof=None if before is None else before.day,
            timeframe=query.timeframe,
            cash_flows=None if query.flows is None else cash_flows(known, list(account.activities), query.flows),
        )

    def _last_close(self, account: Account, at: datetime) -> Session | None:
        """The session whose close is the last one at or before `at` and after the account was opened."""
        session = self._exchange.calendar.last_opened(at)
        if session is not None and session.closes_at > at:
            session = self._exchange.calendar.sessions[session.number - 1] if session.number else None
        return None if session is None or session.closes_at < account.opened_at else session

    def _price(self, symbol: str, at: datetime) -> Decimal:
        """Dollars a share at the last trade at or before `at`; at a close, the closing price."""
        exchange = self._exchange
        asset = exchange.catalogue.find(symbol)
        if asset is None:
            return Decimal(0)
        session = exchange.calendar.last_opened(at)
        if session is not None and session.closes_at == at:
            return dollars(exchange.market.day(asset, session).close)
        return dollars(exchange.market.quote(asset, at).last)


def _activities(account: Account, request: Request, kind: str | None) -> Response:
    page = read_activity_query(request, kind).page(list(account.activities))
    return json_response(200, [activity_json(account.account_id, activity) for activity in page])


def _books(account: Account) -> Books:
    shares: Mapping[str, Decimal] = {symbol: held.quantity for symbol, held in account.positions.items()}
    return Books(account.cash, shares, list(account.activities))
