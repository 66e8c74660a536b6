"""Random days on the floor: a script of orders, cancels, replacements, halts and waiting, and a history that plays it.

Prices are given in cents away from the quote, so that some orders cross, some rest and some trigger.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from pydantic import TypeAdapter

from alpaca_simulator.exchange.accounts import Account, needs
from alpaca_simulator.exchange.contingent import Family
from alpaca_simulator.exchange.exchange import ExchangeState, TradeUpdate
from alpaca_simulator.exchange.lifecycle import WORKING
from alpaca_simulator.exchange.orders import Order
from alpaca_simulator.market.halts import Halt
from unit.simulator.floor import LIVE, MONDAY_BEFORE_OPEN, PAPER, Answer, Floor

SYMBOLS = ("SPY", "TLT", "CRASH")
#: A cash account, and one that borrows and sells short.
ACCOUNTS = [
    {"name": "paper", "key_id": "PKDEMOPAPER", "secret_key": "demo-paper-secret"},
    {
        "name": "live",
        "kind": "live",
        "key_id": "AKDEMOLIVE",
        "secret_key": "demo-live-secret",
        "margin_multiplier": 2,
        "shorting": True,
    },
]
MARKET: dict[str, Any] = {
    "accounts": ACCOUNTS,
    "assets": [{"symbol": "CRASH", "price": 8, "yearly_volatility": 2.0, "fractionable": False}],
    "corporate_actions": [
        {"type": "split", "symbol": "TLT", "ex_date": "2026-03-03", "new": 2},
        {"type": "split", "symbol": "CRASH", "ex_date": "2026-03-03", "new": 1, "old": 3},
        {"type": "dividend", "symbol": "SPY", "ex_date": "2026-03-03", "payable_date": "2026-03-04", "rate": "1.75"},
    ],
}
STATE: TypeAdapter[ExchangeState] = TypeAdapter(ExchangeState)


@dataclass(frozen=True)
class Rules:
    partial_fills: bool = False
    size_limit: bool = False
    new_delay: int = 0
    cancel_delay: int = 0
    replace_delay: int = 0

    def config(self) -> dict[str, Any]:
        return {
            "partial_fill_probability": 0.5 if self.partial_fills else 0.0,
            "exchange": {
                "fill_size_limit": self.size_limit,
                "new_delay_milliseconds": self.new_delay,
                "cancel_delay_milliseconds": self.cancel_delay,
                "replace_delay_milliseconds": self.replace_delay,
            },
        }


@dataclass(frozen=True)
class Trade:
    live: bool
    symbol: str
    side: str
    amount: str
    kind: str
    cents: int
    more_cents: int
    time_in_force: str
    extended_hours: bool


@dataclass(frozen=True)
class Group:
    live: bool
    symbol: str
    side: str
    order_class: str
    entry_cents: int | None
    profit_cents: int
    loss_cents: int
    loss_limit: bool
    time_in_force: str


@dataclass(frozen=True)
class Replace:
    newest: int
    quantity: int | None
    cents: int | None
    time_in_force: str | None


@dataclass(frozen=True)
class Cancel:
    newest: int


@dataclass(frozen=True)
class Close:
    cancel_orders: bool


@dataclass(frozen=True)
class Pause:
    symbol: str
    seconds: int | None


@dataclass(frozen=True)
class Wait:
    seconds: float


amounts = st.sampled_from(["1", "3", "40", "40", "250", "900", "0.125", "7.000000001", "$50", "$2500"])
trades = st.builds(
    Trade,
    live=st.booleans(),
    symbol=st.sampled_from(SYMBOLS),
    side=st.sampled_from(["buy", "buy", "sell"]),
    amount=amounts,
    kind=st.sampled_from(["market", "market", "limit", "limit", "stop", "stop_limit", "trail", "trail_percent"]),
    cents=st.integers(-60, 60),
    more_cents=st.integers(-20, 20),
    time_in_force=st.sampled_from(["day", "day", "day", "gtc", "ioc", "fok", "opg", "cls"]),
    extended_hours=st.sampled_from([False, False, True]),
)
groups = st.builds(
    Group,
    live=st.booleans(),
    symbol=st.sampled_from(SYMBOLS),
    side=st.sampled_from(["buy", "buy", "sell"]),
    order_class=st.sampled_from(["bracket", "bracket", "oco", "oco", "oto"]),
    entry_cents=st.none() | st.integers(-20, 20),
    profit_cents=st.integers(2, 60),
    loss_cents=st.integers(2, 60),
    loss_limit=st.booleans(),
    time_in_force=st.sampled_from(["day", "gtc"]),
)
replaces = st.builds(
    Replace,
    newest=st.integers(0, 5),
    quantity=st.sampled_from([None, None, 2, 30, 60]),
    cents=st.none() | st.integers(-50, 50),
    time_in_force=st.sampled_from([None, None, "gtc", "day"]),
)
waits = st.builds(Wait, st.sampled_from([0, 0.25, 1, 1, 2, 7.5, 60, 61, 900, 3600, 20_000, 60_000, 90_000, 400_000]))
pauses = st.builds(Pause, st.sampled_from(SYMBOLS), st.sampled_from([5, 300, None]))
actions = st.lists(
    st.one_of(
        trades,
        trades,
        groups,
        groups,
        replaces,
        waits,
        waits,
        waits,
        st.builds(Cancel, st.integers(0, 5)),
        st.builds(Close, st.booleans()),
        pauses,
    ),
    min_size=3,
    max_size=30,
)
delays = st.sampled_from([0, 0, 400, 1500, 90_000])
rules = st.builds(Rules, st.booleans(), st.booleans(), delays, delays, delays)


class History:
    """A floor on which a script is carried out, with every answer and every trade update there ever was."""

    def __init__(self, how: Rules, pieces: int = 1, start: datetime = MONDAY_BEFORE_OPEN) -> None:
        self.how = how
        self.floor = Floor(start, **MARKET, **how.config())
        self.updates: list[TradeUpdate] = []
        self.statuses: list[int] = []
        self.pieces = pieces

    def play(self, script: list[object]) -> History:
        for action in script:
            self._play(action)
            self.updates += self.floor.updates()
            for account in self.floor.exchange.accounts.values():
                books_must_balance(self.floor, account)
        return self

    def restarted(self) -> History:
        """A history on another floor that goes on from this one's state, written and read as JSON."""
        state = STATE.validate_json(STATE.dump_json(self.floor.exchange.state()))
        other = History(self.how, self.pieces, self.floor.now)
        other.floor.exchange.restore(state)
        other.floor.keys = self.floor.keys
        other.updates, other.statuses = list(self.updates), list(self.statuses)
        return other

    def _play(self, action: object) -> None:
        floor = self.floor
        match action:
            case Trade():
                floor.keys = LIVE if action.live else PAPER
                self._answered(floor.order(**self._simple(action)))
            case Group():
                floor.keys = LIVE if action.live else PAPER
                self._answered(floor.order(**self._group(action)))
            case Replace():
                self._replace(action)
            case Cancel(newest):
                open_orders = floor.get("/v2/orders").body
                if newest < len(open_orders):
                    self._answered(floor.delete(f"/v2/orders/{open_orders[newest]['id']}"))
            case Close(cancel_orders):
                self._answered(floor.delete("/v2/positions", cancel_orders=str(cancel_orders)))
            case Pause(symbol, seconds):
                since = int(floor.now.timestamp()) + 1
                until = None if seconds is None else since + seconds
                if not floor.exchange.halts.resume(symbol, since):
                    floor.exchange.halts.add(Halt(symbol, since, until))
            case Wait(seconds):
                self._wait(seconds)

    def _answered(self, answer: Answer) -> None:
        self.statuses.append(answer.status)
        assert answer.status in {200, 204, 207, 403, 422}, answer

    def _price(self, symbol: str, cents: int) -> str:
        asset = self.floor.exchange.catalogue.find(symbol)
        assert asset is not None
        return f"{max(5, self.floor.market.quote(asset, self.floor.now).bid + cents) / 100:.2f}"

    def _simple(self, trade: Trade) -> dict[str, object]:
        amount = {"notional": trade.amount[1:]} if trade.amount.startswith("$") else {"qty": trade.amount}
        near, far = self._price(trade.symbol, trade.cents), self._price(trade.symbol, trade.cents + trade.more_cents)
        prices: dict[str, dict[str, object]] = {
            "market": {"type": "market"},
            "limit": {"type": "limit", "limit_price": near, "extended_hours": trade.extended_hours},
            "stop": {"type": "stop", "stop_price": near},
            "stop_limit": {"type": "stop_limit", "stop_price": near, "limit_price": far},
            "trail": {"type": "trailing_stop", "trail_price": f"{(abs(trade.cents) + 1) / 100:.2f}"},
            "trail_percent": {"type": "trailing_stop", "trail_percent": f"{(abs(trade.cents) + 2) / 20:.2f}"},
        }
        tif = trade.time_in_force
        # Most orders are to be accepted: what waits for a price, and parts of a share, are for a day.
        if not trade.kind.startswith(("market", "limit")) and tif != "gtc":
            tif = "day"
        if "." in trade.amount or "$" in trade.amount:
            tif = "day"
        return {"symbol": trade.symbol, **amount, "side": trade.side, "time_in_force": tif, **prices[trade.kind]}

    def _group(self, group: Group) -> dict[str, object]:
        entering = group.order_class != "oco"
        upwards = (group.side == "buy") == entering
        base = group.entry_cents or 0
        profit = self._price(group.symbol, base + (group.profit_cents if upwards else -group.profit_cents))
        loss_cents = base + (-group.loss_cents if upwards else group.loss_cents)
        loss = {"stop_price": self._price(group.symbol, loss_cents)}
        if group.loss_limit:
            loss["limit_price"] = self._price(group.symbol, loss_cents + (-3 if upwards else 3))
        exits: dict[str, object] = {"take_profit": {"limit_price": profit}, "stop_loss": loss}
        if group.order_class == "oto":
            exits.pop("take_profit" if group.loss_limit else "stop_loss")
        kind: dict[str, object] = {"type": "market"}
        if not entering or group.entry_cents is not None:
            kind = {"type": "limit", "limit_price": self._price(group.symbol, base)}
        quantity = abs(int(self._account().held(group.symbol))) if not entering else 40
        return {
            "symbol": group.symbol,
            "qty": str(max(1, quantity)),
            "side": group.side,
            "time_in_force": group.time_in_force,
            "order_class": group.order_class,
            **kind,
            **exits,
        }

    def _account(self) -> Account:
        key = self.floor.keys["APCA-API-KEY-ID"]
        return next(one for one in self.floor.exchange.accounts.values() if one.terms.key_id == key)

    def _replace(self, wanted: Replace) -> None:
        open_orders = self.floor.get("/v2/orders").body
        if wanted.newest >= len(open_orders):
            return
        order = open_orders[wanted.newest]
        fields: dict[str, object] = {}
        if wanted.quantity is not None and not order["order_class"]:
            fields["qty"] = str(wanted.quantity)
        if wanted.time_in_force is not None and not order["order_class"]:
            fields["time_in_force"] = wanted.time_in_force
        if wanted.cents is not None:
            for name in ("limit_price", "stop_price"):
                if order[name] is not None and order["type"] != "trailing_stop":
                    fields[name] = self._price(order["symbol"], wanted.cents)
            if order["type"] == "trailing_stop":
                fields["trail"] = f"{(abs(wanted.cents) + 3) / 20:.2f}"
        self._answered(self.floor.send("PATCH", f"/v2/orders/{order['id']}", json.dumps(fields).encode()))

    def _wait(self, seconds: float) -> None:
        """Let time pass in as many pieces as asked for: it must make no difference."""
        begin = self.floor.now
        for piece in range(1, self.pieces):
            self.floor.exchange.advance(begin + timedelta(seconds=seconds) * piece / self.pieces)
        self.floor.step(seconds)


def books_must_balance(floor: Floor, account: Account) -> None:
    """What must be true of an account at any moment."""
    open_orders = list(account.open_orders.values())
    assert account.reserved == sum(order.reserved for order in open_orders)
    offered: dict[str, Decimal] = defaultdict(Decimal)
    for order in open_orders:
        offered[order.asset.symbol] += order.offered
        assert order.reserved >= 0 and order.offered >= 0
        if not order.is_unpriced and not is_pending_replacement(order):
            assert (order.reserved, order.offered) == needs(order), order
    for symbol in {*SYMBOLS, *account.positions}:
        assert account.held_for_orders(symbol) == offered[symbol] <= abs(account.held(symbol))
    written = account.activities
    assert account.cash == account.terms.cash + sum(one.net_amount for one in written)
    shares: dict[str, Decimal] = defaultdict(Decimal)
    for one in written:
        if one.symbol is not None:
            shares[one.symbol] += one.quantity
    held = {symbol: position.quantity for symbol, position in account.positions.items()}
    assert held == {symbol: quantity for symbol, quantity in shares.items() if quantity}
    if account.is_cash_account:
        assert account.cash >= account.reserved
        assert all(quantity > 0 for quantity in held.values())
    for family in families(floor):
        assert sum(one.standing in WORKING for one in family.exits) <= 1


def is_pending_replacement(order: Order) -> bool:
    return order.replaces is not None and order.status.value in {"pending_new", "held"}  # the old one holds back too


def families(floor: Floor) -> list[Family]:
    return list({id(one): one for one in floor.exchange.register.families.values()}.values())
