"""The checks every order passes, in order, before it is journaled. Each has a name and a reason a person can read.

Exits pass the checks of exposure, but not those of identity and of what is held. Never sends anything.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from tradingbot_runtime.core.allocator import Intent
from tradingbot_runtime.core.portfolio import Portfolio
from tradingbot_runtime.core.values import Side


@dataclass(frozen=True)
class Gate:
    """All that the checks look at, as of now. Money in account currency."""

    symbols: frozenset[str]
    known_ids: frozenset[str]
    portfolio: Portfolio
    prices: Mapping[str, Decimal]
    capital: Decimal
    buying_power: Decimal
    max_positions: int
    max_position_percent: Decimal
    max_orders_per_minute: int
    price_collar_percent: Decimal
    market_open: bool
    killed: bool = False
    paused: bool = False
    halted: str | None = None
    """Why nothing may be sent, exits neither, or None."""
    reducing: str | None = None
    """Why only exits are allowed, or None."""
    breaker: str | None = None
    """The circuit breaker that is open, or None."""
    intraday_pause: str | None = None
    """The pause after losses in this session, or None."""
    data_halts: Mapping[str, str] = field(default_factory=dict)
    """Why a symbol's data cannot be trusted, by symbol."""
    doubtful: frozenset[str] = frozenset()
    """Those of them that have a price which may be true: exits pass, a crash must not lock a holder in."""
    untradable: Mapping[str, str] = field(default_factory=dict)
    """Why the broker does not trade a symbol, by symbol."""
    symbols_with_open_orders: frozenset[str] = frozenset()
    opposite_orders: Mapping[str, frozenset[Side]] = field(default_factory=dict)
    """Sides of everybody's open orders on this account, by symbol: the broker refuses what could trade with them."""
    reserved: Mapping[str, Decimal] = field(default_factory=dict)
    """Value of open buy orders, by symbol: cash that is spoken for."""
    unreflected: Decimal = Decimal(0)
    """Value of buy orders that the broker's buying power does not show yet."""
    orders_last_minute: int = 0
    account_exposure: Decimal = Decimal(0)
    """Value of all positions of the account and of this bot's open buy orders."""
    account_exposure_limit: Decimal | None = None

    def exits_may_pass(self, symbol: str) -> bool:
        """Whether what is held of a symbol may be sold though its data is doubtful."""
        return symbol in self.doubtful


@dataclass(frozen=True)
class Refusal:
    """Why an order was not sent: the check's name and a sentence."""

    check: str
    reason: str


Check = Callable[[Intent, str, Gate], str | None]


def review(intent: Intent, client_order_id: str, gate: Gate) -> Refusal | None:
    """The first check that refuses, or None when the order may be sent."""
    for name, check, also_exits in CHECKS:
        if intent.reducing and not also_exits:
            continue
        reason = check(intent, client_order_id, gate)
        if reason is not None:
            return Refusal(name, reason)
    return None


def _duplicate_id(intent: Intent, client_order_id: str, gate: Gate) -> str | None:
    return f"{client_order_id} was used before" if client_order_id in gate.known_ids else None


def _killed(intent: Intent, client_order_id: str, gate: Gate) -> str | None:
    # Under a kill the bot's strategy trades nothing at all: closing is the kill's own work.
    return "a kill is in force" if gate.killed else None


def _paused(intent: Intent, client_order_id: str, gate: Gate) -> str | None:
    return "the bot is paused: no new exposure" if gate.paused else None


def _halted(intent: Intent, client_order_id: str, gate: Gate) -> str | None:
    return f"halted: {gate.halted}" if gate.halted else None


def _reducing(intent: Intent, client_order_id: str, gate: Gate) -> str | None:
    return f"exits only: {gate.reducing}" if gate.reducing else None


def _data_halted(intent: Intent, client_order_id: str, gate: Gate) -> str | None:
    reason = gate.data_halts.get(intent.symbol)
    if reason is not None and intent.reducing and gate.exits_may_pass(intent.symbol):
        return None
    return f"{intent.symbol}: the data cannot be trusted: {reason}" if reason else None


def _breaker(intent: Intent, client_order_id: str, gate: Gate) -> str | None:
    return f"exits only: the circuit breaker {gate.breaker} is open" if gate.breaker else None


def _intraday_pause(intent: Intent, client_order_id: str, gate: Gate) -> str | None:
    return gate.intraday_pause


def _tradable(intent: Intent, client_order_id: str, gate: Gate) -> str | None:
    reason = gate.untradable.get(intent.symbol)
    return f"{intent.symbol} cannot be traded: {reason}" if reason else None


def _symbol_ownership(intent: Intent, client_order_id: str, gate: Gate) -> str | None:
    return None if intent.symbol in gate.symbols else f"{intent.symbol} is not one of this bot's symbols"


def _open_order(intent: Intent, client_order_id: str, gate: Gate) -> str | None:
    if intent.symbol in gate.symbols_with_open_orders:
        return f"{intent.symbol} has an open order: a second one could trade twice or against itself"
    return None


def _market_hours(intent: Intent, client_order_id: str, gate: Gate) -> str | None:
    return None if gate.market_open else "the market is closed"


def _max_positions(intent: Intent, client_order_id: str, gate: Gate) -> str | None:
    held = set(gate.portfolio.holdings) | set(gate.reserved)
    if intent.symbol in held or len(held) < gate.max_positions:
        return None
    return f"{len(held)} of {gate.max_positions} positions are taken (risk.maxPositions)"


def _value(intent: Intent) -> Decimal:
    return intent.qty * max(intent.price, intent.limit_price or intent.price)


def _position_limit(intent: Intent, client_order_id: str, gate: Gate) -> str | None:
    limit = gate.capital * gate.max_position_percent / 100
    held = gate.portfolio.qty(intent.symbol) * intent.price + gate.reserved.get(intent.symbol, Decimal(0))
    after = held + _value(intent)
    if after <= limit:
        return None
    return f"{intent.symbol} would be worth {after:.2f}, more than {limit:.2f} (risk.maxPositionPercent)"


def _capital(intent: Intent, client_order_id: str, gate: Gate) -> str | None:
    after = gate.portfolio.value(gate.prices) + sum(gate.reserved.values(), Decimal(0)) + _value(intent)
    if after <= gate.capital:
        return None
    return f"holdings would be worth {after:.2f}, more than the bot's capital {gate.capital:.2f}"


def _buying_power(intent: Intent, client_order_id: str, gate: Gate) -> str | None:
    free = gate.buying_power - gate.unreflected
    if _value(intent) <= free:
        return None
    return f"{_value(intent):.2f} needed, {free:.2f} of the account's buying power is free"


def _account_exposure(intent: Intent, client_order_id: str, gate: Gate) -> str | None:
    limit, after = gate.account_exposure_limit, gate.account_exposure + _value(intent)
    if limit is None or after <= limit:
        return None
    return f"the account would hold {after:.2f}, more than {limit:.2f} (BrokerAccount limits.maxExposurePercent)"


def _order_rate(intent: Intent, client_order_id: str, gate: Gate) -> str | None:
    if gate.orders_last_minute < gate.max_orders_per_minute:
        return None
    return f"{gate.orders_last_minute} orders in the last minute (risk.maxOrdersPerMinute)"


def _price_collar(intent: Intent, client_order_id: str, gate: Gate) -> str | None:
    if intent.limit_price is None:
        return None
    away = abs(intent.limit_price - intent.price) / intent.price * 100
    if away <= gate.price_collar_percent:
        return None
    return f"limit {intent.limit_price} is {away:.2f} % from the last price {intent.price} (risk.priceCollarPercent)"


def _wash_trade(intent: Intent, client_order_id: str, gate: Gate) -> str | None:
    opposite = Side.SELL if intent.side is Side.BUY else Side.BUY
    if opposite not in gate.opposite_orders.get(intent.symbol, frozenset()):
        return None
    return f"an open {opposite} order in {intent.symbol} could trade with this one"


def _sell_quantity(intent: Intent, client_order_id: str, gate: Gate) -> str | None:
    if intent.side is Side.BUY:
        return None
    held = gate.portfolio.qty(intent.symbol)
    return None if intent.qty <= held else f"{intent.qty} to sell, {held} held"


CHECKS: tuple[tuple[str, Check, bool], ...] = (
    # name, check, whether it also holds for exits
    ("duplicate_id", _duplicate_id, True),
    ("killed", _killed, True),
    ("paused", _paused, False),
    ("halted", _halted, True),
    ("reducing", _reducing, False),
    ("data_halted", _data_halted, True),
    ("breaker", _breaker, False),
    ("intraday_pause", _intraday_pause, False),
    ("symbol_ownership", _symbol_ownership, True),
    ("open_order", _open_order, True),
    ("tradable", _tradable, True),
    ("market_hours", _market_hours, True),
    ("max_positions", _max_positions, False),
    ("position_limit", _position_limit, False),
    ("capital", _capital, False),
    ("buying_power", _buying_power, False),
    ("account_exposure", _account_exposure, False),
    ("order_rate", _order_rate, False),
    ("price_collar", _price_collar, True),
    ("wash_trade", _wash_trade, True),
    ("sell_quantity", _sell_quantity, True),
)
