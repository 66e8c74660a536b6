"""A plan as a document, and as a table for people. Only puts together what the rehearsal found."""

from decimal import Decimal
from typing import Annotated, Final

from pydantic import Field

from tradingbot_api import RuntimeConfig, TradingState
from tradingbot_api.model import Amount, ObjectName, ObservedModel, Symbol
from tradingbot_runtime.commands.rehearsal import Examined, Rehearsed, of_symbol, target_shares
from tradingbot_runtime.commands.tables import table
from tradingbot_runtime.core.commands import CancelOrder, ClosePosition
from tradingbot_runtime.core.orders import Order
from tradingbot_runtime.core.report import instant

MARKET_HOURS: Final = "market_hours"
_ZERO: Final = Decimal(0)


class PlannedCheck(ObservedModel):
    """One of the gateway's checks."""

    check: str
    """Its name."""
    result: Annotated[str, Field(pattern="^(Passes|Refuses|NotAsked)$")]
    """NotAsked: exits need not pass it."""
    reason: str = ""
    """Why it refuses."""


class PlannedOrder(ObservedModel):
    """An order as it would be sent, or as it was refused."""

    client_order_id: str = ""
    """The id it would have; empty where it is refused."""
    side: str
    """buy or sell."""
    type: str
    """market, limit, stop, stop_limit or trailing_stop."""
    qty: Amount
    """Shares."""
    limit_price: Amount | None = None
    """Limit price."""
    value: Amount
    """Shares times the last price."""
    replaces: str = ""
    """client_order_id of the open order whose place it would take."""


class PlannedSymbol(ObservedModel):
    """What is held of a symbol, what is wanted, and what follows."""

    symbol: Symbol
    """The symbol."""
    held: Amount
    """Shares held."""
    price: Amount | None = None
    """The last price."""
    target_weight: Amount | None = None
    """Share of the capital that the strategy wants; None keeps what is held."""
    target_shares: Amount | None = None
    """The weight in whole shares."""
    order: PlannedOrder | None = None
    """What would be ordered; None where nothing is."""
    refused_by: str = ""
    """The gateway's check that refuses the order now; empty where it may be sent."""
    reason: str = ""
    """Why it is refused, or why nothing is ordered."""
    at_the_open: str = ""
    """While the market is closed: what would become of the order at the next open."""
    checks: list[PlannedCheck] = Field(default_factory=list)
    """What each check says by itself, as of now; the first that refuses decides."""


class Plan(ObservedModel):
    """What a bot would do now."""

    namespace: ObjectName
    """Namespace of the bot."""
    name: ObjectName
    """Name of the bot."""
    mode: str
    """paper or live."""
    strategy: str
    """Name of the strategy."""
    has_state: bool
    """Whether the bot's own state was read, or what the account holds taken for it."""
    market_time: str
    """The broker's clock."""
    market_open: bool
    """Whether the market is open."""
    next_open: str
    """When it opens next."""
    trading_state: TradingState
    """Active, Reducing or Halted: as it is now, or will be at the open."""
    why: str = ""
    """Why the state is not Active."""
    symbols: list[PlannedSymbol]
    """In the config's order."""
    cancels: list[str] = Field(default_factory=list)
    """client_order_ids that would be cancelled."""
    closes: list[str] = Field(default_factory=list)
    """Symbols that would be closed, with their shares: under a kill that flattens."""
    notices: list[str] = Field(default_factory=list)
    """What the bot would say of it."""


def plan_of(config: RuntimeConfig, found: Rehearsed, *, has_state: bool) -> Plan:
    """The plan."""
    targets = target_shares(found.weights or {}, found.prices, config.capital)
    return Plan(
        namespace=config.bot.namespace,
        name=config.bot.name,
        mode=config.mode.value,
        strategy=config.strategy.name,
        has_state=has_state,
        market_time=instant(found.clock.timestamp),
        market_open=found.clock.is_open,
        next_open=instant(found.clock.next_open),
        trading_state=found.state,
        why=f"{found.reason}: {found.message}" if found.reason else "",
        symbols=[_symbol(symbol, found, targets.get(symbol, _ZERO)) for symbol in config.symbols],
        cancels=[one.client_order_id for one in found.kept if isinstance(one, CancelOrder)],
        closes=[f"{one.symbol} {one.qty}" for one in found.kept if isinstance(one, ClosePosition)],
        notices=[f"{one.severity} {one.name}: {one.message}" for one in found.notices],
    )


def table_of(plan: Plan) -> str:
    """The plan for people: a head, a row a symbol, and what else would be done."""
    market = "open" if plan.market_open else f"closed, opens {plan.next_open}"
    books = "its state" if plan.has_state else "no state: what the account holds counts as its own"
    lines = [
        f"{plan.namespace}/{plan.name}  {plan.strategy}, {plan.mode}  books: {books}",
        f"market: {market}, now {plan.market_time}",
        f"trading state: {plan.trading_state.value}{f' ({plan.why})' if plan.why else ''}",
        "",
        table(
            ("SYMBOL", "HELD", "PRICE", "WEIGHT", "TARGET", "ORDER", "GATEWAY"),
            [_row(one) for one in plan.symbols],
            right=(1, 2, 3, 4),
        ),
    ]
    lines += [f"would cancel {order_id}" for order_id in plan.cancels]
    lines += [f"would close {one}" for one in plan.closes]
    lines += [f"notice: {one}" for one in plan.notices]
    return "\n".join([*lines, "", "Nothing was ordered."])


def _symbol(symbol: str, found: Rehearsed, target: Decimal) -> PlannedSymbol:
    examined = of_symbol(symbol, found.examined)
    weight = (found.weights or {}).get(symbol)
    shown = PlannedSymbol(
        symbol=symbol,
        held=found.held.get(symbol, _ZERO),
        price=found.prices.get(symbol),
        target_weight=weight,
        target_shares=None if weight is None or symbol not in found.prices else target,
    )
    if examined is None:
        return shown.model_copy(update={"reason": _why_nothing(shown, found)})
    sent = next((order for order in found.orders if order.symbol == symbol), None)
    refusal = examined.refusal
    return shown.model_copy(
        update={
            "order": _order(examined, sent if refusal is None else None),
            "refused_by": refusal.check if refusal else "",
            "reason": refusal.reason if refusal else examined.intent.reason,
            "at_the_open": "" if found.clock.is_open else _at_the_open(examined),
            "checks": [
                PlannedCheck(
                    check=one.check,
                    result="NotAsked" if not one.asked else "Refuses" if one.reason is not None else "Passes",
                    reason=one.reason or "",
                )
                for one in examined.answers
            ],
        }
    )


def _order(examined: Examined, sent: Order | None) -> PlannedOrder:
    intent = examined.intent
    return PlannedOrder(
        client_order_id=sent.client_order_id if sent else "",
        side=intent.side.value,
        type=intent.order_type.value,
        qty=intent.qty,
        limit_price=intent.limit_price,
        value=intent.qty * intent.price,
        replaces=examined.replaces.client_order_id if examined.replaces else "",
    )


def _at_the_open(examined: Examined) -> str:
    refusal = examined.refusal_at_open
    return "would be sent" if refusal is None else f"refused by {refusal.check}: {refusal.reason}"


def _why_nothing(shown: PlannedSymbol, found: Rehearsed) -> str:
    if found.weights is None:
        return "not evaluated"
    if shown.symbol in found.bad_data:
        return f"no order: {found.bad_data[shown.symbol]}"
    if shown.target_weight is None:
        return "no target: stays as it is"
    order = found.open_before.get(shown.symbol)
    if order is not None:
        is_cancelled = any(
            isinstance(one, CancelOrder) and one.client_order_id == order.client_order_id for one in found.kept
        )
        fate = "is cancelled first" if is_cancelled else "works already"
        return f"{order.side.value} {order.remaining_qty} {fate}"
    if shown.target_shares != shown.held:
        return "too little to trade (execution.minTradePercent), or its exits are cancelled first"
    return "at its target"


def _row(one: PlannedSymbol) -> tuple[str, ...]:
    weight = "" if one.target_weight is None else f"{one.target_weight:.4f}"
    target = "" if one.target_shares is None else f"{one.target_shares:f}"
    price = "" if one.price is None else f"{one.price:.2f}"
    head = (one.symbol, f"{one.held:f}", price, weight, target)
    if one.order is None:
        return (*head, "-", one.reason)
    at = f" @ {one.order.limit_price:f}" if one.order.limit_price is not None else ""
    instead = " in the place of an open one" if one.order.replaces else ""
    says = f"refused by {one.refused_by}: {one.reason}" if one.refused_by else f"passes: {one.reason}"
    later = f"; at the open: {one.at_the_open}" if one.at_the_open else ""
    return (*head, f"{one.order.side} {one.order.qty:f} {one.order.type}{at}{instead}", says + later)
