"""Alpaca's JSON of orders, positions and money as the core's values. A word it does not know never loses an order."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from alpaca.trading.models import Clock

from tradingbot_runtime.broker.fields import (
    decimal_of,
    id_of,
    list_of,
    moment_of,
    object_of,
    optional_decimal,
    text_of,
    utc,
)
from tradingbot_runtime.broker.strangers import Strangers
from tradingbot_runtime.core.events import TradeUpdate
from tradingbot_runtime.core.values import BrokerFigures, BrokerOrder, BrokerPosition, MarketClock, Side

_ZERO = Decimal(0)

_SIDES: Final = {"buy": Side.BUY, "sell": Side.SELL}
_EXECUTIONS: Final = ("fill", "partial_fill")


def order_from(raw: object) -> BrokerOrder:
    """An order with its legs. Raises ValueError when it is none of the kind the runtime reads (a multi-leg order has
    no side): a leg that cannot be read is exposure that cannot be seen, so it makes the whole order unreadable.

    Read by field: alpaca-py's model refuses an order for a word that it has not heard of, and takes three times as
    long, which counts where fifty bots of one account are killed: each reads the orders of all.
    """
    body = object_of(raw, "an order")
    side = text_of(body, "side")
    if side not in _SIDES:
        raise ValueError(f"the order's side is neither buy nor sell: {side!r}")
    return BrokerOrder(
        broker_id=id_of(body, "id"),
        client_order_id=text_of(body, "client_order_id"),
        symbol=text_of(body, "symbol"),
        side=_SIDES[side],
        type=str(body.get("type") or body.get("order_type") or ""),
        status=text_of(body, "status"),
        qty=decimal_of(body, "qty", _ZERO),
        filled_qty=decimal_of(body, "filled_qty", _ZERO),
        filled_average_price=optional_decimal(body, "filled_avg_price"),
        limit_price=optional_decimal(body, "limit_price"),
        time_in_force=str(body.get("time_in_force") or ""),
        created_at=moment_of(body, "created_at"),
        stop_price=optional_decimal(body, "stop_price"),
        trail_price=optional_decimal(body, "trail_price"),
        trail_percent=optional_decimal(body, "trail_percent"),
        order_class=str(body.get("order_class") or "simple"),
        legs=tuple(order_from(leg) for leg in body.get("legs") or ()),
        replaces=id_of(body, "replaces") if body.get("replaces") else None,
        replaced_by=id_of(body, "replaced_by") if body.get("replaced_by") else None,
        filled_at=moment_of(body, "filled_at") if body.get("filled_at") is not None else None,
    )


def readable_orders(raw: Sequence[object], strangers: Strangers) -> tuple[BrokerOrder, ...]:
    """The orders of a list, but for others' that cannot be read. Raises ValueError."""
    return strangers.readable_orders(raw, order_from)


def trade_update_from(raw: object) -> TradeUpdate:
    """A trade update. Raises ValueError when its order cannot be read.

    Its order says all that counts: what the update adds (price and size of one execution) may be garbled. Of that only
    the time is read, because an order that is not filled whole does not say when it was.
    """
    body = object_of(raw, "a trade update")
    event, order = str(body.get("event") or ""), order_from(body.get("order"))
    if event in _EXECUTIONS and order.filled_at is None:
        order = replace(order, filled_at=_moment_or_none(body, "timestamp"))
    return TradeUpdate(event=event, order=order)


def _moment_or_none(body: Mapping[str, Any], name: str) -> datetime | None:
    try:
        return moment_of(body, name)
    except ValueError:
        return None


def position_from(raw: object) -> BrokerPosition:
    """A position; a short one has a negative quantity. Raises ValueError.

    Read by field: alpaca-py's model fails on an exchange it has not heard of, and one stranger's position would
    hide all others.
    """
    body = object_of(raw, "a position")
    qty = decimal_of(body, "qty")
    return BrokerPosition(
        symbol=str(body["symbol"]) if body.get("symbol") else "",
        qty=-abs(qty) if body.get("side") == "short" else qty,
        average_entry_price=decimal_of(body, "avg_entry_price"),
        market_value=optional_decimal(body, "market_value"),
    )


def positions_from(raw: object, strangers: Strangers) -> tuple[BrokerPosition, ...]:
    """All positions of a list, but for those that cannot be read and are of no stock. Raises ValueError."""
    return strangers.readable_holdings(list_of(raw), position_from, "position")


def available_from(raw: object) -> Decimal:
    """Shares of a position that no order is selling yet. Raises ValueError."""
    body = object_of(raw, "a position")
    return decimal_of(body, "qty_available", decimal_of(body, "qty"))


def figures_from(raw: object) -> BrokerFigures:
    """The account's money, by field for the same reason. Raises ValueError."""
    body = object_of(raw, "an account")
    equity = decimal_of(body, "equity")
    return BrokerFigures(
        equity=equity,
        last_equity=decimal_of(body, "last_equity", equity),
        cash=decimal_of(body, "cash"),
        buying_power=decimal_of(body, "buying_power"),
        account_id=str(body.get("id") or ""),
        blocked=any(bool(body.get(flag)) for flag in ("trading_blocked", "account_blocked", "trade_suspended_by_user")),
    )


def clock_from(raw: object) -> MarketClock:
    """The market's clock. Raises ValueError."""
    parsed = Clock(**object_of(raw, "a clock"))
    return MarketClock(
        timestamp=utc(parsed.timestamp),
        is_open=parsed.is_open,
        next_open=utc(parsed.next_open),
        next_close=utc(parsed.next_close),
    )
