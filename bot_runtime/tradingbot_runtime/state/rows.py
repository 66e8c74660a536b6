"""Values of the core as rows of the tables, and back: orders, fills, the kill, checkpoints.

What a table is called, what names a row of it, and which columns came later stands here once, for everybody.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from tradingbot_runtime.core.commands import Change, PutCheckpoint, PutFill, PutKill, PutOrder
from tradingbot_runtime.core.kill import KillState
from tradingbot_runtime.core.orders import Fill, Order, OrderState
from tradingbot_runtime.core.records import PutIncident, PutNotice, PutSession
from tradingbot_runtime.core.values import OrderClass, OrderType, Side, TimeInForce
from tradingbot_runtime.state.cells import (
    Cells,
    Row,
    decimal,
    integer,
    optional_decimal,
    optional_decimal_text,
    optional_integer,
    optional_text,
    optional_time,
    optional_time_text,
    text,
    time,
    time_text,
)
from tradingbot_runtime.state.record_rows import incident_row, notice_row, session_row

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "orders": ("client_order_id",),
    "fills": ("client_order_id", "sequence"),
    "kill": ("only_row",),
    "checkpoints": ("name",),
    "sessions": ("day",),
    "incidents": ("incident_id",),
    "notices": ("notice_id",),
    "anchors": ("seq",),
}
"""Tables that the journal's changes write, and what names a row of each."""

NUMBERED: Final = frozenset({"orders", "fills", "sessions", "incidents", "notices"})
"""Tables whose rows keep the order in which they came, in a column `position`."""

WRITTEN_ONCE: Final = frozenset({"fills", "sessions", "anchors"})
"""Tables whose rows never change."""

LATER_COLUMNS: Final[Mapping[str, Row]] = {
    "orders": {
        "order_class": "simple",
        "stop_price": None,
        "trail_price": None,
        "trail_percent": None,
        "take_profit_price": None,
        "stop_loss_price": None,
        "stop_loss_limit_price": None,
        "parent_id": "",
        "replaces_id": "",
    },
    "kill": {
        # A kill from before they were counted is the first: in force until the first release.
        "epoch": 1,
        "first_cancel_at": None,
        "queued_for": None,
        "released_at": None,
    },
}
"""Columns that a later schema added, and what they hold in rows from before it: the journal leaves these out."""

_NO_COLUMNS: Final[Row] = {}


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
        case PutSession(session):
            return "sessions", session_row(session)
        case PutIncident(incident):
            return "incidents", incident_row(incident)
        case PutNotice(notice):
            return "notices", notice_row(notice)


def sparse(table: str, row: Row) -> Row:
    """The row without the later columns that hold what older rows hold there: the same text in every schema."""
    later = LATER_COLUMNS.get(table, _NO_COLUMNS)
    if not later:
        return row
    return {column: value for column, value in row.items() if column not in later or value != later[column]}


def whole(table: str, row: Row) -> Row:
    """The row with every column of today's schema; undoes `sparse`."""
    later = LATER_COLUMNS.get(table, _NO_COLUMNS)
    return {**later, **row} if later else row


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
        "limit_price": optional_decimal_text(order.limit_price),
        "arrival_price": optional_decimal_text(order.arrival_price),
        "broker_id": order.broker_id,
        "filled_qty": str(order.filled_qty),
        "filled_average_price": optional_decimal_text(order.filled_average_price),
        "reason": order.reason,
        "reducing": int(order.reducing),
        "order_class": order.order_class.value,
        "stop_price": optional_decimal_text(order.stop_price),
        "trail_price": optional_decimal_text(order.trail_price),
        "trail_percent": optional_decimal_text(order.trail_percent),
        "take_profit_price": optional_decimal_text(order.take_profit_price),
        "stop_loss_price": optional_decimal_text(order.stop_loss_price),
        "stop_loss_limit_price": optional_decimal_text(order.stop_loss_limit_price),
        "parent_id": order.parent_id,
        "replaces_id": order.replaces_id,
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
        "orders_cancelled_at": optional_time_text(kill.orders_cancelled_at),
        "flat_at": optional_time_text(kill.flat_at),
        "open_orders": kill.open_orders,
        "open_positions": kill.open_positions,
        "only_row": 1,
        "epoch": kill.epoch,
        "first_cancel_at": optional_time_text(kill.first_cancel_at),
        "queued_for": optional_time_text(kill.queued_for),
        "released_at": optional_time_text(kill.released_at),
    }


def order_from(row: Cells) -> Order:
    """The order in a row of `orders`. Raises ValueError when the row holds something else."""
    return Order(
        client_order_id=text(row, "client_order_id"),
        symbol=text(row, "symbol"),
        side=Side(text(row, "side")),
        type=OrderType(text(row, "type")),
        qty=decimal(row, "qty"),
        time_in_force=TimeInForce(text(row, "time_in_force")),
        state=OrderState(text(row, "state")),
        created_at=time(row, "created_at"),
        limit_price=optional_decimal(row, "limit_price"),
        arrival_price=optional_decimal(row, "arrival_price"),
        broker_id=optional_text(row, "broker_id"),
        filled_qty=decimal(row, "filled_qty"),
        filled_average_price=optional_decimal(row, "filled_average_price"),
        reason=text(row, "reason"),
        reducing=bool(row["reducing"]),
        order_class=OrderClass(text(row, "order_class")),
        stop_price=optional_decimal(row, "stop_price"),
        trail_price=optional_decimal(row, "trail_price"),
        trail_percent=optional_decimal(row, "trail_percent"),
        take_profit_price=optional_decimal(row, "take_profit_price"),
        stop_loss_price=optional_decimal(row, "stop_loss_price"),
        stop_loss_limit_price=optional_decimal(row, "stop_loss_limit_price"),
        parent_id=text(row, "parent_id"),
        replaces_id=text(row, "replaces_id"),
    )


def fill_from(row: Cells) -> Fill:
    """The fill in a row of `fills`. Raises ValueError when the row holds something else."""
    return Fill(
        client_order_id=text(row, "client_order_id"),
        sequence=integer(row, "sequence"),
        symbol=text(row, "symbol"),
        signed_qty=decimal(row, "signed_qty"),
        price=decimal(row, "price"),
        at=time(row, "at"),
        reason=text(row, "reason"),
    )


def kill_from(row: Cells) -> KillState:
    """The kill in the row of `kill`. Raises ValueError when the row holds something else."""
    return KillState(
        reason=text(row, "reason"),
        scope=text(row, "scope"),
        flatten=bool(row["flatten"]),
        observed_at=time(row, "observed_at"),
        orders_cancelled_at=optional_time(row, "orders_cancelled_at"),
        flat_at=optional_time(row, "flat_at"),
        open_orders=optional_integer(row, "open_orders"),
        open_positions=optional_integer(row, "open_positions"),
        epoch=integer(row, "epoch"),
        first_cancel_at=optional_time(row, "first_cancel_at"),
        queued_for=optional_time(row, "queued_for"),
        released_at=optional_time(row, "released_at"),
    )


def last_kill(rows: Iterable[Row]) -> KillState | None:
    """The last kill in the rows of `kill` of any schema, released or not; None where there never was one."""
    found = next(iter(rows), None)
    return None if found is None else kill_from(whole("kill", found))


def kill_in_force(rows: Iterable[Row]) -> KillState | None:
    """The same, but None where it was released."""
    kill = last_kill(rows)
    return kill if kill is not None and kill.is_in_force else None
