"""Values of the core as rows of the tables, and back. Decimals and times are text, so that no digit is lost."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

from tradingbot_runtime.core.commands import Change, PutCheckpoint, PutFill, PutKill, PutOrder
from tradingbot_runtime.core.kill import KillState
from tradingbot_runtime.core.orders import Fill, Order, OrderState
from tradingbot_runtime.core.values import OrderType, Side, TimeInForce

Row = dict[str, str | int | None]

KEYS: Mapping[str, tuple[str, ...]] = {
    "orders": ("client_order_id",),
    "fills": ("client_order_id", "sequence"),
    "kill": ("only_row",),
    "checkpoints": ("name",),
}
"""Tables that changes write, and what names a row of each."""


def row_of(change: Change) -> tuple[str, Row]:
    """The table and the row that a change puts there."""
    match change:
        case PutOrder(order):
            return "orders", _order_row(order)
        case PutFill(fill):
            return "fills", _fill_row(fill)
        case PutKill(kill):
            return "kill", _kill_row(kill)
        case PutCheckpoint(name, document):
            return "checkpoints", {"name": name, "document": document}


def time_text(at: datetime) -> str:
    """A time as text that sorts and reads back exactly, in UTC."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _optional_time_text(at: datetime | None) -> str | None:
    return None if at is None else time_text(at)


def _optional_decimal_text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def _order_row(order: Order) -> Row:
    return {
        "client_order_id": order.client_order_id,
        "symbol": order.symbol,
        "side": order.side.value,
        "type": order.type.value,
        "qty": str(order.qty),
        "time_in_force": order.time_in_force.value,
        "state": order.state.value,
        "created_at": time_text(order.created_at),
        "limit_price": _optional_decimal_text(order.limit_price),
        "arrival_price": _optional_decimal_text(order.arrival_price),
        "broker_id": order.broker_id,
        "filled_qty": str(order.filled_qty),
        "filled_average_price": _optional_decimal_text(order.filled_average_price),
        "reason": order.reason,
        "reducing": int(order.reducing),
    }


def _fill_row(fill: Fill) -> Row:
    return {
        "client_order_id": fill.client_order_id,
        "sequence": fill.sequence,
        "symbol": fill.symbol,
        "signed_qty": str(fill.signed_qty),
        "price": str(fill.price),
        "at": time_text(fill.at),
        "reason": fill.reason,
    }


def _kill_row(kill: KillState) -> Row:
    return {
        "scope": kill.scope,
        "reason": kill.reason,
        "flatten": int(kill.flatten),
        "observed_at": time_text(kill.observed_at),
        "orders_cancelled_at": _optional_time_text(kill.orders_cancelled_at),
        "flat_at": _optional_time_text(kill.flat_at),
        "open_orders": kill.open_orders,
        "open_positions": kill.open_positions,
        "only_row": 1,
    }


def order_from(row: Mapping[str, str | int | None]) -> Order:
    """The order in a row of `orders`. Raises ValueError when the row holds something else."""
    return Order(
        client_order_id=_text(row, "client_order_id"),
        symbol=_text(row, "symbol"),
        side=Side(_text(row, "side")),
        type=OrderType(_text(row, "type")),
        qty=_decimal(row, "qty"),
        time_in_force=TimeInForce(_text(row, "time_in_force")),
        state=OrderState(_text(row, "state")),
        created_at=_time(row, "created_at"),
        limit_price=_optional_decimal(row, "limit_price"),
        arrival_price=_optional_decimal(row, "arrival_price"),
        broker_id=None if row["broker_id"] is None else _text(row, "broker_id"),
        filled_qty=_decimal(row, "filled_qty"),
        filled_average_price=_optional_decimal(row, "filled_average_price"),
        reason=_text(row, "reason"),
        reducing=bool(row["reducing"]),
    )


def fill_from(row: Mapping[str, str | int | None]) -> Fill:
    """The fill in a row of `fills`. Raises ValueError when the row holds something else."""
    return Fill(
        client_order_id=_text(row, "client_order_id"),
        sequence=int(_text(row, "sequence")),
        symbol=_text(row, "symbol"),
        signed_qty=_decimal(row, "signed_qty"),
        price=_decimal(row, "price"),
        at=_time(row, "at"),
        reason=_text(row, "reason"),
    )


def kill_from(row: Mapping[str, str | int | None]) -> KillState:
    """The kill in the row of `kill`. Raises ValueError when the row holds something else."""
    return KillState(
        reason=_text(row, "reason"),
        scope=_text(row, "scope"),
        flatten=bool(row["flatten"]),
        observed_at=_time(row, "observed_at"),
        orders_cancelled_at=_optional_time(row, "orders_cancelled_at"),
        flat_at=_optional_time(row, "flat_at"),
        open_orders=_optional_int(row, "open_orders"),
        open_positions=_optional_int(row, "open_positions"),
    )


def _text(row: Mapping[str, str | int | None], column: str) -> str:
    return str(row[column])


def _decimal(row: Mapping[str, str | int | None], column: str) -> Decimal:
    try:
        return Decimal(_text(row, column))
    except ArithmeticError as error:
        raise ValueError(f"{column} is not a number: {row[column]!r}") from error


def _time(row: Mapping[str, str | int | None], column: str) -> datetime:
    return datetime.fromisoformat(_text(row, column))


def _optional_decimal(row: Mapping[str, str | int | None], column: str) -> Decimal | None:
    return None if row[column] is None else _decimal(row, column)


def _optional_time(row: Mapping[str, str | int | None], column: str) -> datetime | None:
    return None if row[column] is None else _time(row, column)


def _optional_int(row: Mapping[str, str | int | None], column: str) -> int | None:
    value = row[column]
    return None if value is None else int(value)
