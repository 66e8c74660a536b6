"""A live bot trades only while it sees its own grant; once that is gone it leaves, and nothing brings it back."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from builders import (
    OPEN,
    SUBJECT,
    UID,
    a_clock,
    a_config,
    a_live_config,
    a_position,
    a_snapshot,
    a_word,
    at,
    bars,
    evaluated,
)
from tradingbot_api import GrantRef, OnDelete, RuntimeReport, TradingState
from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.core.engine import Engine
from tradingbot_runtime.core.grant import LiveGrant
from tradingbot_runtime.core.kill import KillState
from tradingbot_runtime.core.orders import Fill, Order, client_order_id
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.core.risk import RiskLedger
from tradingbot_runtime.core.values import BrokerSnapshot, Side
from tradingbot_runtime.strategies.momentum import Momentum

RISING = {"AAPL": [100, 101, 103], "MSFT": [300, 299, 298]}
FALLING = {"AAPL": [103, 101, 100], "MSFT": [300, 299, 298]}
GRANTED = seen.GrantSeen(granted=True)
GONE = seen.GrantSeen(granted=False, why="status.grant is absent")


class LiveBot:
    """A live bot's engine with a volume that survives it."""

    def __init__(self, before: "LiveBot | None" = None, recovered: Recovered | None = None, **config: Any) -> None:
        self.config = a_live_config(**config) if config or before is None else before.config
        self.orders: dict[str, Order] = dict(before.orders) if before else {}
        self.fills: list[Fill] = list(before.fills) if before else list(recovered.fills if recovered else ())
        self.checkpoints: dict[str, str] = dict(before.checkpoints) if before else {}
        self.kill: KillState | None = before.kill if before else None
        self.second, self.minute = (before.second + 60, before.minute) if before else (0.0, 0.0)
        volume = Recovered(tuple(self.orders.values()), tuple(self.fills), self.kill, self.checkpoints)
        strategy = Momentum.from_parameters({"lookback": 2, "max_weight": 0.2})
        self.engine = Engine(self.config, strategy, volume, watched=True)

    def tell(self, event: seen.Event, seconds: float = 0.01) -> list[do.Command]:
        self.second += seconds
        now = at(self.second, self.minute)
        if isinstance(event, seen.SnapshotTaken) and event.asked_at is None:
            event = replace(event, asked_at=now.machine)
        commands = evaluated(self.engine, self.engine.handle(event, now), now)
        for entry in of(do.Journal, commands):
            for change in entry.changes:
                match change:
                    case do.PutOrder(order):
                        self.orders[order.client_order_id] = order
                    case do.PutFill(fill):
                        self.fills.append(fill)
                    case do.PutCheckpoint(name, document):
                        self.checkpoints[name] = document
                    case do.PutKill(kill):
                        self.kill = kill
        return commands

    def connected(self, **books: Any) -> "LiveBot":
        self.tell(seen.ControlPlaneSeen())
        self.tell(seen.ClockRead(a_clock(self.minute)))
        self.tell(seen.StreamConnected())
        self.tell(seen.SnapshotTaken(a_snapshot(**books)))
        assert self.engine.is_ready, self.report()
        return self

    def granted(self, max_capital: str | None = None) -> "LiveBot":
        self.tell(seen.GrantSeen(granted=True, max_capital=Decimal(max_capital) if max_capital else None))
        return self

    def bar(self, closes: dict[str, Sequence[float]]) -> list[do.Command]:
        self.minute += 5
        asked = self.tell(seen.ClockRead(a_clock(self.minute)))
        if do.ReadBars() not in asked:
            return asked
        frames = bars(closes, OPEN + timedelta(minutes=self.minute))
        return asked + self.tell(seen.BarsClosed(OPEN + timedelta(minutes=self.minute - 5), frames))

    def buys(self) -> Order:
        """An order that rests at the broker."""
        (order,) = submitted(self.bar(RISING))
        self.tell(seen.SubmitAcknowledged(a_word(order, "new")))
        return order

    def holds(self) -> Order:
        """An order that was filled."""
        order = self.buys()
        self.tell(seen.TradeUpdate("fill", a_word(order, "filled", str(order.qty), "103")))
        return order

    def report(self) -> RuntimeReport:
        return self.engine.report(
            at(self.second, self.minute), version="1", started_at=datetime(2026, 1, 1, tzinfo=UTC)
        )


def of(kind: type[Any], commands: Sequence[do.Command]) -> list[Any]:
    return [command for command in commands if isinstance(command, kind)]


def submitted(commands: Sequence[do.Command]) -> list[Order]:
    return [command.order for command in of(do.SubmitOrder, commands)]


# ---------------------------------------------------------------- before the grant, and under it


def test_a_live_bot_is_halted_until_it_has_seen_its_own_grant() -> None:
    bot = LiveBot().connected()
    report = bot.report()
    assert (report.trading_state, report.reason, report.grant_epoch) == (TradingState.HALTED, "NotGranted", None)
    assert of(do.ReadBars, bot.bar(RISING)) == []
    bot.granted()
    report = bot.report()
    assert (report.trading_state, report.grant_epoch, report.withdrawal) == (TradingState.ACTIVE, 1, None)
    (order,) = submitted(bot.bar(RISING))
    assert order.client_order_id == client_order_id(UID, "live", 0, 1)


def test_a_bar_that_closed_before_the_grant_was_seen_is_decided_after_it() -> None:
    bot = LiveBot().connected()
    assert of(do.ReadBars, bot.bar(RISING)) == []
    bot.granted()
    frames = bars(RISING, OPEN + timedelta(minutes=bot.minute))
    assert do.ReadBars() in bot.tell(seen.ClockRead(a_clock(bot.minute)))
    assert submitted(bot.tell(seen.BarsClosed(OPEN, frames)))


def test_every_start_looks_for_the_grant_anew_and_leaves_meanwhile_what_rests() -> None:
    bot = LiveBot().connected().granted()
    order = bot.buys()
    again = LiveBot(bot).connected(orders=[a_word(order, "new")])
    assert again.report().reason == "NotGranted"
    assert again.engine.counters["orders", "cancel_asked"] == 0
    again.granted()
    assert again.report().trading_state is TradingState.ACTIVE
    assert again.report().open_orders == 1


def test_on_paper_a_grant_means_nothing() -> None:
    strategy = Momentum.from_parameters({"lookback": 2, "max_weight": 0.2})
    engine = Engine(a_config(), strategy, Recovered())
    assert engine.handle(GONE, at()) == []
    assert engine.handle(seen.GrantSeen(granted=True, max_capital=Decimal(1)), at()) == []
    report = engine.report(at(), version="1", started_at=at().machine)
    assert (report.grant_epoch, report.withdrawal) == (None, None)
    assert report.reason != "NotGranted"


def test_the_same_word_twice_is_journaled_once() -> None:
    bot = LiveBot().connected()
    assert [entry.kind for entry in of(do.Journal, bot.tell(GRANTED))] == ["granted"]
    assert bot.tell(GRANTED) == []


# ---------------------------------------------------------------- the end of the grant


@pytest.mark.parametrize("on_delete", ["CancelOrders", "Flatten"])
def test_a_grant_that_goes_is_journaled_first_then_orders_are_cancelled(on_delete: str) -> None:
    bot = LiveBot(onDelete=on_delete).connected().granted()
    order = bot.buys()
    commands = bot.tell(GONE)
    first = commands[0]
    assert isinstance(first, do.Journal) and first.kind == "withdrawal"
    assert first.detail == {"epoch": "1", "why": "status.grant is absent", "on_delete": on_delete}
    assert [cancel.client_order_id for cancel in of(do.CancelOrder, commands)] == [order.client_order_id]
    assert all(snapshot.urgent for snapshot in of(do.TakeSnapshot, commands)) and of(do.TakeSnapshot, commands)
    report = bot.report()
    assert (report.trading_state, report.reason, report.grant_epoch) == (TradingState.HALTED, "NotGranted", None)
    assert report.withdrawal is not None
    assert (report.withdrawal.on_delete, report.withdrawal.orders_cancelled_at) == (on_delete, None)


def test_a_withdrawal_is_confirmed_only_by_books_that_were_asked_for_after_it() -> None:
    bot = LiveBot().connected().granted()
    order = bot.buys()
    before = at(bot.second, bot.minute).machine
    bot.tell(GONE)
    bot.tell(seen.TradeUpdate("canceled", a_word(order, "canceled")))
    bot.tell(seen.SnapshotTaken(a_snapshot(), before))
    assert bot.report().withdrawal.orders_cancelled_at is None  # type: ignore[union-attr]
    bot.tell(seen.SnapshotTaken(a_snapshot()))
    confirmed = bot.report().withdrawal
    assert confirmed is not None and confirmed.orders_cancelled_at is not None
    assert (confirmed.open_orders, confirmed.flat_at) == (0, None)


def test_flatten_closes_what_is_held_and_confirms_it() -> None:
    bot = LiveBot(onDelete="Flatten").connected().granted()
    order = bot.holds()
    bot.tell(GONE)
    books = a_snapshot([a_position("AAPL", str(order.qty))])
    assert of(do.ClosePosition, bot.tell(seen.SnapshotTaken(books))) == [do.ClosePosition("AAPL", str(order.qty))]
    bot.tell(seen.SnapshotTaken(a_snapshot()))
    withdrawal = bot.report().withdrawal
    assert withdrawal is not None and withdrawal.flat_at is not None and withdrawal.open_positions == 0
    quiet = bot.tell(seen.Tick(), seconds=1)
    assert of(do.TakeSnapshot, quiet) == []


def test_cancel_orders_keeps_the_positions() -> None:
    bot = LiveBot().connected().granted()
    order = bot.holds()
    bot.tell(GONE)
    books = a_snapshot([a_position("AAPL", str(order.qty))])
    assert of(do.ClosePosition, bot.tell(seen.SnapshotTaken(books))) == []
    assert [one.symbol for one in bot.report().positions] == ["AAPL"]


def test_keep_keeps_exits_and_positions_but_no_entry_that_would_open_exposure_without_a_grant() -> None:
    bot = LiveBot(onDelete="Keep").connected().granted()
    held = bot.holds()
    (exit_order,) = submitted(bot.bar(FALLING))
    bot.tell(seen.SubmitAcknowledged(a_word(exit_order, "new")))
    commands = bot.tell(GONE)
    assert of(do.CancelOrder, commands) == []
    bot.tell(seen.SnapshotTaken(a_snapshot([a_position("AAPL", str(held.qty))], [a_word(exit_order, "new")])))
    withdrawal = bot.report().withdrawal
    assert withdrawal is not None and withdrawal.orders_cancelled_at is None

    entering = LiveBot(onDelete="Keep").connected().granted()
    entry = entering.buys()
    cancelled = of(do.CancelOrder, entering.tell(GONE))
    assert [one.client_order_id for one in cancelled] == [entry.client_order_id]


def test_nothing_is_opened_while_the_bot_leaves_and_a_journaled_order_stays_home() -> None:
    bot = LiveBot().connected().granted()
    (order,) = submitted(bot.bar(RISING))
    assert bot.engine.may_send(order.client_order_id)
    bot.tell(GONE)
    assert not bot.engine.may_send(order.client_order_id)
    bot.tell(seen.SubmitWithheld(order.client_order_id, "the grant is gone"))
    bot.tell(seen.SnapshotTaken(a_snapshot()))
    assert submitted(bot.bar(RISING)) == []


def test_an_order_that_reaches_the_broker_beside_the_end_is_cancelled() -> None:
    bot = LiveBot().connected().granted()
    (order,) = submitted(bot.bar(RISING))
    bot.tell(GONE)
    commands = bot.tell(seen.SubmitAcknowledged(a_word(order, "new")))
    assert [cancel.client_order_id for cancel in of(do.CancelOrder, commands)] == [order.client_order_id]


def test_a_grant_that_comes_back_undoes_nothing() -> None:
    bot = LiveBot().connected().granted()
    bot.tell(GONE)
    assert bot.tell(GRANTED) == []
    assert bot.report().reason == "NotGranted"
    assert bot.tell(GONE) == []


def test_a_start_that_finds_its_grant_gone_leaves_whatever_its_books_say() -> None:
    bot = LiveBot().connected().granted()
    order = bot.buys()
    again = LiveBot(bot)
    assert of(do.Journal, again.tell(GONE))[0].kind == "withdrawal"
    again.connected(orders=[a_word(order, "new")])
    assert again.engine.counters["orders", "cancel_asked"] == 1
    # A volume that was lost knows of nothing: what the broker has by this bot's ids goes all the same.
    bare = LiveBot()
    bare.tell(GONE)
    bare.connected(orders=[a_word(order, "new")])
    assert bare.engine.counters["orders", "cancel_asked"] == 1


def test_a_process_that_dies_while_leaving_is_followed_by_one_that_goes_on() -> None:
    bot = LiveBot(onDelete="Flatten").connected().granted()
    order = bot.holds()
    bot.tell(GONE)
    books = a_snapshot([a_position("AAPL", str(order.qty))])

    again = LiveBot(bot)
    again.tell(GRANTED)  # even if the grant is there again
    assert again.report().reason == "NotGranted"
    again.tell(seen.ClockRead(a_clock(again.minute)))
    again.tell(seen.StreamConnected())
    assert of(do.ClosePosition, again.tell(seen.SnapshotTaken(books))) == [do.ClosePosition("AAPL", str(order.qty))]
    again.tell(seen.SnapshotTaken(a_snapshot()))

    last = LiveBot(again)
    withdrawal = last.report().withdrawal
    assert withdrawal is not None and withdrawal.flat_at is not None
    assert withdrawal == again.report().withdrawal


def test_on_delete_that_was_changed_meanwhile_counts_for_the_next_process() -> None:
    bot = LiveBot().connected().granted()
    order = bot.holds()
    bot.tell(GONE)
    bot.tell(seen.SnapshotTaken(a_snapshot([a_position("AAPL", str(order.qty))])))
    again = LiveBot(bot, onDelete="Flatten")
    again.tell(seen.ClockRead(a_clock(again.minute)))
    again.tell(seen.StreamConnected())
    commands = again.tell(seen.SnapshotTaken(a_snapshot([a_position("AAPL", str(order.qty))])))
    assert of(do.ClosePosition, commands) == [do.ClosePosition("AAPL", str(order.qty))]


def test_a_new_grant_trades_again_and_forgets_what_the_old_one_left_alone() -> None:
    bot = LiveBot(onDelete="Flatten").connected().granted()
    order = bot.holds()
    others = order.qty + 500
    bot.tell(seen.SnapshotTaken(a_snapshot([a_position("AAPL", str(others))])))
    bot.tell(GONE)
    closing = of(do.ClosePosition, bot.tell(seen.SnapshotTaken(a_snapshot([a_position("AAPL", str(others))]))))
    assert closing == [do.ClosePosition("AAPL", str(order.qty))]
    assert bot.checkpoints["flatten"] == '{"AAPL": "500"}'

    # The owner has sold his 500; the bot is granted again and holds shares of its own.
    bought = Fill(order.client_order_id, 2, "AAPL", -order.qty, Decimal(103), OPEN)
    bot.fills.append(bought)
    again = LiveBot(bot, epoch=2, onDelete="Flatten").connected().granted()
    assert again.report().grant_epoch == 2
    assert again.report().withdrawal is None
    assert again.checkpoints["flatten"] == "null"
    held = again.holds()
    again.tell(GONE)
    commands = again.tell(seen.SnapshotTaken(a_snapshot([a_position("AAPL", str(held.qty))])))
    assert of(do.ClosePosition, commands) == [do.ClosePosition("AAPL", str(held.qty))]


def test_a_kill_comes_first_and_flattens_although_the_withdrawal_only_cancels() -> None:
    bot = LiveBot(onKill="Flatten").connected().granted()
    order = bot.holds()
    bot.tell(GONE)
    books = a_snapshot([a_position("AAPL", str(order.qty))])
    assert of(do.ClosePosition, bot.tell(seen.SnapshotTaken(books))) == []
    bot.tell(seen.KillSeen("stop", "TradingBot"))
    assert bot.report().reason == "Killed"
    assert of(do.ClosePosition, bot.tell(seen.SnapshotTaken(books)))
    bot.tell(seen.SnapshotTaken(a_snapshot()))
    report = bot.report()
    assert report.kill is not None and report.kill.flat_at is not None
    assert report.withdrawal is not None and report.withdrawal.orders_cancelled_at is not None


def test_a_control_plane_that_is_lost_is_no_grant_that_is_lost() -> None:
    bot = LiveBot(onControlPlaneLoss="Continue").connected().granted()
    bot.tell(seen.Tick(), seconds=301)
    report = bot.report()
    assert (report.trading_state, report.withdrawal) == (TradingState.ACTIVE, None)


# ---------------------------------------------------------------- a start while the control plane is away


class Restarted:
    """A live bot with a position and a resting entry, whose process starts anew while nothing can be read."""

    def __init__(self, policy: str) -> None:
        bot = LiveBot(symbols=["AAPL", "MSFT"]).connected().granted()
        self.held = bot.holds()
        (self.entry,) = submitted(bot.bar({"AAPL": [100, 101, 103], "MSFT": [298, 299, 303]}))
        assert self.entry.symbol == "MSFT" and not self.entry.reducing
        bot.tell(seen.SubmitAcknowledged(a_word(self.entry, "new")))
        self.bot = LiveBot(bot, symbols=["AAPL", "MSFT"], onControlPlaneLoss=policy)
        self.bot.tell(seen.ClockRead(a_clock(self.bot.minute)))
        self.bot.tell(seen.StreamConnected())
        self.bot.tell(seen.SnapshotTaken(self.books(self.entry)))

    def books(self, *orders: Order) -> BrokerSnapshot:
        position = a_position("AAPL", str(self.held.qty))
        return a_snapshot([position], [a_word(order, "new") for order in orders])

    def cancels(self) -> int:
        return self.bot.engine.counters["orders", "cancel_asked"]

    def waits_for_ever(self) -> list[do.Command]:
        assert of(do.Notice, self.bot.tell(seen.Tick(), seconds=299)) == []
        assert (self.bot.report().reason, self.cancels()) == ("NotGranted", 0)
        commands = self.bot.tell(seen.Tick(), seconds=2)
        told = [(notice.severity, notice.name) for notice in of(do.Notice, commands)]
        assert told[0] == ("critical", "control_plane_lost")
        assert self.bot.engine._known.control_plane_lost
        assert "control_plane_lost" not in [one.name for one in of(do.Notice, self.bot.tell(seen.Tick()))]
        return commands


def test_a_start_without_a_control_plane_cancels_entries_after_a_while_where_it_has_to_reduce() -> None:
    away = Restarted("Reduce")
    cancelled = of(do.CancelOrder, away.waits_for_ever())
    assert [one.client_order_id for one in cancelled] == [away.entry.client_order_id]
    assert of(do.ClosePosition, away.bot.tell(seen.SnapshotTaken(away.books()))) == []
    away.bot.granted()
    away.bot.tell(seen.ControlPlaneSeen())
    assert away.bot.report().trading_state is TradingState.ACTIVE


def test_a_start_without_a_control_plane_flattens_after_a_while_although_it_has_seen_no_grant() -> None:
    away = Restarted("Flatten")
    commands = away.waits_for_ever()
    assert [entry.kind for entry in of(do.Journal, commands)][:1] == ["kill"]
    assert [one.client_order_id for one in of(do.CancelOrder, commands)] == [away.entry.client_order_id]
    assert all(snapshot.urgent for snapshot in of(do.TakeSnapshot, commands)) and of(do.TakeSnapshot, commands)
    closing = of(do.ClosePosition, away.bot.tell(seen.SnapshotTaken(away.books())))
    assert closing == [do.ClosePosition("AAPL", str(away.held.qty))]
    away.bot.tell(seen.TradeUpdate("canceled", a_word(away.entry, "canceled")))
    away.bot.tell(seen.SnapshotTaken(a_snapshot()))
    kill = away.bot.report().kill
    assert kill is not None and kill.flat_at is not None


def test_a_start_without_a_control_plane_leaves_what_rests_where_it_has_to_continue() -> None:
    away = Restarted("Continue")
    away.waits_for_ever()
    assert (away.cancels(), away.bot.report().reason, away.bot.report().kill) == (0, "NotGranted", None)


# ---------------------------------------------------------------- the cap


def test_the_grants_cap_sizes_the_next_order() -> None:
    (order,) = submitted(LiveBot().connected().granted().bar(RISING))
    (capped,) = submitted(LiveBot().connected().granted("5000").bar(RISING))
    assert (order.qty, capped.qty) == (19, 9)
    (above,) = submitted(LiveBot().connected().granted("50000").bar(RISING))
    assert above.qty == order.qty


def test_a_cap_that_sinks_counts_from_the_next_decision_on_and_exits_go_on() -> None:
    bot = LiveBot().connected().granted()
    held = bot.holds()
    bot.granted("1000")
    orders = submitted(bot.bar(RISING))
    assert all(order.side is Side.SELL for order in orders)
    assert bot.engine.counters["orders", "cancel_asked"] == 0
    for order in orders:
        bot.tell(seen.SubmitAcknowledged(a_word(order, "new")))
        bot.tell(seen.TradeUpdate("fill", a_word(order, "filled", str(order.qty), "103")))
    left = held.qty - sum(order.qty for order in orders)
    (exit_order,) = submitted(bot.bar(FALLING))
    assert (exit_order.side, exit_order.qty) == (Side.SELL, left)


def test_what_is_held_above_the_cap_lets_nothing_new_in() -> None:
    bot = LiveBot(symbols=["AAPL", "MSFT"]).connected().granted()
    held = bot.holds()
    assert held.qty * 103 > 1000
    bot.granted("1000")
    both = {"AAPL": [100, 101, 103], "MSFT": [100, 101, 103]}
    assert [order for order in submitted(bot.bar(both)) if order.side is Side.BUY] == []
    assert bot.engine.counters["refused", "capital"] + bot.engine.counters["refused", "position_limit"] >= 1


def test_losses_count_in_percent_of_the_cap() -> None:
    """3 % of 10,000 are 300; of a cap of 2,000 they are 60."""
    bot = LiveBot().connected().granted("2000")
    bot.holds()
    position = replace(a_position("AAPL", "3", "100"), market_value=Decimal(3) * Decimal(80))
    assert isinstance(bot.engine._known.risk, RiskLedger)
    bot.tell(seen.SnapshotTaken(a_snapshot([position])))
    bot.tell(seen.SnapshotTaken(a_snapshot([position])))
    assert bot.report().breaker == "DailyLossLimit"


# ---------------------------------------------------------------- what the volume keeps


def test_the_volumes_word_about_another_grant_is_over() -> None:
    ending = KillState("gone", "Grant", flatten=True, observed_at=OPEN, orders_cancelled_at=OPEN, open_orders=0)
    ref = GrantRef(subject_digest=SUBJECT, epoch=1)
    document = LiveGrant(ref, withdrawal=ending).to_json()
    same = LiveGrant.from_json(document, ref, OnDelete.FLATTEN)
    assert (same.withdrawal, same.is_new) == (ending, False)
    for other in (GrantRef(subject_digest=SUBJECT, epoch=2), GrantRef(subject_digest="6" * 64, epoch=1)):
        assert LiveGrant.from_json(document, other, OnDelete.FLATTEN) == LiveGrant(other)
    assert LiveGrant.from_json(None, ref, OnDelete.KEEP) == LiveGrant(ref)
