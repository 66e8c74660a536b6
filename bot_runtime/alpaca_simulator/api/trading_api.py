"""The trading API v2: account, clock, calendar, assets, orders and positions.

Reads a request, asks the exchange, renders the answer; what may be traded is the exchange's say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_FLOOR, Decimal
from itertools import islice
from typing import TypeVar
from uuid import UUID

from alpaca_simulator.api.messages import Request, Response, json_response
from alpaca_simulator.api.rendering import (
    account_json,
    asset_json,
    clock_json,
    order_json,
    position_json,
    positions_in_order,
    session_json,
)
from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.accounts import Account, LoggedRequest, Position
from alpaca_simulator.exchange.exchange import Exchange
from alpaca_simulator.exchange.orders import Order, OrderRequest, OrderType, Side, TimeInForce
from alpaca_simulator.market.assets import Asset
from alpaca_simulator.market.calendar import FIRST_DAY, LAST_DAY
from alpaca_simulator.values.instants import read_date, read_instant
from alpaca_simulator.values.quantities import HUNDRED, QUANTITY_DECIMALS, decimal_text, places, read_decimal

LARGEST_QUANTITY = Decimal(10) ** 9
LARGEST_PRICE = Decimal(10) ** 6
LONGEST_CLIENT_ORDER_ID = 128
ORDERS_LISTED = 50
ORDERS_LISTED_AT_MOST = 500

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_NOT_IMPLEMENTED = {
    "watchlists": "the watchlists API",
    "watchlists:by_name": "the watchlists API",
    "corporate_actions": "the corporate actions API",
    "options": "the options API",
    "wallets": "the crypto wallets API",
    "perpetuals": "the perpetuals API",
    "tokenization": "the tokenization API",
}
_OTHER_ORDER_TYPES = {"stop", "stop_limit", "trailing_stop"}
_OTHER_TIMES_IN_FORCE = {"opg", "cls", "fok"}
_OTHER_ORDER_CLASSES = {"bracket", "oco", "oto", "mleg"}


Choice = TypeVar("Choice", Side, OrderType, TimeInForce)


class TradingApi:
    """Answers requests below `/v2` for one exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def answer(self, account: Account, request: Request) -> Response:
        """Answer a request of `account`; raises Refusal. The path starts with `v2`."""
        match (request.method, request.segments[1:]):
            case ("GET", ("account",)):
                return json_response(200, account_json(self._exchange, account))
            case ("GET", ("clock",)):
                return json_response(200, clock_json(self._exchange.calendar, self._exchange.now))
            case ("GET", ("calendar",)):
                return self._calendar(request)
            case ("GET", ("assets",)):
                return self._assets(request)
            case ("GET", ("assets", symbol_or_id)):
                return json_response(200, asset_json(self._asset(symbol_or_id)))
            case (_, ("orders", *_)) | ("GET", ("orders:by_client_order_id",)):
                return self._orders(account, request)
            case (_, ("positions", *_)):
                return self._positions(account, request)
            case (_, ("account", "configurations" | "activities" | "portfolio" as part, *_)):
                raise refusals.not_implemented(f"the account {part} API")
            case (_, (str(first), *_)) if first in _NOT_IMPLEMENTED:
                raise refusals.not_implemented(_NOT_IMPLEMENTED[first])
        raise refusals.not_found("endpoint not found.")

    # -- reference --------------------------------------------------------------------------

    def _calendar(self, request: Request) -> Response:
        first = _date_parameter(request, "start") or FIRST_DAY
        last = _date_parameter(request, "end") or LAST_DAY
        calendar = self._exchange.calendar
        return json_response(200, [session_json(calendar, session) for session in calendar.between(first, last)])

    def _assets(self, request: Request) -> Response:
        wanted = request.parameters
        listed = [
            asset_json(asset)
            for asset in self._exchange.catalogue
            if wanted.get("status", "active") in {"active", "all", ""}
            and wanted.get("asset_class", "us_equity") in {"us_equity", ""}
            and wanted.get("exchange", asset.exchange) in {asset.exchange, ""}
            and not wanted.get("attributes")
        ]
        return json_response(200, listed)

    def _asset(self, symbol_or_id: str) -> Asset:
        asset = self._exchange.catalogue.find(symbol_or_id)
        if asset is None:
            raise refusals.not_found(f"asset not found for {symbol_or_id}")
        return asset

    # -- orders -----------------------------------------------------------------------------

    def _orders(self, account: Account, request: Request) -> Response:
        match (request.method, request.segments[1:]):
            case ("POST", ("orders",)):
                return self._submit(account, request)
            case ("GET", ("orders",)):
                listed = islice(_matching_orders(account, request), _orders_limit(request))
                return json_response(200, [order_json(order) for order in listed])
            case ("GET", ("orders:by_client_order_id",)):
                return json_response(200, order_json(_order_by_client_order_id(account, request)))
            case ("GET", ("orders", order_id)):
                return json_response(200, order_json(_order(account, order_id)))
            case ("DELETE", ("orders", order_id)):
                self._exchange.cancel(_order(account, order_id))
                return Response(204)
            case ("DELETE", ("orders",)):
                return json_response(207, self._cancel_all(account))
            case ("PATCH", ("orders", order_id)):
                _order(account, order_id)
                raise refusals.not_implemented("replacing an order")
        raise refusals.not_found("endpoint not found.")

    def _submit(self, account: Account, request: Request) -> Response:
        """Submit an order and log how it was answered, refusals included."""
        account.requests_received += 1
        fields: dict[str, object] = {}
        try:
            fields = request.json_object()
            order = self._exchange.submit(account, read_order_request(fields))
        except refusals.Refusal as refusal:
            account.requests.append(_logged(self._exchange, account, fields, refusal.status, refusal.code, None))
            raise
        account.requests.append(_logged(self._exchange, account, fields, 200, None, order))
        return json_response(200, order_json(order))

    def _cancel_all(self, account: Account) -> list[dict[str, object]]:
        answers: list[dict[str, object]] = []
        for order in list(account.open_orders.values()):
            self._exchange.cancel(order)
            answers.append({"id": str(order.order_id), "status": 200, "body": order_json(order)})
        return answers

    # -- positions --------------------------------------------------------------------------

    def _positions(self, account: Account, request: Request) -> Response:
        match (request.method, request.segments[1:]):
            case ("GET", ("positions",)):
                held = positions_in_order(account)
                return json_response(200, [position_json(self._exchange, account, one) for one in held])
            case ("GET", ("positions", symbol_or_id)):
                position = self._position(account, symbol_or_id)
                return json_response(200, position_json(self._exchange, account, position))
            case ("DELETE", ("positions",)):
                if request.parameters.get("cancel_orders", "").lower() == "true":
                    self._cancel_all(account)
                held = positions_in_order(account)
                return json_response(207, [self._closing_entry(account, position) for position in held])
            case ("DELETE", ("positions", symbol_or_id)):
                position = self._position(account, symbol_or_id)
                order = self._close(account, position, _quantity_to_close(request, position))
                return json_response(200, order_json(order))
            case ("POST", ("positions", _, "exercise" | "do-not-exercise")):
                raise refusals.not_implemented("exercising options")
        raise refusals.not_found("endpoint not found.")

    def _position(self, account: Account, symbol_or_id: str) -> Position:
        asset = self._exchange.catalogue.find(symbol_or_id)
        position = None if asset is None else account.positions.get(asset.symbol)
        if position is None:
            raise refusals.not_found("position does not exist")
        return position

    def _closing_entry(self, account: Account, position: Position) -> dict[str, object]:
        """One body of the 207 that closing everything answers with."""
        symbol = position.asset.symbol
        try:
            order = self._close(account, position, position.quantity)
        except refusals.Refusal as refusal:
            return {"symbol": symbol, "status": refusal.status, "body": refusal.body()}
        return {"symbol": symbol, "status": 200, "order_id": str(order.order_id), "body": order_json(order)}

    def _close(self, account: Account, position: Position, quantity: Decimal) -> Order:
        sale = OrderRequest(position.asset.symbol, Side.SELL, OrderType.MARKET, TimeInForce.DAY, quantity)
        return self._exchange.submit(account, sale)


@dataclass(frozen=True, slots=True)
class _OrderFilter:
    """Which orders a list shows."""

    status: str
    after: datetime | None
    until: datetime | None
    symbols: frozenset[str]
    side: str | None

    def admits(self, order: Order) -> bool:
        """Whether `order` is one of them."""
        return (
            (self.status == "all" or order.is_open == (self.status == "open"))
            and (self.after is None or order.created_at > self.after)
            and (self.until is None or order.created_at <= self.until)
            and (not self.symbols or order.asset.symbol in self.symbols)
            and (self.side is None or order.side == self.side)
        )


def read_order_request(fields: dict[str, object]) -> OrderRequest:
    """An order from the fields of a POST body; raises Refusal for what is missing, wrong or not executed."""
    order_type = _choice(fields, "type", OrderType, _OTHER_ORDER_TYPES)
    request = OrderRequest(
        symbol=_required_text(fields, "symbol"),
        side=_choice(fields, "side", Side, set()),
        order_type=order_type,
        time_in_force=_choice(fields, "time_in_force", TimeInForce, _OTHER_TIMES_IN_FORCE),
        quantity=_read_quantity(fields),
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


def _read_quantity(fields: dict[str, object]) -> Decimal:
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


def _logged(
    exchange: Exchange,
    account: Account,
    fields: dict[str, object],
    status: int,
    code: int | None,
    order: Order | None,
) -> LoggedRequest:
    return LoggedRequest(
        number=account.requests_received,
        at=exchange.now,
        client_order_id=_short_text(fields.get("client_order_id")),
        symbol=_short_text(fields.get("symbol")),
        side=_short_text(fields.get("side")),
        quantity=_short_text(fields.get("qty")),
        status=status,
        code=code,
        order_id=None if order is None else str(order.order_id),
    )


def _short_text(raw: object) -> str | None:
    """What was sent, cut so that the log stays small."""
    return None if raw is None else str(raw)[:LONGEST_CLIENT_ORDER_ID]


def _order(account: Account, order_id: str) -> Order:
    if not _UUID.fullmatch(order_id):
        raise refusals.bad_parameter("order_id is not a valid UUID")
    order = account.order(UUID(order_id))
    if order is None:
        raise refusals.not_found(f"order not found for {order_id}")
    return order


def _order_by_client_order_id(account: Account, request: Request) -> Order:
    client_order_id = request.parameters.get("client_order_id", "")
    if not client_order_id:
        raise refusals.bad_parameter("client_order_id is required")
    order = account.order_by_client_order_id(client_order_id)
    if order is None:
        raise refusals.not_found(f"order not found for {client_order_id}")
    return order


def _matching_orders(account: Account, request: Request) -> Iterator[Order]:
    """The kept orders the parameters ask for, in the order they ask for."""
    wanted = request.parameters
    status = wanted.get("status") or "open"
    if status not in {"open", "closed", "all"}:
        raise refusals.unprocessable(f"invalid status: {status[:40]}")
    direction = wanted.get("direction") or "desc"
    if direction not in {"asc", "desc"}:
        raise refusals.unprocessable(f"invalid direction: {direction[:40]}")
    chosen = _OrderFilter(
        status=status,
        after=_instant_parameter(request, "after"),
        until=_instant_parameter(request, "until"),
        symbols=frozenset(symbol for symbol in wanted.get("symbols", "").split(",") if symbol),
        side=wanted.get("side") or None,
    )
    # Open orders are few among many kept ones, and are asked for most.
    newest_first = reversed(account.open_orders.values()) if status == "open" else account.orders_newest_first()
    ordered = newest_first if direction == "desc" else reversed(list(newest_first))
    return (order for order in ordered if chosen.admits(order))


def _orders_limit(request: Request) -> int:
    raw = request.parameters.get("limit")
    if not raw:
        return ORDERS_LISTED
    limit = read_decimal(raw)
    if limit is None or not 1 <= limit <= ORDERS_LISTED_AT_MOST or places(limit) > 0:
        raise refusals.unprocessable(f"limit must be from 1 to {ORDERS_LISTED_AT_MOST}")
    return int(limit)


def _instant_parameter(request: Request, name: str) -> datetime | None:
    raw = request.parameters.get(name)
    if not raw:
        return None
    instant = read_instant(raw)
    if instant is None:
        raise refusals.unprocessable(f"invalid {name}: not an RFC 3339 time")
    return instant


def _date_parameter(request: Request, name: str) -> date | None:
    raw = request.parameters.get(name)
    if not raw:
        return None
    day = read_date(raw)
    if day is None:
        raise refusals.unprocessable(f"invalid {name}: not a date")
    return day


def _quantity_to_close(request: Request, position: Position) -> Decimal:
    """All shares, or as many as `qty` or `percentage` say; raises Refusal."""
    wanted = request.parameters
    if wanted.get("qty") and wanted.get("percentage"):
        raise refusals.bad_parameter("only one of qty and percentage can be given")
    if wanted.get("qty"):
        return _read_quantity({"qty": wanted["qty"]})
    if wanted.get("percentage"):
        percentage = read_decimal(wanted["percentage"])
        if percentage is None or not 0 < percentage <= HUNDRED:
            raise refusals.bad_parameter("percentage must be > 0 and <= 100")
        return _share_of(position, percentage)
    return position.quantity


def _share_of(position: Position, percentage: Decimal) -> Decimal:
    step = Decimal(1).scaleb(-QUANTITY_DECIMALS) if position.asset.fractionable else Decimal(1)
    quantity = (position.quantity * percentage / HUNDRED).quantize(step, rounding=ROUND_FLOOR)
    if quantity <= 0:
        raise refusals.unprocessable("percentage of the position is less than can be sold")
    return quantity
