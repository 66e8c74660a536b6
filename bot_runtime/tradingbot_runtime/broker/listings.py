"""Lists that Alpaca gives out: orders and account activities by the page, assets, the calendar. Bounded; reads only."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, Final

from alpaca.common.enums import Sort
from alpaca.common.exceptions import APIError
from alpaca.trading.enums import AssetClass, AssetStatus, QueryOrderStatus
from alpaca.trading.requests import GetAssetsRequest, GetCalendarRequest, GetOrdersRequest

from tradingbot_runtime.broker import failures, reading
from tradingbot_runtime.broker.connection import Connection
from tradingbot_runtime.broker.fields import list_of, object_of, text_of
from tradingbot_runtime.broker.legs import rolled_up
from tradingbot_runtime.broker.reference_reading import activities_from, asset_from, session_from
from tradingbot_runtime.core.values import BrokerActivity, BrokerAsset, BrokerOrder, MarketSession

PAGE: Final = 500
MAX_PAGES: Final = 200
ACTIVITIES_A_PAGE: Final = 100
MAX_ACTIVITY_PAGES: Final = 50
MAX_ACTIVITIES: Final = ACTIVITIES_A_PAGE * MAX_ACTIVITY_PAGES
ASSETS_ASKED_ONE_BY_ONE: Final = 20
"""More of them are picked out of the list of all assets: one large answer instead of many requests."""


async def orders(
    on: Connection, status: QueryOrderStatus, after: datetime | None, *, nested: bool
) -> tuple[BrokerOrder, ...]:
    """All orders in a status that were submitted after a moment, oldest first."""
    found: dict[str, BrokerOrder] = {}
    for _ in range(MAX_PAGES):
        request = GetOrdersRequest(status=status, limit=PAGE, direction=Sort.ASC, after=after, nested=nested)
        page, listed = await on.read("orders", partial(_page_of_orders, on, request))
        news = [order for order in page if order.broker_id not in found]
        found.update((order.broker_id, order) for order in page)
        # Whether legs count towards the limit is not said: a page that is less than half full is the last.
        if not news or listed + sum(len(order.legs) for order in page) < PAGE // 2:
            break
        # Orders of one instant may be cut in two by a page's end: the next page begins just before it.
        newest = max(order.created_at for order in news if order.created_at is not None)
        after = newest - timedelta(milliseconds=1)
    return rolled_up(found.values())


async def activities(on: Connection, after: datetime | None) -> tuple[BrokerActivity, ...]:
    """Account activities that are no trades, booked after a moment, oldest first; at most MAX_ACTIVITIES."""
    fields: dict[str, Any] = {
        "category": "non_trade_activity",
        "direction": "asc",
        "page_size": ACTIVITIES_A_PAGE,
    }
    if after is not None:
        fields["after"] = after.isoformat()
    found: dict[str, BrokerActivity] = {}
    for _ in range(MAX_ACTIVITY_PAGES):
        page, token = await on.read("activities", partial(_page_of_activities, on, fields))
        found.update((activity.activity_id, activity) for activity in page)
        if token is None:
            break
        fields = {**fields, "page_token": token}
    return tuple(found.values())


async def assets(on: Connection, symbols: Sequence[str]) -> Mapping[str, BrokerAsset]:
    """What the broker says of these symbols; one that it does not know is absent."""
    wanted = list(dict.fromkeys(symbols))
    if len(wanted) > ASSETS_ASKED_ONE_BY_ONE:
        request = GetAssetsRequest(status=AssetStatus.ACTIVE, asset_class=AssetClass.US_EQUITY)
        return await on.read("assets", lambda: _picked(on.trading.get_all_assets(request), frozenset(wanted)))
    known = [await _asset(on, symbol) for symbol in wanted]
    return {asset.symbol: asset for asset in known if asset is not None}


async def sessions(on: Connection, first: date, last: date) -> tuple[MarketSession, ...]:
    """The exchange's sessions from `first` to `last`, both included, oldest first."""
    request = GetCalendarRequest(start=first, end=last)
    listed = await on.read(
        "calendar", lambda: [session_from(entry) for entry in list_of(on.trading.get_calendar(request))]
    )
    return tuple(sorted((one for one in listed if first <= one.day <= last), key=lambda session: session.day))


def _page_of_orders(on: Connection, request: GetOrdersRequest) -> tuple[tuple[BrokerOrder, ...], int]:
    """The orders of one page, and how many the broker put on it."""
    raw = list_of(on.trading.get_orders(request))
    return reading.readable_orders(raw), len(raw)


def _page_of_activities(on: Connection, fields: Mapping[str, Any]) -> tuple[tuple[BrokerActivity, ...], str | None]:
    """The activities of one page, and what to ask for the next by; None after the last."""
    raw = list_of(on.trading.get("/account/activities", dict(fields)))
    is_last = len(raw) < ACTIVITIES_A_PAGE
    return activities_from(raw), None if is_last else text_of(object_of(raw[-1], "an activity"), "id")


def _picked(raw: object, symbols: frozenset[str]) -> dict[str, BrokerAsset]:
    entries = [object_of(entry, "an asset") for entry in list_of(raw)]
    return {str(entry["symbol"]): asset_from(entry) for entry in entries if entry.get("symbol") in symbols}


async def _asset(on: Connection, symbol: str) -> BrokerAsset | None:
    def call() -> BrokerAsset | None:
        try:
            return asset_from(on.trading.get_asset(symbol))
        except APIError as error:
            if failures.is_not_found(error):
                return None
            raise

    return await on.read(f"asset {symbol}", call)
