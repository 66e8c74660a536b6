"""The account's settings, activities and history as the JSON bodies Alpaca answers with.

Only shapes live here: never decide anything, never change anything.
"""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from alpaca_simulator.api.equity_curve import PortfolioHistory
from alpaca_simulator.exchange.activities import Activity, ActivityType
from alpaca_simulator.exchange.configuration import AccountConfiguration
from alpaca_simulator.values.instants import NEW_YORK, epoch_floor, utc_text
from alpaca_simulator.values.quantities import ZERO, decimal_text, rounded

Json = dict[str, object]


def configuration_json(configuration: AccountConfiguration) -> Json:
    """The settings of an account; options are not traded here, so their level is always 0."""
    return {
        "dtbp_check": configuration.dtbp_check,
        "fractional_trading": configuration.fractional_trading,
        "max_margin_multiplier": decimal_text(configuration.max_margin_multiplier),
        "max_options_trading_level": 0,
        "no_shorting": configuration.no_shorting,
        "pdt_check": configuration.pdt_check,
        "ptp_no_exception_entry": configuration.ptp_no_exception_entry,
        "suspend_trade": configuration.suspend_trade,
        "trade_confirm_email": configuration.trade_confirm_email,
        "disable_overnight_trading": configuration.disable_overnight_trading,
    }


def activity_json(account_id: UUID, activity: Activity) -> Json:
    """A fill as Alpaca's trade activity, anything else as its non-trade activity."""
    shared: Json = {
        "id": activity.activity_id,
        "account_id": str(account_id),
        "activity_type": activity.activity_type.value,
    }
    if activity.activity_type is ActivityType.FILL:
        return shared | _trade(activity)
    return shared | _non_trade(activity)


def portfolio_history_json(history: PortfolioHistory) -> Json:
    """The columns of a portfolio history: epoch seconds, dollars, and shares of one for percentages."""
    body: Json = {
        "timestamp": [epoch_floor(point.at) for point in history.points],
        "equity": [_number(point.equity) for point in history.points],
        "profit_loss": [_number(point.profit_loss) for point in history.points],
        "profit_loss_pct": [_number_or_none(point.profit_loss_share) for point in history.points],
        "base_value": _number(history.base_value),
        "timeframe": history.timeframe,
    }
    if history.base_value_asof is not None:
        body["base_value_asof"] = history.base_value_asof.isoformat()
    if history.cash_flows is not None:
        body["cashflow"] = {
            kind.value: [_number(amount) for amount in amounts] for kind, amounts in history.cash_flows.items()
        }
    return body


def _trade(activity: Activity) -> Json:
    leaves = activity.leaves_quantity or ZERO
    return {
        "transaction_time": utc_text(activity.at),
        "type": "fill" if leaves == 0 else "partial_fill",
        "price": decimal_text(activity.price or ZERO),
        "qty": decimal_text(abs(activity.quantity)),
        "side": activity.side,
        "symbol": activity.symbol,
        "leaves_qty": decimal_text(leaves),
        "order_id": None if activity.order_id is None else str(activity.order_id),
        "cum_qty": decimal_text(activity.cumulative_quantity or ZERO),
        "order_status": activity.order_status,
    }


def _non_trade(activity: Activity) -> Json:
    body: Json = {
        "date": activity.at.astimezone(NEW_YORK).date().isoformat(),
        "net_amount": decimal_text(activity.net_amount),
        "description": activity.description,
        "status": "executed",
    }
    if activity.symbol is not None:
        body["symbol"] = activity.symbol
    if activity.activity_type is ActivityType.DIVIDEND and activity.price:
        # A dividend moves no shares: what it was paid on follows from the rate.
        body["qty"] = decimal_text(rounded(activity.net_amount / activity.price))
        body["per_share_amount"] = decimal_text(activity.price)
    elif activity.quantity:
        body["qty"] = decimal_text(activity.quantity)
        if activity.price is not None:
            body["price"] = decimal_text(activity.price)
    return body


def _number(value: Decimal) -> float:
    return float(round(value, 9))


def _number_or_none(value: Decimal | None) -> float | None:
    return None if value is None else _number(value)
