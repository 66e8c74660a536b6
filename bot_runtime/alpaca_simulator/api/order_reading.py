"""An order as JSON becomes an order request; what is missing, malformed or does not fit the type is refused.

Reads shapes and numbers only: whether the account may is the exchange's say. The messages are Alpaca's.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TypeVar

from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.orders import (
    OrderClass,
    OrderRequest,
    OrderType,
    PositionIntent,
    ReplaceRequest,
    Side,
    StopLoss,
    TimeInForce,
)
from alpaca_simulator.values.quantities import QUANTITY_DECIMALS, decimal_text, places, read_decimal

LARGEST_QUANTITY = Decimal(10) ** 9
LARGEST_NOTIONAL = Decimal(10) ** 12
LARGEST_PRICE = Decimal(10) ** 6
LONGEST_CLIENT_ORDER_ID = 128
LEAST_TRAIL_PERCENT = Decimal("0.1")
MOST_TRAIL_PERCENT = Decimal(100)

Fields = Mapping[str, object]
Choice = TypeVar("Choice", Side, OrderType, TimeInForce, OrderClass, PositionIntent)

#: Which prices an order of each type needs; no other may be given.
_PRICES: dict[OrderType, tuple[str, ...]] = {
    OrderType.MARKET: (),
    OrderType.LIMIT: ("limit_price",),
    OrderType.STOP: ("stop_price",),
    OrderType.STOP_LIMIT: ("limit_price", "stop_price"),
    OrderType.TRAILING_STOP: ("trail_price", "trail_percent"),
}
_ALL_PRICES = ("limit_price", "stop_price", "trail_price", "trail_percent")
_MISSING_PRICE = {
    OrderType.LIMIT: "limit orders require a limit price",
    OrderType.STOP: "stop orders require a stop price",
    OrderType.STOP_LIMIT: "stop limit orders require both stop and limit price",
    OrderType.TRAILING_STOP: "trailing stop orders must specify one of trail_price or trail_percent",
}


def read_order_request(fields: Fields) -> OrderRequest:
    """An order from the fields of a POST body; raises Refusal for what is missing or wrong."""
    symbol = _required_text(fields, "symbol")
    order_type = _choice(fields, "type", OrderType, "order type")
    side = _choice(fields, "side", Side)
    tif = _choice(fields, "time_in_force", TimeInForce)
    order_class = _order_class(fields)
    take_profit, stop_loss = _exits(fields, order_class)
    fields = _with_limit_of_exit(fields, order_class, order_type)
    _check_prices(fields, order_type)
    quantity, notional = _amount(fields)
    return OrderRequest(
        symbol=symbol,
        side=side,
        order_type=order_type,
        time_in_force=tif,
        quantity=quantity,
        notional=notional,
        limit_price=_price(fields, "limit_price"),
        stop_price=_price(fields, "stop_price"),
        trail_price=_price(fields, "trail_price"),
        trail_percent=_trail_percent(fields),
        client_order_id=_client_order_id(fields),
        extended_hours=_flag(fields, "extended_hours"),
        order_class=order_class,
        take_profit=take_profit,
        stop_loss=stop_loss,
        position_intent=_optional_choice(fields, "position_intent", PositionIntent),
    )


def read_replace_request(fields: Fields) -> ReplaceRequest:
    """What a PATCH body wants changed; raises Refusal for what is wrong. Fields of no meaning here are ignored."""
    return ReplaceRequest(
        quantity=read_quantity(fields) if _is_given(fields, "qty") else None,
        limit_price=_price(fields, "limit_price"),
        stop_price=_price(fields, "stop_price"),
        trail=_positive(fields["trail"], "trail", LARGEST_PRICE) if _is_given(fields, "trail") else None,
        time_in_force=_optional_choice(fields, "time_in_force", TimeInForce),
        client_order_id=_client_order_id(fields),
    )


def read_quantity(fields: Fields) -> Decimal:
    """The shares in `qty`; raises Refusal."""
    quantity = read_decimal(fields.get("qty"))
    if quantity is None:
        raise refusals.bad_parameter("invalid qty")
    if quantity <= 0:
        raise refusals.bad_parameter("qty must be > 0")
    if quantity > LARGEST_QUANTITY:
        raise refusals.unprocessable(f"qty must be at most {LARGEST_QUANTITY}")
    if places(quantity) > QUANTITY_DECIMALS:
        raise refusals.unprocessable(f"qty must be limited to {QUANTITY_DECIMALS} decimal places")
    return quantity


def _amount(fields: Fields) -> tuple[Decimal | None, Decimal | None]:
    """Shares or dollars, exactly one of them."""
    has_quantity, has_notional = (_is_given(fields, name) for name in ("qty", "notional"))
    if has_quantity and has_notional:
        raise refusals.bad_parameter("only one of qty or notional is accepted")
    if has_quantity:
        return read_quantity(fields), None
    if not has_notional:
        raise refusals.bad_parameter("qty or notional is required")
    notional = _positive(fields["notional"], "notional", LARGEST_NOTIONAL)
    if places(notional) > 2:
        raise refusals.unprocessable("notional value must be limited to 2 decimal places")
    return None, notional


def _check_prices(fields: Fields, order_type: OrderType) -> None:
    """Every price the type needs and none that it does not."""
    given = [name for name in _ALL_PRICES if _is_given(fields, name)]
    needed = _PRICES[order_type]
    for extra in given:
        if extra in needed:
            continue
        if order_type is OrderType.MARKET and extra in {"limit_price", "stop_price"}:
            raise refusals.bad_parameter("market orders require no stop or limit price")
        raise refusals.bad_parameter(f"{order_type.value.replace('_', ' ')} orders must not have {extra}")
    if len(given) != (1 if order_type is OrderType.TRAILING_STOP else len(needed)):
        raise refusals.bad_parameter(_MISSING_PRICE[order_type])


def _order_class(fields: Fields) -> OrderClass:
    if not _is_given(fields, "order_class"):
        return OrderClass.SIMPLE
    if fields["order_class"] == "mleg":
        raise refusals.unprocessable("order class mleg is not supported by this simulator: it trades no options")
    return _choice(fields, "order_class", OrderClass)


def _exits(fields: Fields, order_class: OrderClass) -> tuple[Decimal | None, StopLoss | None]:
    """The take profit's limit price and the stop loss, as many as the class needs; trails are ignored."""
    profit, loss = (_part(fields, name) for name in ("take_profit", "stop_loss"))
    if order_class is OrderClass.SIMPLE:
        if profit is not None or loss is not None:
            raise refusals.bad_parameter("simple orders must not have take_profit or stop_loss")
        return None, None
    if order_class is OrderClass.OTO:
        if profit is None and loss is None:
            raise refusals.bad_parameter("oto orders require either take_profit or stop_loss")
        if profit is not None and loss is not None:
            raise refusals.bad_parameter("oto orders require only one of take_profit or stop_loss")
    else:
        profit, loss = profit or {}, loss or {}
    return _take_profit(profit, order_class), _stop_loss(loss, order_class)


def _take_profit(part: Fields | None, order_class: OrderClass) -> Decimal | None:
    if part is None:
        return None
    price = _price(part, "limit_price", "take_profit.limit_price")
    if price is None:
        raise refusals.bad_parameter(f"{order_class} orders require take_profit.limit_price")
    return price


def _stop_loss(part: Fields | None, order_class: OrderClass) -> StopLoss | None:
    if part is None:
        return None
    stop_price = _price(part, "stop_price", "stop_loss.stop_price")
    if stop_price is None:
        raise refusals.bad_parameter(f"{order_class} orders require stop_loss.stop_price")
    return StopLoss(stop_price, _price(part, "limit_price", "stop_loss.limit_price"))


def _with_limit_of_exit(fields: Fields, order_class: OrderClass, order_type: OrderType) -> Fields:
    """An OCO order is its take profit: that one's limit price is the order's own, whatever else it gives."""
    profit = fields.get("take_profit")
    if order_class is OrderClass.OCO and order_type is OrderType.LIMIT and isinstance(profit, dict):
        return {**fields, "limit_price": profit.get("limit_price")}
    return fields


def _part(fields: Fields, name: str) -> Fields | None:
    raw = fields.get(name)
    if raw is None:
        return None
    if not isinstance(raw, dict):
        raise refusals.bad_body()
    return raw


def _price(fields: Fields, name: str, shown: str | None = None) -> Decimal | None:
    """A price in dollars to the cent, below a dollar to a hundredth of one; None when it is not given."""
    if not _is_given(fields, name):
        return None
    shown = shown or name
    price = _positive(fields[name], shown, LARGEST_PRICE)
    if places(price) > (2 if price >= 1 else 4):
        raise refusals.unprocessable(
            f"invalid {shown} {decimal_text(price)}. sub-penny increment does not fulfill minimum pricing criteria"
        )
    return price


def _positive(raw: object, name: str, at_most: Decimal) -> Decimal:
    number = read_decimal(raw)
    if number is None:
        raise refusals.bad_parameter(f"invalid {name}")
    if number <= 0:
        raise refusals.bad_parameter(f"{name.replace('_', ' ')} must be > 0")
    if number > at_most:
        raise refusals.unprocessable(f"{name.replace('_', ' ')} must be at most {at_most}")
    return number


def _trail_percent(fields: Fields) -> Decimal | None:
    if not _is_given(fields, "trail_percent"):
        return None
    percent = _positive(fields["trail_percent"], "trail_percent", MOST_TRAIL_PERCENT)
    if percent < LEAST_TRAIL_PERCENT:
        raise refusals.bad_parameter("trail_percent must be greater than or equal to 0.1")
    return percent


def _client_order_id(fields: Fields) -> str | None:
    raw = fields.get("client_order_id")
    if raw is None or raw == "":
        return None
    if not isinstance(raw, str) or not raw.isprintable():
        raise refusals.bad_parameter("invalid client_order_id")
    if len(raw) > LONGEST_CLIENT_ORDER_ID:
        raise refusals.bad_parameter(f"client_order_id must be no more than {LONGEST_CLIENT_ORDER_ID} characters")
    return raw


def _flag(fields: Fields, name: str) -> bool:
    raw = fields.get(name)
    if raw is None or isinstance(raw, bool):
        return bool(raw)
    raise refusals.bad_parameter(f"invalid {name}")


def _is_given(fields: Fields, name: str) -> bool:
    return fields.get(name) is not None and fields[name] != ""


def _optional_choice(fields: Fields, name: str, kind: type[Choice]) -> Choice | None:
    return _choice(fields, name, kind) if _is_given(fields, name) else None


def _choice(fields: Fields, name: str, kind: type[Choice], shown: str | None = None) -> Choice:
    """The field as one of the words this exchange knows."""
    raw = _required_text(fields, name)
    try:
        return kind(raw)
    except ValueError:
        raise refusals.bad_parameter(f"invalid {shown or name}") from None


def _required_text(fields: Fields, name: str) -> str:
    raw = fields.get(name)
    if raw is None or raw == "":
        raise refusals.bad_parameter(f"{name} is required")
    if not isinstance(raw, str):
        raise refusals.bad_parameter(f"invalid {name}")
    return raw
