"""The exchange's values as the JSON bodies Alpaca answers with.

Only shapes live here: never decide anything, never change anything.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from uuid import UUID

from alpaca_simulator.exchange.accounts import Account, LoggedRequest
from alpaca_simulator.exchange.exchange import Exchange
from alpaca_simulator.exchange.margin import REGULATION_T
from alpaca_simulator.exchange.orders import Order, OrderClass
from alpaca_simulator.exchange.positions import Position
from alpaca_simulator.exchange.updates import TradeUpdate
from alpaca_simulator.market.assets import Asset
from alpaca_simulator.market.calendar import Session, TradingCalendar
from alpaca_simulator.values.instants import NEW_YORK, new_york_text, utc_text
from alpaca_simulator.values.quantities import ZERO, decimal_text, dollars, rounded

Json = dict[str, object]


def order_json(order: Order, *, nested: bool = True) -> Json:
    """An order; `nested` puts its legs into it, otherwise they are null as for an order without any."""
    return {
        "id": str(order.order_id),
        "client_order_id": order.client_order_id,
        "created_at": utc_text(order.created_at),
        "updated_at": utc_text(order.updated_at),
        "submitted_at": utc_text(order.created_at),
        "filled_at": _time_or_none(order.filled_at),
        "expired_at": _time_or_none(order.expired_at),
        "expires_at": utc_text(order.expires_at),
        "canceled_at": _time_or_none(order.canceled_at),
        "failed_at": _time_or_none(order.failed_at),
        "replaced_at": _time_or_none(order.replaced_at),
        "replaced_by": _id_or_none(order.replaced_by),
        "replaces": _id_or_none(order.replaces),
        "asset_id": _asset_id(order.asset),
        "symbol": order.asset.symbol,
        "asset_class": "us_equity",
        "notional": _decimal_or_none(order.notional),
        "qty": None if order.notional is not None else decimal_text(order.quantity),
        "filled_qty": decimal_text(order.filled_quantity),
        "filled_avg_price": _decimal_or_none(order.average_price),
        "order_class": "" if order.order_class is OrderClass.SIMPLE else order.order_class.value,
        "order_type": order.order_type.value,
        "type": order.order_type.value,
        "side": order.side.value,
        "position_intent": order.position_intent.value,
        "time_in_force": order.time_in_force.value,
        "limit_price": _decimal_or_none(order.limit_price),
        "stop_price": _decimal_or_none(order.stop_price),
        "status": order.status.value,
        "extended_hours": order.extended_hours,
        "legs": [order_json(leg) for leg in order.legs] if nested and order.legs else None,
        "trail_percent": _decimal_or_none(order.trail_percent),
        "trail_price": _decimal_or_none(order.trail_price),
        "hwm": _decimal_or_none(order.high_water_mark),
        "subtag": None,
        "source": None,
    }


def trade_update_json(update: TradeUpdate) -> Json:
    """The `data` of a trade update."""
    body: Json = {
        "event": update.event.value,
        "execution_id": str(update.execution_id),
        "order": order_json(update.order),
        "timestamp": utc_text(update.at),
    }
    if update.price is not None and update.quantity is not None and update.position_quantity is not None:
        body |= {
            "price": decimal_text(update.price),
            "qty": decimal_text(update.quantity),
            "position_qty": decimal_text(update.position_quantity),
        }
    return body


def last_price(exchange: Exchange, asset: Asset) -> Decimal:
    """Dollars a share of the last trade at the exchange's time."""
    return dollars(exchange.market.quote(asset, exchange.now).last)


def account_json(exchange: Exchange, account: Account) -> Json:
    """An account in good standing; a cash account has multiplier 1 and buys with its cash alone."""
    valued = exchange.value(account)
    multiplier = exchange.multiplier(account)
    buying_power = max(ZERO, exchange.buying_power(account))
    terms, configuration = account.terms, account.configuration
    is_cash = terms.margin_multiplier == 1
    initial_margin = valued.exposure if is_cash else valued.exposure * REGULATION_T
    regulation_t = buying_power
    if multiplier > 1:
        regulation_t = min(buying_power, max(ZERO, valued.buying_power(2, account.reserved)))
    unborrowed = max(ZERO, min(buying_power, valued.cash + 2 * valued.short_value - account.reserved))
    equity = decimal_text(valued.equity)
    return {
        "id": str(account.account_id),
        "account_number": terms.account_number,
        "status": "ACTIVE",
        "crypto_status": "INACTIVE",
        "currency": "USD",
        "buying_power": decimal_text(buying_power),
        "regt_buying_power": decimal_text(regulation_t),
        "non_marginable_buying_power": decimal_text(unborrowed),
        "options_buying_power": "0",
        "effective_buying_power": decimal_text(buying_power),
        "bod_dtbp": "0",
        "cash": decimal_text(account.cash),
        "accrued_fees": "0",
        "pending_transfer_in": "0",
        "pending_transfer_out": "0",
        "portfolio_value": equity,
        "equity": equity,
        "last_equity": decimal_text(account.equity_at_last_close),
        "long_market_value": decimal_text(valued.long_value),
        "short_market_value": decimal_text(valued.short_value),
        "position_market_value": decimal_text(valued.exposure),
        "initial_margin": decimal_text(rounded(initial_margin)),
        "maintenance_margin": decimal_text(rounded(valued.maintenance_margin)),
        "last_maintenance_margin": "0",
        "sma": "0",
        "multiplier": str(multiplier),
        "shorting_enabled": terms.shorting and not configuration.no_shorting,
        "trading_blocked": False,
        "transfers_blocked": False,
        "account_blocked": False,
        "trade_suspended_by_user": configuration.suspend_trade,
        "options_approved_level": 0,
        "options_trading_level": 0,
        "created_at": utc_text(account.opened_at),
    }


def position_json(exchange: Exchange, account: Account, position: Position) -> Json:
    """A position valued at the last trade; changes are against the last session's close.

    Of shares sold short quantity, value and cost are negative.
    """
    price = last_price(exchange, position.asset)
    before = dollars(_close_before(exchange, position.asset))
    value = position.quantity * price
    gain = value - position.cost_basis
    gain_today = position.quantity * (price - before)
    in_orders = account.held_for_orders(position.asset.symbol)
    available = position.quantity + in_orders if position.is_short else position.quantity - in_orders
    return {
        "asset_id": str(position.asset.asset_id),
        "symbol": position.asset.symbol,
        "exchange": position.asset.exchange,
        "asset_class": "us_equity",
        "asset_marginable": position.asset.marginable,
        "qty": decimal_text(position.quantity),
        "qty_available": decimal_text(available),
        "side": "short" if position.is_short else "long",
        "avg_entry_price": decimal_text(rounded(position.average_entry_price)),
        "cost_basis": decimal_text(rounded(position.cost_basis)),
        "market_value": decimal_text(value),
        "unrealized_pl": decimal_text(rounded(gain)),
        "unrealized_plpc": decimal_text(_share(gain, abs(position.cost_basis))),
        "unrealized_intraday_pl": decimal_text(rounded(gain_today)),
        "unrealized_intraday_plpc": decimal_text(_share(gain_today, abs(position.quantity * before))),
        "current_price": decimal_text(price),
        "lastday_price": decimal_text(before),
        "change_today": decimal_text(_share(price - before, before)),
    }


def asset_json(asset: Asset, *, listed: bool = True) -> Json:
    """An asset of the catalogue; `listed` is whether it trades under its symbol today."""
    active = asset.active and listed
    return {
        "id": str(asset.asset_id),
        "class": "us_equity",
        "exchange": asset.exchange,
        "symbol": asset.symbol,
        "name": asset.name,
        "status": "active" if active else "inactive",
        "tradable": asset.tradable and active,
        "marginable": asset.marginable,
        "maintenance_margin_requirement": asset.maintenance_margin,
        "margin_requirement_long": str(asset.maintenance_margin),
        "margin_requirement_short": str(asset.maintenance_margin),
        "shortable": asset.shortable,
        "easy_to_borrow": asset.easy_to_borrow,
        "fractionable": asset.fractionable,
        "attributes": list(asset.attributes),
    }


def clock_json(calendar: TradingCalendar, now: datetime) -> Json:
    """The market's clock, in New York's time."""
    return {
        "timestamp": new_york_text(now),
        "is_open": calendar.open_at(now) is not None,
        "next_open": new_york_text(calendar.next_opening(now).opens_at),
        "next_close": new_york_text(calendar.next_closing(now).closes_at),
    }


def session_json(calendar: TradingCalendar, session: Session) -> Json:
    """A day of the calendar; trades settle on the session after."""
    following = calendar.sessions[min(session.number + 1, len(calendar.sessions) - 1)]
    return {
        "date": session.day.isoformat(),
        "open": f"{session.opens_at.astimezone(NEW_YORK):%H:%M}",
        "close": f"{session.closes_at.astimezone(NEW_YORK):%H:%M}",
        "session_open": "0400",
        "session_close": "2000" if session.minutes == 390 else "1700",
        "settlement_date": following.day.isoformat(),
    }


def request_json(entry: LoggedRequest) -> Json:
    """One line of the log of orders received."""
    return {
        "number": entry.number,
        "time": utc_text(entry.at),
        "client_order_id": entry.client_order_id,
        "symbol": entry.symbol,
        "side": entry.side,
        "qty": entry.quantity,
        "status": entry.status,
        "code": entry.code,
        "order_id": entry.order_id,
    }


def account_summary_json(exchange: Exchange, account: Account) -> Json:
    """One account in the admin's state: balances, what is open, what is held, what has happened."""
    full = account_json(exchange, account)
    return {
        "id": str(account.account_id),
        "name": account.terms.name,
        "kind": account.terms.kind,
        "key_id": account.terms.key_id,
        "account_number": account.terms.account_number,
        "cash": full["cash"],
        "equity": full["equity"],
        "buying_power": full["buying_power"],
        "open_orders": [order_json(order) for order in account.open_orders.values()],
        "positions": [position_json(exchange, account, held) for held in positions_in_order(account)],
        "orders": account.orders_ever,
        "requests": account.requests_received,
        "events": {event.value: count for event, count in account.event_counts.items()},
    }


def positions_in_order(account: Account) -> list[Position]:
    """An account's positions by symbol."""
    return [account.positions[symbol] for symbol in sorted(account.positions)]


def _close_before(exchange: Exchange, asset: Asset) -> int:
    """Cents at the close of the last session before the newest one that opened."""
    session = exchange.calendar.last_opened(exchange.now) or exchange.calendar.sessions[0]
    return exchange.market.close_before(asset, session)


@lru_cache(maxsize=1024)
def _asset_id(asset: Asset) -> str:
    """A hash to work out, and part of every order."""
    return str(asset.asset_id)


def _share(part: Decimal, whole: Decimal) -> Decimal:
    """A ratio; of a position that cost nothing (a transfer may be free) zero."""
    return rounded(part / whole) if whole else ZERO


def _id_or_none(order_id: UUID | None) -> str | None:
    return None if order_id is None else str(order_id)


def _time_or_none(at: datetime | None) -> str | None:
    return None if at is None else utc_text(at)


def _decimal_or_none(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)
