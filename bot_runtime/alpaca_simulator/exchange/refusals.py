"""Every way the simulator says no, with Alpaca's status, code and body.

A refusal is an answer to the client, not a fault of the simulator: never log it as one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from alpaca_simulator.values.quantities import decimal_text


@dataclass(eq=False)
class Refusal(Exception):
    """A request that is answered with an error body in Alpaca's shape.

    `code` None leaves the code out, as Alpaca's data API does.
    """

    status: int
    code: int | None
    message: str
    details: dict[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, object]:
        """The JSON body: code (when there is one), message, and the details Alpaca adds."""
        code: dict[str, object] = {} if self.code is None else {"code": self.code}
        return {**code, "message": self.message, **self.details}


def bad_body(message: str = "request body format is invalid") -> Refusal:
    """400: the body is no JSON object."""
    return Refusal(400, 40010000, message)


def not_authorized() -> Refusal:
    """401 of the trading API: unknown key or wrong secret."""
    return Refusal(401, 40110000, "request is not authorized")


def data_not_authorized() -> Refusal:
    """401 of the data API, which carries no code."""
    return Refusal(401, None, "unauthorized.")


def not_found(message: str) -> Refusal:
    """404: no such order, position, asset or path."""
    return Refusal(404, 40410000, message)


def not_implemented(what: str) -> Refusal:
    """501: Alpaca has it, this simulator does not."""
    return Refusal(501, 50110000, f"{what} is not implemented by this simulator")


def too_large(limit_bytes: int) -> Refusal:
    """413: the body is over the limit."""
    return Refusal(413, 41310000, f"request body is over {limit_bytes} bytes")


def bad_parameter(message: str) -> Refusal:
    """422/40010001: a parameter is missing or malformed."""
    return Refusal(422, 40010001, message)


def bad_data_parameter(message: str) -> Refusal:
    """400 of the data API, which carries no code."""
    return Refusal(400, None, message)


def unprocessable(message: str) -> Refusal:
    """422/42210000: well formed, but not something that can be done."""
    return Refusal(422, 42210000, message)


def forbidden(message: str, **details: str) -> Refusal:
    """403/40310000: the account may not do this."""
    return Refusal(403, 40310000, message, details)


def insufficient_buying_power(buying_power: Decimal, cost_basis: Decimal) -> Refusal:
    """403: open orders and this one together cost more than there is; amounts in dollars."""
    return forbidden(
        "insufficient buying power",
        buying_power=decimal_text(buying_power),
        cost_basis=decimal_text(cost_basis),
    )


def insufficient_quantity(symbol: str, requested: Decimal, held: Decimal, in_orders: Decimal) -> Refusal:
    """403: more shares to sell than are held and not already offered."""
    available = decimal_text(held - in_orders)
    return forbidden(
        f"insufficient qty available for order (requested: {decimal_text(requested)}, available: {available})",
        available=available,
        existing_qty=decimal_text(held),
        held_for_orders=decimal_text(in_orders),
        symbol=symbol,
    )


def wash_trade(existing_order_id: str, *, has_limit: bool) -> Refusal:
    """403: an open order of the opposite side would trade with this one."""
    kind = "limit" if has_limit else "market/stop"
    return forbidden(
        "potential wash trade detected. use complex orders",
        existing_order_id=existing_order_id,
        reject_reason=f"opposite side {kind} order exists",
    )


def unprocessable_price(message: str, base_price: Decimal) -> Refusal:
    """422/42210000: an exit on the wrong side of the price it is measured by, in dollars."""
    return Refusal(422, 42210000, message, {"base_price": decimal_text(base_price)})
