"""Alpaca's JSON of what is around trading: quotes, assets, sessions, account activities. Raises ValueError."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from tradingbot_runtime.broker.bars import NEW_YORK
from tradingbot_runtime.broker.fields import Json, decimal_of, moment_of, object_of, optional_decimal, text_of, utc
from tradingbot_runtime.broker.strangers import Strangers
from tradingbot_runtime.core.values import BrokerActivity, BrokerAsset, BrokerQuote, MarketSession

_ZERO = Decimal(0)
_TRADES: Final = frozenset({"FILL"})
_NEVER_HAPPENED: Final = frozenset({"canceled"})


def quote_from(symbol: str, raw: object) -> BrokerQuote:
    """The latest quote of a symbol; a side without an order is zero."""
    body = object_of(raw, "a quote")
    return BrokerQuote(
        symbol=symbol,
        bid=decimal_of(body, "bp", _ZERO),
        ask=decimal_of(body, "ap", _ZERO),
        at=moment_of(body, "t"),
    )


def asset_from(raw: object) -> BrokerAsset:
    """An asset; one that is not active is not tradable."""
    body = object_of(raw, "an asset")
    return BrokerAsset(
        symbol=text_of(body, "symbol"),
        tradable=body.get("tradable") is True and body.get("status") == "active",
        fractionable=body.get("fractionable") is True,
        shortable=body.get("shortable") is True,
    )


def session_from(raw: object) -> MarketSession:
    """A day of the calendar, which has its times in New York."""
    body = object_of(raw, "a session")
    day = date.fromisoformat(text_of(body, "date"))
    return MarketSession(day, _local(day, text_of(body, "open")), _local(day, text_of(body, "close")))


def activities_from(raw: Sequence[object], strangers: Strangers) -> tuple[BrokerActivity, ...]:
    """The entries of a list that are no trades and were not taken back; not those of no stock that cannot be read."""
    entries = [object_of(entry, "an activity") for entry in raw]
    happened = [
        entry
        for entry in entries
        if entry.get("activity_type") not in _TRADES and entry.get("status") not in _NEVER_HAPPENED
    ]
    return strangers.readable_holdings(happened, _activity_from, "activity")


def _activity_from(raw: object) -> BrokerActivity:
    body = object_of(raw, "an activity")
    kind = text_of(body, "activity_type")
    # A dividend's qty is what was held when it was earned: the holding does not change by it.
    paid_per_share = kind.startswith("DIV") or body.get("per_share_amount") not in (None, "")
    return BrokerActivity(
        activity_id=text_of(body, "id"),
        kind=kind,
        symbol=str(body.get("symbol") or ""),
        qty=_ZERO if paid_per_share else decimal_of(body, "qty", _ZERO),
        net_amount=decimal_of(body, "net_amount", _ZERO),
        at=_booked_at(body),
        price=optional_decimal(body, "price"),
        description=str(body.get("description") or "")[:300],
    )


def _booked_at(body: Json) -> datetime:
    """When the entry was made; where only the day is told, the beginning of that day in New York."""
    for field in ("created_at", "transaction_time"):
        if body.get(field):
            return moment_of(body, field)
    day = date.fromisoformat(text_of(body, "date")[:10])
    return utc(datetime(day.year, day.month, day.day, tzinfo=NEW_YORK))


def _local(day: date, clock: str) -> datetime:
    """HH:MM in New York on that day, in UTC."""
    hour, _, minute = clock.partition(":")
    return utc(datetime(day.year, day.month, day.day, int(hour), int(minute), tzinfo=NEW_YORK))
