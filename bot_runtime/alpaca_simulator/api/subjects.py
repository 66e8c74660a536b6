"""What a request is about, as far as faults ask for it: symbols and client order ids.

Only reads; what cannot be read is about nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from uuid import UUID

from alpaca_simulator.api.messages import Request
from alpaca_simulator.exchange.accounts import Account
from alpaca_simulator.exchange.orders import Order
from alpaca_simulator.exchange.refusals import Refusal
from alpaca_simulator.faults.rest_faults import Subject


def subject_of(request: Request, account: Account | None) -> Subject:
    """The request as faults see it; `account` is None for one without right keys."""
    order = None if account is None else _order_named(request, account)
    return Subject(
        method=request.method,
        segments=request.segments,
        account=None if account is None else account.terms.name,
        symbols=frozenset(_symbols(request, order)),
        client_order_ids=tuple(_client_order_ids(request, order)),
    )


def _symbols(request: Request, order: Order | None) -> Iterator[str]:
    if order is not None:
        yield order.asset.symbol
    for text in _texts(request, ("symbol", "symbols")):
        yield from (symbol.strip().upper() for symbol in text.split(","))
    match request.segments:
        case ("v2", "positions" | "assets", symbol, *_) | ("v2", "stocks", symbol, _, *_):
            yield symbol.upper()


def _client_order_ids(request: Request, order: Order | None) -> Iterator[str]:
    if order is not None:
        yield order.client_order_id
    yield from _texts(request, ("client_order_id",))


def _order_named(request: Request, account: Account) -> Order | None:
    """The order whose id the path has."""
    match request.segments:
        case ("v2", "orders", order_id, *_):
            try:
                return account.order(UUID(order_id))
            except ValueError:
                return None
    return None


def _texts(request: Request, names: Iterable[str]) -> list[str]:
    """The texts under `names` in the JSON body and in the query."""
    try:
        body = request.json_object() if request.body else {}
    except Refusal:
        body = {}
    found = [source.get(name) for name in names for source in (body, request.parameters)]
    return [one for one in found if isinstance(one, str) and one]
