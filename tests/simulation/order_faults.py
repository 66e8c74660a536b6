"""Every order type and class against every fault that can meet an order: what becomes of it, as a table.

`python -m simulation.order_faults` (with `tests` on the path) prints docs/order-faults.md.
"""

import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from simulation.world import World, driven
from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.core.allocator import Intent
from tradingbot_runtime.core.engine import Engine
from tradingbot_runtime.core.orders import Order, OrderState
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.core.values import Now, OrderClass, OrderType, Side
from tradingbot_runtime.strategies.contract import Strategy

NOON = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)
POST = {"route": "POST /v2/orders"}
FAULTS: dict[str, tuple[dict[str, Any], ...]] = {
    "none": (),
    "403": ({"kind": "status", "status": 403, "match": POST, "count": 1},),
    "422": ({"kind": "status", "status": 422, "match": POST, "count": 1},),
    "401": ({"kind": "expired_keys", "match": {"account": "paper"}, "until": "2026-03-02T17:00:05Z"},),
    "429": ({"kind": "rate_limit", "match": POST, "count": 1},),
    "500": ({"kind": "status", "status": 500, "match": POST, "count": 1},),
    "503, and again when asked": (
        {"kind": "status", "status": 503, "match": POST, "count": 1},
        {"kind": "status", "status": 503, "match": {"route": "GET /v2/orders:by_client_order_id"}, "count": 6},
    ),
    "502, an HTML page": ({"kind": "html_error", "status": 502, "match": POST, "count": 1},),
    "504 after it was taken": ({"kind": "timeout_after", "match": POST, "count": 1},),
    "answer after a minute": ({"kind": "latency", "seconds": 60, "match": POST, "count": 1},),
    "answer byte by byte": ({"kind": "slow_bytes", "bytes_per_second": 0.1, "match": POST, "count": 1},),
    "silence, never taken": ({"kind": "hang", "match": POST, "count": 1},),
    "silence, taken": ({"kind": "hang", "reaches_exchange": True, "match": POST, "count": 1},),
    "reset before": ({"kind": "reset_before", "match": POST, "count": 1},),
    "reset after": ({"kind": "reset_after", "match": POST, "count": 1},),
    "JSON cut short": ({"kind": "truncated_json", "match": POST, "count": 1},),
    "body cut short": ({"kind": "truncated_json", "honest_length": False, "match": POST, "count": 1},),
    "empty body": ({"kind": "empty_body", "match": POST, "count": 1},),
    "updates twice": ({"kind": "duplicate_update", "copies": 2},),
    "updates out of order": ({"kind": "reorder_update", "window": 2},),
    "updates late": ({"kind": "delay_update", "seconds": 5},),
    "updates lost": ({"kind": "lose_update"},),
    "stuck half filled": ({"kind": "partial_fill_stall", "seconds": 3},),
}


@dataclass(frozen=True)
class Place:
    """Asks the engine's desk for an order that no strategy of ours sends."""

    intent: Intent


class AskedEngine(Engine):
    """The engine, with a desk that may be asked directly."""

    placed: Order | None = None

    def handle(self, event: seen.Event | Place, now: Now) -> list[do.Command]:
        """What to do about an event, or about a wish."""
        if not isinstance(event, Place):
            return super().handle(event, now)
        commands, refusal = self._desk.place(event.intent, now)
        assert refusal is None, refusal
        self.placed = next(command.order for command in commands if isinstance(command, do.SubmitOrder))
        return commands


class AskedWorld(World):
    """A bot whose desk is asked directly."""

    engine: AskedEngine

    def engine_of(self, strategy: Strategy[Any], recovered: Recovered) -> Engine:
        """The process's mind."""
        return AskedEngine(self.config, strategy, recovered)

    def place(self, intent: Intent) -> Order:
        """Has an order made and sent; gives it as it was journaled."""
        driven(self.bot.tell(Place(intent)))  # type: ignore[arg-type]
        assert self.engine.placed is not None
        return self.engine.placed


def intent_of(kind: OrderType, order_class: OrderClass, price: Decimal) -> Intent:
    """Ten shares at a price that trades soon; exits, where the class has them, far away."""
    side, qty = (Side.SELL, Decimal(5)) if order_class is OrderClass.OCO else (Side.BUY, Decimal(10))
    near = (price * Decimal("1.01")).quantize(Decimal("0.01"))
    above, below = (
        (price * Decimal("1.2")).quantize(Decimal("0.01")),
        (price * Decimal("0.8")).quantize(Decimal("0.01")),
    )
    intent = Intent("AAPL", side, qty, price, None, "asked", order_class=order_class)
    match kind:
        case OrderType.LIMIT:
            intent = replace(intent, limit_price=above if side is Side.SELL else near)
        case OrderType.STOP:
            intent = replace(intent, stop_price=near)
        case OrderType.STOP_LIMIT:
            intent = replace(intent, stop_price=near, limit_price=near)
        case OrderType.TRAILING_STOP:
            intent = replace(intent, trail_percent=Decimal(2))
        case OrderType.MARKET:
            pass
    if order_class in {OrderClass.BRACKET, OrderClass.OCO}:
        intent = replace(intent, take_profit_price=above, stop_loss_price=below)
    elif order_class is OrderClass.OTO:
        intent = replace(intent, stop_loss_price=below)
    return intent


def outcome(kind: OrderType, order_class: OrderClass, faults: tuple[dict[str, Any], ...], volume: Path) -> str:
    """What became of one order, in words, once the invariants were checked."""
    world = AskedWorld(volume, 7, start=NOON, risk={"priceCollarPercent": 50}, timeframe="1Day", capital="1000000")
    driven(world.begin())
    price = Decimal("170")
    world.engine._known.prices["AAPL"] = price = Decimal(str(_last_price(world)))
    if order_class is OrderClass.OCO:
        world.place(intent_of(OrderType.MARKET, OrderClass.SIMPLE, price))
        driven(world.step(timedelta(seconds=1)))
    before = len(world.ours)
    for rule in faults:
        world.fault(**rule)
    order = world.place(intent_of(kind, order_class, price))
    for _ in range(6):
        driven(world.step(timedelta(seconds=1)))
    world.heal()
    for _ in range(2):
        driven(world.bot.tell(seen.StreamConnected()))
    world.check()
    ours = next(one for one in world.recovered().orders if one.client_order_id == order.client_order_id)
    there = [one for one in world.ours[before:] if one["client_order_id"] == order.client_order_id]
    world.database.close()
    assert len(there) == (0 if ours.state in {OrderState.NOT_SENT, OrderState.REJECTED} else 1), (ours, there)
    if ours.state is OrderState.REJECTED:
        return "rejected"
    asked = world.engine.counters["orders", "in_doubt"] > 0
    said = "never sent" if ours.state is OrderState.NOT_SENT else "taken once"
    return f"{said}, known by asking" if asked else said


def _last_price(world: World) -> Any:
    exchange = world.simulator.exchange
    asset = exchange.catalogue.find("AAPL")
    assert asset is not None
    return Decimal(exchange.market.quote(asset, exchange.now).last).scaleb(-2)


KINDS = [
    (kind, order_class)
    for order_class in OrderClass
    for kind in OrderType
    if order_class is not OrderClass.OCO or kind is OrderType.LIMIT
]
"""Every order type in every class that the broker has it in: an OCO is a limit order."""


def table(outcomes: dict[tuple[str, str], str]) -> list[str]:
    """The lines of the table, of outcomes by fault and kind of order; equal neighbours share a line."""
    lines = ["| fault | outcome | of |", "|---|---|---|"]
    for fault in dict.fromkeys(fault for fault, _ in outcomes):
        found: dict[str, list[str]] = {}
        for kind, order_class in KINDS:
            found.setdefault(outcomes[fault, name_of(kind, order_class)], []).append(name_of(kind, order_class))
        for words, names in sorted(found.items(), key=lambda one: -len(one[1])):
            lines.append(f"| {fault} | {words} | {_shortened(names)} |")
    return lines


def name_of(kind: OrderType, order_class: OrderClass) -> str:
    """A kind of order in words."""
    return f"{order_class.value} {kind.value}"


def _shortened(names: list[str]) -> str:
    parts = []
    for order_class in OrderClass:
        mine = [name.partition(" ")[2] for name in names if name.startswith(f"{order_class.value} ")]
        if len(mine) == sum(one is order_class for _, one in KINDS):
            parts.append(f"every {order_class.value}")
        elif mine:
            parts.append(f"{order_class.value} ({', '.join(mine)})")
    return "; ".join(parts)


def all_outcomes(directory: Path, names: list[str] | None = None) -> dict[tuple[str, str], str]:
    """Every cell, each in a world of its own."""
    return {
        (fault, name_of(kind, order_class)): outcome(
            kind, order_class, FAULTS[fault], directory / f"{number}-{kind.value}-{order_class.value}"
        )
        for number, fault in enumerate(FAULTS)
        if names is None or fault in names
        for kind, order_class in KINDS
    }


if __name__ == "__main__":
    print("\n".join(table(all_outcomes(Path(tempfile.mkdtemp())))))
