"""The engine's state as the documents that the operator reads. Only formats: money to cents, times to RFC 3339."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from tradingbot_api import (
    AccountReport,
    DeletionReport,
    IncidentReport,
    KillReport,
    OnDelete,
    OrderReport,
    PositionReport,
    ReconciliationReport,
)
from tradingbot_runtime.core.kill import KillState
from tradingbot_runtime.core.orders import Order
from tradingbot_runtime.core.portfolio import Portfolio
from tradingbot_runtime.core.reconcile import Difference
from tradingbot_runtime.core.records import IncidentRecord
from tradingbot_runtime.core.values import BrokerFigures

MAX_DIFFERENCES: Final = 20
MAX_TEXT_LENGTH: Final = 1024
MAX_INCIDENTS: Final = 20

_CENT = Decimal("0.01")


def instant(moment: datetime) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def text(words: str) -> str:
    """The words, cut to what a report may hold, and writable whatever they are made of."""
    return words[:MAX_TEXT_LENGTH].encode("utf-8", "replace").decode()


def kill_report(kill: KillState | None) -> KillReport | None:
    """The kill in force."""
    if kill is None:
        return None
    return KillReport(
        reason=kill.reason,
        scope=kill.scope,
        observed_at=instant(kill.observed_at),
        orders_cancelled_at=instant(kill.orders_cancelled_at) if kill.orders_cancelled_at else None,
        flat_at=instant(kill.flat_at) if kill.flat_at else None,
        open_orders=kill.open_orders,
        open_positions=kill.open_positions,
        epoch=kill.epoch,
        message=text(kill.waits_for),
    )


def deletion_report(on_delete: OnDelete, deletion: KillState | None) -> DeletionReport | None:
    """What is being done because the TradingBot is being deleted, or may no longer trade live."""
    kept = kill_report(deletion)
    if kept is None:
        return None
    return DeletionReport(on_delete=on_delete.value, **kept.model_dump(exclude={"reason", "scope", "epoch", "message"}))


def account_report(figures: BrokerFigures | None) -> AccountReport | None:
    """The account's money."""
    if figures is None:
        return None
    return AccountReport(
        equity=_cents(figures.equity), cash=_cents(figures.cash), day_pnl=_cents(figures.equity - figures.last_equity)
    )


def position_reports(portfolio: Portfolio, prices: Mapping[str, Decimal]) -> list[PositionReport]:
    """What is held, by symbol."""
    return [
        PositionReport(
            symbol=symbol,
            qty=holding.qty,
            average_entry_price=_cents(holding.average_entry_price),
            market_value=_cents(holding.qty * prices[symbol]) if symbol in prices else None,
        )
        for symbol, holding in sorted(portfolio.holdings.items())
    ]


def order_report(order: Order) -> OrderReport:
    """One order."""
    return OrderReport(
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        side=order.side.value,
        type=order.type.value,
        qty=order.qty,
        limit_price=order.limit_price,
        filled_qty=order.filled_qty,
        filled_average_price=order.filled_average_price,
        status=order.state.value,
        created_at=instant(order.created_at),
    )


def incident_reports(incidents: Sequence[IncidentRecord]) -> list[IncidentReport]:
    """Incidents that are not resolved."""
    return [
        IncidentReport(
            id=one.incident_id,
            name=one.name,
            severity=one.severity,
            state=one.state.value,
            opened_at=instant(one.opened_at),
            acknowledge_by=instant(one.acknowledge_by),
            message=text(str(json.loads(one.payload).get("message", ""))),
        )
        for one in incidents[:MAX_INCIDENTS]
    ]


def reconciliation_report(result: str, differences: tuple[Difference, ...], machine: datetime) -> ReconciliationReport:
    """One comparison with the broker's books."""
    named = [text(str(difference)) for difference in differences[:MAX_DIFFERENCES]]
    return ReconciliationReport(at=instant(machine), result=result, differences=named)


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(_CENT)
