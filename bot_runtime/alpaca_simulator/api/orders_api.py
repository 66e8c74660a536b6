"""`/v2/orders`: submit, list, look up, cancel.

Reads a request, asks the exchange, renders the answer; what may be traded is the exchange's say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from uuid import UUID

from alpaca_simulator.api.messages import Request, Response, json_response
from alpaca_simulator.api.order_reading import read_order_request
from alpaca_simulator.api.parameters import instant_parameter, whole_parameter
from alpaca_simulator.api.rendering import (
    order_json,
)
from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.accounts import Account, LoggedRequest
from alpaca_simulator.exchange.exchange import Exchange
from alpaca_simulator.exchange.orders import Order

LONGEST_LOGGED_TEXT = 128
ORDERS_LISTED = 50
ORDERS_LISTED_AT_MOST = 500

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


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
                most = whole_parameter(request, "limit", otherwise=ORDERS_LISTED, at_most=ORDERS_LISTED_AT_MOST)
                listed = islice(_matching_orders(account, request), most)
                return json_response(200, [order_json(order) for order in listed])
            case ("GET", ("orders:by_client_order_id",)):
                return json_response(200, order_json(_order_by_client_order_id(account, request)))
            case ("GET", ("orders", order_id)):
                return json_response(200, order_json(_order(account, order_id)))
            case ("DELETE", ("orders", order_id)):
                self._exchange.cancel(_order(account, order_id))
                return Response(204)
            case ("DELETE", ("orders",)):
                return json_response(207, self.cancel_all(account))
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

    def cancel_all(self, account: Account) -> list[dict[str, object]]:
        """Cancel every open order; the bodies of the 207 that answers it."""
        answers: list[dict[str, object]] = []
        for order in list(account.open_orders.values()):
            self._exchange.cancel(order)
            answers.append({"id": str(order.order_id), "status": 200, "body": order_json(order)})
        return answers


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
        after=instant_parameter(request, "after"),
        until=instant_parameter(request, "until"),
        symbols=frozenset(symbol for symbol in wanted.get("symbols", "").split(",") if symbol),
        side=wanted.get("side") or None,
    )
    # Open orders are few among many kept ones, and are asked for most.
    newest_first = reversed(account.open_orders.values()) if status == "open" else account.orders_newest_first()
    ordered = newest_first if direction == "desc" else reversed(list(newest_first))
    return (order for order in ordered if chosen.admits(order))
