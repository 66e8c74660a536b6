"""Our orders as the bodies of Alpaca's POST and PATCH. Pure; raises before anything is sent what cannot be sent.

alpaca-py's request models check what belongs together; its floats are replaced by our exact decimals.
"""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from alpaca.trading.enums import TimeInForce as AlpacaTimeInForce
from alpaca.trading.requests import (
    LimitOrderRequest,
    MarketOrderRequest,
    OrderRequest,
    ReplaceOrderRequest,
    StopLimitOrderRequest,
    StopOrderRequest,
    TrailingStopOrderRequest,
)
from pydantic import ValidationError

from tradingbot_runtime.broker.port import OrderRejected
from tradingbot_runtime.core.orders import Order
from tradingbot_runtime.core.values import OrderClass, OrderType

_REQUESTS: Final[Mapping[OrderType, type[OrderRequest]]] = MappingProxyType(
    {
        OrderType.MARKET: MarketOrderRequest,
        OrderType.LIMIT: LimitOrderRequest,
        OrderType.STOP: StopOrderRequest,
        OrderType.STOP_LIMIT: StopLimitOrderRequest,
        OrderType.TRAILING_STOP: TrailingStopOrderRequest,
    }
)

_PRICES: Final[Mapping[OrderType, tuple[str, ...]]] = MappingProxyType(
    {
        OrderType.MARKET: (),
        OrderType.LIMIT: ("limit_price",),
        OrderType.STOP: ("stop_price",),
        OrderType.STOP_LIMIT: ("limit_price", "stop_price"),
        OrderType.TRAILING_STOP: ("trail_price", "trail_percent"),
    }
)


def submit_body(order: Order) -> dict[str, Any]:
    """The body of POST /orders; numbers as decimal strings. Raises OrderRejected where the order makes no sense."""
    exact: dict[str, Any] = {"qty": _text(order.qty)}
    if order.order_class is not OrderClass.SIMPLE:
        exact["order_class"] = order.order_class.value
        exact |= _exits(order)
    if order.order_class is not OrderClass.OCO:
        # An OCO's limit price is that of its take-profit.
        exact |= _prices(order)
    fields: dict[str, Any] = {
        "symbol": order.symbol,
        "side": order.side.value,
        "time_in_force": order.time_in_force.value,
        "client_order_id": order.client_order_id,
    }
    try:
        _check(exact)
        request = _REQUESTS[order.type](**fields, **exact)
    except ValueError as error:
        raise _unsendable(order, error) from error
    return {**request.to_request_fields(), **exact}


def replace_body(order: Order) -> dict[str, Any]:
    """The body of PATCH /orders/{id}: all that may differ from the order whose place this one takes.

    Raises OrderRejected where the order makes no sense.
    """
    exact = {"qty": _text(order.qty), **_prices(order)}
    trail = exact.pop("trail_price", None) or exact.pop("trail_percent", None)
    if trail is not None:
        exact["trail"] = trail
    try:
        _check(exact)
    except ValueError as error:
        raise _unsendable(order, error) from error
    # alpaca-py's model has no fractions of a share and no strings: only the words are its.
    request = ReplaceOrderRequest(
        time_in_force=AlpacaTimeInForce(order.time_in_force.value), client_order_id=order.client_order_id
    )
    return {**request.to_request_fields(), **exact}


def _prices(order: Order) -> dict[str, str]:
    values = {name: getattr(order, name) for name in _PRICES[order.type]}
    return {name: _text(value) for name, value in values.items() if value is not None}


def _exits(order: Order) -> dict[str, dict[str, str]]:
    exits: dict[str, dict[str, str]] = {}
    target = order.take_profit_price
    if target is None and order.order_class is OrderClass.OCO:
        target = order.limit_price
    if target is not None:
        exits["take_profit"] = {"limit_price": _text(target)}
    if order.stop_loss_price is not None:
        exits["stop_loss"] = {"stop_price": _text(order.stop_loss_price)}
        if order.stop_loss_limit_price is not None:
            exits["stop_loss"]["limit_price"] = _text(order.stop_loss_limit_price)
    return exits


def _check(exact: Mapping[str, Any]) -> None:
    """Raises ValueError for a quantity or price that is no positive number."""
    for name, value in exact.items():
        if isinstance(value, Mapping):
            _check(value)
        elif name != "order_class" and not (Decimal(value).is_finite() and Decimal(value) > 0):
            raise ValueError(f"{name} is {value}")


def _text(number: Decimal) -> str:
    return format(number, "f")


def _unsendable(order: Order, error: ValueError) -> OrderRejected:
    said = "; ".join(str(problem["msg"]) for problem in error.errors()) if isinstance(error, ValidationError) else error
    return OrderRejected(f"order {order.client_order_id} was not sent: {said}")
