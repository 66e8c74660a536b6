"""Brackets and rebalancing: the bot leaves alone what the backtest leaves alone, and acts where it acts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from builders import an_order
from tradingbot_research.engine import backtest
from tradingbot_research.handled import rules_of
from tradingbot_research.market import Bars, Floats
from tradingbot_research.result import Obstacle
from tradingbot_research.rules import Costs, Rules, Sizing
from tradingbot_runtime.core.adherence import Adherence, Held
from tradingbot_runtime.core.allocator import Execution, Intent, allocate
from tradingbot_runtime.core.orders import Order, OrderState
from tradingbot_runtime.core.portfolio import Holding, Portfolio
from tradingbot_runtime.core.values import OrderClass, Side, TimeInForce
from tradingbot_runtime.strategies.handling import Bracket, Handling, Rebalancing
from tradingbot_runtime.strategies.momentum import Momentum

BRACKET = Handling(bracket=Bracket(Decimal("0.05"), Decimal("0.1")))
MIX = Handling(rebalancing=Rebalancing(Decimal("0.1"), 5, Decimal(500)))
EXECUTION = Execution(use_market_orders=True, limit_offset_bps=0, min_trade_percent=Decimal(1))
CAPITAL = 25_000
FIRST = date(2020, 1, 1)
CENTS = st.integers(5_000, 15_000).map(lambda number: number / 100)
SEVERAL_DAYS = st.lists(st.tuples(CENTS, CENTS), min_size=4, max_size=30)


@dataclass
class Bot:
    """A bot's allocator at a market where every order is filled at the next close, whole."""

    handling: Handling
    adherence: Adherence = field(init=False)
    holdings: dict[str, Holding] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    waiting: list[Intent] = field(default_factory=list)
    entries: dict[str, Intent] = field(default_factory=dict)
    """The order that brought each position, with its exits as the broker holds them."""
    restarts: bool = False

    def __post_init__(self) -> None:
        self.adherence = Adherence(self.handling)

    def qty(self, symbol: str) -> float:
        return float(self.holdings[symbol].qty) if symbol in self.holdings else 0.0

    def close(self, day: int, prices: Mapping[str, float], weights: Mapping[str, float]) -> None:
        """One close: yesterday's orders are filled, exits are taken, and the next orders are decided."""
        self._fill(prices)
        self._exit(prices)
        if self.restarts:
            self.adherence = Adherence(self.handling, self.adherence.to_json())
        self.decide(day, prices, weights)

    def held(self, prices: Mapping[str, float]) -> Held:
        exact = {symbol: Decimal(str(price)) for symbol, price in prices.items()}
        guarded = frozenset(self.holdings) if self.handling.bracket else frozenset()
        return Held(Portfolio(self.holdings), exact, Decimal(CAPITAL), {}, guarded, self.orders)

    def decide(self, day: int, prices: Mapping[str, float], weights: Mapping[str, float]) -> list[Intent]:
        held = self.held(prices)
        wanted = {symbol: Decimal(str(weight)) for symbol, weight in weights.items() if weight == weight}
        acted = self.adherence.acted_on(wanted, held, FIRST + timedelta(days=day))
        execution = self.adherence.execution(EXECUTION, held.capital)
        allocation = allocate(acted, held.prices, held.portfolio, {}, held.capital, execution)
        self.adherence.allocated(acted, allocation, held)
        for intent in allocation.intents:
            order = an_order(len(self.orders) + 1, symbol=intent.symbol, side=intent.side, state=OrderState.FILLED)
            self.orders[order.client_order_id] = order
            self.adherence.ordered(order)
        self.waiting = list(allocation.intents)
        return self.waiting

    def _fill(self, prices: Mapping[str, float]) -> None:
        for intent in self.waiting:
            signed = intent.qty if intent.side is Side.BUY else -intent.qty
            qty = (self.holdings[intent.symbol].qty if intent.symbol in self.holdings else Decimal(0)) + signed
            self.holdings.pop(intent.symbol, None)
            if qty:
                self.entries[intent.symbol] = intent
                self.holdings[intent.symbol] = Holding(qty, Decimal(str(prices[intent.symbol])))
        self.waiting = []

    def _exit(self, prices: Mapping[str, float]) -> None:
        for symbol in list(self.holdings):
            entry, price = self.entries[symbol], Decimal(str(prices[symbol]))
            if entry.stop_loss_price is None or entry.take_profit_price is None:
                continue
            if price <= entry.stop_loss_price or price >= entry.take_profit_price:
                del self.holdings[symbol]


class Told(Momentum):
    """A strategy with any handling."""

    told = Handling()

    @property
    def handling(self) -> Handling:
        return self.told


def rules_with(handling: Handling, **changes: object) -> Rules:
    strategy = Told.from_parameters({})
    strategy.told = handling
    return rules_of(strategy, Rules(capital=CAPITAL, costs=Costs.none(), maximum_volume=1, **changes))  # type: ignore[arg-type]


def flat_bars(closes: Floats) -> Bars:
    """Bars with one price each, a day apart."""
    time = (np.datetime64("2020-01-01", "D") + np.arange(len(closes))).astype("datetime64[ns]")
    return Bars(("A", "B"), time, closes, closes, closes, closes, np.full(closes.shape, 1e12))


@settings(max_examples=120, deadline=None, derandomize=True)
@given(prices=SEVERAL_DAYS, data=st.data(), restarts=st.booleans())
@pytest.mark.parametrize("handling", [BRACKET, MIX], ids=["bracket", "rebalancing"])
def test_the_bot_holds_what_the_backtest_holds(
    handling: Handling, prices: list[tuple[float, float]], data: st.DataObject, restarts: bool
) -> None:
    weight = st.sampled_from([0.0, 0.3, 0.3, 0.3, 0.45, float("nan")])
    closes = np.array(prices)
    told = data.draw(st.lists(st.tuples(weight, weight), min_size=1, max_size=4))
    weights = np.array([told[day * len(told) // len(closes)] for day in range(len(closes))])
    found = backtest(flat_bars(closes), weights, rules_with(handling))
    assume(all(one.obstacle is not Obstacle.NO_CASH for one in found.unfilled))  # the allocator does not ask for money
    bot = Bot(handling, restarts=restarts)
    for day in range(len(closes)):
        bot.close(day, dict(zip("AB", closes[day].tolist(), strict=True)), dict(zip("AB", weights[day], strict=True)))
        assert found.positions[day].tolist() == [bot.qty("A"), bot.qty("B")], day


def drifted(days: int, to: float) -> Floats:
    """A at 100 that is at `to` from day 3 on, B at 100."""
    closes = np.full((days, 2), 100.0)
    closes[3:, 0] = to
    return closes


def test_within_the_band_a_mix_is_left_alone() -> None:
    found = backtest(flat_bars(drifted(20, 119.0)), np.full((20, 2), 0.5), rules_with(MIX))
    assert len(found.fills.bar) == 2


def test_beyond_it_all_parts_are_brought_back_once_the_days_are_over() -> None:
    # 125 of each are worth 12,500; at 130 the drift is 15 points. The first decision was on day 0, five days ago on 5.
    closes = drifted(20, 130.0)
    closes[3:, 1] = 95.0
    found = backtest(flat_bars(closes), np.full((20, 2), 0.5), rules_with(MIX))
    assert found.fills.bar.tolist() == [1, 1, 6, 6]
    assert found.positions[-1].tolist() == [96, 131]  # 12,500 / 130 and 12,500 / 95


def test_a_part_that_is_off_by_less_than_the_smallest_trade_is_left_as_it_is() -> None:
    closes = drifted(20, 130.0)
    closes[3:, 1] = 97.0  # 375 off
    found = backtest(flat_bars(closes), np.full((20, 2), 0.5), rules_with(MIX))
    assert found.positions[-1].tolist() == [96, 125]


def test_the_same_is_so_where_weights_are_shares_of_the_equity() -> None:
    rules = rules_with(MIX, sizing=Sizing.EQUITY)
    assert len(backtest(flat_bars(drifted(20, 130.0)), np.full((20, 2), 0.5), rules).fills.bar) == 2
    assert len(backtest(flat_bars(drifted(20, 190.0)), np.full((20, 2), 0.5), rules).fills.bar) == 4


def test_an_entry_carries_its_exits_to_the_broker_for_longer_than_a_day() -> None:
    (entry,) = Bot(BRACKET).decide(0, {"A": 100.0}, {"A": 0.2})
    assert (entry.order_class, entry.time_in_force) == (OrderClass.BRACKET, TimeInForce.GTC)
    assert (entry.stop_loss_price, entry.take_profit_price) == (Decimal("95.00"), Decimal("110.00"))


def test_exits_are_measured_from_the_close_and_one_alone_is_one_leg() -> None:
    execution = Execution(
        use_market_orders=False, limit_offset_bps=10, min_trade_percent=Decimal(1), bracket=Bracket(Decimal("0.05"))
    )
    weights, prices = {"A": Decimal("0.2")}, {"A": Decimal(100)}
    (entry,) = allocate(weights, prices, Portfolio(), {}, Decimal(1000), execution).intents
    assert (entry.order_class, entry.take_profit_price) == (OrderClass.OTO, None)
    assert (entry.limit_price, entry.stop_loss_price) == (Decimal("100.10"), Decimal("95.00"))


def test_a_profit_is_never_below_what_the_entry_may_cost() -> None:
    execution = Execution(
        use_market_orders=False,
        limit_offset_bps=300,
        min_trade_percent=Decimal(1),
        bracket=Bracket(take_profit=Decimal("0.01")),
    )
    (entry,) = allocate({"A": Decimal("0.2")}, {"A": Decimal(100)}, Portfolio(), {}, Decimal(1000), execution).intents
    assert (entry.limit_price, entry.take_profit_price) == (Decimal("103.00"), Decimal("103.01"))


def test_an_exit_of_the_strategy_carries_none() -> None:
    bot = Bot(BRACKET, holdings={"A": Holding(Decimal(5), Decimal(100))})
    (sale,) = bot.decide(0, {"A": 100.0}, {"A": 0.0})
    assert (sale.side, sale.order_class) == (Side.SELL, OrderClass.SIMPLE)


def ended(bot: Bot, state: OrderState) -> None:
    """The order that waits ends so, and nothing of it is filled."""
    order_id, order = bot.orders.popitem()
    bot.orders[order_id] = an_order(1, symbol=order.symbol, state=state)
    bot.waiting = []


@pytest.mark.parametrize("handling", [BRACKET, MIX], ids=["bracket", "rebalancing"])
@pytest.mark.parametrize("state", [OrderState.CANCELED, OrderState.REJECTED, OrderState.EXPIRED, OrderState.NOT_SENT])
def test_what_an_order_did_not_bring_about_is_ordered_again(handling: Handling, state: OrderState) -> None:
    bot = Bot(handling)
    assert bot.decide(0, {"A": 100.0}, {"A": 0.2})
    ended(bot, state)
    assert bot.decide(1, {"A": 100.0}, {"A": 0.2})


def test_a_position_that_lost_its_exits_is_sold_and_not_bought_again() -> None:
    bot = Bot(BRACKET)
    bot.close(0, {"A": 100.0}, {"A": 0.2})
    bot._fill({"A": 100.0})
    weights = {"A": Decimal("0.2")}
    guarded = bot.held({"A": 100.0})
    assert bot.adherence.acted_on(weights, guarded, FIRST) == {}
    assert bot.adherence.acted_on(weights, replace(guarded, exits=frozenset()), FIRST) == {"A": Decimal(0)}
    sold = replace(guarded, portfolio=Portfolio(), exits=frozenset())
    assert bot.adherence.acted_on(weights, sold, FIRST) == {"A": Decimal(0)}


def test_a_target_that_only_grows_or_shrinks_is_no_new_reason_to_enter() -> None:
    bot = Bot(BRACKET)
    bot.close(0, {"A": 100.0}, {"A": 0.125})
    bot.close(1, {"A": 100.0}, {"A": 0.125})
    bot.close(2, {"A": 90.0}, {"A": 0.125})
    assert not bot.holdings, "the stop was not reached: the test shows nothing"
    # The bars of another symbol are missing, and back: its part of the capital was another's meanwhile.
    assert bot.decide(3, {"A": 90.0}, {"A": 0.1429}) == []
    assert bot.decide(4, {"A": 90.0}, {"A": 0.125}) == []
    assert bot.decide(5, {"A": 90.0}, {"A": 0.0}) == []
    assert bot.decide(6, {"A": 90.0}, {"A": 0.125})


def test_what_lost_its_exits_is_sold_also_while_nothing_is_said_of_it() -> None:
    bot = Bot(BRACKET, holdings={"A": Holding(Decimal(5), Decimal(100))})
    guarded = bot.held({"A": 100.0})
    assert bot.adherence.acted_on({}, guarded, FIRST) == {}
    assert bot.adherence.acted_on({}, replace(guarded, exits=frozenset()), FIRST) == {"A": Decimal(0)}
    selling = {"A": an_order(1, symbol="A", side=Side.SELL)}
    on_its_way = replace(guarded, exits=frozenset(), open_orders=selling)
    assert bot.adherence.acted_on({}, on_its_way, FIRST) == {}


def test_an_entry_that_is_filled_in_part_is_left_to_be_filled() -> None:
    bot = Bot(BRACKET)
    bot.decide(0, {"A": 100.0}, {"A": 0.4})
    entry = an_order(1, symbol="A", qty=Decimal(100), state=OrderState.PARTIALLY_FILLED, filled_qty=Decimal(99))
    almost = replace(
        bot.held({"A": 100.6}),
        portfolio=Portfolio({"A": Holding(Decimal(99), Decimal(100))}),
        open_orders={"A": entry},
        exits=frozenset(),
        orders={entry.client_order_id: entry},
    )
    assert bot.adherence.acted_on({"A": Decimal("0.4")}, almost, FIRST) == {}
    assert bot.adherence.acted_on({"A": Decimal(0)}, almost, FIRST) == {"A": Decimal(0)}


@pytest.mark.parametrize("handling", [BRACKET, MIX], ids=["bracket", "rebalancing"])
@pytest.mark.parametrize("unseen", [True, False])
def test_a_bar_without_data_takes_no_wish_away_and_no_opinion_does(handling: Handling, unseen: bool) -> None:
    bot = Bot(handling)
    assert bot.decide(0, {"A": 100.0}, {"A": 0.2})
    ended(bot, OrderState.EXPIRED)
    blind = replace(bot.held({"A": 100.0}), unseen=frozenset({"A"} if unseen else ()))
    assert bot.adherence.acted_on({}, blind, FIRST) == {}
    assert bool(bot.decide(2, {"A": 100.0}, {"A": 0.2})) is unseen


def test_a_lowered_capital_does_not_wait_for_the_day() -> None:
    bot = Bot(MIX)
    bot.close(0, {"A": 100.0}, {"A": 0.5})
    bot.close(1, {"A": 100.0}, {"A": 0.5})
    assert bot.qty("A") == 125
    half = replace(bot.held({"A": 100.0}), capital=Decimal(CAPITAL) / 2)
    restarted = Adherence(MIX, bot.adherence.to_json())
    weights = {"A": Decimal("0.5")}
    assert restarted.acted_on(weights, half, FIRST + timedelta(days=2)) == weights
    restarted.allocated(weights, allocate({}, {}, Portfolio(), {}, Decimal(1), EXECUTION), half)
    assert restarted.acted_on(weights, half, FIRST + timedelta(days=3)) == {}


def test_what_was_decided_of_a_symbol_counts_no_more_once_the_bot_trades_it_no_longer() -> None:
    bot = Bot(BRACKET)
    bot.close(0, {"A": 100.0}, {"A": 0.2})
    without = Adherence(BRACKET, bot.adherence.to_json(), ["B"])
    again = Adherence(BRACKET, without.to_json(), ["A", "B"])
    nothing = replace(bot.held({"A": 100.0}), orders={})
    assert again.acted_on({"A": Decimal("0.2")}, nothing, FIRST) == {"A": Decimal("0.2")}


@pytest.mark.parametrize(
    ("price", "offset", "loss", "stop"),
    [("100", -200, "0.01", "97.99"), ("3.00", 0, "0.001", "2.99"), ("100", 10, "0.05", "95.00")],
)
def test_a_stop_is_always_below_what_the_entry_costs(price: str, offset: int, loss: str, stop: str) -> None:
    execution = Execution(
        use_market_orders=False,
        limit_offset_bps=offset,
        min_trade_percent=Decimal(1),
        bracket=Bracket(stop_loss=Decimal(loss)),
    )
    (entry,) = allocate({"A": Decimal("0.2")}, {"A": Decimal(price)}, Portfolio(), {}, Decimal(1000), execution).intents
    assert entry.stop_loss_price == Decimal(stop)


def test_after_a_kill_everything_is_decided_anew() -> None:
    bot = Bot(BRACKET)
    bot.close(0, {"A": 100.0}, {"A": 0.2})
    assert bot.decide(1, {"A": 100.0}, {"A": 0.2}) == []
    bot.adherence.forget()
    assert bot.decide(2, {"A": 100.0}, {"A": 0.2})


def test_where_a_strategy_is_followed_at_every_bar_nothing_is_remembered() -> None:
    bot = Bot(Handling())
    assert bot.decide(0, {"A": 100.0}, {"A": 0.2})
    assert bot.decide(1, {"A": 100.0}, {"A": 0.2})
    assert bot.adherence.to_json() is None


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Bracket(), "stop_loss or take_profit"),
        (lambda: Bracket(stop_loss=Decimal(1)), "stop_loss: 1"),
        (lambda: Bracket(take_profit=Decimal(0)), "take_profit: 0"),
        (lambda: Rebalancing(Decimal(-1), 0, Decimal(0)), "not below 0"),
        (lambda: Handling(BRACKET.bracket, MIX.rebalancing), "give one of both"),
        (lambda: Rules(rebalance_days=-1), "rebalance_days"),
        (lambda: Rules(rebalance_together=True, rebalance_band=None), "rebalance_together"),
    ],
)
def test_a_handling_that_makes_no_sense_is_refused(make: object, words: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=words):
        make()
