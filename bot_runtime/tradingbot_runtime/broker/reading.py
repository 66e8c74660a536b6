"""Alpaca's JSON as the core's values, through alpaca-py's models. A word it does not know never loses an order."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any

from alpaca.trading.enums import (
    AssetClass,
    OrderClass,
    OrderSide,
    OrderStatus,
    PositionIntent,
    TradeEvent,
)
from alpaca.trading.enums import OrderType as AlpacaOrderType
from alpaca.trading.enums import TimeInForce as AlpacaTimeInForce
from alpaca.trading.models import Clock, Order
from alpaca.trading.models import TradeUpdate as AlpacaTradeUpdate

from tradingbot_runtime.core.events import TradeUpdate
from tradingbot_runtime.core.values import BrokerFigures, BrokerOrder, BrokerPosition, MarketClock, Side

Json = Mapping[str, Any]

_ZERO = Decimal(0)

_WORDS: Mapping[str, tuple[type[Enum], Enum]] = {
    "status": (OrderStatus, OrderStatus.NEW),
    "type": (AlpacaOrderType, AlpacaOrderType.MARKET),
    "order_type": (AlpacaOrderType, AlpacaOrderType.MARKET),
    "order_class": (OrderClass, OrderClass.SIMPLE),
    "time_in_force": (AlpacaTimeInForce, AlpacaTimeInForce.DAY),
    "asset_class": (AssetClass, AssetClass.US_EQUITY),
    "position_intent": (PositionIntent, PositionIntent.BUY_TO_OPEN),
}
"""Words that alpaca-py's model knows only some of, and what stands in while it checks the rest of the order."""


def order_from(raw: object) -> BrokerOrder:
    """An order. Raises ValueError when it is none of the kind the runtime reads (a multi-leg order has no side)."""
    body = _object(raw, "an order")
    parsed = Order(**_with_known_words(body))
    if parsed.symbol is None or parsed.side is None:
        raise ValueError(f"order {parsed.id} has no symbol or side")
    return BrokerOrder(
        broker_id=str(parsed.id),
        client_order_id=parsed.client_order_id,
        symbol=parsed.symbol,
        side=Side.BUY if parsed.side is OrderSide.BUY else Side.SELL,
        type=str(body.get("type") or body.get("order_type") or ""),
        status=str(body.get("status")),
        qty=_decimal(body, "qty", _ZERO),
        filled_qty=_decimal(body, "filled_qty", _ZERO),
        filled_average_price=_optional_decimal(body, "filled_avg_price"),
        limit_price=_optional_decimal(body, "limit_price"),
        time_in_force=str(body.get("time_in_force") or ""),
        created_at=_utc(parsed.created_at),
    )


def readable_orders(raw: Sequence[object]) -> tuple[BrokerOrder, ...]:
    """The orders of a list that have a symbol and a side; the others cannot be this bot's. Raises ValueError."""
    return tuple(order_from(entry) for entry in raw if not _is_multi_leg(entry))


def trade_update_from(raw: object) -> TradeUpdate:
    """A trade update. Raises ValueError when its order cannot be read."""
    body = _object(raw, "a trade update")
    order = order_from(body.get("order"))
    known = {**body, "order": _with_known_words(_object(body.get("order"), "an order"))}
    parsed = AlpacaTradeUpdate(**known)
    event = parsed.event.value if isinstance(parsed.event, TradeEvent) else str(parsed.event)
    return TradeUpdate(event=event, order=order)


def position_from(raw: object) -> BrokerPosition:
    """A position; a short one has a negative quantity. Raises ValueError.

    Read by field: alpaca-py's model fails on an exchange it has not heard of, and one stranger's position would
    hide all others.
    """
    body = _object(raw, "a position")
    qty = _decimal(body, "qty", None)
    return BrokerPosition(
        symbol=str(body["symbol"]) if body.get("symbol") else "",
        qty=-abs(qty) if body.get("side") == "short" else qty,
        average_entry_price=_decimal(body, "avg_entry_price", None),
        market_value=_optional_decimal(body, "market_value"),
    )


def available_from(raw: object) -> Decimal:
    """Shares of a position that no order is selling yet. Raises ValueError."""
    body = _object(raw, "a position")
    return _decimal(body, "qty_available", _decimal(body, "qty", None))


def figures_from(raw: object) -> BrokerFigures:
    """The account's money, by field for the same reason. Raises ValueError."""
    body = _object(raw, "an account")
    equity = _decimal(body, "equity", None)
    return BrokerFigures(
        equity=equity,
        last_equity=_decimal(body, "last_equity", equity),
        cash=_decimal(body, "cash", None),
        buying_power=_decimal(body, "buying_power", None),
        blocked=any(bool(body.get(flag)) for flag in ("trading_blocked", "account_blocked", "trade_suspended_by_user")),
    )


def clock_from(raw: object) -> MarketClock:
    """The market's clock. Raises ValueError."""
    parsed = Clock(**_object(raw, "a clock"))
    return MarketClock(
        timestamp=_utc(parsed.timestamp),
        is_open=parsed.is_open,
        next_open=_utc(parsed.next_open),
        next_close=_utc(parsed.next_close),
    )


def _with_known_words(body: Json) -> dict[str, Any]:
    known = dict(body)
    for field, (words, stand_in) in _WORDS.items():
        word = known.get(field)
        if word not in (None, "") and word not in {entry.value for entry in words}:
            known[field] = stand_in.value
    known["legs"] = None  # legs have their own entries; one odd leg must not lose its parent
    return known


def _is_multi_leg(raw: object) -> bool:
    return isinstance(raw, Mapping) and not (raw.get("symbol") and raw.get("side"))


def _object(raw: object, what: str) -> Json:
    if not isinstance(raw, Mapping):
        raise ValueError(f"the broker's answer is not {what}")
    return raw


def _decimal(body: Json, field: str, default: Decimal | None) -> Decimal:
    value = body.get(field)
    if value is None or value == "":
        if default is None:
            raise ValueError(f"the broker's answer has no {field}")
        return default
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise ValueError(f"{field} is not a number: {value!r}") from error
    if not number.is_finite():
        raise ValueError(f"{field} is not a number: {value!r}")
    return number


def _optional_decimal(body: Json, field: str) -> Decimal | None:
    return None if body.get(field) in (None, "") else _decimal(body, field, None)


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
