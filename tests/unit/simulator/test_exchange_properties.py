"""Over random order sequences: money and shares are conserved, fills are fair, ended orders rest."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_simulator.exchange.exchange import TradeUpdate
from alpaca_simulator.exchange.orders import TERMINAL, Event, Side
from unit.simulator.floor import LIVE, MONDAY_BEFORE_OPEN, PAPER, Answer, Floor

SYMBOLS = ("SPY", "TLT", "CRASH")
ASSETS = [{"symbol": "CRASH", "price": 8, "yearly_volatility": 2.0}]


@dataclass(frozen=True)
class Trade:
    """An order: limits are given in cents away from the quote, so that some cross and some rest."""

    live: bool
    symbol: str
    side: str
    quantity: str
    cents_away: int | None
    time_in_force: str


@dataclass(frozen=True)
class Cancel:
    newest: int


@dataclass(frozen=True)
class Close:
    cancel_orders: bool


@dataclass(frozen=True)
class Wait:
    seconds: float


trades = st.builds(
    Trade,
    live=st.booleans(),
    symbol=st.sampled_from(SYMBOLS),
    side=st.sampled_from(["buy", "buy", "sell"]),
    quantity=st.sampled_from(["1", "3", "40", "40", "250", "0.125", "7.000000001"]),
    cents_away=st.none() | st.integers(-60, 60),
    time_in_force=st.sampled_from(["day", "day", "gtc", "ioc"]),
)
waits = st.builds(Wait, st.sampled_from([0, 0.25, 1, 1, 7.5, 60, 61, 900, 3600, 20_000, 90_000, 400_000]))
actions = st.lists(
    st.one_of(
        trades,
        trades,
        trades,
        waits,
        waits,
        st.builds(Cancel, st.integers(0, 4)),
        st.builds(Close, st.booleans()),
    ),
    max_size=25,
)


class History:
    """A floor on which actions are carried out, with every trade update it ever sent."""

    def __init__(self, partial_fills: bool, pieces: int = 1) -> None:
        probability = 0.5 if partial_fills else 0.0
        self.floor = Floor(MONDAY_BEFORE_OPEN, assets=ASSETS, partial_fill_probability=probability)
        self.updates: list[TradeUpdate] = []
        self.statuses: list[int] = []
        self._pieces = pieces

    def play(self, script: list[object]) -> History:
        for action in script:
            self._play(action)
            self.updates += self.floor.updates()
        return self

    def _play(self, action: object) -> None:
        floor = self.floor
        match action:
            case Trade():
                floor.keys = LIVE if action.live else PAPER
                self.statuses.append(self._order(action).status)
            case Cancel(newest):
                open_orders = floor.get("/v2/orders").body
                if newest < len(open_orders):
                    self.statuses.append(floor.delete(f"/v2/orders/{open_orders[newest]['id']}").status)
            case Close(cancel_orders):
                self.statuses.append(floor.delete("/v2/positions", cancel_orders=str(cancel_orders)).status)
            case Wait(seconds):
                self._wait(seconds)

    def _order(self, trade: Trade) -> Answer:
        limit = None
        if trade.cents_away is not None:
            bid, _ = self.floor.quote(trade.symbol)
            limit = f"{max(0.05, bid + trade.cents_away / 100):.2f}"
        send = self.floor.buy if trade.side == "buy" else self.floor.sell
        return send(trade.symbol, trade.quantity, limit, trade.time_in_force)

    def _wait(self, seconds: float) -> None:
        """Let time pass in as many pieces as asked for: it must make no difference."""
        begin = self.floor.now
        for piece in range(1, self._pieces):
            self.floor.exchange.advance(begin + timedelta(seconds=seconds) * piece / self._pieces)
        self.floor.step(seconds)


@settings(max_examples=60, deadline=None)
@given(actions, st.booleans())
def test_money_and_shares_are_conserved(script: list[object], partial_fills: bool) -> None:
    history = History(partial_fills).play(script)
    for account in history.floor.exchange.accounts.values():
        cash, shares = account.terms.cash, defaultdict(Decimal)
        for update in history.updates:
            if update.account_id == account.account_id and update.price is not None:
                assert update.quantity is not None
                sign = 1 if update.order.side is Side.BUY else -1
                cash -= sign * update.quantity * update.price
                shares[update.order.asset.symbol] += sign * update.quantity
                assert update.position_quantity == shares[update.order.asset.symbol]
        assert account.cash == cash >= 0
        assert {s: p.quantity for s, p in account.positions.items()} == {s: q for s, q in shares.items() if q}
        assert all(quantity >= 0 for quantity in shares.values())


@settings(max_examples=40, deadline=None)
@given(actions, st.booleans())
def test_what_is_held_back_is_exactly_what_open_orders_need(script: list[object], partial_fills: bool) -> None:
    history = History(partial_fills).play(script)
    for account in history.floor.exchange.accounts.values():
        open_orders = list(account.open_orders.values())
        assert account.buying_power == account.cash - sum(order.reserved for order in open_orders)
        assert account.buying_power >= 0
        for symbol in SYMBOLS:
            offered = sum(o.remaining for o in open_orders if o.side is Side.SELL and o.asset.symbol == symbol)
            assert account.held_for_orders(symbol) == offered <= account.held(symbol)


@settings(max_examples=40, deadline=None)
@given(actions, st.booleans())
def test_no_fill_is_outside_its_bar_its_quote_or_its_limit(script: list[object], partial_fills: bool) -> None:
    history = History(partial_fills).play(script)
    market = history.floor.market
    for update in history.updates:
        if update.price is None:
            continue
        order = update.order
        session = market.calendar.open_at(update.at)
        assert session is not None, "a fill while the market was closed"
        bars, minute = market.minutes(order.asset, session), (int(update.at.timestamp()) - session.open_epoch) // 60
        assert bars.low[minute] <= update.price * 100 <= bars.high[minute]
        quote = market.quote(order.asset, update.at)
        buying = order.side is Side.BUY
        assert update.price * 100 == (quote.ask if buying else quote.bid)
        if order.limit_price is not None:
            assert update.price <= order.limit_price if buying else update.price >= order.limit_price
        assert update.at > order.created_at


@settings(max_examples=40, deadline=None)
@given(actions, st.booleans())
def test_an_ended_order_never_moves_and_updates_come_in_order(script: list[object], partial_fills: bool) -> None:
    history = History(partial_fills).play([*script, Wait(400_000)])
    last: dict[object, TradeUpdate] = {}
    for update in history.updates:
        before = last.get(update.order.order_id)
        if before is not None:
            assert before.order.status not in TERMINAL
            assert before.at <= update.at
            assert before.order.filled_quantity <= update.order.filled_quantity <= update.order.quantity
        # An order is new once and first; one that waits for the open may end before that.
        assert (update.event is Event.NEW) <= (before is None)
        assert before is not None or update.price is None
        last[update.order.order_id] = update
    times = [update.at for update in history.updates]
    assert times == sorted(times)
    for account in history.floor.exchange.accounts.values():
        for order in account.orders_newest_first():
            if order.order_id in last:
                assert last[order.order_id].order == order


@settings(max_examples=25, deadline=None)
@given(actions, st.booleans(), st.integers(2, 7))
def test_how_finely_time_passes_makes_no_difference(script: list[object], partial_fills: bool, pieces: int) -> None:
    coarse = History(partial_fills).play(script)
    fine = History(partial_fills, pieces).play(script)
    assert coarse.statuses == fine.statuses
    assert coarse.updates == fine.updates
    assert books(coarse.floor) == books(fine.floor)


def books(floor: Floor) -> tuple[datetime, bytes]:
    return floor.now, floor.get("/admin/state").raw.body
