"""`/v2/orders`: submit, list, look up, replace, cancel.

Reads a request, asks the exchange, renders the answer; what may be traded is the exchange's say.
"""

from __future__ import annotations

from alpaca_simulator.api.messages import Request, Response, json_response
from alpaca_simulator.api.order_listing import listed_orders
from alpaca_simulator.api.order_reading import read_order_request, read_replace_request
from alpaca_simulator.api.parameters import flag_parameter, read_uuid
from alpaca_simulator.api.rendering import Json, order_json
from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.accounts import Account, LoggedRequest
from alpaca_simulator.exchange.exchange import Exchange
from alpaca_simulator.exchange.orders import Order

LONGEST_LOGGED_TEXT = 128


class OrdersApi:
    """Answers requests below `/v2/orders` for one exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def answer(self, account: Account, request: Request) -> Response:
        """Answer a request of `account`; raises Refusal."""
        match (request.method, request.segments[1:]):
            case ("POST", ("orders",)):
                return self._submit(account, request)
            case ("GET", ("orders",)):
                return json_response(200, listed_orders(account, request))
            case ("GET", ("orders:by_client_order_id",)):
                found = _order_by_client_order_id(account, request)
                return json_response(200, order_json(found, nested=flag_parameter(request, "nested")))
            case ("GET", ("orders", order_id)):
                found = _order(account, order_id)
                return json_response(200, order_json(found, nested=flag_parameter(request, "nested")))
            case ("DELETE", ("orders", order_id)):
                self._exchange.cancel(_order(account, order_id))
                return Response(204)
            case ("DELETE", ("orders",)):
                return json_response(207, self.cancel_all(account))
            case ("PATCH", ("orders", order_id)):
                order = _order(account, order_id)
                wanted = read_replace_request(request.json_object())
                return json_response(200, order_json(self._exchange.replace(account, order, wanted)))
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

    def cancel_all(self, account: Account) -> list[Json]:
        """Ask for every open order to be canceled; the bodies of the 207 that answers it."""
        return [self._cancel_entry(order) for order in list(account.open_orders.values())]

    def _cancel_entry(self, order: Order) -> Json:
        entry: Json = {"id": str(order.order_id)}
        try:
            # Canceling one order of a family has canceled the others.
            if order.is_open:
                self._exchange.cancel(order)
        except refusals.Refusal as refusal:
            return entry | {"status": refusal.status, "body": refusal.body()}
        return entry | {"status": 200, "body": order_json(order)}


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
    return None if raw is None else str(raw)[:LONGEST_LOGGED_TEXT]


def _order(account: Account, order_id: str) -> Order:
    order = account.order(read_uuid(order_id, "order_id"))
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
