"""Orders that bring others: brackets and their legs, replacements of our own and by somebody else's hand."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from builders import a_clock, a_config, a_position, a_snapshot, a_word, at
from tradingbot_api import RuntimeConfig
from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.core.allocator import Intent
from tradingbot_runtime.core.engine import Engine
from tradingbot_runtime.core.orders import Order, OrderState
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.core.values import BrokerOrder, OrderClass, OrderType, Side
from tradingbot_runtime.strategies.momentum import Momentum

BRACKET = Intent(
    "AAPL",
    Side.BUY,
    Decimal(10),
    Decimal(100),
    Decimal("100.10"),
    "target",
    order_class=OrderClass.BRACKET,
    take_profit_price=Decimal(110),
    stop_loss_price=Decimal(95),
)


class Bot:
    """An engine whose desk is told what to do directly."""

    def __init__(self, recovered: Recovered | None = None) -> None:
        config: RuntimeConfig = a_config()
        self.engine = Engine(config, Momentum.from_parameters({"lookback": 2}), recovered or Recovered())
        self.desk = self.engine._desk
        self.second = 0.0
        self.tell(seen.ClockRead(a_clock()))
        self.tell(seen.StreamConnected())
        self.tell(seen.SnapshotTaken(a_snapshot()))

    def tell(self, event: seen.Event) -> list[do.Command]:
        self.second += 1.1
        if isinstance(event, seen.SnapshotTaken):
            event = replace(event, asked_at=at(self.second).machine)
        return self.engine.handle(event, at(self.second))

    def place(self, intent: Intent) -> Order:
        commands, refusal = self.desk.place(intent, at(self.second))
        assert refusal is None, refusal
        (command,) = of(do.SubmitOrder, commands)
        assert isinstance(command.order, Order)
        return command.order

    def order(self, order_id: str) -> Order:
        return self.engine._books.orders[order_id]


def of(kind: type[Any], commands: Sequence[do.Command]) -> list[Any]:
    return [command for command in commands if isinstance(command, kind)]


def legs_of(order: Order, take: str = "held", stop: str = "held", sold: str = "0") -> tuple[BrokerOrder, BrokerOrder]:
    """The two exits, as the broker describes them: with ids of its own."""
    exit_order = replace(order, side=Side.SELL, limit_price=order.take_profit_price)
    price = "110" if sold != "0" else None
    return (
        a_word(exit_order, take, sold, price, client_order_id="leg-take", broker_id="b-take"),
        a_word(
            replace(exit_order, limit_price=None, type=OrderType.STOP),
            stop,
            client_order_id="leg-stop",
            broker_id="b-stop",
            stop_price=Decimal(95),
        ),
    )


def a_filled_bracket() -> tuple[Bot, Order]:
    bot = Bot()
    order = bot.place(BRACKET)
    word = a_word(order, "filled", "10", "100", order_class="bracket", legs=legs_of(order, "new", "new"))
    bot.tell(seen.SubmitAcknowledged(word))
    return bot, order


def test_legs_are_learned_from_the_answer_and_journaled() -> None:
    bot = Bot()
    order = bot.place(BRACKET)
    word = a_word(order, "new", order_class="bracket", legs=legs_of(order))
    journaled = of(do.Journal, bot.tell(seen.SubmitAcknowledged(word)))
    assert len(journaled) == 3
    take, stop = bot.order("leg-take"), bot.order("leg-stop")
    assert (take.parent_id, take.state, take.reducing, take.type) == (
        order.client_order_id,
        OrderState.HELD,
        True,
        OrderType.LIMIT,
    )
    assert (stop.type, stop.stop_price) == (OrderType.STOP, Decimal(95))


def test_a_leg_that_is_told_of_before_its_parent_s_answer_is_asked_for_by_its_parent() -> None:
    bot = Bot()
    order = bot.place(BRACKET)
    take, _ = legs_of(order)
    asked = bot.tell(seen.TradeUpdate("held", take))
    assert of(do.QueryOrder, asked) == [do.QueryOrder(order.client_order_id)]
    bot.tell(seen.QueryAnswered(order.client_order_id, a_word(order, "new", legs=legs_of(order))))
    # Now that its legs are known, a stranger's order in the same symbol asks nobody anything.
    stranger = a_word(order, "new", client_order_id="somebody", broker_id="b-9")
    assert bot.tell(seen.TradeUpdate("new", stranger)) == []


def test_the_fill_of_a_leg_changes_what_is_held_once() -> None:
    bot, order = a_filled_bracket()
    take, stop = legs_of(order, "filled", "canceled", sold="10")
    for word, event in ((take, "fill"), (stop, "canceled"), (take, "fill")):
        bot.tell(seen.TradeUpdate(event, word))
    assert bot.engine._books.portfolio.qty("AAPL") == 0
    assert bot.engine._books.portfolio.cash_flow == Decimal(100)


def test_a_kill_cancels_the_legs_and_is_not_confirmed_before_they_are_gone() -> None:
    bot, order = a_filled_bracket()
    commands = bot.tell(seen.KillSeen("enough", "TradingBot"))
    assert {cancel.broker_id for cancel in of(do.CancelOrder, commands)} == {"b-take", "b-stop"}
    parent = a_word(order, "filled", "10", "100", legs=legs_of(order, "new", "canceled"))
    bot.tell(seen.SnapshotTaken(a_snapshot([a_position("AAPL", "10")], [parent])))
    kill = bot.engine._known.kill
    assert kill is not None and (kill.open_orders, kill.orders_cancelled_at) == (1, None)
    parent = a_word(order, "filled", "10", "100", legs=legs_of(order, "canceled", "canceled"))
    bot.tell(seen.SnapshotTaken(a_snapshot([a_position("AAPL", "10")], [parent])))
    kill = bot.engine._known.kill
    assert kill is not None and kill.is_done


def test_legs_survive_a_restart_as_legs() -> None:
    bot, order = a_filled_bracket()
    books = bot.engine._books
    again = Bot(Recovered(orders=tuple(books.orders.values())))
    commands = again.tell(seen.KillSeen("enough", "TradingBot"))
    assert {cancel.broker_id for cancel in of(do.CancelOrder, commands)} >= {"b-take", "b-stop"}
    assert again.order("leg-take").parent_id == order.client_order_id


def test_a_replacement_of_our_own_is_journaled_first_and_ends_the_order_it_replaces() -> None:
    bot = Bot()
    plain = replace(BRACKET, order_class=OrderClass.SIMPLE, take_profit_price=None, stop_loss_price=None)
    order = bot.place(plain)
    word = a_word(order, "new")
    bot.tell(seen.SubmitAcknowledged(word))
    dearer = replace(plain, limit_price=Decimal("100.50"))
    commands, _ = bot.desk.replace(bot.order(order.client_order_id), dearer, at(bot.second))
    assert [type(command) for command in commands] == [do.Journal, do.ReplaceOrder]
    successor = of(do.ReplaceOrder, commands)[0].order
    assert successor.client_order_id != order.client_order_id
    assert successor.replaces_id == order.client_order_id
    acknowledged = a_word(successor, "new", broker_id="b-2", replaces=word.broker_id)
    asked = bot.tell(seen.SubmitAcknowledged(acknowledged))
    assert do.QueryOrder(order.client_order_id) in asked
    bot.tell(seen.TradeUpdate("replaced", a_word(order, "replaced", replaced_by="b-2")))
    assert bot.order(order.client_order_id).state is OrderState.REPLACED
    assert list(bot.engine._books.open_by_symbol()) == ["AAPL"]


def test_a_replacement_in_doubt_is_asked_for_by_its_own_id_and_never_sent_again() -> None:
    bot = Bot()
    order = bot.place(replace(BRACKET, order_class=OrderClass.SIMPLE))
    bot.tell(seen.SubmitAcknowledged(a_word(order, "new")))
    commands, _ = bot.desk.replace(bot.order(order.client_order_id), BRACKET, at(bot.second))
    successor = of(do.ReplaceOrder, commands)[0].order
    asked = bot.tell(seen.SubmitInDoubt(successor.client_order_id, "timeout"))
    assert of(do.QueryOrder, asked) == [do.QueryOrder(successor.client_order_id)]
    assert of(do.ReplaceOrder, asked) == []


def test_an_order_that_somebody_else_replaced_stays_ours_under_its_new_id() -> None:
    bot = Bot()
    order = bot.place(replace(BRACKET, order_class=OrderClass.SIMPLE))
    word = a_word(order, "new")
    bot.tell(seen.SubmitAcknowledged(word))
    foreign = a_word(order, "new", client_order_id="made-by-hand", broker_id="b-2", replaces=word.broker_id)
    assert of(do.Journal, bot.tell(seen.TradeUpdate("new", foreign)))
    assert bot.order("made-by-hand").replaces_id == order.client_order_id
    bot.tell(
        seen.TradeUpdate(
            "fill", replace(foreign, status="filled", filled_qty=Decimal(10), filled_average_price=Decimal(100))
        )
    )
    assert bot.engine._books.portfolio.qty("AAPL") == 10


def test_a_cancel_that_was_refused_is_asked_again_at_once_while_closing() -> None:
    bot = Bot()
    order = bot.place(replace(BRACKET, order_class=OrderClass.SIMPLE))
    bot.tell(seen.SubmitAcknowledged(a_word(order, "new")))
    bot.tell(seen.KillSeen("enough", "TradingBot"))
    again = bot.engine.handle(seen.TradeUpdate("order_cancel_rejected", a_word(order, "new")), at(bot.second + 0.01))
    assert len(of(do.CancelOrder, again)) == 1


def test_an_event_that_contradicts_its_status_is_counted_and_the_status_stands() -> None:
    bot = Bot()
    order = bot.place(replace(BRACKET, order_class=OrderClass.SIMPLE))
    bot.tell(seen.TradeUpdate("fill", a_word(order, "canceled")))
    assert bot.order(order.client_order_id).state is OrderState.CANCELED
    assert bot.engine.counters["trade_updates", "odd"] == 1
