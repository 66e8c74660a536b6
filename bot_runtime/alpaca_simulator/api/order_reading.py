"""An order as JSON becomes an order request; what is missing, wrong or not executed is refused.

Reads shapes and numbers only: whether the account may is the exchange's say.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TypeVar

from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.orders import OrderRequest, OrderType, Side, TimeInForce
from alpaca_simulator.values.quantities import QUANTITY_DECIMALS, decimal_text, places, read_decimal

LARGEST_QUANTITY = Decimal(10) ** 9
LARGEST_PRICE = Decimal(10) ** 6
LONGEST_CLIENT_ORDER_ID = 128

_OTHER_ORDER_TYPES = {"stop", "stop_limit", "trailing_stop"}
_OTHER_TIMES_IN_FORCE = {"opg", "cls", "fok"}
_OTHER_ORDER_CLASSES = {"bracket", "oco", "oto", "mleg"}

Choice = TypeVar("Choice", Side, OrderType, TimeInForce)


def read_order_request(fields: dict[str, object]) -> OrderRequest:
    """An order from the fields of a POST body; raises Refusal for what is missing, wrong or not executed."""
    order_type = _choice(fields, "type", OrderType, _OTHER_ORDER_TYPES)
    request = OrderRequest(
        symbol=_required_text(fields, "symbol"),
        side=_choice(fields, "side", Side, set()),
        order_type=order_type,
        time_in_force=_choice(fields, "time_in_force", TimeInForce, _OTHER_TIMES_IN_FORCE),
        quantity=read_quantity(fields),
        limit_price=_read_limit_price(fields, order_type),
        client_order_id=_read_client_order_id(fields),
    )
    _refuse_what_is_not_executed(fields, request)
    return request


def _refuse_what_is_not_executed(fields: dict[str, object], request: OrderRequest) -> None:
    order_class = fields.get("order_class") or "simple"
    if order_class != "simple":
        if order_class in _OTHER_ORDER_CLASSES:
            raise refusals.unprocessable(f"order class {order_class} is not supported by this simulator")
        raise refusals.bad_parameter("invalid order_class")
    for name in ("take_profit", "stop_loss", "legs"):
        if fields.get(name):
            raise refusals.unprocessable(f"{name} needs an order class that this simulator does not support")
    for name in ("stop_price", "trail_price", "trail_percent"):
        if fields.get(name) is not None:
            raise refusals.unprocessable(f"{request.order_type} orders must not have {name}")
    extended_hours = fields.get("extended_hours")
    if extended_hours not in (None, False):
        if extended_hours is not True:
            raise refusals.bad_parameter("invalid extended_hours")
        raise refusals.unprocessable("extended hours orders are not supported by this simulator")
    expected = "buy_to_open" if request.side is Side.BUY else "sell_to_close"
    if fields.get("position_intent") not in (None, "", expected):
        raise refusals.unprocessable(f"position intent mismatch, expected: {expected}")


def _choice(fields: dict[str, object], name: str, kind: type[Choice], others: set[str]) -> Choice:
    """The field as one of the words this exchange knows; `others` are Alpaca's words that it does not."""
    raw = _required_text(fields, name)
    if raw in others:
        raise refusals.unprocessable(f"{name} {raw} is not supported by this simulator")
    try:
        return kind(raw)
    except ValueError:
        raise refusals.bad_parameter(f"invalid {name}") from None


def read_quantity(fields: dict[str, object]) -> Decimal:
    """The shares in `qty`; raises Refusal."""
    if fields.get("notional") is not None:
        raise refusals.unprocessable("notional orders are not supported by this simulator, use qty")
    raw = fields.get("qty")
    if raw is None:
        raise refusals.bad_parameter("qty or notional is required")
    quantity = read_decimal(raw)
    if quantity is None:
        raise refusals.bad_parameter("invalid qty")
    if quantity <= 0:
        raise refusals.bad_parameter("qty must be > 0")
    if quantity > LARGEST_QUANTITY:
        raise refusals.unprocessable(f"qty must be at most {LARGEST_QUANTITY}")
    if places(quantity) > QUANTITY_DECIMALS:
        raise refusals.unprocessable(f"qty must be limited to {QUANTITY_DECIMALS} decimal places")
    return quantity


def _read_limit_price(fields: dict[str, object], order_type: OrderType) -> Decimal | None:
    raw = fields.get("limit_price")
    if order_type is OrderType.MARKET:
        if raw is not None:
            raise refusals.unprocessable("market orders must not have limit_price")
        return None
    if raw is None:
        raise refusals.bad_parameter("limit orders require limit_price")
    price = read_decimal(raw)
    if price is None:
        raise refusals.bad_parameter("invalid limit_price")
    if price <= 0:
        raise refusals.unprocessable("limit price must be > 0")
    if price > LARGEST_PRICE:
        raise refusals.unprocessable(f"limit price must be at most {LARGEST_PRICE}")
    if places(price) > (2 if price >= 1 else 4):
        raise refusals.unprocessable(
            f"invalid limit_price {decimal_text(price)}. sub-penny increment does not fulfill minimum pricing criteria"
        )
    return price


def _read_client_order_id(fields: dict[str, object]) -> str | None:
    raw = fields.get("client_order_id")
    if raw is None or raw == "":
        return None
    if not isinstance(raw, str) or not raw.isprintable():
        raise refusals.bad_parameter("invalid client_order_id")
    if len(raw) > LONGEST_CLIENT_ORDER_ID:
        raise refusals.bad_parameter(f"client_order_id must be no more than {LONGEST_CLIENT_ORDER_ID} characters")
    return raw


def _required_text(fields: dict[str, object], name: str) -> str:
    raw = fields.get(name)
    if raw is None or raw == "":
        raise refusals.bad_parameter(f"{name} is required")
    if not isinstance(raw, str):
        raise refusals.bad_parameter(f"invalid {name}")
    return raw
