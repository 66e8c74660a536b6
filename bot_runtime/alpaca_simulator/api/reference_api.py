"""`/v2/clock`, `/v2/calendar`, `/v2/assets` and announcements: what is the same for every account.

Reads only.
"""

from __future__ import annotations

from datetime import date, timedelta

from alpaca_simulator.api.announcements import announced, announcements_asked_for
from alpaca_simulator.api.messages import Request, Response, json_response
from alpaca_simulator.api.parameters import date_parameter
from alpaca_simulator.api.rendering import (
    Json,
    asset_json,
    clock_json,
    session_json,
)
from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.exchange import Exchange
from alpaca_simulator.market.assets import Asset
from alpaca_simulator.market.calendar import FIRST_DAY, LAST_DAY
from alpaca_simulator.values.instants import NEW_YORK

#: Looking for settlement dates starts this much earlier: no weekend with its holidays is longer.
_LONGEST_CLOSURE = timedelta(days=10)
_STATUSES = frozenset({"", "active", "inactive", "all"})
_CLASSES = frozenset({"", "us_equity", "us_option", "crypto", "crypto_perp"})
_DATE_TYPES = frozenset({"", "TRADING", "SETTLEMENT"})


class ReferenceApi:
    """Answers `/v2/clock`, `/v2/calendar`, `/v2/assets` and `/v2/corporate_actions` for one exchange."""

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
                return json_response(200, self._asset_json(self._asset(symbol_or_id)))
            case ("GET", ("corporate_actions", "announcements")):
                chosen = announcements_asked_for(request, self._exchange.market.actions, self._today)
                return json_response(200, [one.json() for one in chosen])
            case ("GET", ("corporate_actions", "announcements", announcement_id)):
                return self._announcement(announcement_id)
        raise refusals.not_found("endpoint not found.")

    def _asset_json(self, asset: Asset) -> Json:
        return asset_json(asset, listed=self._exchange.market.actions.is_listed(asset.symbol, self._today))

    @property
    def _today(self) -> date:
        return self._exchange.now.astimezone(NEW_YORK).date()

    def _calendar(self, request: Request) -> Response:
        first = date_parameter(request, "start") or FIRST_DAY
        last = date_parameter(request, "end") or LAST_DAY
        date_type = request.parameters.get("date_type", "").upper()
        if date_type not in _DATE_TYPES:
            raise refusals.bad_parameter("date_type must be TRADING or SETTLEMENT")
        calendar = self._exchange.calendar
        if date_type != "SETTLEMENT":
            return json_response(200, [session_json(calendar, session) for session in calendar.between(first, last)])
        earlier = max(first, FIRST_DAY + _LONGEST_CLOSURE) - _LONGEST_CLOSURE
        days = [session_json(calendar, session) for session in calendar.between(earlier, last)]
        # ISO dates compare as the dates they name.
        settled = [day for day in days if first.isoformat() <= str(day["settlement_date"]) <= last.isoformat()]
        return json_response(200, settled)

    def _assets(self, request: Request) -> Response:
        wanted = request.parameters
        status, asset_class = wanted.get("status", ""), wanted.get("asset_class", "")
        if status not in _STATUSES:
            raise refusals.bad_parameter(f"invalid status: {status[:40]}")
        if asset_class not in _CLASSES:
            raise refusals.bad_parameter(f"invalid asset_class: {asset_class[:40]}")
        attributes = frozenset(one for one in wanted.get("attributes", "").split(",") if one)
        listed = [self._asset_json(asset) for asset in self._exchange.catalogue]
        chosen = [
            one
            for one in listed
            if status in {"", "all", one["status"]}
            and asset_class in {"", one["class"]}
            and wanted.get("exchange", "") in {"", one["exchange"]}
            and (not attributes or _has_any(one["attributes"], attributes))
        ]
        return json_response(200, chosen)

    def _asset(self, symbol_or_id: str) -> Asset:
        asset = self._exchange.catalogue.find(symbol_or_id)
        if asset is None:
            raise refusals.not_found(f"asset not found for {symbol_or_id}")
        return asset

    def _announcement(self, announcement_id: str) -> Response:
        for one in announced(self._exchange.market.actions, self._today):
            if str(one.announcement_id) == announcement_id.lower():
                return json_response(200, one.json())
        raise refusals.not_found(f"announcement not found for {announcement_id[:40]}")


def _has_any(listed: object, attributes: frozenset[str]) -> bool:
    return isinstance(listed, list) and not attributes.isdisjoint(listed)
