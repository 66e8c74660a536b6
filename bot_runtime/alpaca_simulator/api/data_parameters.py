"""What a request to the data API asks for: symbols, a span of time, a page.

What cannot be read is refused as Alpaca's data API does: 400, without a code.
"""

from __future__ import annotations

import re
from datetime import date, datetime

from alpaca_simulator.api.messages import Request
from alpaca_simulator.exchange import refusals
from alpaca_simulator.market.adjustments import ADJUSTMENTS
from alpaca_simulator.market.assets import AssetCatalogue
from alpaca_simulator.market.corporate_actions import CorporateActions
from alpaca_simulator.market.paging import PageToken, Series, Span, read_page_token
from alpaca_simulator.market.timeframes import Timeframe, midnight_in_new_york, read_timeframe
from alpaca_simulator.values.instants import NEW_YORK, read_date, read_instant
from alpaca_simulator.values.quantities import places, read_decimal

ITEMS_A_PAGE = 1_000
ITEMS_A_PAGE_AT_MOST = 10_000
SYMBOLS_AT_MOST = 500

_FEEDS = {"", "iex", "sip", "delayed_sip", "boats", "overnight", "otc"}
_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9./-]{0,19}", re.ASCII)
#: The `asof` that leaves symbols as they are on each day.
_UNMAPPED = "-"


def check_feed_and_currency(request: Request) -> None:
    """Raise Refusal for a feed that does not exist or a currency other than dollars."""
    if request.parameters.get("feed", "") not in _FEEDS:
        raise refusals.bad_data_parameter("invalid feed")
    if request.parameters.get("currency", "USD") not in {"USD", ""}:
        raise refusals.bad_data_parameter("only USD is supported by this simulator")


def symbols_in(text: str) -> list[str]:
    """The symbols between commas, each once, in alphabetical order; raises Refusal."""
    symbols = sorted({symbol.strip() for symbol in text.split(",")} - {""})
    if not symbols:
        raise refusals.bad_data_parameter("symbols is required")
    if len(symbols) > SYMBOLS_AT_MOST:
        raise refusals.bad_data_parameter(f"more than {SYMBOLS_AT_MOST} symbols")
    for symbol in symbols:
        if not _SYMBOL.fullmatch(symbol):
            raise refusals.bad_data_parameter(f"invalid symbol: {symbol[:40]}")
    return symbols


def series_of(
    symbols: list[str], catalogue: AssetCatalogue, actions: CorporateActions, asof: str, today: date
) -> tuple[Series, ...]:
    """What each listed symbol stands for; those not listed are left out.

    Who had the symbol on the day `asof` is told of with all other symbols it ever had; without such
    a day the symbol stands for the days on which it was in use.
    """
    if asof and asof != _UNMAPPED and read_date(asof) is None:
        raise refusals.bad_data_parameter("invalid asof: not a date")
    day = today if not asof else read_date(asof)
    found = []
    for symbol in symbols:
        asset = catalogue.listed(symbol)
        if asset is None:
            continue
        if day is not None and actions.is_listed(symbol, day):
            found.append(Series(symbol, asset))
        else:
            found.append(Series(symbol, asset, actions.listed_from(symbol), actions.listed_until(symbol)))
    return tuple(found)


def span_of(request: Request, now: datetime) -> Span:
    """From `start` (today's beginning) to `end` (now), in the order of `sort`; never beyond now."""
    start = _instant(request, "start") or midnight_in_new_york(now.astimezone(NEW_YORK).date())
    end = _instant(request, "end") or now
    if start > end:
        raise refusals.bad_data_parameter("end should not be before start")
    return Span(start, min(end, now), descending=is_descending(request))


def is_descending(request: Request) -> bool:
    """Whether the newest is wanted first; raises Refusal."""
    raw = request.parameters.get("sort") or "asc"
    if raw not in {"asc", "desc"}:
        raise refusals.bad_data_parameter("invalid sort")
    return raw == "desc"


def timeframe_of(request: Request) -> Timeframe:
    """The length of the bars; raises Refusal."""
    raw = request.parameters.get("timeframe", "")
    timeframe = read_timeframe(raw)
    if timeframe is None:
        raise refusals.bad_data_parameter(f"invalid timeframe: {raw[:40]}" if raw else "timeframe is required")
    return timeframe


def adjustments_of(request: Request) -> frozenset[str]:
    """The adjustments wanted, by default none (raw); raises Refusal."""
    wanted = frozenset(request.parameters.get("adjustment", "raw").split(","))
    if not wanted <= ADJUSTMENTS:
        raise refusals.bad_data_parameter("invalid adjustment")
    return wanted


def limit_of(request: Request, otherwise: int = ITEMS_A_PAGE, at_most: int = ITEMS_A_PAGE_AT_MOST) -> int:
    """How many items a page may have; raises Refusal."""
    raw = request.parameters.get("limit")
    if not raw:
        return otherwise
    limit = read_decimal(raw)
    if limit is None or not 1 <= limit <= at_most or places(limit) > 0:
        raise refusals.bad_data_parameter(f"invalid limit: must be from 1 to {at_most}")
    return int(limit)


def page_token_of(request: Request) -> PageToken | None:
    """Where to go on, None for the first page; raises Refusal."""
    raw = request.parameters.get("page_token")
    if not raw:
        return None
    token = read_page_token(raw)
    if token is None:
        raise refusals.bad_data_parameter("invalid page_token")
    return token


def _instant(request: Request, name: str) -> datetime | None:
    raw = request.parameters.get(name)
    if not raw:
        return None
    instant = read_instant(raw)
    if instant is None:
        raise refusals.bad_data_parameter(f"invalid {name}: not an RFC 3339 time")
    return instant
