"""One language for tests of the state: a volume with a history on it, and ways to damage it."""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from builders import OPEN, UID, an_order, at
from tradingbot_runtime.core.commands import Journal, PutFill, PutKill, PutOrder
from tradingbot_runtime.core.kill import KillState
from tradingbot_runtime.core.orders import Fill, Order, OrderState
from tradingbot_runtime.core.records import (
    IncidentRecord,
    IncidentState,
    NoticeRecord,
    PutIncident,
    PutNotice,
    PutSession,
    SessionRecord,
)
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.state import Database
from tradingbot_runtime.state.reading import database_path

KILL = KillState(reason="enough", scope="TradingBot", flatten=False, observed_at=at().machine)
MONDAY = date(2026, 3, 2)


@contextlib.contextmanager
def opened(volume: Path) -> Iterator[Database]:
    """The state of the usual bot."""
    database = Database.open(volume, UID, "paper")
    try:
        yield database
    finally:
        database.close()


def recovered(volume: Path) -> Recovered:
    """What a new process finds."""
    with opened(volume) as database:
        return database.recover()


def state_file(volume: Path) -> Path:
    """Where it is."""
    return database_path(volume, "paper")


def decided(order: Order) -> Journal:
    """An order that is about to be sent."""
    return Journal("order_decided", {"client_order_id": order.client_order_id}, (PutOrder(order),))


def filled(order: Order) -> Journal:
    """The whole order filled at its limit."""
    price = order.limit_price or Decimal(100)
    after = replace(order, state=OrderState.FILLED, filled_qty=order.qty, filled_average_price=price)
    fill = Fill(order.client_order_id, 1, order.symbol, order.qty, price, OPEN)
    return Journal("order", {"state": "filled"}, (PutOrder(after), PutFill(fill)))


def killed() -> Journal:
    """A kill was seen."""
    return Journal("kill", {}, (PutKill(KILL),))


def trade(database: Database, first: int, last: int) -> None:
    """Orders from the first to the last number, each decided and then filled: two lines an order."""
    for number in range(first, last + 1):
        order = an_order(number)
        database.commit([decided(order)], at(number))
        database.commit([filled(order)], at(number))


def closing(day: date, payload: str = "{}") -> Journal:
    """A session's end."""
    return Journal("session_closed", {}, (PutSession(SessionRecord(day, at().machine, payload)),))


def an_incident(number: int = 1, state: IncidentState = IncidentState.OPEN) -> IncidentRecord:
    """An incident that has to be acknowledged within a quarter of an hour."""
    now = at(number).machine
    resolved_at = now if state is IncidentState.RESOLVED else None
    return IncidentRecord(
        f"incident-{number}", "reconciliation", "critical", state, now, now + timedelta(minutes=15),
        resolved_at=resolved_at, payload='{"symbol": "AAPL"}',
    )  # fmt: skip


def a_notice(number: int = 1, due: datetime | None = None, dead: bool = False) -> NoticeRecord:
    """A notice for the webhook; delivered when it is neither due nor dead."""
    now = at(number).machine
    return NoticeRecord(
        f"notice-{number}", f"key-{number}", "webhook", "critical", '{"text": "hello"}', now, 1, due,
        None if due or dead else now, dead, "refused" if dead else "",
    )  # fmt: skip


def told(*records: IncidentRecord | NoticeRecord) -> Journal:
    """A line that puts records."""
    return Journal(
        "told",
        {},
        tuple(PutIncident(one) if isinstance(one, IncidentRecord) else PutNotice(one) for one in records),
    )


def tampered(volume: Path, *statements: str) -> None:
    """Somebody changes the file by hand, and puts the triggers back after it."""
    with contextlib.closing(sqlite3.connect(state_file(volume))) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        for _, sql in triggers:
            connection.execute(sql)
        connection.commit()
