"""Lists that Alpaca gives out: orders and account activities by the page, assets, the calendar. Bounded; reads only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, Final

from alpaca.common.enums import Sort
from alpaca.common.exceptions import APIError
from alpaca.trading.enums import AssetClass, AssetStatus, QueryOrderStatus
from alpaca.trading.requests import GetAssetsRequest, GetCalendarRequest, GetOrdersRequest

from tradingbot_runtime.broker import failures, reading
from tradingbot_runtime.broker.connection import Connection
from tradingbot_runtime.broker.fields import Json, list_of, moment_of, object_of, text_of
from tradingbot_runtime.broker.legs import rolled_up
from tradingbot_runtime.broker.port import BrokerUnavailable
from tradingbot_runtime.broker.reference_reading import activities_from, asset_from, session_from
from tradingbot_runtime.broker.strangers import Strangers
from tradingbot_runtime.core.values import BrokerActivity, BrokerAsset, BrokerOrder, MarketSession

PAGE: Final = 500
MAX_PAGES: Final = 200
ACTIVITIES_A_PAGE: Final = 100
MAX_ACTIVITY_PAGES: Final = 50
ASSETS_ASKED_ONE_BY_ONE: Final = 20
"""More of them are picked out of the list of all assets: one large answer instead of many requests."""


@dataclass(frozen=True)
class _Page:
    """One page of orders: what was read of it, how many orders the broker put on it, and the newest moment on it."""

    orders: tuple[BrokerOrder, ...]
    ids: frozenset[str]
    listed: int
    newest: datetime | None

    @property
    def most(self) -> int:
        """How many orders the broker may have counted: whether legs count towards the limit is not said."""
        return self.listed + sum(len(order.legs) for order in self.orders)


async def orders(
    on: Connection,
    status: QueryOrderStatus,
    after: datetime | None,
    strangers: Strangers,
    *,
    nested: bool,
    symbols: Sequence[str] = (),
) -> tuple[BrokerOrder, ...]:
    """All orders in a status that were submitted after a moment, oldest first; others' that cannot be read left out.
    Only those of `symbols`, where any are named.

    Raises BrokerUnavailable when there are more than can be read: half a list must not be taken for the whole.
    """
    found: dict[str, BrokerOrder] = {}
    seen: set[str] = set()
    for _ in range(MAX_PAGES):
        request = GetOrdersRequest(
            status=status, limit=PAGE, direction=Sort.ASC, after=after, nested=nested, symbols=list(symbols) or None
        )
        page = await on.read("orders", partial(_page_of_orders, on, request, strangers))
        is_news = not page.ids <= seen
        seen |= page.ids
        found.update((order.broker_id, order) for order in page.orders)
        # A page that is less than half full is the last.
        if page.most < PAGE // 2 or (not is_news and page.most < PAGE):
            return rolled_up(found.values())
        if not is_news or page.newest is None:
            raise _not_whole(f"orders: more than {PAGE} of one moment, or without one", len(seen))
        # Orders of one instant may be cut in two by a page's end: the next page begins just before it.
        after = page.newest - timedelta(milliseconds=1)
    raise _not_whole(f"orders: more than {MAX_PAGES} pages", len(seen))


async def activities(on: Connection, after: datetime | None, strangers: Strangers) -> tuple[BrokerActivity, ...]:
    """Account activities that are no trades, booked after a moment, oldest first.

    Raises BrokerUnavailable when there are more than can be read.
    """
    fields: dict[str, Any] = {
        "category": "non_trade_activity",
        "direction": "asc",
        "page_size": ACTIVITIES_A_PAGE,
    }
    if after is not None:
        fields["after"] = after.isoformat()
    found: dict[str, BrokerActivity] = {}
    for _ in range(MAX_ACTIVITY_PAGES):
        page, token = await on.read("activities", partial(_page_of_activities, on, fields, strangers))
        found.update((activity.activity_id, activity) for activity in page)
        if token is None:
            return tuple(found.values())
        fields = {**fields, "page_token": token}
    raise _not_whole(f"activities: more than {MAX_ACTIVITY_PAGES} pages", len(found))


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


def _page_of_orders(on: Connection, request: GetOrdersRequest, strangers: Strangers) -> _Page:
    raw = list_of(on.trading.get_orders(request))
    # Of an order that cannot be read, too, it counts when it came: the pages after it must not be lost with it.
    entries = [entry for entry in raw if isinstance(entry, Mapping)]
    moments = [moment for entry in entries if (moment := _created_at(entry)) is not None]
    return _Page(
        orders=reading.readable_orders(raw, strangers),
        ids=frozenset(str(entry.get("id")) for entry in entries),
        listed=len(raw),
        newest=max(moments, default=None),
    )


def _created_at(entry: Json) -> datetime | None:
    try:
        return moment_of(entry, "created_at")
    except (ValueError, OverflowError):
        return None


def _page_of_activities(
    on: Connection, fields: Mapping[str, Any], strangers: Strangers
) -> tuple[tuple[BrokerActivity, ...], str | None]:
    """The activities of one page, and what to ask for the next by; None after the last."""
    raw = list_of(on.trading.get("/account/activities", dict(fields)))
    is_last = len(raw) < ACTIVITIES_A_PAGE
    return activities_from(raw, strangers), None if is_last else text_of(object_of(raw[-1], "an activity"), "id")


def _not_whole(said: str, read: int) -> BrokerUnavailable:
    return BrokerUnavailable(
        f"{said}; only {read} could be read, and a part is not taken for the whole: ask for less, or close what is old",
        may_pass=False,
    )


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
