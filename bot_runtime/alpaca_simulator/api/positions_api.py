"""`/v2/positions`: list, look up, close.

A position is closed by an order of its own, as any other order.
"""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal

from alpaca_simulator.api.messages import Request, Response, json_response
from alpaca_simulator.api.order_reading import read_quantity
from alpaca_simulator.api.orders_api import OrdersApi
from alpaca_simulator.api.parameters import flag_parameter
from alpaca_simulator.api.rendering import order_json, position_json, positions_in_order
from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.accounts import Account
from alpaca_simulator.exchange.exchange import Exchange
from alpaca_simulator.exchange.orders import Order, OrderRequest, OrderType, TimeInForce
from alpaca_simulator.exchange.positions import Position
from alpaca_simulator.values.quantities import HUNDRED, QUANTITY_DECIMALS, read_decimal


class PositionsApi:
    """Answers requests below `/v2/positions` for one exchange."""

    def __init__(self, exchange: Exchange, orders: OrdersApi) -> None:
        self._exchange = exchange
        self._orders = orders

    def answer(self, account: Account, request: Request) -> Response:
        """Answer a request of `account`; raises Refusal."""
        match (request.method, request.segments[1:]):
            case ("GET", ("positions",)):
                held = positions_in_order(account)
                return json_response(200, [position_json(self._exchange, account, one) for one in held])
            case ("GET", ("positions", symbol_or_id)):
                position = self._position(account, symbol_or_id)
                return json_response(200, position_json(self._exchange, account, position))
            case ("DELETE", ("positions",)):
                if flag_parameter(request, "cancel_orders"):
                    self._orders.cancel_all(account)
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
            order = self._close(account, position, abs(position.quantity))
        except refusals.Refusal as refusal:
            return {"symbol": symbol, "status": refusal.status, "body": refusal.body()}
        return {"symbol": symbol, "status": 200, "order_id": str(order.order_id), "body": order_json(order)}

    def _close(self, account: Account, position: Position, quantity: Decimal) -> Order:
        """Sell what is held, buy back what was sold short."""
        symbol, side = position.asset.symbol, position.closing_side
        return self._exchange.submit(account, OrderRequest(symbol, side, OrderType.MARKET, TimeInForce.DAY, quantity))


def _quantity_to_close(request: Request, position: Position) -> Decimal:
    """All shares, or as many as `qty` or `percentage` say; raises Refusal."""
    wanted = request.parameters
    if wanted.get("qty") and wanted.get("percentage"):
        raise refusals.bad_parameter("only one of qty and percentage can be given")
    if wanted.get("qty"):
        return read_quantity({"qty": wanted["qty"]})
    if wanted.get("percentage"):
        percentage = read_decimal(wanted["percentage"])
        if percentage is None or not 0 < percentage <= HUNDRED:
            raise refusals.bad_parameter("percentage must be > 0 and <= 100")
        return _share_of(position, percentage)
    return abs(position.quantity)


def _share_of(position: Position, percentage: Decimal) -> Decimal:
    step = Decimal(1).scaleb(-QUANTITY_DECIMALS) if position.asset.fractionable else Decimal(1)
    quantity = (abs(position.quantity) * percentage / HUNDRED).quantize(step, rounding=ROUND_FLOOR)
    if quantity <= 0:
        raise refusals.unprocessable("percentage of the position is less than can be sold")
    return quantity
