"""The exchange's values as the JSON bodies Alpaca answers with.

Only shapes live here: never decide anything, never change anything.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from alpaca_simulator.exchange.accounts import Account, LoggedRequest, Position
from alpaca_simulator.exchange.exchange import Exchange, TradeUpdate
from alpaca_simulator.exchange.orders import Order, Side
from alpaca_simulator.market.assets import Asset
from alpaca_simulator.market.calendar import Session, TradingCalendar
from alpaca_simulator.market.prices import Quote
from alpaca_simulator.values.instants import NEW_YORK, new_york_text, utc_text
from alpaca_simulator.values.quantities import ZERO, decimal_text, dollars, rounded

Json = dict[str, object]

MAINTENANCE_MARGIN = Decimal("0.3")


def order_json(order: Order) -> Json:
    """An order; what this version does not execute (legs, stops, trails, replacement) is null."""
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
        "replaced_at": None,
        "replaced_by": None,
        "replaces": None,
        "asset_id": str(order.asset.asset_id),
        "symbol": order.asset.symbol,
        "asset_class": "us_equity",
        "notional": None,
        "qty": decimal_text(order.quantity),
        "filled_qty": decimal_text(order.filled_quantity),
        "filled_avg_price": _decimal_or_none(order.average_price),
        "order_class": "",
        "order_type": order.order_type.value,
        "type": order.order_type.value,
        "side": order.side.value,
        "position_intent": "buy_to_open" if order.side is Side.BUY else "sell_to_close",
        "time_in_force": order.time_in_force.value,
        "limit_price": _decimal_or_none(order.limit_price),
        "stop_price": None,
        "status": order.status.value,
        "extended_hours": order.extended_hours,
        "legs": None,
        "trail_percent": None,
        "trail_price": None,
        "hwm": None,
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
    """A cash account in good standing: no margin, so buying power is the cash no order holds back."""
    value = sum((p.quantity * last_price(exchange, p.asset) for p in account.positions.values()), ZERO)
    equity = decimal_text(account.cash + value)
    buying_power = decimal_text(account.buying_power)
    margin = decimal_text(rounded(value * MAINTENANCE_MARGIN))
    return {
        "id": str(account.account_id),
        "account_number": account.terms.account_number,
        "status": "ACTIVE",
        "crypto_status": "INACTIVE",
        "currency": "USD",
        "buying_power": buying_power,
        "regt_buying_power": buying_power,
        "non_marginable_buying_power": buying_power,
        "options_buying_power": "0",
        "effective_buying_power": buying_power,
        "bod_dtbp": "0",
        "cash": decimal_text(account.cash),
        "accrued_fees": "0",
        "pending_transfer_in": "0",
        "pending_transfer_out": "0",
        "portfolio_value": equity,
        "equity": equity,
        "last_equity": decimal_text(account.equity_at_last_close),
        "long_market_value": decimal_text(value),
        "short_market_value": "0",
        "position_market_value": decimal_text(value),
        "initial_margin": decimal_text(value),
        "maintenance_margin": margin,
        "last_maintenance_margin": "0",
        "sma": "0",
        "multiplier": "1",
        "shorting_enabled": False,
        "trading_blocked": False,
        "transfers_blocked": False,
        "account_blocked": False,
        "trade_suspended_by_user": False,
        "options_approved_level": 0,
        "options_trading_level": 0,
        "created_at": utc_text(account.opened_at),
    }


def position_json(exchange: Exchange, account: Account, position: Position) -> Json:
    """A long position valued at the last trade; changes are against the last session's close."""
    price = last_price(exchange, position.asset)
    before = dollars(_close_before(exchange, position.asset))
    value = position.quantity * price
    gain = value - position.cost_basis
    gain_today = position.quantity * (price - before)
    held_for_orders = account.held_for_orders(position.asset.symbol)
    return {
        "asset_id": str(position.asset.asset_id),
        "symbol": position.asset.symbol,
        "exchange": position.asset.exchange,
        "asset_class": "us_equity",
        "asset_marginable": True,
        "qty": decimal_text(position.quantity),
        "qty_available": decimal_text(position.quantity - held_for_orders),
        "side": "long",
        "avg_entry_price": decimal_text(rounded(position.average_entry_price)),
        "cost_basis": decimal_text(rounded(position.cost_basis)),
        "market_value": decimal_text(value),
        "unrealized_pl": decimal_text(rounded(gain)),
        "unrealized_plpc": decimal_text(rounded(gain / position.cost_basis)),
        "unrealized_intraday_pl": decimal_text(rounded(gain_today)),
        "unrealized_intraday_plpc": decimal_text(rounded(gain_today / (position.quantity * before))),
        "current_price": decimal_text(price),
        "lastday_price": decimal_text(before),
        "change_today": decimal_text(rounded((price - before) / before)),
    }


def asset_json(asset: Asset) -> Json:
    """A listed asset; nothing can be shorted in this version."""
    return {
        "id": str(asset.asset_id),
        "class": "us_equity",
        "exchange": asset.exchange,
        "symbol": asset.symbol,
        "name": asset.name,
        "status": "active",
        "tradable": asset.tradable,
        "marginable": True,
        "maintenance_margin_requirement": 30,
        "shortable": False,
        "easy_to_borrow": False,
        "fractionable": asset.fractionable,
        "attributes": [],
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


def quote_json(quote: Quote) -> Json:
    """The data API's quote: prices in dollars, sizes in shares."""
    return {
        "t": utc_text(quote.at),
        "ax": "V",
        "ap": quote.ask / 100,
        "as": quote.ask_size,
        "bx": "V",
        "bp": quote.bid / 100,
        "bs": quote.bid_size,
        "c": ["R"],
        "z": "C",
    }


def trade_json(quote: Quote) -> Json:
    """The data API's last trade."""
    return {
        "t": utc_text(quote.at),
        "x": "V",
        "p": quote.last / 100,
        "s": quote.bid_size,
        "c": ["@"],
        "i": int(quote.at.timestamp()),
        "z": "C",
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
    session = exchange.calendar.last_opened(exchange.now)
    number = 0 if session is None else max(0, session.number - 1)
    return exchange.market.day(asset, exchange.calendar.sessions[number]).close


def _time_or_none(at: datetime | None) -> str | None:
    return None if at is None else utc_text(at)


def _decimal_or_none(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)
