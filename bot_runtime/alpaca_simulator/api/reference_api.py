"""`/v2/clock`, `/v2/calendar` and `/v2/assets`: what is the same for every account.

Reads only.
"""

from __future__ import annotations

from alpaca_simulator.api.messages import Request, Response, json_response
from alpaca_simulator.api.parameters import date_parameter
from alpaca_simulator.api.rendering import (
    asset_json,
    clock_json,
    session_json,
)
from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.exchange import Exchange
from alpaca_simulator.market.assets import Asset
from alpaca_simulator.market.calendar import FIRST_DAY, LAST_DAY


class ReferenceApi:
    """Answers `/v2/clock`, `/v2/calendar` and `/v2/assets` for one exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def answer(self, request: Request) -> Response:
        """Answer a request; raises Refusal."""
        match (request.method, request.segments[1:]):
            case ("GET", ("clock",)):
                return json_response(200, clock_json(self._exchange.calendar, self._exchange.now))
            case ("GET", ("calendar",)):
                return self._calendar(request)
            case ("GET", ("assets",)):
                return self._assets(request)
            case ("GET", ("assets", symbol_or_id)):
                return json_response(200, asset_json(self._asset(symbol_or_id)))
        raise refusals.not_found("endpoint not found.")

    def _calendar(self, request: Request) -> Response:
        first = date_parameter(request, "start") or FIRST_DAY
        last = date_parameter(request, "end") or LAST_DAY
        calendar = self._exchange.calendar
        return json_response(200, [session_json(calendar, session) for session in calendar.between(first, last)])

    def _assets(self, request: Request) -> Response:
        wanted = request.parameters
        listed = [
            asset_json(asset)
            for asset in self._exchange.catalogue
            if wanted.get("status", "active") in {"active", "all", ""}
            and wanted.get("asset_class", "us_equity") in {"us_equity", ""}
            and wanted.get("exchange", asset.exchange) in {asset.exchange, ""}
            and not wanted.get("attributes")
        ]
        return json_response(200, listed)

    def _asset(self, symbol_or_id: str) -> Asset:
        asset = self._exchange.catalogue.find(symbol_or_id)
        if asset is None:
            raise refusals.not_found(f"asset not found for {symbol_or_id}")
        return asset
